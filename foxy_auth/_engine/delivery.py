"""
Saving: hand every new token to the user's callback, in order, one at a time, and again after a failure (R19, R20).

Saving runs in a thread of its own.
Whoever brings a token waits for it, but only for so long; no lock is held meanwhile, so that a callback may be slow,
asynchronous, use the API with the very object that calls it, or raise.
"""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from inspect import isawaitable, iscoroutine
from threading import Event, Lock, Thread, Timer, current_thread
from typing import Any

from foxy_auth._engine.concurrency import Loop, run_on
from foxy_auth.errors import StoreError
from foxy_auth.token import Token

SPACING = 30.0  # seconds between two attempts to save the same token
# For how long a store that fails is tried again under its lock, in timeouts: a server started anew is back by then.
PERSISTENCE = 2
PAUSE = 0.25  # seconds between two of these attempts

logger = logging.getLogger("foxy_auth")

# The call of a callback that the present code is part of. It goes along onto the event loop that an async one runs on.
_present_call: ContextVar[object] = ContextVar("foxy_auth_present_call", default=None)


class Saver:
    """Owns the token that is not saved yet."""

    def __init__(
        self,
        save: Callable[[Token], object] | None,
        *,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        name: str = "on_token",
    ) -> None:
        """
        Save by *save*, a function or a coroutine function.

        Args:
            save: Called with each new token; None saves nothing.

            timeout: Seconds that `put` and `flush` wait for it at most.

            clock: Monotonic seconds.

            name: What errors call *save*.
        """
        self._name = name
        self._save = save
        self._timeout = timeout
        self._clock = clock
        self._renew()

    def _renew(self) -> None:
        """Start without a worker: at first, out of a pickle, and in a forked child."""
        self._lock = Lock()
        self._worker: Thread | None = None
        self._unsaved: Token | None = None
        self._loop: Loop | None = None
        self._error: BaseException | None = None
        self._due_at = 0.0
        self._hurried = 0
        self._gives_way = Event()
        self._call_under_way: object = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {"_save": self._save, "_timeout": self._timeout, "_clock": self._clock, "_name": self._name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renew()

    def forked(self) -> None:
        """Forget the parent's worker; what the parent has not saved, it saves itself."""
        self._renew()
        _unsaved.discard(self)

    def put(self, token: Token, loop: Loop | None, *, wait: bool = True) -> None:
        """
        Save *token*; return when that is done, has failed, or takes longer than the timeout.

        If not to *wait*, return at once; and also while an earlier token is still being saved, for this one is next,
        and to wait could be a callback's waiting for itself.
        """
        if self._save is None:
            return
        with self._lock:
            self._unsaved, self._loop = token, loop
            _unsaved.add(self)
        worker = self._start()
        if worker and wait:
            worker.join(self._timeout)

    def put_here(
        self,
        token: Token,
        save: Callable[[Token], object],
        *,
        again: Callable[[Token], object] | None,
        let_go: Callable[[], object],
    ) -> None:
        """
        Save *token* in this thread, under the lock of the caller; what fails for long is made up for as ever.

        Args:
            token: The token.

            save: Saves it.

            again: Saves it after a failure, while the lock is kept; None lets go of the lock.

            let_go: Called after a failure: whoever waits should not wait for more.
        """
        with self._lock:
            self._unsaved, self._loop = token, None
            self._due_at = self._clock() + SPACING  # lest somebody else begins meanwhile
            self._gives_way.clear()
            _unsaved.add(self)
        try:
            save(token)
        except Exception as error:  # noqa: BLE001 - whatever it is, the token is unsaved, and that is told
            self._complain(token, error)
        else:
            self._saved(token)
            return
        let_go()
        if again is not None:
            self._persist(token, again)

    def _persist(self, token: Token, save: Callable[[Token], object]) -> None:
        """Keep the lock a while longer: whoever got it now would read, and send, a refresh token that is spent."""
        until = time.monotonic() + PERSISTENCE * self._timeout
        last = False
        while self._unsaved is token and not last:
            last = self._gives_way.wait(PAUSE) or time.monotonic() >= until  # one more try before the lock is free
            with suppress(Exception):  # the failure has been told
                save(token)
                self._saved(token)

    def give_way(self) -> None:
        """Have `put_here` end, if it is at it again: its caller's lock is needed."""
        self._gives_way.set()

    def owe(self, token: Token, error: Exception) -> None:
        """Take note that *token* is not saved after all."""
        with self._lock:
            self._unsaved, self._loop = token, None
            _unsaved.add(self)
        self._complain(token, error)

    @property
    def pending(self) -> bool:
        """Whether a token is unsaved."""
        return self._unsaved is not None

    @property
    def at_work_here(self) -> bool:
        """Whether the caller is a callback in the midst of saving, be it async, and would wait for itself."""
        return self._call_under_way is not None and _present_call.get() is self._call_under_way

    def retry(self) -> None:
        """Start saving again in the background, if a token is unsaved and the last attempt is long enough ago."""
        if self.pending and self._worker is None and self._clock() >= self._due_at:
            self._start()

    @contextmanager
    def hurrying(self) -> Generator[None]:
        """Let no async callback wait for the loop that brought its token: the caller may be blocking that loop."""
        with self._lock:
            self._hurried += 1
        try:
            yield
        finally:
            with self._lock:
                self._hurried -= 1

    def flush(self, loop: Loop | None = None) -> None:
        """
        Save what is unsaved, and wait for it.

        Args:
            loop: Where an async callback runs; None stands for a loop of its own.

        Raises:
            StoreError: It could not be saved; the token stays in memory, unsaved.
        """
        if not self.pending or self.at_work_here:
            return
        self._loop = loop
        if worker := self._start() or self._worker:
            worker.join(self._timeout)
        if self.pending:
            reason = "takes too long" if self._worker else "failed"
            raise StoreError(
                f"{self._name} {reason}; the token is kept in memory only, so repair what saves it and flush again"
            ) from self._error

    def _start(self) -> Thread | None:
        """Start the worker, unless there is one; return it if it is new."""
        self.give_way()  # the worker needs the lock that `put_here` may have
        with self._lock:
            if self._worker is not None:
                return None
            # A daemon, lest a callback that hangs keep the program from ending: put, flush and the exit handler wait.
            self._worker = worker = Thread(target=self._work, name="foxy-auth-save", daemon=True)
        try:
            worker.start()
        except RuntimeError:  # the interpreter is ending, or out of threads
            self._work()
            return None
        return worker

    def _work(self) -> None:
        while (token := self._next()) is not None:
            try:
                self._call(token)
            except BaseException as error:  # noqa: BLE001 - whatever ends it, the token is unsaved, and that is told
                if self._failed(token, error):
                    return
            else:
                self._saved(token)

    def _next(self) -> Token | None:
        with self._lock:
            if self._unsaved is None:
                self._worker = None
            return self._unsaved

    def _call(self, token: Token) -> None:
        self._call_under_way = object()
        mark = _present_call.set(self._call_under_way)
        try:
            self._call_marked(token)
        finally:
            _present_call.reset(mark)
            self._call_under_way = None

    def _call_marked(self, token: Token) -> None:
        save = self._save
        assert save is not None  # noqa: S101 - only tokens of a source that saves come here
        outcome = save(token)
        if not isawaitable(outcome):
            return
        first: list[Awaitable[object]] = [outcome]

        def work() -> Awaitable[object]:
            return first.pop() if first else _awaitable(save(token))

        try:
            if self._loop is not None and self._worker is not current_thread():
                raise RuntimeError("there is no thread to wait in for an async on_token")
            run_on(self._loop, work, hurried=lambda: self._hurried > 0)
        finally:
            for left in first:
                if iscoroutine(left):
                    left.close()

    def _saved(self, token: Token) -> None:
        with self._lock:
            if self._unsaved is token:
                self._unsaved, self._error = None, None
                _unsaved.discard(self)

    def _failed(self, token: Token, error: BaseException) -> bool:
        """Remember the failure; tell whether to stop, because no newer token has come meanwhile."""
        self._complain(token, error)
        with self._lock:
            if self._unsaved is not token:
                return False
            self._worker = None
            return True

    def _complain(self, token: Token, error: BaseException) -> None:
        reason = str(error).replace(token.access_token, "[hidden]").replace(token.refresh_token or "\0", "[hidden]")
        text = "%s failed, the new token is kept in memory only: %s: %s"
        logger.error(text, self._name, type(error).__name__, reason)
        with self._lock:
            self._error = error.with_traceback(None)  # which would keep the callback's frames, and what is in them
            self._due_at = self._clock() + SPACING
        _set_alarm()


def _awaitable(outcome: object) -> Awaitable[object]:
    if isawaitable(outcome):
        return outcome
    raise TypeError(f"on_token returned first an awaitable, then {type(outcome).__name__}")


# Savers with an unsaved token: kept alive, and asked once more when the interpreter exits.
_unsaved: set[Saver] = set()
_alarm: Timer | None = None  # one for all of them


def _set_alarm() -> None:
    """Have another try when it is due, though nobody asks for a token meanwhile."""
    global _alarm  # noqa: PLW0603
    if _alarm is None or not _alarm.is_alive():  # as it is not in a forked child
        _alarm = Timer(SPACING, _ring)
        _alarm.name, _alarm.daemon = "foxy-auth-alarm", True
        with suppress(RuntimeError):  # the interpreter is ending, or out of threads
            _alarm.start()


def _ring() -> None:
    global _alarm  # noqa: PLW0603
    _alarm = None
    for saver in list(_unsaved):
        saver.retry()
    if _unsaved:
        _set_alarm()


@atexit.register
def _flush_all() -> None:
    for saver in list(_unsaved):
        try:
            with saver.hurrying():
                saver.flush()
        except StoreError as error:
            logger.error("a new token is lost at exit: %s", error)  # noqa: TRY400 - the cause was logged before
