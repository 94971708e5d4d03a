"""A store in a file: the simplest that several processes of one machine can share."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from itertools import count
from pathlib import Path

from foxy_auth._libraries import check_installed
from foxy_auth._secrets import Secret, guarded_class
from foxy_auth.errors import StoreError
from foxy_auth.stores._errors import store_errors
from foxy_auth.stores._file_lock import lock_file
from foxy_auth.stores._private_files import make_private_folder, private_file, resolve, warn_of_shared_folder
from foxy_auth.stores._records import LARGEST_RECORD, EncryptionKey, Records, check_key
from foxy_auth.token import Token

LEFTOVER_AGE = 60.0  # seconds after which a temporary file must belong to a writer that was killed
LONGEST_NAME = 240  # bytes; the system's limit is 255, and temporary files have longer names
PROBE = "\n" * 4096  # a block of most file systems, and more than a usual record


@guarded_class
class FileStore:
    """
    Keeps the token in a file that only its owner can read.

    ```python
    auth = FoxyAuth.from_env(store=FileStore("foxy-token.json"))
    ```

    A new record is written to a temporary file that then replaces the old one, so the file is always complete. A file
    that has hard links is replaced under this name only. The lock is a lock of the operating system on a file beside
    it, and is free when its holder dies. Network file systems are not supported.

    A file that other users can access is made private, and that is logged. One that belongs to another user is refused:
    its token may be theirs. So is a folder or a symbolic link that another user has planted in a folder where everybody
    can write; all other links are followed. The access rights of Windows are not looked at.
    """

    def __init__(self, path: str | os.PathLike[str], *, encryption_key: EncryptionKey | None = None) -> None:
        """
        Keep the record at *path*.

        Args:
            path: The file; missing folders are created, accessible to their owner only.

            encryption_key: Encrypts the record: a Fernet key, or a list, of which the first encrypts and all decrypt.

        Raises:
            TypeError, ValueError: An argument is not what it should be.

            ImportError: The package filelock is not installed.
        """
        check_installed("filelock", needed_by="FileStore", extra="file")
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"FileStore takes the path of a file, not {type(path).__name__}")
        if not os.fspath(path):
            raise ValueError("FileStore takes the path of a file, and this one is empty")
        self._path, self._planted = resolve(Path(path).expanduser())
        if len(os.fsencode(self._path.name)) > LONGEST_NAME:
            raise ValueError(f"FileStore takes a file name of {LONGEST_NAME} bytes at most, including the key")
        self._records = Records(encryption_key).named(self._path.name)

    def __str__(self) -> str:
        """Name the file."""
        return str(self._path)

    def for_key(self, key: str) -> FileStore:
        """Return the store of another grant: a file in the same folder whose name contains *key*."""
        other = FileStore(self._path.with_name(f"{self._path.stem}.{check_key(key)}{self._path.suffix}"))
        other._records = self._records.named(other._path.name)
        other._planted = other._planted or self._planted
        return other

    def load(self) -> Token | None:
        """Return the token; `StoreError` if the file cannot be read, is damaged or belongs to another user."""
        return self._records.read(self._record(), self._path)

    def save(self, token: Token) -> None:
        """Replace the stored token; a damaged record is kept as `….1.damaged`, and so on."""
        former = self._record()
        record = self._records.write(token, former)
        with self._temporary_file(record) as temporary:
            if former is not None and self._records.is_damaged(former):
                with suppress(FileNotFoundError):  # somebody has removed it meanwhile
                    self._path.replace(self._unused_name())
            temporary.replace(self._path)
            self._sync_folder()
            self._remove_leftovers()

    def delete(self) -> None:
        """Remove the file; the lock file stays, and so do damaged records that were kept."""
        self._check_way()
        with store_errors(self._path, "removed", "repair its folder"), suppress(FileNotFoundError):
            with private_file(self._path, "r+b"):
                pass  # another user's file must not be removed, nor one without write permission
            self._path.unlink()
            self._sync_folder()
        self._remove_leftovers()

    @contextmanager
    def lock(self, timeout: float) -> Generator[None]:
        """
        Exclude all other threads and processes of this machine.

        Raises:
            TimeoutError: Another holds the lock for *timeout* seconds.

            StoreError: The file cannot be locked, or no record could be saved. So nobody spends a refresh token whose
                successor could not be saved.
        """
        self._check_way()
        path = self._path.with_name(f"{self._path.name}.lock")
        with store_errors(path, "locked", "repair it"), suppress(FileNotFoundError), private_file(path, "rb"):
            pass
        with lock_file(path, timeout):
            with self._temporary_file(Secret(PROBE)):
                self._remove_leftovers()
            yield

    def _record(self) -> Secret | None:
        self._check_way()
        errors = store_errors(self._path, "read", "repair it")
        with errors, suppress(FileNotFoundError), private_file(self._path, "rb") as file:
            return Secret(file.read(LARGEST_RECORD + 1).decode("utf-8", errors="surrogateescape"))
        return None

    def _check_way(self) -> None:
        if planted := self._planted or resolve(self._path)[1]:
            raise StoreError(
                f"{planted} belongs to another user, in a folder where everybody can write, and may lead elsewhere; "
                "choose another folder"
            )

    @contextmanager
    def _temporary_file(self, content: Secret) -> Generator[Path]:
        """Write *content* to a file beside the record, and to the disk; remove that file unless it was renamed."""
        with store_errors(self._path, "written", "repair its folder"), ExitStack() as stack:
            make_private_folder(self._path.parent)
            warn_of_shared_folder(self._path.parent)
            with suppress(FileNotFoundError), private_file(self._path, "r+b"):
                pass  # a file without write permission must not be replaced either
            handle, name = tempfile.mkstemp(".new", f".{self._path.name}.", dir=self._path.parent)  # with mode 0600
            stack.callback(Path(name).unlink, missing_ok=True)
            with os.fdopen(handle, "wb") as file:
                file.write(content.reveal().encode())
                file.flush()
                os.fsync(file.fileno())
            yield Path(name)

    def _unused_name(self) -> Path:
        names = (Path(f"{self._path}.{number}.damaged") for number in count(1))
        return next(name for name in names if not name.exists())

    def _remove_leftovers(self) -> None:
        """Remove the temporary files of writers that were killed: there are tokens in them."""
        for path in self._path.parent.glob(f".{escape(self._path.name)}.*.new"):
            with suppress(OSError):  # another process may remove it at the same time
                if path.stat().st_mtime < time.time() - LEFTOVER_AGE:
                    path.unlink()

    def _sync_folder(self) -> None:
        """Write the folder to the disk too, before anybody uses the new token: the old one may be spent."""
        with suppress(OSError):  # Windows cannot open folders, and some file systems cannot sync them
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
