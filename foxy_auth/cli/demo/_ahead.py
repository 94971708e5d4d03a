"""Ahead of expiry: a refresh that nobody waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from foxy_auth.auth import FoxyAuth
from foxy_auth.cli.demo._scene import Finding, Scene
from foxy_auth.cli.demo._stage import OK, PATIENCE, Stage, Watch

LEFT = 200.0  # seconds: within the 300 s in which a refresh is due, outside the 60 s in which requests wait for it
TOKEN_CALL = 1.0  # seconds
LONGEST = 4.0  # seconds of traffic, should there be no refresh
PAUSE = 0.01  # seconds between two requests
AFTERWARDS = 10  # requests that are to be seen with the new token


def _play(stage: Stage) -> Iterator[Finding]:
    watch = stage.watch()
    stage.foxy.delay(TOKEN_CALL)
    with stage.auth_with(left=LEFT) as auth:
        waits = _steady_traffic(auth, stage.foxy.store_url, watch)
    yield Finding.same("token calls", expected=1, seen=len(watch.token_calls))
    yield Finding.from_on("the token call took", least=TOKEN_CALL, seen=_duration(watch))
    yield Finding.below(f"the slowest of {len(waits)} requests took", limit=TOKEN_CALL / 2, seen=max(waits))
    yield Finding.same("requests not answered with 200", expected=0, seen=len(waits) - watch.answers.count(OK))
    used = dict.fromkeys(call.access_token for call in watch.api_calls)
    yield Finding.same("access tokens in use, old and new", expected=2, seen=len(used))


def _steady_traffic(auth: FoxyAuth, url: str, watch: Watch) -> list[float]:
    """Send one request after the other until the refresh is over, and some more; return how long each took."""
    waits: list[float] = []
    until = time.monotonic() + LONGEST
    left = AFTERWARDS
    with httpx.Client(auth=auth, timeout=PATIENCE) as client:
        while left and time.monotonic() < until:
            started_at = time.perf_counter()
            client.get(url)
            waits.append(time.perf_counter() - started_at)
            time.sleep(PAUSE)
            left -= any(call.answered_at for call in watch.token_calls)
    return waits


def _duration(watch: Watch) -> float:
    calls = watch.token_calls
    return max((call.answered_at or 0) - call.arrived_at for call in calls) if calls else 0.0


AHEAD = Scene(
    title="A refresh ahead of expiry, that nobody waits for",
    story=(
        f"The access token has {LEFT:g} s left of its two hours. It is refreshed while traffic goes on with it, and "
        f"although the token call takes {TOKEN_CALL:g} s, no request does."
    ),
    play=_play,
)
