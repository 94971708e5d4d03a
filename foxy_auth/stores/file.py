"""A store in a file: the simplest that many processes of one machine can share."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import AbstractContextManager, suppress
from glob import escape
from pathlib import Path

from foxy_auth.errors import StoreError
from foxy_auth.stores._file_lock import locked_file, make_private, require_filelock
from foxy_auth.stores._records import LARGEST_RECORD, Key, Records, check_key
from foxy_auth.token import Token

ABANDONED = 60.0  # seconds after which a new record that has not taken its place never will


class FileStore:
    """
    Keeps the token in a file that only its owner can read.

    A new record is written beside the old one and then takes its place, so that it is there whole or not at all. The
    lock is one of the operating system's, on a file of its own, and is freed when its holder dies. Network file systems
    are not supported.
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
        self._path = Path(path).expanduser().resolve()
        self._records = Records(key)

    def for_key(self, key: str) -> FileStore:
        """Return the store of another grant: a file in the same folder, named after *key*."""
        other = FileStore(self._path.with_name(f"{self._path.stem}.{check_key(key)}{self._path.suffix}"))
        other._records = self._records
        return other

    def load(self) -> Token | None:
        """Return the token; `StoreError` if the file cannot be read or is damaged. It stays where it is then."""
        record = self._record()
        if record is None:
            return None
        try:
            return self._records.read(record)
        except StoreError as error:
            raise StoreError(f"{self._path}: {error}; repair or move the file") from None

    def save(self, token: Token) -> None:
        """Put *token* in the place of the former; a damaged record is kept aside, with `.damaged` behind its name."""
        try:
            make_private(self._path.parent)
            former = self._record()
            if former is not None and self._records.damaged(former):
                self._path.replace(f"{self._path}.damaged")
            self._replace(self._records.written(token, former))
            self._sweep()
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written ({error.strerror}); repair its folder") from error

    def lock(self, timeout: float) -> AbstractContextManager[object]:
        """Keep all processes of this machine out; `TimeoutError` after *timeout* seconds."""
        return locked_file(f"{self._path}.lock", timeout)

    def _record(self) -> str | None:
        try:
            with self._path.open("rb") as file:
                return file.read(LARGEST_RECORD + 1).decode("utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read ({error.strerror}); repair it") from error

    def _replace(self, record: str) -> None:
        handle, name = tempfile.mkstemp(".new", f".{self._path.name}.", dir=self._path.parent)  # made with mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(record)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)  # noqa: PTH105 - both names are text here
            self._sync_folder()
        except BaseException:
            with suppress(OSError):  # the disk may be gone altogether
                os.unlink(name)  # noqa: PTH108
            raise

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
