"""
Event loops as a thread sees them: let a task wait for a thread's work, and run a coroutine on a caller's loop.

asyncio and trio are served alike.
Nothing here outlives the call it serves, so that one object can be used from many loops, at once or one after another.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import wraps
from math import inf
from typing import Any, ParamSpec, Protocol, TypeVar

from foxy_auth._engine.threads import started

T = TypeVar("T")
P = ParamSpec("P")
Work = Callable[[], Awaitable[object]]

# How often a thread that waits for a loop looks whether that loop is still there, in seconds.
# A loop that ends says nothing to those who wait for it.
GLANCE = 0.05


class Loop(Protocol):
    """An event loop that a caller was running when it asked for a token."""

    async def wait(self, future: Future[Any], timeout: float | None) -> None:  # noqa: ASYNC109 - each loop has its own way
        """Wait until *future* is done, *timeout* seconds at most (None: as long as it takes)."""
        ...

    def submit(self, work: Work) -> Future[None]:
        """Start *work* on the loop, from another thread; `RuntimeError` if the loop has ended."""
        ...

    def ended(self) -> bool:
        """Tell whether the loop has ended, so that nothing submitted to it will go on."""
        ...

    def run_anew(self, work: Work) -> None:
        """Run *work* in the present thread, in a new loop of the same kind."""
        ...


def running_loop() -> Loop:
    """Return the loop that the caller runs in; `RuntimeError` if it runs in none."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return _Trio(trio)
    return _Asyncio()


def on_loop() -> bool:
    """Tell whether the present thread is running an event loop."""
    try:
        running_loop()
    except RuntimeError:
        return False
    return True


def present_loop() -> Loop | None:
    """Return the loop that the present thread runs, or on behalf of which it works by `in_thread`."""
    return running_loop() if on_loop() else _callers_loop.get()


_callers_loop: ContextVar[Loop | None] = ContextVar("foxy_auth_callers_loop", default=None)


async def in_thread(work: Callable[[], T]) -> T:
    """Run *work* in a short thread without blocking the event loop; a cancelled caller does not cut it off."""
    loop = running_loop()

    def run() -> T:
        _callers_loop.set(loop)
        return work()

    landed = started(run, name="foxy-auth-work", daemon=False)
    await loop.wait(landed, None)
    return landed.result()


def twin(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the async twin of a *function* that does I/O: it does the same without blocking the event loop."""

    @wraps(function)
    async def awaited(*args: P.args, **kwargs: P.kwargs) -> T:
        return await in_thread(lambda: function(*args, **kwargs))

    awaited.__doc__ = f"Do what `{function.__name__}` does, without blocking the event loop, be it asyncio's or trio's."
    awaited.__name__ = f"a{function.__name__}"
    awaited.__qualname__ = function.__qualname__.removesuffix(function.__name__) + awaited.__name__
    return awaited


def run_on(loop: Loop | None, work: Work, *, hurried: Callable[[], bool]) -> None:
    """
    Run *work* to its end on *loop*, or where there is none, or it ends before, in a loop of its own.

    Args:
        loop: The loop to prefer, which must not run in the present thread.

        work: What to run; called once more where the first run was cut off.

        hurried: Tells that somebody who may be blocking *loop* now waits for *work*.
    """
    if loop is None:
        asyncio.run(_coroutine(work))
    elif not _ran(loop, work, hurried):
        loop.run_anew(work)


def _ran(loop: Loop, work: Work, hurried: Callable[[], bool]) -> bool:
    """Run *work* on *loop*; tell whether it came to its end there."""
    given_up = False

    async def unless_given_up() -> None:
        """Do not begin what runs elsewhere already, once a loop that was blocked goes on."""
        if not given_up:
            await work()

    try:
        running = loop.submit(unless_given_up)
    except RuntimeError:
        return False
    while True:
        try:
            running.result(GLANCE)
        except CancelledError:
            return False
        except TimeoutError:
            if running.done():  # the work's own TimeoutError
                raise
            if loop.ended() or hurried():
                given_up = True
                running.cancel()
                return False
        else:
            return True


async def _coroutine(work: Work) -> None:
    await work()


class _Asyncio:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def wait(self, future: Future[Any], timeout: float | None) -> None:  # noqa: ASYNC109
        landed = asyncio.Event()

        def wake(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it everybody who waited there
                self._loop.call_soon_threadsafe(landed.set)

        future.add_done_callback(wake)
        with suppress(TimeoutError):  # the caller looks whether the future is done
            async with asyncio.timeout(timeout):
                await landed.wait()

    def submit(self, work: Work) -> Future[None]:
        started = _coroutine(work)

        def tidy(_: object = None) -> None:
            """Close what a closed loop has never begun: Python would complain that nobody awaited it."""
            if self._loop.is_closed():
                started.close()

        try:
            running = asyncio.run_coroutine_threadsafe(started, self._loop)
        except RuntimeError:
            tidy()
            raise
        running.add_done_callback(tidy)
        return running

    def ended(self) -> bool:
        return self._loop.is_closed()

    def run_anew(self, work: Work) -> None:
        asyncio.run(_coroutine(work))


class _Trio:
    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()

    async def wait(self, future: Future[Any], timeout: float | None) -> None:  # noqa: ASYNC109
        landed = self._trio.Event()

        def wake(_: Future[Any]) -> None:
            with suppress(self._trio.RunFinishedError):  # the loop has ended, and with it everybody who waited there
                self._token.run_sync_soon(landed.set)

        future.add_done_callback(wake)
        with self._trio.move_on_after(inf if timeout is None else timeout):
            await landed.wait()

    def submit(self, work: Work) -> Future[None]:
        running: Future[None] = Future()
        context = copy_context()  # as asyncio does of itself
        spawn = self._trio.lowlevel.spawn_system_task
        self._token.run_sync_soon(lambda: spawn(self._report, work, running, context=context))
        return running

    async def _report(self, work: Work, running: Future[None]) -> None:
        """Run *work* and tell *running* how it ended; an error must not escape, for it would end the whole loop."""
        if not running.set_running_or_notify_cancel():
            return
        try:
            await work()
        except self._trio.Cancelled:
            running.set_exception(CancelledError())
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            running.set_exception(error)
        else:
            running.set_result(None)

    def ended(self) -> bool:
        try:
            self._token.run_sync_soon(lambda: None)
        except self._trio.RunFinishedError:
            return True
        return False

    def run_anew(self, work: Work) -> None:
        self._trio.run(_coroutine, work)
