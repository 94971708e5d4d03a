"""
The contract: what every client can rely on.

Each scenario is written once and run with every client library that is installed, in each of its colours.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import pytest
from clients.drivers import LIBRARIES
from clients.grants import aged, count_boarding, make_auth, pass_time, record_pauses, secrets_of
from clients.trickle import FIRST, SECOND, Trickle

from foxy_auth import (
    Environment,
    FoxyAuth,
    FoxyAuthError,
    LoginRequiredError,
    StoreError,
    Token,
    TokenRefusedError,
    TokenUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clients.drivers import Client, Library

    from foxy_auth.emulator import Emulator

TOKEN = "/token"
MANY = 8

# --- R1 to R3: what is signed ---------------------------------------------------------------------------------------

OWN = {
    "home": "https://api.foxycart.com/",
    "no-path": "https://api.foxycart.com",
    "default-port": "https://api.foxycart.com:443/stores/1?zoom=x",
    "upper-case": "https://API.FoxyCart.com/",
    "other-name-of-production": "https://api.foxy.io/stores/1",
    "userinfo": "https://somebody:else@api.foxycart.com/",
}

FOREIGN = {
    "cleartext": "http://api.foxycart.com/",
    "cleartext-at-443": "http://api.foxycart.com:443/",
    "port": "https://api.foxycart.com:8443/",
    "parent": "https://foxycart.com/",
    "subdomain": "https://x.api.foxycart.com/",
    "longer-host": "https://api.foxycart.com.evil.example/",
    "prefixed-host": "https://evilapi.foxycart.com/",
    "hyphen-for-dot": "https://api-foxycart.com/",
    "any-character-for-dot": "https://apixfoxycart.com/",
    "trailing-dot": "https://api.foxycart.com./",
    "userinfo": "https://api.foxycart.com@evil.example/",
    "userinfo-with-port": "https://api.foxycart.com:443@evil.example/",
    "userinfo-with-escaped-slash": "https://api.foxycart.com%2f@evil.example/",
    "in-path": "https://evil.example/https://api.foxycart.com/",
    "in-query": "https://evil.example?https://api.foxycart.com/",
    "in-fragment": "https://evil.example#@api.foxycart.com/",
}


def production_auth() -> FoxyAuth:
    """Make an auth object for Foxy itself."""
    return FoxyAuth(client_id="client_Fake", client_secret="FakeSecret", token=Token("FakeAccess", refresh_token="r"))


def headers_sent(library: Library, url: str) -> Mapping[str, str]:
    """Return the headers that a request to *url* would have; none if the client makes nothing of the address."""
    sent: list[Mapping[str, str]] = [{}]
    opened = library.open(intercept=lambda _, headers: sent.append(headers))
    with opened as client, suppress(library.invalid_url):
        client.get(url, auth=production_auth())
    return sent[-1]


def test_requests_to_an_own_origin_are_signed(library: Library) -> None:
    """R1: a request to one of the environment's origins carries the token and the version."""
    sent = {name: headers_sent(library, url) for name, url in OWN.items()}

    assert {name: headers.get("authorization") for name, headers in sent.items()} == dict.fromkeys(
        OWN, "Bearer FakeAccess"
    )
    assert {name: headers.get("foxy-api-version") for name, headers in sent.items()} == dict.fromkeys(OWN, "1")


def test_requests_to_a_foreign_origin_are_not_signed(library: Library) -> None:
    """R1: a request to another scheme, host or port carries neither token nor version, however it is written."""
    sent = {name: headers_sent(library, url) for name, url in FOREIGN.items()}
    signed = [name for name, headers in sent.items() if {"authorization", "foxy-api-version"} & headers.keys()]

    assert signed == []
    assert [name for name, headers in sent.items() if not headers] == []


@pytest.mark.parametrize("trick", ["{foreign}\\@{own}", "{own}\\@{foreign}", "{own}@{foreign}", "{foreign}#@{own}"])
def test_two_faced_addresses_show_nothing_abroad(
    client: Client, library: Library, auth: FoxyAuth, foxy: Emulator, trick: str
) -> None:
    """R1: whatever a client makes of an address that can be read in two ways, the other server sees no token."""
    url = "http://" + trick.format(own=urlsplit(foxy.url).netloc, foreign=urlsplit(foxy.elsewhere.url).netloc) + "/"
    with suppress(library.invalid_url):
        client.get(url, auth=auth)

    assert [call.access_token for call in foxy.elsewhere.calls] == [None] * len(foxy.elsewhere.calls)


def test_requests_to_another_server_arrive_untouched(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R1: another server on this machine, on another port, is sent no token."""
    answer = client.get(foxy.elsewhere.url, auth=auth)

    assert (answer.status, [call.access_token for call in foxy.elsewhere.calls]) == (200, [None])
    assert "FOXY-API-VERSION" not in foxy.elsewhere.calls[0].headers


def test_requests_to_another_server_need_no_token(client: Client, foxy: Emulator) -> None:
    """R1: a request to a foreign origin is made even where there is no token yet, and gets none."""
    auth = make_auth(foxy, refresh_token="fake")

    assert (client.get(foxy.elsewhere.url, auth=auth).status, foxy.token_calls) == (200, [])


def test_own_version_header_stays(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R1: a request that names its API version keeps it."""
    answer = client.get(foxy.store_url, auth=auth, headers={"FOXY-API-VERSION": "2"})

    assert (answer.status, foxy.api_calls[0].headers["FOXY-API-VERSION"]) == (400, "2")


def test_foreign_401_is_nobodys_business(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R2: a 401 of another server starts no refresh and no retry."""
    foxy.elsewhere.status = 401

    status = client.get(foxy.elsewhere.url, auth=auth).status

    assert (status, len(foxy.elsewhere.calls), foxy.token_calls) == (401, 1, [])


@pytest.mark.parametrize(("method", "status"), [("GET", 302), ("POST", 303), ("POST", 308)])
def test_redirect_abroad_loses_the_token(
    client: Client, auth: FoxyAuth, foxy: Emulator, method: str, status: int
) -> None:
    """R2: a redirect to another server that answers 401 shows it no token, and starts no refresh."""
    foxy.elsewhere.status = 401
    answer = client.send(method, f"{foxy.url}/redirect?status={status}&to={foxy.elsewhere.url}/page", auth=auth)

    assert (answer.status, answer.history) == (401, (status,))
    assert [call.access_token for call in foxy.elsewhere.calls] == [None]
    assert "Authorization" not in foxy.elsewhere.calls[0].headers
    assert (foxy.token_calls, len(foxy.api_calls)) == ([], 1)


def test_redirect_abroad_and_back_is_not_signed_again(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R2: where another server chose the way back to us, the 401 that follows is left alone."""
    bounce = f"{foxy.elsewhere.url}/bounce?to={foxy.store_url}"
    answer = client.get(f"{foxy.url}/redirect?to={bounce}", auth=auth)

    assert (answer.status, answer.history) == (401, (302, 302))
    assert [call.access_token is None for call in foxy.api_calls] == [False, True]
    assert foxy.token_calls == []


def test_session_header_does_not_replace_ours(library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R3: an Authorization header of the session's own gives way to the token."""
    with library.open(headers={"Authorization": "Basic c29tZWJvZHk6ZWxzZQ=="}) as client:
        answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, foxy.api_calls[0].access_token) == (200, auth.token and auth.token.access_token)


def test_userinfo_does_not_replace_our_header(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R3: a name and password in the address give way to the token."""
    answer = client.get(foxy.store_url.replace("//", "//somebody:else@"), auth=auth)

    assert (answer.status, len(foxy.api_calls)) == (200, 1)


@pytest.fixture
def netrc(clean_environment: Path) -> None:
    """Leave a password for the emulator's host in the home folder."""
    file = clean_environment / ".netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n")
    file.chmod(0o600)


def test_netrc_does_not_replace_our_header(client: Client, auth: FoxyAuth, foxy: Emulator, netrc: None) -> None:
    """R3: a netrc entry for the API's host gives way to the token."""
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, len(foxy.api_calls), foxy.token_calls) == (200, 1, [])


def test_netrc_does_not_win_on_a_redirect(client: Client, auth: FoxyAuth, foxy: Emulator, netrc: None) -> None:
    """R3: where the client puts netrc's password on a same-origin redirect, the refusal is answered by the token."""
    answer = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth)

    assert (answer.status, foxy.api_calls[-1].access_token) == (200, auth.token and auth.token.access_token)
    assert (foxy.api_calls[-1].path, foxy.token_calls) == (urlsplit(foxy.store_url).path, [])


def test_netrc_on_a_redirect_needs_one_connection(
    library: Library, auth: FoxyAuth, foxy: Emulator, netrc: None
) -> None:
    """R3: the refusal of netrc's password gives its connection back before the retry."""
    with library.open(pool=1) as client:
        answer = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth)

    assert answer.status == 200


def test_netrc_does_not_reach_token_calls(client: Client, auth: FoxyAuth, foxy: Emulator, netrc: None) -> None:
    """R3: a token call is authenticated by the OAuth client's secret, whatever netrc says."""
    foxy.revoke_access_tokens()
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, [call.status for call in foxy.token_calls]) == (200, [200])


def test_token_calls_follow_no_redirect(client: Client, auth: FoxyAuth, foxy: Emulator, library: Library) -> None:
    """R3: a token call that is sent elsewhere ends there; the client secret stays here."""
    foxy.revoke_access_tokens()
    foxy.redirect_token_calls(f"{foxy.elsewhere.url}/token")

    with pytest.raises(TokenUnavailableError, match="redirects"):
        client.get(foxy.store_url, auth=auth)
    assert (foxy.elsewhere.calls, len(foxy.token_calls)) == ([], 1)


def two_origins(foxy: Emulator) -> tuple[Environment, str]:
    """Return an environment of two origins, and an address at the first that redirects to a store at the second."""
    second = f"http://localhost:{urlsplit(foxy.url).port}"
    address = f"{foxy.url}/redirect?to={second}{urlsplit(foxy.store_url).path}"
    return Environment(api=foxy.url, origins=(second,)), address


def test_redirect_between_own_origins_keeps_the_token(client: Client, foxy: Emulator) -> None:
    """R3: a redirect from one own origin to another, on which the client drops the header, is signed again."""
    environment, address = two_origins(foxy)
    answer = client.get(address, auth=make_auth(foxy, environment=environment))

    assert (answer.status, [call.status for call in foxy.api_calls]) == (200, [302, 401, 200])
    assert foxy.token_calls == []


@pytest.mark.parametrize("body", [None, b"one part, and another"], ids=["no-body", "body"])
def test_dead_token_is_found_out_after_a_redirect(client: Client, foxy: Emulator, body: bytes | None) -> None:
    """R3: where that token then turns out to be dead, this is answered by the one refresh and the one retry too."""
    environment, address = two_origins(foxy)
    auth = make_auth(foxy, environment=environment)
    foxy.fail(307, headers={"Location": address.partition("to=")[2]}, path="/redirect")
    foxy.revoke_access_tokens()
    answer = client.send("POST" if body else "GET", address, auth=auth, content=body)

    assert (answer.status, [call.status for call in foxy.api_calls]) == (200, [307, 401, 401, 200])
    assert [call.body_length for call in foxy.api_calls] == [len(body or b"")] * 4
    assert len(foxy.token_calls) == 1


def test_redirect_after_the_retry_keeps_the_token(client: Client, foxy: Emulator) -> None:
    """R3: where it is the retry that is redirected to the other origin, it is signed again there as well."""
    environment, address = two_origins(foxy)
    auth = make_auth(foxy, environment=environment)
    foxy.revoke_access_tokens()
    answer = client.get(address, auth=auth)

    assert (answer.status, [call.status for call in foxy.api_calls]) == (200, [401, 302, 401, 200])
    assert len(foxy.token_calls) == 1


# --- R4 to R6: expiry ------------------------------------------------------------------------------------------------

LIVES: dict[str, tuple[dict[str, Any], float | None]] = {
    "int": ({"expires_in": 3600}, 3600.0),
    "float": ({"expires_in": 3600.5}, 3600.5),
    "text": ({"expires_in": "3600"}, 3600.0),
    "word": ({"expires_in": "soon"}, None),
    "empty": ({"expires_in": ""}, None),
    "null": ({"expires_in": None}, None),
    "missing": ({"expires_in": ...}, None),
    "zero": ({"expires_in": 0}, None),
    "negative": ({"expires_in": -1}, None),
    "true": ({"expires_in": True}, None),
    "list": ({"expires_in": [3600]}, None),
    "not-a-number": ({"expires_in": "NaN"}, None),
    "infinite": ({"expires_in": "1e999"}, None),
    "absurd": ({"expires_in": 10**12}, 315_360_000.0),
    "fallback": ({"expires_in": ..., "access_token_expires": 1800}, 1800.0),
    "both": ({"expires_in": 3600, "access_token_expires": 1800}, 3600.0),
}


def life_read(client: Client, foxy: Emulator, fields: Mapping[str, Any]) -> tuple[float | None, list[int], int]:
    """Return the life of a token whose answer has *fields*, and how two requests by it went."""
    foxy.token_fields = fields
    foxy.clear_calls()
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    statuses = [client.get(foxy.store_url, auth=auth).status for _ in range(2)]
    life = auth.token.life if auth.token else 0.0
    return life and round(life, 3), statuses, len(foxy.token_calls)


def test_lifetime_is_read_however_it_is_written(client: Client, foxy: Emulator) -> None:
    """R4: a token answer's lifetime may take any shape; one that makes no sense means that a 401 will tell."""
    outcomes = {name: life_read(client, foxy, fields) for name, (fields, _) in LIVES.items()}

    assert outcomes == {name: (life, [200, 200], 1) for name, (_, life) in LIVES.items()}


def test_lifetime_counts_from_before_the_call(client: Client, foxy: Emulator) -> None:
    """R4: a token's life begins before the token call leaves, however long the answer takes."""
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


def test_refresh_ahead_keeps_nobody_waiting(client: Client, foxy: Emulator, saved: list[Token]) -> None:
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


def test_failed_refresh_ahead_harms_nobody(client: Client, foxy: Emulator, caplog: pytest.LogCaptureFixture) -> None:
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
    answer = started.result(10)

    assert (before, answer.status) == ([], 200)
    assert foxy.api_calls[0].access_token == (auth.token and auth.token.access_token)


def test_within_the_leeway_a_failure_is_forgiven(client: Client, foxy: Emulator) -> None:
    """R5: a refresh within the leeway that fails leaves the token that has not expired."""
    old = aged(foxy.grant(), left=30)
    foxy.fail(200, body="[]")
    answer = client.get(foxy.store_url, auth=make_auth(foxy, token=old))

    assert (answer.status, len(foxy.token_calls)) == (200, 1)
    assert foxy.api_calls[0].access_token == old.access_token


def test_short_lives_do_not_storm(client: Client, foxy: Emulator) -> None:
    """R5: the windows shrink with the token's own life, so that a short-lived one is not refreshed by every request."""
    foxy.access_token_life = 50
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    for _ in range(5):
        client.get(foxy.store_url, auth=auth)

    assert len(foxy.token_calls) == 1


def test_expired_token_is_never_sent(client: Client, foxy: Emulator) -> None:
    """R5: a token that has expired is refreshed before anything is sent."""
    old = aged(foxy.grant(), left=-1)
    auth = make_auth(foxy, token=old)
    client.get(foxy.store_url, auth=auth)

    assert [call.status for call in foxy.calls] == [200, 200]
    assert foxy.calls[0].path == TOKEN


def test_token_from_the_future_is_stale(client: Client, foxy: Emulator) -> None:
    """R6: a token obtained in the future shows that a clock has jumped, and is refreshed."""
    auth = make_auth(foxy, token=aged(foxy.grant(), left=20_000))
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, foxy.calls[0].path) == (200, TOKEN)


def test_401_overrides_the_clock(client: Client, foxy: Emulator) -> None:
    """R6: a 401 makes a token stale, however long it still has by our clock."""
    auth = make_auth(foxy, token=aged(foxy.grant(), left=7000))
    foxy.expire_access_tokens()

    assert (client.get(foxy.store_url, auth=auth).status, len(foxy.token_calls)) == (200, 1)


# --- R7 to R12: one refresh ------------------------------------------------------------------------------------------


def test_many_requests_share_one_refresh(client: Client, foxy: Emulator, saved: list[Token]) -> None:
    """R7: however many requests need a token at once, one token call is made."""
    foxy.rotate_refresh_tokens = True
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token, on_token=saved.append)
    answers = client.send_all(MANY, "GET", foxy.store_url, auth=auth)

    assert ([answer.status for answer in answers], len(foxy.token_calls)) == ([200] * MANY, 1)
    assert [token.refresh_token for token in saved] == [foxy.current_refresh_token]


def test_many_requests_share_one_failure(client: Client, foxy: Emulator) -> None:
    """R7: all who wait for a refresh share its failure."""
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    foxy.fail(400, body={"error": "invalid_client"}, times=MANY)
    joined = count_boarding(auth)
    with foxy.hold(TOKEN):
        started = [client.start("GET", foxy.store_url, auth=auth) for _ in range(MANY)]
        assert all(joined.acquire(timeout=10) for _ in range(MANY))
    errors = [request.exception(10) for request in started]

    assert ({type(error).__name__ for error in errors}, len(foxy.token_calls)) == ({"TokenRefusedError"}, 1)
    assert len({id(error) for error in errors}) == MANY


def test_many_401s_share_one_refresh(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R8: requests that get a 401 for the same token make one token call, and all succeed."""
    with foxy.hold(foxy.store_url) as latch:
        started = [client.start("GET", foxy.store_url, auth=auth) for _ in range(MANY)]
        latch.wait_for(MANY)
        foxy.revoke_access_tokens()
    statuses = [request.result(10).status for request in started]

    assert (statuses, len(foxy.token_calls)) == ([200] * MANY, 1)
    assert foxy.current_refresh_token == (auth.token and auth.token.refresh_token)


def test_late_401_makes_no_call(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R8: a 401 for a token that has been replaced meanwhile is answered by the new one, without a token call."""
    with foxy.hold(foxy.store_url) as latch:
        late = client.start("GET", foxy.store_url, auth=auth)
        latch.wait_for(1)
        foxy.revoke_access_tokens()
        early = client.get(foxy.url, auth=auth)

    assert (early.status, late.result(10).status, len(foxy.token_calls)) == (200, 200, 1)


def test_abandoned_request_loses_no_token(client: Client, auth: FoxyAuth, foxy: Emulator, saved: list[Token]) -> None:
    """R9: a caller that is cancelled or interrupted in mid-refresh loses nothing: the new token is kept and saved."""
    foxy.revoke_access_tokens()
    with foxy.hold(TOKEN) as latch:
        client.abandon(latch.wait_for, "GET", foxy.store_url, auth=auth)
    auth.flush()

    assert [token.refresh_token for token in saved] == [foxy.current_refresh_token]
    assert (client.get(foxy.store_url, auth=auth).status, len(foxy.token_calls)) == (200, 1)


def test_abandoned_request_leaves_the_others_alone(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R9: where one of two callers that wait for a refresh gives up, the other gets its answer."""
    joined = count_boarding(auth)
    foxy.revoke_access_tokens()
    with foxy.hold(TOKEN):
        other = client.start("GET", foxy.store_url, auth=auth)
        assert joined.acquire(timeout=10)
        client.abandon(lambda: joined.acquire(timeout=10), "GET", foxy.store_url, auth=auth)

    assert (other.result(10).status, len(foxy.token_calls)) == (200, 1)


def test_answer_without_refresh_token_keeps_the_old(client: Client, foxy: Emulator, saved: list[Token]) -> None:
    """R10: a token answer that names no refresh token leaves the one that was sent, for the callback too."""
    foxy.omit_refresh_token = True
    first = foxy.grant()
    auth = make_auth(foxy, token=first, on_token=saved.append)
    for _ in range(2):
        foxy.revoke_access_tokens()
        client.get(foxy.store_url, auth=auth)

    assert [call.status for call in foxy.token_calls] == [200, 200]
    assert [token.refresh_token for token in saved] == [first.refresh_token] * 2


def test_rotated_refresh_token_replaces_the_old(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R10: a token answer's refresh token is the one that is sent next."""
    for _ in range(3):
        foxy.revoke_access_tokens()
        client.get(foxy.store_url, auth=auth)

    assert [call.status for call in foxy.token_calls] == [200] * 3
    assert len({call.form["refresh_token"] for call in foxy.token_calls}) == 3


def test_dead_grant_is_asked_about_once(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R12: after `invalid_grant` every request says that a login is required, and no further token call is made."""
    foxy.revoke_access_tokens()
    foxy.revoke_refresh_tokens()
    for _ in range(3):
        with pytest.raises(LoginRequiredError, match="authorize again"):
            client.get(foxy.store_url, auth=auth)

    assert len(foxy.token_calls) == 1


# --- R13 and R14: the token endpoint in trouble ----------------------------------------------------------------------


def test_500_is_tried_again(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R13: a token call that the endpoint could not process is repeated, after a pause."""
    pauses = record_pauses(auth)
    foxy.revoke_access_tokens()
    foxy.fail(500, times=2)

    assert client.get(foxy.store_url, auth=auth).status == 200
    assert ([call.status for call in foxy.token_calls], len(pauses)) == ([500, 500, 200], 2)


def test_500_is_tried_three_times(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R13: the repetition of token calls is bounded, and the grant is not lost."""
    record_pauses(auth)
    foxy.revoke_access_tokens()
    foxy.fail(500, times=3)
    with pytest.raises(TokenUnavailableError, match="try later"):
        client.get(foxy.store_url, auth=auth)
    failed = len(foxy.token_calls)

    assert (failed, client.get(foxy.store_url, auth=auth).status) == (3, 200)


def test_retry_after_is_obeyed(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R13: a 429 is repeated after as many seconds as its Retry-After says."""
    pauses = record_pauses(auth)
    foxy.revoke_access_tokens()
    foxy.fail(429, headers={"Retry-After": "7"})
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, len(foxy.token_calls), pauses) == (200, 2, [7.0])


def test_long_retry_after_is_passed_on(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R13: a Retry-After beyond our patience is an error that says how long, and nobody asks before."""
    foxy.revoke_access_tokens()
    foxy.fail(429, headers={"Retry-After": "600"})
    waits = []
    for _ in range(3):
        with pytest.raises(TokenUnavailableError) as caught:
            client.get(foxy.store_url, auth=auth)
        waits.append(caught.value.retry_after)

    assert waits == pytest.approx([600] * 3, abs=5)
    assert len(foxy.token_calls) == 1


def test_refused_connection_is_tried_again(client: Client, foxy: Emulator) -> None:
    """R13: a token call that never reached the endpoint is repeated, and says so where that does not help."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = Environment(api=foxy.url, token_endpoint=f"http://127.0.0.1:{port}/token")
    auth = make_auth(foxy, environment=environment)
    pauses = record_pauses(auth)
    foxy.revoke_access_tokens()
    with pytest.raises(TokenUnavailableError, match="could not be reached"):
        client.get(foxy.store_url, auth=auth)

    assert len(pauses) == 2


def test_dropped_call_is_not_repeated(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R13: a token call that may have been processed is not repeated blindly."""
    foxy.revoke_access_tokens()
    foxy.drop()
    with pytest.raises(TokenUnavailableError):
        client.get(foxy.store_url, auth=auth)
    failed = len(foxy.token_calls)

    assert (failed, client.get(foxy.store_url, auth=auth).status) == (1, 200)


USELESS = {
    "html": (200, b"<html>Welcome to the hotel's network</html>"),
    "empty": (200, b""),
    "list": (200, b"[]"),
    "no-fields": (200, b"{}"),
    "null": (200, b"null"),
    "text": (200, b'"text"'),
    "null-token": (200, b'{"access_token": null}'),
    "empty-token": (200, b'{"access_token": ""}'),
    "number-for-token": (200, b'{"access_token": 7}'),
    "token-of-two-lines": (200, b'{"access_token": "a\\nb"}'),
    "half-a-token": (200, b'{"access_token": "abc'),
    "no-text": (200, b"\xff\xfe\x00"),
    "deep": (200, b"[" * 50_000),
    "no-content": (204, b""),
    "hal": (404, None),
    "firewall": (403, b"<html>Access denied by the firewall</html>"),
    "gateway-timeout": (504, b"<html>Gateway timeout</html>"),
}


def outcome_of(client: Client, foxy: Emulator, status: int, body: bytes | None) -> tuple[str, int, int]:
    """Return what a request raises whose token call is answered so, how many calls that took, and the next status."""
    auth = make_auth(foxy)
    foxy.revoke_access_tokens()
    foxy.clear_calls()
    foxy.fail(status, body=body)
    with pytest.raises(TokenUnavailableError, match=r"\btoken endpoint\b.*; (check|try)") as caught:
        client.get(foxy.store_url, auth=auth)
    failed = len(foxy.token_calls)
    return str(caught.value), failed, client.get(foxy.store_url, auth=auth).status


def test_useless_token_answer_loses_nothing(client: Client, foxy: Emulator) -> None:
    """R14: an answer that is no token's is a clear error, and the next request has another try."""
    outcomes = {name: outcome_of(client, foxy, *answer) for name, answer in USELESS.items()}

    assert {name: outcome[1:] for name, outcome in outcomes.items()} == dict.fromkeys(USELESS, (1, 200))
    assert [name for name, (told, *_) in outcomes.items() if f"({USELESS[name][0]})" not in told] == []


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize("word", ["invalid_grant", "invalid_client"])
def test_refusal_is_known_by_its_word(client: Client, auth: FoxyAuth, foxy: Emulator, word: str, status: int) -> None:
    """R14: a refusal of the token endpoint is known by its `error`, whatever the status."""
    expected = {"invalid_grant": LoginRequiredError, "invalid_client": TokenRefusedError}[word]
    foxy.revoke_access_tokens()
    foxy.fail(status, body={"error": word, "error_description": "Because."})

    with pytest.raises(expected, match=f"{word}: Because."):
        client.get(foxy.store_url, auth=auth)


def test_truncated_token_answer_is_an_error(client: Client, foxy: Emulator) -> None:
    """R14: a token answer that breaks off is an error, and the grant is not lost."""
    auth = make_auth(foxy)
    foxy.revoke_access_tokens()
    foxy.truncate()
    with pytest.raises(TokenUnavailableError):
        client.get(foxy.store_url, auth=auth)
    failed = len(foxy.token_calls)

    assert (failed, client.get(foxy.store_url, auth=auth).status) == (1, 200)


def test_oversized_token_answer_is_cut_off(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R14: of a token answer of a GiB, little is read."""
    foxy.revoke_access_tokens()
    foxy.oversize(2**30)
    with pytest.raises(TokenUnavailableError, match="longer than"):
        client.get(foxy.store_url, auth=auth)

    assert client.get(foxy.store_url, auth=auth).status == 200


def test_hanging_token_call_ends(client: Client, foxy: Emulator) -> None:
    """R14: a token call that gets no answer ends with the timeout, and is not repeated blindly."""
    auth = make_auth(foxy, timeout=0.3)
    foxy.revoke_access_tokens()
    with foxy.hold(TOKEN) as latch, pytest.raises(TokenUnavailableError, match="did not answer"):
        client.get(foxy.store_url, auth=auth)
    latch.release()

    assert (len(foxy.token_calls), client.get(foxy.store_url, auth=auth).status) == (1, 200)


# --- R15: the 401 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [True, False], ids=["header", "no-header"])
@pytest.mark.parametrize("body", ["oauth", "empty", "html", "hal"])
def test_401_is_answered_by_one_retry(
    client: Client, auth: FoxyAuth, foxy: Emulator, body: Any, *, header: bool
) -> None:
    """R15: a 401 for the token, in whatever shape it comes, is answered by one refresh and one retry."""
    foxy.unauthorized_body, foxy.unauthorized_header = body, header
    foxy.revoke_access_tokens()
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, [call.path for call in foxy.calls][1:-1]) == (200, [TOKEN])
    assert [call.status for call in foxy.api_calls] == [401, 200]
    assert foxy.api_calls[0].access_token != foxy.api_calls[1].access_token


UNREADABLE = [
    pytest.param(lambda foxy, url: foxy.truncate(path=url), id="cut-short"),
    pytest.param(
        lambda foxy, url: foxy.fail(401, body=b"no gzip", headers={"Content-Encoding": "gzip"}, path=url), id="miscoded"
    ),
]


@pytest.mark.parametrize("spoil", UNREADABLE)
def test_unreadable_401_is_answered_by_one_retry(
    client: Client, auth: FoxyAuth, foxy: Emulator, spoil: Callable[[Emulator, str], None]
) -> None:
    """R15: a 401 that breaks off, or is not coded as it says, counts as the token's."""
    spoil(foxy, foxy.store_url)
    foxy.revoke_access_tokens()
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, answer.history, len(foxy.token_calls)) == (200, (401,), 1)


@pytest.mark.parametrize("spoil", UNREADABLE)
def test_unreadable_401_can_be_looked_at(
    client: Client, library: Library, auth: FoxyAuth, foxy: Emulator, spoil: Callable[[Emulator, str], None]
) -> None:
    """R15: where such a 401 is returned, the caller can read what came of it."""
    url = f"{foxy.store_url}/upload"
    spoil(foxy, url)
    foxy.revoke_access_tokens()
    with client.stream("POST", url, auth=auth, **pieces(library)) as stream:
        body = b"".join(stream.pieces)

    assert (stream.status, len(foxy.token_calls), len(body) < 100) == (401, 1, True)


def test_second_401_is_returned(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: a 401 for the new token as well is returned as it is."""
    foxy.fail(401, body={"error": "invalid_token", "error_description": "no"}, path=foxy.store_url, times=9)
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, answer.body) == (401, b'{"error": "invalid_token", "error_description": "no"}')
    assert (len(foxy.api_calls), len(foxy.token_calls)) == (2, 1)


def test_endless_401s_do_not_storm(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: where the API refuses every new token, refreshing comes to an end."""
    foxy.fail(401, body="", path=foxy.store_url, times=99)
    statuses = {client.get(foxy.store_url, auth=auth).status for _ in range(10)}

    assert statuses == {401}
    assert len(foxy.token_calls) < 5


def test_403_is_returned(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: a 403 says that a token is good but not good enough: no refresh."""
    answer = client.get(f"{foxy.store_url}/forbidden", auth=auth)

    assert (answer.status, len(foxy.api_calls), foxy.token_calls) == (403, 1, [])
    assert b"insufficient_scope" in answer.body


def test_403_is_returned_whatever_it_says(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: a 403 refreshes nothing, even one that names no cause or blames the token."""
    foxy.fail(403, body="", path=foxy.store_url)
    foxy.fail(403, body={"error": "invalid_token"}, path=foxy.store_url)
    statuses = [client.get(foxy.store_url, auth=auth).status for _ in range(2)]

    assert (statuses, len(foxy.api_calls), foxy.token_calls) == ([403, 403], 2, [])


OTHER_CAUSES = [
    pytest.param({"body": {"error": "access_denied"}}, id="body"),
    pytest.param({"body": "", "headers": {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}}, id="header"),
    pytest.param({"body": "", "headers": {"WWW-Authenticate": "Bearer realm=x, error=access_denied"}}, id="unquoted"),
    pytest.param({"body": {"_embedded": {"fx:errors": [{"message": "This store is suspended"}]}}}, id="hal"),
]


@pytest.mark.parametrize("fault", OTHER_CAUSES)
def test_401_for_another_cause_is_returned(
    client: Client, auth: FoxyAuth, foxy: Emulator, fault: Mapping[str, Any]
) -> None:
    """R15: a 401 that names another cause than the token is returned as it is, body and all."""
    foxy.fail(401, path=foxy.store_url, **fault)
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, len(foxy.api_calls), foxy.token_calls) == (401, 1, [])
    assert answer.body == (json.dumps(fault["body"]) if fault["body"] else "").encode()


def test_401_of_the_resource_is_returned(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: the provider's 401 that is not about the token is returned, with header and body as they came."""
    answer = client.get(f"{foxy.store_url}/unauthorized?error=login_required", auth=auth)

    assert (answer.status, len(foxy.api_calls), foxy.token_calls) == (401, 1, [])
    assert b"login_required" in answer.body
    assert "login_required" in answer.headers["www-authenticate"]


def test_endless_401_is_cut_off(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: of a 401 with an endless body only the beginning is read before the retry."""
    foxy.fail(401, body="<p>" * 2**22, content_type="text/html", path=foxy.store_url)
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, len(answer.response.history[0].content) < 2**20) == (200, True)


def test_refused_refresh_after_a_401_is_an_error(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R22: where no new token is to be had after a 401, the error says why, instead of the bare 401."""
    foxy.revoke_access_tokens()
    foxy.fail(400, body={"error": "invalid_client", "error_description": "Unknown client"})

    with pytest.raises(TokenRefusedError, match="Unknown client"):
        client.get(foxy.store_url, auth=auth)


# --- R16: bodies -----------------------------------------------------------------------------------------------------

PAYLOAD = bytes(range(256)) * 800  # more than one read, write or chunk of any client


class Pipe(io.RawIOBase):
    """A file that cannot be taken back."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read once."""
        return self._content.readinto(buffer)


def opened(path: Path, *, offset: int = 0) -> IO[bytes]:
    """Return a file with the payload, at an offset."""
    path.write_bytes(PAYLOAD)
    file = path.open("rb")
    file.seek(offset)
    return file


REPLAYABLE = [
    pytest.param(lambda _: {}, id="none"),
    pytest.param(lambda _: {"json": {"name": "caf\u00e9", "codes": list(range(3000))}}, id="json"),
    pytest.param(lambda _: {"content": PAYLOAD}, id="bytes"),
    pytest.param(lambda _: {"content": "text " * 9000}, id="text"),
    pytest.param(lambda _: {"data": {"a": "1", "b": "two words" * 1900}}, id="form"),
    pytest.param(lambda path: {"files": {"f": ("f.bin", opened(path), "x/y")}}, id="multipart"),
    pytest.param(lambda _: {"files": {"f": ("f.bin", PAYLOAD, "x/y")}, "data": {"a": "1"}}, id="multipart-and-form"),
]


def digests(foxy: Emulator) -> list[tuple[int, str]]:
    """Return length and digest of each body that the API got."""
    return [(call.body_length, call.body_sha256) for call in foxy.api_calls]


def digest(content: bytes) -> tuple[int, str]:
    """Return length and digest."""
    return len(content), hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("make", REPLAYABLE)
def test_replayable_body_is_sent_twice(
    client: Client, auth: FoxyAuth, foxy: Emulator, tmp_path: Path, make: Callable[[Path], dict[str, Any]]
) -> None:
    """R16: a body that can be sent again arrives whole both times."""
    options = make(tmp_path / "file")
    foxy.revoke_access_tokens()
    answer = client.send("POST", foxy.store_url, auth=auth, **options)
    for _, content, _ in options.get("files", {}).values():
        if not isinstance(content, bytes):
            content.close()
    first, second = digests(foxy)

    assert (answer.status, first) == (200, second)
    assert (first[0] > 8000) is bool(options)
    assert (json.loads(answer.body)["length"], json.loads(answer.body)["sha256"]) == second


@pytest.mark.parametrize("size", [0, 1, len(PAYLOAD)])
def test_bytes_are_sent_twice(client: Client, auth: FoxyAuth, foxy: Emulator, size: int) -> None:
    """R16: bytes of any number arrive both times as they are."""
    foxy.revoke_access_tokens()
    answer = client.send("PUT", foxy.store_url, auth=auth, content=PAYLOAD[:size])

    assert (answer.status, digests(foxy)) == (200, [digest(PAYLOAD[:size])] * 2)


SYNC = pytest.mark.parametrize("library", [each for each in LIBRARIES if each.backend is None], ids=str, indirect=True)


@SYNC
@pytest.mark.parametrize("offset", [0, 1, 70_001])
def test_file_is_taken_back(client: Client, auth: FoxyAuth, foxy: Emulator, tmp_path: Path, offset: int) -> None:
    """R16: a file is sent again from where it stood, not from its beginning."""
    # httpx takes the length of the whole file, wherever it stands, so its users must tell; requests knows.
    headers = {"Content-Length": str(len(PAYLOAD) - offset)}
    foxy.revoke_access_tokens()
    with opened(tmp_path / "file", offset=offset) as file:
        answer = client.send("POST", foxy.store_url, auth=auth, content=file, headers=headers)

    assert (answer.status, digests(foxy)) == (200, [digest(PAYLOAD[offset:])] * 2)


@SYNC
def test_file_in_memory_is_taken_back(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R16: so is a file in memory."""
    foxy.revoke_access_tokens()
    answer = client.send("POST", foxy.store_url, auth=auth, content=io.BytesIO(PAYLOAD))

    assert (answer.status, digests(foxy)) == (200, [digest(PAYLOAD)] * 2)


def pieces(library: Library) -> dict[str, Any]:
    """Make a body of a generator, an async one for an async client."""
    return {"content": library.iterated([PAYLOAD[:1000], PAYLOAD[1000:]])}


def check_one_shot(client: Client, auth: FoxyAuth, foxy: Emulator, options: dict[str, Any], sent: bytes) -> None:
    """Send what cannot be sent twice, by a token that is refused, and then something else."""
    foxy.revoke_access_tokens()
    answer = client.send("POST", f"{foxy.store_url}/upload", auth=auth, **options)

    assert (answer.status, answer.history, digests(foxy)) == (401, (), [digest(sent)])
    assert b"invalid_token" in answer.body
    assert (len(foxy.token_calls), client.get(foxy.store_url, auth=auth).status) == (1, 200)
    assert [call.status for call in foxy.api_calls] == [401, 200]


def test_generator_is_sent_once(client: Client, auth: FoxyAuth, foxy: Emulator, library: Library) -> None:
    """R16: a generator's 401 is returned as it is, never an empty body sent; the next request has a new token."""
    check_one_shot(client, auth, foxy, pieces(library), PAYLOAD)


@SYNC
def test_pipe_is_sent_once(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R16: the same holds for a file that cannot be taken back."""
    check_one_shot(client, auth, foxy, {"content": Pipe(PAYLOAD)}, PAYLOAD)


@SYNC
def test_closed_file_is_sent_once(client: Client, auth: FoxyAuth, foxy: Emulator, tmp_path: Path) -> None:
    """R16: the same holds for a file that is closed by the time of the 401."""
    with opened(tmp_path / "file") as file, foxy.hold(foxy.store_url) as latch:
        started = client.start("POST", foxy.store_url, auth=auth, content=file)
        latch.wait_for(1)
        foxy.revoke_access_tokens()
        with foxy.hold(TOKEN) as refresh:
            latch.release()
            refresh.wait_for(1)
            file.close()

    assert (started.result(10).status, digests(foxy)) == (401, [digest(PAYLOAD)])


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_async_file_is_sent_once(auth: FoxyAuth, foxy: Emulator, tmp_path: Path, library: str) -> None:
    """R16: the same holds for an asynchronous file, of which nothing is asked that would have to be awaited."""
    (tmp_path / "file").write_bytes(PAYLOAD)
    foxy.revoke_access_tokens()
    async with (
        pytest.importorskip(library).AsyncClient(auth=auth) as client,
        await anyio.open_file(tmp_path / "file", "rb") as file,
    ):
        answer = await client.post(foxy.store_url, content=file)

    assert (answer.status_code, digests(foxy)) == (401, [digest(PAYLOAD)])


def test_generator_by_a_good_token_arrives(client: Client, auth: FoxyAuth, foxy: Emulator, library: Library) -> None:
    """R16: a one-shot body by a token that is good arrives, once and whole."""
    answer = client.send("POST", f"{foxy.store_url}/upload", auth=auth, **pieces(library))

    assert (answer.status, digests(foxy)) == (200, [digest(PAYLOAD)])


# --- R17: streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retried", [False, True], ids=["at-once", "after-401"])
def test_streamed_answer_keeps_streaming(client: Client, foxy: Emulator, *, retried: bool) -> None:
    """R17: an answer that is still on its way is handed over as it is, after a retry as well."""
    token = foxy.grant()
    with Trickle(token if retried else None) as server:
        environment = Environment(api=server.url, token_endpoint=f"{foxy.url}/token")
        auth = make_auth(foxy, token=token, environment=environment)
        with client.stream("GET", server.url, auth=auth) as stream:
            untouched = stream.untouched
            first = next(stream.pieces)
            server.go.set()
            rest = b"".join(stream.pieces)

    assert (stream.status, untouched, first + rest) == (200, True, FIRST + SECOND)
    assert len(foxy.token_calls) == retried


def test_open_stream_is_in_nobodys_way(client: Client, foxy: Emulator) -> None:
    """R17: while one answer is streaming, other requests refresh the token and are served."""
    token = foxy.grant()
    with Trickle() as server:
        environment = Environment(api=foxy.url, origins=(server.url,))
        auth = make_auth(foxy, token=token, environment=environment)
        with client.stream("GET", server.url, auth=auth) as stream:
            foxy.revoke_access_tokens()
            answers = client.send_all(3, "GET", foxy.store_url, auth=auth)
            server.go.set()
            body = b"".join(stream.pieces)

    assert ([answer.status for answer in answers], body) == ([200] * 3, FIRST + SECOND)
    assert len(foxy.token_calls) == 1


def test_streamed_download_is_whole_after_a_401(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: a streamed download that was refused first arrives whole."""
    foxy.revoke_access_tokens()
    with client.stream("GET", f"{foxy.store_url}/download?bytes=300000&chunks=7", auth=auth) as stream:
        untouched, body = stream.untouched, b"".join(stream.pieces)

    assert (stream.status, untouched, len(body)) == (200, True, 300_000)


def test_streamed_401_can_still_be_read(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: a 401 for another cause that was asked for as a stream is still there for the caller to read."""
    with client.stream("GET", f"{foxy.store_url}/unauthorized?error=login_required", auth=auth) as stream:
        body = b"".join(stream.pieces)

    assert (stream.status, json.loads(body)["error"]) == (401, "login_required")


def test_slow_401_is_cut_off(client: Client, foxy: Emulator) -> None:
    """R17: a 401 that comes drop by drop delays the retry by the timeout at most."""
    token = foxy.grant()
    with Trickle(token, drops=1000) as server:
        environment = Environment(api=server.url, token_endpoint=f"{foxy.url}/token")
        auth = make_auth(foxy, token=token, environment=environment, timeout=2)
        with client.stream("GET", server.url, auth=auth) as stream:
            dropped = server.dropped
            server.go.set()
            body = b"".join(stream.pieces)

    assert (stream.status, dropped < 1000, body) == (200, True, FIRST + SECOND)


def test_upload_is_not_read_into_memory(client: Client, library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: an upload is on its way before its last piece exists."""
    url = f"{foxy.store_url}/upload"
    latch = foxy.hold(url)

    def see_arrival() -> None:
        latch.wait_for(1)
        latch.release()

    answer = client.send("POST", url, auth=auth, content=library.iterated([b"one", b"two"], between=see_arrival))

    assert (answer.status, digests(foxy)) == (200, [digest(b"onetwo")])


@pytest.mark.parametrize("shared", [False, True], ids=["own-connection", "shared-connection"])
@SYNC
def test_one_connection_is_enough(library: Library, foxy: Emulator, *, shared: bool) -> None:
    """R17: a 401 gives its connection back before the refresh, so that a pool of one serves for both."""
    with library.open(pool=1) as client:
        auth = make_auth(foxy, http=client.raw if shared else None)
        statuses = []
        for _ in range(2):
            foxy.revoke_access_tokens()
            with client.stream("POST", foxy.store_url, auth=auth, json={"a": 1}) as stream:
                statuses.append((stream.status, len(b"".join(stream.pieces)) > 0))

    assert statuses == [(200, True)] * 2
    assert len(foxy.token_calls) == 2


@SYNC
def test_one_connection_is_enough_without_the_header(library: Library, foxy: Emulator) -> None:
    """R17: so does a 401 after a redirect between own origins, on which the client drops the header."""
    environment, address = two_origins(foxy)
    arrival = foxy.hold(foxy.store_url)
    with library.open(pool=1) as client:
        auth = make_auth(foxy, http=client.raw, environment=environment)
        started = client.start("GET", address, auth=auth)
        arrival.wait_for(1)
        pass_time(auth, 7200)
        arrival.release()
        answer = started.result(10)

    assert (answer.status, len(foxy.token_calls)) == (200, 1)


def test_one_connection_is_enough_for_many(library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: many requests that are refused at once get along with one connection."""
    foxy.revoke_access_tokens()
    with library.open(pool=1) as client:
        answers = client.send_all(MANY, "GET", foxy.store_url, auth=auth)

    assert [answer.status for answer in answers] == [200] * MANY


# --- R18: the client's own work --------------------------------------------------------------------------------------


def test_retried_answer_looks_like_any_other(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: the answer to a retry knows its request, how long it took, and the 401 before it."""
    old = auth.token
    foxy.revoke_access_tokens()
    answer = client.send("POST", foxy.store_url, auth=auth, json={"a": 1})
    response, refused = answer.response, answer.response.history[0]

    assert (answer.status, answer.history, str(response.request.url)) == (200, (401,), foxy.store_url)
    assert old
    assert auth.token
    assert [each.request.headers["Authorization"] for each in (refused, response)] == [
        f"Bearer {old.access_token}",
        f"Bearer {auth.token.access_token}",
    ]
    assert response.elapsed.total_seconds() > 0
    assert refused.elapsed.total_seconds() > 0
    assert b"invalid_token" in refused.content


def test_cookies_of_the_401_count(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: a cookie that the 401 sets goes out with the retry, beside the caller's own, and into the jar."""
    foxy.revoke_access_tokens()
    client.get(f"{foxy.store_url}?cookie=seen=1", auth=auth, headers={"Cookie": "mine=2"})

    assert set(foxy.api_calls[1].headers["Cookie"].split("; ")) == {"mine=2", "seen=1"}
    assert client.cookies == {"seen": "1"}


def test_token_call_leaves_no_cookie(client: Client, foxy: Emulator) -> None:
    """R18: what the token endpoint puts into a jar is not the client's, nor is the client's sent there."""
    environment = Environment(api=foxy.url, token_endpoint=f"{foxy.url}/token?cookie=spy=1")
    auth = make_auth(foxy, environment=environment)
    client.get(f"{foxy.store_url}?cookie=mine=1", auth=auth)
    foxy.revoke_access_tokens()
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, len(foxy.token_calls), client.cookies) == (200, 1, {"mine": "1"})
    assert "Cookie" not in foxy.token_calls[0].headers


def test_token_call_passes_no_hook(library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: the client's event hooks see the caller's requests alone."""
    seen: list[str] = []
    foxy.revoke_access_tokens()
    with library.open(hooks=seen, auth=auth) as client:
        answer = client.get(foxy.store_url)

    assert (answer.status, set(seen), len(foxy.token_calls)) == (200, {foxy.store_url}, 1)


def test_token_call_counts_as_no_redirect(library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: a client that follows one redirect only is served, refused first or not."""
    foxy.revoke_access_tokens()
    with library.open(max_redirects=1, auth=auth) as client:
        retried = client.get(foxy.store_url)
        redirected = client.get(f"{foxy.url}/redirect?to={foxy.store_url}")

    assert [(answer.status, answer.history) for answer in (retried, redirected)] == [(200, (401,)), (200, (302,))]


def test_only_the_refused_hop_is_sent_again(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: where the 401 comes after a redirect, the request before it is not made again."""
    with foxy.hold(foxy.store_url) as latch:
        started = client.start("POST", f"{foxy.url}/redirect?status=303&to={foxy.store_url}", auth=auth, content=b"x")
        latch.wait_for(1)
        foxy.revoke_access_tokens()

    assert (started.result(10).status, len(foxy.token_calls)) == (200, 1)
    assert [(call.method, call.body_length) for call in foxy.api_calls] == [("POST", 1), ("GET", 0), ("GET", 0)]


def test_redirect_after_the_retry_is_followed(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: where the retry is answered by a redirect, the client follows it, with the new token."""
    foxy.revoke_access_tokens()
    answer = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth)

    assert (answer.status, answer.history[-1]) == (200, 302)
    assert [call.status for call in foxy.api_calls] == [401, 302, 200]


def test_body_survives_a_redirect(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R16: a body that a redirect carries on is sent again whole."""
    foxy.revoke_access_tokens()
    client.send("POST", f"{foxy.url}/redirect?status=307&to={foxy.store_url}", auth=auth, content=PAYLOAD)

    assert [call.status for call in foxy.api_calls] == [401, 307, 200]
    assert digests(foxy) == [digest(PAYLOAD)] * 3


def test_retry_goes_without_redirects_if_told(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: a request that is to follow no redirect follows none after a retry either."""
    foxy.revoke_access_tokens()
    answer = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth, follow_redirects=False)

    assert (answer.status, [call.status for call in foxy.api_calls]) == (302, [401, 302])


# --- R19 and R20: callbacks ------------------------------------------------------------------------------------------


def test_token_is_saved_before_it_is_used(client: Client, foxy: Emulator) -> None:
    """R19: the token is in memory when the callback gets it, and with the callback before any request has it."""
    seen: list[bool] = []
    held: list[FoxyAuth] = []

    def save(token: Token) -> None:
        seen.append(held[0].token == token)
        with foxy.hold(foxy.store_url) as latch, pytest.raises(TimeoutError):
            latch.wait_for(1, timeout=0.1)
        seen.append(True)

    auth = make_auth(foxy, on_token=save)
    held.append(auth)
    foxy.revoke_access_tokens()
    client.get(foxy.store_url, auth=auth)

    assert (seen, [call.status for call in foxy.api_calls]) == ([True, True], [401, 200])


def test_callback_of_the_clients_colour_is_called(client: Client, foxy: Emulator, saved: list[Token]) -> None:
    """R20: an async callback runs to its end before the request goes on."""
    auth = make_auth(foxy, on_token=client.saving(saved.append))
    foxy.revoke_access_tokens()

    assert (client.get(foxy.store_url, auth=auth).status, saved) == (200, [auth.token])


def test_async_callback_runs_where_its_caller_runs(client: Client, foxy: Emulator) -> None:
    """R20: an async callback runs on the event loop of the caller, whose clients it may use."""
    threads: list[int] = []
    auth = make_auth(foxy, on_token=client.saving(lambda _: threads.append(threading.get_ident())))
    foxy.revoke_access_tokens()
    client.get(foxy.store_url, auth=auth)

    assert (threads == [client.thread]) is (client.thread is not None)


def test_slow_callback_blocks_no_loop(client: Client, foxy: Emulator) -> None:
    """R20: while a callback takes its time, the event loop of the caller does other things."""
    began, go = threading.Event(), threading.Event()

    def save(_: Token) -> None:
        began.set()
        assert go.wait(10)

    auth = make_auth(foxy, on_token=save)
    foxy.revoke_access_tokens()
    started = client.start("GET", foxy.store_url, auth=auth)
    assert began.wait(10)
    client.breathe()
    waiting = not started.done()
    go.set()

    assert (waiting, started.result(10).status) == (True, 200)


def test_refresh_blocks_no_loop(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R20: while a token call takes its time, the event loop of the caller does other things."""
    foxy.revoke_access_tokens()
    with foxy.hold(TOKEN) as latch:
        started = client.start("GET", foxy.store_url, auth=auth)
        latch.wait_for(1)
        client.breathe()

    assert started.result(10).status == 200


def test_hanging_callback_hangs_no_request(client: Client, foxy: Emulator) -> None:
    """R20: a callback that does not come back holds a request up for the timeout at most."""
    go = threading.Event()
    auth = make_auth(foxy, on_token=lambda _: go.wait(20), timeout=0.3)
    foxy.revoke_access_tokens()
    statuses = [client.get(foxy.store_url, auth=auth).status for _ in range(2)]
    go.set()
    auth.flush()

    assert statuses == [200, 200]


def test_callback_may_call_the_api(client: Client, foxy: Emulator) -> None:
    """R20: a callback may use the API, through the same client and the same auth object."""
    heard: list[int] = []
    held: list[FoxyAuth] = []
    auth = make_auth(foxy, on_token=client.calling(foxy.url, held, heard), timeout=5)
    held.append(auth)
    foxy.revoke_access_tokens()
    answer = client.get(foxy.store_url, auth=auth)

    assert (answer.status, heard, len(foxy.token_calls)) == (200, [200], 1)


@pytest.mark.parametrize("error", [ValueError("disk full"), TypeError("no such column"), SystemExit(3)], ids=repr)
def test_raising_callback_harms_no_request(
    client: Client, foxy: Emulator, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """R20: what a callback raises is logged and told by `flush`, and the request that has its token goes on."""
    failing = [error]

    def save(_: Token) -> None:
        if failing:
            raise failing[0]

    auth = make_auth(foxy, on_token=client.saving(save) if isinstance(error, Exception) else save)
    foxy.revoke_access_tokens()
    answer = client.get(foxy.store_url, auth=auth)
    with pytest.raises(StoreError, match="repair what saves it"):
        auth.flush()
    failing.clear()
    auth.flush()

    assert answer.status == 200
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == ["foxy_auth"] * 2


# --- R21 to R23: secrets and errors ----------------------------------------------------------------------------------


def leaks(secrets: list[str], *places: object) -> list[str]:
    """Return those of *secrets* that stand in one of *places*, in bytes too."""
    texts = [place.decode("latin-1") if isinstance(place, bytes) else str(place) for place in places]
    return [secret for secret in secrets if any(secret in text for text in texts)]


def test_pickled_answer_holds_no_secret(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R21: an answer can be pickled, with its history, and no secret goes with it."""
    old = auth.token
    foxy.revoke_access_tokens()
    answer = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth)
    pickled = pickle.dumps(answer.response)
    again = pickle.loads(pickled)  # noqa: S301 - our own

    assert leaks(secrets_of(foxy, old, auth.token), pickled) == []
    assert (again.status_code, again.content) == (answer.status, answer.body)
    assert tuple(each.status_code for each in again.history) == answer.history


def test_pickled_redirect_holds_no_secret(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R21: nor does a redirect that is not followed; httpx keeps the request in it that would come next."""
    answer = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth, follow_redirects=False)
    pickled = pickle.dumps(answer.response)

    assert answer.status == 302
    assert leaks(secrets_of(foxy, auth.token), pickled) == []


def test_pickled_auth_still_serves(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R21: a pickled auth object serves on, with the token that it had."""
    auth = make_auth(foxy, token=auth.token)
    again: FoxyAuth = pickle.loads(pickle.dumps(auth))  # noqa: S301 - our own
    first = client.get(foxy.store_url, auth=again)
    foxy.revoke_access_tokens()

    assert (first.status, client.get(foxy.store_url, auth=again).status, len(foxy.token_calls)) == (200, 200, 1)


TROUBLES = [
    pytest.param({"status": 400, "body": {"error": "invalid_grant"}}, LoginRequiredError, id="login-required"),
    pytest.param({"status": 400, "body": {"error": "invalid_client"}}, TokenRefusedError, id="refused"),
    pytest.param({"status": 200, "body": "<html>"}, TokenUnavailableError, id="unavailable"),
]


@pytest.mark.parametrize("rejected", [False, True], ids=["before", "after-401"])
@pytest.mark.parametrize(("fault", "expected"), TROUBLES)
def test_errors_are_the_clients_too(
    client: Client,
    library: Library,
    foxy: Emulator,
    fault: dict[str, Any],
    expected: type[Exception],
    *,
    rejected: bool,
) -> None:
    """R22: what goes wrong with a token is an error of ours and of the client library, with its request."""
    token = foxy.grant()
    auth = make_auth(foxy, **({"token": token} if rejected else {"refresh_token": token.refresh_token}))
    foxy.revoke_access_tokens()
    foxy.fail(**fault)
    with pytest.raises(library.request_error) as caught:
        client.get(foxy.store_url, auth=auth)
    error: Any = caught.value

    assert str(error.request.url) == foxy.store_url
    assert isinstance(error, expected)
    assert isinstance(error, FoxyAuthError)


@pytest.mark.parametrize(("fault", "expected"), TROUBLES)
def test_errors_can_be_pickled(
    client: Client, auth: FoxyAuth, foxy: Emulator, fault: dict[str, Any], expected: type[Exception]
) -> None:
    """R22: an error survives a pickle as what it is, and takes no secret along."""
    foxy.revoke_access_tokens()
    foxy.fail(**fault)
    with pytest.raises(expected) as caught:
        client.get(foxy.store_url, auth=auth)
    pickled = pickle.dumps(caught.value)
    again = pickle.loads(pickled)  # noqa: S301 - our own

    assert leaks(secrets_of(foxy, auth.token), pickled) == []
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_network_errors_stay_the_clients_own(client: Client, library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R22: what goes wrong with the request itself is the client's error, and none of ours."""
    foxy.drop(path=foxy.store_url, times=9)
    with pytest.raises(library.request_error) as caught:
        client.get(foxy.store_url, auth=auth)

    assert not isinstance(caught.value, FoxyAuthError)


def frames_of_ours(error: BaseException) -> str:
    """Write the traceback of *error* with the local variables, as error trackers do, as far as the frames are ours."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts: list[str] = []
    link: traceback.TracebackException | None = trace
    while link is not None:
        texts += [str(link), *(str(frame.locals) for frame in link.stack if "foxy_auth" in frame.filename)]
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


def echoes(*secrets: str | None) -> list[dict[str, Any]]:
    """List answers of a token endpoint that repeats *secrets*, which it was sent."""
    said = " ".join(map(str, secrets))
    return [
        {"status": 400, "body": {"error": "invalid_client", "error_description": said}},
        {"status": 400, "body": {"error": said}},
        {"status": 504, "body": {"error": "x", "error_description": said}},
        {"status": 404, "body": {"_embedded": {"fx:errors": [{"message": said}]}}},
        {"status": 200, "body": f"<html>{said}</html>", "content_type": "text/html"},
        {"status": 200, "body": {"access_token": None, "refresh_token": said}},
        {"status": 400, "body": {"error": "invalid_grant", "error_description": said}},
    ]


def test_no_secret_is_told(
    client: Client, foxy: Emulator, saved: list[Token], caplog: pytest.LogCaptureFixture
) -> None:
    """R23: no log, error, traceback or text of any object tells a secret, though the endpoint repeats them all."""
    caplog.set_level(logging.DEBUG)
    foxy.rotate_refresh_tokens = True
    first = foxy.grant()
    auth = make_auth(foxy, token=first, on_token=saved.append)
    foxy.revoke_access_tokens()
    answers = [client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth)]
    foxy.revoke_access_tokens()
    current = saved[-1]
    secrets = secrets_of(foxy, first, current)
    told: list[object] = [repr(auth), str(auth), repr(vars(auth)), repr(auth.token), str(auth.token), saved]
    for fault in echoes(*secrets_of(foxy), current.refresh_token):
        foxy.fail(**fault)
        with pytest.raises(FoxyAuthError) as caught:
            client.get(foxy.store_url, auth=auth)
        error: Any = caught.value
        told += [repr(error), str(error), error.args, vars(error), frames_of_ours(error)]
    for answer in answers:
        for response in (answer.response, *answer.response.history):
            told += [repr(response), repr(response.request), repr(response.request.headers), response.headers]
    told += [caplog.text, *(vars(record) for record in caplog.records)]

    assert len(foxy.token_calls) == 1 + len(echoes())
    assert leaks(secrets, *told) == []


def test_failing_save_tells_no_secret(client: Client, foxy: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """R23: a callback that raises the token itself does not make us tell it."""
    failing = [ValueError]

    def save(token: Token) -> None:
        for error in failing:
            raise error(f"cannot write {token.to_dict()}")

    auth = make_auth(foxy, on_token=save)
    foxy.revoke_access_tokens()
    client.get(foxy.store_url, auth=auth)
    with pytest.raises(StoreError) as caught:
        auth.flush()
    failing.clear()
    auth.flush()

    assert leaks(secrets_of(foxy, auth.token), caplog.text, str(caught.value), repr(caught.value)) == []


# --- R24: wrong use --------------------------------------------------------------------------------------------------


def test_auth_is_never_falsy(library: Library, auth: FoxyAuth) -> None:
    """R24: an auth object counts as true, and as no pair, text or mapping, which clients would take for a password."""
    assert bool(auth)
    assert not isinstance(auth, tuple | str | Mapping)


def test_client_of_its_own_carries_token_calls(library: Library, foxy: Emulator) -> None:
    """R24: `http=` takes the sync clients, and tells of an async one at once what to give instead."""
    with library.open() as client:
        if library.backend is None:
            auth = make_auth(foxy, http=client.raw)
            foxy.revoke_access_tokens()
            status = client.get(foxy.store_url, auth=auth).status

            assert (status, len(foxy.token_calls)) == (200, 1)
        else:
            with pytest.raises(TypeError, match="synchronous client"):
                make_auth(foxy, http=client.raw)
