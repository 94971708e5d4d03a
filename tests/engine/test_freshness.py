"""How fresh a token is: the two windows, their caps, chance, clocks that jump, and what a source does about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.concurrent_calls import in_tasks, in_threads, in_worker_thread
from support.properties import PROPERTY
from support.sources import DEADLINE, FakeClock, aget_token, expired, get_token, source_for, with_left

from foxy_auth._engine.freshness import LEEWAY_SHARE, REFRESH_AHEAD_SHARE, Freshness, Windows
from foxy_auth.emulator import Emulator
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_800_000_000.0
DEFAULTS = Windows(refresh_ahead=300.0, leeway=60.0)
FRESH, STALE, DUE, EXPIRED = Freshness
ORDER = [FRESH, STALE, DUE, EXPIRED]


def token_with(*, life: float | None, left: float | None) -> Token:
    """Return a token that has *left* seconds to live at `NOW`, of *life*."""
    expires_at = None if left is None else NOW + left
    obtained_at = None if expires_at is None or life is None else expires_at - life
    return Token("fakeAccess", expires_at=expires_at, obtained_at=obtained_at)


@pytest.mark.parametrize(
    ("life", "left", "freshness"),
    [
        pytest.param(7200, 300.001, FRESH, id="before the refresh-ahead window"),
        pytest.param(7200, 300, STALE, id="the refresh-ahead window opens"),
        pytest.param(7200, 60.001, STALE, id="before the leeway"),
        pytest.param(7200, 60, DUE, id="the leeway begins"),
        pytest.param(7200, 0.001, DUE, id="the last moment"),
        pytest.param(7200, 0, EXPIRED, id="the moment of expiry"),
        pytest.param(None, 300.001, FRESH, id="unknown life, before the refresh-ahead window"),
        pytest.param(None, 300, STALE, id="unknown life, the refresh-ahead window opens"),
        pytest.param(None, 60, DUE, id="unknown life, the leeway begins"),
        pytest.param(None, None, FRESH, id="unknown expiry"),
        pytest.param(60, 15.001, FRESH, id="a minute to live, before the refresh-ahead window"),
        pytest.param(60, 15, STALE, id="a minute to live, the refresh-ahead window opens"),
        pytest.param(60, 6, DUE, id="a minute to live, the leeway begins"),
        pytest.param(0, 0, EXPIRED, id="no life at all"),
        pytest.param(-5, 100, DUE, id="expired before it was obtained"),
    ],
)
def test_each_window_opens_at_its_edge(life: float | None, left: float | None, freshness: Freshness) -> None:
    """R5: Each window opens at its very edge, and both are capped by a share of the token's own life."""
    assert DEFAULTS.schedule(token_with(life=life, left=left)).freshness(NOW) is freshness


@pytest.mark.parametrize(
    ("jitter", "left", "freshness"),
    [(1.0, 240.001, FRESH), (1.0, 240, STALE), (0.5, 270.001, FRESH), (0.5, 270, STALE), (1.0, 60, DUE)],
)
def test_chance_shortens_the_refresh_ahead_window(jitter: float, left: float, freshness: Freshness) -> None:
    """R5: Chance takes up to 60 s off the refresh-ahead window, and nothing off the leeway."""
    assert DEFAULTS.schedule(token_with(life=7200, left=left), jitter=jitter).freshness(NOW) is freshness


@pytest.mark.parametrize("life", [7200.0, None], ids=["known expiry", "unknown expiry"])
@pytest.mark.parametrize(("obtained_in", "freshness"), [(60, FRESH), (60.001, DUE), (10**9, DUE)])
def test_a_token_from_the_future_is_due(obtained_in: float, freshness: Freshness, life: float | None) -> None:
    """R6: A token that was obtained later than a leeway from now is refreshed, whatever its expiry."""
    obtained_at = NOW + obtained_in
    token = Token("fakeAccess", obtained_at=obtained_at, expires_at=life and obtained_at + life)

    assert DEFAULTS.schedule(token).freshness(NOW) is freshness


# --- properties ----------------------------------------------------------------------------------------------------

seconds = st.floats(0.0, 10.0**6)
lives = st.floats(0.001, 10.0**6)
windows = st.builds(Windows, refresh_ahead=seconds, leeway=seconds)
fractions = st.floats(0.0, 1.0)


@PROPERTY
@given(windows, lives | st.none(), seconds, seconds, fractions)
def test_a_token_never_gets_fresher(
    windows: Windows, life: float | None, elapsed: float, further: float, jitter: float
) -> None:
    """R5: From its issue on, a token's freshness only declines."""
    issued = Token("fakeAccess", obtained_at=NOW, expires_at=None if life is None else NOW + life)
    schedule = windows.schedule(issued, jitter=jitter)
    sooner, later = (schedule.freshness(NOW + at) for at in (elapsed, elapsed + further))

    assert ORDER.index(sooner) <= ORDER.index(later)


@PROPERTY
@given(windows, st.floats(1.0, 10.0**6), fractions, fractions)
def test_windows_take_no_more_than_their_share(windows: Windows, life: float, part: float, jitter: float) -> None:
    """R5: A token is fresh for the first three quarters of its life, and nobody waits until its last tenth."""
    issued = Token("fakeAccess", obtained_at=NOW, expires_at=NOW + life)
    freshness = windows.schedule(issued, jitter=jitter).freshness(NOW + part * life)

    if part < 1 - REFRESH_AHEAD_SHARE - 0.001:
        assert freshness is FRESH
    elif part < 1 - LEEWAY_SHARE - 0.001:
        assert freshness in {FRESH, STALE}


@PROPERTY
@given(windows, lives, st.floats(-(10.0**6), 10.0**6), fractions)
def test_the_windows_do_not_move_the_expiry(windows: Windows, life: float, left: float, jitter: float) -> None:
    """R5: A token counts as expired from its expiry on, whatever the windows, and never before."""
    issued = token_with(life=life, left=left)

    assert (windows.schedule(issued, jitter=jitter).freshness(NOW) is EXPIRED) is issued.expired(NOW)


@PROPERTY
@given(windows, st.floats(-(10.0**6), 10.0**6), fractions)
def test_the_windows_open_in_order(windows: Windows, life: float, jitter: float) -> None:
    """R5: A token is signed with at once neither in the leeway nor past its expiry, whatever its windows and life."""
    schedule = windows.schedule(token_with(life=life, left=0.0), jitter=jitter)

    assert schedule.stale_at <= schedule.due_at <= schedule.expires_at
    assert life > 0 or schedule.stale_at == schedule.expires_at


@PROPERTY
@given(windows, lives, st.floats(-(10.0**9), 10.0**9), fractions)
def test_after_a_jump_a_token_is_fresh_within_its_life_only(
    windows: Windows, life: float, jump: float, jitter: float
) -> None:
    """R6: Wherever the clock has jumped to, a token is fresh only within the life that it was given."""
    issued = Token("fakeAccess", obtained_at=NOW, expires_at=NOW + life)

    if windows.schedule(issued, jitter=jitter).freshness(NOW + jump) in {FRESH, STALE}:
        assert -windows.leeway - 1e-6 <= jump < life + 1e-6


# --- what a source does --------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that the test turns."""
    return FakeClock()


@pytest.fixture
def clocked(clock: FakeClock) -> Iterator[Emulator]:
    """Give a Foxy that goes by the test's clock."""
    with Emulator(clock=clock.now) as foxy:
        yield foxy


def test_threads_go_on_with_a_stale_token(clocked: Emulator, clock: FakeClock) -> None:
    """R5: In the refresh-ahead window nobody waits for the refresh, which one caller has started."""
    token = with_left(clocked.grant(), 200.0, clock)
    source = source_for(clocked, token, clock=clock)
    with clocked.hold() as latch:
        first = get_token(source)
        latch.wait_for(1)
        meanwhile = in_threads(20, lambda: get_token(source))
        latch.release()
        source.flush()

    assert {first, *meanwhile} == {token}
    assert get_token(source) == source.grant.token != token
    assert len(clocked.token_calls) == 1


async def test_tasks_go_on_with_a_stale_token(clocked: Emulator, clock: FakeClock) -> None:
    """R5: In the refresh-ahead window no task waits for the refresh."""
    token = with_left(clocked.grant(), 200.0, clock)
    source = source_for(clocked, token, clock=clock)
    with clocked.hold() as latch:
        first = await aget_token(source)
        await in_worker_thread(latch.wait_for, 1)
        meanwhile = await in_tasks(20, lambda: aget_token(source))
        latch.release()
        await source.aflush()

    assert {first, *meanwhile} == {token} != {source.grant.token}
    assert len(clocked.token_calls) == 1


def test_callers_wait_for_the_refresh_of_a_due_token(clocked: Emulator, clock: FakeClock) -> None:
    """R5: In the leeway callers wait for the refresh and get its token."""
    token = with_left(clocked.grant(), 50.0, clock)
    source = source_for(clocked, token, clock=clock)

    assert get_token(source) == source.grant.token != token


def test_a_short_life_causes_no_storm(clocked: Emulator, clock: FakeClock) -> None:
    """R5: A token that lives for less than the windows is refreshed once in its life, not by every request."""
    clocked.access_token_life = 40.0
    source = source_for(clocked, expired(clocked), clock=clock)
    for _ in range(29):
        get_token(source)
        source.flush()
        clock.advance(1.0)

    assert len(clocked.token_calls) == 1


def test_a_token_without_expiry_is_used_until_it_is_rejected(clocked: Emulator, clock: FakeClock) -> None:
    """R4: Without a known expiry only a rejection leads to a refresh."""
    token = replace(clocked.grant(), expires_at=None)
    source = source_for(clocked, token, clock=clock)
    clock.advance(10.0**8)

    assert get_token(source) == token
    assert get_token(source, token) != token


def test_the_expiry_counts_from_before_the_request(clocked: Emulator, clock: FakeClock) -> None:
    """R4: However slow the response, the expiry counts from the moment before the token request left."""
    source = source_for(clocked, expired(clocked), clock=clock)
    asked_at = clock.now()
    with clocked.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(get_token, source)
        latch.wait_for(1)
        clock.advance(9.0)
        latch.release()
        token = waiting.result(DEADLINE)

    assert (token.obtained_at, token.expires_at) == (asked_at, asked_at + 7200.0)


@pytest.mark.parametrize("jump", [-(10.0**8), -4000.0, 4000.0, 10.0**8])
def test_a_jump_of_the_clock_locks_nobody_out(foxy: Emulator, clock: FakeClock, jump: float) -> None:
    """R6: However far the clock jumps, and back again, there is a token that the API takes."""
    source = source_for(foxy, with_left(foxy.grant(), 7200.0, clock), clock=clock)
    for seconds in (jump, -jump):
        clock.jump(seconds)
        assert foxy.is_live(get_token(source).access_token)

    assert len(foxy.token_calls) <= 2


def test_after_the_clock_was_set_back_one_refresh_is_enough(clocked: Emulator, clock: FakeClock) -> None:
    """R6: A token that was obtained in the future is replaced once, by one that counts from the present."""
    source = source_for(clocked, with_left(clocked.grant(), 7200.0, clock), clock=clock)
    clock.jump(-86400.0)
    tokens = [get_token(source) for _ in range(3)]

    assert {(token.obtained_at, token.expires_at) for token in tokens} == {(clock.now(), clock.now() + 7200.0)}
    assert len(clocked.token_calls) == 1
