"""A crowd: many calls at once that all need a new token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import requests

from foxy_auth.auth import FoxyAuth
from foxy_auth.cli.demo._scene import Finding, Scene
from foxy_auth.cli.demo._stage import OK, PATIENCE, Stage

THREADS = 25
TASKS = 25
CALLS = THREADS + TASKS
TOKEN_CALL = 0.4  # seconds: long enough for all to come while it is under way


def _play(stage: Stage) -> Iterator[Finding]:
    watch = stage.watch()
    stage.foxy.expire_access_tokens()
    stage.foxy.delay(TOKEN_CALL)
    with stage.auth_with(left=-60) as auth:
        started = asyncio.run(_Crowd(auth, stage.foxy.store_url).call())
    answered = watch.answers.count(OK)
    landed_at = max((call.answered_at or 0 for call in watch.token_calls), default=0)
    waited = sum(started_at < landed_at for started_at in started)
    yield Finding.same("calls that waited for the token", expected=CALLS, seen=waited)
    yield Finding.same("token calls", expected=1, seen=len(watch.token_calls))
    yield Finding.same("calls answered with 200", expected=CALLS, seen=answered)
    yield Finding.same("calls answered otherwise", expected=0, seen=len(watch.answers) - answered)
    used = {call.access_token for call in watch.api_calls}
    yield Finding.same("different access tokens used", expected=1, seen=len(used))


class _Crowd:
    """Calls from threads, by requests, and from tasks, by httpx, that share one object."""

    def __init__(self, auth: FoxyAuth, url: str) -> None:
        self._auth = auth
        self._url = url
        self._started: list[float] = []

    async def call(self) -> list[float]:
        """Make all calls at once; return when each began, in seconds since the epoch."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS) as pool:
            async with httpx.AsyncClient(auth=self._auth, timeout=PATIENCE) as client:
                threads = [loop.run_in_executor(pool, self._call) for _ in range(THREADS)]
                await asyncio.gather(*threads, *(self._acall(client) for _ in range(TASKS)))
        return self._started

    def _call(self) -> None:
        self._started.append(time.time())
        requests.get(self._url, auth=self._auth, timeout=PATIENCE)

    async def _acall(self, client: httpx.AsyncClient) -> None:
        self._started.append(time.time())
        await client.get(self._url)


CROWD = Scene(
    title=f"{CALLS} calls at once, on an expired token",
    story=(
        f"The access token expired a minute ago. {THREADS} threads with requests and {TASKS} tasks with httpx need a "
        f"new one at the same moment, and the token endpoint takes its time."
    ),
    play=_play,
)
