"""The first calls: one object in every client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import httpx2
import requests

from foxy_auth.auth import FoxyAuth
from foxy_auth.cli.demo._scene import Finding, Scene
from foxy_auth.cli.demo._stage import OK, PATIENCE, Stage


def _play(stage: Stage) -> Iterator[Finding]:
    watch, url = stage.watch(), stage.foxy.store_url
    with stage.auth_from_refresh_token() as auth:
        yield _answered("requests.get", requests.get(url, auth=auth, timeout=PATIENCE).status_code)
        with httpx.Client(auth=auth, timeout=PATIENCE) as client:
            yield _answered("httpx.Client", client.get(url).status_code)
        yield _answered("httpx.AsyncClient", asyncio.run(_get(url, auth)))
        with httpx2.Client(auth=auth, timeout=PATIENCE) as successor:
            yield _answered("httpx2.Client", successor.get(url).status_code)
    yield Finding.same("token calls, for all of them", expected=1, seen=len(watch.token_calls))


async def _get(url: str, auth: FoxyAuth) -> int:
    async with httpx.AsyncClient(auth=auth, timeout=PATIENCE) as client:
        return (await client.get(url)).status_code


def _answered(client: str, status: int) -> Finding:
    return Finding.same(f"{client} is answered", expected=OK, seen=status)


FIRST_CALLS = Scene(
    title="One object for every client",
    story="We have a refresh token and no access token yet. The first call fetches one, and the others use it.",
    play=_play,
)
