"""
What a request with a fresh token costs, beside the same request with two static headers.

The transport responds at once. Each contestant takes turns with the floor in short blocks of one process, so that a
busy machine is unfair to neither; processor time is taken, with garbage collection off. A contestant that is the
floor itself shows how far the method can be trusted.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median
from types import FrameType
from typing import TYPE_CHECKING, Any

from benchmarks.contestants import ALL, BY_HAND, CONTESTANTS, FOXY_TOKEN, STATIC, Send, make
from benchmarks.processes import report, run
from benchmarks.readings import Reading
from benchmarks.setting import HEADERS, Setting

if TYPE_CHECKING:
    from benchmarks.plan import Plan

COST = "request with a fresh token ÷ with two static headers"
CALLS = "Python calls for one request: the auth's own and those it makes"
REQUESTS = 20  # in a block
ROUNDS_IN_A_TURN = 5


def measure_cost(plan: Plan) -> Iterator[Reading]:
    """Compare within each client."""
    for client in ALL:
        pairs = defaultdict[str, list[list[float]]](list)
        for _ in range(plan.repetitions):
            for name, found in _run(plan, client, turns=12 if plan.quick else 50)["pairs"].items():
                pairs[name] += found
        for name, both in pairs.items():
            added = median(mine - floor for floor, mine in both) / (2 * REQUESTS) * 1e6
            yield Reading.of(COST, client, name, [mine / floor for floor, mine in both], note=f"{added:+.1f} µs")


def measure_calls(plan: Plan) -> Iterator[Reading]:
    """Count within each client."""
    for client in ALL:
        counts = _run(plan, client, turns=0)["calls"]
        for name, (own, made, total) in counts.items():
            if own:
                note = f"{own} + {made}; {total - counts[STATIC][-1]:+} in all"
                yield Reading.of(CALLS, client, name, [own + made], note=note)


def _run(plan: Plan, client: str, turns: int) -> dict[str, Any]:
    arguments = {"client": client, "endpoint": plan.endpoint, "turns": turns}
    return run("request_cost", arguments).result or {"pairs": {}, "calls": {}}


def probe(client: str, endpoint: str, turns: int) -> dict[str, Any]:
    """Take the seconds of each contestant, each beside those of the floor, and count the calls of one request."""
    setting = Setting(client, endpoint)
    with asyncio.Runner() as runner:
        sends = {name: tenants("1") for name, tenants in make(setting).items() if name not in {BY_HAND, FOXY_TOKEN}}
        blocks = {}
        for name, send in sends.items():
            _check(name, runner.run(send()) if setting.asynchronous else send())
            blocks[name] = _async_block(runner, send) if setting.asynchronous else _block(send)
        pairs = _take_turns(blocks, turns)
        return {"pairs": pairs, "calls": {name: _count(blocks[name], CONTESTANTS[name].packages) for name in blocks}}


def _check(name: str, response: Any) -> None:
    for header, value in HEADERS.items():
        sent = response.request.headers.get(header, "none")
        assert sent.startswith(value), f"{name} sent {header}: {sent}"


def _block(send: Send) -> Callable[[int], float]:
    def block(requests: int) -> float:
        start = time.process_time()
        for _ in range(requests):
            send()
        return time.process_time() - start

    return block


def _async_block(runner: asyncio.Runner, send: Send) -> Callable[[int], float]:
    async def block(requests: int) -> float:
        start = time.process_time()
        for _ in range(requests):
            await send()
        return time.process_time() - start

    return lambda requests: runner.run(block(requests))


def _take_turns(blocks: dict[str, Callable[[int], float]], turns: int) -> dict[str, list[tuple[float, float]]]:
    """Pair the seconds of each contestant with those of the floor, taken just before and after its own."""
    floor = blocks[STATIC]
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in blocks if name != STATIC}
    for turn in range(turns):
        gc.collect()
        gc.disable()
        for name, found in pairs.items():
            block = blocks[name]
            for number in range(ROUNDS_IN_A_TURN):
                # A B B A: neither is always first, and what drifts evenly cancels out.
                first, mine, mine_again, last = floor(REQUESTS), block(REQUESTS), block(REQUESTS), floor(REQUESTS)
                if turn and number:  # the first ones warm up
                    found.append((first + last, mine + mine_again))
        gc.enable()
    return pairs


def _count(block: Callable[[int], float], packages: tuple[str, ...]) -> tuple[int, int, int]:
    """Count the calls within *packages*, those from there to elsewhere, and all."""
    specs = [find_spec(package) for package in packages]
    folders = tuple(folder for spec in specs if spec for folder in spec.submodule_search_locations or ())
    files: list[tuple[str, str]] = []  # of what is called, and of its caller

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            files.append((frame.f_code.co_filename, frame.f_back.f_code.co_filename if frame.f_back else ""))

    block(REQUESTS)  # fills the caches
    sys.setprofile(note)
    block(1)
    sys.setprofile(None)
    inside = [(called.startswith(folders), caller.startswith(folders)) for called, caller in files]
    return sum(called for called, _ in inside), inside.count((False, True)), len(files)


if __name__ == "__main__":
    report(probe)
