"""R1: what stays on this machine in plain http passes no secret to a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clients.drivers import INSTALLED, every_library, sync_libraries
from clients.grants import aged, find_leaks, make_auth, secrets_of
from support.recording_proxy import RecordingProxy

from foxy_auth import Environment, TokenUnavailableError, create_user, register_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clients.drivers import Library

    from foxy_auth import FoxyAuth
    from foxy_auth.emulator import Emulator

HTTPX = [one for one in INSTALLED if one.backend is None and not one.like_requests]
VARIABLES = ["http_proxy", "all_proxy"]
REFUSAL = "would leave through a proxy.* NO_PROXY"


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    """Give a proxy that records."""
    with RecordingProxy() as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def forgetful(library: Library) -> Iterator[None]:
    """Let niquests forget which proxies the environment named; it reads that once."""
    forget = getattr(library.module.utils.getproxies, "cache_clear", bool) if library.like_requests else bool
    forget()
    yield
    forget()


@pytest.fixture(params=VARIABLES)
def in_environment(request: pytest.FixtureRequest, proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name the proxy."""
    for name in (request.param, request.param.upper()):
        monkeypatch.setenv(name, proxy.url)


@every_library
@pytest.mark.parametrize("left", [3600.0, -1.0], ids=["fresh", "expired"])
@pytest.mark.usefixtures("in_environment")
def test_the_environments_proxy_gets_no_token(
    library: Library, foxy: Emulator, proxy: RecordingProxy, left: float
) -> None:
    """R1, R24: a request to the API in plain http is refused if it would leave through the environment's proxy."""
    token = aged(foxy.grant(), left=left)
    with library.open() as client:
        client.get(f"{foxy.elsewhere.url}/unsigned")
        control = bytes(proxy.received)
        proxy.received.clear()
        auth = make_auth(foxy, token=token)
        with pytest.raises(ValueError, match=REFUSAL):
            client.get(foxy.store_url, auth=auth)

    assert b"/unsigned" in control
    assert proxy.received == b""
    assert len(foxy.token_calls) == (left < 0)  # which go another way


@every_library
@pytest.mark.usefixtures("in_environment")
def test_no_proxy_lets_requests_pass(library: Library, foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """R1: an exception in the environment lets the same request leave."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    with library.open() as client:
        assert client.get(foxy.store_url, auth=make_auth(foxy)).status == 200


@every_library
@pytest.mark.usefixtures("in_environment")
def test_a_redirect_to_a_proxy_gets_no_token(
    library: Library, foxy: Emulator, proxy: RecordingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1, R24: a proxy that refuses a request which was redirected to it, unsigned, does not get it signed."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    proxy.status = "401 Unauthorized"
    second = foxy.url.replace("127.0.0.1", "localhost")
    auth = make_auth(foxy, environment=foxy.environment.replace(origins=[foxy.url, second]))
    with library.open() as client, pytest.raises(ValueError, match=REFUSAL):
        client.get(f"{foxy.url}/redirect?to={second}/stores/1", auth=auth)

    assert proxy.received.count(b"GET ") == 1
    assert b"Bearer" not in proxy.received
    assert foxy.token_calls == []


@sync_libraries
@pytest.mark.usefixtures("in_environment")
def test_a_client_that_does_not_look_there_is_let_pass(library: Library, foxy: Emulator) -> None:
    """R1: a client that does not trust the environment sends the same request."""
    client: Any = library.module.Session() if library.like_requests else library.module.Client(trust_env=False)
    if library.like_requests:
        client.trust_env = False
    with client:
        assert client.get(foxy.store_url, auth=make_auth(foxy)).status_code == 200


def session_with(library: Library, proxy: str) -> Any:
    """Make a session with a proxy of its own."""
    session = library.module.Session()
    session.proxies = {"http": proxy}
    return session


WAYS: dict[str, Callable[[Library, str, str, FoxyAuth], object]] = {
    "session": lambda library, proxy, url, auth: session_with(library, proxy).get(url, auth=auth),
    "session's auth": lambda library, proxy, url, auth: with_auth(session_with(library, proxy), auth).get(url),
    "argument": lambda library, proxy, url, auth: library.module.get(url, auth=auth, proxies={"http": proxy}),
    "all": lambda library, proxy, url, auth: library.module.get(url, auth=auth, proxies={"all": proxy}),
    "prepared": lambda library, proxy, url, auth: session_with(library, proxy).prepare_request(
        library.module.Request("GET", url, auth=auth)
    ),
}


def with_auth(session: Any, auth: FoxyAuth) -> Any:
    """Let all its requests be signed."""
    session.auth = auth
    return session


@pytest.mark.parametrize("library", [one for one in INSTALLED if one.like_requests], ids=str, indirect=True)
@pytest.mark.parametrize("way", list(WAYS))
def test_a_sessions_proxy_gets_no_token(library: Library, foxy: Emulator, proxy: RecordingProxy, way: str) -> None:
    """R1, R24: the same holds for the proxies of a session, and of one request."""
    with pytest.raises(ValueError, match=REFUSAL):
        WAYS[way](library, proxy.url, foxy.store_url, make_auth(foxy))

    assert proxy.received == b""


@pytest.mark.parametrize("library", HTTPX, ids=str, indirect=True)
@pytest.mark.parametrize("way", ["proxy", "mounts"])
def test_a_clients_proxy_gets_no_token(library: Library, foxy: Emulator, proxy: RecordingProxy, way: str) -> None:
    """R1, R24: the same holds for the proxies and mounts of a client of httpx or httpx2."""
    transport = library.module.HTTPTransport(proxy=proxy.url)
    options = {"proxy": proxy.url} if way == "proxy" else {"mounts": {"http://127.0.0.1": transport}}
    events: list[str] = []
    with library.module.Client(**options) as client, pytest.raises(ValueError, match=REFUSAL):
        client.get(foxy.store_url, auth=make_auth(foxy), extensions={"trace": lambda event, _: events.append(event)})

    assert proxy.received == b""
    assert events  # a trace of the user's is called too


@sync_libraries
@pytest.mark.usefixtures("in_environment")
def test_token_requests_on_loopback_use_no_proxy(library: Library, foxy: Emulator, proxy: RecordingProxy) -> None:
    """R1: refreshing, exchanging, discovery and registration on this machine go through no proxy."""
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    auth._source.obtain(library.name)
    auth.refresh()
    Environment.discover(foxy.url)
    registration = register_client(
        redirect_uri="https://shop.example/callback",
        project_name="A",
        company_name="B",
        contact_name="C",
        contact_email="d@shop.example",
        contact_phone="1",
        environment=foxy.environment,
    )
    create_user(registration.auth, first_name="E", last_name="F", email="g@shop.example", captcha_code="x")

    assert proxy.received == b""


@sync_libraries
@pytest.mark.parametrize("is_in_environment", [True, False])
def test_a_users_client_sends_no_token_request_to_its_proxy(
    library: Library,
    foxy: Emulator,
    proxy: RecordingProxy,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_in_environment: bool,
) -> None:
    """R1: with a client of the user's, a token request in plain http that would pass its proxy is a clear error."""
    if is_in_environment:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
    options = {"proxy": proxy.url} if not library.like_requests and not is_in_environment else {}
    client = (library.module.Session if library.like_requests else library.module.Client)(**options)
    if library.like_requests and not is_in_environment:
        client.proxies = {"http": proxy.url}
    token = aged(foxy.grant(), left=-1.0)
    with client, pytest.raises(TokenUnavailableError, match=REFUSAL):
        make_auth(foxy, token=token, http=client).get_token()

    assert proxy.received == b""
    assert find_leaks(secrets_of(foxy, token), proxy.received) == []
    assert foxy.token_calls == []
