"""Token requests, token responses and the API's 401s, as values."""

from __future__ import annotations

import copy
import json
import pickle
from base64 import b64decode, b64encode
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.properties import PROPERTY, WIDE_PROPERTY

from foxy_auth._oauth.messages import (
    LONGEST_LIFE,
    AuthorizationHeader,
    ClientCredentials,
    HttpResponse,
    authorization_header,
    blames_token,
    clean,
    error_messages,
    merged_cookies,
    read_token_response,
    token_request,
)
from foxy_auth._secrets import Secret
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, StoreError, TokenRefusedError, TokenUnavailableError
from foxy_auth.token import Token

URL = "https://api.foxycart.com/token"
ACCESS = "fakeAccess0123456789abcdef0123456789abcd"
REFRESH = "fakeRefresh0123456789abcdef0123456789abc"
NEW_REFRESH = "fakeNewRefresh456789abcdef0123456789abcd"
ASKED_AT = 1_800_000_000.0
# From the provider's page "OAuth for 3rd Party Integrations".
SAMPLE_HEADER = "Basic Y2xpZW50X045YTVFZ0hqSVE5NWhzZDBzRDI3OlZzejI2dWUzOFFkU0lnSVFTazRyRGg5YkRCbVRRNE5WU3BoQ1JQbUw="


def read(
    body: object = b"",
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    refresh_token: str | None = REFRESH,
    scope: str = "",
    hidden: tuple[str, ...] = (REFRESH,),
) -> Token:
    """Read a response whose body is bytes, or sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = HttpResponse(status, headers or {}, content)
    own = Secret(refresh_token) if refresh_token else None
    secrets = tuple(map(Secret, hidden))
    return read_token_response(response, asked_at=ASKED_AT, refresh_token=own, scope=scope, hidden=secrets)


def granted(**fields: object) -> dict[str, object]:
    """Return the fields of a good response, some of them replaced, or left out with an ellipsis."""
    good = {"access_token": ACCESS, "expires_in": 7200, "token_type": "Bearer", "scope": "store_full_access", **fields}
    return {name: value for name, value in good.items() if value is not ...}


# --- token requests --------------------------------------------------------------------------------------------------


def test_the_header_is_the_providers_sample_letter_by_letter() -> None:
    """3P: the Basic header is that of the provider's page for its id and secret, not percent-encoded."""
    client_id, _, client_secret = b64decode(SAMPLE_HEADER.removeprefix("Basic ")).decode().partition(":")
    request = token_request(
        ClientCredentials(client_id, Secret(client_secret)),
        "refresh_token",
        {"refresh_token": REFRESH},
        url=URL,
        api_version="1",
    )

    assert request.headers["Authorization"] == SAMPLE_HEADER


def test_a_refresh_is_a_form_with_two_fields() -> None:
    """RFC 6749, section 6: the form has the grant type and the refresh token, the headers the rest."""
    request = token_request(
        ClientCredentials("fake-id", Secret("fake-secret")),
        "refresh_token",
        {"refresh_token": REFRESH},
        url=URL,
        api_version="1",
    )

    assert request.url == URL
    assert parse_qs(request.body, strict_parsing=True) == {
        "grant_type": ["refresh_token"],
        "refresh_token": [REFRESH],
    }
    assert dict(request.headers) == {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
        "FOXY-API-VERSION": "1",
        "Authorization": f"Basic {b64encode(b'fake-id:fake-secret').decode()}",
    }


def test_the_secret_can_go_into_the_form() -> None:
    """3P: with `client_secret_post`, id and secret are in the form and there is no Authorization header."""
    client = ClientCredentials("fake-id", Secret("fake-secret"), "client_secret_post")
    request = token_request(client, "refresh_token", {"refresh_token": REFRESH}, url=URL, api_version="1")
    fields = parse_qs(request.body)

    assert "Authorization" not in request.headers
    assert (fields["client_id"], fields["client_secret"]) == (["fake-id"], ["fake-secret"])


printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)


@PROPERTY
@given(secret=printable, refresh_token=st.text(st.characters(exclude_categories=["C"]), min_size=1))
def test_any_secret_arrives_as_it_is(secret: str, refresh_token: str) -> None:
    """RFC 6749, appendix B: whatever characters secrets have, the server reads them as they are."""
    request = token_request(
        ClientCredentials("fake-id", Secret(secret)),
        "refresh_token",
        {"refresh_token": refresh_token},
        url=URL,
        api_version="1",
    )

    assert b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode() == f"fake-id:{secret}"
    assert parse_qs(request.body, keep_blank_values=True)["refresh_token"] == [refresh_token]


def test_requests_and_responses_show_no_secret() -> None:
    """R23: neither client, request nor response shows a secret in its `repr`."""
    client = ClientCredentials("fake-id", Secret("fake-secret"))
    request = token_request(client, "refresh_token", {"refresh_token": REFRESH}, url=URL, api_version="1")
    shown = f"{client!r} {request!r} {HttpResponse(200, {'x': ACCESS}, ACCESS.encode())!r}"

    assert not any(secret in shown for secret in ("fake-secret", REFRESH, ACCESS, "Basic"))


# --- the Authorization header ----------------------------------------------------------------------------------------


def test_the_header_is_text_for_client_libraries() -> None:
    """RFC 6750, section 2.1: the value is `Bearer` and the token; its bytes are made once, whatever the encoding."""
    header = authorization_header(Token(ACCESS))

    assert (header, header.encode("utf-8")) == (f"Bearer {ACCESS}", f"Bearer {ACCESS}".encode())
    assert isinstance(header, AuthorizationHeader)
    assert header.encode("latin-1") is header.encode()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(authorization_header(Token(ACCESS)), id="text"),
        pytest.param(authorization_header(Token(ACCESS)).encode(), id="bytes"),
    ],
)
def test_the_header_hides_itself(header: str | bytes) -> None:
    """R21, R23: no `repr` and no pickle of a request contains the token, but copies of a request are signed."""
    pickled = pickle.dumps(header)
    plain: Any = pickle.loads(pickled)  # noqa: S301 - our own

    assert ACCESS not in f"{header!r} {pickled!r}"
    assert (type(plain), plain) in [(str, "Bearer [hidden]"), (bytes, b"[hidden]")]
    assert copy.copy(header) is header
    assert copy.deepcopy({"Authorization": header})["Authorization"] is header


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_reads_the_providers_response() -> None:
    """R4: the expiry counts from the moment before the token request."""
    token = read(granted(refresh_token=NEW_REFRESH, scope="store_full_access store_id_3200", token_type="bearer"))

    assert token == Token(
        ACCESS,
        refresh_token=NEW_REFRESH,
        expires_at=ASKED_AT + 7200,
        obtained_at=ASKED_AT,
        scope="store_full_access store_id_3200",
        token_type="bearer",
    )


@pytest.mark.parametrize(
    ("fields", "life"),
    [
        pytest.param({"expires_in": 7200}, 7200.0, id="integer"),
        pytest.param({"expires_in": 3600.5}, 3600.5, id="float"),
        pytest.param({"expires_in": 0.5}, 0.5, id="less than a second"),
        pytest.param({"expires_in": "3600"}, 3600.0, id="text"),
        pytest.param({"expires_in": " 3600.0 "}, 3600.0, id="text with spaces"),
        pytest.param({"expires_in": 10**12}, LONGEST_LIFE, id="absurd"),
        pytest.param({"expires_in": 10**400}, None, id="beyond every number"),
        pytest.param({"expires_in": ...}, None, id="missing"),
        pytest.param({"expires_in": None}, None, id="null"),
        pytest.param({"expires_in": ""}, None, id="empty"),
        pytest.param({"expires_in": "soon"}, None, id="a word"),
        pytest.param({"expires_in": 0}, None, id="zero"),
        pytest.param({"expires_in": -1}, None, id="negative"),
        pytest.param({"expires_in": "nan"}, None, id="not a number"),
        pytest.param({"expires_in": "inf"}, None, id="endless"),
        pytest.param({"expires_in": True}, None, id="a boolean"),
        pytest.param({"expires_in": [7200]}, None, id="a list"),
        pytest.param({"expires_in": ..., "access_token_expires": 7200}, 7200.0, id="the pages' name"),
        pytest.param({"expires_in": None, "access_token_expires": "7200"}, 7200.0, id="the pages' name as text"),
        pytest.param({"expires_in": 60, "access_token_expires": 7200}, 60.0, id="both"),
    ],
)
def test_reads_the_lifetime(fields: dict[str, object], life: float | None) -> None:
    """R4, 3P: a sensible lifetime is read under both of its names; any other means that the expiry is unknown."""
    assert read(granted(**fields)).life == life


def test_reads_a_lifetime_that_json_does_not_know() -> None:
    """R4: Python's JSON reads `NaN` and `Infinity`, which are not lifetimes."""
    lives = [read(b'{"access_token": "x", "expires_in": %b}' % word).life for word in (b"NaN", b"Infinity", b"1e999")]

    assert lives == [None, None, None]


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(b'"expires_in": 1' + 5000 * b"0", id="a number too long to read"),
        pytest.param(b'"store_name": "Caf\xe9"', id="Latin-1"),
        pytest.param(b'"error": null', id="no error"),
    ],
)
def test_an_odd_field_costs_no_token(odd: bytes) -> None:
    """R9: the refresh token that was sent may be spent, so an odd field does not cost the new one."""
    token = read(b'{"access_token": "x", "refresh_token": "%b", %b}' % (NEW_REFRESH.encode(), odd))

    assert (token.refresh_token, token.expires_at) == (NEW_REFRESH, None)


@pytest.mark.parametrize(
    ("fields", "refresh_token"),
    [
        pytest.param({}, REFRESH, id="missing"),
        pytest.param({"refresh_token": None}, REFRESH, id="null"),
        pytest.param({"refresh_token": ""}, REFRESH, id="empty"),
        pytest.param({"refresh_token": 5}, REFRESH, id="a number"),
        pytest.param({"refresh_token": REFRESH}, REFRESH, id="the same"),
        pytest.param({"refresh_token": NEW_REFRESH}, NEW_REFRESH, id="another"),
    ],
)
def test_keeps_or_replaces_the_refresh_token(fields: dict[str, object], refresh_token: str) -> None:
    """R10: a response without a refresh token keeps the old one; another one replaces it."""
    assert read(granted(**fields)).refresh_token == refresh_token


@pytest.mark.parametrize(
    ("fields", "scope"),
    [
        pytest.param({"scope": ...}, "old scope", id="missing"),
        pytest.param({"scope": None}, "old scope", id="null"),
        pytest.param({"scope": ""}, "old scope", id="empty"),
        pytest.param({"scope": 7}, "old scope", id="a number"),
        pytest.param({"scope": "new"}, "new", id="text"),
        pytest.param({"scope": ["a", "b"]}, "old scope", id="a list"),
    ],
)
def test_keeps_or_replaces_the_scope(fields: dict[str, object], scope: str) -> None:
    """RFC 6749, section 5.1: a response without a scope grants the requested one."""
    assert read(granted(**fields), scope="old scope").scope == scope


# --- refusals --------------------------------------------------------------------------------------------------------

# The provider's refusals: status, error, description.
REFUSALS = [
    (405, "invalid_request", "The request method must be POST when requesting an access token"),
    (400, "invalid_request", "The grant type was not specified in the request"),
    (400, "unsupported_grant_type", 'Grant type "x" not supported'),
    (400, "invalid_client", "ClientCredentials credentials were not found in the headers or body"),
    (400, "invalid_client", "The client credentials are invalid"),
    (400, "invalid_client", "This client is invalid or must authenticate using a client secret"),
    (400, "invalid_client", "client credentials are required"),
    (401, "invalid_client", "The client credentials are invalid"),
    (400, "invalid_request", 'Missing parameter: "code" is required'),
    (400, "invalid_request", 'Missing parameter: "refresh_token" is required'),
    (400, "redirect_uri_mismatch", "The redirect URI is missing or do not match"),
    (400, "unauthorized_client", "The grant type is unauthorized for this client_id"),
    (400, "invalid_scope", "The scope requested is invalid for this request"),
    (400, "invalid_scope", "The scope requested is invalid for this client"),
    (400, "invalid_scope", "An unsupported scope was requested"),
    (400, "invalid_scope", "This application requires you specify a scope parameter"),
    (200, "invalid_client", "The client credentials are invalid"),
    (403, "access_denied", "Something of a gateway"),
]
INVALID_GRANT = [
    (400, "invalid_grant", "Authorization code doesn't exist or is invalid for the client"),
    (400, "invalid_grant", "The authorization code has expired"),
    (400, "invalid_grant", "Invalid refresh token"),
    (400, "invalid_grant", "Refresh token has expired"),
    (400, "invalid_grant", "refresh_token doesn't exist or is invalid for the client"),
    (401, "invalid_grant", "Invalid refresh token"),
    (200, "invalid_grant", "Invalid refresh token"),
]


@pytest.mark.parametrize(
    ("status", "error", "description"), [pytest.param(*row, id=f"{row[0]} {row[2]}") for row in REFUSALS]
)
def test_a_refusal_says_what_to_repair(status: int, error: str, description: str) -> None:
    """R14: each refusal is known by its error code, whatever the status, even beside a token, and tells the texts."""
    with pytest.raises(TokenRefusedError) as caught:
        read(granted(error=error, error_description=description), status)
    refused = caught.value

    assert (refused.error, refused.description, refused.status) == (error, description, status)
    assert error in str(refused)
    assert description in str(refused)


@pytest.mark.parametrize(
    ("status", "error", "description"), [pytest.param(*row, id=f"{row[0]} {row[2]}") for row in INVALID_GRANT]
)
def test_an_invalid_grant_requires_a_login(status: int, error: str, description: str) -> None:
    """R12, R14: `invalid_grant` requires a new authorization, whatever the status and the description."""
    with pytest.raises(LoginRequiredError, match=r"the grant was revoked or has expired.*; authorize again") as caught:
        read({"error": error, "error_description": description}, status)

    assert (caught.value.error, caught.value.description) == (error, description)


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client", "unauthorized_client", "redirect_uri_mismatch"])
def test_a_short_secret_hides_no_error_code(code: str) -> None:
    """R12, R23: a secret that happens to be part of an error code does not change it."""
    with pytest.raises((LoginRequiredError, TokenRefusedError), match=rf"\({code}\)"):
        read({"error": code}, 400, hidden=("i",))


def test_a_refusal_without_a_description_has_none() -> None:
    """R14: a description that is missing or not text is None."""
    with pytest.raises(TokenRefusedError) as caught:
        read({"error": "invalid_client", "error_description": ["x"]}, 400)

    assert caught.value.description is None


# --- unusable responses ----------------------------------------------------------------------------------------------

HAL = {"total": 1, "_embedded": {"fx:errors": [{"logref": "id-1", "message": "FOXY-API-VERSION header is required"}]}}


@pytest.mark.parametrize(
    ("status", "headers", "body", "repeatable", "retry_after"),
    [
        pytest.param(500, {}, HAL, True, None, id="500 HAL"),
        pytest.param(502, {}, b"<html>Bad Gateway</html>", True, None, id="502 HTML"),
        pytest.param(503, {"retry-after": "7"}, b"", True, 7.0, id="503 Retry-After"),
        pytest.param(503, {}, granted(), True, None, id="503 with a token"),
        pytest.param(500, {}, {"error": "invalid_grant"}, True, None, id="500 invalid_grant"),
        pytest.param(504, {}, b"", False, None, id="504"),
        pytest.param(429, {"retry-after": "120"}, b"slow down", True, 120.0, id="429 Retry-After"),
        pytest.param(429, {}, {"error": "slow_down"}, True, None, id="429"),
        pytest.param(400, {}, {"error": "temporarily_unavailable"}, True, None, id="temporarily_unavailable"),
        pytest.param(200, {}, {"error": "server_error"}, True, None, id="server_error"),
        pytest.param(400, {}, HAL, False, None, id="400 HAL"),
        pytest.param(401, {}, b"", False, None, id="401 empty"),
        pytest.param(403, {}, b"<html>Forbidden</html>", False, None, id="403 of a firewall"),
        pytest.param(404, {}, b"Not Found", False, None, id="404"),
        pytest.param(302, {"location": "https://evil.example"}, b"", False, None, id="302"),
        pytest.param(307, {"location": "https://evil.example"}, granted(access_token=5), False, None, id="307"),
        pytest.param(200, {}, b"<html>Welcome</html>", False, None, id="200 HTML"),
        pytest.param(200, {}, b"", False, None, id="200 empty"),
        pytest.param(200, {}, b"[]", False, None, id="200 list"),
        pytest.param(200, {}, b"{}", False, None, id="200 nothing"),
        pytest.param(200, {}, b"null", False, None, id="200 null"),
        pytest.param(200, {}, b'"text"', False, None, id="200 text"),
        pytest.param(200, {}, b'{"access_token": "abc', False, None, id="200 truncated"),
        pytest.param(200, {}, b"[" * 100_000, False, None, id="200 too deep"),
        pytest.param(200, {}, b"\xff\xfe\x00", False, None, id="200 no text"),
        pytest.param(200, {}, b"9" * 5000, False, None, id="200 a very long number"),
        pytest.param(200, {}, f"access_token={ACCESS}&expires_in=7200".encode(), False, None, id="200 form"),
        pytest.param(200, {}, granted(access_token=None), False, None, id="token null"),
        pytest.param(200, {}, granted(access_token=""), False, None, id="token empty"),
        pytest.param(200, {}, granted(access_token=5), False, None, id="token a number"),
        pytest.param(200, {}, granted(access_token=[ACCESS]), False, None, id="token a list"),
        pytest.param(200, {}, granted(access_token="a\r\nX: y"), False, None, id="token with a header"),
        pytest.param(200, {}, granted(token_type="mac"), False, None, id="token of another type"),
        pytest.param(200, {}, granted(token_type=["Bearer"]), False, None, id="several types"),
        pytest.param(200, {}, granted(token_type=0), False, None, id="type a number"),
        pytest.param(200, {}, granted(token_type="Bearer, mac"), False, None, id="two types"),
        pytest.param(200, {}, {"_embedded": []}, False, None, id="HAL of another form"),
        pytest.param(200, {}, {"_embedded": {"fx:errors": [1, None, {"message": 2}]}}, False, None, id="HAL oddities"),
        pytest.param(204, {}, b"", False, None, id="204"),
    ],
)
def test_an_unusable_response_means_try_later(
    status: int,
    headers: dict[str, str],
    body: object,
    repeatable: bool,  # noqa: FBT001 - a column of the table
    retry_after: float | None,
) -> None:
    """R13, R14: any other response means "try later"; only 429 and 5xx, but not 504, may be repeated."""
    with pytest.raises(TokenUnavailableError) as caught:
        read(body, status, headers)

    assert (caught.value.repeatable, caught.value.retry_after) == (repeatable, retry_after)
    assert f"({status})" in str(caught.value)


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", None, ""])
def test_any_spelling_of_bearer_is_one(token_type: str | None) -> None:
    """RFC 6749, section 5.1: the type of a token compares without case; where it is missing, Bearer is meant."""
    assert read(granted(token_type=token_type)).token_type.lower() == "bearer"


@pytest.mark.parametrize("token_type", ["mac", "DPoP", "N_A", "Bearer ", 7])
def test_a_token_of_another_type_is_refused(token_type: object) -> None:
    """R14: a token that is no bearer token is not used as one (RFC 6749, section 7.1), and the error says why."""
    with pytest.raises(TokenUnavailableError, match="token_type must be"):
        read(granted(token_type=token_type))


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (503, {}, "the token endpoint is unavailable (503): no explanation; try later"),
        (503, {"error_description": "Busy."}, "the token endpoint is unavailable (503): Busy.; try later"),
        (400, {"error": "invalid_scope"}, "the token endpoint refuses (invalid_scope); ask for a scope that "),
        (400, {"error": "x", "error_description": "y"}, "the token endpoint refuses (x: y); check the client id, "),
        (200, {}, "the token endpoint gave no usable response (200): no token in the response; check its address, "),
        (299, {}, "the token endpoint gave no usable response (299): no token in the response; check its address, "),
        (300, {}, "the token endpoint gave no usable response (300): it redirects, and secrets are not sent elsewhere"),
        (399, {}, "the token endpoint gave no usable response (399): it redirects, and secrets are not sent elsewhere"),
        (400, {}, "the token endpoint gave no usable response (400): no token in the response; check its address, "),
    ],
)
def test_errors_say_why(status: int, body: object, text: str) -> None:
    """R14: an error says what is known of its cause, and says so if nothing is."""
    with pytest.raises(FoxyAuthError) as caught:
        read(body, status)

    assert str(caught.value).startswith(text)


def test_a_hal_error_keeps_its_messages() -> None:
    """R14: an error in the API's own format says why, should the token endpoint use it."""
    with pytest.raises(TokenUnavailableError, match="FOXY-API-VERSION header is required"):
        read(HAL, 400)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "0"}, 0.0, id="zero"),
        pytest.param({"retry-after": " 12 "}, 12.0, id="spaces"),
        pytest.param({"retry-after": "9" * 400}, LONGEST_LIFE, id="very long"),
        pytest.param({"retry-after": "-5"}, None, id="negative"),
        pytest.param({"retry-after": "1.5"}, None, id="not an integer"),
        pytest.param({"retry-after": "soon"}, None, id="a word"),
        pytest.param({"retry-after": ""}, None, id="empty"),
        pytest.param({"retry-after": "\u0661\u0662"}, 12.0, id="other digits"),
        pytest.param({"retry-after": "\u00b2"}, None, id="a superscript"),
        pytest.param(
            {"retry-after": "Sun, 22 Nov 2026 05:01:00 GMT", "date": "Sun, 22 Nov 2026 05:00:00 GMT"}, 60.0, id="a date"
        ),
        pytest.param(
            {"retry-after": "Sun, 22 Nov 2026 04:59:00 GMT", "date": "Sun, 22 Nov 2026 05:00:00 GMT"}, 0.0, id="past"
        ),
        pytest.param({"retry-after": "Sun, 22 Nov 2026 05:01:00 GMT"}, None, id="a date without Date"),
        pytest.param(
            {"retry-after": "Sun, 22 Nov 2026 05:01:00 GMT", "date": "Sun, 22 Nov 2026 05:00:00 -0000"},
            None,
            id="dates that cannot be compared",
        ),
        pytest.param(
            {"retry-after": f"Sun, 22 Nov 2026 {'9' * 20}:01:00 GMT", "date": "Sun, 22 Nov 2026 05:00:00 GMT"},
            None,
            id="a date of huge numbers",
        ),
    ],
)
def test_reads_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """R13: `Retry-After` is seconds, or a date that counts from the response's own; nonsense is ignored."""
    with pytest.raises(TokenUnavailableError) as caught:
        read(b"", 503, headers)

    assert caught.value.retry_after == seconds


# --- laws ------------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["access_token", "refresh_token", "expires_in", "access_token_expires", "scope", "token_type", "error"]
responses = st.dictionaries(
    st.sampled_from([*FIELDS, "error_description", "_embedded"]),
    json_values | st.just(ACCESS) | st.just({"fx:errors": [{"message": "x"}]}),
).map(lambda fields: json.dumps(fields).encode())
header_texts = st.text(max_size=20) | st.sampled_from(["7", "Sun, 22 Nov 2026 05:01:00 GMT", "Mon, 99 Foo 2026"])


@WIDE_PROPERTY
@given(
    body=st.binary(max_size=60) | responses | json_values.map(lambda value: json.dumps(value).encode()),
    status=st.integers(100, 599),
    headers=st.dictionaries(st.sampled_from(["retry-after", "date", "content-type", "location"]), header_texts),
)
@example(body=b'{"access_token": "x", "expires_in": 1e309}', status=200, headers={})
@example(body=b'{"access_token": "\\ud800"}', status=200, headers={})
def test_any_response_gives_a_token_or_an_error(body: bytes, status: int, headers: dict[str, str]) -> None:
    """R14: whatever the response, the result is a token or one of our errors."""
    try:
        token = read(body, status, headers)
    except FoxyAuthError as error:
        said = str(error)
    else:
        said = token.access_token

    assert said.isprintable()


# In tildes, so that no secret is part of our own texts by chance.
secrets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=10, max_size=40).map("~{}~".format)
ECHO_FIELDS = st.sampled_from(["error", "error_description", "hal", "other"])


@PROPERTY
@given(
    data=st.data(),
    client_secret=secrets,
    refresh_token=secrets,
    status=st.sampled_from([200, 302, 400, 401, 404, 429, 500]),
)
def test_no_secret_comes_back_in_an_error(data: Any, client_secret: str, refresh_token: str, status: int) -> None:
    """R23: even if the response repeats a secret of the request, no error contains it."""
    basic = b64encode(f"fake-id:{client_secret}".encode()).decode()
    hidden = (basic, client_secret, refresh_token)
    noise = st.text(max_size=10)
    echo = "".join(data.draw(st.lists(st.sampled_from(hidden) | noise, min_size=1, max_size=6)))
    body = {
        "error": {"error": echo},
        "error_description": {"error": "invalid_client", "error_description": echo},
        "hal": {"_embedded": {"fx:errors": [{"message": echo}]}},
        "other": {"access_token": echo + " ", "scope": [echo], "token_type": echo},
    }[data.draw(ECHO_FIELDS)]

    with pytest.raises(FoxyAuthError) as caught:
        read(body, status, refresh_token=refresh_token, hidden=hidden)
    error = caught.value
    said = f"{error!r} {error} {vars(error)}"

    assert not any(secret in said for secret in hidden)


def test_a_secret_within_another_hides_both() -> None:
    """R23: if one secret contains another, nothing of the longer one is left."""
    with pytest.raises(TokenRefusedError) as caught:
        read({"error": "x", "error_description": "abcSECRETdef"}, 400, hidden=("SECRET", "abcSECRETdef"))

    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(LoginRequiredError("m", error="invalid_grant", description="d"), id="login"),
        pytest.param(TokenRefusedError("m", error="invalid_client", description="d", status=400), id="refused"),
        pytest.param(TokenUnavailableError("m", retry_after=3.0, repeatable=True), id="unavailable"),
        pytest.param(StoreError("m"), id="store"),
    ],
)
@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_errors_survive_copies_and_pickles(error: FoxyAuthError, through: Any) -> None:
    """R7, R21: an error can be raised for every waiting caller, and in another process, with its attributes."""
    again = through(error)

    assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))


# --- the API's 401 ---------------------------------------------------------------------------------------------------

EXPIRED = "The access token provided has expired"
UNKNOWN = "The access token provided is invalid"


def _hal(*messages: str) -> dict[str, Any]:
    return {"total": len(messages), "_embedded": {"fx:errors": [{"logref": "id-1", "message": m} for m in messages]}}


@pytest.mark.parametrize(
    ("headers", "body", "blamed"),
    [
        pytest.param({}, b"", True, id="empty"),
        pytest.param({"www-authenticate": 'Bearer realm="Service"'}, b"", True, id="empty with a realm"),
        pytest.param({}, b"<html>401</html>", True, id="HTML"),
        pytest.param({}, b"[]", True, id="a list"),
        pytest.param({}, {}, True, id="an empty object"),
        pytest.param({}, {"message": "no"}, True, id="no error"),
        pytest.param({}, {"error": "invalid_token", "error_description": EXPIRED}, True, id="expired"),
        pytest.param({}, {"error": "invalid_token", "error_description": UNKNOWN}, True, id="unknown"),
        pytest.param(
            {}, {"error": "invalid_token", "error_description": "worded otherwise"}, True, id="another description"
        ),
        pytest.param({}, {"error": "malformed_token"}, True, id="damaged record"),
        pytest.param({}, {"error": "expired_token"}, True, id="expired_token"),
        pytest.param({}, _hal(EXPIRED), True, id="HAL expired"),
        pytest.param({}, _hal(UNKNOWN), True, id="HAL unknown"),
        pytest.param({}, {"error": "access_denied"}, False, id="access_denied"),
        pytest.param({}, {"error": "insufficient_scope"}, False, id="insufficient_scope"),
        pytest.param({}, {"error": "invalid_request"}, False, id="invalid_request"),
        pytest.param({}, _hal("You may not see this store"), False, id="HAL, another cause"),
        pytest.param(
            {"www-authenticate": f'Bearer realm="Service", error="invalid_token", error_description="{EXPIRED}"'},
            b"",
            True,
            id="header expired",
        ),
        pytest.param({"www-authenticate": "Bearer error=invalid_token"}, b"", True, id="header without quotes"),
        pytest.param(
            {"www-authenticate": 'Bearer realm="Service", error="insufficient_scope"'},
            b"",
            False,
            id="scope in the header",
        ),
        pytest.param(
            {"www-authenticate": 'Bearer error="insufficient_scope"'},
            {"error": "invalid_token"},
            False,
            id="header and body disagree",
        ),
        pytest.param({}, {"error": 5}, True, id="an error that is not text"),
        pytest.param({}, b'{"error": "access_den', True, id="cut off"),
        pytest.param({}, {"_embedded": {"fx:errors": [1, None, {"message": 2}]}}, True, id="HAL oddities"),
    ],
)
def test_a_401_blames_the_token_or_something_else(headers: dict[str, str], body: object, blamed: bool) -> None:  # noqa: FBT001 - a column
    """R15: a 401 blames the token unless its body or header names another cause; an empty one does."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    assert blames_token(headers, content) is blamed


# --- cookies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "fresh", "merged"),
    [
        pytest.param("", "a=1", "a=1", id="none before"),
        pytest.param("a=1", "", "a=1", id="none new"),
        pytest.param("a=1; b=2", "c=3", "a=1; b=2; c=3", id="another"),
        pytest.param("a=1; b=2", "a=9", "a=9; b=2", id="replaced"),
        pytest.param("a=1=2", "b=3=4", "a=1=2; b=3=4", id="equals signs in values"),
        pytest.param("", "", "", id="nothing"),
    ],
)
def test_merges_cookies_by_name(sent: str, fresh: str, merged: str) -> None:
    """R18: a retry sends the cookies that the 401 has set, each name once."""
    assert merged_cookies(sent, fresh) == merged


def test_a_hostile_explanation_is_cheap_to_clean() -> None:
    """R14, R23: Of an endless explanation the beginning is cleaned and shown, of very many messages the first."""
    secret = "0123456789abcdef"
    with pytest.raises(LoginRequiredError) as caught:
        read({"error": "invalid_grant", "error_description": secret * 4000}, 400, hidden=(secret,))
    many = {"_embedded": {"fx:errors": [{"message": f"fault {number} {secret}"} for number in range(100_000)]}}
    shown = [clean(message, [Secret(secret)]) for message in error_messages(many)]

    assert caught.value.description == "[hidden]"
    assert shown == [f"fault {number} [hidden]" for number in range(50)]
