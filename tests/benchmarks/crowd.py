"""
One event loop, and a crowd on it: tenants whose tokens have all expired, or tasks that wait for one refresh.

The API is behind a null transport and the token endpoint, in another process, takes 100 ms, so that only tokens cost.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from resource import getpagesize
from typing import TYPE_CHECKING, Any

from benchmarks.contestants import CONTESTANTS, FOXY, FOXY_TOKEN, STATIC, make
from benchmarks.processes import issued_tokens, report, run
from benchmarks.readings import Reading
from benchmarks.setting import Setting

if TYPE_CHECKING:
    from benchmarks.plan import Plan

TICK = 0.005  # seconds
SIZES = (1, 10, 100, 500, 2000, 5000, 10_000)
SMALL = 4  # sizes, for a first impression
LARGE = 500  # tenants: fewer occupy less memory than happens to be free; the case of more is not repeated
# Authlib has a client for each tenant; httpx-auth blocks the loop for each.
TENANTS = {FOXY: 10_000, FOXY_TOKEN: 10_000, "Authlib": 2000, "httpx-auth": 100}
CALLERS = (STATIC, FOXY, "Authlib", "httpx-auth")
MEASURES = {
    "rate": "tenants on one event loop: tokens per second",
    "stall": "tenants on one event loop: longest stall, ms",
    "threads": "tenants on one event loop: threads at most",
    "files": "tenants on one event loop: open files at most",
    "construction": "tenants: construction of each, µs",
    "memory": "tenants: memory of each, kB",
}
WAITING = {"milliseconds": "tasks on one refresh: until all have their responses, ms"}


def measure_tenants(plan: Plan) -> Iterator[Reading]:
    """Grow the crowd of tenants, each with one request, until a contestant does not end in time."""
    for name, most in TENANTS.items():
        for size in SIZES[: SMALL if plan.quick else None]:
            if size > most or not CONTESTANTS[name].installed:
                break
            trials = _run(plan, name, tenants=size, callers=1)
            yield from _readings(trials, MEASURES, name, size)
            if not trials:
                break


def measure_waiting(plan: Plan) -> Iterator[Reading]:
    """Grow the crowd of tasks that need the same token."""
    for name in (name for name in CALLERS if CONTESTANTS[name].installed):
        for size in SIZES[: SMALL if plan.quick else -1]:
            yield from _readings(_run(plan, name, tenants=1, callers=size), WAITING, name, size)


def _run(plan: Plan, name: str, *, tenants: int, callers: int) -> list[dict[str, float]]:
    """Repeat a trial; return what those that end in time have found."""
    arguments = {"name": name, "endpoint": plan.endpoint, "tenants": tenants, "callers": callers}
    trials = []
    for _ in range(plan.repetitions if tenants <= LARGE else 1):
        issued = issued_tokens(plan.endpoint)
        ran = run("crowd", arguments, limit=plan.limit)
        if ran.result:
            more = {"threads": ran.threads, "files": ran.files, "issued": issued_tokens(plan.endpoint) - issued}
            trials.append({**ran.result, **more})
    return trials


def _readings(trials: list[dict[str, float]], measures: dict[str, str], name: str, size: int) -> Iterator[Reading]:
    notes = {f"{trial['issued']:,} token requests, {trial['failed']:,} failed" for trial in trials}
    for what, measure in measures.items():
        if what != "memory" or size >= LARGE:
            yield Reading.of(
                measure, f"{size:,}", name, [trial[what] for trial in trials], size=size, note="; ".join(sorted(notes))
            )


def probe(name: str, endpoint: str, tenants: int, callers: int) -> dict[str, Any]:
    """Make *tenants*, and send *callers* requests of each at once."""
    return asyncio.run(_probe(name, endpoint, tenants, callers))


async def _probe(name: str, endpoint: str, tenants: int, callers: int) -> dict[str, Any]:
    setting = Setting("httpx async", endpoint, remaining=-1.0)
    tenant = make(setting, name)[name]
    tenant("the first, which imports")
    gc.collect()
    memory, start = _memory(), time.perf_counter()
    sends = [tenant(str(number)) for number in range(tenants)]
    construction = time.perf_counter() - start
    gc.collect()
    memory = _memory() - memory
    late: list[float] = []
    ticker = asyncio.create_task(_tick(late))
    await asyncio.sleep(0)
    start = time.perf_counter()
    requests = [send() for send in sends for _ in range(callers)]
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    seconds = time.perf_counter() - start
    await asyncio.sleep(2 * TICK)  # for the last stall to end
    ticker.cancel()
    failed = sum(isinstance(outcome, BaseException) for outcome in outcomes)
    return {
        "construction": construction / tenants * 1e6,
        "memory": memory / tenants / 1000,
        "milliseconds": seconds * 1e3,
        "rate": (tenants * callers - failed) / seconds,
        "stall": max(late) * 1e3,
        "failed": failed,
    }


async def _tick(late: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK
        await asyncio.sleep(TICK)
        late.append(loop.time() - due)


def _memory() -> int:
    """Tell how many bytes this process occupies; 0 where the system does not tell."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * getpagesize()
    return 0


if __name__ == "__main__":
    report(probe)
