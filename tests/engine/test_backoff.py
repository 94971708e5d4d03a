"""When no token is asked for: after refreshes that failed, and after new tokens that the API refused."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.concurrent_calls import in_threads
from support.sources import DEADLINE, FakeClock, expired, get_token, source_for, with_left

from foxy_auth._engine.backoff import LONGEST_RETRY_AFTER, SPACING, TOO_MANY, Backoff
from foxy_auth._engine.clock import Clock
from foxy_auth.emulator import Emulator
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, TokenRefusedError, TokenUnavailableError
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that the test turns."""
    return FakeClock()


@pytest.fixture
def clocked(clock: FakeClock) -> Iterator[Emulator]:
    """Give a Foxy that goes by the test's clock."""
    with Emulator(clock=clock.now) as foxy:
        yield foxy


# --- while the token still serves ----------------------------------------------------------------------------------


def test_failed_refreshes_ahead_are_logged_and_spaced(
    clocked: Emulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """R5: If a refresh ahead of the expiry fails, the token serves on, and the next attempt comes 30 s later."""
    token = with_left(clocked.grant(), 290.0, clock)
    source = source_for(clocked, token, clock=clock)
    clocked.fail(400, times=2)
    calls = []
    for seconds in (0.0, 0.0, 29.9, 0.1, 29.9, 0.1):
        clock.advance(seconds)
        assert get_token(source) == token
        source.flush()
        calls.append(len(clocked.token_calls))

    assert calls == [1, 1, 1, 2, 2, 3]
    assert source.grant.token != token
    assert [record.levelname for record in caplog.records if "not refreshed" in record.message] == ["WARNING"] * 2


def test_callers_at_the_same_time_keep_the_spacing(clocked: Emulator, clock: FakeClock) -> None:
    """R5: However many callers there are while a refresh fails, none of them starts another."""
    token = with_left(clocked.grant(), 200.0, clock)
    source = source_for(clocked, token, clock=clock)
    clocked.fail(400)
    used = in_threads(20, lambda: [get_token(source) for _ in range(5)])
    source.flush()

    assert used == [[token] * 5] * 20
    assert len(clocked.token_calls) == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param({"error": "invalid_client"}, TokenRefusedError, id="refused"),
        pytest.param({"error": "invalid_grant"}, LoginRequiredError, id="revoked"),
        pytest.param(None, TokenUnavailableError, id="unavailable"),
    ],
)
def test_a_due_token_serves_until_it_expires(
    clocked: Emulator, clock: FakeClock, body: object, error: type[FoxyAuthError]
) -> None:
    """R5: If the refresh in the leeway fails, the token serves on until its very expiry; then the error is raised."""
    token = with_left(clocked.grant(), 50.0, clock)
    source = source_for(clocked, token, clock=clock)
    clocked.fail(400, body=body, times=2)
    before = [get_token(source), get_token(source)]
    calls = len(clocked.token_calls)
    clock.advance(50.0)
    with pytest.raises(error):
        get_token(source)

    assert before == [token, token]
    assert calls == 1


def test_a_token_that_expires_while_its_refresh_fails_is_not_used(clocked: Emulator, clock: FakeClock) -> None:
    """R5: A token that was still good when a caller began to wait, but no longer is, is not given out."""
    source = source_for(clocked, with_left(clocked.grant(), 50.0, clock), clock=clock)
    clocked.fail(400)
    with clocked.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(get_token, source)
        latch.wait_for(1)
        clock.advance(51.0)
        latch.release()
        with pytest.raises(TokenUnavailableError):
            waiting.result(DEADLINE)


# --- revoked grants ------------------------------------------------------------------------------------------------


def test_a_revoked_grant_causes_no_storm(foxy: Emulator) -> None:
    """R12: After `invalid_grant`, requests fail at once without a token request, each with an error of its own."""
    source = source_for(foxy, expired(foxy))
    foxy.revoke_refresh_tokens()
    errors = [error for _ in range(5) for error in in_threads(10, lambda: get_token(source))]

    assert [type(error) for error in errors] == [LoginRequiredError] * 50
    assert {error.error for error in errors} == {"invalid_grant"}
    assert len({id(error) for error in errors}) == 50
    assert len(foxy.token_calls) == 1


def test_a_revoked_grant_does_not_waste_a_valid_token(clocked: Emulator, clock: FakeClock) -> None:
    """R5, R12: A token that has not expired serves on although the grant was revoked, without token requests."""
    token = with_left(clocked.grant(), 250.0, clock)
    source = source_for(clocked, token, clock=clock)
    clocked.revoke_refresh_tokens()
    used = []
    for _ in range(8):
        used.append(get_token(source))
        source.flush()
        clock.advance(31.0)

    assert used == [token] * 8
    assert len(clocked.token_calls) == 1


def test_without_a_refresh_token(foxy: Emulator) -> None:
    """R12: A grant without a refresh token, once its token has expired, asks for a login without a token request."""
    source = source_for(foxy, replace(expired(foxy), refresh_token=None))
    with pytest.raises(LoginRequiredError, match="authorize again"):
        get_token(source)

    assert foxy.token_calls == []


# --- refusals and Retry-After --------------------------------------------------------------------------------------


def test_a_client_that_is_refused_stops_asking(clocked: Emulator, clock: FakeClock) -> None:
    """R12: After three refusals of the client in a row nothing is asked for half a minute."""
    source = source_for(clocked, expired(clocked), clock=clock)
    clocked.fail(400, body={"error": "invalid_client"}, times=TOO_MANY + 1)
    calls = []
    for seconds in (0.0, SPACING - 0.1, 0.1, SPACING - 0.1):
        clock.advance(seconds)
        for _ in range(10):
            with pytest.raises(TokenRefusedError):
                get_token(source)
        calls.append(len(clocked.token_calls))
    clock.advance(0.1)

    assert calls == [TOO_MANY, TOO_MANY, TOO_MANY + 1, TOO_MANY + 1]
    assert get_token(source) == source.grant.token


def test_a_long_retry_after_is_obeyed_by_later_callers(foxy: Emulator, clock: FakeClock) -> None:
    """R13: Until a `Retry-After` has passed, callers fail at once and are told how long to wait."""
    source = source_for(foxy, expired(foxy), clock=clock, timeout=5.0)
    foxy.fail(503, headers={"Retry-After": "90"})
    seen = []
    for seconds in (0.0, 30.0, 59.0):
        clock.advance(seconds)
        with pytest.raises(TokenUnavailableError) as caught:
            get_token(source)
        seen.append((caught.value.retry_after, len(foxy.token_calls)))
    clock.advance(1.0)
    get_token(source)

    assert seen == [(90.0, 1), (60.0, 1), (1.0, 1)]
    assert len(foxy.token_calls) == 2


def test_an_absurd_retry_after_is_obeyed_for_an_hour(foxy: Emulator, clock: FakeClock) -> None:
    """R13: No `Retry-After` locks a program out for longer than an hour."""
    source = source_for(foxy, expired(foxy), clock=clock)
    foxy.fail(429, headers={"Retry-After": "99999999"})
    with pytest.raises(TokenUnavailableError):
        get_token(source)
    clock.advance(LONGEST_RETRY_AFTER)

    assert foxy.is_live(get_token(source).access_token)


def test_a_retry_after_spares_the_valid_token(clocked: Emulator, clock: FakeClock) -> None:
    """R5, R13: While the provider wants no requests, a token that has not expired serves on."""
    token = with_left(clocked.grant(), 290.0, clock)
    source = source_for(clocked, token, clock=clock)
    clocked.fail(429, headers={"Retry-After": "120"})
    calls = []
    for seconds in (0.0, 31.0, 88.0, 1.0):
        clock.advance(seconds)
        assert get_token(source) == token
        source.flush()
        calls.append(len(clocked.token_calls))

    assert calls == [1, 1, 1, 2]


# --- new tokens that the API refuses -------------------------------------------------------------------------------


def test_refreshes_are_futile_after_three_refused_tokens(foxy: Emulator, clock: FakeClock) -> None:
    """R15: After three new tokens in a row were refused at once, refreshes count as futile for half a minute."""
    source = source_for(foxy, foxy.grant(), clock=clock)
    futile = []
    for _ in range(TOO_MANY):
        token = get_token(source, source.grant.token)
        for _ in range(2):  # two requests that shared one refresh count once
            source.record_retry(token, rejected=True)
        futile.append(source.is_refresh_futile)
    clock.advance(SPACING - 0.1)
    futile.append(source.is_refresh_futile)
    clock.advance(0.1)
    futile.append(source.is_refresh_futile)

    assert futile == [False, False, True, True, False]


@pytest.mark.parametrize("how", ["accepted", "late"])
def test_refused_tokens_that_are_not_in_a_row(foxy: Emulator, clock: FakeClock, how: str) -> None:
    """R15: A new token that the API takes begins the count anew, and so does half a minute."""
    source = source_for(foxy, foxy.grant(), clock=clock)
    for _ in range(2 * TOO_MANY):
        source.record_retry(get_token(source, source.grant.token), rejected=True)
        assert not source.is_refresh_futile
        if how == "late":
            clock.advance(SPACING)
        else:
            source.record_retry(get_token(source, source.grant.token), rejected=False)


@pytest.mark.parametrize("between", [None, TokenUnavailableError("away")], ids=["success", "other failure"])
def test_refusals_that_are_not_in_a_row(clock: FakeClock, between: FoxyAuthError | None) -> None:
    """R12: A refresh that succeeds, or fails otherwise, begins the count of refusals anew."""
    backoff = Backoff(clock.clock)
    for _ in range(2):
        if between:
            backoff.record_failure(between, None)
        else:
            backoff.record_success()
        assert backoff.is_resting() == bool(between)
        for _ in range(TOO_MANY - 1):
            backoff.record_failure(TokenRefusedError("no", error="invalid_client", status=401), None)
            assert backoff.blocking_error() is None


def test_an_accepted_token_begins_the_count_anew(clock: FakeClock) -> None:
    """R15: After a new token that the API took, it takes three refused ones again until refreshes are futile."""
    backoff = Backoff(clock.clock)
    backoff.record_retry(Token("made-up-refused"), rejected=True)
    backoff.record_retry(Token("made-up-taken"), rejected=False)
    for number in range(TOO_MANY - 1):
        backoff.record_retry(Token(f"made-up-{number}"), rejected=True)

    assert not backoff.is_refresh_futile


def test_a_copy_in_another_process_begins_anew() -> None:
    """R21: What was pickled remembers no failure, and notes its own."""
    backoff = Backoff(Clock())
    backoff.record_failure(TokenUnavailableError("away"), None)
    unpickled = pickle.loads(pickle.dumps(backoff))  # noqa: S301 - our own

    assert not unpickled.is_resting()
    unpickled.record_failure(TokenUnavailableError("away"), None)
    assert unpickled.is_resting()
