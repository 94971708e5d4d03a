"""
A program with threads and tasks that use the API for all tenants.

It is told `stop` on stdin, and tells lines of JSON: each failed request, each token saved, and how it is every second.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import httpx
import requests
from soak.lateness import watch
from soak.plan import LONGEST_WAIT, NAMES, TIMEOUT, Addresses
from soak.stores import open_stores

from foxy_auth import Environment, FoxyAuth
from foxy_auth.errors import LoginRequiredError, StoreError, TokenRefusedError, TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = (LoginRequiredError, StoreError, TokenRefusedError, TokenUnavailableError)
THREAD_PAUSE, TASK_PAUSE = 0.5, 4.0  # seconds between two requests of one, on average
API_TIMEOUT = 30.0  # seconds
ENDING = 90.0  # seconds that the last requests may take


class Worker:
    """The program."""

    def __init__(self, name: str, addresses: Addresses, seed: int) -> None:
        """Make the auth objects; the token endpoint's query names this program."""
        self._url = addresses.resource
        self._random = Random(seed)  # noqa: S311 - the order of requests is no secret
        self._stopping = Event()
        self._lock = Lock()
        self._requests, self._longest = 0, 0.0
        stores = open_stores(addresses.redis, addresses.sqlite, tell)
        self._auths: dict[str, FoxyAuth] = {}
        for tenant in NAMES:
            kind, key = tenant.split("/")
            self._auths[tenant] = FoxyAuth(
                client_id=addresses.client_id,
                client_secret=addresses.client_secret,
                environment=Environment(api=addresses.api, token_endpoint=f"{addresses.api}/token?{name}"),
                store=stores[kind].for_key(key),
                timeout=TIMEOUT,
            )

    def run(self, threads: int, tasks: int) -> None:
        """Use the API until told to stop; then once more for each tenant."""
        Thread(target=self._listen, daemon=True).start()
        Thread(target=self._sample, daemon=True).start()
        Thread(target=watch, args=(lambda began, ended: tell(late=[began, ended]),), daemon=True).start()
        users = [
            Thread(target=self._use_in_thread, args=(make_client,))
            for number in range(threads)
            for make_client in [(requests.Session, httpx.Client)[number % 2]]
        ]
        for user in users:
            user.start()
        asyncio.run(self._use_in_tasks(tasks))
        for user in users:
            user.join()
        self._use_each_once()

    def _use_in_thread(self, make_client: Callable[[], Any]) -> None:
        with make_client() as client:
            while not self._stopping.wait(self._random.expovariate(1 / THREAD_PAUSE)):
                self._use(client, self._random.choice(NAMES))

    def _use(self, client: Any, tenant: str) -> None:
        began, error = time.monotonic(), None
        try:
            status = client.get(self._url, auth=self._auths[tenant], timeout=API_TIMEOUT).status_code
        except Exception as raised:  # noqa: BLE001 - each is explained later
            status, error = 0, raised
        self._record(tenant, began, status, error)

    async def _use_in_tasks(self, count: int) -> None:
        stopping = asyncio.Event()
        async with (
            httpx.AsyncClient(timeout=API_TIMEOUT, limits=httpx.Limits()) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(count):
                group.create_task(self._use_in_task(client, stopping))
            await asyncio.to_thread(self._stopping.wait)
            stopping.set()

    async def _use_in_task(self, client: httpx.AsyncClient, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._random.expovariate(1 / TASK_PAUSE))
                return
            tenant = self._random.choice(NAMES)
            began, error = time.monotonic(), None
            try:
                status = (await client.get(self._url, auth=self._auths[tenant])).status_code
            except Exception as raised:  # noqa: BLE001 - as above
                status, error = 0, raised
            self._record(tenant, began, status, error)

    def _use_each_once(self) -> None:
        with requests.Session() as client, ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda tenant: self._use(client, tenant), NAMES))
            list(pool.map(lambda auth: auth.close(), self._auths.values()))

    # --- what is told ------------------------------------------------------------------------------------------------

    def _record(self, tenant: str, began: float, status: int, error: Exception | None) -> None:
        ended = time.monotonic()
        with self._lock:
            self._requests += 1
            self._longest = max(self._longest, ended - began)
        if status != 200:
            kind = next((kind.__name__ for kind in KINDS if isinstance(error, kind)), type(error).__name__)
            text = str(error) if error else ""
            kind = kind if error else f"status {status}"
            futile = self._auths[tenant]._source.is_refresh_futile
            tell(failure=kind, tenant=tenant, began=began, ended=ended, text=text, futile=futile)
        if ended - began > LONGEST_WAIT:
            tell(failure="waited too long", tenant=tenant, began=began, ended=ended, text="")

    def _listen(self) -> None:
        sys.stdin.readline()
        tell(stopping=True)
        self._stopping.set()
        time.sleep(ENDING)
        os._exit(3)

    def _sample(self) -> None:
        while True:
            tell(
                requests=self._requests,
                longest=self._longest,
                threads=len(list(Path("/proc/self/task").iterdir())),
                files=len(list(Path("/proc/self/fd").iterdir())),
                memory=int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE"),
            )
            time.sleep(1.0)


def tell(**event: object) -> None:
    """Write a line at once, and whole: what was written before a `kill -9` is heard."""
    os.write(1, f"{json.dumps(event)}\n".encode())


if __name__ == "__main__":
    logging.getLogger("foxy_auth").addHandler(logging.NullHandler())
    task = json.loads(sys.argv[1])
    Worker(task["name"], Addresses(**task["addresses"]), task["seed"]).run(task["threads"], task["tasks"])
