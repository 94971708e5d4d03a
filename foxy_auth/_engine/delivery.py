"""
Delivery of new tokens, to `on_token` or to a store: in order, one at a time, and again after a failure (R19, R20).

No lock is held while a recipient is called, so that a callback may be slow, async, use the API with the same object, or
raise.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from inspect import isawaitable
from threading import Event, Lock, Thread
from typing import Any

from foxy_auth._engine.concurrency import Job, Outcome, call_at_exit, leave, make_room, present_loop, start
from foxy_auth._engine.event_loops import (
    Loop,
    LoopUnavailableError,
    close_unawaited,
    on_loop,
    run_in_new_loop,
    run_on,
)
from foxy_auth._events import EventName, record
from foxy_auth._secrets import described, failure_of
from foxy_auth._time import elapsed, monotonic
from foxy_auth.errors import FoxyAuthError, StoreError
from foxy_auth.token import Token, secrets_of

Recipient = Callable[[Token], object]

SPACING = 30.0  # seconds between two attempts to deliver the same token

# The delivery that the present code is a part of. It goes along onto the event loop that an async callback runs on.
_present_call: ContextVar[object] = ContextVar("foxy_auth_present_call", default=None)


class Delivery:
    """Owns the token that its recipient does not have yet."""

    def __init__(
        self,
        recipient: Recipient | None,
        *,
        timeout: float,
        clock: Callable[[], float] = elapsed,
        name: str = "on_token",
        events: tuple[EventName, EventName] = ("delivered", "undelivered"),
        environment: str = "",
    ) -> None:
        """
        Deliver to *recipient*, a function or a coroutine function.

        Args:
            recipient: Called with each new token; None needs none.

            timeout: Seconds that `flush` waits for it at most.

            clock: Monotonic seconds.

            name: What errors call the recipient.

            events: What is recorded of a success, and of a failure.

            environment: The API home, for events.
        """
        self._recipient = recipient
        self.timeout = timeout
        self._clock = clock
        self.name = name
        self._events = events
        self._environment = environment
        self.reset()

    def reset(self) -> None:
        """Start with nothing to deliver: at first, out of a pickle, and in a forked child."""
        self._lock = Lock()
        self._changed: Outcome[None] = Outcome()  # done at the next success or failure
        self._token: Token | None = None  # the one to deliver
        self._loop: Loop | None = None  # where an async recipient runs
        self._loop_blockers = 0
        self._error: BaseException | None = None
        self._due_at = 0.0
        self.failures = 0
        self._running = False
        self._call: object = None  # the call under way
        _undelivered.discard(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        names = ("_recipient", "timeout", "_clock", "name", "_events", "_environment")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.reset()

    @property
    def is_pending(self) -> bool:
        """Whether a token is still to be delivered."""
        return self._token is not None

    @property
    def is_running(self) -> bool:
        """Whether a thread is delivering; leaving has waited for it already."""
        return self._running

    @property
    def is_calling_here(self) -> bool:
        """Whether the caller is part of a delivery under way, be it async, and would wait for itself."""
        return self._call is not None and _present_call.get() is self._call

    def expect(self, token: Token, loop: Loop | None = None) -> None:
        """
        Take on *token* for delivery, which `run` does; from now on it is not forgotten.

        Args:
            token: The token; an earlier one that is still to be delivered is replaced.

            loop: The event loop for an async recipient; None stands for one of its own.
        """
        with self._lock:
            if self._recipient is not None:
                self._token, self._loop = token, loop
                self._due_at = self._clock() + SPACING
                _undelivered.add(self)

    def record_failure(self, token: Token, failure: BaseException) -> None:
        """Note that *token* could not be delivered, by an error without secrets; it is tried again in a while."""
        text = "%s failed, the new token is kept in memory only: %s"
        self._record(self._events[1], text, token, described(failure), error=type(failure).__name__)
        with self._lock:
            if self._recipient is not None:  # or it was taken away meanwhile
                self._error = failure
                self._due_at = self._clock() + SPACING
                self.failures += 1
                if self._token is None:
                    self._token = token
                _undelivered.add(self)
        self._wake()
        _set_alarm()

    def record_success(self, token: Token) -> None:
        """Note that *token* is delivered."""
        with self._lock:
            if self._token is token:
                self._token = self._error = None
                _undelivered.discard(self)
        self._record(self._events[0], "%s has the new token", token)
        self._wake()

    def end(self) -> None:
        """Deliver nothing any more."""
        with self._lock:
            self._recipient = self._token = self._error = None
            _undelivered.discard(self)
        self._wake()

    def wait_for_call(self) -> None:
        """Wait for a call of the recipient that is under way."""
        self._wait_while(lambda: self._call is not None, monotonic() + self.timeout)

    def record_loss(self) -> None:
        """Tell that the program ends before the token could be delivered."""
        self._record("lost", "%s does not have the newest token at exit, which is lost", self._token)

    def _record(self, event: EventName, text: str, token: Token | None, *values: object, **fields: Any) -> None:
        store_id = token.store_id if token else None
        record(event, text, self.name, *values, environment=self._environment, store_id=store_id, **fields)

    def _wake(self) -> None:
        """Let those who wait look again."""
        with self._lock:
            changed, self._changed = self._changed, Outcome()
        changed.set_result(None)

    def run(self) -> None:
        """Deliver in this thread, unless another does, which then takes up what has come meanwhile."""
        attempted: Token | None = None
        while (token := self._next(attempted)) is not None:
            attempted = token
            self._attempt(token, self._deliver)

    def deliver_now(self, token: Token, recipient: Recipient) -> bool:
        """Deliver *token* to another *recipient*, under a lock of the caller's; tell whether that worked."""
        self._running = True
        try:
            return self._attempt(token, recipient)
        finally:
            self._running = False

    def _attempt(self, token: Token, recipient: Recipient) -> bool:
        failure = failure_of(partial(recipient, token), secrets_of(token))
        if failure is None:
            self.record_success(token)
        else:
            self.record_failure(token, failure)
        return failure is None

    def _next(self, attempted: Token | None) -> Token | None:
        with self._lock:
            if attempted is None and self._running:
                return None
            token = None if self._token is attempted else self._token
            self._running = token is not None
            return token

    def run_if_due(self) -> None:
        """Try again in the background, if the last attempt is long enough ago."""
        if self.is_pending and self._clock() >= self._due_at:
            self.start()

    def start(self) -> Job[None]:
        """Deliver in another thread, for which the exit of the program waits."""

        def run(job: Job[None]) -> None:
            job.start_sending(is_delivery=True)
            job.free_slot()  # it may take long, and nobody may be waiting
            self.run()

        return start(Job(run, timeout=self.timeout, limit=self.timeout))

    def flush(self, loop: Loop | None = None) -> None:
        """
        Deliver what is undelivered, and wait for it.

        Args:
            loop: Where an async recipient runs; None stands for a loop of its own.

        Raises:
            StoreError: It could not be delivered; the token stays in memory.
        """
        if not self.is_pending or self.is_calling_here:
            return
        self._loop, failures = loop, self.failures
        make_room()
        self.start()
        with self.while_blocking_loop():
            self.wait_for_attempt(failures, monotonic() + self.timeout)
        if self.is_pending:
            reason = "failed" if self.failures > failures else "takes too long"
            raise StoreError(
                f"{self.name} {reason}; the token is kept in memory only, so repair what saves it and flush again"
            ) from self._error

    def wait_for_attempt(self, failures: int, until: float) -> None:
        """Wait for a success, or one more than so many *failures*, until an instant in monotonic seconds."""
        self._wait_while(lambda: self.is_pending and self.failures == failures, until)

    def _wait_while(self, goes_on: Callable[[], bool], until: float) -> None:
        changed = self._changed  # read first, so that no change is missed
        while goes_on() and (left := until - monotonic()) > 0:
            changed.wait(left)
            changed = self._changed

    @contextmanager
    def while_blocking_loop(self) -> Generator[None]:
        """Let no async recipient wait for an event loop that the caller may be blocking by its own wait."""
        blockers = int(on_loop())
        try:
            with self._lock:
                self._loop_blockers += blockers
            yield
        finally:
            with self._lock:
                self._loop_blockers -= blockers

    def _deliver(self, token: Token) -> None:
        self._call = object()
        mark = _present_call.set(self._call)
        try:
            self._call_recipient(token, self._loop)
        except LoopUnavailableError:
            self._call_recipient(token, None, like=self._loop)
        finally:
            _present_call.reset(mark)
            self._call = None

    def _call_recipient(self, token: Token, loop: Loop | None, *, like: Loop | None = None) -> None:
        if (recipient := self._recipient) is None:  # it was taken away a moment ago
            return
        outcome = recipient(token)
        if not isawaitable(outcome):
            return
        if on_loop():  # which would have to go on while this thread waits for it
            close_unawaited(outcome)
            raise RuntimeError("no thread can be started to wait for the async function in")
        if loop is not None:
            run_on(loop, outcome, blocked=lambda: self._loop_blockers > 0)
        else:
            run_in_new_loop(outcome, like=like)


def deliver_token(token: Token, on_token: Recipient | None, *, timeout: float, environment: str = "") -> None:
    """
    Deliver *token* where there is no auth object for it yet.

    On an event loop this does not wait for *on_token*.
    """
    delivery = Delivery(on_token, timeout=timeout, environment=environment)
    delivery.expect(token, present_loop())
    run_all(delivery, timeout=timeout)


def run_all(*deliveries: Delivery, timeout: float) -> None:
    """Run *deliveries* in a thread, one after the other; wait for it, at most *timeout* seconds, except on a loop."""

    def run(job: Job[None]) -> None:
        job.free_slot()  # as above
        for delivery in deliveries:
            delivery.run()

    job = start(Job(run, timeout=timeout, limit=timeout))
    if not on_loop():
        with suppress(FoxyAuthError):  # it takes longer, and goes on
            job.wait()


# Kept alive, tried again when the alarm rings, and once more when the interpreter exits.
_undelivered: set[Delivery] = set()
_alarm: Thread | None = None  # one for all of them
_is_leaving = Event()


def _set_alarm() -> None:
    """Have another try when it is due, though nobody asks for a token meanwhile."""
    global _alarm  # noqa: PLW0603
    if _alarm is None or not _alarm.is_alive():  # as in a forked child
        _alarm = Thread(target=_ring, name="foxy-auth-alarm", daemon=True)
        with suppress(RuntimeError):  # the interpreter is ending, or out of threads
            _alarm.start()


def _ring() -> None:
    """Deliver what is undelivered when it is due, and all of it when the program ends."""
    while _undelivered and not _is_leaving.wait(SPACING):
        deliver_due()
    _deliver_all()


def deliver_due() -> None:
    """Start another try of what is undelivered, where it is due."""
    for delivery in list(_undelivered):
        delivery.run_if_due()


def _deliver_all() -> None:
    for delivery in list(_undelivered):
        delivery.start()  # from Python 3.12 on, no thread starts while the program ends: this one runs it


def _leave() -> None:
    """Wait for requests and deliveries that are under way, and offer once more what is undelivered."""
    leave()
    undelivered = list(_undelivered)
    waiting = [(delivery, delivery.failures) for delivery in undelivered if not delivery.is_running]
    _is_leaving.set()
    if _alarm is None or not _alarm.is_alive():
        _deliver_all()  # not tried before, so it is not known to hang
    until = monotonic() + max((delivery.timeout for delivery, _ in waiting), default=0.0)
    for delivery, failures in waiting:
        delivery.wait_for_attempt(failures, until)
    for delivery in undelivered:
        if delivery.is_pending:
            delivery.record_loss()


call_at_exit(_leave)
