"""The API: what a token opens, and how requests are refused."""

from __future__ import annotations

import hashlib
import http.client
import socket
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.conftest import Caller, Clock

    from foxy_auth.emulator import Emulator

ALWAYS = {"self", "curies", "fx:property_helpers", "https://api.foxycart.com/rels", "fx:token"}
HOME_LINKS = [
    pytest.param(None, {"fx:create_client"}, id="anonymous"),
    pytest.param("client_full_access", {"fx:reporting", "fx:client", "fx:create_user"}, id="client"),
    pytest.param("user_full_access", {"fx:reporting", "fx:user", "fx:stores"}, id="user"),
    pytest.param("store_full_access", {"fx:reporting", "fx:store", "fx:encode"}, id="store"),
]


@pytest.mark.parametrize(("scope", "links"), HOME_LINKS)
def test_home(foxy: Emulator, call: Caller, scope: str | None, links: set[str]) -> None:
    """The home page has the links that the token opens."""
    home = call.api(foxy.grant(scope).access_token if scope else None)

    assert (home.status_code, home.headers["Content-Type"]) == (200, "application/hal+json")
    assert set(home.json()["_links"]) == ALWAYS | links


def test_token_link(foxy: Emulator, call: Caller) -> None:
    """The link to the token endpoint says what to send there."""
    link = call.api(None).json()["_links"]["fx:token"]

    assert (link["href"], link["type"]) == (f"{foxy.url}/token", "application/json")
    assert "grant_type=refresh_token&refresh_token={refresh_token}" in link["title"]


def test_links_carry_the_name_that_was_asked(foxy: Emulator, call: Caller) -> None:
    """Links are addresses under the name that the client called the server by."""
    port = urlsplit(foxy.url).port

    home = call.api(None, f"http://localhost:{port}/")

    assert home.json()["_links"]["self"]["href"] == f"http://localhost:{port}/"


@pytest.mark.parametrize("path", ["/", "/stores/1", "/nowhere"])
def test_version_missing(call: Caller, path: str) -> None:
    """A request without the version header is refused before anything else is looked at."""
    answer = call.request("GET", path, headers={"Authorization": "nonsense"})

    error = answer.json()
    assert (answer.status_code, error["total"], list(error)) == (400, 1, ["total", "_links", "_embedded"])
    assert "FOXY-API-VERSION: 1" in error["_embedded"]["fx:errors"][0]["message"]


INVALID = "The access token provided is invalid"
EXPIRED = "The access token provided has expired"


def test_unknown_token(foxy: Emulator, call: Caller) -> None:
    """A token that the server never issued, or has revoked, is refused as invalid."""
    revoked = foxy.grant().access_token
    foxy.revoke_access_tokens()

    answers = [call.store(token) for token in ("0" * 40, revoked)]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert [answer.json() for answer in answers] == [{"error": "invalid_token", "error_description": INVALID}] * 2
    challenge = f'Bearer realm="Service", error="invalid_token", error_description="{INVALID}"'
    assert answers[0].headers["WWW-Authenticate"] == challenge


def test_expired_token(foxy: Emulator, call: Caller, clock: Clock) -> None:
    """A token is good until its life is over, and is then refused as expired."""
    token = foxy.grant().access_token

    clock.now += 7199
    good = call.store(token)
    clock.now += 1
    refused = call.store(token)

    assert good.status_code == 200
    expired = {"error": "invalid_token", "error_description": EXPIRED}
    assert (refused.status_code, refused.json()) == (401, expired)


def test_expired_early(foxy: Emulator, call: Caller) -> None:
    """Tokens can be let expire; the ones issued later are good."""
    old = foxy.grant().access_token
    foxy.expire_access_tokens()
    new = foxy.grant().access_token

    assert call.store(old).json()["error_description"] == EXPIRED
    assert call.store(new).status_code == 200
    assert foxy.live_access_tokens == [new]


def test_home_with_an_expired_token(foxy: Emulator, call: Caller) -> None:
    """The home page, open to all, refuses a request that carries an expired token."""
    token = foxy.grant().access_token
    foxy.expire_access_tokens()

    assert call.api(token).status_code == 401


BODIES = [
    pytest.param("oauth", "application/json", b'{"error": "invalid_token"', id="oauth"),
    pytest.param("empty", "application/json", b"", id="empty"),
    pytest.param("html", "text/html", b"<html>", id="html"),
    pytest.param("hal", "application/vnd.error+json", b'{"total": 1', id="hal"),
]


@pytest.mark.parametrize(("shape", "content_type", "beginning"), BODIES)
def test_shape_of_a_401(
    foxy: Emulator,
    call: Caller,
    shape: Literal["oauth", "empty", "html", "hal"],
    content_type: str,
    beginning: bytes,
) -> None:
    """The body of a 401 takes the shape that is switched on, and its header can be left out."""
    foxy.unauthorized_body, foxy.unauthorized_header = shape, False

    answer = call.store("0" * 40)

    assert (answer.status_code, answer.headers["Content-Type"]) == (401, content_type)
    assert answer.content.startswith(beginning)
    assert bool(beginning) == bool(answer.content)
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize(("shape", "has_body"), [("empty", False), ("oauth", True), ("hal", True), ("html", True)])
def test_no_token(
    foxy: Emulator, call: Caller, *, shape: Literal["oauth", "empty", "html", "hal"], has_body: bool
) -> None:
    """A request without a token gets a 401 that names no error; its body is empty unless switched otherwise."""
    foxy.missing_token_body = shape

    answer = call.api(None, "/stores/1")

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="Service"')
    assert bool(answer.content) == has_body


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "nonsense"])
def test_malformed_authorization(call: Caller, header: str) -> None:
    """An Authorization header that holds no bearer token is a bad request."""
    answer = call.api(None, "/stores/1", headers={"Authorization": header})

    expected = {"error": "invalid_request", "error_description": "Malformed auth header"}
    assert (answer.status_code, answer.json()) == (400, expected)


def test_token_in_two_places(foxy: Emulator, call: Caller) -> None:
    """A token in the header and in the query is a bad request."""
    token = foxy.grant().access_token

    answer = call.store(token, f"?access_token={token}")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("scope", ["client_full_access", "user_full_access"])
def test_scope_too_small(foxy: Emulator, call: Caller, scope: str) -> None:
    """A store is closed to tokens of another scope."""
    answer = call.store(foxy.grant(scope).access_token)

    error = {
        "error": "insufficient_scope",
        "error_description": "The request requires higher privileges than provided by the access token",
    }
    assert (answer.status_code, answer.json()) == (403, error)
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="Service", scope="store_full_access", error=')


# Path, method, status, the message of the HAL error.
REFUSED = [
    ("/nowhere", "GET", 404, 'No route found for "GET /nowhere"'),
    ("/stores/99", "GET", 404, "Store 99 was not found."),
    ("/stores/2", "GET", 403, "The access token is not for store 2."),
    ("/", "POST", 405, 'No route found for "POST /": Method Not Allowed (Allow: GET, HEAD, OPTIONS)'),
]


@pytest.mark.parametrize(("path", "method", "status", "message"), REFUSED)
def test_hal_errors(foxy: Emulator, call: Caller, *, path: str, method: str, status: int, message: str) -> None:
    """What is not there, or not yours, is refused as a HAL error."""
    answer = call.api(foxy.grant().access_token, path, method)

    errors = answer.json()["_embedded"]["fx:errors"]
    assert (answer.status_code, [error["message"] for error in errors]) == (status, [message])


def test_forbidden(foxy: Emulator, call: Caller) -> None:
    """One resource is closed to every token."""
    answer = call.store(foxy.grant().access_token, "/forbidden")

    assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")


def test_401_for_another_reason(foxy: Emulator, call: Caller) -> None:
    """One resource answers 401 to a good token, and names another cause in body and header."""
    answer = call.store(foxy.grant().access_token, "/unauthorized?error=account_locked")

    assert (answer.status_code, answer.json()["error"]) == (401, "account_locked")
    assert 'error="account_locked"' in answer.headers["WWW-Authenticate"]


def test_store(foxy: Emulator, call: Caller) -> None:
    """A store is a HAL resource with a weak ETag, and a client that has it already gets an empty 304."""
    token = foxy.grant().access_token

    first = call.store(token)
    second = call.store(token, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.json()["store_name"], first.json()["_links"]["self"]["href"]) == (
        "Example Outfitters",
        foxy.store_url,
    )
    assert (first.headers["ETag"][:3], first.headers["Cache-Control"]) == ('W/"', "private, must-revalidate")
    assert (second.status_code, second.content) == (304, b"")


CONTENT = b"foxy" * 250_000


def pieces() -> Iterator[bytes]:
    """Yield that content in pieces, so that its length is not announced."""
    for start in range(0, len(CONTENT), 65_000):
        yield CONTENT[start : start + 65_000]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("method", "below"), [("POST", ""), ("PUT", ""), ("PATCH", ""), ("POST", "/upload")])
def test_body(foxy: Emulator, call: Caller, framing: str, method: str, below: str) -> None:
    """A store reads any body, however framed, and answers its length and digest; the journal has them too."""
    answer = call.store(
        foxy.grant().access_token,
        below,
        method,
        data=CONTENT if framing == "length" else pieces(),
        headers={"Content-Type": "application/x-test"},
    )

    digest = hashlib.sha256(CONTENT).hexdigest()
    assert answer.json() == {"length": len(CONTENT), "sha256": digest, "content_type": "application/x-test"}
    (arrived,) = foxy.calls
    assert (arrived.method, arrived.body_length, arrived.body_sha256) == (method, len(CONTENT), digest)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_401_to_an_upload(foxy: Emulator, call: Caller, framing: str) -> None:
    """An upload that is refused is read to its end, so that the client sees the 401 and no broken connection."""
    content = CONTENT * 20

    answer = call.store("0" * 40, "/upload", "POST", data=content if framing == "length" else iter([content]))

    assert answer.status_code == 401
    assert foxy.calls[0].body_length == len(content)


def test_download(foxy: Emulator, call: Caller) -> None:
    """A download comes as a stream of as many bytes and pieces as asked for, its length not announced."""
    answer = call.store(foxy.grant().access_token, "/download?bytes=100001&chunks=7", stream=True)

    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert len(answer.content) == 100_001


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_redirect(foxy: Emulator, call: Caller, method: str) -> None:
    """A protected resource redirects any method to where the query says."""
    target = f"{foxy.elsewhere.url}/there"

    answer = call.api(foxy.grant().access_token, f"/redirect?to={target}&status=307", method)
    refused = call.api("0" * 40, f"/redirect?to={target}", method)

    assert (answer.status_code, answer.headers["Location"]) == (307, target)
    assert refused.status_code == 401


@pytest.mark.parametrize("status", [99, 200, 400, 1000])
def test_redirect_that_is_none(foxy: Emulator, call: Caller, status: int) -> None:
    """A redirect under a status that is none of a redirect is refused."""
    answer = call.api(foxy.grant().access_token, f"/redirect?to=/&status={status}")

    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_cookie(foxy: Emulator, call: Caller) -> None:
    """An answer sets the cookie that the query names, a 401 too."""
    good = call.store(foxy.grant().access_token, "?cookie=good=1")
    refused = call.store("0" * 40, "?cookie=refused=2")

    assert (dict(good.cookies), dict(refused.cookies)) == ({"good": "1"}, {"refused": "2"})


def test_head_and_options(foxy: Emulator, call: Caller) -> None:
    """HEAD answers without a body, OPTIONS with the methods that are allowed."""
    token = foxy.grant().access_token

    head = call.store(token, method="HEAD")
    options = call.store(token, method="OPTIONS")

    assert (head.status_code, head.content) == (200, b"")
    assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}


@pytest.mark.parametrize(("path", "status"), [("/stores/1", 401), ("/token", 400)])
def test_client_that_goes_away(foxy: Emulator, path: str, status: int) -> None:
    """A client that goes away in the middle of its body leaves a record of what came, and a server in good health."""
    address = ("127.0.0.1", urlsplit(foxy.url).port or 0)
    request = f"POST {path} HTTP/1.1\r\nHost: x\r\nFOXY-API-VERSION: 1\r\nContent-Length: 100\r\n\r\n{'x' * 10}"

    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert [(arrived.body_length, arrived.status) for arrived in foxy.calls] == [(10, status)]


def test_upload_with_expect(foxy: Emulator) -> None:
    """A client that waits to be asked for its body is asked."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(foxy.url).port or 0, timeout=20)
    connection.putrequest("POST", "/stores/1")
    headers = {"FOXY-API-VERSION": "1", "Authorization": f"Bearer {foxy.grant().access_token}"}
    for name, value in (headers | {"Expect": "100-continue", "Content-Length": "4"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"body")

    answer = connection.getresponse()

    assert (answer.status, b'"length": 4' in answer.read()) == (200, True)
    connection.close()
