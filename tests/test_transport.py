"""One token request: which library sends it, which settings count, and what becomes of its failures."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import ssl
import threading
import time
import traceback
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import httpx
import httpx2
import pytest
import requests
import trustme
from support.bombs import BOMBS, little_memory
from support.sources import DEADLINE, auth_for, expired

from foxy_auth import Environment, FoxyAuth, FoxyAuthError, LoginRequiredError, StoreError, TokenUnavailableError
from foxy_auth._engine.concurrency import send_in_thread
from foxy_auth._libraries import installed_library, library_of
from foxy_auth._oauth.hal import resource_request
from foxy_auth._oauth.messages import MAX_RESOURCE, MAX_TOKEN_RESPONSE, ClientCredentials
from foxy_auth._oauth.messages import token_request as build_token_request
from foxy_auth._secrets import Secret
from foxy_auth._transport import before_sending, check_client, send

if TYPE_CHECKING:
    from pathlib import Path

    from foxy_auth import Token
    from foxy_auth._oauth.messages import HttpRequest, HttpResponse
    from foxy_auth.emulator import Emulator

SECRET = "fake-client-secret-0123456789"
REFRESH = "fake-refresh-token-0123456789"
ACCESS = "fake-access-token-0123456789"
NEW_REFRESH = "fake-new-refresh-token-0123456789"
TOKEN_RESPONSE = json.dumps({"access_token": ACCESS, "refresh_token": NEW_REFRESH, "expires_in": 7200}).encode()
BASIC = f"Basic {b64encode(f'fake-id:{SECRET}'.encode()).decode()}"

each_library = pytest.mark.parametrize("library", ["requests", "httpx", "httpx2"])

Handler = BaseHTTPRequestHandler


def token_request(url: str) -> HttpRequest:
    """Return a refresh to be sent to the server at *url*."""
    return build_token_request(
        ClientCredentials("fake-id", Secret(SECRET)),
        "refresh_token",
        {"refresh_token": REFRESH},
        url=f"{url}/token",
        api_version="1",
    )


def request_token(url: str, through: object) -> HttpResponse:
    """Send it."""
    return send(token_request(url), through=through, timeout=DEADLINE)


def sync_client(library: str, **options: Any) -> Any:
    """Make a synchronous client."""
    return getattr(import_module(library), "Session" if library == "requests" else "Client")(**options)


class Received(NamedTuple):
    """A request that a `Server` got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """
    A server on loopback that records requests; a context manager.

    Attributes:
        received: The requests so far.

        connections: How many connections clients have opened.

        open_connections: How many of them they have not closed yet.
    """

    def __init__(self, respond: Callable[[Handler], None] | None = None) -> None:
        """Respond to each request by *respond*, or with a token."""
        server = self
        self.received: list[Received] = []
        self.connections = self.open_connections = 0

        class RecordingHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server.connections += 1
                server.open_connections += 1

            def finish(self) -> None:
                with suppress(OSError):
                    super().finish()
                server.open_connections -= 1

            def do_POST(self) -> None:
                self._record(self.rfile.read(int(self.headers["Content-Length"])))
                (respond or respond_with_token)(self)

            def do_CONNECT(self) -> None:
                self._record(b"")
                self.send_error(502)

            def _record(self, body: bytes) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.received.append(Received(self.command, self.path, headers, body))

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), RecordingHandler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def over_tls(self, context: ssl.SSLContext) -> Self:
        """Serve over TLS."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # some clients hang up
        return self

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def respond_with(handler: Handler, status: int, body: bytes, **headers: str) -> None:
    """Send a whole response."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def respond_with_token(handler: Handler) -> None:
    """Send a token, and a cookie."""
    respond_with(handler, 200, TOKEN_RESPONSE, Content_Type="application/json", Set_Cookie="spy=1")


# --- which client sends it -------------------------------------------------------------------------------------------


@each_library
def test_the_named_library_sends_the_request(library: str) -> None:
    """R18: a token request is one POST through the library that is named."""
    with Server() as server:
        response = request_token(server.url, library)
    [(method, path, headers, body)] = server.received

    assert (response.status, response.body, response.headers["content-type"]) == (
        200,
        TOKEN_RESPONSE,
        "application/json",
    )
    assert (method, path, body) == ("POST", "/token", f"grant_type=refresh_token&refresh_token={REFRESH}".encode())
    assert (headers["authorization"], headers["foxy-api-version"]) == (BASIC, "1")
    assert headers["user-agent"].startswith({"requests": "python-requests"}.get(library, f"python-{library}"))


@each_library
def test_requests_at_the_same_time_share_no_connection(library: str) -> None:
    """R13, R18: a token request uses no connection that may break off, and no cookies; all connections are closed."""
    is_under_way, go = threading.Event(), threading.Event()

    def hold_the_first(handler: Handler) -> None:
        if not is_under_way.is_set():
            is_under_way.set()
            assert go.wait(DEADLINE)
        respond_with_token(handler)

    with Server(hold_the_first) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(request_token, server.url, library)
        assert is_under_way.wait(DEADLINE)
        responses = [request_token(server.url, library) for _ in range(3)]
        go.set()
        responses.append(first.result(DEADLINE))
        deadline = time.monotonic() + DEADLINE
        while server.open_connections and time.monotonic() < deadline:
            time.sleep(0.005)

    assert [response.status for response in responses] == [200] * 4
    assert (server.connections, server.open_connections) == (4, 0)
    assert [request.path for request in server.received if "cookie" in request.headers] == []


@each_library
def test_the_users_client_sends_the_requests_and_stays_open(foxy: Emulator, library: str) -> None:
    """The client given as `http` sends every token request with its own settings, and is not closed."""
    with sync_client(library) as client:
        client.headers.update({"X-Own": "yes", "Authorization": "Basic of-another-service"})
        auth = auth_for(foxy, expired(foxy), http=client)
        for _ in range(2):
            auth.refresh()
        response = client.get(foxy.url, headers={"FOXY-API-VERSION": "1", "Authorization": ""})

    assert [(call.status, call.headers["X-Own"]) for call in foxy.token_calls] == [(200, "yes")] * 2
    assert response.status_code == 200


@each_library
def test_the_users_credentials_do_not_replace_the_clients(foxy: Emulator, library: str) -> None:
    """R3: a client with credentials or redirects of its own sends ours with a token request."""
    options = {} if library == "requests" else {"follow_redirects": True, "params": {"x": "y"}}
    with sync_client(library, **options) as client:
        client.auth = ("other", "one")

        assert foxy.is_live(auth_for(foxy, expired(foxy), http=client).get_token().access_token)


@each_library
def test_a_token_request_goes_through_the_callers_library(foxy: Emulator, library: str) -> None:
    """A token request goes through the library whose request needs it, so that its mocks and settings cover both."""
    with sync_client(library) as client:
        response = client.get(foxy.store_url, auth=auth_for(foxy, expired(foxy)))

    assert response.status_code == 200
    assert library in foxy.token_calls[0].headers["User-Agent"].split("/")[0]


def test_requests_at_the_same_time_through_one_client_do_not_mix(foxy: Emulator) -> None:
    """A client given as `http` may be shared by several auth objects that refresh at the same time."""
    with httpx.Client() as client, ThreadPoolExecutor(4) as pool:
        auths = [auth_for(foxy, foxy.grant(), http=client) for _ in range(4)]
        tokens = list(pool.map(FoxyAuth.refresh, auths))

    assert len({token.access_token for token in tokens}) == 4
    assert all(foxy.is_live(token.access_token) for token in tokens)


def test_names_the_library_of_an_object() -> None:
    """A class derived from a library's counts as the library's, and any other as nobody's."""

    class Own(httpx.Client):
        pass

    with Own() as own:
        found = [library_of(own), library_of(requests.Session()), library_of(httpx2.URL("/")), library_of("x")]

    assert found == ["httpx", "requests", "httpx2", None]
    assert installed_library() == "requests"


def test_without_a_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: without any client library the error names the extras."""
    monkeypatch.setattr("foxy_auth._libraries.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'foxy_auth\[requests\]'"):
        installed_library()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(httpx.AsyncClient, id="async"),
        pytest.param(httpx2.AsyncClient, id="async httpx2"),
        pytest.param(lambda: requests, id="a module"),
        pytest.param(lambda: requests.Session, id="a class"),
        pytest.param(lambda: requests.Request("GET", "https://api.foxycart.com"), id="a request"),
        pytest.param(lambda: "requests", id="a name"),
        pytest.param(object, id="anything"),
    ],
)
def test_refuses_what_cannot_send_a_token_request(make: Callable[[], object]) -> None:
    """R24: what is no synchronous client is refused at once, with the reason."""
    with pytest.raises(TypeError, match=r"requests\.Session, httpx\.Client"):
        check_client(make())


# --- which settings count --------------------------------------------------------------------------------------------


@each_library
def test_netrc_is_ignored(library: str, clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: a password that netrc has for the token endpoint's host is not sent."""
    netrc = clean_environment / ".netrc"
    netrc.write_text("default login stranger password fake-other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Server() as server:
        request_token(server.url, library)

    assert server.received[0].headers["authorization"] == BASIC


@each_library
@pytest.mark.parametrize("status", [301, 307])
def test_redirects_are_not_followed(foxy: Emulator, library: str, status: int) -> None:
    """R3: a token endpoint that redirects is an error, and the place it points to gets nothing."""
    foxy.redirect_token_calls(f"{foxy.elsewhere.url}/token", status)
    response = request_token(foxy.url, library)

    assert (response.status, len(foxy.token_calls), foxy.elsewhere.calls) == (status, 1, [])


@each_library
def test_the_environments_proxy_is_used(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment gets token requests, in each library, from the moment that it is named there."""
    with Server() as proxy:
        request_token(proxy.url, library)
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        response = request_token("http://token-endpoint.example", library)

    assert response.status == 200
    assert [request.path for request in proxy.received] == ["/token", "http://token-endpoint.example/token"]


@each_library
def test_a_proxy_that_refuses_is_no_response(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R13: a proxy that opens no tunnel has sent nothing to the provider, so that the request may be repeated."""
    with Server() as proxy:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        with pytest.raises(TokenUnavailableError) as caught:
            request_token("https://token-endpoint.example", library)

    assert caught.value.repeatable
    assert [request[:2] for request in proxy.received] == [("CONNECT", "token-endpoint.example:443")]
    assert not any(secret in str(proxy.received) for secret in (SECRET, REFRESH, BASIC))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Give a certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[Server]:
    """Give a token endpoint over TLS with a certificate of that authority, which is for its address alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server().over_tls(context) as server:
        yield server


@pytest.fixture
def trust(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give a function that names the authority in the environment, in the way of a library."""
    with authority.cert_pem.tempfile() as path:
        yield lambda library: monkeypatch.setenv({"requests": "REQUESTS_CA_BUNDLE"}.get(library, "SSL_CERT_FILE"), path)


@each_library
def test_certificates(tls_server: Server, library: str, trust: Callable[[str], None]) -> None:
    """R14: a token endpoint whose certificate is not trusted, or is for another name, is sent nothing."""
    with pytest.raises(TokenUnavailableError) as untrusted:
        request_token(tls_server.url, library)
    trust(library)
    with pytest.raises(TokenUnavailableError) as of_another:
        request_token(tls_server.url.replace("127.0.0.1", "localhost"), library)
    before = list(tls_server.received)
    response = request_token(tls_server.url, library)

    assert "certificate verify failed" in f"{untrusted.value.__cause__}".lower().replace("_", " ")
    assert "match" in f"{of_another.value.__cause__}".lower()  # "Hostname mismatch", "doesn't match"
    assert (before, response.body, len(tls_server.received)) == ([], TOKEN_RESPONSE, 1)


@each_library
def test_the_users_client_brings_its_certificates(tls_server: Server, authority: trustme.CA, library: str) -> None:
    """A client given as `http` that trusts the private authority sends the request."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with authority.cert_pem.tempfile() as path:
        client: Any
        if library == "requests":
            client = requests.Session()
            client.verify = path
        else:
            client = sync_client(library, verify=context)
        with client:
            response = request_token(tls_server.url, client)

    assert response.body == TOKEN_RESPONSE


# --- responses -------------------------------------------------------------------------------------------------------


@each_library
def test_an_endless_response_is_cut_off(foxy: Emulator, library: str) -> None:
    """R14: of a response of 1 GiB a few bytes too many are read."""
    foxy.oversize(2**30)
    with pytest.raises(TokenUnavailableError, match=f"longer than {MAX_TOKEN_RESPONSE} bytes"):
        request_token(foxy.url, library)


@each_library
@pytest.mark.parametrize("size", [MAX_RESOURCE, MAX_RESOURCE + 1], ids=["largest", "too large"])
def test_a_resource_may_be_larger_than_a_token(library: str, size: int) -> None:
    """R14: a resource of the API, which embeds others, has a limit of its own, and the error names it."""

    def respond(handler: Handler) -> None:
        with suppress(OSError):  # the client has hung up
            respond_with(handler, 200, b" " * size)

    with Server(respond) as server:
        request = resource_request(f"{server.url}/stores/1", api_version="1", fields={})
        if size > MAX_RESOURCE:
            too_long = rf"^the response of {request.url} is longer than {MAX_RESOURCE} bytes"
            with pytest.raises(TokenUnavailableError, match=too_long):
                send(request, through=library, timeout=DEADLINE)
        else:
            assert len(send(request, through=library, timeout=DEADLINE).body) == size


@each_library
def test_slow_headers_are_given_up(library: str) -> None:
    """R14: headers that come byte by byte without end cost three timeouts, and keep no program from ending."""
    over = threading.Event()

    def respond(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        with suppress(OSError):  # the client has hung up
            while not over.wait(0.01):
                handler.wfile.write(b"a")

    with Server(respond) as server:
        with pytest.raises(TokenUnavailableError, match=r"no whole response came within"):
            send_in_thread(token_request(server.url), through=library, timeout=0.1)
        # One whose start was interrupted, in another test, is listed and never runs.
        left = [thread for thread in threading.enumerate() if thread.name == "foxy-auth" and thread.ident]
        daemons = {thread.daemon for thread in left}
        over.set()
        for thread in left:
            thread.join(10)

    assert daemons == {True}


@each_library
def test_a_slow_body_is_given_up(library: str) -> None:
    """R14: a body that comes byte by byte without end is given up after the timeout."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        with suppress(OSError):  # the client has hung up
            while True:
                handler.wfile.write(b" ")
                time.sleep(0.01)

    with Server(respond) as server, pytest.raises(TokenUnavailableError, match=r"did not end within 0\.5 seconds"):
        send(token_request(server.url), through=library, timeout=0.5)


@each_library
def test_an_endpoint_that_does_not_respond_is_given_up(foxy: Emulator, library: str) -> None:
    """R14: a token request without a response ends with the timeout, and may have been processed."""
    with foxy.hold() as latch, pytest.raises(TokenUnavailableError, match="did not answer") as caught:
        send(token_request(foxy.url), through=library, timeout=0.5)
    latch.release()

    assert (caught.value.repeatable, len(foxy.token_calls)) == (False, 1)


@each_library
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP ", "deflate", "bare deflate", "identity"])
def test_a_coded_response_is_read(library: str, coding: str) -> None:
    """A response is read although it is coded, and uncoded is what the request asks for."""
    window = {"deflate": 15, "bare deflate": -15}.get(coding, 31)
    packer = zlib.compressobj(wbits=window)
    packed = TOKEN_RESPONSE if coding == "identity" else packer.compress(TOKEN_RESPONSE) + packer.flush()
    name = coding.removeprefix("bare ")
    with Server(lambda handler: respond_with(handler, 200, packed, Content_Encoding=name)) as server:
        assert request_token(server.url, library).body == TOKEN_RESPONSE

    assert server.received[0].headers["accept-encoding"] == "identity"


@each_library
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("br", b"\x1b\x00", id="Brotli"),
        pytest.param("zstd", b"\x28\xb5\x2f\xfd", id="Zstandard"),
        pytest.param("gzip, gzip", gzip.compress(gzip.compress(TOKEN_RESPONSE)), id="two"),
        pytest.param("gzip, identity", gzip.compress(TOKEN_RESPONSE), id="gzip and none"),
        pytest.param("gzip", TOKEN_RESPONSE, id="not gzip"),
    ],
)
@pytest.mark.parametrize("has_own_client", [False, True], ids=["ours", "the user's"])
def test_a_response_in_another_coding_is_refused(
    library: str,
    coding: str,
    body: bytes,
    has_own_client: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """R14: a response in several codings, or in another than gzip and deflate, is a clear error."""
    with (
        Server(lambda handler: respond_with(handler, 200, body, Content_Encoding=coding)) as server,
        sync_client(library) as client,
        pytest.raises(TokenUnavailableError, match=r"cannot be read, for it"),
    ):
        request_token(server.url, client if has_own_client else library)


@each_library
@pytest.mark.parametrize(
    ("coding", "status"), [*((coding, 200) for coding in BOMBS), *(("gzip", n) for n in (302, 503))]
)
def test_a_bomb_costs_little(library: str, coding: str, status: int) -> None:
    """R14: of a few kilobytes that stand for many megabytes, no more is decoded than a token may have."""
    headers = {"Content_Encoding": coding, "Location": "/elsewhere"}
    with Server(lambda handler: respond_with(handler, status, BOMBS[coding], **headers)) as server:
        with pytest.raises(TokenUnavailableError):
            request_token(server.url, library)  # what is loaded once does not count
        with pytest.raises(TokenUnavailableError, match=r"cannot be read"), little_memory():
            request_token(server.url, library)


@each_library
def test_the_body_of_a_redirect_is_limited(foxy: Emulator, library: str) -> None:
    """R14: the body of a redirect is not read further than that of any other response."""

    def respond(handler: Handler) -> None:
        with suppress(OSError):  # the client has hung up
            respond_with(handler, 302, bytes(2**25), Location="/elsewhere")

    with Server(respond) as server, pytest.raises(TokenUnavailableError, match="longer than"), little_memory():
        request_token(server.url, library)


@each_library
def test_an_endless_line_before_a_chunk_is_given_up(library: str) -> None:
    """R14: a chunk whose size takes a line without end costs little memory."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        with suppress(OSError):  # the client has hung up
            for _ in range(32):
                handler.wfile.write(b"0" * 2**20)

    with Server(respond) as server, pytest.raises(TokenUnavailableError), little_memory():
        request_token(server.url, library)


# --- what was not sent -----------------------------------------------------------------------------------------------


@pytest.fixture
def nobody() -> Iterator[str]:
    """Give an address on loopback where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def hang_up(handler: Handler) -> None:
    """End the connection without a response."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang_up_halfway(handler: Handler) -> None:
    """Send less than was announced."""
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"access_token":')
    handler.connection.shutdown(socket.SHUT_RDWR)


def speak_smtp(handler: Handler) -> None:
    """Send something that is no HTTP."""
    handler.wfile.write(b"220 mail.example ESMTP\r\n\r\n")
    handler.connection.shutdown(socket.SHUT_RDWR)


@each_library
def test_a_refused_connection_has_sent_nothing(nobody: str, library: str) -> None:
    """R13: a request whose connection was refused may be repeated."""
    with pytest.raises(TokenUnavailableError) as caught:
        request_token(nobody, library)

    assert caught.value.repeatable


@each_library
def test_a_name_that_cannot_be_resolved_has_sent_nothing(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R13: a request to a name that cannot be resolved may be repeated."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TokenUnavailableError) as caught:
        request_token("https://token-endpoint.example", library)

    assert caught.value.repeatable


@each_library
@pytest.mark.parametrize("respond", [hang_up, hang_up_halfway, speak_smtp])
def test_a_response_that_is_lost_may_have_been_one(library: str, respond: Callable[[Handler], None]) -> None:
    """R13, R14: a request whose response was lost or garbled may have been processed, so it is not repeatable."""
    with Server(respond) as server, pytest.raises(TokenUnavailableError) as caught:
        request_token(server.url, library)

    assert not caught.value.repeatable


@pytest.fixture
def departures() -> Iterator[list[str]]:
    """Note each request that is about to leave, and keep it from leaving."""
    noted: list[str] = []

    def forbid() -> None:
        noted.append("a request is about to leave")
        raise RuntimeError

    mark = before_sending.set(forbid)
    yield noted
    before_sending.reset(mark)


@each_library
def test_before_sending_is_called_when_the_connection_stands(library: str, nobody: str, departures: list[str]) -> None:
    """R9: `before_sending` is not called while the request is connecting, and can keep it from leaving."""
    with Server() as server:
        with pytest.raises(TokenUnavailableError):
            request_token(nobody, library)
        before = list(departures)
        with pytest.raises(TokenUnavailableError):
            request_token(server.url, library)

    assert (before, len(departures), server.received) == ([], 1, [])


# --- hooks of the user's client --------------------------------------------------------------------------------------


def raise_for_status(response: Any, **_: Any) -> None:
    """Do what many put into the hooks of their clients."""
    response.raise_for_status()


def test_hooks_of_a_session_do_not_hide_the_response(foxy: Emulator) -> None:
    """R12: where the session of `http=` has a hook that raises, a revoked grant is still recognized."""
    token = expired(foxy)
    foxy.revoke_refresh_tokens()
    with requests.Session() as session:
        session.hooks["response"] = [raise_for_status]
        with pytest.raises(LoginRequiredError):
            auth_for(foxy, token, http=session).get_token()

    assert len(foxy.token_calls) == 1


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_hooks_of_an_httpx_client_leave_status_and_headers(foxy: Emulator, library: str) -> None:
    """R14: an event hook that raises hides the text of the response, but not its `Retry-After`."""
    foxy.fail(429, times=9, headers={"Retry-After": "120"})
    with sync_client(library, event_hooks={"response": [raise_for_status]}) as client:
        auth = auth_for(foxy, expired(foxy), http=client)
        with pytest.raises(TokenUnavailableError) as caught:
            auth.get_token()

    assert caught.value.retry_after == pytest.approx(120, abs=1)
    assert len(foxy.token_calls) == 1


# --- secrets ---------------------------------------------------------------------------------------------------------


@each_library
def test_errors_lead_to_no_secret(nobody: str, library: str) -> None:
    """R23: neither the error nor what caused it holds a request or a frame, or prints a secret."""
    with Server(hang_up) as server:
        for url in (nobody, server.url):
            with pytest.raises(TokenUnavailableError) as caught:
                request_token(url, library)
            links = list(causes_of(caught.value))

            assert links
            assert [link for link in links if link.__traceback__ is not None] == []
            assert [link for link in links if request_of(link) is not None] == []
            check_no_secret("".join(traceback.format_exception(caught.value)))


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to *error*."""
    link = error.__cause__
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def request_of(error: BaseException) -> object:
    """Return the request or the response that *error* holds."""
    fields = vars(error)
    return fields.get("request") or fields.get("_request") or fields.get("response")


def check_no_secret(text: str) -> None:
    """Find none in *text*."""
    assert not any(secret in text for secret in (SECRET, REFRESH, ACCESS, NEW_REFRESH, BASIC.removeprefix("Basic ")))


def refuse(handler: Handler) -> None:
    """Refuse, and repeat what was sent."""
    body = json.dumps({"error": "invalid_client", "error_description": f"no {SECRET} for {REFRESH}"}).encode()
    respond_with(handler, 400, body)


@each_library
@pytest.mark.parametrize("respond", [respond_with_token, hang_up, hang_up_halfway, refuse])
def test_no_logger_shows_a_secret(
    library: str, respond: Callable[[Handler], None], caplog: pytest.LogCaptureFixture
) -> None:
    """R23: with every logger at DEBUG, neither we nor the library write a secret of the request or the response."""
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    failing = [True]

    def save(token: Token) -> None:
        if failing:
            raise OSError(f"cannot write {token.access_token} and {token.refresh_token}")

    with Server(respond) as server, sync_client(library) as client:
        auth = FoxyAuth(
            client_id="fake-id",
            client_secret=SECRET,
            refresh_token=REFRESH,
            environment=Environment(api=server.url),
            on_token=save,
            http=client,
        )
        with suppress(FoxyAuthError):
            auth.get_token()
        with suppress(StoreError):
            auth.flush()
        failing.clear()
        auth.close()

    assert caplog.records
    check_no_secret(caplog.text)
