"""Errands: work with something that may hang, such as a store, which nobody has to wait for longer than makes sense."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Generic, TypeVar

from foxy_auth.errors import StoreError

T = TypeVar("T")


class Errand(Generic[T]):
    """
    Work in a thread of its own, all of it in the same one, that says how long each of its steps may take.

    Whoever waits gives up when a step takes longer. The thread is a daemon, so that the program can end then.
    """

    def __init__(self, work: Callable[[Errand[T]], T]) -> None:
        """Prepare *work*, which is called with this object."""
        self._work = work
        self._done = Event()
        self._given_up = False
        self._due_at = 0.0
        self._outcome: T | None = None
        self._error: BaseException | None = None

    def step(self, seconds: float) -> None:
        """
        Begin a step that takes so many *seconds* at most.

        Raises:
            StoreError: Nobody waits any more, and nothing is settled yet: stop.
        """
        self._due_at = time.monotonic() + seconds
        if self._given_up and self._outcome is None:
            raise StoreError("the store has answered too late")

    def settle(self, outcome: T) -> None:
        """Let *outcome* be what comes of it, even if the rest hangs."""
        self._outcome = outcome

    def let_go(self) -> None:
        """Have nobody wait any longer, now that the outcome is settled."""
        self._done.set()

    def run(self, first: float) -> T:
        """
        Do the work, whose *first* step takes so many seconds at most, and return what comes of it.

        Raises:
            StoreError: A step takes too long.
        """
        self._due_at = time.monotonic() + first
        try:
            Thread(target=self._run, name="foxy-auth-store", daemon=True).start()
        except RuntimeError:  # the interpreter is ending, or out of threads
            self._run()
        while not self._done.wait(max(0.0, self._due_at - time.monotonic())):
            if time.monotonic() >= self._due_at:
                self._given_up = True
                break
        if self._error is not None:
            raise self._error
        if self._outcome is None:
            raise StoreError("the store does not answer; look after it, and whether something holds its lock for ever")
        return self._outcome

    def _run(self) -> None:
        try:
            self._outcome = self._work(self)
        except BaseException as error:  # noqa: BLE001 - raised to who waits
            self._error = error
        finally:
            self._done.set()
