"""The token endpoint: who gets a token, and in which words the others are refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from emulator.conftest import Caller, Clock

    from foxy_auth.emulator import Emulator

CODE_GONE = "Authorization code doesn't exist or is invalid for the client"
SCOPE_MISSING = "This application requires you specify a scope parameter"

# Fields of the form, error, description, each in the words of the provider's library.
REFUSED = [
    pytest.param({}, "invalid_request", "The grant type was not specified in the request", id="no grant type"),
    pytest.param(
        {"grant_type": "password"},
        "unsupported_grant_type",
        'Grant type "password" not supported',
        id="unknown grant type",
    ),
    pytest.param(
        {"grant_type": "authorization_code"}, "invalid_request", 'Missing parameter: "code" is required', id="no code"
    ),
    pytest.param(
        {"grant_type": "refresh_token"},
        "invalid_request",
        'Missing parameter: "refresh_token" is required',
        id="no refresh token",
    ),
    pytest.param({"grant_type": "authorization_code", "code": "0" * 40}, "invalid_grant", CODE_GONE, id="unknown code"),
    pytest.param(
        {"grant_type": "refresh_token", "refresh_token": "x" * 40},
        "invalid_grant",
        "Invalid refresh token",
        id="unknown refresh token",
    ),
    pytest.param({"grant_type": "client_credentials"}, "invalid_scope", SCOPE_MISSING, id="no scope"),
    pytest.param(
        {"grant_type": "client_credentials", "scope": "everything"},
        "invalid_scope",
        "An unsupported scope was requested",
        id="unknown scope",
    ),
    pytest.param(
        {"grant_type": "client_credentials", "scope": "store_full_access"},
        "invalid_scope",
        "The scope requested is invalid for this client",
        id="scope of others",
    ),
]

NOT_PROVEN = "The client credentials are invalid"
NO_SECRET = "This client is invalid or must authenticate using a client secret"
NO_CREDENTIALS = "Client credentials were not found in the headers or body"

# Basic credentials or none, fields of the form, description.
UNKNOWN_CLIENTS = [
    pytest.param(("", ""), {}, NO_SECRET, id="empty Basic"),
    pytest.param(("client_x", "wrong"), {}, NOT_PROVEN, id="unknown id"),
    pytest.param(("ID", "wrong"), {}, NOT_PROVEN, id="wrong secret"),
    pytest.param(("ID", ""), {}, NO_SECRET, id="no secret"),
    pytest.param(None, {}, NO_CREDENTIALS, id="nothing"),
    pytest.param(None, {"client_secret": "SECRET"}, NO_CREDENTIALS, id="no id"),
    pytest.param(None, {"client_id": "ID"}, NO_SECRET, id="no secret in the body"),
    pytest.param(None, {"client_id": "ID", "client_secret": "wrong"}, NOT_PROVEN, id="wrong secret in the body"),
    pytest.param(("ID", "wrong"), {"client_id": "ID", "client_secret": "SECRET"}, NOT_PROVEN, id="Basic wins"),
    pytest.param(
        ("ID", ""),
        {"grant_type": "client_credentials"},
        "client credentials are required",
        id="no secret for the client's own token",
    ),
]


def refusal(error: str, description: str) -> dict[str, str]:
    """Spell a refusal as JSON."""
    return {"error": error, "error_description": description}


@pytest.mark.parametrize(("fields", "error", "description"), REFUSED)
def test_refusal(call: Caller, fields: dict[str, Any], error: str, description: str) -> None:
    """A request that lacks something is refused with 400, in the provider's words."""
    answer = call.token(**fields)

    assert (answer.status_code, answer.json()) == (400, refusal(error, description))


@pytest.mark.parametrize(("basic", "fields", "description"), UNKNOWN_CLIENTS)
def test_unknown_client(
    foxy: Emulator, call: Caller, basic: tuple[str, str] | None, fields: dict[str, str], description: str
) -> None:
    """A client that does not prove who it is is refused as `invalid_client` before its grant is looked at."""
    known = {"ID": foxy.client_id, "SECRET": foxy.client_secret}
    auth = tuple(known.get(part, part) for part in basic) if basic else None
    form = {"grant_type": "refresh_token"} | {name: known.get(value, value) for name, value in fields.items()}

    answer = call.request("POST", "/token", auth=auth, data=form)

    assert (answer.status_code, answer.json()) == (400, refusal("invalid_client", description))


@pytest.mark.parametrize("header", ["Basic ***", "Basic /w==", "Digest x", "nonsense"])
def test_unreadable_authorization(foxy: Emulator, call: Caller, header: str) -> None:
    """Credentials that cannot be read do not count; those in the body do."""
    headers = {"Authorization": header}
    fields = {"grant_type": "refresh_token", "refresh_token": foxy.grant().refresh_token}
    credentials = {"client_id": foxy.client_id, "client_secret": foxy.client_secret}

    refused = call.request("POST", "/token", headers=headers, data=fields)
    taken = call.request("POST", "/token", headers=headers, data={**fields, **credentials})

    assert (refused.json(), taken.status_code) == (refusal("invalid_client", NO_CREDENTIALS), 200)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_wrong_method(call: Caller, method: str) -> None:
    """A token request that is no POST is refused with 405, a pointer to the RFC and the methods that are allowed."""
    answer = call.request(method, "/token")

    assert answer.json() == {
        **refusal("invalid_request", "The request method must be POST when requesting an access token"),
        "error_uri": "http://tools.ietf.org/html/rfc6749#section-3.2",
    }
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")


def test_methods(call: Caller) -> None:
    """The token endpoint tells whoever asks for its methods the same as whoever uses a wrong one."""
    answer = call.request("OPTIONS", "/token")

    assert (answer.status_code, answer.content, answer.headers["Allow"]) == (200, b"", "POST, OPTIONS")


def test_json_body(call: Caller) -> None:
    """A JSON body is no form: the grant type counts as missing."""
    answer = call.request("POST", "/token", json={"grant_type": "refresh_token"})

    assert answer.json() == refusal("invalid_request", "The grant type was not specified in the request")


def test_json_body_switched_on(foxy: Emulator, call: Caller) -> None:
    """A JSON body is understood where that is switched on."""
    foxy.json_at_token = True
    fields = {"client_id": foxy.client_id, "client_secret": foxy.client_secret, "grant_type": "refresh_token"}

    answer = call.request("POST", "/token", json={**fields, "refresh_token": foxy.grant().refresh_token})

    assert answer.status_code == 200


def test_other_lives(foxy: Emulator, call: Caller, clock: Clock) -> None:
    """Codes and refresh tokens live as long as switched."""
    foxy.code_life, foxy.refresh_token_life = 5.0, 60.0
    code, token = foxy.authorization_code(), foxy.grant()

    clock.now += 5
    exchanged = call.exchange(code)
    clock.now += 55
    refreshed = call.refresh(token.refresh_token)

    assert exchanged.json()["error_description"] == "The authorization code has expired"
    assert refreshed.json()["error_description"] == "Refresh token has expired"


def test_invalid_client_as_401(foxy: Emulator, call: Caller) -> None:
    """The status of `invalid_client` can be switched to that of the RFC, which names the scheme to use."""
    foxy.invalid_client_status = 401

    answer = call.token(auth=("client_x", "wrong"), grant_type="refresh_token")

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Service"')


def test_grant_type_not_allowed(foxy: Emulator, call: Caller) -> None:
    """A client that may not use the grant type is refused after everything but the scope was checked."""
    token = foxy.grant()
    foxy.grant_types = ("authorization_code",)

    answer = call.token(grant_type="refresh_token", refresh_token=str(token.refresh_token), scope="too much")

    assert answer.json() == refusal("unauthorized_client", "The grant type is unauthorized for this client_id")


def test_refresh(foxy: Emulator, call: Caller) -> None:
    """A refresh answers a new access token of the same scope, with the same refresh token, and is not cached."""
    token = foxy.grant()

    answer = call.refresh(token.refresh_token)

    fields = answer.json()
    access_token = fields.pop("access_token")
    assert fields == {
        "expires_in": 7200,
        "token_type": "Bearer",
        "scope": "store_full_access store_id_1",
        "refresh_token": token.refresh_token,
    }
    assert re.fullmatch("[0-9a-f]{40}", access_token)
    assert access_token != token.access_token
    headers = [answer.headers[name] for name in ("Content-Type", "Cache-Control", "Pragma")]
    assert headers == ["application/json", "no-store", "no-cache"]
    assert foxy.live_access_tokens == [token.access_token, access_token]


def test_credentials_in_the_body(foxy: Emulator, call: Caller) -> None:
    """Id and secret may be sent as fields of the form."""
    fields = {"client_id": foxy.client_id, "client_secret": foxy.client_secret, "grant_type": "refresh_token"}

    answer = call.request("POST", "/token", data={**fields, "refresh_token": foxy.grant().refresh_token})

    assert answer.status_code == 200


def test_scope_of_a_refresh(foxy: Emulator, call: Caller) -> None:
    """A refresh may ask for less than was granted, and not for more."""
    refresh_token = str(foxy.grant().refresh_token)

    less = call.token(grant_type="refresh_token", refresh_token=refresh_token, scope="store_id_1")
    more = call.token(grant_type="refresh_token", refresh_token=refresh_token, scope="user_full_access")

    assert less.json()["scope"] == "store_id_1"
    assert more.json() == refusal("invalid_scope", "The scope requested is invalid for this request")


def test_refresh_token_of_another_client(foxy: Emulator, call: Caller) -> None:
    """A refresh token is no use to another client."""
    other = foxy.register_client(client_id="widgetsco", client_secret="widgetscoFakeSecret")

    answer = call.token(auth=other, grant_type="refresh_token", refresh_token=str(foxy.grant().refresh_token))

    description = "refresh_token doesn't exist or is invalid for the client"
    assert answer.json() == refusal("invalid_grant", description)


def test_code_of_another_client(foxy: Emulator, call: Caller) -> None:
    """A code is no use to another client, and is not used up by its attempt."""
    other = foxy.register_client(client_id="widgetsco", client_secret="widgetscoFakeSecret")
    code = foxy.authorization_code()

    refused = call.token(auth=other, grant_type="authorization_code", code=code)
    taken = call.exchange(code)

    description = "authorization_code doesn't exist or is invalid for the client"
    assert refused.json() == refusal("invalid_grant", description)
    assert taken.status_code == 200


def test_exchange(foxy: Emulator, call: Caller) -> None:
    """A code buys an access and a refresh token, once."""
    code = foxy.authorization_code()

    fields = call.exchange(code).json()
    again = call.exchange(code)

    assert re.fullmatch("[0-9a-f]{40}", code)
    assert re.fullmatch("[0-9A-Za-z]{40}", fields["refresh_token"])
    assert foxy.is_live(fields["access_token"])
    assert foxy.current_refresh_token == fields["refresh_token"]
    assert again.json() == refusal("invalid_grant", CODE_GONE)


def test_code_life(foxy: Emulator, call: Caller, clock: Clock) -> None:
    """A code is good for 30 seconds."""
    codes = [foxy.authorization_code() for _ in range(2)]

    clock.now += 29.9
    in_time = call.exchange(codes[0])
    clock.now += 0.1
    late = call.exchange(codes[1])

    assert in_time.status_code == 200
    assert late.json() == refusal("invalid_grant", "The authorization code has expired")


def test_refresh_token_life(foxy: Emulator, call: Caller, clock: Clock) -> None:
    """A refresh token is good for ten years."""
    token = foxy.grant()

    clock.now += 315_360_000
    answer = call.refresh(token.refresh_token)

    assert answer.json() == refusal("invalid_grant", "Refresh token has expired")
    assert foxy.current_refresh_token is None


ADDRESS = "https://integration.example/oauth/callback"

# What the authorization request named, what the exchange names, the switch, whether it goes well.
REDIRECT_URIS = [
    pytest.param(None, {}, False, True, id="neither names one"),
    pytest.param(None, {"redirect_uri": "https://other.example/"}, False, True, id="only the exchange names one"),
    pytest.param(ADDRESS, {"redirect_uri": ADDRESS}, False, True, id="both name the same"),
    pytest.param(ADDRESS, {"redirect_uri": ADDRESS + "/"}, False, False, id="different"),
    pytest.param(ADDRESS, {}, False, False, id="missing"),
    pytest.param(None, {}, True, False, id="missing, strictly"),
    pytest.param(None, {"redirect_uri": ADDRESS}, True, True, id="registered, strictly"),
]


@pytest.mark.parametrize(("asked", "fields", "strict", "good"), REDIRECT_URIS)
def test_redirect_uri_of_an_exchange(
    foxy: Emulator, call: Caller, *, asked: str | None, fields: dict[str, Any], strict: bool, good: bool
) -> None:
    """An exchange names the address of the authorization request, or the registered one where that is strict."""
    foxy.strict_redirect_uri = strict

    answer = call.exchange(foxy.authorization_code(redirect_uri=asked), **fields)

    mismatch = {
        **refusal("redirect_uri_mismatch", "The redirect URI is missing or do not match"),
        "error_uri": "http://tools.ietf.org/html/rfc6749#section-4.1.3",
    }
    assert good or (answer.status_code, answer.json()) == (400, mismatch)
    assert not good or answer.status_code == 200


def test_client_credentials(foxy: Emulator, call: Caller) -> None:
    """A client gets a token for itself, without a refresh token."""
    fields = call.token(grant_type="client_credentials", scope="client_full_access").json()

    assert foxy.is_live(fields.pop("access_token"))
    assert fields == {"expires_in": 7200, "token_type": "Bearer", "scope": "client_full_access"}


def test_rotation(foxy: Emulator, call: Caller) -> None:
    """With rotation on, each refresh brings a new refresh token that works."""
    foxy.rotate_refresh_tokens = True
    token = foxy.grant()

    first = call.refresh(token.refresh_token).json()["refresh_token"]
    second = call.refresh(first).json()["refresh_token"]

    assert len({token.refresh_token, first, second}) == 3
    assert foxy.current_refresh_token == second


def test_reuse_of_a_spent_refresh_token(foxy: Emulator, call: Caller) -> None:
    """With rotation on, whoever uses a spent refresh token ends the whole family, and no other."""
    foxy.rotate_refresh_tokens = True
    other, token = foxy.grant(), foxy.grant()
    latest = call.refresh(token.refresh_token).json()["refresh_token"]

    reused = call.refresh(token.refresh_token)
    family = call.refresh(latest)

    assert reused.json() == family.json() == refusal("invalid_grant", "Invalid refresh token")
    assert (foxy.live_access_tokens, foxy.current_refresh_token) == ([other.access_token], other.refresh_token)


def test_answer_without_refresh_token(foxy: Emulator, call: Caller) -> None:
    """A refresh answer may come without `refresh_token`; the old one stays good, with rotation on too."""
    foxy.omit_refresh_token = foxy.rotate_refresh_tokens = True
    token = foxy.grant()

    answers = [call.refresh(token.refresh_token) for _ in range(2)]

    assert ["refresh_token" in answer.json() for answer in answers] == [False, False]
    assert foxy.current_refresh_token == token.refresh_token


def test_refresh_that_revokes(foxy: Emulator, call: Caller) -> None:
    """A refresh may end the earlier access tokens of its grant."""
    foxy.refresh_revokes_access_tokens = True
    other, token = foxy.grant(), foxy.grant()

    access_token = call.refresh(token.refresh_token).json()["access_token"]

    assert foxy.live_access_tokens == [other.access_token, access_token]


def test_fields_laid_over(foxy: Emulator, call: Caller) -> None:
    """The fields of token answers can be replaced, added and taken away."""
    foxy.token_fields = {"expires_in": "soon", "access_token_expires": 7200, "scope": ..., "token_type": None}

    fields = call.refresh(foxy.grant().refresh_token).json()

    assert (fields["expires_in"], fields["access_token_expires"], fields["token_type"]) == ("soon", 7200, None)
    assert "scope" not in fields


@pytest.mark.parametrize(("life", "expires_in"), [(60.0, 60), (0.5, 0.5), (7200, 7200)])
def test_life_and_type(foxy: Emulator, call: Caller, life: float, expires_in: Any) -> None:
    """Tokens say how long they live and of which type they are, as switched."""
    foxy.access_token_life, foxy.token_type = life, "bearer"

    fields = call.refresh(foxy.grant().refresh_token).json()

    assert (fields["expires_in"], fields["token_type"]) == (expires_in, "bearer")


def test_version_at_the_token_endpoint(foxy: Emulator, call: Caller) -> None:
    """The token endpoint can be told to insist on the version header; its refusal is a HAL error then."""
    token = foxy.grant()
    foxy.require_version_at_token = True

    refused = call.refresh(token.refresh_token)

    assert (refused.status_code, refused.headers["Content-Type"]) == (400, "application/vnd.error+json")
    assert "FOXY-API-VERSION: 1" in refused.json()["_embedded"]["fx:errors"][0]["message"]


def test_revoked_refresh_token(foxy: Emulator, call: Caller) -> None:
    """A revoked refresh token is refused as `invalid_grant`; access tokens outlive it."""
    token = foxy.grant()

    foxy.revoke_refresh_tokens()

    assert call.refresh(token.refresh_token).json() == refusal("invalid_grant", "Invalid refresh token")
    assert foxy.is_live(token.access_token)
