"""
The readers of what comes from outside, each as a function of bytes.

A reader gives a value or raises a documented error. What must hold of them is asserted here, so that every
`AssertionError` and every other exception is a finding.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from math import isfinite
from ssl import SSLError
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from foxy_auth import (
    AuthorizationError,
    AuthorizationRequest,
    Environment,
    FoxyAuth,
    FoxyAuthError,
    LoginRequiredError,
    OAuthClient,
    RegistrationError,
    StoreError,
    Token,
    TokenRefusedError,
    TokenUnavailableError,
)
from foxy_auth._clients.challenge import Attempt, Retry, answer_401
from foxy_auth._engine.grant import Signature
from foxy_auth._oauth.authorization import query_of, read_authorization_response
from foxy_auth._oauth.hal import link, read_resource
from foxy_auth._oauth.messages import (
    LONGEST_DESCRIPTION,
    MAX_401_BODY,
    MAX_RESOURCE,
    MAX_TOKEN_RESPONSE,
    MOST_MESSAGES,
    HttpResponse,
    json_object,
    read_token_response,
)
from foxy_auth._oauth.origin import DEFAULT_PORTS, Origin
from foxy_auth._outages import Sending, outage_of
from foxy_auth._secrets import Secret
from foxy_auth.cli.login.callback import find_problem
from foxy_auth.cli.login.flow import Login
from foxy_auth.cli.login.listener import check_redirect_uri, loopback_address
from foxy_auth.environment import known_environment
from foxy_auth.stores._records import LARGEST_RECORD, Records

E = TypeVar("E", bound=Exception)

ASKED_AT = 1_800_000_000.0
REFRESH = "fakeRefresh0123456789abcdef0123456789abc"
CLIENT_SECRET = "fakeClientSecret+/=0123456789abcdef&%20"
HIDDEN = (Secret(REFRESH), Secret(CLIENT_SECRET))
STATE = "FakeStateFakeStateFakeState"
CODE = "0fa4efa4efa4efa4efa4efa4efa4efa4efa4e000"
SECRETS = (REFRESH, CLIENT_SECRET, STATE, CODE)
STATUSES = (200, 201, 302, 400, 401, 403, 429, 500, 503, 504)
LONGEST_MESSAGE = (MOST_MESSAGES + 2) * LONGEST_DESCRIPTION
LONGEST_ADDRESS = 2**14
ENVIRONMENT = Environment(api="https://api.foxycart.com", origins=["https://api.foxy.io:8443", "http://[::1]:8080"])


@dataclass(frozen=True)
class Reader:
    """
    A reader.

    Attributes:
        read: Reads an input.

        limit: The length of the longest input that can reach the reader, in bytes.

        seeds: Inputs from which to begin.
    """

    read: Callable[[bytes], object]
    limit: int
    seeds: tuple[bytes, ...]


# --- the provider's responses ----------------------------------------------------------------------------------------


def _response(data: bytes) -> HttpResponse:
    """Make a response: a byte for the status, a line for the headers, the rest for the body."""
    status = STATUSES[data[0] % len(STATUSES)] if data else 200
    line, _, body = data[1:].partition(b"\n")
    value = line.decode("latin-1")
    headers = {"retry-after": value, "date": "Fri, 15 Jan 2027 08:00:00 GMT", "www-authenticate": value}
    return HttpResponse(status, headers, body)


def _checked(error: E) -> E:
    """Return an error whose text is short, printable and without secrets, and whose pause can be waited for."""
    assert not isinstance(error, UnicodeError)  # which is a ValueError
    text = f"{error} {vars(error)}"
    assert not any(secret in text or quote(secret, safe="") in text for secret in SECRETS), text
    assert len(str(error)) <= LONGEST_MESSAGE, text
    assert str(error).isprintable(), text
    pause: Any = getattr(error, "retry_after", None)
    assert pause is None or (isfinite(pause) and pause >= 0), text
    return error


def read_token(data: bytes) -> Token | FoxyAuthError:
    """Read a token response."""
    try:
        token = read_token_response(
            _response(data), asked_at=ASKED_AT, refresh_token=HIDDEN[0], scope="store_full_access", hidden=HIDDEN
        )
    except (LoginRequiredError, TokenRefusedError, TokenUnavailableError) as error:
        return _checked(error)
    assert token.access_token.isascii()
    assert token.access_token.isprintable()
    assert token.refresh_token
    assert token.expires_at is None or (isfinite(token.expires_at) and token.expires_at >= ASKED_AT)
    assert token == Token.from_dict(json.loads(json.dumps(token.to_dict())))
    return token


def explain_outage(data: bytes) -> FoxyAuthError:
    """Say why no response came, in the words of an error that quotes what did."""
    words = data[1:].decode("latin-1")
    kinds = (httpx.RemoteProtocolError(words), httpx.ProxyError(words), ConnectionError(104, words), SSLError(1, words))
    error = kinds[data[0] % len(kinds)] if data else TimeoutError()
    is_by_users_client = len(data) % 2 == 1
    sending = Sending(f"{ENVIRONMENT.api}/{words}", "httpx", 5.0, is_by_users_client, HIDDEN)
    return _checked(TokenUnavailableError(sending.explain(error, outage_of(error, is_unsent=not words))))


def read_401(data: bytes) -> Retry | None:
    """Decide what to do about a 401."""
    response = _response(data)
    answer = answer_401(Attempt(SIGNATURE), SENT, response.headers, response.body, AUTH._source)
    assert answer in (None, Retry(SIGNATURE.token))
    return answer


def read_hal(data: bytes) -> str | FoxyAuthError | None:
    """Read a resource of the API, and its link to the token endpoint."""
    try:
        resource = read_resource(_response(data), hidden=HIDDEN)
    except (RegistrationError, TokenUnavailableError) as error:
        return _checked(error)
    return link(resource, "fx:token", base=ENVIRONMENT.api)


# --- what the browser brings -----------------------------------------------------------------------------------------


def read_callback(data: bytes) -> Secret | AuthorizationError:
    """Read the callback, as an address or its query; the login takes no other for one than the library."""
    response = _text(data)
    problem = find_problem(query_of(data.decode("latin-1")), STATE)
    try:
        code = read_authorization_response(response, state=STATE, is_issuer=ENVIRONMENT.is_issuer)
    except AuthorizationError as error:
        return _checked(error)
    assert code.reveal().encode()
    assert problem is None
    return code


def read_pasted_line(data: bytes) -> str | None:
    """Read a line that the user pasted; what is wrong with it is told without repeating it."""
    told: list[str] = []
    login = Login(CLIENT, lambda: REQUEST, tell=told.append)
    query = login._check_pasted(data.decode("utf-8", "replace"))
    assert query is None or (not told and find_problem(query, STATE) is None)
    assert all(len(text) < LONGEST_DESCRIPTION and CODE not in text and STATE not in text for text in told)
    return query


def read_session(data: bytes) -> AuthorizationRequest | TypeError | ValueError:
    """Read the request that was kept in the user's session, where users may put what they like."""
    try:
        request = AuthorizationRequest.from_dict(json_object(data))
    except (TypeError, ValueError) as error:
        return _checked(error)
    assert AuthorizationRequest.from_dict(request.to_dict()) == request
    return request


def read_redirect_uri(data: bytes) -> object:
    """Read a redirect URI: where the login listens is this machine."""
    redirect_uri = _text(data)
    try:
        check_redirect_uri(redirect_uri)
    except ValueError as error:
        return _checked(error)
    address = loopback_address(redirect_uri)
    assert address is None or all(ip_address(host).is_loopback for host in address.hosts)
    assert address is None or (0 < address.port < 2**16 and address.path.startswith("/"))
    return address


# --- what is stored and set ------------------------------------------------------------------------------------------


def read_record(data: bytes) -> Token | StoreError | None:
    """Read a record; what can be read can be written, and read again."""
    records = Records()
    record = Secret(_text(data))
    try:
        token = records.read(record, "a file")
    except StoreError as error:
        return _checked(error)
    assert token is not None
    try:
        written = records.write(token, record)
    except StoreError:  # longer than before, because it is escaped
        return token
    assert records.read(written, "a file") == token
    return token


def read_encrypted_record(data: bytes) -> Token | StoreError | None:
    """Read a record that is encrypted, or what was encrypted as one by somebody who has the key."""
    record = ENCRYPTED._fernet.encrypt(data).decode() if data.startswith(b"{") else _text(data)
    try:
        return ENCRYPTED.read(Secret(record), "a file")
    except StoreError as error:
        return _checked(error)


def read_environment(data: bytes) -> Environment | ValueError:
    """Read the address of an API home, a token endpoint, a further origin and an issuer, a line each."""
    api, token_endpoint, origin, issuer = (*_text(data).split("\n", 3), "", "", "")[:4]
    try:
        environment = known_environment(api)
        if token_endpoint:
            environment = environment.replace(token_endpoint=token_endpoint)
        if origin:
            environment = environment.replace(origins=[origin])
        if issuer:
            environment = environment.replace(issuer=issuer)
    except ValueError as error:
        return _checked(error)
    assert all(own.confidential for own in environment.origins)
    assert environment.covers(environment.api)
    endpoint = Origin.of(environment.token_endpoint)
    assert endpoint is not None
    assert endpoint.confidential
    assert environment.replace() == environment
    assert environment.is_issuer(issuer) or not issuer
    return environment


def read_origin(data: bytes) -> Origin | None:
    """Read the address of a request: what is covered goes to no other origin, whichever parser reads it."""
    url = _text(data)
    origin = Origin.of(url)
    if not ENVIRONMENT.covers(url):
        return origin
    for parse in (_urllib3_origin, _httpx_origin):
        seen = parse(url)
        assert seen in {None, origin}, f"{url!r} is {origin}, but for {parse.__name__} {seen}"
    return origin


def _urllib3_origin(url: str) -> Origin | None:
    """Return where requests would connect."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    return _origin(parts.scheme, parts.host, parts.port)


def _httpx_origin(url: str) -> Origin | None:
    """Return where httpx would connect."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return None
    return _origin(parts.scheme, parts.host, parts.port)


def _origin(scheme: str | None, host: str | None, port: int | None) -> Origin:
    scheme = scheme or ""
    return Origin(scheme, (host or "").strip("[]").lower(), port or DEFAULT_PORTS.get(scheme, 0))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# --- all of them -----------------------------------------------------------------------------------------------------

AUTH = FoxyAuth(
    client_id="client_fake",
    client_secret=CLIENT_SECRET,
    token=Token("fakeAccess0123456789abcdef0123456789abcd", refresh_token=REFRESH),
)
SIGNATURE = cast("Signature", AUTH._source.grant.signature)
SENT = {"Authorization": SIGNATURE.authorization}
CLIENT = OAuthClient("client_fake", CLIENT_SECRET, redirect_uri="http://localhost:8910/callback")
REQUEST = replace(CLIENT.authorization_request("store_full_access"), state=STATE)
ENCRYPTED = Records("A" * 43 + "=").named("a file")
CALLBACK = f"code={CODE}&state={STATE}".encode()
TOKEN = {"access_token": "fakeAccess", "refresh_token": "fakeRefresh", "expires_in": 7200, "token_type": "Bearer"}
REFUSED = {"error": "invalid_grant", "error_description": f"The refresh token {REFRESH} is invalid"}
MESSAGES = {"_embedded": {"fx:errors": [{"message": "client_name is required"}, {"message": CLIENT_SECRET}]}}
RECORD = Token("fakeAccess", refresh_token="fakeRefresh", expires_at=ASKED_AT, scope="store_id_1").to_dict()


def _record(more: dict[str, object]) -> bytes:
    return json.dumps({**RECORD, "version": 1, **more}).encode()


def _seed(status: int, line: str, body: object) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return bytes([STATUSES.index(status)]) + line.encode() + b"\n" + content


READERS = {
    "token": Reader(
        read_token,
        MAX_TOKEN_RESPONSE,
        (
            _seed(200, "", TOKEN),
            _seed(200, "", {"access_token": "fakeAccess", "access_token_expires": "1e3", "scope": "store_id_1"}),
            _seed(400, "", REFUSED),
            _seed(503, "Fri, 15 Jan 2027 08:01:00 GMT", b"<html>"),
            _seed(429, "120", {"error": "temporarily_unavailable"}),
            _seed(400, "", MESSAGES),
            _seed(200, "", "\ufeff{}".encode("utf-16")),
        ),
    ),
    "outage": Reader(
        explain_outage,
        MAX_TOKEN_RESPONSE,
        (b"\0illegal status line: \x1b[2J", b"\1502 Bad Gateway", b"\2Connection reset by peer", b"\3wrong version"),
    ),
    "401": Reader(
        read_401,
        MAX_401_BODY,
        (
            _seed(401, 'Bearer realm="Service", error="invalid_token"', b""),
            _seed(401, "", {"error": "invalid_token", "error_description": "The access token provided has expired"}),
            _seed(401, 'Bearer error=insufficient_scope, error_description="a \\" b"', MESSAGES),
        ),
    ),
    "hal": Reader(
        read_hal,
        MAX_RESOURCE,
        (
            _seed(200, "", {"_links": {"fx:token": {"href": "https://api.foxycart.com/token"}}}),
            _seed(200, "", {"_links": {"fx:token": {"href": "//[::1"}}}),
            _seed(400, "", MESSAGES),
            _seed(429, "120", REFUSED),
        ),
    ),
    "callback": Reader(
        read_callback,
        LONGEST_ADDRESS,
        (
            CALLBACK,
            b"http://localhost:8910/callback?" + CALLBACK + b"#fragment",
            b"error=access_denied&error_description=The+user+denied&state=" + STATE.encode(),
            b"error=invalid_request&error_description=The state parameter is required",
            b"code=%ff%fe&code=2;state=%46akeState&state=",
            CALLBACK + b"&iss=https%3A%2F%2Fapi.foxycart.com",
        ),
    ),
    "session": Reader(read_session, LONGEST_ADDRESS, (json.dumps(REQUEST.to_dict()).encode(), b'{"url":1}')),
    "pasted-line": Reader(
        read_pasted_line,
        LONGEST_ADDRESS,
        (b"http://localhost:8910/callback?" + CALLBACK + b"\n", CALLBACK, b"'<?" + CALLBACK + b"#_=_>'", b" \n"),
    ),
    "redirect-uri": Reader(
        read_redirect_uri,
        LONGEST_ADDRESS,
        (b"http://localhost:8910/callback", b"http://[::1]:80/%2f", b"com.example:/oauth", b"http://127.1:1/"),
    ),
    "record": Reader(
        read_record,
        LARGEST_RECORD,
        (
            _record({"note": [1, {"a": None}]}),
            b'{"version":1,"access_token":"a","expires_at":"1e308","scope":["a","b"]}',
            b'{"version":2}',
        ),
    ),
    "encrypted-record": Reader(
        read_encrypted_record,
        LARGEST_RECORD,
        (ENCRYPTED.write(Token.from_dict(RECORD)).reveal().encode(), b"gAAAAA==", _record({"name": "a file"})),
    ),
    "environment": Reader(
        read_environment,
        LONGEST_ADDRESS,
        (
            b"https://api.foxycart.com",
            b"http://[::1]:8080/api/\nhttp://localhost/token?a=b\nhttps://xn--fxy-ula.example:8443\nhttps://foxy.example/a",
            b"http://user@localhost",
        ),
    ),
    "origin": Reader(
        read_origin,
        LONGEST_ADDRESS,
        (
            b"https://api.foxycart.com:443/stores?a=b#c",
            b"HTTPS://api.foxy.io:8443\\@example.com/",
            b"https://example.com@api.foxycart.com",
            b"http://[::1]:8080/",
            b"https://api.foxycart.com:@example.com",
        ),
    ),
}
