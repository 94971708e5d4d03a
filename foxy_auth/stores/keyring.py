"""A store in the operating system's keyring: for programs on somebody's own computer."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foxy_auth.errors import StoreError
from foxy_auth.stores._errors import store_errors
from foxy_auth.stores._file_lock import lock_file
from foxy_auth.stores._records import Records, check_key
from foxy_auth.token import Token

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

# Windows stores 2,560 bytes (CRED_MAX_CREDENTIAL_BLOB_SIZE), and a character takes two.
WINDOWS_LIMIT = 1280
ALTERNATIVE = "use FileStore(path, encryption_key=…), with a key that you keep elsewhere"


class KeyringStore:
    """
    Keeps the token as one secret in the keyring of the current user.

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

            ImportError: The package keyring is not installed.
        """
        if not all(isinstance(name, str) and name for name in (service, user)):
            raise ValueError("KeyringStore takes two names: of your program, and of the user whose grant it is")
        self._service = service
        self._user = user
        self._chosen = backend
        self._limit = limit
        self._lock_path = None if lock_path is None else Path(lock_path).expanduser().absolute()
        self._records = Records()
        self._backend()

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
            record = self._backend().get_password(self._service, self._user)
        return self._records.read(record, self._place)

    def save(self, token: Token) -> None:
        """Replace the stored token; a damaged record is kept under the user with `:damaged` appended."""
        with self._errors("written"):
            backend = self._backend()
            former = backend.get_password(self._service, self._user)
            record = self._records.write(token, former)
            limit = self._limit or (WINDOWS_LIMIT if _is_windows(backend) else len(record))
            if len(record) > limit:
                raise StoreError(f"{self._place}: the token takes {len(record)} characters of {limit}; {ALTERNATIVE}")
            if former is not None and self._records.is_damaged(former):
                backend.set_password(self._service, f"{self._user}:damaged", former)
            backend.set_password(self._service, self._user, record)

    def lock(self, timeout: float) -> AbstractContextManager[object]:
        """Exclude the other threads and processes of this user; `TimeoutError` after *timeout* seconds."""
        name = sha256(f"{self._service}\0{self._user}".encode()).hexdigest()[:16]
        return lock_file(self._lock_path or _state_folder() / f"keyring-{name}.lock", timeout)

    @property
    def _place(self) -> str:
        return f"the keyring entry of {self._user!r} at {self._service!r}"

    def _errors(self, action: str) -> AbstractContextManager[None]:
        return store_errors(self._place, action, f"unlock the keyring, or {ALTERNATIVE}")

    def _backend(self) -> Any:
        """Return the keyring backend; `StoreError` if it cannot keep a secret."""
        import keyring

        with self._errors("opened"):
            backend: Any = self._chosen or keyring.get_keyring()
            effective = _effective(backend)
        if effective is None:
            raise StoreError(f"there is no usable keyring; {ALTERNATIVE}")
        if _is_plain_text(effective):
            raise StoreError(
                f"the only keyring, {type(effective).__name__}, stores secrets in plain text; {ALTERNATIVE}"
            )
        return backend


def _effective(backend: Any) -> Any:
    """Return the backend that would store a secret, for a chain its first usable one; None if there is none."""
    if not hasattr(backend, "backends"):
        return None if type(backend).__module__ in {"keyring.backends.fail", "keyring.backends.null"} else backend
    usable: Any = filter(None, map(_effective, backend.backends))
    return next(usable, None)


def _is_plain_text(backend: Any) -> bool:
    """Tell whether *backend* is one of keyrings.alt that does not encrypt; their scheme is `no encyption` (sic)."""
    names = [kind.__name__.lower() for kind in type(backend).__mro__]
    return any("plaintext" in name for name in names) or str(getattr(backend, "scheme", "")).startswith("no enc")


def _is_windows(backend: Any) -> bool:
    return any(kind.__module__ == "keyring.backends.Windows" for kind in type(_effective(backend)).__mro__)


def _state_folder() -> Path:
    """Return the folder for programs' state; XDG_STATE_HOME is ignored, for cron and a desktop must share the lock."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "foxy_auth"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "foxy_auth"
    return Path.home() / ".local" / "state" / "foxy_auth"
