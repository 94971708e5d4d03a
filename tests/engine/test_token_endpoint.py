"""Token requests that fail: which are repeated, when, and how often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.sources import DEADLINE, FakeClock, endpoint_for

from foxy_auth.errors import TokenUnavailableError
from foxy_auth.token import refresh_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from foxy_auth._engine.token_endpoint import TokenEndpoint
    from foxy_auth.emulator import Emulator
    from foxy_auth.token import Token


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that the test turns."""
    return FakeClock()


@pytest.fixture
def endpoint(foxy: Emulator, clock: FakeClock) -> TokenEndpoint:
    """Give the token endpoint, with a timeout of 5 s by the test's clock."""
    return endpoint_for(foxy, clock=clock, timeout=5.0)


@pytest.fixture
def refresh(foxy: Emulator, endpoint: TokenEndpoint) -> Callable[[], Token]:
    """Give a function that makes a token request."""
    refresh_token = refresh_secret(foxy.grant())
    return lambda: endpoint.refresh(refresh_token)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_request_that_was_turned_away_is_repeated(
    foxy: Emulator, refresh: Callable[[], Token], clock: FakeClock, status: int
) -> None:
    """R13: After 429 and 5xx the request is repeated, after pauses that double."""
    clock.chance = 1.0
    foxy.fail(status, times=2)
    token = refresh()

    assert foxy.is_live(token.access_token)
    assert len(foxy.token_calls) == 3
    assert clock.sleeps == [0.5, 1.0]


def test_three_attempts_are_enough(foxy: Emulator, refresh: Callable[[], Token], clock: FakeClock) -> None:
    """R13: After three attempts the failure stands; chance takes up to half of each pause away."""
    foxy.fail(500, times=3)
    with pytest.raises(TokenUnavailableError):
        refresh()

    assert len(foxy.token_calls) == 3
    assert clock.sleeps == [0.25, 0.5]


def test_retry_after(foxy: Emulator, refresh: Callable[[], Token], clock: FakeClock) -> None:
    """R13: A `Retry-After` that fits the deadline replaces the usual pause."""
    foxy.fail(429, headers={"Retry-After": "7"})
    refresh()

    assert clock.sleeps == [7.0]
    assert len(foxy.token_calls) == 2


def test_a_retry_after_beyond_the_deadline(foxy: Emulator, refresh: Callable[[], Token], clock: FakeClock) -> None:
    """R13: A `Retry-After` beyond the deadline ends the attempts, and the error tells how long to wait."""
    foxy.fail(503, headers={"Retry-After": "90"})
    with pytest.raises(TokenUnavailableError) as caught:
        refresh()

    assert caught.value.retry_after == 90.0
    assert len(foxy.token_calls) == 1
    assert clock.sleeps == []


def test_all_attempts_share_one_deadline(foxy: Emulator, refresh: Callable[[], Token], clock: FakeClock) -> None:
    """R13: No attempt begins later than three timeouts after the first, however slowly that one failed."""
    foxy.fail(500, times=3)
    with foxy.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(refresh)
        latch.wait_for(1)
        clock.advance(14.9)
        latch.release()
        with pytest.raises(TokenUnavailableError):
            waiting.result(DEADLINE)

    assert len(foxy.token_calls) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda foxy: foxy.drop(after=True), id="dropped after the work"),
        pytest.param(lambda foxy: foxy.drop(), id="dropped before the work"),
        pytest.param(lambda foxy: foxy.truncate(), id="truncated"),
        pytest.param(lambda foxy: foxy.fail(504, after=True), id="a gateway timeout"),
        pytest.param(lambda foxy: foxy.fail(200, body="<html>", after=True), id="HTML"),
        pytest.param(lambda foxy: foxy.oversize(2**20), id="endless"),
    ],
)
def test_a_request_whose_outcome_is_unknown_is_not_repeated(
    foxy: Emulator, refresh: Callable[[], Token], clock: FakeClock, spoil: Callable[[Emulator], None]
) -> None:
    """R13, R14: A token request that the provider may have answered is not repeated."""
    spoil(foxy)
    with pytest.raises(TokenUnavailableError):
        refresh()

    assert len(foxy.token_calls) == 1
    assert clock.sleeps == []


def test_a_request_that_never_left_is_repeated(foxy: Emulator) -> None:
    """R13: Where no connection comes about, the request is repeated, and succeeds once the endpoint is back."""

    class RestartingClock(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.sleeps) == 2:
                foxy.start()

    endpoint = endpoint_for(foxy, clock=RestartingClock())
    refresh_token = refresh_secret(foxy.grant())
    foxy.close()
    token = endpoint.refresh(refresh_token)

    assert foxy.is_live(token.access_token)
    assert len(foxy.token_calls) == 1
