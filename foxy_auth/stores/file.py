"""A store in a file: the simplest that many processes of one machine can share."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from glob import escape
from itertools import count
from pathlib import Path
from stat import S_ISREG

from foxy_auth.errors import StoreError
from foxy_auth.stores._file_lock import locked_file, make_private, require_filelock
from foxy_auth.stores._records import LARGEST_RECORD, Key, Records, check_key
from foxy_auth.token import Token

ABANDONED = 60.0  # seconds after which a new record that has not taken its place never will
LONGEST_NAME = 240  # of the 255 bytes that systems take; the rest stands around the name of a new record


class FileStore:
    """
    Keeps the token in a file that only its owner can read.

    A new record is written beside the old one and then takes its place, so that it is there whole or not at all; a hard
    link keeps the old one. The lock is one of the operating system's, on a file of its own, and is freed when its
    holder dies. Network file systems are not supported.
    """

    def __init__(self, path: str | os.PathLike[str], *, key: Key | None = None) -> None:
        """
        Keep the record at *path*.

        Args:
            path: The file; folders that do not exist are made, for their owner only.

            key: Encrypts the record: a Fernet key, or several, of which the first encrypts and all decrypt.

        Raises:
            TypeError, ValueError: *path* or *key* is not what it should be.

            ImportError: The package filelock is not installed.
        """
        require_filelock()
        self._path = Path(os.path.realpath(Path(path).expanduser()))  # which a loop of links does not stop
        if len(os.fsencode(self._path.name)) > LONGEST_NAME:
            raise ValueError(f"FileStore takes a file's name of {LONGEST_NAME} bytes at most, its key included")
        self._records = Records(key)

    def for_key(self, key: str) -> FileStore:
        """Return the store of another grant: a file in the same folder, named after *key*."""
        other = FileStore(self._path.with_name(f"{self._path.stem}.{check_key(key)}{self._path.suffix}"))
        other._records = self._records
        return other

    def load(self) -> Token | None:
        """Return the token; `StoreError` if the file cannot be read or is damaged. It stays where it is then."""
        return self._records.loaded(self._record(), self._path)

    def save(self, token: Token) -> None:
        """Put *token* in the place of the former; a damaged one is kept aside, as `….1.damaged`, and none is lost."""
        former = self._record()
        record = self._records.written(token, former)
        with self._reported(), self._new_file(record.encode()) as name:
            if former is not None and self._records.damaged(former):
                self._path.replace(self._aside())
            os.replace(name, self._path)  # noqa: PTH105 - both names are text here
            self._sync_folder()
            self._sweep()

    @contextmanager
    def lock(self, timeout: float) -> Generator[None]:
        """
        Keep all processes of this machine out.

        Raises:
            TimeoutError: Another holds the lock for *timeout* seconds.

            StoreError: There is none to be had, or no record could be saved; so nobody asks for a token in vain.
        """
        with locked_file(f"{self._path}.lock", timeout):
            with self._reported(), self._new_file(os.urandom(LARGEST_RECORD)):
                self._sweep()
            yield

    def _record(self) -> str | None:
        try:
            if not S_ISREG(self._path.stat().st_mode):  # to open a pipe would wait for its other end
                raise StoreError(f"{self._path} is no file; move what is there")
            with self._path.open("rb") as file:
                return file.read(LARGEST_RECORD + 1).decode("utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read ({error.strerror}); repair it") from error

    @contextmanager
    def _reported(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written ({error.strerror}); repair its folder") from error

    @contextmanager
    def _new_file(self, content: bytes) -> Generator[str]:
        """Write *content* beside the record, and to the disk; remove the file, unless it takes another name."""
        make_private(self._path.parent)
        with suppress(FileNotFoundError):
            self._path.open("r+b").close()  # what may not be written must not be replaced either
        handle, name = tempfile.mkstemp(".new", f".{self._path.name}.", dir=self._path.parent)  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield name
        finally:
            with suppress(OSError):  # it has its place, or the disk is gone altogether
                os.unlink(name)  # noqa: PTH108

    def _aside(self) -> Path:
        """Return a name for a damaged record, which no earlier one has."""
        names = (Path(f"{self._path}.{number}.damaged") for number in count(1))
        return next(name for name in names if not name.exists())

    def _sweep(self) -> None:
        """Remove what writers have left that were killed: it has a token in it."""
        for path in self._path.parent.glob(f".{escape(self._path.name)}.*.new"):
            with suppress(OSError):  # somebody else sweeps too
                if path.stat().st_mtime < time.time() - ABANDONED:
                    path.unlink()

    def _sync_folder(self) -> None:
        """Have the new name on the disk too, before anybody relies on it: the former token may be spent."""
        with suppress(OSError):  # Windows opens no folders, and some file systems sync none
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
