"""The token endpoint: who gets a token, and the errors in the provider's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from emulator.conftest import Clock, Http

    from foxy_auth.emulator import Emulator

UNKNOWN_CODE = "Authorization code doesn't exist or is invalid for the client"
SCOPE_MISSING = "This application requires you specify a scope parameter"

# Fields of the form, error, description.
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
    pytest.param(
        {"grant_type": "authorization_code", "code": "0" * 40}, "invalid_grant", UNKNOWN_CODE, id="unknown code"
    ),
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

WRONG_SECRET = "The client credentials are invalid"
NO_SECRET = "This client is invalid or must authenticate using a client secret"
NO_CREDENTIALS = "Client credentials were not found in the headers or body"

# Basic credentials or none, fields of the form, description.
UNKNOWN_CLIENTS = [
    pytest.param(("client_x", "wrong"), {}, WRONG_SECRET, id="unknown id"),
    pytest.param(("ID", "wrong"), {}, WRONG_SECRET, id="wrong secret"),
    pytest.param(("ID", ""), {}, NO_SECRET, id="no secret"),
    pytest.param(None, {}, NO_CREDENTIALS, id="nothing"),
    pytest.param(None, {"client_id": "ID"}, NO_SECRET, id="no secret in the body"),
    pytest.param(None, {"client_id": "ID", "client_secret": "wrong"}, WRONG_SECRET, id="wrong secret in the body"),
    pytest.param(("ID", "wrong"), {"client_id": "ID", "client_secret": "SECRET"}, WRONG_SECRET, id="Basic wins"),
    pytest.param(
        ("ID", ""),
        {"grant_type": "client_credentials"},
        "client credentials are required",
        id="no secret for the client's own token",
    ),
]


def refusal(error: str, description: str) -> dict[str, str]:
    """Return the JSON of an error."""
    return {"error": error, "error_description": description}


@pytest.mark.parametrize(("fields", "error", "description"), REFUSED)
def test_refusal(http: Http, fields: dict[str, Any], error: str, description: str) -> None:
    """An incomplete request is refused with 400."""
    response = http.token(**fields)

    assert (response.status_code, response.json()) == (400, refusal(error, description))


@pytest.mark.parametrize(("basic", "fields", "description"), UNKNOWN_CLIENTS)
def test_unknown_client(
    foxy: Emulator, http: Http, basic: tuple[str, str] | None, fields: dict[str, str], description: str
) -> None:
    """A client without valid credentials is refused as `invalid_client` before its grant is checked."""
    known = {"ID": foxy.client_id, "SECRET": foxy.client_secret}
    auth = tuple(known.get(part, part) for part in basic) if basic else None
    form = {"grant_type": "refresh_token"} | {name: known.get(value, value) for name, value in fields.items()}

    response = http.request("POST", "/token", auth=auth, data=form)

    assert (response.status_code, response.json()) == (400, refusal("invalid_client", description))


@pytest.mark.parametrize("header", ["Basic /w==", "Digest x"])
def test_unreadable_authorization(foxy: Emulator, http: Http, header: str) -> None:
    """Unreadable HTTP Basic credentials are ignored in favor of the form."""
    headers = {"Authorization": header}
    fields = {"grant_type": "refresh_token", "refresh_token": foxy.grant().refresh_token}
    credentials = {"client_id": foxy.client_id, "client_secret": foxy.client_secret}

    refused = http.request("POST", "/token", headers=headers, data=fields)
    taken = http.request("POST", "/token", headers=headers, data={**fields, **credentials})

    assert (refused.json(), taken.status_code) == (refusal("invalid_client", NO_CREDENTIALS), 200)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_wrong_method(http: Http, method: str) -> None:
    """A method other than POST is refused with 405, a link to the RFC and `Allow`."""
    response = http.request(method, "/token")

    assert response.json() == {
        **refusal("invalid_request", "The request method must be POST when requesting an access token"),
        "error_uri": "http://tools.ietf.org/html/rfc6749#section-3.2",
    }
    assert (response.status_code, response.headers["Allow"]) == (405, "POST, OPTIONS")


def test_options(http: Http) -> None:
    """OPTIONS lists the allowed methods."""
    response = http.request("OPTIONS", "/token")

    assert (response.status_code, set(response.headers["Allow"].split(", "))) == (200, {"POST", "OPTIONS"})


def test_json_body(http: Http) -> None:
    """A JSON body counts as an empty form."""
    response = http.request("POST", "/token", json={"grant_type": "refresh_token"})

    assert response.json() == refusal("invalid_request", "The grant type was not specified in the request")


def test_json_body_accepted(foxy: Emulator, http: Http) -> None:
    """A JSON body is accepted if the setting says so."""
    foxy.json_at_token = True
    fields = {"client_id": foxy.client_id, "client_secret": foxy.client_secret, "grant_type": "refresh_token"}

    response = http.request("POST", "/token", json={**fields, "refresh_token": foxy.grant().refresh_token})

    assert response.status_code == 200


def test_lifetime_settings(foxy: Emulator, http: Http, clock: Clock) -> None:
    """The lifetimes of codes and refresh tokens are settings."""
    foxy.code_life, foxy.refresh_token_life = 5.0, 60.0
    code, token = foxy.authorization_code(), foxy.grant()

    clock.now += 5
    exchanged = http.exchange(code)
    clock.now += 55
    refreshed = http.refresh(token.refresh_token)

    assert exchanged.json()["error_description"] == "The authorization code has expired"
    assert refreshed.json()["error_description"] == "Refresh token has expired"


def test_invalid_client_as_401(foxy: Emulator, http: Http) -> None:
    """`invalid_client` may be a 401, with `WWW-Authenticate`."""
    foxy.invalid_client_status = 401

    response = http.token(auth=("client_x", "wrong"), grant_type="refresh_token")

    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="Service"')


def test_grant_type_not_allowed(foxy: Emulator, http: Http) -> None:
    """A grant type that the client may not use is refused after all checks but that of the scope."""
    token = foxy.grant()
    foxy.grant_types = ("authorization_code",)

    response = http.token(grant_type="refresh_token", refresh_token=str(token.refresh_token), scope="too much")

    assert response.json() == refusal("unauthorized_client", "The grant type is unauthorized for this client_id")


def test_refresh(foxy: Emulator, http: Http) -> None:
    """A refresh returns a new access token of the same scope with the same refresh token, and is not cached."""
    token = foxy.grant()

    response = http.refresh(token.refresh_token)

    fields = response.json()
    access_token = fields.pop("access_token")
    assert fields == {
        "expires_in": 7200,
        "token_type": "Bearer",
        "scope": "store_full_access store_id_1",
        "refresh_token": token.refresh_token,
    }
    assert re.fullmatch("[0-9a-f]{40}", access_token)
    assert access_token != token.access_token
    headers = [response.headers[name] for name in ("Content-Type", "Cache-Control", "Pragma")]
    assert headers == ["application/json", "no-store", "no-cache"]
    assert foxy.live_access_tokens == [token.access_token, access_token]


def test_log(foxy: Emulator, http: Http, caplog: pytest.LogCaptureFixture) -> None:
    """R23: Authlib's log shows no tokens."""
    caplog.set_level("DEBUG")

    fields = http.refresh(foxy.grant().refresh_token).json()

    assert "Issue token" in caplog.text
    assert fields["access_token"] not in caplog.text
    assert fields["refresh_token"] not in caplog.text


def test_credentials_in_the_body(foxy: Emulator, http: Http) -> None:
    """Credentials may be sent in the form."""
    fields = {"client_id": foxy.client_id, "client_secret": foxy.client_secret, "grant_type": "refresh_token"}

    response = http.request("POST", "/token", data={**fields, "refresh_token": foxy.grant().refresh_token})

    assert response.status_code == 200


def test_scope_of_a_refresh(foxy: Emulator, http: Http) -> None:
    """A refresh may narrow the scope, but not widen it."""
    refresh_token = str(foxy.grant().refresh_token)

    less = http.token(grant_type="refresh_token", refresh_token=refresh_token, scope="store_id_1")
    more = http.token(grant_type="refresh_token", refresh_token=refresh_token, scope="user_full_access")

    assert less.json()["scope"] == "store_id_1"
    assert more.json() == refusal("invalid_scope", "The scope requested is invalid for this request")


def test_refresh_token_of_another_client(foxy: Emulator, http: Http) -> None:
    """A refresh token is refused for another client."""
    other = foxy.register_client(client_id="widgetsco", client_secret="widgetscoFakeSecret")

    response = http.token(auth=other, grant_type="refresh_token", refresh_token=str(foxy.grant().refresh_token))

    description = "refresh_token doesn't exist or is invalid for the client"
    assert response.json() == refusal("invalid_grant", description)


def test_code_of_another_client(foxy: Emulator, http: Http) -> None:
    """A code is refused for another client, and stays valid for its own."""
    other = foxy.register_client(client_id="widgetsco", client_secret="widgetscoFakeSecret")
    code = foxy.authorization_code()

    refused = http.token(auth=other, grant_type="authorization_code", code=code)
    taken = http.exchange(code)

    description = "authorization_code doesn't exist or is invalid for the client"
    assert refused.json() == refusal("invalid_grant", description)
    assert taken.status_code == 200


def test_exchange(foxy: Emulator, http: Http) -> None:
    """A code is exchanged for an access token and a refresh token, once."""
    code = foxy.authorization_code()

    fields = http.exchange(code).json()
    again = http.exchange(code)

    assert re.fullmatch("[0-9a-f]{40}", code)
    assert re.fullmatch("[0-9A-Za-z]{40}", fields["refresh_token"])
    assert foxy.is_live(fields["access_token"])
    assert foxy.current_refresh_token == fields["refresh_token"]
    assert again.json() == refusal("invalid_grant", UNKNOWN_CODE)


def test_code_life(foxy: Emulator, http: Http, clock: Clock) -> None:
    """A code is valid for 30 seconds."""
    codes = [foxy.authorization_code() for _ in range(2)]

    clock.now += 29.9
    in_time = http.exchange(codes[0])
    clock.now += 0.1
    late = http.exchange(codes[1])

    assert in_time.status_code == 200
    assert late.json() == refusal("invalid_grant", "The authorization code has expired")


def test_refresh_token_life(foxy: Emulator, http: Http, clock: Clock) -> None:
    """A refresh token is valid for ten years."""
    token = foxy.grant()

    clock.now += 315_360_000
    response = http.refresh(token.refresh_token)

    assert response.json() == refusal("invalid_grant", "Refresh token has expired")
    assert foxy.current_refresh_token is None


REDIRECT_URI = "https://integration.example/oauth/callback"

# Redirect URI of the authorization request, fields of the exchange, the setting, whether it succeeds.
REDIRECT_URIS = [
    pytest.param(None, {}, False, True, id="none"),
    pytest.param(None, {"redirect_uri": "https://other.example/"}, False, True, id="only in the exchange"),
    pytest.param(REDIRECT_URI, {"redirect_uri": REDIRECT_URI}, False, True, id="same"),
    pytest.param(REDIRECT_URI, {"redirect_uri": REDIRECT_URI + "/"}, False, False, id="different"),
    pytest.param(REDIRECT_URI, {}, False, False, id="missing"),
    pytest.param(None, {}, True, False, id="missing, strictly"),
    pytest.param(None, {"redirect_uri": REDIRECT_URI}, True, True, id="registered, strictly"),
]


@pytest.mark.parametrize(("asked", "fields", "strict", "good"), REDIRECT_URIS)
def test_redirect_uri_of_an_exchange(
    foxy: Emulator, http: Http, *, asked: str | None, fields: dict[str, Any], strict: bool, good: bool
) -> None:
    """An exchange has the redirect URI of the authorization request, or the registered one if that is strict."""
    foxy.strict_redirect_uri = strict

    response = http.exchange(foxy.authorization_code(redirect_uri=asked), **fields)

    mismatch = {
        **refusal("redirect_uri_mismatch", "The redirect URI is missing or do not match"),
        "error_uri": "http://tools.ietf.org/html/rfc6749#section-4.1.3",
    }
    assert good or (response.status_code, response.json()) == (400, mismatch)
    assert not good or response.status_code == 200


def test_client_credentials(foxy: Emulator, http: Http) -> None:
    """A client gets a token for itself, without a refresh token."""
    fields = http.token(grant_type="client_credentials", scope="client_full_access").json()

    assert foxy.is_live(fields.pop("access_token"))
    assert fields == {"expires_in": 7200, "token_type": "Bearer", "scope": "client_full_access"}


def test_rotation(foxy: Emulator, http: Http) -> None:
    """With rotation, each refresh returns a new refresh token that works."""
    foxy.rotate_refresh_tokens = True
    token = foxy.grant()

    first = http.refresh(token.refresh_token).json()["refresh_token"]
    second = http.refresh(first).json()["refresh_token"]

    assert len({token.refresh_token, first, second}) == 3
    assert foxy.current_refresh_token == second


def test_reuse_of_a_spent_refresh_token(foxy: Emulator, http: Http) -> None:
    """With rotation, reusing a spent refresh token revokes all tokens of its grant, and no others."""
    foxy.rotate_refresh_tokens = True
    other, token = foxy.grant(), foxy.grant()
    latest = http.refresh(token.refresh_token).json()["refresh_token"]

    reused = http.refresh(token.refresh_token)
    family = http.refresh(latest)

    assert reused.json() == family.json() == refusal("invalid_grant", "Invalid refresh token")
    assert (foxy.live_access_tokens, foxy.current_refresh_token) == ([other.access_token], other.refresh_token)


def test_omit_refresh_token(foxy: Emulator, http: Http) -> None:
    """A refresh response may omit `refresh_token`; the old one stays valid, even with rotation."""
    foxy.omit_refresh_token = foxy.rotate_refresh_tokens = True
    token = foxy.grant()

    responses = [http.refresh(token.refresh_token) for _ in range(2)]

    assert ["refresh_token" in response.json() for response in responses] == [False, False]
    assert foxy.current_refresh_token == token.refresh_token


def test_refresh_revokes_access_tokens(foxy: Emulator, http: Http) -> None:
    """A refresh may revoke the earlier access tokens of its grant."""
    foxy.refresh_revokes_access_tokens = True
    other, token = foxy.grant(), foxy.grant()

    access_token = http.refresh(token.refresh_token).json()["access_token"]

    assert foxy.live_access_tokens == [other.access_token, access_token]


def test_token_fields(foxy: Emulator, http: Http) -> None:
    """The fields of token responses can be replaced, added and removed."""
    foxy.token_fields = {"expires_in": "soon", "access_token_expires": 7200, "scope": ..., "token_type": None}

    fields = http.refresh(foxy.grant().refresh_token).json()

    assert (fields["expires_in"], fields["access_token_expires"], fields["token_type"]) == ("soon", 7200, None)
    assert "scope" not in fields


@pytest.mark.parametrize(("life", "expires_in"), [(60.0, 60), (0.5, 0.5)])
def test_lifetime_and_type(foxy: Emulator, http: Http, life: float, expires_in: Any) -> None:
    """Lifetime and type of access tokens are settings."""
    foxy.access_token_life, foxy.token_type = life, "bearer"

    fields = http.refresh(foxy.grant().refresh_token).json()

    assert (fields["expires_in"], fields["token_type"]) == (expires_in, "bearer")


def test_version_at_the_token_endpoint(foxy: Emulator, http: Http) -> None:
    """The token endpoint may require the version header, with a HAL error."""
    token = foxy.grant()
    foxy.require_version_at_token = True

    refused = http.refresh(token.refresh_token)

    assert (refused.status_code, refused.headers["Content-Type"]) == (400, "application/vnd.error+json")
    assert "FOXY-API-VERSION: 1" in refused.json()["_embedded"]["fx:errors"][0]["message"]


def test_revoked_refresh_token(foxy: Emulator, http: Http) -> None:
    """A revoked refresh token is refused as `invalid_grant`; access tokens stay valid."""
    token = foxy.grant()

    foxy.revoke_refresh_tokens()

    assert http.refresh(token.refresh_token).json() == refusal("invalid_grant", "Invalid refresh token")
    assert foxy.is_live(token.access_token)
