"""One token call: which library carries it, what it obeys, and what becomes of its failures."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
import traceback
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

import httpx
import httpx2
import pytest
import requests
import trustme
from sources import PATIENCE, FakeClock, auth_for, expired, source_for

from foxy_auth._oauth.messages import (
    MAX_RESOURCE,
    MAX_TOKEN_RESPONSE,
    ClientCredentials,
    refresh_request,
    resource_request,
)
from foxy_auth._transport import check_client, installed_library, library_of, send
from foxy_auth.auth import FoxyAuth
from foxy_auth.environment import Environment
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from foxy_auth._oauth.messages import HttpRequest
    from foxy_auth.emulator import Emulator
    from foxy_auth.token import Token

SECRET = "fake-client-secret-0123456789"
REFRESH = "fake-refresh-token-0123456789"
ACCESS = "fake-access-token-0123456789"
NEW_REFRESH = "fake-new-refresh-token-0123456789"
ANSWER = json.dumps({"access_token": ACCESS, "refresh_token": NEW_REFRESH, "expires_in": 7200}).encode()

library = pytest.mark.parametrize("library", ["requests", "httpx", "httpx2"])


def token_call(url: str) -> HttpRequest:
    """Return a refresh to be sent to *url*."""
    return refresh_request(ClientCredentials("fake-id", SECRET), REFRESH, url=url, api_version="1")


class Server:
    """A server on loopback that records what it is sent and answers as told; a context manager."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None] | None = None) -> None:
        """Answer each request by *answer*, or with a token."""
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                calls.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                (answer or plainly)(self)

            def do_CONNECT(self) -> None:
                calls.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, b""))
                self.send_error(502)

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def protected(self, context: ssl.SSLContext) -> Self:
        """Serve over TLS."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are the test
        return self

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def plainly(handler: BaseHTTPRequestHandler) -> None:
    """Answer with a token."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(ANSWER)))
    handler.end_headers()
    handler.wfile.write(ANSWER)


# --- who carries the call ------------------------------------------------------------------------------------------


@library
def test_the_named_library_carries_the_call(library: str) -> None:
    """R18: A token call goes out once, as a POST, through the library that is named."""
    with Server() as server:
        reply = send(token_call(f"{server.url}/token"), through=library, timeout=PATIENCE)
    [(method, path, headers, body)] = server.calls

    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, ANSWER, "application/json")
    assert (method, path, body) == ("POST", "/token", f"grant_type=refresh_token&refresh_token={REFRESH}".encode())
    assert headers["authorization"] == f"Basic {b64encode(f'fake-id:{SECRET}'.encode()).decode()}"
    assert headers["foxy-api-version"] == "1"
    assert headers["user-agent"].startswith({"requests": "python-requests"}.get(library, f"python-{library}"))


@pytest.mark.parametrize("kind", [requests.Session, httpx.Client, httpx2.Client], ids=["requests", "httpx", "httpx2"])
def test_the_users_client_carries_the_call_and_stays_open(foxy: Emulator, kind: Callable[[], Any]) -> None:
    """The client given as `http` carries every token call with its own settings, and is not closed."""
    with kind() as client:
        client.headers["X-Own"] = "yes"
        client.headers["Authorization"] = "Basic of-another-service"
        source = source_for(foxy, expired(foxy), http=client)
        for _ in range(2):
            source.token(via="requests", rejected=source.current)
        answer = client.get(foxy.url, headers={"FOXY-API-VERSION": "1", "Authorization": ""})

    assert {call.headers["X-Own"] for call in foxy.token_calls} == {"yes"}
    assert [call.status for call in foxy.token_calls] == [200, 200]
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", [httpx.Client, httpx2.Client], ids=["httpx", "httpx2"])
def test_the_users_credentials_do_not_replace_the_clients(foxy: Emulator, kind: Callable[..., Any]) -> None:
    """R3: A client with credentials or redirects of its own sends ours with a token call."""
    with kind(auth=("other", "one"), follow_redirects=True, params={"x": "y"}) as client:
        source = source_for(foxy, expired(foxy), http=client)

        assert foxy.is_live(source.token(via="requests").access_token)


def test_a_session_with_credentials_does_not_replace_the_clients(foxy: Emulator) -> None:
    """R3: A session with credentials of its own sends ours with a token call."""
    with requests.Session() as session:
        session.auth = ("other", "one")
        source = source_for(foxy, expired(foxy), http=session)

        assert foxy.is_live(source.token(via="requests").access_token)


@library
def test_a_call_goes_through_the_callers_library(foxy: Emulator, library: str) -> None:
    """A token call goes out through the library whose request needs it, so that mocks and settings of it cover both."""
    auth = auth_for(foxy, expired(foxy))
    with getattr(import_module(library), "Session" if library == "requests" else "Client")() as client:
        answer = client.get(foxy.store_url, auth=auth)

    assert answer.status_code == 200
    assert library in foxy.token_calls[0].headers["User-Agent"].split("/")[0]


def test_names_the_library_of_a_thing() -> None:
    """A class derived from a library's counts as its own, and anything else as nobody's."""

    class Own(httpx.Client):
        pass

    with Own() as own:
        found = [library_of(own), library_of(requests.Session()), library_of(httpx2.URL("/")), library_of("x")]

    assert found == ["httpx", "requests", "httpx2", None]
    assert installed_library() == "requests"


def test_without_a_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: Without any client library the error names the extras."""
    monkeypatch.setattr("foxy_auth._transport.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'foxy_auth\[requests\]'"):
        installed_library()


@pytest.mark.parametrize(
    "thing",
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
def test_refuses_what_cannot_carry_a_call(thing: Callable[[], object]) -> None:
    """R24: What is no synchronous client is refused at once, with the reason."""
    with pytest.raises(TypeError, match=r"requests\.Session, httpx\.Client"):
        check_client(thing())


# --- what it obeys -------------------------------------------------------------------------------------------------


@library
def test_netrc_is_ignored(library: str, clean_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: A password that netrc has for the token endpoint's host is not sent."""
    netrc = clean_environment / ".netrc"
    netrc.write_text("default login stranger password fake-other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Server() as server:
        send(token_call(f"{server.url}/token"), through=library, timeout=PATIENCE)

    assert b64encode(b"fake-id:" + SECRET.encode()).decode() in server.calls[0][2]["authorization"]


@library
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(foxy: Emulator, library: str, status: int) -> None:
    """R3: A token endpoint that redirects gets an error, and the place it points to gets nothing."""
    foxy.redirect_token_calls(f"{foxy.elsewhere.url}/token", status)
    with pytest.raises(TokenUnavailableError, match="redirect"):
        source_for(foxy, expired(foxy)).token(via=library)

    assert foxy.elsewhere.calls == []


@library
def test_the_environments_proxy_is_used(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment carries token calls, in each library."""
    with Server() as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        reply = send(token_call("http://token-endpoint.example/token"), through=library, timeout=PATIENCE)

    assert reply.status == 200
    assert [(call[0], call[1]) for call in proxy.calls] == [("POST", "http://token-endpoint.example/token")]


@library
def test_a_proxy_that_refuses_is_no_answer(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R13: A proxy that opens no tunnel has carried nothing to the provider, so that the call may be repeated."""
    with Server() as proxy:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        with pytest.raises(TokenUnavailableError) as caught:
            send(token_call("https://token-endpoint.example/token"), through=library, timeout=PATIENCE)

    assert caught.value.repeatable
    assert [call[:2] for call in proxy.calls] == [("CONNECT", "token-endpoint.example:443")]
    assert all(SECRET not in str(call) and REFRESH not in str(call) for call in proxy.calls)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Give a certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def protected(authority: trustme.CA) -> Iterator[Server]:
    """Give a token endpoint over TLS with a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server().protected(context) as server:
        yield server


@library
def test_an_unknown_certificate_is_refused(protected: Server, library: str) -> None:
    """R14: A token endpoint that nobody vouches for is sent nothing, and the error names the cause."""
    with pytest.raises(TokenUnavailableError) as caught:
        send(token_call(f"{protected.url}/token"), through=library, timeout=PATIENCE)

    assert "certificate verify failed" in f"{caught.value.__cause__}".lower().replace("_", " ")
    assert protected.calls == []


@library
def test_the_users_client_brings_its_certificates(protected: Server, authority: trustme.CA, library: str) -> None:
    """A client given as `http` that knows the private authority carries the call."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with authority.cert_pem.tempfile() as path:
        client: Any
        if library == "requests":
            client = requests.Session()
            client.verify = path
        else:
            client = import_module(library).Client(verify=context)
        with client:
            reply = send(token_call(f"{protected.url}/token"), through=client, timeout=PATIENCE)

    assert reply.body == ANSWER


@pytest.mark.parametrize(
    ("library", "variable"),
    [
        pytest.param("requests", "REQUESTS_CA_BUNDLE", id="requests"),
        pytest.param("httpx", "SSL_CERT_FILE", id="httpx"),
        pytest.param("httpx2", "SSL_CERT_FILE", id="httpx2"),
    ],
)
def test_the_environments_certificates_are_used(
    protected: Server, authority: trustme.CA, library: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable by which each library is told of a private authority counts for token calls too."""
    with authority.cert_pem.tempfile() as path:
        monkeypatch.setenv(variable, path)
        reply = send(token_call(f"{protected.url}/token"), through=library, timeout=PATIENCE)

    assert reply.body == ANSWER


# --- what it survives ----------------------------------------------------------------------------------------------


@library
def test_an_answer_without_end_is_cut_off(foxy: Emulator, library: str) -> None:
    """R14: An answer of 1 GiB is given up after a few bytes too many."""
    foxy.oversize(2**30)
    with pytest.raises(TokenUnavailableError, match=f"longer than {MAX_TOKEN_RESPONSE} bytes"):
        source_for(foxy, expired(foxy)).token(via=library)


@library
@pytest.mark.parametrize("size", [MAX_RESOURCE, MAX_RESOURCE + 1], ids=["largest", "too large"])
def test_a_resource_may_be_larger_than_a_token(library: str, size: int) -> None:
    """R14: A resource of the API, which embeds others, is read up to a limit of its own, and the error names it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        with suppress(OSError):  # the client has hung up
            handler.wfile.write(b" " * size)

    with Server(answer) as server:
        request = resource_request(f"{server.url}/stores/1", api_version="1", fields={})
        if size > MAX_RESOURCE:
            too_long = rf"^the answer of {request.url} is longer than {MAX_RESOURCE} bytes"
            with pytest.raises(TokenUnavailableError, match=too_long):
                send(request, through=library, timeout=PATIENCE)
        else:
            assert len(send(request, through=library, timeout=PATIENCE).body) == size


@library
def test_headers_in_drips_are_given_up(library: str) -> None:
    """R14: Headers that come byte by byte without end cost three timeouts, and keep no program from ending."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        with suppress(OSError):  # the client has hung up
            while not over.wait(0.01):
                handler.wfile.write(b"a")

    over = threading.Event()
    with Server(drip) as server:
        with pytest.raises(TokenUnavailableError, match=r"no whole answer came within"):
            send(token_call(f"{server.url}/token"), through=library, timeout=0.5)
        left = [thread for thread in threading.enumerate() if thread.name == "foxy-auth-call"]
        daemons = {thread.daemon for thread in left}
        over.set()
        for thread in left:
            thread.join(10)

    assert daemons == {True}


@library
def test_an_answer_in_drips_is_given_up(library: str) -> None:
    """R14: An answer that comes byte by byte without end is given up when the call's time is over."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):  # the client has hung up
            while True:
                handler.wfile.write(b" ")
                time.sleep(0.01)

    with Server(drip) as server, pytest.raises(TokenUnavailableError, match=r"did not end within 0\.3 seconds"):
        send(token_call(f"{server.url}/token"), through=library, timeout=0.3)


@library
def test_an_endpoint_that_says_nothing_is_given_up(foxy: Emulator, library: str) -> None:
    """R14: A token endpoint that takes the call and never answers is given up, and the call not repeated."""
    clock = FakeClock()
    source = source_for(foxy, expired(foxy), timeout=0.3, clock=clock)
    with foxy.hold() as latch, pytest.raises(TokenUnavailableError, match="did not answer") as caught:
        source.token(via=library)
    latch.release()

    assert not caught.value.repeatable
    assert len(foxy.token_calls) == 1


@library
def test_a_gzip_answer_is_read(library: str) -> None:
    """An answer that the library decodes is read like any other."""
    import gzip

    packed = gzip.compress(ANSWER)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    with Server(answer) as server:
        reply = send(token_call(f"{server.url}/token"), through=library, timeout=PATIENCE)

    assert reply.body == ANSWER


# --- what never left -----------------------------------------------------------------------------------------------


@pytest.fixture
def nobody() -> Iterator[str]:
    """Give an address on loopback where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """End the connection without an answer."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang_up_in_the_midst(handler: BaseHTTPRequestHandler) -> None:
    """Announce more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"access_token":')


def speak_no_http(handler: BaseHTTPRequestHandler) -> None:
    """Answer something else."""
    handler.wfile.write(b"220 mail.example ESMTP\r\n\r\n")


@library
def test_a_refused_connection_has_carried_nothing(nobody: str, library: str) -> None:
    """R13: A call that was refused at the door has not been sent, so that it may be repeated."""
    with pytest.raises(TokenUnavailableError) as caught:
        send(token_call(f"{nobody}/token"), through=library, timeout=PATIENCE)

    assert caught.value.repeatable


@library
def test_a_name_without_address_has_carried_nothing(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R13: A call to a name that cannot be resolved has not been sent, so that it may be repeated."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TokenUnavailableError) as caught:
        send(token_call("https://token-endpoint.example/token"), through=library, timeout=PATIENCE)

    assert caught.value.repeatable


@library
@pytest.mark.parametrize("answer", [hang_up, hang_up_in_the_midst, speak_no_http])
def test_an_answer_that_breaks_off_may_have_been_one(
    library: str, answer: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    """R13, R14: A call whose answer was lost or garbled may have been heard, so that it is not repeatable."""
    with Server(answer) as server, pytest.raises(TokenUnavailableError) as caught:
        send(token_call(f"{server.url}/token"), through=library, timeout=PATIENCE)

    assert not caught.value.repeatable


@library
def test_errors_lead_to_no_secret(nobody: str, library: str) -> None:
    """R23: Neither the error nor what caused it holds a request or a frame, or prints a secret."""
    with Server(hang_up) as server:
        for url in (nobody, server.url):
            with pytest.raises(TokenUnavailableError) as caught:
                send(token_call(f"{url}/token"), through=library, timeout=PATIENCE)
            links = list(_chain(caught.value.__cause__))

            assert links
            assert [link for link in links if link.__traceback__ is not None] == []
            assert [link for link in links if _request_of(link) is not None] == []
            _assert_no_secret("".join(traceback.format_exception(caught.value)))


def refuse(handler: BaseHTTPRequestHandler) -> None:
    """Refuse, and repeat what was sent."""
    content = json.dumps({"error": "invalid_client", "error_description": f"no {SECRET} for {REFRESH}"}).encode()
    handler.send_response(400)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@library
@pytest.mark.parametrize("answer", [plainly, hang_up, hang_up_in_the_midst, refuse])
def test_no_logger_shows_a_secret(
    library: str, answer: Callable[[BaseHTTPRequestHandler], None], caplog: pytest.LogCaptureFixture
) -> None:
    """R23: With every logger at DEBUG, neither we nor the library write a secret of the call or of its answer."""
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    with Server(answer) as server:
        auth = FoxyAuth(
            client_id="fake-id",
            client_secret=SECRET,
            refresh_token=REFRESH,
            environment=Environment(api=server.url),
            on_token=_complain,
        )
        with suppress(FoxyAuthError):
            auth._source.token(via=library)
        auth._source._saver._save = lambda _: None
        auth.close()

    assert caplog.records
    _assert_no_secret(caplog.text)


def _complain(token: Token) -> None:
    raise OSError(f"cannot write {token.access_token} and {token.refresh_token}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _request_of(error: BaseException) -> object:
    fields = vars(error)
    return fields.get("request") or fields.get("_request") or fields.get("response")


def _assert_no_secret(text: str) -> None:
    basic = b64encode(f"fake-id:{SECRET}".encode()).decode()

    assert not any(secret in text for secret in (SECRET, REFRESH, ACCESS, NEW_REFRESH, basic))


def raise_for_status(response: Any, **_: Any) -> None:
    """Do what many put into the hooks of their sessions."""
    response.raise_for_status()


def test_hooks_of_a_session_do_not_hide_the_answer(foxy: Emulator) -> None:
    """R12: where the session of `http=` has a hook that raises, a grant that is gone is still told as such."""
    token = expired(foxy)
    foxy.revoke_refresh_tokens()
    with requests.Session() as session:
        session.hooks["response"] = [raise_for_status]
        source = source_for(foxy, token, http=session)
        with pytest.raises(LoginRequiredError):
            source.token(via="requests")

    assert len(foxy.token_calls) == 1


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_hooks_of_an_httpx_client_leave_status_and_headers(foxy: Emulator, module: Any) -> None:
    """R14: an event hook that raises takes the text of the answer along, but not how long the provider wants peace."""
    foxy.fail(429, times=9, headers={"Retry-After": "120"})
    with module.Client(event_hooks={"response": [raise_for_status]}) as client:
        source = source_for(foxy, expired(foxy), http=client)
        with pytest.raises(TokenUnavailableError) as caught:
            source.token(via=module.__name__)

    assert caught.value.retry_after == pytest.approx(120, abs=1)
    assert len(foxy.token_calls) == 1


def test_calls_at_once_through_one_client_do_not_mix(foxy: Emulator) -> None:
    """A client given as `http` may be shared by several sources that refresh at the same time."""
    with httpx.Client() as client, ThreadPoolExecutor(4) as pool:
        sources = [source_for(foxy, foxy.grant(), http=client) for _ in range(4)]
        tokens = list(pool.map(lambda source: source.token(via="httpx", rejected=source.current), sources))

    assert len({token.access_token for token in tokens}) == 4
    assert all(foxy.is_live(token.access_token) for token in tokens)
