"""A store in memory: for tests, and for several auth objects of one process that share a grant."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from os import getpid
from threading import Lock
from typing import Any

from foxy_auth._secrets import guarded_class
from foxy_auth.stores._records import check_key, check_saved
from foxy_auth.token import Token


@guarded_class
class MemoryStore:
    """
    Keeps the token as long as the process lives.

    A forked child and a pickle get a copy, which is independent from then on.
    """

    def __init__(self, token: Token | None = None) -> None:
        """Start with *token*, if it is given."""
        self._token = token
        self._locks = {getpid(): Lock()}
        self._others: dict[str, MemoryStore] = {}

    def for_key(self, key: str) -> MemoryStore:
        """Return the store of another grant: the same store for the same *key*."""
        return self._others.setdefault(check_key(key), MemoryStore())

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the locks, which cannot be pickled."""
        return {**vars(self), "_locks": {}}

    def load(self) -> Token | None:
        """Return the token, or None if there is none."""
        return self._token

    def save(self, token: Token) -> None:
        """Replace the token."""
        check_saved(token)
        self._token = token

    def delete(self) -> None:
        """Forget the token."""
        self._token = None

    @contextmanager
    def lock(self, timeout: float) -> Generator[None]:
        """Exclude the other threads of this process; `TimeoutError` after *timeout* seconds."""
        lock = self._locks.setdefault(getpid(), Lock())
        if not lock.acquire(timeout=timeout):
            raise TimeoutError("another thread holds the lock")
        try:
            yield
        finally:
            lock.release()
