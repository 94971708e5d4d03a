"""Many grants in one process whose tokens have all expired: few token requests at a time, in order."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import requests
from support.provider import running_provider

from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.provider import Provider

    from foxy_auth import FoxyAuth, Token

TENANTS = {"asyncio": 150, "trio": 150, "threads": 100}
RING = 100  # tenants; far more than the token requests that may be under way
AT_ONCE = 32  # token requests that may be under way in a process
THREADS = 40  # that the package may have
DEADLINE = 30.0  # seconds; far more than it takes without a deadlock
DELAY = 0.05  # seconds that a token request takes


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Run a provider."""
    with running_provider(delay=DELAY) as provider:
        yield provider


class Callers:
    """
    Callers of the API, one for each tenant, all at the same time.

    Attributes:
        began: The tenants, in the order in which their requests began.

        client: The client of callers on an event loop.
    """

    client: httpx.AsyncClient

    def __init__(self, provider: Provider, auths: dict[str, FoxyAuth]) -> None:
        """Call *provider* with the auth object of each tenant."""
        self._provider, self._auths = provider, auths
        self.began: list[str] = []

    def call(self, callers: str) -> list[int]:
        """Call from as many threads, or tasks on an event loop; return the statuses."""
        if callers == "threads":
            return self._call_from_threads()
        return anyio.run(self._call_from_tasks, backend=callers)

    def _call_from_threads(self) -> list[int]:
        start = threading.Barrier(len(self._auths))

        def call(tenant: str) -> int:
            start.wait(DEADLINE)
            self.began.append(tenant)
            return get(self._provider, tenant, self._auths[tenant])

        with ThreadPoolExecutor(len(self._auths)) as threads:
            return list(threads.map(call, self._auths))

    async def _call_from_tasks(self) -> list[int]:
        statuses: list[int] = []

        async def call(tenant: str) -> None:
            self.began.append(tenant)
            statuses.append(await aget(self.client, self._provider, tenant, self._auths[tenant]))

        unlimited = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(limits=unlimited, timeout=DEADLINE) as self.client,
            anyio.create_task_group() as group,
        ):
            for tenant in self._auths:
                group.start_soon(call, tenant)
        return statuses


def get(provider: Provider, tenant: str, auth: FoxyAuth) -> int:
    """Call the API for *tenant*."""
    return requests.get(provider.api_url(tenant), auth=auth, timeout=DEADLINE).status_code


async def aget(client: httpx.AsyncClient, provider: Provider, tenant: str, auth: FoxyAuth) -> int:
    """Call the API for *tenant*, on an event loop."""
    return (await client.get(provider.api_url(tenant), auth=auth)).status_code


@contextmanager
def counting_threads() -> Iterator[list[int]]:
    """Poll the number of threads; the list holds the largest."""
    most, done = [0], threading.Event()

    def count() -> None:
        while not done.wait(0.002):
            most[0] = max(most[0], threading.active_count())

    counter = threading.Thread(target=count)
    counter.start()
    try:
        yield most
    finally:
        done.set()
        counter.join()


@pytest.mark.parametrize("callers", ["threads", "asyncio", "trio"])
def test_all_tokens_have_expired(provider: Provider, callers: str) -> None:
    """R7: Each tenant makes one token request; few run at a time, in few threads and in the callers' order."""
    tenants = [f"tenant{number}" for number in range(TENANTS[callers])]
    crowd = Callers(provider, {tenant: provider.auth(tenant, timeout=DEADLINE) for tenant in tenants})
    of_callers = len(tenants) if callers == "threads" else 0
    with counting_threads() as threads:
        before = threading.active_count() + of_callers
        statuses = crowd.call(callers)
    report = provider.report()
    served = [request["tenant"] for request in report["token_requests"]]
    begun = {tenant: crowd.began.index(tenant) for tenant in tenants}
    quarter = len(tenants) // 4
    early, late = served[:quarter], served[-quarter:]

    assert statuses == [200] * len(tenants)
    assert sorted(served) == sorted(tenants)
    assert threads[0] - before <= THREADS
    assert report["most_under_way"] <= AT_ONCE
    if callers != "threads":  # which the system holds up after they have begun, in whatever order
        assert 2 * sum(map(begun.__getitem__, early)) < sum(map(begun.__getitem__, late))


# --- callbacks and stores that need another tenant's token ---------------------------------------------------------


class CallingStore(MemoryStore):
    """A store that calls a function before it saves."""

    def __init__(self, call: Callable[[], object]) -> None:
        """Call *call* before each save."""
        super().__init__()
        self._call = call

    def save(self, token: Token) -> None:
        """Call the function, and save."""
        self._call()
        super().save(token)


@pytest.mark.parametrize(
    ("callers", "through"),
    [
        ("threads", "callback"),
        ("threads", "store"),
        ("asyncio", "callback"),
        ("asyncio", "store"),
        ("asyncio", "async callback"),
        ("trio", "async callback"),
    ],
)
def test_callbacks_and_stores_that_need_another_tenant(provider: Provider, callers: str, through: str) -> None:
    """R20: A hundred tenants whose callbacks or stores each need the next tenant's token do not deadlock."""
    inner_statuses: list[int] = []
    auths: dict[str, FoxyAuth] = {}

    def options(number: int) -> dict[str, Any]:
        name = f"tenant{(number + 1) % RING}"

        def call_next(_: object = None) -> None:
            inner_statuses.append(get(provider, name, auths[name]))

        async def call_next_async(_: object) -> None:
            inner_statuses.append(await aget(crowd.client, provider, name, auths[name]))

        if through == "store":
            return {"store": CallingStore(call_next)}
        return {"on_token": call_next if through == "callback" else call_next_async}

    for number in range(RING):
        auths[f"tenant{number}"] = provider.auth(f"tenant{number}", timeout=5.0, **options(number))
    crowd = Callers(provider, auths)
    began_at = time.monotonic()
    statuses = crowd.call(callers)
    for auth in auths.values():
        auth.close()
    taken = time.monotonic() - began_at

    assert statuses == [200] * RING
    assert inner_statuses == [200] * RING
    assert taken < DEADLINE
    assert len(provider.report()["token_requests"]) == RING
