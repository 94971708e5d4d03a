"""R22: an outage of the token endpoint is the client's own outage, so that what retries those retries ours."""

from __future__ import annotations

import copy
import pickle
import socket
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, get_args

import httpx
import pytest
from clients.grants import make_auth
from support.sources import FakeClock

from foxy_auth import Environment, FoxyAuth, TokenUnavailableError
from foxy_auth._clients.errors import BASES, OUTAGES, client_errors
from foxy_auth._engine.concurrency import Job, start
from foxy_auth.errors import Outage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.drivers import Client, Library

    from foxy_auth.emulator import Emulator

GRANT: Any = {"client_id": "client_Fake", "client_secret": "FakeSecret", "refresh_token": "FakeRefresh"}
TIMEOUT = 0.2  # seconds that a token request may take
# What users of requests and niquests, and of httpx and httpx2, catch.
CAUGHT = {
    "refused": ("ConnectionError", "ConnectError"),
    "silent": ("ReadTimeout", "ReadTimeout"),  # which are a `Timeout` and a `TimeoutException`
    "dropped": ("ConnectionError", "NetworkError"),
    "without TLS": ("ConnectionError", "ConnectError"),
}


@pytest.fixture(params=CAUGHT)
def trouble(request: pytest.FixtureRequest) -> str:
    """Give one trouble after the other."""
    trouble: str = request.param
    return trouble


@pytest.fixture
def environment(trouble: str, foxy: Emulator) -> Iterator[Environment]:
    """Give an environment whose token endpoint has that trouble."""
    endpoint = foxy.environment.token_endpoint
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if trouble == "dropped":
            foxy.drop()
        elif trouble == "without TLS":
            endpoint = endpoint.replace("http:", "https:")
        else:
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/token"
        if trouble == "refused":
            silent.close()
        yield foxy.environment.replace(token_endpoint=endpoint)


@pytest.mark.parametrize("through", ["its own library", "another library"])
def test_outage_is_the_clients_own(
    client: Client, library: Library, environment: Environment, trouble: str, through: str
) -> None:
    """R22: what a client's users retry catches an outage of ours too, whichever library made the token request."""
    expected: Any = getattr(library.module, CAUGHT[trouble][not library.like_requests])
    other = import_module("httpx" if library.like_requests else "requests")
    with ExitStack() as stack:
        http = None
        if through == "another library":
            http = stack.enter_context(getattr(other, "Client" if library.like_requests else "Session")())
        kind = type("ClockedAuth", (FoxyAuth,), {"_clock": FakeClock().clock})
        auth = kind(**GRANT, environment=environment, timeout=TIMEOUT, http=http)
        with pytest.raises(expected) as caught:
            client.get(environment.api, auth=auth)
    error: Any = caught.value
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert isinstance(caught.value, TokenUnavailableError)
    assert str(error.request.url).rstrip("/") == environment.api
    assert error.__cause__ is not None
    assert isinstance(again, expected)
    assert (str(again), type(copy.copy(error))) == (str(error), type(error))


def test_refusal_is_no_outage(client: Client, library: Library, foxy: Emulator) -> None:
    """R22: a response that says no, or later, is neither a lost connection nor a timeout."""
    foxy.fail(503, headers={"Retry-After": "9999"})
    auth = make_auth(foxy, refresh_token="unused")
    with pytest.raises(library.request_error, match="is unavailable") as caught:
        client.get(foxy.store_url, auth=auth)

    names = {kind.__name__ for kind in type(caught.value).__mro__}
    assert names & {name for pair in CAUGHT.values() for name in pair} == set()


def test_our_own_deadline_is_a_timeout() -> None:
    """R22: who waits too long for a job of ours meets a timeout of the client's."""
    job: Job[None] = Job(lambda _: None, timeout=0.0, limit=0.0)
    job.is_submitted = True  # and so it is never begun
    with pytest.raises(httpx.TimeoutException, match="too many token requests"), client_errors("httpx", None):
        start(job).wait()


@pytest.mark.parametrize("library", [name for name in BASES if find_spec(name)])
@pytest.mark.parametrize("outage", get_args(Outage))
def test_every_outage_has_an_error(library: str, outage: Outage) -> None:
    """R22: each kind of outage is an error of each library, beside the one that its users caught before."""
    module, name = BASES[library]
    base: Any = getattr(import_module(module), name)
    with pytest.raises(base) as caught, client_errors(library, None):
        raise TokenUnavailableError("it failed", outage=outage)

    assert OUTAGES[outage][name == "RequestError"] in {kind.__name__ for kind in type(caught.value).__mro__}
