"""A store in memory: for tests, and for several auth objects of one process that share a grant."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from os import getpid
from threading import Lock
from typing import Any

from foxy_auth.stores._records import check_key
from foxy_auth.token import Token


class MemoryStore:
    """Keeps the token as long as the process lives."""

    def __init__(self, token: Token | None = None) -> None:
        """Begin with *token*, if there is one."""
        self._token = token
        self._locks = {getpid(): Lock()}
        self._others: dict[str, MemoryStore] = {}

    def for_key(self, key: str) -> MemoryStore:
        """Return the store of another grant: the same one for the same *key*."""
        return self._others.setdefault(check_key(key), MemoryStore())

    def __getstate__(self) -> dict[str, Any]:
        """Take the token along; what then becomes of it here and there is not shared."""
        return {"_token": self._token, "_locks": {}, "_others": self._others}

    def load(self) -> Token | None:
        """Return the token, if there is one."""
        return self._token

    def save(self, token: Token) -> None:
        """Put *token* in the place of the former."""
        self._token = token

    def lock(self, timeout: float) -> AbstractContextManager[object]:
        """Keep the other threads of this process out; `TimeoutError` after *timeout* seconds."""
        return held(self._locks.setdefault(getpid(), Lock()), timeout)  # a forked child has a copy of its own


@contextmanager
def held(lock: Lock, timeout: float) -> Generator[None]:
    """Hold *lock*; `TimeoutError` if another thread holds it for *timeout* seconds."""
    if not lock.acquire(timeout=timeout):
        raise TimeoutError("another thread holds the lock")
    try:
        yield
    finally:
        lock.release()
