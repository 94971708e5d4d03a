"""The client that sends token requests: one per library and process, replaced when it has to be."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import requests_mock
import responses
import trustme
from clients.drivers import Library
from support.programs import needs_fork
from support.provider import CLIENT_ID, CLIENT_SECRET, running_provider
from support.waiting import wait_until

from foxy_auth.errors import FoxyAuthError, TokenUnavailableError
from foxy_auth.testing import in_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from clients.drivers import Client
    from support.provider import Provider

IDLE = 15.0  # seconds; an idle client has closed its connections by then
CA_VARIABLES = {"requests": "REQUESTS_CA_BUNDLE", "httpx": "SSL_CERT_FILE", "httpx2": "SSL_CERT_FILE"}
BASIC = "Basic " + b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()

libraries = pytest.mark.parametrize("library", list(CA_VARIABLES))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Give a private certificate authority."""
    return trustme.CA()


@pytest.fixture(scope="module")
def bundles(authority: trustme.CA) -> Iterator[tuple[str, str]]:
    """Give the paths of a bundle with that authority, and of one with another authority."""
    with authority.cert_pem.tempfile() as right, trustme.CA().cert_pem.tempfile() as wrong:
        yield right, wrong


@pytest.fixture
def provider(authority: trustme.CA) -> Iterator[Provider]:
    """Run a provider."""
    with (
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.tempfile() as certificate,
        running_provider(certificate=certificate) as provider,
    ):
        yield provider


@pytest.fixture
def client(library: str) -> Iterator[Client]:
    """Give an open client for requests to the API."""
    with Library(library).open() as client:
        yield client


def refresh(client: Client, provider: Provider, **options: Any) -> int:
    """Call the API with a new auth object whose token has expired; return the status."""
    return client.get(provider.api_url("shop"), auth=provider.auth("shop", **options)).status


def token_requests(provider: Provider) -> list[dict[str, Any]]:
    """Return the token requests that *provider* has received."""
    received: list[dict[str, Any]] = provider.report()["token_requests"]
    return received


# --- one client ----------------------------------------------------------------------------------------------------


@libraries
def test_one_tls_context(
    provider: Provider, client: Client, library: str, bundles: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first refresh of a process, no certificate authorities are loaded, even for new connections."""
    monkeypatch.setenv(CA_VARIABLES[library], bundles[0])
    endpoint = f"{provider.tls_url}/token?close"
    first = refresh(client, provider, token_endpoint=endpoint)
    loads = count_loads(monkeypatch)
    later = [refresh(client, provider, token_endpoint=endpoint) for _ in range(3)]

    assert (first, later) == (200, [200] * 3)
    assert len(token_requests(provider)) == 4
    assert loads == []


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each loading of certificate authorities is added."""
    loads: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(ssl.SSLContext, name)

        def load(*args: Any, **options: Any) -> Any:
            loads.append(name)
            return original(*args, **options)

        return load

    for name in ("load_verify_locations", "load_default_certs", "set_default_verify_paths"):
        monkeypatch.setattr(ssl.SSLContext, name, counted(name))
    return loads


@libraries
def test_nothing_stays_open(provider: Provider, library: str) -> None:
    """An idle client closes its connections."""
    with Library(library).open() as client:
        statuses = [refresh(client, provider) for _ in range(2)]

    assert statuses == [200, 200]
    wait_until(lambda: provider.report()["open"] == 1, what="the end of the connections", within=IDLE)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@libraries
def test_a_fork(provider: Provider, client: Client, library: str) -> None:
    """R21: A forked child refreshes through a connection of its own, and its parent still refreshes."""
    before = refresh(client, provider)

    def work() -> int:
        with Library(library).open() as own:
            return refresh(own, provider)

    forked = in_fork(work)
    after = refresh(client, provider)
    of_parent, of_child, later = (request["connection"] for request in token_requests(provider))

    assert (before, forked, after) == (200, (0, "200"), 200)
    assert of_child not in {of_parent, later}


# --- the environment -----------------------------------------------------------------------------------------------


@libraries
def test_other_authorities(
    provider: Provider, client: Client, library: str, bundles: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh trusts the certificate authorities that the environment variable names at that time, and no others."""
    right, wrong = bundles
    endpoint = f"{provider.tls_url}/token"

    def refresh_trusting(path: str, timeout: float) -> int | str:
        monkeypatch.setenv(CA_VARIABLES[library], path)
        try:
            return refresh(client, provider, token_endpoint=endpoint, timeout=timeout)
        except TokenUnavailableError as error:
            return type(error).__name__

    # With a short timeout, what fails is not repeated.
    outcomes = [refresh_trusting(wrong, 0.3), refresh_trusting(right, 10.0), refresh_trusting(wrong, 0.3)]

    assert outcomes == ["TokenUnavailableError", 200, "TokenUnavailableError"]
    assert len(token_requests(provider)) == 1


# --- no cookies, netrc, redirects ------------------------------------------------------------------------------------


@libraries
def test_no_cookies_and_no_netrc(
    provider: Provider, client: Client, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R3, R18: Token requests send no cookies of earlier responses, and no credentials from netrc."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    statuses = [refresh(client, provider) for _ in range(2)]
    headers = [request["headers"] for request in token_requests(provider)]

    assert statuses == [200, 200]
    assert [(each.get("cookie"), each["authorization"]) for each in headers] == [(None, BASIC)] * 2
    assert client.cookies == {}


@libraries
def test_no_redirects(provider: Provider, client: Client, library: str) -> None:
    """R3: Token requests follow no redirects."""
    first = refresh(client, provider)
    with pytest.raises(FoxyAuthError):
        refresh(client, provider, token_endpoint=f"{provider.url}/elsewhere")

    assert first == 200
    assert [request["target"] for request in token_requests(provider)] == ["/token"]


# --- mocks that start later ----------------------------------------------------------------------------------------

ISSUED = {"access_token": "FakeMocked", "expires_in": 7200, "token_type": "Bearer", "refresh_token": "refresh-shop"}
SERVED = {"mocked": True}


@contextmanager
def responses_mock(token_url: str, api_url: str, _: pytest.FixtureRequest) -> Generator[None]:
    """Mock both URLs with `responses`."""
    with responses.RequestsMock() as mock:
        mock.post(token_url, json=ISSUED)
        mock.get(api_url, json=SERVED)
        yield


@contextmanager
def requests_mocker(token_url: str, api_url: str, _: pytest.FixtureRequest) -> Generator[None]:
    """Mock both URLs with `requests_mock`."""
    with requests_mock.Mocker() as mock:
        mock.post(token_url, json=ISSUED)
        mock.get(api_url, json=SERVED)
        yield


@contextmanager
def respx_mock(token_url: str, api_url: str, request: pytest.FixtureRequest) -> Generator[None]:
    """Mock both URLs with `respx`."""
    import respx

    with respx.mock() as mock:
        mock.post(token_url).respond(json=ISSUED)
        mock.get(api_url).respond(json=SERVED)
        yield


@contextmanager
def pytest_httpx_mock(token_url: str, api_url: str, request: pytest.FixtureRequest) -> Generator[None]:
    """Mock both URLs with `pytest_httpx`, until the end of the test."""
    mock = request.getfixturevalue("httpx_mock")
    mock.add_response(method="POST", url=token_url, json=ISSUED)
    mock.add_response(method="GET", url=api_url, json=SERVED)
    yield


@contextmanager
def pytest_httpx2_mock(token_url: str, api_url: str, request: pytest.FixtureRequest) -> Generator[None]:
    """Mock both URLs with `pytest_httpx2`, until the end of the test."""
    mock = request.getfixturevalue("httpx2_mock")
    mock.post(token_url).respond(json=ISSUED)
    mock.get(api_url).respond(json=SERVED)
    yield


@contextmanager
def vcr_cassette(token_url: str, api_url: str, request: pytest.FixtureRequest) -> Generator[None]:
    """Mock both URLs with a cassette of vcrpy."""
    headers = {"content-type": ["application/json"]}
    interactions = [
        {
            "request": {"method": method, "uri": url, "body": None, "headers": {}},
            "response": {
                "status": {"code": 200, "message": "OK"},
                "headers": headers,
                "body": {"string": json.dumps(document)},
            },
        }
        for method, url, document in [("POST", token_url, ISSUED), ("GET", api_url, SERVED)]
    ]
    path = request.getfixturevalue("tmp_path") / "cassette.json"
    path.write_text(json.dumps({"version": 1, "interactions": interactions}))
    recorder = import_module("vcr").VCR(serializer="json", record_mode="none", match_on=["method", "uri"])
    with recorder.use_cassette(str(path)):
        yield


@pytest.mark.parametrize(
    ("library", "mocking"),
    [
        ("requests", responses_mock),
        ("requests", requests_mocker),
        ("requests", vcr_cassette),
        ("httpx", respx_mock),
        ("httpx", pytest_httpx_mock),
        ("httpx", vcr_cassette),
        ("httpx2", pytest_httpx2_mock),
        ("httpx2", vcr_cassette),
    ],
)
def test_a_mock_after_a_real_refresh(
    provider: Provider,
    client: Client,
    library: str,
    mocking: Callable[[str, str, pytest.FixtureRequest], AbstractContextManager[None]],
    request: pytest.FixtureRequest,
) -> None:
    """A mock that starts after a refresh over the network, whose connection may still be open, covers the next one."""
    real = refresh(client, provider)
    auth = provider.auth("shop")
    before = len(token_requests(provider))
    with mocking(f"{provider.url}/token", provider.api_url("shop"), request):
        answer = client.get(provider.api_url("shop"), auth=auth)

    assert (real, before) == (200, 1)
    assert json.loads(answer.body) == SERVED
    assert auth.token
    assert auth.token.access_token == "FakeMocked"


@pytest.mark.parametrize(
    ("library", "mocking"),
    [("requests", responses_mock), ("requests", vcr_cassette), ("httpx", respx_mock), ("httpx", vcr_cassette)],
)
def test_a_real_refresh_after_a_mock(
    provider: Provider,
    client: Client,
    library: str,
    mocking: Callable[[str, str, pytest.FixtureRequest], AbstractContextManager[None]],
    request: pytest.FixtureRequest,
) -> None:
    """A refresh after the end of a mock goes over the network again."""
    with mocking(f"{provider.url}/token", provider.api_url("shop"), request):
        client.get(provider.api_url("shop"), auth=provider.auth("shop"))
    real = refresh(client, provider)

    assert real == 200
    assert len(token_requests(provider)) == 1
