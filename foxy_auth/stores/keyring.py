"""A store in the operating system's keyring: for programs on somebody's own computer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foxy_auth._libraries import check_installed
from foxy_auth._secrets import Secret, guarded_class
from foxy_auth.errors import StoreError
from foxy_auth.stores._errors import store_errors
from foxy_auth.stores._file_lock import lock_file
from foxy_auth.stores._records import Records, check_key
from foxy_auth.token import Token

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

# Windows stores 2,560 bytes (CRED_MAX_CREDENTIAL_BLOB_SIZE), and a character takes two.
WINDOWS_LIMIT = 1280
UNUSABLE = {"keyring.backends.fail", "keyring.backends.null"}
ALTERNATIVE = "use FileStore(path, encryption_key=…), with a key that you keep elsewhere"


@guarded_class
class KeyringStore:
    """
    Keeps the token as one secret in the keyring of the current user.

    Of a chain of keyrings only those are used that encrypt. Whether one does, its name and its scheme say, and those of
    the keyrings that it wraps. One of your own that stores plain text without saying so is not noticed.

    A keyring has no lock: a lock file excludes the other processes of this user.

    A locked keyring may ask its user for a password, and where nobody is there to type it, `load` and `save` may never
    return. `FoxyAuth` gives up waiting for them after its deadline; a program that calls them directly waits.
    """

    def __init__(
        self,
        service: str,
        user: str,
        *,
        backend: KeyringBackend | None = None,
        lock_path: str | os.PathLike[str] | None = None,
        limit: int | None = None,
    ) -> None:
        """
        Keep the record as the password of *user* at *service*.

        Args:
            service: Your program's name.

            user: Whose grant; a different one for each grant.

            backend: The keyring backend; by default the one that the package keyring chooses.

            lock_path: The lock file, for `for_key` with the key appended; by default in the folder where the user's
                programs keep their state.

            limit: The longest record in characters; by default 1,280 for the keyring of Windows, which stores no more.

        Raises:
            ValueError: *service* or *user* is empty or not text.

            StoreError: There is no usable keyring, or it would store secrets in plain text.

            ImportError: The package keyring or filelock is not installed.
        """
        for library in ("keyring", "filelock"):
            check_installed(library, needed_by="KeyringStore", extra="keyring")
        if not all(isinstance(name, str) and name for name in (service, user)):
            raise ValueError("KeyringStore takes two names: of your program, and of the user whose grant it is")
        self._service = service
        self._user = user
        self._chosen = backend
        self._limit = limit
        self._lock_path = None if lock_path is None else Path(lock_path).expanduser().absolute()
        self._records = Records()
        self._backends()

    def for_key(self, key: str) -> KeyringStore:
        """Return the store of another grant: this one's user, a slash and *key*."""
        other = copy(self)
        other._user = f"{self._user}/{check_key(key)}"  # noqa: SLF001 - our own class
        if self._lock_path is not None:
            other._lock_path = self._lock_path.with_name(f"{self._lock_path.name}.{key}")  # noqa: SLF001
        return other

    def load(self) -> Token | None:
        """Return the token; `StoreError` if the keyring refuses it or it is damaged."""
        with self._errors("read"):
            record = self._get(self._backends())
        return self._records.read(record, self)

    def save(self, token: Token) -> None:
        """Replace the stored token; a damaged record is kept under the user with `:damaged` appended."""
        with self._errors("written"):
            backends = self._backends()
            former = self._get(backends)
            record = self._records.write(token, former)
            length = len(record.reveal())
            limit = self._limit or (WINDOWS_LIMIT if any(map(_is_windows, backends)) else length)
            if length > limit:
                raise StoreError(f"{self}: the token takes {length} characters of {limit}; {ALTERNATIVE}")
            if former is not None and self._records.is_damaged(former):
                self._set(backends, f"{self._user}:damaged", former)
            self._set(backends, self._user, record)

    def delete(self) -> None:
        """Remove the entry from every keyring that has it; a damaged record that was kept stays."""
        with self._errors("removed"):
            for backend in self._backends():
                if self._get([backend]) is not None:
                    backend.delete_password(self._service, self._user)

    def lock(self, timeout: float) -> AbstractContextManager[object]:
        """Exclude the other threads and processes of this user; `TimeoutError` after *timeout* seconds."""
        name = sha256(f"{self._service}\0{self._user}".encode()).hexdigest()[:16]
        return lock_file(self._lock_path or _state_folder() / f"keyring-{name}.lock", timeout)

    def __str__(self) -> str:
        """Name the entry."""
        return f"the keyring entry of {self._user!r} at {self._service!r}"

    def _errors(self, action: str) -> AbstractContextManager[None]:
        return store_errors(self, action, f"unlock the keyring, or {ALTERNATIVE}")

    def _backends(self) -> list[Any]:
        """
        Return the backends that may store the token, in the order of the chain; `StoreError` if there are none.

        They are used one by one and not through the chain, which would go on to one in plain text if the others store
        nothing.
        """
        import keyring

        with self._errors("opened"):
            usable = list(_links(self._chosen or keyring.get_keyring()))
            safe = [backend for backend in usable if not _is_plain_text(backend)]
        if not usable:
            raise StoreError(f"there is no usable keyring; {ALTERNATIVE}")
        if not safe:
            raise StoreError(
                f"the only keyring, {type(usable[0]).__name__}, stores secrets in plain text; {ALTERNATIVE}"
            )
        return safe

    def _get(self, backends: list[Any]) -> Secret | None:
        for backend in backends:
            with suppress(NotImplementedError):
                password = backend.get_password(self._service, self._user)
                if password is not None:
                    return Secret(password)
        return None

    def _set(self, backends: list[Any], user: str, record: Secret) -> None:
        for backend in backends:
            with suppress(NotImplementedError):  # some only know secrets that come from elsewhere
                backend.set_password(self._service, user, record.reveal())
                return
        raise StoreError(f"no keyring that encrypts stores {self}; {ALTERNATIVE}")


def _links(backend: Any) -> Iterator[Any]:
    """Yield the usable backends of a chain and of the chains in it; the backend itself if it is no chain."""
    if hasattr(backend, "backends"):
        for link in backend.backends:
            yield from _links(link)
    elif UNUSABLE.isdisjoint(kind.__module__ for kind in type(backend).__mro__):
        yield backend


def _is_plain_text(backend: Any) -> bool:
    """Tell whether *backend*, or one that it uses, does not encrypt; older ones of keyrings.alt say `no encyption`."""
    from keyring.backend import Crypter, KeyringBackend

    kinds = type(backend).__mro__
    names = " ".join(kind.__name__.lower() for kind in kinds)
    if "plaintext" in names or "nullcrypter" in names or str(getattr(backend, "scheme", "")).startswith("no enc"):
        return True
    parts = [part for owner in (backend, *kinds) for part in vars(owner).values()]
    used = [part for part in parts if isinstance(part, KeyringBackend | Crypter)]
    return any(_is_plain_text(link) for part in used for link in _links(part))


def _is_windows(backend: Any) -> bool:
    return any(kind.__module__ == "keyring.backends.Windows" for kind in type(backend).__mro__)


def _state_folder() -> Path:
    """Return the folder for programs' state; XDG_STATE_HOME is ignored, for cron and a desktop must share the lock."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "foxy_auth"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "foxy_auth"
    return Path.home() / ".local" / "state" / "foxy_auth"
