"""What only httpx and httpx2 can get wrong: flows, event hooks, and the wrong kind of object."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import threading
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from clients.drivers import WAIT
from clients.grants import make_auth

from foxy_auth import FoxyAuth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from foxy_auth.emulator import Emulator


@pytest.fixture(params=["httpx", "httpx2"])
def module(request: pytest.FixtureRequest) -> Any:
    """Give both libraries."""
    return import_module(request.param)


def refused(module: Any, request: Any) -> Any:
    """Make the 401 that *request* might get."""
    return module.Response(401, request=request, stream=module.ByteStream(b""))


def test_flow_yields_the_callers_requests_alone(module: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """A flow yields the caller's request and its retry, of the same class, with body and extensions, and no more."""
    request = module.Request("POST", foxy.store_url, json={"a": 1}, extensions={"timeout": {"read": 7}})
    flow = auth.sync_auth_flow(request)
    first = next(flow)
    old = first.headers["Authorization"]
    retry = flow.send(refused(module, first))
    with pytest.raises(StopIteration):
        flow.send(module.Response(200, request=retry))

    assert (first is request, type(retry), retry.url, retry.method) == (True, module.Request, request.url, "POST")
    assert (retry.read(), retry.extensions["timeout"]) == (b'{"a":1}', {"read": 7})
    assert (first.headers["Authorization"], retry.headers["Authorization"] != old) == (old, True)


def test_abandoned_flow_holds_nothing(module: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R9: a flow that nobody finishes, or that is closed, leaves nothing locked, before a 401 or after it."""
    kept: list[Any] = []
    for refuse in (False, True):
        for close in (False, True):
            flow = auth.sync_auth_flow(module.Request("GET", foxy.store_url))
            request = next(flow)
            if refuse:
                flow.send(refused(module, request))
            if close:
                flow.close()
            kept.append(flow)
    foxy.revoke_access_tokens()
    with module.Client(auth=auth) as client:
        status = client.get(foxy.store_url).status_code

    assert status == 200


def test_abandoned_async_flow_holds_nothing(module: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R9: an async flow may be dropped, or finished by another task than the one that started it."""

    async def use() -> int:
        flow = auth.async_auth_flow(module.Request("GET", foxy.store_url))
        request = await anext(flow)
        response = module.Response(401, request=request, stream=module.ByteStream(b""))
        await asyncio.create_task(flow.asend(response))
        await asyncio.create_task(flow.aclose())
        async with module.AsyncClient(auth=auth) as client:
            foxy.revoke_access_tokens()
            return int((await client.get(foxy.store_url)).status_code)

    assert asyncio.run(use()) == 200


def test_flow_closed_by_another_thread_holds_nothing(module: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R9: a flow may be closed by another thread."""
    flow = auth.sync_auth_flow(module.Request("GET", foxy.store_url))
    next(flow)
    closer = threading.Thread(target=flow.close)
    closer.start()
    closer.join(WAIT)
    with module.Client(auth=auth) as client:
        status = client.get(foxy.store_url).status_code

    assert (closer.is_alive(), status) == (False, 200)


def test_raising_event_hook_ends_the_request(module: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """An event hook that raises for a 401 sees it before us and ends that request; later ones are retried."""
    strict = [True]

    def check(response: Any) -> None:
        if strict:
            response.raise_for_status()

    foxy.revoke_access_tokens()
    with module.Client(auth=auth, event_hooks={"response": [check]}) as client:
        with pytest.raises(module.HTTPStatusError):
            client.get(foxy.store_url)
        strict.clear()
        status = client.get(foxy.store_url).status_code

    assert (status, len(foxy.token_calls)) == (200, 1)


def test_none_sends_without_the_token(module: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """`auth=None` sends one request without the client's token, and without a retry."""
    with module.Client(auth=auth) as client:
        client.get(foxy.store_url, auth=None)

    assert [(call.path, call.access_token) for call in foxy.calls] == [("/stores/1", None)]


def test_client_takes_the_object_for_an_auth_flow(module: Any, auth: FoxyAuth) -> None:
    """Either library takes the object for an `Auth` of its own, and not for a function that only signs."""
    with module.Client(auth=auth) as client:
        taken = client.auth

    assert taken is auth
    assert isinstance(auth, module.Auth)


def test_bodies_are_not_read_by_the_library(auth: FoxyAuth) -> None:
    """R17: neither library is asked to read a body into memory before the flow."""
    assert (auth.requires_request_body, auth.requires_response_body) == (False, False)


@pytest.mark.parametrize("name", ["ByteStream", "MultipartStream", "Upload"])
def test_users_own_stream_is_sent_once(module: Any, auth: FoxyAuth, foxy: Emulator, name: str) -> None:
    """R16: a stream of the user's own class is not taken for one of the library's, whatever its names."""

    class Own(module.SyncByteStream):  # type: ignore[misc]
        def __init__(self) -> None:
            self.fields: list[Any] = []
            self._stream = io.BytesIO(b"all of it")
            self._pieces = iter([self._stream.getvalue()])

        def __iter__(self) -> Iterator[bytes]:
            yield from self._pieces

    Own.__name__ = name
    foxy.revoke_access_tokens()
    with module.Client(auth=auth) as client:
        request = client.build_request("POST", f"{foxy.store_url}/upload", content=iter([b"in its place:"]))
        request.stream = Own()
        status = client.send(request).status_code

    assert (status, [call.body_length for call in foxy.api_calls]) == (401, [len(b"all of it")])
    assert len(foxy.token_calls) == 1


async def test_a_401_that_stalls_is_given_up(module: Any, foxy: Emulator) -> None:
    """R17: a 401 whose body stalls, where the client has no timeout, delays the retry by ours at most."""

    class Stalling(module.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            await anyio.sleep_forever()

    tokens: list[str] = []

    def respond(request: Any) -> Any:
        tokens.append(request.headers["Authorization"])
        return module.Response(401, stream=Stalling()) if len(tokens) == 1 else module.Response(200)

    auth = make_auth(foxy, timeout=0.5)
    async with module.AsyncClient(auth=auth, transport=module.MockTransport(respond), timeout=None) as client:
        with anyio.fail_after(WAIT):
            response = await client.get(foxy.store_url)

    assert (response.status_code, len(set(tokens)), len(foxy.token_calls)) == (200, 2, 1)


@pytest.mark.parametrize("url", [None, "https://api.foxycart.com/"])
def test_request_of_another_library_is_refused(auth: FoxyAuth, url: str | None) -> None:
    """R24: a flow refuses a request that is not of httpx or httpx2, also when the token is fresh."""
    foreign: Any = SimpleNamespace(url=url, headers={}, method="POST")
    with pytest.raises(TypeError, match="httpx and httpx2"):
        next(auth.sync_auth_flow(foreign))
    with pytest.raises(TypeError, match="httpx and httpx2"):
        asyncio.run(start_flow(auth, foreign))

    assert foreign.headers == {}


async def start_flow(auth: FoxyAuth, request: Any) -> None:
    """Run an async flow as far as its first request."""
    await anext(auth.async_auth_flow(request))


def test_call_refuses_the_requests_of_httpx(module: Any, auth: FoxyAuth) -> None:
    """R24: called as a function with a request of httpx, the object says whom it signs for."""
    with pytest.raises(TypeError):
        auth(module.Request("GET", "https://api.foxycart.com/"))


ALIASED = """
import httpx2
httpx2.alias_httpx()
import httpx
from foxy_auth import Environment, FoxyAuth, Token

assert httpx.Client is httpx2.Client
auth = FoxyAuth(client_id="c", client_secret="s", token=Token("FakeAccess", refresh_token="r"))
sent = []
transport = httpx.MockTransport(lambda request: sent.append(request) or httpx.Response(200))
with httpx.Client(auth=auth, transport=transport) as client:
    client.get("https://api.foxycart.com/")
print(sent[0].headers["Authorization"])
"""


def test_httpx2_may_be_imported_as_httpx() -> None:
    """After `httpx2.alias_httpx()` the object works as before."""
    ran = subprocess.run([sys.executable, "-c", ALIASED], capture_output=True, text=True, timeout=60, check=False)

    assert (ran.stdout, ran.stderr) == ("Bearer FakeAccess\n", "")


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_one_object_serves_all_at_once(library: str, foxy: Emulator) -> None:
    """R7: one object in a sync client, in an async one and in requests makes one refresh for all."""
    module = import_module(library)
    requests = import_module("requests")
    foxy.rotate_refresh_tokens = True
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token)

    async def get_async() -> int:
        async with module.AsyncClient(auth=auth) as client:
            return int((await client.get(foxy.store_url)).status_code)

    def get_sync() -> int:
        with module.Client(auth=auth) as client:
            return int(client.get(foxy.store_url).status_code)

    async def use() -> list[int]:
        by_requests = asyncio.to_thread(requests.get, foxy.store_url, auth=auth)
        first, second, response = await asyncio.gather(get_async(), asyncio.to_thread(get_sync), by_requests)
        return [first, second, response.status_code]

    assert (asyncio.run(use()), len(foxy.token_calls)) == ([200] * 3, 1)
