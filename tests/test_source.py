"""The flight: who starts it, who shares it, who need not wait, and what becomes of its token and its failures."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
import requests
import sniffio
import trio
from sources import PATIENCE, VIA, FakeClock, auth_for, expired, source_for, with_left

from foxy_auth._engine.concurrency import Loop, run_on, running_loop
from foxy_auth._engine.source import LONGEST_BAN
from foxy_auth.emulator import Emulator
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, StoreError, TokenRefusedError, TokenUnavailableError
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from foxy_auth._engine.source import TokenSource


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that the test turns."""
    return FakeClock()


@pytest.fixture
def frozen(clock: FakeClock) -> Iterator[Emulator]:
    """Give a Foxy that goes by the clock that the test turns."""
    with Emulator(clock=clock.now) as foxy:
        yield foxy


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Do *work* in so many threads at the same moment; return what each returned or raised."""
    start = threading.Barrier(count)

    def one() -> Any:
        start.wait(PATIENCE)
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - told to the test
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result(PATIENCE) for future in [pool.submit(one) for _ in range(count)]]


async def in_tasks(count: int, work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Do *work* in so many tasks; return what each returned or raised."""
    results: list[Any] = []

    async def one() -> None:
        try:
            results.append(await work())
        except Exception as error:  # noqa: BLE001 - told to the test
            results.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return results


async def in_thread(work: Callable[..., Any], *args: Any) -> Any:
    """Wait in a worker thread, so that the event loop goes on."""
    return await anyio.to_thread.run_sync(work, *args)


# --- R7: one flight, shared by all ---------------------------------------------------------------------------------


def test_fifty_threads_make_one_token_call(foxy: Emulator) -> None:
    """R7: Fifty threads with an expired token share one token call, and all go on with its token."""
    foxy.rotate_refresh_tokens = True
    source = source_for(foxy, expired(foxy))
    tokens = in_threads(50, lambda: source.token(via=VIA))

    assert len(foxy.token_calls) == 1
    assert set(tokens) == {source.current}
    assert foxy.live_access_tokens == [tokens[0].access_token]


async def test_two_hundred_tasks_make_one_token_call(foxy: Emulator) -> None:
    """R7: Two hundred tasks with an expired token share one token call, on asyncio and on trio."""
    foxy.rotate_refresh_tokens = True
    source = source_for(foxy, expired(foxy))
    tokens = await in_tasks(200, lambda: source.atoken(via=VIA))

    assert len(foxy.token_calls) == 1
    assert set(tokens) == {source.current}
    assert len(tokens) == 200


def test_three_loops_and_five_threads_make_one_token_call(foxy: Emulator) -> None:
    """R7: Two loops of asyncio, one of trio and five threads share one flight of one object."""
    foxy.rotate_refresh_tokens = True
    source = source_for(foxy, expired(foxy))

    async def ten() -> list[Any]:
        return await in_tasks(10, lambda: source.atoken(via=VIA))

    works: Iterator[Callable[[], list[Any]]] = iter(
        [
            lambda: asyncio.run(ten()),
            lambda: asyncio.run(ten()),
            lambda: trio.run(ten),
            *[lambda: [source.token(via=VIA)]] * 5,
        ]
    )
    with foxy.hold() as latch, ThreadPoolExecutor(1) as releasing:

        def release() -> None:
            source.await_boarders(35)
            latch.release()

        released = releasing.submit(release)
        tokens = [token for some in in_threads(8, lambda: [*next(works)()]) for token in some]
        released.result(PATIENCE)

    assert len(foxy.token_calls) == 1
    assert len(tokens) == 35
    assert set(tokens) == {source.current}


def test_one_object_serves_loops_one_after_another(foxy: Emulator) -> None:
    """R7: A refresh in each of several loops, one after another, works as in the first."""
    source = source_for(foxy, expired(foxy))
    tokens = []
    for run in (asyncio.run, trio.run, asyncio.run, trio.run):

        async def refresh() -> Token:
            return await source.atoken(via=VIA, rejected=source.current)

        tokens.append(run(refresh) if run is trio.run else asyncio.run(refresh()))

    assert len({token.access_token for token in tokens}) == 4
    assert len(foxy.token_calls) == 4


def test_one_refusal_is_shared_by_all_who_waited(foxy: Emulator) -> None:
    """R7: When a refresh fails, all who waited get its error, each an object of its own, from one token call."""
    source = source_for(foxy, expired(foxy), client_secret="fake-wrong-secret")
    with foxy.hold() as latch, ThreadPoolExecutor(1) as callers:
        outcomes = callers.submit(in_threads, 20, lambda: source.token(via=VIA))
        source.await_boarders(20)
        latch.release()
        errors = outcomes.result(PATIENCE)

    assert [type(error) for error in errors] == [TokenRefusedError] * 20
    assert len({id(error) for error in errors}) == 20
    assert {(error.error, error.status) for error in errors} == {("invalid_client", 400)}
    assert len(foxy.token_calls) == 1


async def test_one_failure_is_shared_by_all_tasks_that_waited(foxy: Emulator) -> None:
    """R7: Tasks that waited for a refresh share its failure, with its cause, from one token call."""
    source = source_for(foxy, expired(foxy))
    foxy.drop()
    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            errors: list[Any] = []

            async def call() -> None:
                errors.extend(await in_tasks(20, lambda: source.atoken(via=VIA)))

            group.start_soon(call)
            await in_thread(source.await_boarders, 20)
            latch.release()

    assert [type(error) for error in errors] == [TokenUnavailableError] * 20
    assert {type(error.__cause__) for error in errors} == {requests.ConnectionError}
    assert len(foxy.token_calls) == 1


# --- R8: which token was rejected ----------------------------------------------------------------------------------


def test_a_rejected_token_is_replaced_whatever_its_expiry(foxy: Emulator) -> None:
    """R8: A token that the API has refused is replaced though it looks fresh, once for all who say so."""
    token = foxy.grant()
    source = source_for(foxy, token)
    tokens = in_threads(20, lambda: source.token(via=VIA, rejected=token))

    assert len(foxy.token_calls) == 1
    assert set(tokens) == {source.current} != {token}


def test_an_old_rejection_makes_no_token_call(foxy: Emulator) -> None:
    """R8: Who complains about a token that has been replaced gets the new one, without a call."""
    old = foxy.grant()
    source = source_for(foxy, old)
    new = source.token(via=VIA, rejected=old)

    assert source.token(via=VIA, rejected=old) == new
    assert len(foxy.token_calls) == 1


# --- R5: the windows -----------------------------------------------------------------------------------------------


def test_a_refresh_ahead_is_waited_for_by_nobody(frozen: Emulator, clock: FakeClock) -> None:
    """R5: In the window ahead, requests go on with the valid token while the token call is held up."""
    token = with_left(frozen.grant(), 200.0, clock)
    source = source_for(frozen, token, clock=clock)
    with frozen.hold() as latch:
        first = source.token(via=VIA)
        latch.wait_for(1)
        meanwhile = in_threads(20, lambda: source.token(via=VIA))
        latch.release()
        source.flush()

    assert {first, *meanwhile} == {token}
    assert source.current != token
    assert source.token(via=VIA) == source.current
    assert len(frozen.token_calls) == 1


async def test_a_refresh_ahead_is_waited_for_by_no_task(frozen: Emulator, clock: FakeClock) -> None:
    """R5: In the window ahead, tasks go on with the valid token while the token call is held up."""
    token = with_left(frozen.grant(), 200.0, clock)
    source = source_for(frozen, token, clock=clock)
    with frozen.hold() as latch:
        first = await source.atoken(via=VIA)
        await in_thread(latch.wait_for, 1)
        meanwhile = await in_tasks(20, lambda: source.atoken(via=VIA))
        latch.release()
        await source.aflush()

    assert {first, *meanwhile} == {token}
    assert source.current != token
    assert len(frozen.token_calls) == 1


def test_a_failed_refresh_ahead_is_logged_and_spaced(
    frozen: Emulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """R5: A failure ahead of expiry hurts nobody, is logged, and the next try comes 30 s later, not before."""
    token = with_left(frozen.grant(), 290.0, clock)
    source = source_for(frozen, token, clock=clock)
    frozen.fail(400, times=2)
    calls = []
    for seconds in (0.0, 0.0, 29.9, 0.1, 29.9, 0.1):
        clock.advance(seconds)
        assert source.token(via=VIA) == token
        source.flush()
        calls.append(len(frozen.token_calls))

    assert calls == [1, 1, 1, 2, 2, 3]
    assert source.current != token
    assert [record.levelname for record in caplog.records if "not refreshed" in record.message] == ["WARNING"] * 2


def test_a_race_for_the_next_try_keeps_the_spacing(
    frozen: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5: Who has looked before a refresh failed, and boards after, starts no second one."""
    token = with_left(frozen.grant(), 200.0, clock)
    source = source_for(frozen, token, clock=clock)
    frozen.fail(400)
    resting = source._resting

    def look_before_another_fails() -> bool:
        rests = resting()
        monkeypatch.setattr(source, "_resting", resting)
        source.token(via=VIA)
        source.flush()
        return rests

    monkeypatch.setattr(source, "_resting", look_before_another_fails)
    used = source.token(via=VIA)
    source.flush()

    assert used == token
    assert len(frozen.token_calls) == 1


def test_in_the_leeway_callers_wait(frozen: Emulator, clock: FakeClock) -> None:
    """R5: In the leeway, callers wait for the refresh and get its token."""
    token = with_left(frozen.grant(), 50.0, clock)
    source = source_for(frozen, token, clock=clock)

    assert source.token(via=VIA) == source.current != token


@pytest.mark.parametrize("failure", ["refused", "unavailable", "gone"])
def test_in_the_leeway_a_failure_leaves_the_valid_token(frozen: Emulator, clock: FakeClock, failure: str) -> None:
    """R5: If the refresh in the leeway fails, the token that has not truly expired serves on, until it expires."""
    token = with_left(frozen.grant(), 50.0, clock)
    source = source_for(frozen, token, clock=clock)
    errors: dict[str, Any] = {
        "refused": {"error": "invalid_client"},
        "unavailable": None,
        "gone": {"error": "invalid_grant"},
    }
    frozen.fail(400, body=errors[failure], times=2)
    before = [source.token(via=VIA), source.token(via=VIA)]
    calls = len(frozen.token_calls)
    clock.advance(50.0)
    with pytest.raises((LoginRequiredError, TokenRefusedError, TokenUnavailableError)):
        source.token(via=VIA)

    assert before == [token, token]
    assert calls == 1


def test_a_client_that_is_refused_stops_asking(frozen: Emulator, clock: FakeClock) -> None:
    """R12: After three refusals of the client in a row the token endpoint is left in peace for half a minute."""
    source = source_for(frozen, expired(frozen), clock=clock)
    frozen.fail(400, body={"error": "invalid_client"}, times=4)

    def refused(times: int) -> int:
        for _ in range(times):
            with pytest.raises(TokenRefusedError):
                source.token(via=VIA)
        return len(frozen.token_calls)

    storm, later = refused(20), None
    clock.advance(31.0)
    later = refused(20)
    clock.advance(31.0)

    assert (storm, later) == (3, 4)
    assert source.token(via=VIA) == source.current


def test_a_token_without_expiry_is_used_until_it_is_rejected(frozen: Emulator, clock: FakeClock) -> None:
    """R4: Without a known expiry no refresh starts of itself."""
    token = replace(frozen.grant(), expires_at=None)
    source = source_for(frozen, token, clock=clock)
    clock.advance(10.0**8)

    assert source.token(via=VIA) == token
    assert source.token(via=VIA, rejected=token) != token


def test_the_expiry_counts_from_before_the_call(frozen: Emulator, clock: FakeClock) -> None:
    """R4: However slow the answer, the expiry counts from the moment before the token call left."""
    source = source_for(frozen, expired(frozen), clock=clock)
    asked_at = clock.now()
    with frozen.hold() as latch, ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(source.token, via=VIA)
        latch.wait_for(1)
        clock.advance(9.0)
        latch.release()
        token = waiting.result(PATIENCE)

    assert (token.obtained_at, token.expires_at) == (asked_at, asked_at + 7200.0)


def test_a_short_life_is_no_storm(frozen: Emulator, clock: FakeClock) -> None:
    """R5: A token that lives for less than the windows is refreshed once in its life, not with every request."""
    frozen.access_token_life = 40.0
    source = source_for(frozen, expired(frozen), clock=clock)
    for _ in range(29):
        source.token(via=VIA)
        source.flush()
        clock.advance(1.0)

    assert len(frozen.token_calls) == 1


# --- R6: clocks that jump ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-(10.0**8), -4000.0, 4000.0, 10.0**8])
def test_no_clock_locks_anybody_out(foxy: Emulator, clock: FakeClock, jump: float) -> None:
    """R6: However far the clock jumps, and back again, the API is reached with a token that it takes."""
    source = source_for(foxy, with_left(foxy.grant(), 7200.0, clock), clock=clock)
    for seconds in (jump, -jump):
        clock.jump(seconds)
        token = source.token(via=VIA)
        assert foxy.is_live(token.access_token)

    assert len(foxy.token_calls) <= 2


def test_a_token_from_the_future_is_replaced(frozen: Emulator, clock: FakeClock) -> None:
    """R6: After the clock was set back by a day, the token is refreshed once, not trusted for a day too long."""
    source = source_for(frozen, with_left(frozen.grant(), 7200.0, clock), clock=clock)
    clock.jump(-86400.0)
    tokens = [source.token(via=VIA) for _ in range(3)]

    assert {(token.obtained_at, token.expires_at) for token in tokens} == {(clock.now(), clock.now() + 7200.0)}
    assert len(frozen.token_calls) == 1


# --- R10: refresh tokens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["same", "omitted", "rotated", "null"])
def test_the_refresh_token_is_kept_or_replaced(foxy: Emulator, kind: str) -> None:
    """R10: Ten refreshes in a row work, whether answers repeat, omit or replace the refresh token."""
    foxy.rotate_refresh_tokens = kind == "rotated"
    foxy.omit_refresh_token = kind == "omitted"
    foxy.token_fields = {"refresh_token": None} if kind == "null" else {}
    saved: list[Token] = []
    source = source_for(foxy, expired(foxy), on_token=saved.append)
    for _ in range(10):
        source.token(via=VIA, rejected=source.current)

    assert saved[-1].refresh_token == foxy.current_refresh_token
    assert [call.form["refresh_token"] for call in foxy.token_calls[1:]] == [t.refresh_token for t in saved[:-1]]


# --- R12: a grant that is gone -------------------------------------------------------------------------------------


def test_a_dead_grant_makes_no_storm(foxy: Emulator) -> None:
    """R12: After `invalid_grant`, a hundred requests fail at once and make no further token call."""
    source = source_for(foxy, expired(foxy))
    foxy.revoke_refresh_tokens()
    errors = [error for _ in range(100) for error in in_threads(1, lambda: source.token(via=VIA))]

    assert [type(error) for error in errors] == [LoginRequiredError] * 100
    assert {error.error for error in errors} == {"invalid_grant"}
    assert len({id(error) for error in errors}) == 100
    assert len(foxy.token_calls) == 1


def test_a_dead_grant_does_not_waste_a_valid_token(frozen: Emulator, clock: FakeClock) -> None:
    """R12, R5: A token that has not expired serves on though the grant is gone, without further token calls."""
    token = with_left(frozen.grant(), 250.0, clock)
    source = source_for(frozen, token, clock=clock)
    frozen.revoke_refresh_tokens()
    used = []
    for _ in range(8):
        used.append(source.token(via=VIA))
        source.flush()
        clock.advance(31.0)

    assert used == [token] * 8
    assert len(frozen.token_calls) == 1


def test_without_a_refresh_token_a_login_is_required(foxy: Emulator) -> None:
    """R12: A grant without a refresh token, once expired, asks for a login and makes no token call."""
    source = source_for(foxy, replace(expired(foxy), refresh_token=None))
    with pytest.raises(LoginRequiredError, match="authorize again"):
        source.token(via=VIA)

    assert foxy.token_calls == []


# --- R13: what is tried again --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_trouble_is_tried_again(foxy: Emulator, clock: FakeClock, status: int) -> None:
    """R13: 429 and 5xx are tried again after pauses that double."""
    clock.chance = 1.0
    source = source_for(foxy, expired(foxy), clock=clock)
    foxy.fail(status, times=2)
    token = source.token(via=VIA)

    assert foxy.is_live(token.access_token)
    assert len(foxy.token_calls) == 3
    assert clock.sleeps == [0.5, 1.0]


def test_attempts_are_bounded(foxy: Emulator, clock: FakeClock) -> None:
    """R13: After three attempts the failure stands, and the next caller begins anew."""
    source = source_for(foxy, expired(foxy), clock=clock)
    foxy.fail(500, times=3)
    with pytest.raises(TokenUnavailableError):
        source.token(via=VIA)
    failed = len(foxy.token_calls)
    source.token(via=VIA)

    assert (failed, len(foxy.token_calls)) == (3, 4)


def test_chance_spreads_the_attempts(foxy: Emulator, clock: FakeClock) -> None:
    """R13: Chance takes up to half of each pause away."""
    source = source_for(foxy, expired(foxy), clock=clock)
    foxy.fail(500, times=2)
    source.token(via=VIA)

    assert clock.sleeps == [0.25, 0.5]


def test_retry_after_is_obeyed_within_the_flight(foxy: Emulator, clock: FakeClock) -> None:
    """R13: A `Retry-After` that fits the deadline is waited for, in place of the usual pause."""
    source = source_for(foxy, expired(foxy), clock=clock, timeout=5.0)
    foxy.fail(429, headers={"Retry-After": "7"})
    source.token(via=VIA)

    assert clock.sleeps == [7.0]
    assert len(foxy.token_calls) == 2


def test_a_long_retry_after_is_obeyed_by_later_callers(foxy: Emulator, clock: FakeClock) -> None:
    """R13: A `Retry-After` beyond the deadline is waited for by nobody; callers fail at once until it has passed."""
    source = source_for(foxy, expired(foxy), clock=clock, timeout=5.0)
    foxy.fail(503, headers={"Retry-After": "90"})
    seen = []
    for seconds in (0.0, 30.0, 59.0):
        clock.advance(seconds)
        with pytest.raises(TokenUnavailableError) as caught:
            source.token(via=VIA)
        seen.append((caught.value.retry_after, len(foxy.token_calls)))
    clock.advance(1.0)
    source.token(via=VIA)

    assert seen == [(90.0, 1), (60.0, 1), (1.0, 1)]
    assert clock.sleeps == []
    assert len(foxy.token_calls) == 2


def test_an_absurd_retry_after_is_obeyed_for_an_hour(foxy: Emulator, clock: FakeClock) -> None:
    """R13: No `Retry-After` locks a program out for longer than an hour."""
    source = source_for(foxy, expired(foxy), clock=clock)
    foxy.fail(429, headers={"Retry-After": "99999999"})
    with pytest.raises(TokenUnavailableError):
        source.token(via=VIA)
    clock.advance(LONGEST_BAN)

    assert foxy.is_live(source.token(via=VIA).access_token)


def test_a_retry_after_spares_the_valid_token(frozen: Emulator, clock: FakeClock) -> None:
    """R13, R5: While the provider wants no calls, a token that has not expired serves on."""
    token = with_left(frozen.grant(), 290.0, clock)
    source = source_for(frozen, token, clock=clock)
    frozen.fail(429, headers={"Retry-After": "120"})
    calls = []
    for seconds in (0.0, 31.0, 88.0, 1.0):
        clock.advance(seconds)
        assert source.token(via=VIA) == token
        source.flush()
        calls.append(len(frozen.token_calls))

    assert calls == [1, 1, 1, 2]


def test_all_attempts_share_one_deadline(foxy: Emulator, clock: FakeClock) -> None:
    """R13: No attempt begins after three timeouts, however slowly the ones before have failed."""
    source = source_for(foxy, expired(foxy), clock=clock, timeout=5.0)
    foxy.fail(500, times=3)
    with foxy.hold() as latch, ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(source.token, via=VIA)
        latch.wait_for(1)
        clock.advance(14.9)
        latch.release()
        with pytest.raises(TokenUnavailableError):
            waiting.result(PATIENCE)

    assert len(foxy.token_calls) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda foxy: foxy.drop(after=True), id="dropped after the work"),
        pytest.param(lambda foxy: foxy.drop(), id="dropped before the work"),
        pytest.param(lambda foxy: foxy.truncate(), id="truncated"),
        pytest.param(lambda foxy: foxy.fail(504, after=True), id="a gateway that gave up"),
        pytest.param(lambda foxy: foxy.fail(200, body="<html>", after=True), id="a page in its place"),
        pytest.param(lambda foxy: foxy.oversize(2**20), id="without end"),
    ],
)
def test_an_unknown_outcome_is_not_repeated(
    foxy: Emulator, clock: FakeClock, spoil: Callable[[Emulator], None]
) -> None:
    """R13: A token call that may have been answered is not sent again by the flight that made it."""
    source = source_for(foxy, expired(foxy), clock=clock)
    spoil(foxy)
    with pytest.raises(TokenUnavailableError):
        source.token(via=VIA)

    assert len(foxy.token_calls) == 1
    assert clock.sleeps == []


def test_an_unreachable_endpoint_is_tried_again(foxy: Emulator, clock: FakeClock) -> None:
    """R13: A call that never left is repeated, and succeeds once the endpoint is back."""
    source = source_for(foxy, expired(foxy), clock=clock)
    foxy.close()
    sleep = clock.sleep

    def come_back(seconds: float) -> None:
        sleep(seconds)
        if len(clock.sleeps) == 2:
            foxy.start()

    clock.sleep = come_back  # type: ignore[method-assign]
    source._clock = clock.clock
    token = source.token(via=VIA)

    assert foxy.is_live(token.access_token)
    assert len(foxy.token_calls) == 1


# --- R9: callers that leave ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["cancel", "timeout"])
async def test_a_caller_that_leaves_loses_no_token(foxy: Emulator, leave: str) -> None:
    """R9: After a cancellation or a timeout at the await, the token that was issued is in memory and saved."""
    foxy.rotate_refresh_tokens = True
    saved: list[Token] = []
    source = source_for(foxy, expired(foxy), on_token=saved.append)
    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: source.atoken(via=VIA))
            await in_thread(latch.wait_for, 1)
            if leave == "cancel":
                group.cancel_scope.cancel()
            else:
                group.cancel_scope.deadline = anyio.current_time()
        latch.release()
    await source.aflush()

    assert [token.refresh_token for token in saved] == [foxy.current_refresh_token]
    assert source.current == saved[0] == await source.atoken(via=VIA)
    assert len(foxy.token_calls) == 1


async def test_one_who_leaves_takes_nobody_along(foxy: Emulator) -> None:
    """R9, R7: When the caller that started the flight is cancelled, the others get their token."""
    source = source_for(foxy, expired(foxy))
    tokens: list[Token] = []

    async def stay() -> None:
        tokens.append(await source.atoken(via=VIA))

    with foxy.hold() as latch:
        async with anyio.create_task_group() as staying:
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(lambda: source.atoken(via=VIA))
                await in_thread(latch.wait_for, 1)
                for _ in range(5):
                    staying.start_soon(stay)
                await in_thread(source.await_boarders, 6)
                leaving.cancel_scope.cancel()
            latch.release()

    assert tokens == [source.current] * 5
    assert len(foxy.token_calls) == 1


def test_a_loop_that_ends_loses_no_token(foxy: Emulator) -> None:
    """R9: When a whole event loop ends during a refresh, the next one finds the token."""
    foxy.rotate_refresh_tokens = True
    source = source_for(foxy, expired(foxy))
    with foxy.hold() as latch:

        async def leave() -> None:
            task = asyncio.create_task(source.atoken(via=VIA))
            await asyncio.to_thread(latch.wait_for, 1)
            task.cancel()

        asyncio.run(leave())
        latch.release()
        token = trio.run(lambda: source.atoken(via=VIA))

    assert token.refresh_token == foxy.current_refresh_token
    assert len(foxy.token_calls) == 1


async def test_the_loop_goes_on_during_a_refresh(foxy: Emulator) -> None:
    """R20: While a refresh and its save are under way, the event loop that waits for them serves others."""
    others = threading.Event()
    served: list[bool] = []
    source = source_for(foxy, expired(foxy), on_token=lambda _: served.append(others.wait(PATIENCE)))
    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: source.atoken(via=VIA))
            await in_thread(source.await_boarders, 1)
            async with httpx.AsyncClient() as client:  # served while the token call is held
                answer = await client.get(foxy.url, headers={"FOXY-API-VERSION": "1"})
            latch.release()
            others.set()  # comes while the callback blocks its thread, for the loop does not wait for it

    assert answer.status_code == 200
    assert served == [True]


# --- R19, R20: saving ----------------------------------------------------------------------------------------------


def test_memory_comes_before_the_callback(foxy: Emulator) -> None:
    """R19: The callback sees a source that has the token already, and the flight lands after it."""
    seen: list[Token | None] = []
    source = source_for(foxy, expired(foxy), on_token=lambda _: seen.append(source.current))
    token = source.token(via=VIA)

    assert seen == [token]


async def test_an_async_callback_runs_on_the_callers_loop(foxy: Emulator) -> None:
    """R20: An async callback runs on the event loop whose caller started the flight."""
    here = threading.get_ident()
    threads: list[int] = []

    async def on_token(_: Token) -> None:
        await anyio.lowlevel.checkpoint()
        threads.append(threading.get_ident())

    await source_for(foxy, expired(foxy), on_token=on_token).atoken(via=VIA)

    assert threads == [here]


def test_an_async_callback_without_a_loop_gets_one(foxy: Emulator) -> None:
    """R20: For a synchronous caller an async callback runs in a loop of its own, in another thread."""
    saved: list[tuple[bool, Token]] = []

    async def on_token(token: Token) -> None:
        await asyncio.sleep(0)
        saved.append((threading.current_thread() is threading.main_thread(), token))

    token = source_for(foxy, expired(foxy), on_token=on_token).token(via=VIA)

    assert saved == [(False, token)]


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_an_async_callback_outlives_its_loop(frozen: Emulator, clock: FakeClock, library: str) -> None:
    """R20: If the caller's loop has ended meanwhile, the callback runs in a new one of the same kind."""
    saved: list[tuple[str, Token]] = []

    async def on_token(token: Token) -> None:
        await anyio.lowlevel.checkpoint()
        saved.append((threading.current_thread().name, token))

    source = source_for(frozen, with_left(frozen.grant(), 200.0, clock), on_token=on_token, clock=clock)

    async def call() -> None:
        await source.atoken(via=VIA)

    with frozen.hold() as latch:
        if library == "trio":
            trio.run(call)
        else:
            asyncio.run(call())
        latch.wait_for(1)
        latch.release()
        source.flush()

    assert saved == [("foxy-auth-save", source.current)]


async def test_a_callback_that_its_loop_cuts_off_runs_again(foxy: Emulator) -> None:
    """R20: An async callback that is cancelled with its loop is run once more, elsewhere."""
    begun, again = threading.Event(), threading.Event()

    async def on_token(_: Token) -> None:
        if begun.is_set():
            again.set()
            return
        begun.set()
        await anyio.sleep_forever()

    library = sniffio.current_async_library()
    source = source_for(foxy, expired(foxy), on_token=on_token)

    def other_program() -> None:
        """Run a loop that ends while the callback is at its await."""

        async def call() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: source.atoken(via=VIA))
                await in_thread(begun.wait, PATIENCE)
                group.cancel_scope.cancel()

        anyio.run(call, backend=library)

    await in_thread(other_program)
    await source.aflush()

    assert again.is_set()


def test_a_callback_whose_loop_closes_before_it_begins_runs_elsewhere() -> None:
    """R20: A callback that was handed to a loop which then closed without a look at it is run in a new loop."""
    ran, waiting = threading.Event(), threading.Event()

    async def here() -> Loop:
        return running_loop()

    async def work() -> None:
        ran.set()

    def nobody_hurries() -> bool:
        waiting.set()
        return False

    loop = asyncio.new_event_loop()
    idle = loop.run_until_complete(here())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_on, idle, work, hurried=nobody_hurries)
        assert waiting.wait(PATIENCE)
        loop.close()
        running.result(PATIENCE)

    assert ran.is_set()


def test_a_hanging_callback_holds_nobody_up_for_long(foxy: Emulator) -> None:
    """R19: If a save hangs, the flight lands after the timeout; the token is used, and saved when the hang ends."""
    go_on = threading.Event()
    saved: list[Token] = []

    def on_token(token: Token) -> None:
        go_on.wait(PATIENCE)
        saved.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token, timeout=0.2)
    token = source.token(via=VIA)
    before = list(saved)
    with pytest.raises(StoreError, match="takes too long"):
        source.flush()
    go_on.set()
    source.flush()

    assert (before, saved) == ([], [token])


def test_a_raising_callback_fails_no_request(foxy: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """R19, R23: A failing save fails no request; it is logged as an error without secrets, and raised by `flush`."""
    saved: list[Token] = []

    def on_token(token: Token) -> None:
        if len(saved) < 2:
            saved.append(token)
            raise OSError(f"disk full, cannot write {token.access_token} {token.refresh_token} {token}")
        saved.append(token)

    caplog.set_level(logging.DEBUG)
    source = source_for(foxy, expired(foxy), on_token=on_token)
    token = source.token(via=VIA)
    with pytest.raises(StoreError, match="repair what saves it") as caught:
        source.flush()
    source.flush()
    source.flush()

    # The emulator lives in this process too, and its authorization server logs what it issues.
    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("authlib"))

    assert saved == [token] * 3
    assert isinstance(caught.value.__cause__, OSError)
    assert "ERROR" in {record.levelname for record in caplog.records if "on_token failed" in record.message}
    assert not any(secret in ours for secret in (token.access_token, str(token.refresh_token)))


@pytest.mark.parametrize("method", ["flush", "close", "aflush", "aclose"])
async def test_closing_tells_what_could_not_be_saved(foxy: Emulator, method: str) -> None:
    """R19: Each way to flush or close raises `StoreError` while the callback fails, with the callback's error."""

    def on_token(_: Token) -> None:
        raise PermissionError("read-only")

    auth = auth_for(foxy, expired(foxy), on_token=on_token)
    await auth.aget_token()
    with pytest.raises(StoreError) as caught:
        await in_thread(getattr(auth, method)) if method in {"flush", "close"} else await getattr(auth, method)()
    auth._source._saver._save = lambda _: None  # repaired
    await auth.aclose()

    assert isinstance(caught.value.__cause__, PermissionError)


def test_an_unsaved_token_is_offered_again_after_a_while(foxy: Emulator, clock: FakeClock) -> None:
    """R19: A failed save is tried again with later requests, 30 s apart."""
    tries: list[float] = []
    began = clock.now()

    def on_token(_: Token) -> None:
        tries.append(clock.now() - began)
        if len(tries) < 3:
            raise OSError("disk full")

    source = source_for(foxy, expired(foxy), on_token=on_token, clock=clock)
    for seconds in (0.0, 29.0, 1.0, 29.0, 1.0, 40.0):
        clock.advance(seconds)
        source.token(via=VIA)
        if worker := source._saver._worker:
            worker.join(PATIENCE)

    assert tries == [0.0, 30.0, 60.0]


def test_an_unsaved_token_is_offered_again_though_nobody_asks(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """R19: What could not be saved is offered again after a while, also in a program that has nothing else to do."""
    monkeypatch.setattr("foxy_auth._engine.delivery.SPACING", 0.05)
    monkeypatch.setattr("foxy_auth._engine.delivery._alarm", None)  # an earlier test may have one
    offered: list[Token] = []
    enough = threading.Event()

    def fail_twice(token: Token) -> None:
        offered.append(token)
        if len(offered) <= 2:
            raise OSError("disk full")
        enough.set()

    source = source_for(foxy, expired(foxy), on_token=fail_twice)
    token = source.token(via=VIA)

    assert enough.wait(PATIENCE)
    source.flush()
    assert offered == [token] * 3


def test_one_alarm_is_enough_for_all_that_is_unsaved(foxy: Emulator) -> None:
    """R19: However many objects have a token that could not be saved, one thread waits for another try."""
    full, before = [True], set(threading.enumerate())

    def fail_at_first(token: Token) -> None:
        if full[0]:
            raise OSError("disk full")

    sources = [source_for(foxy, expired(foxy), on_token=fail_at_first) for _ in range(9)]
    for source in sources:
        source.token(via=VIA)
    alarms = [thread for thread in set(threading.enumerate()) - before if thread.name == "foxy-auth-alarm"]
    full[0] = False
    for source in sources:
        source.flush()

    assert len(alarms) <= 2  # an earlier test's may have just gone off


def test_a_callback_may_use_the_api(foxy: Emulator) -> None:
    """R20: A callback may call the API with the same object, even if that is answered 401 and refreshed again."""
    statuses: list[int] = []
    saved: list[Token] = []

    def on_token(token: Token) -> None:
        if not saved:
            foxy.revoke_access_tokens()
        saved.append(token)
        statuses.append(requests.get(foxy.store_url, auth=auth, timeout=PATIENCE).status_code)

    # Were it to wait for itself, it would wait for this long.
    auth = auth_for(foxy, expired(foxy), on_token=on_token, timeout=60.0)
    answer = requests.get(foxy.store_url, auth=auth, timeout=PATIENCE)
    auth.close()

    assert (answer.status_code, statuses) == (200, [200, 200])
    assert [token.access_token for token in saved[-1:]] == [auth.token and auth.token.access_token]
    assert len(foxy.token_calls) == 2


async def test_an_async_callback_may_use_the_api(foxy: Emulator) -> None:
    """R20: An async callback may call the API with the same object on the same loop, a 401 included."""
    statuses: list[int] = []
    saved: list[Token] = []

    async def on_token(token: Token) -> None:
        if not saved:
            foxy.revoke_access_tokens()
        saved.append(token)
        async with httpx.AsyncClient(auth=auth) as client:
            statuses.append((await client.get(foxy.store_url)).status_code)

    auth = auth_for(foxy, expired(foxy), on_token=on_token, timeout=60.0)
    async with httpx.AsyncClient(auth=auth) as client:
        answer = await client.get(foxy.store_url)
    await auth.aclose()

    assert (answer.status_code, statuses) == (200, [200, 200])
    assert saved[-1] == auth.token
    assert len(foxy.token_calls) == 2


def test_a_callback_may_flush(foxy: Emulator) -> None:
    """R20: A callback that flushes the object that calls it does not wait for itself."""
    flushed: list[bool] = []

    def on_token(_: Token) -> None:
        source.flush()
        flushed.append(True)

    # Were it to wait for itself, it would wait for this long.
    source = source_for(foxy, expired(foxy), on_token=on_token, timeout=60.0)
    source.token(via=VIA)

    assert flushed == [True]


@pytest.mark.parametrize("method", ["flush", "aflush"])
@pytest.mark.parametrize("started_by", ["task", "thread"])
async def test_an_async_callback_may_flush(foxy: Emulator, method: str, started_by: str) -> None:
    """R20: So it is with an async callback, on its caller's loop and on one of its own."""
    flushed: list[bool] = []

    async def on_token(_: Token) -> None:
        await source.aflush() if method == "aflush" else source.flush()
        flushed.append(True)

    # Were it to wait for itself, it would wait for this long.
    source = source_for(foxy, expired(foxy), on_token=on_token, timeout=60.0)
    if started_by == "task":
        await source.atoken(via=VIA)
    else:
        await in_thread(lambda: source.token(via=VIA))
    await source.aflush()

    assert flushed == [True]


async def test_closing_on_the_loop_does_not_wait_for_the_loop(foxy: Emulator) -> None:
    """R20: `close()` that blocks the very loop an async callback was to run on saves the token once all the same."""
    saved: list[Token] = []

    async def on_token(token: Token) -> None:
        saved.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token)
    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: source.atoken(via=VIA))
            await in_thread(latch.wait_for, 1)
            latch.release()
            source.flush()  # blocks the loop, and on it what the callback waits for
            closed = list(saved)
    for _ in range(10):
        await anyio.lowlevel.checkpoint()

    assert closed == saved == [source.current]


# --- starts that are interrupted -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "meanwhile", "after"])
def test_an_interrupted_start_leaves_no_flight_behind(
    foxy: Emulator, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """R9: Ctrl-C while a flight is being started leaves none that never lands, and none that flies a second time."""
    start = threading.Thread.start
    late: list[threading.Thread] = []

    def interrupt(thread: threading.Thread) -> None:
        if thread.name == "foxy-auth-refresh" and not late:
            late.append(thread)
            if moment == "after":
                start(thread)
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupt)
    foxy.rotate_refresh_tokens = True
    source = source_for(foxy, expired(foxy))
    with pytest.raises(KeyboardInterrupt):
        source.token(via=VIA)
    if moment == "meanwhile":  # the thread exists already, but comes to run only now
        start(late[0])
    token = source.token(via=VIA)
    source.flush()

    assert source.current == token
    assert len(foxy.token_calls) == 1


# --- no threads to be had ------------------------------------------------------------------------------------------


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine start no thread, as when the interpreter ends or the machine has no more."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("foxy-auth"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.usefixtures("no_threads")
def test_without_threads_the_caller_does_the_work(foxy: Emulator) -> None:
    """R9: Where no thread can be started, the refresh and its save run in the caller's own."""
    saved: list[Token] = []
    source = source_for(foxy, expired(foxy), on_token=saved.append)

    assert source.token(via=VIA) == source.current == saved[0]


@pytest.mark.usefixtures("no_threads")
async def test_without_threads_an_async_program_goes_on(foxy: Emulator) -> None:
    """R20: Where no thread can be started, an async caller gets its token and its callback does not hang."""
    saved: list[Token] = []

    async def on_token(token: Token) -> None:
        saved.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token)
    token = await source.atoken(via=VIA)

    assert token == source.current
    assert source.current in {*saved, source._saver._unsaved}


@pytest.mark.usefixtures("no_threads")
async def test_without_threads_an_async_flush_saves(foxy: Emulator) -> None:
    """R20: Where no thread can be started, `aflush` offers the token again all the same."""
    disk_full = [True]
    saved: list[Token] = []

    def on_token(token: Token) -> None:
        if disk_full:
            raise OSError(disk_full.pop())
        saved.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token)
    await source.atoken(via=VIA)
    await source.aflush()

    assert saved == [source.current]


# --- R23: nothing secret in what a program shows -------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda foxy: foxy.revoke_refresh_tokens(), id="gone"),
        pytest.param(lambda foxy: foxy.drop(), id="dropped"),
        pytest.param(lambda foxy: foxy.fail(400), id="of no use"),
        pytest.param(lambda foxy: foxy.close(), id="unreachable"),
    ],
)
@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2"])
def test_a_traceback_with_all_values_shows_no_secret(
    foxy: Emulator, clock: FakeClock, spoil: Callable[[Emulator], None], library: str
) -> None:
    """R23: Even a traceback that prints every local value, of all causes, shows no secret."""
    token = expired(foxy)
    source = source_for(foxy, token, clock=clock)
    secrets = (token.access_token, str(token.refresh_token), foxy.client_secret, _basic(foxy))
    spoil(foxy)
    text = _shown(source, library)

    assert "TokenUnavailableError" in text or "LoginRequiredError" in text
    assert not any(secret in text for secret in secrets)


def _basic(foxy: Emulator) -> str:
    return b64encode(f"{foxy.client_id}:{foxy.client_secret}".encode()).decode()


def _shown(source: TokenSource, library: str) -> str:
    try:
        source.token(via=library)
    except FoxyAuthError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return ""


def test_the_present_token_is_seen_without_waiting(foxy: Emulator) -> None:
    """R5: Looking at the token in memory waits for no refresh."""
    token = expired(foxy)
    auth = auth_for(foxy, token)
    with foxy.hold() as latch, ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(auth.get_token)
        latch.wait_for(1)
        seen = auth.token
        latch.release()

    assert seen == token
    assert waiting.result(PATIENCE) == auth.token
