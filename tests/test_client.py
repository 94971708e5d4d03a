"""`OAuthClient`: from an authorization response to a token, by hand and without a user; sync and async."""

from __future__ import annotations

import json
import logging
import pickle
import re
import subprocess
import sys
import threading
import time
from base64 import b64encode
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import httpx2
import pytest
import requests
import respx
from support.authlib_provider import CLIENT_SECRET, SCOPE, AuthlibProvider
from support.browser import Browser
from support.sources import FakeClock, expired

from foxy_auth import (
    CLIENT_FULL_ACCESS,
    PRODUCTION,
    STORE_FULL_ACCESS,
    USER_FULL_ACCESS,
    AuthorizationError,
    AuthorizationRequest,
    Environment,
    FoxyAuth,
    LoginRequiredError,
    OAuthClient,
    StoreError,
    Token,
    TokenRefusedError,
    TokenUnavailableError,
    acreate_user,
)
from foxy_auth.auth import endpoint_of
from foxy_auth.emulator import Emulator
from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from foxy_auth.emulator import Call

STATE = "FakeStateFakeStateFakeState"
# The provider's own samples, of its page "OAuth for 3rd Party Integrations".
SAMPLE_ID = "client_N9a5EgHjIQ95hsd0sD27"
SAMPLE_SECRET = "Vsz26ue38QdSIgIQSk4rDh9bDBmTQ4NVSphCRPmL"
SAMPLE_HEADER = "Basic Y2xpZW50X045YTVFZ0hqSVE5NWhzZDBzRDI3OlZzejI2dWUzOFFkU0lnSVFTazRyRGg5YkRCbVRRNE5WU3BoQ1JQbUw="
SAMPLE_CODE = "6fb99ac7815241d4b32d06de72e07ea4db59020e"
SAMPLE_REDIRECT_URI = "https://www.example.com/oauth"


def client_of(foxy: Emulator, **options: Any) -> OAuthClient:
    """Return the emulator's registered client."""
    options = {"redirect_uri": foxy.redirect_uri, "environment": foxy.environment, **options}
    return OAuthClient(foxy.client_id, foxy.client_secret, **options)


def authorization_response(foxy: Emulator, code: str | None = None) -> dict[str, str]:
    """Return the parameters that come back to the redirect URI, by default with a good code."""
    return {"code": foxy.authorization_code() if code is None else code, "state": STATE}


def request_of(client: OAuthClient) -> AuthorizationRequest:
    """Return an authorization request of *client* whose state is known beforehand."""
    return replace(client.authorization_request(STORE_FULL_ACCESS, pkce=False), state=STATE)


def fetch(client: OAuthClient, response: Any, **options: Any) -> Token:
    """Exchange the code of the response to such a request."""
    return client.fetch_token(response, request=request_of(client), **options)


async def afetch(client: OAuthClient, response: Any, **options: Any) -> Token:
    """Exchange it without blocking the event loop."""
    return await client.afetch_token(response, request=request_of(client), **options)


def basic(client_id: str, client_secret: str) -> str:
    """Write the header as the provider's page does: base64 of both, joined with a colon."""
    return "Basic " + b64encode(f"{client_id}:{client_secret}".encode()).decode()


def the_only(calls: list[Call]) -> Call:
    """Return the one request that there was."""
    [call] = calls
    return call


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock for the provider's side."""
    return FakeClock(time.time())


@pytest.fixture
def timed(clock: FakeClock) -> Iterator[Emulator]:
    """Give a Foxy on that clock."""
    with Emulator(clock=clock.now) as foxy:
        yield foxy


# --- the exchange --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "library", [requests.Session, httpx.Client, httpx2.Client], ids=["requests", "httpx", "httpx2"]
)
def test_a_code_is_exchanged_for_a_token(foxy: Emulator, library: Callable[[], Any]) -> None:
    """3P, "Request Access Tokens": one POST with grant_type, code and redirect_uri, authenticated by Basic."""
    given = authorization_response(foxy)
    with library() as http:
        before = time.time()
        token = fetch(client_of(foxy, http=http), given)
        after = time.time()
    call = the_only(foxy.calls)

    assert (call.method, call.path) == ("POST", "/token")
    assert call.form == {
        "grant_type": "authorization_code",
        "code": given["code"],
        "redirect_uri": foxy.redirect_uri,
    }
    assert call.headers["Authorization"] == basic(foxy.client_id, foxy.client_secret)
    assert call.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert call.headers["FOXY-API-VERSION"] == "1"
    assert foxy.is_live(token.access_token)
    assert token.refresh_token == foxy.current_refresh_token
    assert token.scopes >= {"store_full_access"}
    assert token.obtained_at is not None
    assert token.expires_at is not None
    assert before <= token.obtained_at <= after
    assert token.expires_at - token.obtained_at == 7200


def test_the_client_may_authenticate_by_post_fields(foxy: Emulator) -> None:
    """3P: "you can instead POST the values separately": client_id and client_secret, and no header."""
    token = fetch(client_of(foxy, client_auth_method="client_secret_post"), authorization_response(foxy))
    call = the_only(foxy.token_calls)

    assert call.form["client_id"] == foxy.client_id
    assert call.form["client_secret"] == foxy.client_secret
    assert "Authorization" not in call.headers
    assert foxy.is_live(token.access_token)


def test_the_client_auth_method_stays_with_the_grant(foxy: Emulator) -> None:
    """A client that authenticates by POST fields does so when its tokens are refreshed, too."""
    client = client_of(foxy, client_auth_method="client_secret_post")
    client.auth(foxy.grant()).refresh()
    FoxyAuth.from_client_credentials(client).get_token()

    assert ["client_secret" in call.form for call in foxy.token_calls] == [True, True]
    assert not [call for call in foxy.token_calls if "Authorization" in call.headers]


def test_the_pages_sample_request_is_sent_as_printed(foxy: Emulator) -> None:
    """3P: the page's own credentials, code and redirect URI give the page's own header and body, byte by byte."""
    foxy.register_client(client_id=SAMPLE_ID, client_secret=SAMPLE_SECRET, redirect_uri=SAMPLE_REDIRECT_URI)
    client = OAuthClient(SAMPLE_ID, SAMPLE_SECRET, redirect_uri=SAMPLE_REDIRECT_URI, environment=foxy.environment)
    foxy.fail(200, body={"access_token": "FakeAccess", "scope": "store_full_access store_id_3200"})
    token = fetch(client, {"code": SAMPLE_CODE, "state": STATE})
    call = the_only(foxy.token_calls)

    assert call.headers["Authorization"] == SAMPLE_HEADER
    assert call.form == {
        "grant_type": "authorization_code",
        "code": SAMPLE_CODE,
        "redirect_uri": SAMPLE_REDIRECT_URI,
    }
    assert token.scopes == {"store_full_access", "store_id_3200"}
    assert token.store_id == "3200"


@respx.mock
def test_in_production_the_code_goes_to_the_token_endpoint_of_the_page(respx_mock: respx.MockRouter) -> None:
    """3P: "https://api.foxycart.com/token" is where the code goes; users' mocks see the request."""
    route = respx_mock.post("https://api.foxycart.com/token").respond(json={"access_token": "FakeAccess"})
    with httpx.Client() as http:
        client = OAuthClient(SAMPLE_ID, SAMPLE_SECRET, redirect_uri=SAMPLE_REDIRECT_URI, http=http)
        token = fetch(client, {"code": SAMPLE_CODE, "state": STATE})

    assert token.access_token == "FakeAccess"
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("fields", "life"),
    [
        pytest.param({"expires_in": ..., "access_token_expires": 7200}, 7200, id="the page's name"),
        pytest.param({"expires_in": 3600, "access_token_expires": 7200}, 3600, id="both"),
        pytest.param({"expires_in": "7200"}, 7200, id="text"),
        pytest.param({"expires_in": ...}, None, id="neither"),
    ],
)
def test_the_expiry_is_read_under_both_of_its_names(foxy: Emulator, fields: dict[str, Any], life: float | None) -> None:
    """3P: "The access_token_expires value notes in seconds how long"; the wire says expires_in."""
    foxy.token_fields = fields
    token = fetch(client_of(foxy), authorization_response(foxy))

    assert token.life == life


def test_an_awkward_code_arrives_as_it_was(foxy: Emulator) -> None:
    """RFC 6749, section 4.1.3: the code is sent form-encoded, whatever characters it has."""
    with pytest.raises(AuthorizationError):
        fetch(client_of(foxy), authorization_response(foxy, "a+b&c=d %\u00fc"))

    assert the_only(foxy.token_calls).form["code"] == "a+b&c=d %\u00fc"


def test_without_a_redirect_uri_there_is_no_exchange(foxy: Emulator) -> None:
    """3P: redirect_uri is required; a client without one says so, and sends no code."""
    with pytest.raises(ValueError, match="redirect_uri that was registered"):
        fetch(client_of(foxy, redirect_uri=None), authorization_response(foxy))

    assert foxy.calls == []


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"code": "FakeCode", "state": "another"}, id="forged"),
        pytest.param({"code": "FakeCode"}, id="without a state"),
        pytest.param({"state": STATE}, id="without a code"),
        pytest.param({"error": "access_denied", "state": STATE}, id="denied"),
        pytest.param({"code": "FakeCode", "error": "x", "state": STATE}, id="error beside a code"),
        pytest.param(f"?code=FakeCode&code=FakeOther&state={STATE}", id="two codes"),
        pytest.param("?code=FakeCode&sta", id="truncated"),
    ],
)
def test_a_wrong_response_makes_no_request(foxy: Emulator, given: Any) -> None:
    """3P: "you should abort the authorization process", before anything is sent anywhere."""
    with pytest.raises(AuthorizationError):
        fetch(client_of(foxy), given)

    assert foxy.calls == []


# --- codes that are refused ----------------------------------------------------------------------------------------


def refused(foxy: Emulator, given: dict[str, str]) -> AuthorizationError:
    """Return what the exchange of a wrong code raises, after one request."""
    foxy.clear_calls()
    with pytest.raises(AuthorizationError, match="begin a new authorization") as caught:
        fetch(client_of(foxy), given)
    assert the_only(foxy.token_calls).status == 400
    return caught.value


def test_a_code_lives_thirty_seconds(timed: Emulator, clock: FakeClock) -> None:
    """3P: "The code is only valid for 30 seconds"."""
    in_time, too_late = authorization_response(timed), authorization_response(timed)
    clock.advance(29.0)
    token = fetch(client_of(timed), in_time)
    clock.advance(2.0)
    error = refused(timed, too_late)

    assert timed.is_live(token.access_token)
    assert (error.error, error.description) == ("invalid_grant", "The authorization code has expired")


def test_a_replayed_response_is_refused(foxy: Emulator) -> None:
    """3P: the code "can only be used once"; the token that it brought stays valid."""
    given = authorization_response(foxy)
    token = fetch(client_of(foxy), given)
    error = refused(foxy, given)

    assert error.error == "invalid_grant"
    assert foxy.is_live(token.access_token)


def test_a_code_of_another_client_is_refused(foxy: Emulator) -> None:
    """RFC 6749, section 4.1.3: a code belongs to the client that it was issued to."""
    client_id, secret = foxy.register_client(client_id="FakeOther", client_secret="FakeOtherSecret")
    other = OAuthClient(client_id, secret, redirect_uri=foxy.redirect_uri, environment=foxy.environment)
    with pytest.raises(AuthorizationError) as caught:
        fetch(other, authorization_response(foxy))

    assert caught.value.error == "invalid_grant"


def test_a_code_that_was_cut_off_is_refused(foxy: Emulator) -> None:
    """A code without its last character is refused."""
    error = refused(foxy, authorization_response(foxy, foxy.authorization_code()[:-1]))

    assert error.error == "invalid_grant"


def test_another_redirect_uri_is_refused(foxy: Emulator) -> None:
    """3P: redirect_uri "must match the original URI set when creating the client exactly"; the error says so."""
    foxy.strict_redirect_uri = True
    client = client_of(foxy, redirect_uri=foxy.redirect_uri + "/")
    with pytest.raises(AuthorizationError, match="exactly what was registered") as caught:
        fetch(client, authorization_response(foxy))

    assert caught.value.error == "redirect_uri_mismatch"


def test_another_redirect_uri_is_refused_without_a_description(foxy: Emulator) -> None:
    """RFC 6749, section 5.2: the description is optional; the error code stands in for it."""
    foxy.fail(400, body={"error": "redirect_uri_mismatch"})
    with pytest.raises(AuthorizationError, match=r"^redirect_uri_mismatch; redirect_uri must be exactly") as caught:
        fetch(client_of(foxy), authorization_response(foxy))

    assert caught.value.description is None


def test_a_wrong_secret_is_a_matter_of_configuration(foxy: Emulator) -> None:
    """A refused client is a `TokenRefusedError`: starting over would not help."""
    client = OAuthClient(
        foxy.client_id, "FakeWrongSecret", redirect_uri=foxy.redirect_uri, environment=foxy.environment
    )
    with pytest.raises(TokenRefusedError) as caught:
        fetch(client, authorization_response(foxy))

    assert (caught.value.error, caught.value.status) == ("invalid_client", 400)


def test_a_lost_response_is_not_requested_again(foxy: Emulator) -> None:
    """R13: whether the code has been used is not known, so it is not sent twice."""
    foxy.drop(after=True)
    with pytest.raises(TokenUnavailableError) as caught:
        fetch(client_of(foxy), authorization_response(foxy))

    assert len(foxy.token_calls) == 1
    assert "requests" in type(caught.value.__cause__).__module__


# --- the whole flow, with a browser ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [STORE_FULL_ACCESS, USER_FULL_ACCESS])
@pytest.mark.parametrize("setting", ["ignored", "verified"])
@pytest.mark.parametrize(
    "options", [{}, {"pkce": False}, {"send_redirect_uri": True}, {"pkce": False, "send_redirect_uri": True}], ids=repr
)
def test_from_the_link_to_the_first_request(foxy: Emulator, scope: str, options: dict[str, bool], setting: Any) -> None:
    """3P: the user is forwarded, presses Allow, comes back, and the integration calls the API; with PKCE or without."""
    foxy.pkce = setting
    client = client_of(foxy)
    request = client.authorization_request(scope, **options)
    with Browser() as browser:
        callback = browser.decide(request.url)
    token = client.fetch_token(callback, request=json.loads(json.dumps(request.to_dict())))
    home = requests.get(foxy.url, auth=client.auth(token), timeout=10).json()

    assert callback.partition("?")[0] == foxy.redirect_uri
    assert scope in token.scopes
    assert {STORE_FULL_ACCESS: "fx:store", USER_FULL_ACCESS: "fx:user"}[scope] in home["_links"]


def test_the_user_presses_deny(foxy: Emulator) -> None:
    """3P: "The user denied access to your application" comes back as an error, and nothing is exchanged."""
    client = client_of(foxy)
    request = client.authorization_request(STORE_FULL_ACCESS)
    with Browser() as browser:
        callback = browser.decide(request.url, "deny")
    with pytest.raises(AuthorizationError, match="not possible without access") as caught:
        client.fetch_token(callback, request=request)

    assert (caught.value.error, caught.value.description) == (
        "access_denied",
        "The user denied access to your application",
    )
    assert foxy.token_calls == []


@pytest.mark.parametrize(
    "redirect_uri", ["http://localhost:8910/cb", "http://127.0.0.1:8910/cb", "http://[::1]:8910/cb"]
)
def test_loopback_redirect_uris(foxy: Emulator, redirect_uri: str) -> None:
    """RFC 8252, sections 7.3 and 8.3: `localhost` and both IP literals work, sent along or not, to the letter."""
    foxy.redirect_uri, foxy.strict_redirect_uri = redirect_uri, True
    for send_redirect_uri in (False, True):
        client = client_of(foxy)
        request = client.authorization_request(STORE_FULL_ACCESS, send_redirect_uri=send_redirect_uri)
        callback = foxy.authorize(request.url)
        token = client.fetch_token(callback, request=request)

        assert callback.startswith(f"{redirect_uri}?")
        assert foxy.is_live(token.access_token)
        assert {call.form["redirect_uri"] for call in foxy.token_calls} == {redirect_uri}


# --- responses to the requests of others ----------------------------------------------------------------------------


def test_an_injected_code_is_refused(foxy: Emulator) -> None:
    """R25: RFC 9700, section 4.5: a code that was stolen from another request fails with the verifier of this one."""
    foxy.pkce = "verified"
    client = client_of(foxy)
    victim, attacker = (client.authorization_request(STORE_FULL_ACCESS) for _ in range(2))
    stolen = parse_qs(urlsplit(foxy.authorize(victim.url)).query)["code"][0]
    with pytest.raises(AuthorizationError, match="begin a new authorization") as caught:
        client.fetch_token({"code": stolen, "state": attacker.state}, request=attacker)

    assert caught.value.error == "invalid_grant"
    assert foxy.live_access_tokens == []


def test_a_challenge_cannot_be_removed_on_the_way(foxy: Emulator) -> None:
    """RFC 9700, section 4.8: a code for a request whose challenge was cut out is refused, since a verifier is sent."""
    foxy.pkce = "verified"
    client = client_of(foxy)
    request = client.authorization_request(STORE_FULL_ACCESS)
    callback = foxy.authorize(re.sub("&code_challenge[a-z_]*=[^&]*", "", request.url))
    with pytest.raises(TokenRefusedError):
        client.fetch_token(callback, request=request)

    assert foxy.live_access_tokens == []


def test_the_providers_word_for_a_wrong_verifier(foxy: Emulator) -> None:
    """The provider's library says `code_verifier_mismatch`: the authorization failed, and not the configuration."""
    foxy.fail(400, body={"error": "code_verifier_mismatch", "error_description": "The PKCE code verifier …"})
    with pytest.raises(AuthorizationError, match="begin a new authorization") as caught:
        fetch(client_of(foxy), authorization_response(foxy))

    assert caught.value.error == "code_verifier_mismatch"


def test_a_response_of_the_sandbox_is_not_taken_for_production(foxy: Emulator) -> None:
    """R25: RFC 9700, section 4.4: a code goes to no other token endpoint than that of the request."""
    with Emulator() as sandbox:
        sandbox.redirect_uri = foxy.redirect_uri
        session = client_of(sandbox).authorization_request(STORE_FULL_ACCESS).to_dict()
        callback = sandbox.authorize(str(session["url"]))
        with pytest.raises(AuthorizationError, match="made for another authorization_endpoint") as caught:
            client_of(foxy).fetch_token(callback, request=session)
        sent = foxy.calls
        token = client_of(sandbox).fetch_token(callback, request=session)

    assert (caught.value.error, sent) == ("request_mismatch", [])
    assert token.access_token


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "authorization_endpoint", "token_endpoint"])
def test_a_request_is_bound_to_who_made_it(foxy: Emulator, name: str) -> None:
    """R25: RFC 9700, section 2.1: a request of another client, redirect URI or environment is refused; R23: untold."""
    client = client_of(foxy)
    request = client.authorization_request(STORE_FULL_ACCESS)
    callback = foxy.authorize(request.url)
    foxy.clear_calls()
    other = {**request.to_dict(), name: f"{getattr(request, name)}x"}
    for kept in (other, AuthorizationRequest.from_dict(other)):
        with pytest.raises(
            AuthorizationError, match=f"made for another {name}, .* begin a new authorization"
        ) as caught:
            client.fetch_token(callback, request=kept)

        assert caught.value.error == "request_mismatch"
        assert request.state not in repr(caught.value)
    assert foxy.calls == []


@pytest.mark.parametrize("kept", [None, {}], ids=["none", "empty"])
def test_a_session_that_has_expired(foxy: Emulator, kept: Any) -> None:
    """R25: 3P: without the request, no response matches, and no code is sent."""
    with pytest.raises(AuthorizationError, match="session may also have expired") as caught:
        client_of(foxy).fetch_token({"code": "FakeCode", "state": ""}, request=kept)

    assert (caught.value.error, foxy.calls) == ("state_mismatch", [])


def test_the_issuer_of_a_response(foxy: Emulator) -> None:
    """R25: RFC 9207: a response whose `iss` is another's makes no request; the environment's own passes."""
    client = client_of(foxy)
    request = client.authorization_request(STORE_FULL_ACCESS)
    callback = foxy.authorize(request.url)
    foxy.clear_calls()
    with pytest.raises(AuthorizationError) as caught:
        client.fetch_token(f"{callback}&iss=https%3A%2F%2Fmy.foxycart.com", request=request)
    sent = foxy.calls
    token = client.fetch_token(f"{callback}&iss={quote(foxy.url)}", request=request)

    assert (caught.value.error, sent) == ("issuer_mismatch", [])
    assert foxy.is_live(token.access_token)


# --- refreshing by hand --------------------------------------------------------------------------------------------


def test_a_token_is_refreshed_by_hand(foxy: Emulator) -> None:
    """3P: "use the corresponding refresh_token and the fx:token endpoint of the API to request a new access_token"."""
    old = foxy.grant()
    new = client_of(foxy).refresh_token(old)

    assert the_only(foxy.token_calls).form == {"grant_type": "refresh_token", "refresh_token": old.refresh_token}
    assert foxy.is_live(new.access_token)
    assert new.access_token != old.access_token
    assert (new.refresh_token, new.scope) == (old.refresh_token, old.scope)


def test_refreshing_by_hand_keeps_what_the_response_leaves_out(foxy: Emulator) -> None:
    """R10: a response without refresh token or scope leaves those as they were."""
    foxy.omit_refresh_token, foxy.token_fields = True, {"scope": ...}
    old = foxy.grant()
    new = client_of(foxy).refresh_token(old)

    assert (new.refresh_token, new.scope) == (old.refresh_token, old.scope)


def test_refreshing_by_hand_takes_a_rotated_token(foxy: Emulator) -> None:
    """R10: a refresh token that differs replaces the old one."""
    foxy.rotate_refresh_tokens = True
    new = client_of(foxy).refresh_token(foxy.grant())

    assert new.refresh_token == foxy.current_refresh_token


def test_a_revoked_grant_requires_a_login(foxy: Emulator) -> None:
    """An `invalid_grant` means: authorize again."""
    token = foxy.grant()
    foxy.revoke_refresh_tokens()
    with pytest.raises(LoginRequiredError, match="authorize again"):
        client_of(foxy).refresh_token(token)


def test_a_token_without_a_refresh_token_requires_a_login(foxy: Emulator) -> None:
    """A token that cannot be refreshed is an error without a request."""
    with pytest.raises(LoginRequiredError, match="authorize again"):
        client_of(foxy).refresh_token(Token("FakeAccess"))

    assert foxy.calls == []


def test_token_requests_are_repeated_where_that_is_safe(foxy: Emulator) -> None:
    """R13: what a 503 turned away was not processed, so the request is made again; the caller sees nothing of it."""
    foxy.fail(503)
    new = client_of(foxy).refresh_token(foxy.grant())

    assert [call.status for call in foxy.token_calls] == [503, 200]
    assert foxy.is_live(new.access_token)


# --- client credentials --------------------------------------------------------------------------------------------


def test_a_client_gets_a_token_for_itself(foxy: Emulator) -> None:
    """TERM: client_full_access "allows interaction with a single OAuth Client"; it has no refresh token."""
    token = client_of(foxy).client_credentials()

    assert the_only(foxy.token_calls).form == {"grant_type": "client_credentials", "scope": "client_full_access"}
    assert token.scopes == {"client_full_access"}
    assert token.refresh_token is None


def test_a_scope_that_the_client_may_not_have(foxy: Emulator) -> None:
    """A refused scope is a matter of configuration."""
    with pytest.raises(TokenRefusedError) as caught:
        client_of(foxy).client_credentials(STORE_FULL_ACCESS)

    assert caught.value.error == "invalid_scope"


def test_the_clients_own_auth_makes_one_token_request(foxy: Emulator) -> None:
    """`from_client_credentials` gets a token with the first request, and keeps it."""
    kept: list[Token] = []
    auth = FoxyAuth.from_client_credentials(client_of(foxy), on_token=kept.append)
    homes = [requests.get(foxy.url, auth=auth, timeout=10).json() for _ in range(3)]

    assert all("fx:client" in home["_links"] for home in homes)
    assert the_only(foxy.token_calls).form["grant_type"] == "client_credentials"
    assert kept == [auth.token]


def as_expired(token: Token) -> Token:
    """Let a token's life be over, on this side."""
    assert token.obtained_at is not None
    return replace(token, obtained_at=token.obtained_at - 7300, expires_at=token.obtained_at - 100)


@pytest.mark.parametrize("send", [requests.get, httpx.get], ids=["requests", "httpx"])
def test_the_clients_own_auth_gets_another_token_on_expiry(foxy: Emulator, send: Callable[..., Any]) -> None:
    """Where others refresh, it gets another token: before a request, when the clock says so."""
    client = client_of(foxy)
    token = as_expired(client.client_credentials())
    foxy.expire_access_tokens()
    auth = FoxyAuth.from_client_credentials(client, token=token)
    foxy.clear_calls()

    assert send(foxy.url, auth=auth).status_code == 200
    assert [call.form["grant_type"] for call in foxy.token_calls] == ["client_credentials"]
    assert [call.status for call in foxy.api_calls] == [200]


def test_the_clients_own_auth_gets_another_token_by_hand(foxy: Emulator) -> None:
    """Where others refresh, it gets another token: when told to."""
    auth = FoxyAuth.from_client_credentials(client_of(foxy))
    first = auth.get_token()
    second = auth.refresh()

    assert first.access_token != second.access_token
    assert [call.form["grant_type"] for call in foxy.token_calls] == ["client_credentials"] * 2


@pytest.mark.parametrize("send", [requests.get, httpx.get], ids=["requests", "httpx"])
def test_the_clients_own_auth_gets_another_token_on_a_401(foxy: Emulator, send: Callable[..., Any]) -> None:
    """Where others refresh, it gets another token: after a 401, and then the request is made again."""
    auth = FoxyAuth.from_client_credentials(client_of(foxy))
    auth.get_token()
    foxy.revoke_access_tokens()
    foxy.clear_calls()

    assert send(foxy.url, auth=auth).status_code == 200
    assert [call.form["grant_type"] for call in foxy.token_calls] == ["client_credentials"]
    assert [call.status for call in foxy.api_calls] == [401, 200]


# --- async versions ------------------------------------------------------------------------------------------------


def async_versions(foxy: Emulator) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return every coroutine function that makes a token request."""
    client, given, token = client_of(foxy), authorization_response(foxy), foxy.grant()
    auth = client.auth(as_expired(token))
    return {
        "afetch_token": lambda: afetch(client, given),
        "arefresh_token": lambda: client.arefresh_token(token),
        "aclient_credentials": client.aclient_credentials,
        "from_client_credentials": FoxyAuth.from_client_credentials(client).aget_token,
        "aget_token": auth.aget_token,
        "aheaders": auth.aheaders,
        "arefresh": auth.arefresh,
    }


ASYNC_VERSIONS = [
    "afetch_token",
    "arefresh_token",
    "aclient_credentials",
    "from_client_credentials",
    "aget_token",
    "aheaders",
    "arefresh",
]


@pytest.mark.parametrize("name", ASYNC_VERSIONS)
async def test_async_versions_never_block_the_loop(foxy: Emulator, name: str) -> None:
    """While the provider takes its time, the event loop does other things, on asyncio and on trio."""
    call = async_versions(foxy)[name]
    brought: list[object] = []

    async def bring() -> None:
        brought.append(await call())

    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(bring)
            await anyio.to_thread.run_sync(latch.wait_for)
            before = list(brought)
            latch.release()

    assert (before, len(brought)) == ([], 1)
    assert the_only(foxy.token_calls).status == 200


def test_async_versions_have_names_of_their_own() -> None:
    """An async version has its own name, and a pickle brings back the async version, not the original."""
    versions = [acreate_user, OAuthClient.afetch_token]

    assert [version.__qualname__ for version in versions] == ["acreate_user", "OAuthClient.afetch_token"]
    assert [pickle.loads(pickle.dumps(version)) for version in versions] == versions  # noqa: S301 - our own


async def test_async_versions_raise_the_same_errors(foxy: Emulator) -> None:
    """An async version raises what the original raises."""
    client = client_of(foxy)
    with pytest.raises(AuthorizationError) as caught:
        await afetch(client, {"error": "access_denied", "state": STATE})
    with pytest.raises(LoginRequiredError):
        await client.arefresh_token(Token("FakeAccess"))
    with pytest.raises(TokenRefusedError):
        await client.aclient_credentials("nonsense")

    assert caught.value.error == "access_denied"


async def test_a_cancelled_task_ends_at_once(foxy: Emulator) -> None:
    """R9: a task that is cancelled while the provider takes its time does not wait for it."""
    client = client_of(foxy)
    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(client.aclient_credentials)
            await anyio.to_thread.run_sync(latch.wait_for)
            group.cancel_scope.cancel()

    assert group.cancel_scope.cancelled_caught


async def test_an_exchange_returns_when_on_token_has_the_token(foxy: Emulator) -> None:
    """R19: so does its async version; who gets a token knows that it has been delivered."""
    kept: list[Token] = []

    async def keep(token: Token) -> None:
        await anyio.sleep(0.05)
        kept.append(token)

    client, response = client_of(foxy), authorization_response(foxy)
    token = await afetch(client, response, on_token=keep)

    assert kept == [token]


async def test_a_cancelled_exchange_does_not_lose_the_token(foxy: Emulator) -> None:
    """R9: a code can be used once, so its token reaches `on_token` though nobody waits any more."""
    kept: list[Token] = []
    arrived = threading.Event()

    def keep(token: Token) -> None:
        kept.append(token)
        arrived.set()

    client, response = client_of(foxy), authorization_response(foxy)
    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(afetch, client, response, on_token=keep))
            await anyio.to_thread.run_sync(latch.wait_for)
            group.cancel_scope.cancel()
    await anyio.to_thread.run_sync(arrived.wait, 10)

    assert [foxy.is_live(token.access_token) for token in kept] == [True]


async def test_the_whole_flow_in_async_code(foxy: Emulator) -> None:
    """From the authorization response to requests of an `httpx.AsyncClient`, with an async `on_token`."""
    kept: list[Token] = []

    async def keep(token: Token) -> None:
        await anyio.lowlevel.checkpoint()
        kept.append(token)

    client = client_of(foxy)
    token = await afetch(client, authorization_response(foxy))
    auth = client.auth(token, on_token=keep)
    async with httpx.AsyncClient(auth=auth) as http:
        first = await http.get(foxy.store_url)
        foxy.revoke_access_tokens()
        second = await http.get(foxy.store_url)
    await auth.aclose()

    assert [first.status_code, second.status_code] == [200, 200]
    assert kept == [token, auth.token]


# --- and then ------------------------------------------------------------------------------------------------------


def test_the_first_token_is_delivered_at_once(foxy: Emulator) -> None:
    """A token that a flow has brought reaches `on_token` before anything else can go wrong."""
    kept: list[Token] = []
    token = foxy.grant()
    client_of(foxy).auth(token, on_token=kept.append)

    assert kept == [token]
    assert foxy.calls == []


def test_the_auth_goes_on_with_the_clients_settings(foxy: Emulator) -> None:
    """What the client was given counts for its auth objects: environment, version, client library, timeout."""
    with requests.Session() as http:
        http.headers["X-Own"] = "yes"
        auth = client_of(foxy, http=http, api_version="2", timeout=3).auth(expired(foxy))
        headers = auth.headers()

    assert headers["FOXY-API-VERSION"] == "2"
    assert (the_only(foxy.token_calls).headers["X-Own"], the_only(foxy.token_calls).headers["FOXY-API-VERSION"]) == (
        "yes",
        "2",
    )
    assert endpoint_of(auth).timeout == 3


def test_a_failed_first_delivery_is_told_by_flush(foxy: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """R19: a callback that fails does not cost the token: it is logged, `flush` raises, and offers it again."""
    full = [True]
    kept: list[Token] = []

    def keep(token: Token) -> None:
        if full[0]:
            raise OSError("disk full")
        kept.append(token)

    token = foxy.grant()
    with caplog.at_level(logging.ERROR):
        auth = client_of(foxy).auth(token, on_token=keep)
    with pytest.raises(StoreError):
        auth.flush()
    full[0] = False
    auth.flush()

    assert "disk full" in caplog.text
    assert kept == [auth.token] == [token]


def test_going_on_with_what_a_store_holds(foxy: Emulator) -> None:
    """R12: `auth(store=…)` needs no token where the store has one, and leaves it as it is."""
    store, token = MemoryStore(), foxy.grant()
    store.save(token)
    auth = client_of(foxy).auth(store=store)

    assert auth.get_token() == store.load() == token
    assert foxy.token_calls == []
    with pytest.raises(ValueError, match="refresh_token"):
        client_of(foxy).auth()


class ShopAuth(FoxyAuth):
    """A subclass with an attribute of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shop = "shop"


def test_a_subclass_is_made_by_its_own_init(foxy: Emulator) -> None:
    """A subclass makes its own objects by its own `__init__`; another grant's object is a plain `FoxyAuth`."""
    auth = ShopAuth.from_client_credentials(client_of(foxy))
    token = foxy.grant()
    other = auth.for_token(token)

    assert (type(auth), auth.shop, type(other), other.get_token()) == (ShopAuth, "shop", FoxyAuth, token)


# --- one library at a time -----------------------------------------------------------------------------------------

PROGRAM = """
import sys
import threading
url, library, code, client_id, secret, redirect_uri = sys.argv[1:]
others = {"requests", "httpx", "httpx2", "niquests"} - {library}
sys.modules |= dict.fromkeys(others)

from foxy_auth import Environment, FoxyAuth, OAuthClient, create_user, register_client

environment = Environment.discover(url)
client = OAuthClient(client_id, secret, redirect_uri=redirect_uri, environment=environment)
request = client.authorization_request("store_full_access")
token = client.fetch_token({"code": code, "state": request.state}, request=request)
token = client.refresh_token(token)
auth = client.auth(token)
auth.refresh()
FoxyAuth.from_client_credentials(client).headers()
made = register_client(
    redirect_uri=redirect_uri, project_name="p", company_name="c", contact_name="n", contact_email="n@shop.example",
    contact_phone="1", environment=environment,
)
create_user(made.auth, first_name="Ann", last_name="Lee", email="ann@shop.example")
loaded = sorted(others & {name for name, module in sys.modules.items() if module is not None})
print(auth.token.store_id, loaded)
"""


@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2"])
def test_every_flow_with_one_library_alone(foxy: Emulator, library: str) -> None:
    """Whoever has one client library needs no other, for any of the flows."""
    arguments = [foxy.url, library, foxy.authorization_code(), foxy.client_id, foxy.client_secret, foxy.redirect_uri]
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.stderr) == ("1 []\n", "")
    assert {call.headers["User-Agent"].split("/")[0] for call in foxy.calls} == {f"python-{library}"}


# --- wrong use, and secrets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"client_id": None}, "client_id takes text", id="no id"),
        pytest.param({"client_id": ""}, "client_id is empty", id="blank id"),
        pytest.param({"client_id": "a:b"}, "colon", id="colon in the id"),
        pytest.param({"client_secret": b"x"}, "client_secret takes text", id="secret in bytes"),
        pytest.param({"client_secret": "x\n"}, "client_secret ends with a newline", id="newline behind the secret"),
        pytest.param({"redirect_uri": 7}, "redirect_uri takes", id="redirect URI"),
        pytest.param({"redirect_uri": ""}, "exactly as registered", id="blank redirect URI"),
        pytest.param({"redirect_uri": "/oauth"}, "exactly as registered", id="relative redirect URI"),
        pytest.param({"redirect_uri": "https://a.example/#b"}, "exactly as registered", id="fragment"),
        pytest.param({"redirect_uri": "https://a.example https://b.example"}, "exactly as reg", id="two redirect URIs"),
        pytest.param({"environment": "https://api.foxycart.com"}, "environment takes", id="environment"),
        pytest.param({"client_auth_method": "none"}, "client_auth_method takes", id="client_auth_method"),
        pytest.param({"api_version": 1}, "api_version takes", id="version"),
        pytest.param({"timeout": 0}, "timeout takes", id="no time"),
        pytest.param({"timeout": None}, "timeout takes", id="no timeout"),
        pytest.param({"http": object()}, "http takes", id="no client"),
        pytest.param({"http": httpx.AsyncClient()}, "async programs give a synchronous client", id="async client"),
    ],
)
def test_wrong_arguments_are_told_at_once(options: dict[str, Any], message: str) -> None:
    """R24: wrong use fails at once, and the error says what to do."""
    arguments: dict[str, Any] = {"client_id": "id", "client_secret": "FakeSecret", **options}
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        OAuthClient(**arguments)

    assert "FakeSecret" not in str(caught.value)


@pytest.mark.parametrize("token", [None, "FakeRefresh", {"access_token": "FakeAccess"}], ids=lambda v: type(v).__name__)
def test_only_a_token_can_be_refreshed(token: Any) -> None:
    """R24: a dict or a text is no `Token`, and the error tells how to make one."""
    with pytest.raises(TypeError, match=r"Token\.from_dict") as caught:
        OAuthClient("id", "FakeSecret").refresh_token(token)

    assert "Fake" not in str(caught.value)


def test_a_client_shows_what_it_was_given() -> None:
    """What was handed in can be read again, so that it can be stored."""
    client = OAuthClient(SAMPLE_ID, "FakeSecret", redirect_uri=SAMPLE_REDIRECT_URI)

    assert (client.client_id, client.client_secret, client.redirect_uri) == (
        SAMPLE_ID,
        "FakeSecret",
        SAMPLE_REDIRECT_URI,
    )
    assert client.environment == PRODUCTION


def test_a_clients_id_and_secret_cannot_be_changed() -> None:
    """TERM: "Once an OAuth Client is created, the Client ID can not be changed", and the secret "does not change"."""
    client = OAuthClient(SAMPLE_ID, "FakeSecret")
    for name in ("client_id", "client_secret"):
        with pytest.raises(AttributeError):
            setattr(client, name, "another")

    assert (client.client_id, client.client_secret) == (SAMPLE_ID, "FakeSecret")


def test_the_pages_sample_token_signs_as_printed() -> None:
    """3P, "Authenticating API Calls": the page's own access token gives the page's own header, and the version."""
    token = Token("76e9237hHosdp4890sjjafu38U78HJSund7295a9", refresh_token="FakeRefresh")

    assert OAuthClient(SAMPLE_ID, "FakeSecret").auth(token).headers() == {
        "Authorization": "Bearer 76e9237hHosdp4890sjjafu38U78HJSund7295a9",
        "FOXY-API-VERSION": "1",
    }


def test_no_repr_shows_a_secret(foxy: Emulator) -> None:
    """R23: the repr of a client, its attributes, its tokens and its auth objects shows no secret."""
    client = client_of(foxy)
    token = foxy.grant()
    shown = [client, vars(client), token, client.auth(token)]
    secrets = [foxy.client_secret, token.access_token, token.refresh_token or ""]

    assert repr(client) == f"<OAuthClient {foxy.client_id} for {foxy.url}>"
    assert not [secret for thing in shown for secret in secrets if secret in f"{thing!r} {thing}"]


def test_an_auth_object_shows_no_attributes(foxy: Emulator) -> None:
    """R23: an auth object has no public attribute that holds the secret."""
    auth = client_of(foxy).auth(foxy.grant())

    assert [name for name in vars(auth) if not name.startswith("_")] == []


@pytest.mark.parametrize("http", [requests.Session, httpx.Client], ids=["requests", "httpx"])
def test_no_log_and_no_error_tells_a_secret(
    foxy: Emulator, caplog: pytest.LogCaptureFixture, http: Callable[[], Any]
) -> None:
    """R23: with every logger at DEBUG, going well or badly, no flow tells a secret."""
    given, token = authorization_response(foxy), foxy.grant()
    told: list[str] = []
    with caplog.at_level(logging.DEBUG), http() as library:
        client = client_of(foxy, http=library)
        client.refresh_token(fetch(client, given))
        client.client_credentials()
        for status, body in [
            (400, {"error": "invalid_grant", "error_description": f"{given['code']} {foxy.client_secret}"}),
            (400, {"error": "x", "error_description": basic(foxy.client_id, foxy.client_secret)}),
            (200, b"{"),
        ]:
            foxy.fail(status, body=body)
            with pytest.raises((AuthorizationError, TokenRefusedError, TokenUnavailableError)) as caught:
                fetch(client, given)
            told.append(f"{caught.value!r} {vars(caught.value)} {caught.value.__cause__!r}")
    live = foxy.live_access_tokens
    header = basic(foxy.client_id, foxy.client_secret).removeprefix("Basic ")
    secrets = [given["code"], foxy.client_secret, header, token.refresh_token or "", *live]

    assert not [secret for secret in secrets for text in [caplog.text, *told] if secret in text]


# --- another provider ----------------------------------------------------------------------------------------------


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[AuthlibProvider]:
    """Give an OAuth provider that is not ours."""
    with AuthlibProvider(monkeypatch) as provider:
        yield provider


def grant_of(provider: AuthlibProvider, client: OAuthClient) -> Token:
    """Go through the whole flow at the other provider: the link, the consent, the exchange."""
    request = client.authorization_request(SCOPE, send_redirect_uri=True)
    with Browser() as browser:
        callback = browser.decide(request.url)
    assert callback.startswith("https://www.example.com/oauth?shop=1&")
    assert parse_qs(urlsplit(callback).query)["iss"] == [provider.url]
    return client.fetch_token(callback, request=request)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_another_server_goes_through_the_same_flow(provider: AuthlibProvider, method: str) -> None:
    """RFC 6749: an authorization server that we did not write understands us, with either client authentication."""
    client = provider.client(client_auth_method=method)
    token = grant_of(provider, client)
    response = requests.get(client.environment.api, auth=client.auth(token), timeout=10)

    assert (response.status_code, response.json()) == (200, {"welcome": True})
    assert token.refresh_token
    assert token.scopes == {SCOPE}


@pytest.mark.parametrize("send", [requests.get, httpx.get, httpx2.get], ids=["requests", "httpx", "httpx2"])
def test_another_servers_rotating_refresh_tokens_are_followed(
    provider: AuthlibProvider, send: Callable[..., Any]
) -> None:
    """R10: where refresh tokens are rotated, each of three refreshes sends the newest, and keeps the next."""
    client = provider.client()
    kept: list[Token] = []
    auth = client.auth(grant_of(provider, client), on_token=kept.append)
    statuses = []
    for _ in range(3):
        provider.revoke_access_tokens()
        statuses.append(send(client.environment.api, auth=auth).status_code)

    assert statuses == [200, 200, 200]
    assert provider.refreshes == [token.refresh_token for token in kept[:-1]]
    assert len({token.refresh_token for token in kept}) == 4


def test_another_servers_used_refresh_token_requires_a_login(provider: AuthlibProvider) -> None:
    """RFC 6749, section 5.2: its `invalid_grant` means the same."""
    client = provider.client()
    first = grant_of(provider, client)
    second = client.refresh_token(first)
    with pytest.raises(LoginRequiredError):
        client.refresh_token(first)

    assert client.refresh_token(second).access_token


def test_another_servers_refusals_are_understood(provider: AuthlibProvider) -> None:
    """RFC 6749, section 5.2: an `invalid_client` with 401, and a code presented twice."""
    client = provider.client()
    request = client.authorization_request(SCOPE, send_redirect_uri=True)
    with Browser() as browser:
        callback = browser.decide(request.url)
    client.fetch_token(callback, request=request)
    with pytest.raises(AuthorizationError) as spent:
        client.fetch_token(callback, request=request)
    wrong = OAuthClient("other-provider-client", "FakeWrong", environment=client.environment)
    with pytest.raises(TokenRefusedError) as refused:
        wrong.refresh_token(Token("FakeAccess", refresh_token="FakeRefresh"))

    assert spent.value.error == "invalid_grant"
    assert (refused.value.error, refused.value.status) == ("invalid_client", 401)


def test_another_servers_denial_is_understood(provider: AuthlibProvider) -> None:
    """RFC 6749, section 4.1.2.1: its own description of a denial leads to the same advice."""
    client = provider.client()
    request = client.authorization_request(SCOPE)
    with Browser() as browser:
        callback = browser.decide(request.url, "deny")
    with pytest.raises(AuthorizationError, match="not possible without access") as caught:
        client.fetch_token(callback, request=request)

    assert caught.value.error == "access_denied"


def test_another_server_gives_the_client_its_own_token(provider: AuthlibProvider) -> None:
    """RFC 6749, section 4.4: client credentials work elsewhere too."""
    token = provider.client().client_credentials(CLIENT_FULL_ACCESS)

    assert token.scopes == {CLIENT_FULL_ACCESS}
    assert token.refresh_token is None
    assert CLIENT_SECRET not in repr(token)


def test_environments_can_be_anything_that_keeps_secrets() -> None:
    """R24: an authorization server in clear text beyond this machine is refused at once."""
    with pytest.raises(ValueError, match="https"):
        Environment(api="https://api.foxycart.com", authorization_endpoint="http://my.foxycart.com/authorize")
