"""R4 to R14: expiry, the one refresh, and a token endpoint in trouble, as requests meet them."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from clients.drivers import every_library
from clients.grants import aged, make_auth
from support.sources import FakeClock

from foxy_auth import Environment, FoxyAuth, LoginRequiredError, Token, TokenRefusedError, TokenUnavailableError

if TYPE_CHECKING:
    from clients.drivers import Client

    from foxy_auth.emulator import Emulator

TOKEN = "/token"
MANY = 8

# --- R4 to R6: expiry ------------------------------------------------------------------------------------------------


def test_lifetime_counts_from_before_the_request(client: Client, foxy: Emulator) -> None:
    """R4: a token's life begins before the token request leaves, however long the response takes."""
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    with foxy.hold(TOKEN) as latch:
        started = client.start("GET", foxy.store_url, auth=auth)
        latch.wait_for(1)
        arrived_at = time.time()
    started.result(10)

    assert auth.token
    assert auth.token.obtained_at is not None
    assert auth.token.obtained_at <= arrived_at
    assert auth.token.expires_at == pytest.approx(auth.token.obtained_at + 7200)


def test_token_of_unknown_expiry_serves_until_a_401(client: Client, foxy: Emulator) -> None:
    """R4: where the response tells no lifetime, the token serves until a 401."""
    foxy.token_fields = {"expires_in": ...}
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    statuses = [client.get(foxy.store_url, auth=auth).status for _ in range(2)]
    before = len(foxy.token_calls)
    foxy.revoke_access_tokens()
    statuses.append(client.get(foxy.store_url, auth=auth).status)

    assert (statuses, before, len(foxy.token_calls)) == ([200] * 3, 1, 2)


def test_refresh_ahead_delays_no_request(client: Client, foxy: Emulator, saved: list[Token]) -> None:
    """R5: near its expiry the token goes on serving while a refresh is under way."""
    old = aged(foxy.grant(), left=200)
    auth = make_auth(foxy, token=old, on_token=saved.append)
    with foxy.hold(TOKEN) as latch:
        statuses = [client.get(foxy.store_url, auth=auth).status for _ in range(3)]
        latch.wait_for(1)
    auth.flush()

    assert (statuses, len(foxy.token_calls), saved) == ([200] * 3, 1, [auth.token])
    assert {call.access_token for call in foxy.api_calls} == {old.access_token}
    assert auth.token != old


def test_failed_refresh_ahead_fails_no_request(
    client: Client, foxy: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """R5: a refresh ahead that fails is logged, and tried again only later."""
    auth = make_auth(foxy, token=aged(foxy.grant(), left=200))
    foxy.fail(200, body="<html>", content_type="text/html", times=9)
    first = client.get(foxy.store_url, auth=auth).status
    auth.flush()
    second = client.get(foxy.store_url, auth=auth).status
    auth.flush()

    assert ([first, second], len(foxy.token_calls)) == ([200, 200], 1)
    assert "not refreshed" in caplog.text


def test_within_the_leeway_requests_wait(client: Client, foxy: Emulator) -> None:
    """R5: just before its expiry a token is refreshed first."""
    auth = make_auth(foxy, token=aged(foxy.grant(), left=30))
    with foxy.hold(TOKEN) as latch:
        started = client.start("GET", foxy.store_url, auth=auth)
        latch.wait_for(1)
        before = foxy.api_calls
    response = started.result(10)

    assert (before, response.status) == ([], 200)
    assert foxy.api_calls[0].access_token == (auth.token and auth.token.access_token)


def test_within_the_leeway_a_failure_fails_no_request(client: Client, foxy: Emulator) -> None:
    """R5: a refresh within the leeway that fails leaves the token that has not expired."""
    old = aged(foxy.grant(), left=30)
    foxy.fail(200, body="[]")
    response = client.get(foxy.store_url, auth=make_auth(foxy, token=old))

    assert (response.status, len(foxy.token_calls)) == (200, 1)
    assert foxy.api_calls[0].access_token == old.access_token


def test_short_lived_token_is_not_refreshed_by_each_request(client: Client, foxy: Emulator) -> None:
    """R5: the windows shrink with the token's own life."""
    foxy.access_token_life = 50
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    for _ in range(3):
        client.get(foxy.store_url, auth=auth)

    assert len(foxy.token_calls) == 1


@every_library
@pytest.mark.parametrize("left", [-1, 20_000], ids=["expired", "obtained-in-the-future"])
def test_expired_token_is_never_sent(client: Client, foxy: Emulator, left: float) -> None:
    """R5, R6: a token that has expired, or shows that a clock has jumped, is refreshed before anything is sent."""
    auth = make_auth(foxy, token=aged(foxy.grant(), left=left))
    client.get(foxy.store_url, auth=auth)

    assert [(call.path == TOKEN, call.status) for call in foxy.calls] == [(True, 200), (False, 200)]


def test_401_overrides_the_clock(client: Client, foxy: Emulator) -> None:
    """R6: a 401 makes a token stale, however long it has to go by our clock."""
    auth = make_auth(foxy, token=aged(foxy.grant(), left=7000))
    foxy.expire_access_tokens()

    assert (client.get(foxy.store_url, auth=auth).status, len(foxy.token_calls)) == (200, 1)


# --- R7 to R12: one refresh ------------------------------------------------------------------------------------------


@every_library
def test_many_requests_share_one_refresh(client: Client, foxy: Emulator, saved: list[Token]) -> None:
    """R7: however many requests need a token at once, one token request is made."""
    foxy.rotate_refresh_tokens = True
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token, on_token=saved.append)
    responses = client.send_all(MANY, "GET", foxy.store_url, auth=auth)

    assert ([response.status for response in responses], len(foxy.token_calls)) == ([200] * MANY, 1)
    assert [token.refresh_token for token in saved] == [foxy.current_refresh_token]


@every_library
def test_many_requests_share_one_failure(client: Client, foxy: Emulator) -> None:
    """R7: all who wait for a refresh share its failure, and each gets an error of its own."""
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    foxy.revoke_refresh_tokens()
    with foxy.hold(TOKEN) as latch:
        started = [client.start("GET", foxy.store_url, auth=auth) for _ in range(MANY)]
        latch.wait_for(1)
    errors = [request.exception(10) for request in started]

    assert ({isinstance(error, LoginRequiredError) for error in errors}, len(foxy.token_calls)) == ({True}, 1)
    assert len({id(error) for error in errors}) == MANY


@every_library
def test_many_401s_share_one_refresh(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R8: requests that get a 401 for the same token make one token request, and all succeed."""
    with foxy.hold(foxy.store_url) as latch:
        started = [client.start("GET", foxy.store_url, auth=auth) for _ in range(MANY)]
        latch.wait_for(MANY)
        foxy.revoke_access_tokens()
    statuses = [request.result(10).status for request in started]

    assert (statuses, len(foxy.token_calls)) == ([200] * MANY, 1)
    assert foxy.current_refresh_token == (auth.token and auth.token.refresh_token)


def test_late_401_makes_no_token_request(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R8: a 401 for a token that has been replaced meanwhile leads to a retry with the new one."""
    with foxy.hold(foxy.store_url) as latch:
        late = client.start("GET", foxy.store_url, auth=auth)
        latch.wait_for(1)
        foxy.revoke_access_tokens()
        early = client.get(foxy.url, auth=auth)

    assert (early.status, late.result(10).status, len(foxy.token_calls)) == (200, 200, 1)


@every_library
def test_abandoned_request_loses_no_token(client: Client, auth: FoxyAuth, foxy: Emulator, saved: list[Token]) -> None:
    """R9: when a caller is cancelled or interrupted in mid-refresh, the new token is kept and delivered."""
    foxy.revoke_access_tokens()
    with foxy.hold(TOKEN) as latch:
        client.abandon(latch.wait_for, "GET", foxy.store_url, auth=auth)
    auth.flush()

    assert [token.refresh_token for token in saved] == [foxy.current_refresh_token]
    assert (client.get(foxy.store_url, auth=auth).status, len(foxy.token_calls)) == (200, 1)


def test_abandoned_request_fails_no_other(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R9: when the caller that started a refresh is cancelled or interrupted, another one gets its outcome."""
    foxy.revoke_access_tokens()
    with foxy.hold(TOKEN) as latch:
        client.abandon(latch.wait_for, "GET", foxy.store_url, auth=auth)
        other = client.start("GET", foxy.store_url, auth=auth)
        client.run_another_task()

    assert (other.result(10).status, len(foxy.token_calls)) == (200, 1)


def test_response_without_refresh_token_keeps_the_old(client: Client, foxy: Emulator, saved: list[Token]) -> None:
    """R10: a token response without a refresh token keeps the one that was sent, for the callback too."""
    foxy.omit_refresh_token = True
    first = foxy.grant()
    auth = make_auth(foxy, token=first, on_token=saved.append)
    for _ in range(2):
        foxy.revoke_access_tokens()
        client.get(foxy.store_url, auth=auth)

    assert [call.status for call in foxy.token_calls] == [200, 200]
    assert [token.refresh_token for token in saved] == [first.refresh_token] * 2


def test_rotated_refresh_token_replaces_the_old(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R10: a token response's refresh token is the one that is sent next."""
    for _ in range(3):
        foxy.revoke_access_tokens()
        client.get(foxy.store_url, auth=auth)

    assert [call.status for call in foxy.token_calls] == [200] * 3
    assert len({call.form["refresh_token"] for call in foxy.token_calls}) == 3


def test_revoked_grant_makes_one_token_request(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R12: after `invalid_grant` every request says that a login is required, without another token request."""
    foxy.revoke_access_tokens()
    foxy.revoke_refresh_tokens()
    for _ in range(3):
        with pytest.raises(LoginRequiredError, match="authorize again"):
            client.get(foxy.store_url, auth=auth)

    assert len(foxy.token_calls) == 1


# --- R13 and R14: the token endpoint in trouble ----------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock on which pauses take no time."""
    return FakeClock(time.time())


@pytest.mark.parametrize(
    ("fault", "pauses"),
    [({"status": 500, "times": 2}, 2), ({"status": 429, "headers": {"Retry-After": "7"}}, [7.0])],
    ids=["500", "429"],
)
def test_token_request_that_was_turned_away_is_repeated(
    client: Client, foxy: Emulator, clock: FakeClock, fault: dict[str, Any], pauses: int | list[float]
) -> None:
    """R13: a token request that the endpoint did not process is repeated after a pause, as `Retry-After` asks."""
    auth = make_auth(foxy, clock=clock)
    foxy.revoke_access_tokens()
    foxy.fail(**fault)

    assert (client.get(foxy.store_url, auth=auth).status, foxy.token_calls[-1].status) == (200, 200)
    assert len(foxy.token_calls) == 1 + len(clock.sleeps)
    assert pauses in (len(clock.sleeps), clock.sleeps)


def test_token_request_is_sent_three_times_at_most(client: Client, foxy: Emulator, clock: FakeClock) -> None:
    """R13: token requests are repeated twice, and the grant is not lost."""
    auth = make_auth(foxy, clock=clock)
    foxy.revoke_access_tokens()
    foxy.fail(500, times=3)
    with pytest.raises(TokenUnavailableError, match="try later"):
        client.get(foxy.store_url, auth=auth)
    failed = len(foxy.token_calls)

    assert (failed, client.get(foxy.store_url, auth=auth).status) == (3, 200)


def test_long_retry_after_is_passed_on(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R13: a long `Retry-After` is an error that says how long it is, and nothing is sent before."""
    foxy.revoke_access_tokens()
    foxy.fail(429, headers={"Retry-After": "600"})
    waits = []
    for _ in range(3):
        with pytest.raises(TokenUnavailableError) as caught:
            client.get(foxy.store_url, auth=auth)
        waits.append(caught.value.retry_after)

    assert waits == pytest.approx([600] * 3, abs=5)
    assert len(foxy.token_calls) == 1


@every_library
def test_refused_connection_is_tried_again(client: Client, foxy: Emulator, clock: FakeClock) -> None:
    """R13: a token request that never reached the endpoint is repeated; if that does not help, the error says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = Environment(api=foxy.url, token_endpoint=f"http://127.0.0.1:{port}/token")
    auth = make_auth(foxy, clock=clock, environment=environment)
    foxy.revoke_access_tokens()
    with pytest.raises(TokenUnavailableError, match="could not be reached"):
        client.get(foxy.store_url, auth=auth)

    assert len(clock.sleeps) == 2


USELESS = {
    "html": (200, b"<html>Welcome to the hotel's network</html>"),
    "half-a-token": (200, b'{"access_token": "abc'),
    "no-content": (204, b""),
    "gateway-timeout": (504, b"<html>Gateway timeout</html>"),
}


@pytest.mark.parametrize("name", USELESS)
def test_useless_token_response_loses_nothing(client: Client, foxy: Emulator, name: str) -> None:
    """R13, R14: a response that brings no token is a clear error; the token request is not repeated by itself."""
    status, body = USELESS[name]
    auth = make_auth(foxy)
    foxy.revoke_access_tokens()
    foxy.fail(status, body=body)
    with pytest.raises(TokenUnavailableError, match=rf"\btoken endpoint\b.*\({status}\).*; (check|try)"):
        client.get(foxy.store_url, auth=auth)
    failed = len(foxy.token_calls)

    assert (failed, client.get(foxy.store_url, auth=auth).status) == (1, 200)


@every_library
@pytest.mark.parametrize("break_off", ["drop", "truncate"])
def test_token_response_that_breaks_off_loses_nothing(client: Client, foxy: Emulator, break_off: str) -> None:
    """R13, R14: a token request whose response is lost is an error; the next request makes another."""
    auth = make_auth(foxy)
    foxy.revoke_access_tokens()
    getattr(foxy, break_off)()
    with pytest.raises(TokenUnavailableError):
        client.get(foxy.store_url, auth=auth)
    failed = len(foxy.token_calls)

    assert (failed, client.get(foxy.store_url, auth=auth).status) == (1, 200)


@pytest.mark.parametrize(("code", "status"), [("invalid_grant", 200), ("invalid_client", 401)])
def test_refusal_is_known_by_its_error_code(
    client: Client, auth: FoxyAuth, foxy: Emulator, code: str, status: int
) -> None:
    """R14: a refusal by the token endpoint is known by its `error`, whatever the status."""
    expected = {"invalid_grant": LoginRequiredError, "invalid_client": TokenRefusedError}[code]
    foxy.revoke_access_tokens()
    foxy.fail(status, body={"error": code, "error_description": "Because."})

    with pytest.raises(expected, match=f"{code}: Because."):
        client.get(foxy.store_url, auth=auth)


def test_oversized_token_response_is_cut_off(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R14: of a token response of a GiB, little is read."""
    foxy.revoke_access_tokens()
    foxy.oversize(2**30)
    with pytest.raises(TokenUnavailableError, match="longer than"):
        client.get(foxy.store_url, auth=auth)

    assert client.get(foxy.store_url, auth=auth).status == 200


def test_token_endpoint_that_does_not_respond_is_an_error(client: Client, foxy: Emulator) -> None:
    """R14: a token request without a response ends with the timeout, and is not repeated by itself."""
    auth = make_auth(foxy, timeout=0.5)
    foxy.revoke_access_tokens()
    with foxy.hold(TOKEN) as latch, pytest.raises(TokenUnavailableError, match="did not answer"):
        client.get(foxy.store_url, auth=auth)
    latch.release()

    assert (len(foxy.token_calls), client.get(foxy.store_url, auth=auth).status) == (1, 200)
