"""
Short threads: jobs that wait for the network or a store, and that belong to no caller.

Callers only wait, and may stop at any time: waiting is safe to abandon, owning is not. A job runs its steps in order in
one thread. Each step has a deadline; when it passes, whoever waits gives up.

What an abandoned thread can still do: nothing new. It sends no request after that. If its request had left already, the
response is still used.
"""

from __future__ import annotations

import atexit
import copy
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextvars import ContextVar
from functools import wraps
from math import inf
from threading import TIMEOUT_MAX, Event, Lock, Thread, current_thread
from typing import Any, Generic, ParamSpec, Self, TypeVar

from foxy_auth._engine.event_loops import Loop, on_loop, running_loop
from foxy_auth._oauth.messages import HttpRequest, HttpResponse
from foxy_auth._secrets import Secret, cut, guarded
from foxy_auth._time import monotonic
from foxy_auth._transport import GRACE, before_sending, send
from foxy_auth.errors import FoxyAuthError, StoreError, TokenUnavailableError

T = TypeVar("T")
P = ParamSpec("P")

PHASES = 3  # what a request waits for in turn, each as long as the timeout: the connection, the headers, the body
LIMIT = 32  # jobs at the same time in one process; the others queue in order
STARTING = 1.0  # seconds that a new thread is given to begin, before another is started in its place

# The job that the present code is a part of. It goes along onto the event loop that an async callback runs on.
_present_job: ContextVar[Job[Any] | None] = ContextVar("foxy_auth_present_job", default=None)


class AbandonedError(Exception):
    """Nobody waits for this job any more, and no request of it is under way: stop."""


class Outcome(Generic[T]):
    """
    What comes of a piece of work: a `Future` that no interrupt breaks.

    A Ctrl-C may hit the main thread just when it has taken a lock of `Future` or `Condition`, which then stays taken:
    they are taken by Python code. A `Lock` in a `with` statement is not.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._callbacks: list[Callable[[Any], object]] | None = []  # None: it is done
        self._result: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        return self._callbacks is None

    def result(self) -> T:
        """Return the result or raise the error; it must be done."""
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result

    def exception(self) -> BaseException | None:
        """Return the error; it must be done."""
        return self._error

    def set_result(self, result: T) -> None:
        self._result = result
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._finish()

    def _finish(self) -> None:
        with self._lock:
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call *callback* when it is done, in the thread that has done it."""
        with self._lock:
            if self._callbacks is not None:
                self._callbacks.append(callback)
                return
        callback(self)

    def wait(self, seconds: float) -> None:
        """Wait until it is done, so many *seconds* at most."""
        if not self.done():
            pending = Lock()
            pending.acquire()
            self.add_done_callback(lambda _: pending.release())
            pending.acquire(timeout=seconds)


class Job(Generic[T]):
    """
    Work in a thread of its own.

    Attributes:
        outcome: What comes of the work; it may be there before all of the work is done.

        ended: Done when all of the work is done.

        timeout: Seconds that the exit of the program waits for a request which is under way.

        sent_at: When the request that is under way left, in monotonic seconds; None if none is.

        abandoned: Whether nobody waits any more, so that no further request may leave.
    """

    def __init__(
        self, work: Callable[[Self], T], *, timeout: float, limit: float = inf, loop: Loop | None = None
    ) -> None:
        """
        Prepare *work*, which is called with this job.

        Args:
            work: Returns the outcome, unless `settle` has set it before.

            timeout: As the attribute.

            limit: Seconds that anybody waits for the job at most, its time in the queue included.

            loop: The event loop on whose behalf the work is done.
        """
        self.outcome: Outcome[T] = Outcome()
        self.ended: Outcome[None] = Outcome()
        self._changed: Outcome[None] = Outcome()  # done at the next change that those who wait have to know of
        self.sent_at: float | None = None
        self.abandoned = False
        self.is_submitted = self.has_begun = False
        self.waits_for_callbacks = False  # whether its work waits for the whole of other jobs, as its caller would
        self.loop = loop
        # The program ends without whoever waits in a daemon thread; it waits for our own, which have a present job.
        self._is_of_daemon = current_thread().daemon and _present_job.get() is None
        self._work: Callable[[Any], T] = work
        self.timeout = timeout
        self._latest_at = self._due_at = monotonic() + limit
        text = "too many token requests are under way; try later"
        self._overdue: FoxyAuthError = TokenUnavailableError(text, outage="timeout")
        self._lock = Lock()

    # --- for the work ------------------------------------------------------------------------------------------------

    def step(self, seconds: float, overdue: FoxyAuthError) -> None:
        """
        Begin a step that takes so many *seconds* at most; *overdue* is raised to those who wait longer.

        Raises:
            AbandonedError: Nobody waits any more.
        """
        with self._lock:
            due_before, self._due_at = self._due_at, min(monotonic() + seconds, self._latest_at)
            self._overdue = overdue
            if self.abandoned and self.sent_at is None and not self.outcome.done():
                raise AbandonedError
        if self._due_at < due_before:
            self._wake()

    def start_sending(self, *, is_delivery: bool = False) -> None:
        """Note that a request leaves now, or that a delivery begins; `AbandonedError` if it must not."""
        with self._lock:
            if self.abandoned or (self._is_of_daemon and not is_delivery and _is_leaving.is_set()):
                raise AbandonedError
            self.sent_at = monotonic()

    def settle(self, outcome: T) -> None:
        """Set the outcome, whatever becomes of the rest of the work."""
        self.outcome.set_result(outcome)
        self._wake()

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self._lock:
            if not self.ended.done():
                self.ended.set_result(None)
        self._wake()

    def _wake(self) -> None:
        """Let those who wait look again."""
        changed, self._changed = self._changed, Outcome()
        changed.set_result(None)

    def free_slot(self) -> None:
        """Let a job that queues begin: the rest of this one may take long."""
        _workers.free_slot(self)

    def run(self) -> None:
        """Do the work."""
        self.has_begun = True
        _present_job.set(self)
        before_sending.set(self.start_sending)
        try:
            outcome = self._work(self)
            if not self.outcome.done():
                self.outcome.set_result(outcome)
        except BaseException as error:  # noqa: BLE001 - raised to whoever waits
            if not self.outcome.done():
                self.outcome.set_exception(cut(error))
        finally:
            self.end()
            _under_way.discard(self)

    # --- for those who wait ------------------------------------------------------------------------------------------

    def wait(self, *, since: float = -inf) -> T:
        """
        Wait for the outcome, and until the rest of the work is done or takes too long.

        Args:
            since: When the caller came, in monotonic seconds; those who came before the request left never give it up.

        Raises:
            FoxyAuthError: The job failed, or a step takes too long.
        """
        sent_before, future = self._join(since)
        for changed, seconds in self._waits(future, sent_before=sent_before):
            changed.wait(seconds)
        return self._conclude(sent_before=sent_before)

    async def await_(self, *, since: float = -inf) -> T:
        """Async version of `wait`, on asyncio or trio."""
        sent_before, future = self._join(since)
        if not future.done():
            loop = running_loop()
            for changed, seconds in self._waits(future, sent_before=sent_before):
                await loop.wait(changed, seconds)
        return self._conclude(sent_before=sent_before)

    def wait_for_end(self) -> None:
        """Wait until all of the work is done, or takes too long."""
        make_room()
        for changed, seconds in self._waits(self.ended):
            changed.wait(seconds)

    @property
    def is_overdue(self) -> bool:
        """Whether a step takes too long."""
        return not self.ended.done() and monotonic() >= self._due_at

    def _join(self, since: float) -> tuple[bool, Outcome[Any]]:
        """
        Choose what to wait for.

        A callback or a store that needs the outcome of another job must not wait for that one's callbacks, which may
        wait for this one; nor keep the others from beginning.
        """
        sent_before = self.sent_at is not None and self.sent_at < since
        outer = _present_job.get()
        if outer is None or outer.ended.done():
            return sent_before, self.ended
        if outer is self and not self.outcome.done():
            raise StoreError("the store needs the very token that it is about to keep; give it another FoxyAuth")
        outer.free_slot()
        return sent_before, self.ended if outer.waits_for_callbacks else self.outcome

    def _waits(self, future: Outcome[Any], *, sent_before: bool = False) -> Iterator[tuple[Outcome[None], float]]:
        """Yield what to wait for, and how long, until *future* is done or a step takes too long."""
        # Whoever comes late waits as long as a response may take, for it is they who give it up.
        at_least_until = monotonic() + PHASES * self.timeout if sent_before else -inf
        looked_again, pause = False, STARTING / 4
        while True:
            changed = self._changed  # read first, so that no change is missed
            left = max(self._due_at, at_least_until) - monotonic()
            if future.done() or (left <= 0 and looked_again):
                return
            looked_again = left <= 0
            yield changed, GRACE if looked_again else min(left, TIMEOUT_MAX if self.has_begun else pause)
            if not self.has_begun:  # perhaps what has a slot hangs, or whoever was to start a thread was interrupted
                _workers.start_thread()
                pause *= 2

    def _conclude(self, *, sent_before: bool) -> T:
        if self.is_overdue:
            self.free_slot()
        if not self.outcome.done():
            self.abandon(sent_before=sent_before)
            raise copy.copy(self._overdue)
        error = self.outcome.exception()
        if isinstance(error, FoxyAuthError):
            # A copy for each who waits: a traceback belongs to one raise.
            raise copy.copy(error) from error.__cause__
        return self.outcome.result()

    def abandon(self, *, sent_before: bool = False) -> None:
        """
        Give the job up, unless a response to its request may still come.

        A caller who has waited a whole deadline since the request had left (*sent_before*) gives that up, too.
        """
        with self._lock:
            self.abandoned |= self.sent_at is None or sent_before


class _Workers:
    """
    Runs jobs in short threads, LIMIT at the same time; the others queue in order.

    An interrupt (Ctrl-C) may hit whoever submits a job anywhere. So only a thread that has begun takes a slot.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._lock = Lock()
        self._queue: deque[Job[Any]] = deque()
        self._holders: set[Job[Any]] = set()  # the jobs that have a slot
        self._starting_until = -inf  # until then a thread that is starting will look for work
        self._is_registered = False  # what is to be done at the exit of a child of multiprocessing

    def submit(self, job: Job[Any]) -> None:
        """Queue *job*, unless it was submitted before, and see to it that a thread looks for work."""
        with self._lock:
            if not job.is_submitted:
                job.is_submitted = True
                self._queue.append(job)
                _under_way.add(job)
        self.start_thread()

    def free_slot(self, job: Job[Any]) -> None:
        with self._lock:
            self._holders.discard(job)
        self.start_thread()

    def start_thread(self) -> None:
        """Start a thread, if there is work for it and no other is about to look for work."""
        if not self._needs_thread():
            return
        if not self._is_registered:
            self._is_registered = True
            _register_in_child()
        try:
            # A daemon: the program ends without those whose request has not left.
            Thread(target=self._run, name="foxy-auth", daemon=True).start()
        except RuntimeError:  # the interpreter is ending, or out of threads
            self._run()
        except BaseException:
            self._starting_until = -inf
            raise

    def _needs_thread(self) -> bool:
        if not self._queue:
            return False
        with self._lock:
            if len(self._holders) >= LIMIT:  # something hangs that nobody waits for
                self._holders = {job for job in self._holders if not job.is_overdue}
            now = monotonic()
            needs = bool(self._queue) and len(self._holders) < LIMIT and now >= self._starting_until
            if needs:
                self._starting_until = now + STARTING
            return needs

    def _run(self) -> None:
        # Let whoever submits a burst of jobs go on. This thread then sees them, and starts the next one itself.
        time.sleep(0)
        job: Job[Any] | None = None
        while (job := self._next(job)) is not None:
            job.run()

    def _next(self, ended: Job[Any] | None) -> Job[Any] | None:
        """Return the next job for a thread, in whose place another has *ended*, or that has just begun (None)."""
        with self._lock:
            if ended is None:
                self._starting_until = -inf
            else:
                self._holders.discard(ended)
            if not self._queue or len(self._holders) >= LIMIT:
                return None
            job = self._queue.popleft()
            self._holders.add(job)
        self.start_thread()
        return job


_workers = _Workers()
# Kept alive, and waited for when the interpreter exits.
_under_way: set[Job[Any]] = set()
_is_leaving = Event()


def start(job: Job[T]) -> Job[T]:
    """Start *job*, now or when its turn comes, unless it was started before."""
    if not job.has_begun:
        _workers.submit(job)
    return job


def send_in_thread(
    request: HttpRequest,
    *,
    through: object,
    timeout: float,
    auth: object | None = None,
    hidden: Callable[[], Iterable[Secret]] = tuple,
) -> HttpResponse:
    """
    Send *request* in a thread of its own, and wait for the whole response three timeouts at most.

    No client library has a deadline for a response as a whole. The rest is as for `foxy_auth._transport.send`.
    """
    limit = PHASES * timeout
    overdue = TokenUnavailableError(f"no whole response came within {limit} seconds; try later", outage="timeout")

    def send_now(job: Job[HttpResponse]) -> HttpResponse:
        job.step(limit, overdue)
        return send(request, through=through, timeout=timeout, auth=auth, hidden=hidden)

    return start(Job(send_now, timeout=timeout, limit=limit, loop=present_loop())).wait()


async def in_thread(work: Callable[[], T], *, timeout: float = 0.0) -> T:  # noqa: ASYNC109 - see Job
    """Run *work* as a job, without blocking the event loop; a cancelled caller does not stop it."""
    job: Job[T] = Job(lambda _: work(), timeout=timeout, loop=running_loop())
    caller = _present_job.get()
    job.waits_for_callbacks = caller is None or caller.ended.done() or caller.waits_for_callbacks
    return await start(job).await_()


def twin(*, of: Callable[P, T]) -> Callable[[Callable[[], None]], Callable[P, Coroutine[Any, Any, T]]]:
    """
    Let the decorated function, of which only name and docstring count, be the async version of another.

    That one waits for the network; this does not block the event loop.
    """

    def decorate(named: Callable[[], None]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(of)
        async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> T:
            return await in_thread(lambda: of(*args, **kwargs))

        for attribute in ("__name__", "__qualname__", "__doc__"):
            setattr(asynchronous, attribute, getattr(named, attribute))
        return guarded(asynchronous)

    return decorate


def make_room() -> None:
    """Let a job that queues begin, while the present one waits for something else."""
    if (job := _present_job.get()) is not None:
        job.free_slot()


def note_turned_away() -> None:
    """
    Note that the request of the present job was turned away, or did not leave: nothing is under way.

    Raises:
        AbandonedError: The program is about to end.
    """
    if (job := _present_job.get()) is not None:
        job.sent_at = None
        if _is_leaving.is_set():
            raise AbandonedError


def present_loop() -> Loop | None:
    """Return the event loop of the present thread, or that on whose behalf the present job works."""
    if on_loop():
        return running_loop()
    job = _present_job.get()
    return None if job is None else job.loop


_exit_functions: list[Callable[[], object]] = []


def call_at_exit(function: Callable[[], object]) -> None:
    """Call *function* when the program ends, in a child of multiprocessing too."""
    _exit_functions.append(function)
    atexit.register(function)


def _register_in_child() -> None:
    """Have the exit functions called in a child of multiprocessing, which does not call those of `atexit`."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        for function in _exit_functions:
            Finalize(None, function, exitpriority=0)


def leave() -> None:
    """End with the program: abandon what has sent nothing, and wait for responses that may come."""
    _is_leaving.set()
    jobs = list(_under_way)
    for job in jobs:
        job.abandon()
    earliest = monotonic() + GRACE
    for job in jobs:
        if job.sent_at is not None:
            job.ended.wait(max(max(job.sent_at + job.timeout, earliest) - monotonic(), 0.0))


def _after_fork() -> None:
    """Forget the parent's threads, which this process does not have."""
    _workers.reset()
    _under_way.clear()
    _present_job.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
