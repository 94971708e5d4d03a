"""The API home, stores and the errors of the API."""

from __future__ import annotations

import hashlib
import socket
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.conftest import Clock, Http

    from foxy_auth.emulator import Emulator

ALWAYS = {"self", "curies", "fx:property_helpers", "https://api.foxycart.com/rels", "fx:token"}
HOME_LINKS = [
    pytest.param(None, {"fx:create_client"}, id="anonymous"),
    pytest.param("client_full_access", {"fx:reporting", "fx:client", "fx:create_user"}, id="client"),
    pytest.param("user_full_access", {"fx:reporting", "fx:user", "fx:stores"}, id="user"),
    pytest.param("store_full_access", {"fx:reporting", "fx:store", "fx:encode"}, id="store"),
]


@pytest.mark.parametrize(("scope", "links"), HOME_LINKS)
def test_home(foxy: Emulator, http: Http, scope: str | None, links: set[str]) -> None:
    """The API home has the links that the token gives access to."""
    home = http.api(foxy.grant(scope).access_token if scope else None)

    assert (home.status_code, home.headers["Content-Type"]) == (200, "application/hal+json")
    assert set(home.json()["_links"]) == ALWAYS | links


def test_token_link(foxy: Emulator, http: Http) -> None:
    """The link to the token endpoint describes a refresh."""
    link = http.api(None).json()["_links"]["fx:token"]

    assert (link["href"], link["type"]) == (f"{foxy.url}/token", "application/json")
    assert "grant_type=refresh_token&refresh_token={refresh_token}" in link["title"]


def test_host_of_links(foxy: Emulator, http: Http) -> None:
    """Links have the host name that the client used."""
    port = urlsplit(foxy.url).port

    home = http.api(None, f"http://localhost:{port}/")

    assert home.json()["_links"]["self"]["href"] == f"http://localhost:{port}/"


@pytest.mark.parametrize("path", ["/stores/1", "/nowhere"])
def test_version_missing(http: Http, path: str) -> None:
    """A request without the version header is refused before anything else is checked."""
    response = http.request("GET", path, headers={"Authorization": "nonsense"})

    error = response.json()
    assert (response.status_code, error["total"], list(error)) == (400, 1, ["total", "_links", "_embedded"])
    assert "FOXY-API-VERSION: 1" in error["_embedded"]["fx:errors"][0]["message"]


INVALID = "The access token provided is invalid"
EXPIRED = "The access token provided has expired"


def test_unknown_token(foxy: Emulator, http: Http) -> None:
    """Unknown and revoked tokens are refused as invalid."""
    revoked = foxy.grant().access_token
    foxy.revoke_access_tokens()

    responses = [http.store(token) for token in ("0" * 40, revoked)]

    assert [response.status_code for response in responses] == [401, 401]
    assert [response.json() for response in responses] == [{"error": "invalid_token", "error_description": INVALID}] * 2
    challenge = f'Bearer realm="Service", error="invalid_token", error_description="{INVALID}"'
    assert responses[0].headers["WWW-Authenticate"] == challenge


def test_expired_token(foxy: Emulator, http: Http, clock: Clock) -> None:
    """A token is accepted until it expires, and then refused as expired."""
    token = foxy.grant().access_token

    clock.now += 7199
    good = http.store(token)
    clock.now += 1
    refused = http.store(token)

    assert good.status_code == 200
    expired = {"error": "invalid_token", "error_description": EXPIRED}
    assert (refused.status_code, refused.json()) == (401, expired)


def test_expired_early(foxy: Emulator, http: Http) -> None:
    """`expire_access_tokens` expires the tokens issued so far."""
    old = foxy.grant().access_token
    foxy.expire_access_tokens()
    new = foxy.grant().access_token

    assert http.store(old).json()["error_description"] == EXPIRED
    assert http.store(new).status_code == 200
    assert foxy.live_access_tokens == [new]


def test_home_with_an_expired_token(foxy: Emulator, http: Http) -> None:
    """The API home refuses an expired token, although it needs none."""
    token = foxy.grant().access_token
    foxy.expire_access_tokens()

    assert http.api(token).status_code == 401


BODIES = [
    pytest.param("oauth", "application/json", b'{"error": "invalid_token"', id="oauth"),
    pytest.param("empty", "application/json", b"", id="empty"),
    pytest.param("html", "text/html", b"<html>", id="html"),
    pytest.param("hal", "application/vnd.error+json", b'{"total": 1', id="hal"),
]


@pytest.mark.parametrize(("shape", "content_type", "beginning"), BODIES)
def test_shape_of_a_401(
    foxy: Emulator,
    http: Http,
    shape: Literal["oauth", "empty", "html", "hal"],
    content_type: str,
    beginning: bytes,
) -> None:
    """Settings determine the body of a 401 and whether it has `WWW-Authenticate`."""
    foxy.unauthorized_body, foxy.unauthorized_header = shape, False

    response = http.store("0" * 40)

    assert (response.status_code, response.headers["Content-Type"]) == (401, content_type)
    assert response.content.startswith(beginning)
    assert bool(beginning) == bool(response.content)
    assert "WWW-Authenticate" not in response.headers


@pytest.mark.parametrize(("shape", "has_body"), [("empty", False), ("oauth", True)])
def test_no_token(foxy: Emulator, http: Http, *, shape: Literal["oauth", "empty"], has_body: bool) -> None:
    """A request without a token gets a 401 without an error code; its body is empty by default."""
    foxy.missing_token_body = shape

    response = http.api(None, "/stores/1")

    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="Service"')
    assert bool(response.content) == has_body


@pytest.mark.parametrize("header", ["Basic abc", "Bearer"])
def test_malformed_authorization(http: Http, header: str) -> None:
    """An Authorization header without a bearer token is a bad request."""
    response = http.api(None, "/stores/1", headers={"Authorization": header})

    expected = {"error": "invalid_request", "error_description": "Malformed auth header"}
    assert (response.status_code, response.json()) == (400, expected)


def test_token_in_two_places(foxy: Emulator, http: Http) -> None:
    """A token in both the header and the query is a bad request."""
    token = foxy.grant().access_token

    response = http.store(token, f"?access_token={token}")

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("scope", ["client_full_access", "user_full_access"])
def test_scope_too_small(foxy: Emulator, http: Http, scope: str) -> None:
    """A store refuses tokens of another scope."""
    response = http.store(foxy.grant(scope).access_token)

    error = {
        "error": "insufficient_scope",
        "error_description": "The request requires higher privileges than provided by the access token",
    }
    assert (response.status_code, response.json()) == (403, error)
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="Service", scope="store_full_access", error=')


# Path, method, status, message of the HAL error.
REFUSED = [
    ("/nowhere", "GET", 404, 'No route found for "GET /nowhere"'),
    ("/stores/99", "GET", 404, "Store 99 was not found."),
    ("/stores/2", "GET", 403, "The access token is not for store 2."),
    ("/", "POST", 405, 'No route found for "POST /": Method Not Allowed (Allow: GET, HEAD, OPTIONS)'),
]


@pytest.mark.parametrize(("path", "method", "status", "message"), REFUSED)
def test_hal_errors(foxy: Emulator, http: Http, *, path: str, method: str, status: int, message: str) -> None:
    """Unknown paths, other stores and wrong methods are HAL errors."""
    response = http.api(foxy.grant().access_token, path, method)

    errors = response.json()["_embedded"]["fx:errors"]
    assert (response.status_code, [error["message"] for error in errors]) == (status, [message])


def test_forbidden(foxy: Emulator, http: Http) -> None:
    """`/forbidden` refuses every token."""
    response = http.store(foxy.grant().access_token, "/forbidden")

    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")


def test_401_for_another_reason(foxy: Emulator, http: Http) -> None:
    """`/unauthorized` responds to a valid token with a 401 of another error code."""
    response = http.store(foxy.grant().access_token, "/unauthorized?error=account_locked")

    assert (response.status_code, response.json()["error"]) == (401, "account_locked")
    assert 'error="account_locked"' in response.headers["WWW-Authenticate"]


def test_store(foxy: Emulator, http: Http) -> None:
    """A store is a HAL resource with a weak ETag and conditional requests."""
    token = foxy.grant().access_token

    first = http.store(token)
    second = http.store(token, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.json()["store_name"], first.json()["_links"]["self"]["href"]) == (
        "Example Outfitters",
        foxy.store_url,
    )
    assert (first.headers["ETag"][:3], first.headers["Cache-Control"]) == ('W/"', "private, must-revalidate")
    assert (second.status_code, second.content) == (304, b"")


CONTENT = b"foxy" * 250_000


def pieces() -> Iterator[bytes]:
    """Yield the content in pieces, so that its length is not announced."""
    for start in range(0, len(CONTENT), 65_000):
        yield CONTENT[start : start + 65_000]


@pytest.mark.parametrize(
    ("framing", "method", "below"),
    [("length", "POST", ""), ("chunked", "PUT", ""), ("length", "PATCH", ""), ("chunked", "POST", "/upload")],
)
def test_body(foxy: Emulator, http: Http, framing: str, method: str, below: str) -> None:
    """A store reads any body, however framed, and returns its length and digest, which are also recorded."""
    response = http.store(
        foxy.grant().access_token,
        below,
        method,
        data=CONTENT if framing == "length" else pieces(),
        headers={"Content-Type": "application/x-test"},
    )

    digest = hashlib.sha256(CONTENT).hexdigest()
    assert response.json() == {"length": len(CONTENT), "sha256": digest, "content_type": "application/x-test"}
    (recorded,) = foxy.calls
    assert (recorded.method, recorded.body_length, recorded.body_sha256) == (method, len(CONTENT), digest)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_401_to_an_upload(foxy: Emulator, http: Http, framing: str) -> None:
    """An upload that is refused is read to its end, so that the client sees the 401."""
    content = CONTENT * 20

    response = http.store("0" * 40, "/upload", "POST", data=content if framing == "length" else iter([content]))

    assert response.status_code == 401
    assert foxy.calls[0].body_length == len(content)


def test_download(foxy: Emulator, http: Http) -> None:
    """A download is a stream of as many bytes as requested, without `Content-Length`."""
    response = http.store(foxy.grant().access_token, "/download?bytes=100001&chunks=7", stream=True)

    assert response.headers["Transfer-Encoding"] == "chunked"
    assert len(response.content) == 100_001


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_redirect(foxy: Emulator, http: Http, method: str) -> None:
    """`/redirect` redirects any method to where the query says, given a valid token."""
    target = f"{foxy.elsewhere.url}/there"

    response = http.api(foxy.grant().access_token, f"/redirect?to={target}&status=307", method)
    refused = http.api("0" * 40, f"/redirect?to={target}", method)

    assert (response.status_code, response.headers["Location"]) == (307, target)
    assert refused.status_code == 401


def test_cookie(foxy: Emulator, http: Http) -> None:
    """`cookie` in the query sets a cookie, also on a 401."""
    good = http.store(foxy.grant().access_token, "?cookie=good=1")
    refused = http.store("0" * 40, "?cookie=refused=2")

    assert (dict(good.cookies), dict(refused.cookies)) == ({"good": "1"}, {"refused": "2"})


def test_head_and_options(foxy: Emulator, http: Http) -> None:
    """HEAD has no body, and OPTIONS lists the allowed methods."""
    token = foxy.grant().access_token

    head = http.store(token, method="HEAD")
    options = http.store(token, method="OPTIONS")

    assert (head.status_code, head.content) == (200, b"")
    assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}


@pytest.mark.parametrize(("path", "status"), [("/stores/1", 401), ("/token", 400)])
def test_disconnect(foxy: Emulator, path: str, status: int) -> None:
    """A client that disconnects while sending its body is recorded with what arrived."""
    address = ("127.0.0.1", urlsplit(foxy.url).port or 0)
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(foxy.url).netloc}\r\n"
    request = f"{head}FOXY-API-VERSION: 1\r\nContent-Length: 100\r\n\r\n{'x' * 10}"

    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        response = connection.recv(100)

    assert response.startswith(f"HTTP/1.1 {status} ".encode())
    assert [(call.body_length, call.status) for call in foxy.calls] == [(10, status)]


def test_upload_with_expect(foxy: Emulator) -> None:
    """A client that expects `100 Continue` gets it."""
    connection = HTTPConnection("127.0.0.1", urlsplit(foxy.url).port or 0, timeout=20)
    connection.putrequest("POST", "/stores/1")
    headers = {"FOXY-API-VERSION": "1", "Authorization": f"Bearer {foxy.grant().access_token}"}
    for name, value in (headers | {"Expect": "100-continue", "Content-Length": "4"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"body")

    response = connection.getresponse()

    assert (response.status, b'"length": 4' in response.read()) == (200, True)
    connection.close()
