"""What the stores on servers share: a record is replaced only as long as it is the one that was read."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from threading import get_ident
from typing import Any

from foxy_auth.errors import StoreError
from foxy_auth.stores._records import Records
from foxy_auth.token import Token

TRIES = 5  # of a save without the lock, while others write too


class ConditionalStore(ABC):
    """
    Keeps the token on a server that others write to as well.

    Whoever has lost the lock (a lease ran out, a connection broke) does not know that yet. So every write names the
    version of the record that it replaces, and the server refuses it when there is another: within the lock that is
    what the holder read last, or what was there when it got the lock.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        # By process and thread that hold the lock, or think so: the record as they know it. A fork takes the object
        # along, and not the lock.
        self._seen: dict[tuple[int, int], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_seen": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def load(self) -> Token | None:
        """Return the token; `StoreError` if the server cannot be reached or the record is damaged, which stays."""
        with self._reported("read"):
            seen = self._read()
        if _here() in self._seen:
            self._seen[_here()] = seen
        return self._records.loaded(self._text(seen), self._place)

    def save(self, token: Token) -> None:
        """
        Put *token* in the place of the former; a damaged record is kept aside, as `:damaged`.

        Raises:
            StoreError: The server cannot be reached, or somebody else has written since this holder lost the lock.
        """
        inside = _here() in self._seen
        with self._reported("written"):
            for _ in range(1 if inside else TRIES):
                written = self._replaced(self._seen[_here()] if inside else self._read(), token)
                if written is not None:
                    if inside:
                        self._seen[_here()] = written
                    return
        raise StoreError(f"{self._place}: somebody else has written a newer token meanwhile; load that one")

    @contextmanager
    def lock(self, timeout: float) -> Generator[None]:
        """Keep out all who use the same record; `TimeoutError` after *timeout* s, `StoreError` without a server."""
        here = _here()
        with self._guarded(timeout):
            with self._reported("read"):
                self._seen[here] = self._read()
            try:
                yield
            finally:
                del self._seen[here]

    def _replaced(self, seen: Any, token: Token) -> Any:
        former = self._text(seen)
        if former is not None and self._records.damaged(former):
            self._put_aside(seen)
            seen, former = self._read(), None
        return self._write(self._records.written(token, former), seen)

    @contextmanager
    def _reported(self, done: str) -> Generator[None]:
        """Tell whatever goes wrong as an error of the store."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise StoreError(f"{self._place} cannot be {done} ({kind}); look after the server") from error

    # --- what each server does in its own way ------------------------------------------------------------------------

    @property
    @abstractmethod
    def _place(self) -> str:
        """What errors call the record."""

    @abstractmethod
    def _read(self) -> Any:
        """Return the record together with its version."""

    @abstractmethod
    def _text(self, seen: Any) -> str | None:
        """Return the text of the record, None if there is none."""

    @abstractmethod
    def _write(self, record: str, seen: Any) -> Any:
        """Put *record* in the place of what was *seen*; return it as `_read` would, None if that was gone."""

    @abstractmethod
    def _put_aside(self, seen: Any) -> None:
        """Keep the damaged record elsewhere, so that its place is free."""

    @abstractmethod
    def _guarded(self, timeout: float) -> AbstractContextManager[object]:
        """Hold the lock."""


def _here() -> tuple[int, int]:
    return os.getpid(), get_ident()
