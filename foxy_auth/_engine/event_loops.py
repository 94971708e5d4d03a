"""
Event loops, asyncio's and trio's, as a thread sees them: let a task wait for a thread, and run a coroutine on a loop.

Nothing here outlives the call that it serves, so that one object can be used from many loops.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from contextvars import copy_context
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import Any, Protocol

# How often a thread that waits for a loop looks whether that loop is still there, in seconds. A loop that ends does not
# tell those who wait for it.
POLL = 0.05


class LoopUnavailableError(Exception):
    """The event loop has ended, or is blocked by somebody who waits for what was to run on it."""


class Awaited(Protocol):
    """What a task can wait for."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call *callback* when it is done, in any thread."""
        ...


class Loop(Protocol):
    """An event loop that a caller was running when it asked for a token."""

    async def wait(self, future: Awaited, timeout: float) -> None:  # noqa: ASYNC109 - each loop has its own way
        """Wait until *future* is done, *timeout* seconds at most."""
        ...

    def submit(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Future[None]:
        """Start *work* on the loop, from another thread; `LoopUnavailableError` if the loop has ended."""
        ...

    def ended(self) -> bool:
        """Tell whether the loop has ended."""
        ...

    def run_another(self, awaitable: Awaitable[object]) -> None:
        """Await *awaitable* in the present thread, in a new loop of the same kind."""
        ...


def running_loop() -> Loop:
    """Return the loop of the present thread; `RuntimeError` if there is none."""
    # Another thread may be in the middle of importing them.
    trio, asyncio = sys.modules.get("trio.lowlevel"), sys.modules.get("asyncio")
    if trio is not None and getattr(trio, "in_trio_task", bool)():
        return _Trio(sys.modules["trio"])
    if asyncio is None or not hasattr(asyncio, "get_running_loop"):
        raise RuntimeError("no running event loop")
    return _Asyncio(asyncio)


def on_loop() -> bool:
    """Tell whether the present thread is running an event loop."""
    try:
        running_loop()
    except RuntimeError:
        return False
    return True


def run_on(loop: Loop, awaitable: Awaitable[object], *, blocked: Callable[[], bool]) -> None:
    """
    Await *awaitable* on *loop*, which runs in another thread.

    Args:
        loop: The loop.

        awaitable: What to await; it is closed if it has not begun.

        blocked: Tells whether somebody blocks *loop* who waits for *awaitable*.

    Raises:
        LoopUnavailableError: The loop has ended before *awaitable* has, or is blocked.
    """
    given_up = False

    async def unless_given_up() -> None:
        if not given_up:
            await awaitable

    try:
        running = loop.submit(unless_given_up)
        while not running.done() and not loop.ended() and not blocked():
            wait_for([running], POLL)
        given_up = not running.done()
        if given_up:
            running.cancel()
        running.result(timeout=0)
    except CancelledError:
        raise LoopUnavailableError from None
    finally:
        close_unawaited(awaitable)


def close_unawaited(awaitable: Awaitable[object]) -> None:
    """Close a coroutine that has not begun: Python would complain that nobody awaited it."""
    if iscoroutine(awaitable) and getcoroutinestate(awaitable) == CORO_CREATED:
        awaitable.close()


def run_in_new_loop(awaitable: Awaitable[object], *, like: Loop | None) -> None:
    """Await *awaitable* in a new loop in the present thread, of the kind of *like*; by default asyncio's."""
    if like is None:
        import asyncio

        asyncio.run(_await(awaitable))
    else:
        like.run_another(awaitable)


async def _await(awaitable: Awaitable[object]) -> None:
    await awaitable


class _Asyncio:
    def __init__(self, asyncio: Any) -> None:
        self._asyncio = asyncio
        self._loop = asyncio.get_running_loop()

    async def wait(self, future: Awaited, timeout: float) -> None:  # noqa: ASYNC109
        done = self._asyncio.Event()

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it everybody who waited there
                self._loop.call_soon_threadsafe(done.set)

        future.add_done_callback(wake)
        with suppress(TimeoutError):  # the caller looks whether the future is done
            async with self._asyncio.timeout(timeout):
                await done.wait()

    def submit(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Future[None]:
        coroutine = work()

        def close(_: object = None) -> None:
            if self._loop.is_closed():  # and has never begun it
                coroutine.close()

        try:
            running: Future[None] = self._asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            close()
            raise LoopUnavailableError from None
        running.add_done_callback(close)
        return running

    def ended(self) -> bool:
        return bool(self._loop.is_closed())

    def run_another(self, awaitable: Awaitable[object]) -> None:
        self._asyncio.run(_await(awaitable))


class _Trio:
    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()

    async def wait(self, future: Awaited, timeout: float) -> None:  # noqa: ASYNC109
        done = self._trio.Event()

        def wake(_: object) -> None:
            with suppress(self._trio.RunFinishedError):  # the loop has ended, and with it everybody who waited there
                self._token.run_sync_soon(done.set)

        future.add_done_callback(wake)
        with self._trio.move_on_after(timeout):
            await done.wait()

    def submit(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Future[None]:
        running: Future[None] = Future()
        context = copy_context()  # as asyncio does of itself
        spawn = self._trio.lowlevel.spawn_system_task
        try:
            self._token.run_sync_soon(lambda: spawn(self._run, work, running, context=context))
        except self._trio.RunFinishedError:
            raise LoopUnavailableError from None
        return running

    async def _run(self, work: Callable[[], Coroutine[Any, Any, None]], running: Future[None]) -> None:
        """Do *work* and tell *running* how it ended; an error that escaped would end the whole loop."""
        if not running.set_running_or_notify_cancel():
            return
        try:
            await work()
        except self._trio.Cancelled:
            running.set_exception(CancelledError())
            raise
        except Exception as error:  # noqa: BLE001 - raised to whoever waits
            running.set_exception(error)
        else:
            running.set_result(None)

    def ended(self) -> bool:
        try:
            self._token.run_sync_soon(lambda: None)
        except self._trio.RunFinishedError:
            return True
        return False

    def run_another(self, awaitable: Awaitable[object]) -> None:
        self._trio.run(_await, awaitable)
