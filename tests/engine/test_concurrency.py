"""Short threads: deadlines, abandoned jobs, starts that are interrupted or impossible, and what is left behind."""

from __future__ import annotations

import gc
import logging
import random
import signal
import threading
import time
import weakref
from typing import TYPE_CHECKING

import anyio
import pytest
from support.concurrent_calls import in_worker_thread, wait_until_waiting
from support.sources import DEADLINE, aget_token, expired, get_token, source_for
from support.waiting import job_threads, wait_for_job_threads, wait_until

from foxy_auth._engine.concurrency import LIMIT, AbandonedError, Job, in_thread, start
from foxy_auth._engine.delivery import Delivery
from foxy_auth.errors import LoginRequiredError, StoreError, TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from foxy_auth.emulator import Emulator
    from foxy_auth.token import Token

JOB_THREAD = "foxy-auth"
OVERDUE = TokenUnavailableError("this step takes too long")


# --- jobs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["thread", "task"])
async def test_a_step_that_takes_too_long(caller: str) -> None:
    """R9: Whoever waits for a step gives up at its deadline, and the abandoned job does nothing new after that."""
    go_on, done = threading.Event(), threading.Event()
    steps: list[object] = []

    def work(job: Job[None]) -> None:
        job.step(0.05, OVERDUE)
        go_on.wait(DEADLINE)
        attempts: list[tuple[str, Callable[[], object]]] = [
            ("send", job.start_sending),
            ("step", lambda: job.step(1.0, OVERDUE)),
        ]
        for name, step in attempts:
            try:
                step()
            except AbandonedError:
                steps.append(name)
        done.set()

    job = start(Job(work, timeout=1.0))
    with pytest.raises(TokenUnavailableError, match="takes too long"):
        await (job.await_() if caller == "task" else in_worker_thread(job.wait))
    go_on.set()

    assert await in_worker_thread(done.wait, DEADLINE)
    assert steps == ["send", "step"]


def test_jobs_queue_in_order() -> None:
    """R7: Only so many jobs run at the same time; the others wait for their turn, in order and without a thread."""
    go_on = threading.Event()
    begun: list[int] = []
    before = threading.active_count()

    def work(number: int) -> Callable[[Job[None]], None]:
        def begin(_: Job[None]) -> None:
            begun.append(number)
            go_on.wait(DEADLINE)

        return begin

    jobs = [start(Job(work(number), timeout=1.0, limit=DEADLINE)) for number in range(3 * LIMIT)]
    wait_until_waiting(LIMIT, "begin")
    at_once, threads = len(begun), threading.active_count() - before
    go_on.set()
    for job in jobs:
        job.wait()

    assert at_once == LIMIT
    assert threads <= LIMIT
    assert sorted(begun[LIMIT:]) == list(range(LIMIT, 3 * LIMIT))


def test_jobs_that_gave_their_turn_away_do_not_add_up() -> None:
    """R7: Jobs that end after they have given their turn away make no room for a job too many."""
    end_first, end_others = threading.Event(), threading.Event()
    begun: list[object] = []

    def give_away(job: Job[None]) -> None:
        job.free_slot()
        end_first.wait(DEADLINE)

    def work(job: Job[None]) -> None:
        begun.append(job)
        end_others.wait(DEADLINE)

    first = [start(Job(give_away, timeout=1.0, limit=DEADLINE)) for _ in range(LIMIT)]
    others = [start(Job(work, timeout=1.0, limit=DEADLINE)) for _ in range(2 * LIMIT)]
    wait_until_waiting(LIMIT, "give_away")
    wait_until_waiting(LIMIT, "work")
    ending = job_threads()
    end_first.set()
    for job in first:
        job.wait()
    wait_until(lambda: sum(thread.is_alive() for thread in ending) <= LIMIT, what="threads to end")
    at_once = len(begun)
    end_others.set()
    for job in others:
        job.wait()

    assert at_once == LIMIT


def test_a_job_that_waits_for_another_gives_its_turn_away() -> None:
    """R20: Jobs that wait for jobs, as callbacks that need another grant's token do, never wait for a free thread."""
    depth = 2 * LIMIT

    def nest(level: int) -> int:
        return 0 if level == depth else 1 + start(Job(lambda _: nest(level + 1), timeout=DEADLINE)).wait()

    assert nest(0) == depth


def test_what_hangs_keeps_no_turn() -> None:
    """R7, R20: Jobs that hang give their turn away when their step has taken too long, though nobody waits for them."""
    go_on = threading.Event()

    def hang(job: Job[None]) -> None:
        job.step(0.1, OVERDUE)
        go_on.wait(DEADLINE)

    try:
        hanging = [start(Job(hang, timeout=1.0)) for _ in range(LIMIT)]

        assert start(Job(lambda _: "done", timeout=1.0, limit=DEADLINE / 2)).wait() == "done"
    finally:
        go_on.set()
    for job in hanging:
        job.ended.wait(DEADLINE)


def test_hanging_deliveries_keep_no_turn(foxy: Emulator) -> None:
    """R20: However many callbacks hang in the background, other tokens are refreshed."""
    go_on = threading.Event()
    deliveries = [Delivery(lambda _: go_on.wait(DEADLINE), timeout=DEADLINE) for _ in range(LIMIT)]
    try:
        for delivery in deliveries:
            delivery.expect(expired(foxy))
            delivery.start()

        assert start(Job(lambda _: "done", timeout=1.0, limit=DEADLINE / 2)).wait() == "done"
    finally:
        go_on.set()
        for delivery in deliveries:
            delivery.flush()


def test_whoever_comes_late_waits_for_a_response_that_is_out() -> None:
    """R9: Who joins when all deadlines of a request that is out have passed waits as long as a response may take."""
    responded = threading.Event()

    def send(job: Job[str]) -> str:
        job.step(0.01, OVERDUE)
        job.start_sending()
        responded.wait(DEADLINE)
        return "response"

    job = start(Job(send, timeout=DEADLINE))
    while job.sent_at is None or not job.is_overdue:
        time.sleep(0.01)
    threading.Timer(1.0, responded.set).start()

    assert job.wait(since=time.monotonic()) == "response"
    assert not job.abandoned


def test_who_gives_up_a_response_that_may_come() -> None:
    """R9: Only who came after a request had left, and waited for a whole deadline, gives up its response."""
    sent, go_on = threading.Event(), threading.Event()

    def send(job: Job[None]) -> None:
        job.step(0.01, OVERDUE)
        job.start_sending()
        sent.set()
        go_on.wait(DEADLINE)

    came_at = time.monotonic()
    job = start(Job(send, timeout=0.05))
    assert sent.wait(DEADLINE)
    given_up = []
    for since in (came_at, time.monotonic()):
        with pytest.raises(TokenUnavailableError):
            job.wait(since=since)
        given_up.append(job.abandoned)
    go_on.set()

    assert given_up == [False, True]


async def test_a_cancelled_task_does_not_stop_its_job() -> None:
    """R9: A task that waits for a job may be cancelled; the job goes on to its end."""
    go_on, done = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(DEADLINE)
        done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(in_thread, work)
        await in_worker_thread(wait_until_waiting, 1, "work")
        group.cancel_scope.cancel()
    go_on.set()

    assert await in_worker_thread(done.wait, DEADLINE)


# --- starts that are interrupted -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "late", "after"])
def test_an_interrupted_start(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """R9: Ctrl-C while a thread is being started leaves no flight that never lands, and none that flies twice."""
    start_thread = threading.Thread.start
    interrupted: list[threading.Thread] = []

    def interrupt(thread: threading.Thread) -> None:
        if thread.name == JOB_THREAD and not interrupted:
            interrupted.append(thread)
            if moment == "after":
                start_thread(thread)
            raise KeyboardInterrupt
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupt)
    foxy.rotate_refresh_tokens = True
    source = source_for(foxy, expired(foxy))
    with pytest.raises(KeyboardInterrupt):
        get_token(source)
    if moment == "late":  # the thread exists already, but begins to run only now
        start_thread(interrupted[0])
    token = get_token(source)
    source.flush()

    assert source.grant.token == token
    assert len(foxy.token_calls) == 1


# --- no thread to be had -------------------------------------------------------------------------------------------


def test_ctrl_c_at_any_moment(foxy: Emulator) -> None:
    """R9: Whatever moment of a refresh a Ctrl-C hits, the next one works."""
    source = source_for(foxy, expired(foxy))
    chance = random.Random(1)  # noqa: S311 - moments, not secrets

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 6e-4))
                get_token(source, source.grant.token)
            except KeyboardInterrupt:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            began = time.monotonic()
            get_token(source, source.grant.token)
            assert time.monotonic() - began < DEADLINE / 2
    finally:
        signal.signal(signal.SIGALRM, before)


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine start no thread, as when the interpreter ends or the machine has no more."""
    start_thread = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(JOB_THREAD):
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_without_threads_the_caller_does_the_work(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """R9: Where no thread can be started, the refresh and its delivery run in the caller's."""
    refuse_threads(monkeypatch)
    delivered: list[Token] = []
    source = source_for(foxy, expired(foxy), on_token=delivered.append)

    assert get_token(source) == source.grant.token == delivered[0]


async def test_without_threads_an_async_callback_waits(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """R20: Where no thread can be started, an async callback hangs nobody, and is called later."""
    delivered: list[Token] = []

    async def on_token(token: Token) -> None:
        delivered.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token)
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        token = await aget_token(source)
        with pytest.raises(StoreError):
            await source.aflush()
    await source.aflush()

    assert delivered == [token]


async def test_without_threads_an_async_flush_delivers(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """R20: Where no thread can be started, `aflush` offers a token again that could not be delivered."""
    refuse_threads(monkeypatch)
    disk_is_full = [True]
    delivered: list[Token] = []

    def on_token(token: Token) -> None:
        if disk_is_full:
            raise OSError(disk_is_full.pop())
        delivered.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token)
    await aget_token(source)
    await source.aflush()

    assert delivered == [source.grant.token]


# --- what is left behind -------------------------------------------------------------------------------------------


@pytest.fixture
def few_left() -> Iterator[None]:
    """Fail the test that leaves threads or flights behind; a connection that stays open is a warning, and an error."""
    before = _count_flights()
    yield
    wait_for_job_threads()
    assert job_threads() == []
    assert _count_flights() - before <= 2


def _count_flights() -> int:
    gc.collect()
    return sum(type(thing).__name__ == "Flight" for thing in gc.get_objects())


@pytest.mark.usefixtures("few_left")
@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_a_hundred_refreshes_leave_nothing_behind(foxy: Emulator, library: str) -> None:
    """R19: A hundred refreshes, each delivered, leave no thread, no connection and no flight behind."""
    delivered: list[Token] = []
    source = source_for(foxy, expired(foxy), on_token=delivered.append)
    for _ in range(100):
        get_token(source, source.grant.token, library=library)
    source.flush()

    assert len(delivered) == 100


@pytest.mark.usefixtures("few_left")
def test_failures_leave_nothing_behind(foxy: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """R12: Refreshes that fail leave no thread, no connection and no flight behind."""
    caplog.set_level(logging.CRITICAL, "foxy_auth")  # lest records of the log keep what they are about
    source = source_for(foxy, expired(foxy))
    foxy.revoke_refresh_tokens()
    for _ in range(20):
        with pytest.raises(LoginRequiredError):
            get_token(source)


def test_a_source_that_is_dropped_is_freed(foxy: Emulator) -> None:
    """Nothing keeps a source alive that has delivered its token: not what watches forks, nor what is undelivered."""
    source = source_for(foxy, expired(foxy), on_token=lambda _: None)
    get_token(source)
    source.flush()
    freed = weakref.ref(source)
    del source
    wait_for_job_threads()
    gc.collect()

    assert freed() is None
