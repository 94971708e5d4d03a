"""A store in the operating system's keyring: for programs on somebody's desk."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from foxy_auth._engine.threads import started
from foxy_auth.errors import StoreError
from foxy_auth.stores._file_lock import locked_file, require_filelock
from foxy_auth.stores._records import Records, check_key
from foxy_auth.token import Token

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

TIMEOUT = 10.0
# What Windows keeps of one secret: 2,560 bytes, and a character takes two (CRED_MAX_CREDENTIAL_BLOB_SIZE).
WINDOWS_LIMIT = 1280
INSTEAD = "use FileStore(path, key=…), which encrypts by a key that you keep elsewhere"


class KeyringStore:
    """
    Keeps the token in the keyring of the user who is logged in, as one secret.

    A keyring may ask its user to be unlocked, and may never answer where nobody sits; so each call has a deadline.
    A keyring has no lock: a lock file stands beside it, which keeps out the other processes of this user.
    """

    def __init__(
        self,
        service: str,
        user: str,
        *,
        backend: KeyringBackend | None = None,
        timeout: float = TIMEOUT,
        lock_path: str | os.PathLike[str] | None = None,
        limit: int | None = None,
    ) -> None:
        """
        Keep the record as the password of *user* at *service*.

        Args:
            service: Your program's name.

            user: Whose grant; another for each.

            backend: Another than the one that the package keyring chooses.

            timeout: Seconds that a call to the keyring may take, unlocking included.

            lock_path: The lock file, and with a key behind its name that of `for_key`; by default in the folder where
                the user's programs keep their state.

            limit: The longest record in characters; by default 1,280 with Windows' keyring, which keeps no more.

        Raises:
            ValueError: *service* or *user* is no name.

            StoreError: There is no keyring that could be used, or it would keep secrets in plain text.

            ImportError: The packages keyring and filelock are not installed.
        """
        require_filelock()
        if not all(isinstance(name, str) and name for name in (service, user)):
            raise ValueError("KeyringStore takes two names: of your program, and of the user whose grant it is")
        self._service = service
        self._user = user
        self._chosen = backend
        self._timeout = timeout
        self._limit = limit
        self._lock_path = None if lock_path is None else Path(lock_path).expanduser().absolute()
        self._records = Records()
        _ = self._backend

    def for_key(self, key: str) -> KeyringStore:
        """Return the store of another grant: the same user, a slash and *key*."""
        other = KeyringStore.__new__(KeyringStore)
        lock_path = self._lock_path and self._lock_path.with_name(f"{self._lock_path.name}.{check_key(key)}")
        other.__dict__.update(vars(self), _user=f"{self._user}/{check_key(key)}", _lock_path=lock_path)
        return other

    def load(self) -> Token | None:
        """Return the token; `StoreError` if the keyring does not give it or it is damaged. It stays there then."""
        return self._records.loaded(self._record(), self._place)

    def save(self, token: Token) -> None:
        """Put *token* in the place of the former; a damaged record is kept aside, with `:damaged` behind its user."""
        former = self._record()
        record = self._records.written(token, former)
        limit = self._limit or (WINDOWS_LIMIT if _of_windows(self._backend) else None)
        if limit is not None and len(record) > limit:
            raise StoreError(f"{self._place}: this token takes {len(record)} characters of {limit}; {INSTEAD}")
        if former is not None and self._records.damaged(former):
            self._write(f"{self._user}:damaged", former)
        self._write(self._user, record)

    def lock(self, timeout: float) -> AbstractContextManager[object]:
        """Keep the other processes of this user out; `TimeoutError` after *timeout* seconds."""
        name = sha256(f"{self._service}\0{self._user}".encode()).hexdigest()[:16]
        return locked_file(self._lock_path or _state_folder() / f"keyring-{name}.lock", timeout)

    @property
    def _place(self) -> str:
        return f"the keyring's entry of {self._user!r} at {self._service!r}"

    @property
    def _backend(self) -> Any:
        """The keyring's backend, if it is one that can keep a secret."""

        def choose() -> Any:
            import keyring

            chosen = self._chosen or keyring.get_keyring()
            return chosen, _effective(chosen)

        backend, effective = self._within("be opened", choose)
        if effective is None:
            raise StoreError(f"there is no keyring to keep a token in; {INSTEAD}")
        if _plain(effective):
            raise StoreError(f"the only keyring, {_name(effective)}, keeps secrets in plain text; {INSTEAD}")
        return backend

    def _record(self) -> str | None:
        backend = self._backend
        record: object = self._within("be read", lambda: backend.get_password(self._service, self._user))
        return None if record is None else str(record)

    def _write(self, user: str, record: str) -> None:
        backend = self._backend
        self._within("be written", lambda: backend.set_password(self._service, user, record))

    def _within(self, done: str, work: Callable[[], T]) -> T:
        """Do *work* in a thread that nobody has to wait for; tell whatever goes wrong as an error of the store."""
        outcome = started(work, name="foxy-auth-keyring")
        wait_for([outcome], self._timeout)
        if not outcome.done():
            raise StoreError(f"{self._place} cannot {done} in {self._timeout:g} s; unlock the keyring, or {INSTEAD}")
        if (error := outcome.exception()) is not None:
            kind = type(error).__name__
            raise StoreError(f"{self._place} cannot {done} ({kind}); unlock the keyring, or {INSTEAD}") from error
        return outcome.result()


def _effective(backend: Any) -> Any:
    """Return the backend that would keep a secret: the first of a chain; None where there is none."""
    if not hasattr(backend, "backends"):
        return None if type(backend).__module__ in {"keyring.backends.fail", "keyring.backends.null"} else backend
    chain = [link for link in map(_effective, backend.backends) if link is not None]
    return chain[0] if chain else None


def _plain(backend: Any) -> bool:
    names = [kind.__name__.lower() for kind in type(backend).__mro__]
    return any("plaintext" in name for name in names) or str(getattr(backend, "scheme", "")).startswith("no enc")


def _of_windows(backend: Any) -> bool:
    return any(kind.__module__ == "keyring.backends.Windows" for kind in type(_effective(backend)).__mro__)


def _name(backend: Any) -> str:
    return f"{type(backend).__module__}.{type(backend).__name__}"


def _state_folder() -> Path:
    """Return where the user's programs keep their state, whoever starts them, be it cron: or the lock would be none."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "foxy_auth"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "foxy_auth"
    return Path.home() / ".local" / "state" / "foxy_auth"
