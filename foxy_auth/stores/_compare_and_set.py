"""What `RedisStore` and `SQLAlchemyStore` share: a record is replaced only if it is still the one that was read."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from threading import get_ident
from typing import Any, NamedTuple, Self

from foxy_auth._events import logger
from foxy_auth._secrets import Secret, guarded_class
from foxy_auth.errors import StoreError
from foxy_auth.stores._errors import store_errors
from foxy_auth.stores._records import Records, check_key
from foxy_auth.token import Token

ATTEMPTS = 5  # to save without the lock, while others save too
LONGEST_NAME = 190  # characters; MySQL indexes 255, and suffixes need room


class Stored(NamedTuple):
    """A record as it was read from the server, and what tells it from an earlier or later one."""

    record: Secret
    version: Any


def stored_record(value: str | bytes) -> Secret:
    """Return the record that a server has sent as text or bytes; lone surrogates stand for bytes that are not UTF-8."""
    return Secret(value.decode("utf-8", errors="surrogateescape") if isinstance(value, bytes) else value)


@guarded_class
class CompareAndSetStore(ABC):
    """
    Keeps the token on a server that others write to as well.

    A holder that lost the lock, because its lease ran out or its connection broke, does not know that yet. So every
    write names the version that it replaces, and the server refuses it if there is another one by now. For the holder
    of the lock, that is the version that it read last, or found when it acquired the lock.
    """

    _advice = "check the server"

    def __init__(self, key: str, records: Records) -> None:
        self._key = _check_name(key)
        self._records = records.named(key)
        # What each holder of the lock knows of the record, by process and thread: a forked child inherits this object
        # but not the lock.
        self._seen: dict[tuple[int, int], Stored | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_seen": {}}

    def for_key(self, key: str) -> Self:
        """Return the store of another grant in the same place: the name of this one's record, a slash and *key*."""
        other = copy(self)
        other._key = _check_name(f"{self._key}/{check_key(key)}")  # noqa: SLF001 - our own class
        other._records = self._records.named(other._key)  # noqa: SLF001
        return other

    def load(self) -> Token | None:
        """Return the token; `StoreError` if the server cannot be reached or the record is damaged."""
        with self._errors("read"):
            seen = self._read()
        if _holder() in self._seen:
            self._seen[_holder()] = seen
        return self._records.read(seen.record if seen else None, self)

    def save(self, token: Token) -> None:
        """
        Replace the stored token; a damaged record is kept under the same name with `:damaged` appended.

        Raises:
            StoreError: The server cannot be reached, or somebody else has saved since this holder lost the lock.
        """
        has_lock = _holder() in self._seen
        with self._errors("written"):
            for _ in range(1 if has_lock else ATTEMPTS):
                written = self._replace(self._seen[_holder()] if has_lock else self._read(), token)
                if written is not None:
                    if has_lock:
                        self._seen[_holder()] = written
                    return
            there = self._read()
        if there is None or self._records.read(there.record, self) != token:  # or a thread without lock has saved it
            raise StoreError(f"{self}: somebody else has saved a newer token, or removed it; load again")

    def delete(self) -> None:
        """Remove the record, whoever has written it; one that was damaged and kept stays."""
        with self._errors("removed"):
            self._delete()
        if _holder() in self._seen:
            self._seen[_holder()] = None

    @contextmanager
    def lock(self, timeout: float) -> Generator[None]:
        """
        Exclude all others who use the same record.

        Raises:
            TimeoutError: Another holds the lock for *timeout* seconds.

            StoreError: The server cannot be reached.
        """
        holder = _holder()
        with self._errors("locked"):
            release = self._acquire(timeout)
        try:
            with self._errors("read"):
                self._seen[holder] = self._read()
            yield
        finally:
            self._seen.pop(holder, None)
            if holder[0] == os.getpid():  # a forked child does not have the lock
                self._release(release)

    def _release(self, release: Callable[[], object]) -> None:
        """Release the lock; a failure does not undo what was saved, and the server frees the lock by itself."""
        try:
            release()
        except Exception as error:  # noqa: BLE001
            logger.warning("the lock of %s was not released (%s)", self, type(error).__name__)

    def _replace(self, seen: Stored | None, token: Token) -> Stored | None:
        if seen is not None and self._records.is_damaged(seen.record):
            self._put_aside()
            seen = self._read()
        return self._write(self._records.write(token, seen.record if seen else None), seen)

    def _errors(self, action: str) -> AbstractContextManager[None]:
        return store_errors(self, action, self._advice)

    # --- what differs between servers ---------------------------------------------------------------------------------

    @abstractmethod
    def __str__(self) -> str:
        """Say where the record is; errors begin with it."""

    @abstractmethod
    def _read(self) -> Stored | None:
        """Return the record, or None if there is none."""

    @abstractmethod
    def _write(self, record: Secret, seen: Stored | None) -> Stored | None:
        """Replace what was *seen* by *record*, and return that as `_read` would; None if something else is there."""

    @abstractmethod
    def _delete(self) -> None:
        """Remove the record, if there is one."""

    @abstractmethod
    def _put_aside(self) -> None:
        """Rename the damaged record."""

    @abstractmethod
    def _acquire(self, timeout: float) -> Callable[[], object]:
        """Acquire the lock and return the function that releases it; `TimeoutError` if another holds it."""


def _check_name(name: str) -> str:
    """Return *name* if every server keeps it as it is; raise `ValueError` otherwise."""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name.strip()) == len(name) <= LONGEST_NAME:
        raise ValueError(f"key takes up to {LONGEST_NAME} printable characters without whitespace around them")
    return name


def _holder() -> tuple[int, int]:
    return os.getpid(), get_ident()


class ClientFactory:
    """
    Gives a store its client or engine: the one that the user passed, or one made by the user's function.

    The function is called when the client is first needed. All stores of `for_key` share the client, and a pickle takes
    the function along.

    Attributes:
        made: The client; None before it was needed.
    """

    def __init__(self, source: Any, prepare: Callable[[Any], Any]) -> None:
        """
        Take a client, or a function that makes one, as *source*.

        Args:
            source: What the user passed.

            prepare: Returns what the store uses; raises `TypeError` or `ValueError` if it is not a usable client.
        """
        self._source = source
        self._prepare = prepare
        self.made = None if callable(source) else prepare(source)

    def __reduce__(self) -> tuple[Any, ...]:
        if not callable(self._source):
            kind = type(self._source).__name__
            raise TypeError(f"this store cannot be pickled with its {kind}; give it a function that makes the {kind}")
        return ClientFactory, (self._source, self._prepare)

    def get(self) -> Any:
        """Return the client."""
        if self.made is None:  # two threads may each make one; that does no harm
            made = self._source()
            try:
                self.made = self._prepare(made)
            except (TypeError, ValueError, ImportError) as error:
                raise StoreError(str(error)) from None
        return self.made
