"""Users' own mocks cover token requests too: a refresh and a retry with each of the usual tools."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
import requests
import requests_mock
import responses
from clients.grants import make_auth

from foxy_auth import FoxyAuth, Token

if TYPE_CHECKING:
    import respx
    from pytest_httpx import HTTPXMock

    from foxy_auth.emulator import Emulator

HOME = "https://api.foxycart.com/"
TOKEN = "https://api.foxycart.com/token"
REFUSAL = {"error": "invalid_token", "error_description": "The access token provided has expired"}
ISSUED = {"access_token": "FakeNew", "expires_in": 7200, "token_type": "Bearer", "refresh_token": "FakeRefresh2"}


@pytest.fixture
def auth() -> FoxyAuth:
    """Give an auth object for Foxy itself, as users' tests have."""
    token = Token("FakeOld", refresh_token="FakeRefresh")
    return FoxyAuth(client_id="client_Fake", client_secret="FakeSecret", token=token)


EXPECTED = ["Bearer FakeOld", "Basic Y2xpZW50X0Zha2U6RmFrZVNlY3JldA==", "Bearer FakeNew"]


def test_responses(auth: FoxyAuth) -> None:
    """`responses` covers the token request, the 401 and the retry."""
    with responses.RequestsMock() as mock:
        mock.get(HOME, status=401, json=REFUSAL)
        mock.post(TOKEN, json=ISSUED)
        mock.get(HOME, json={"ok": True})
        response = requests.get(HOME, auth=auth, timeout=5)
        sent = [call.request.headers["Authorization"] for call in mock.calls]

    assert response.json() == {"ok": True}
    assert sent[1:] == EXPECTED[1:]  # the first stands for the request object, which the retry signs anew


def test_requests_mock() -> None:
    """`requests_mock` covers a token request before a request."""
    auth = FoxyAuth(client_id="client_Fake", client_secret="FakeSecret", refresh_token="FakeRefresh")
    with requests_mock.Mocker() as mock:
        mock.get(HOME, json={"ok": True})
        mock.post(TOKEN, json=ISSUED)
        response = requests.get(HOME, auth=auth, timeout=5)
        sent = [call.headers["Authorization"] for call in mock.request_history]

    assert (response.json(), sent) == ({"ok": True}, EXPECTED[1:])


def test_requests_mock_adapter() -> None:
    """
    An adapter of requests-mock, mounted on the session that is given for token requests, covers refresh and retry.

    Its `Mocker` cannot: it lets one thread at a time send, and a refresh runs in a thread of its own.
    """
    adapter = requests_mock.Adapter()
    adapter.register_uri("GET", HOME, [{"status_code": 401, "json": REFUSAL}, {"json": {"ok": True}}])
    adapter.register_uri("POST", TOKEN, json=ISSUED)
    token = Token("FakeOld", refresh_token="FakeRefresh")
    with requests.Session() as session:
        session.mount("https://", adapter)
        auth = FoxyAuth(client_id="client_Fake", client_secret="FakeSecret", token=token, http=session)
        response = session.get(HOME, auth=auth)
        sent = [call.headers["Authorization"] for call in adapter.request_history]

    assert response.json() == {"ok": True}
    assert sent[1:] == EXPECTED[1:]  # the first stands for the request object, which the retry signs anew


def test_respx(auth: FoxyAuth, respx_mock: respx.MockRouter) -> None:
    """`respx` covers them for the sync client of httpx."""
    route = respx_mock.get(HOME)
    route.side_effect = [httpx.Response(401, json=REFUSAL), httpx.Response(200, json={"ok": True})]
    respx_mock.post(TOKEN).respond(json=ISSUED)
    with httpx.Client(auth=auth) as client:
        response = client.get(HOME)

    assert response.json() == {"ok": True}
    assert [call.request.headers["Authorization"] for call in respx_mock.calls] == EXPECTED


async def test_respx_async(auth: FoxyAuth, respx_mock: respx.MockRouter) -> None:
    """`respx` covers them for the async client of httpx."""
    route = respx_mock.get(HOME)
    route.side_effect = [httpx.Response(401, json=REFUSAL), httpx.Response(200, json={"ok": True})]
    respx_mock.post(TOKEN).respond(json=ISSUED)
    async with httpx.AsyncClient(auth=auth) as client:
        response = await client.get(HOME)

    assert response.json() == {"ok": True}
    assert [call.request.headers["Authorization"] for call in respx_mock.calls] == EXPECTED


async def test_pytest_httpx(auth: FoxyAuth, httpx_mock: HTTPXMock) -> None:
    """`pytest_httpx` covers them."""
    httpx_mock.add_response(url=HOME, status_code=401, json=REFUSAL)
    httpx_mock.add_response(url=TOKEN, method="POST", json=ISSUED)
    httpx_mock.add_response(url=HOME, json={"ok": True})
    async with httpx.AsyncClient(auth=auth) as client:
        response = await client.get(HOME)

    assert response.json() == {"ok": True}
    assert [request.headers["Authorization"] for request in httpx_mock.get_requests()] == EXPECTED


async def test_pytest_httpx2(auth: FoxyAuth, httpx2_mock: respx.MockRouter) -> None:
    """`pytest_httpx2` covers them, which is respx for httpx2."""
    route = httpx2_mock.get(HOME)
    route.side_effect = [httpx.Response(401, json=REFUSAL), httpx.Response(200, json={"ok": True})]
    httpx2_mock.post(TOKEN).respond(json=ISSUED)
    async with httpx2.AsyncClient(auth=auth) as client:
        response = await client.get(HOME)

    assert response.json() == {"ok": True}
    assert [call.request.headers["Authorization"] for call in httpx2_mock.calls] == EXPECTED


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_mock_transport_of_the_client_for_token_requests(library: str, auth: FoxyAuth) -> None:
    """A mock transport of the user's own client covers token requests through `http=`."""
    module = import_module(library)

    def respond(request: Any) -> Any:
        if request.url.path == "/token":
            return module.Response(200, json=ISSUED)
        fresh = request.headers["Authorization"] == "Bearer FakeNew"
        return module.Response(200 if fresh else 401, json={"ok": True} if fresh else REFUSAL)

    with module.Client(transport=module.MockTransport(respond)) as client:
        auth = FoxyAuth(client_id="client_Fake", client_secret="FakeSecret", refresh_token="FakeRefresh", http=client)

        assert client.get(HOME, auth=auth).json() == {"ok": True}


def test_a_mock_covers_clients_that_are_in_use(auth: FoxyAuth, foxy: Emulator) -> None:
    """A mock that starts while a token request is under way covers the next one, though they share connections."""
    other = make_auth(foxy, refresh_token=foxy.grant().refresh_token)
    with foxy.hold("/token") as latch, ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(other.get_token)
        latch.wait_for(1)
        with responses.RequestsMock() as mock:
            mock.post(TOKEN, json=ISSUED)
            token = auth.refresh()
        latch.release()
        first = under_way.result(10)

    assert (token.access_token, foxy.is_live(first.access_token)) == ("FakeNew", True)
