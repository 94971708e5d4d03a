"""The command: options in, a report out, and the exit status 1 if a promise was broken."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from random import Random, SystemRandom
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
from soak.crew import Crew
from soak.disturbances import Disturbances
from soak.logins import Logins
from soak.plan import Addresses, Plan
from soak.provider import Provider
from soak.stores import open_stores
from soak.verdict import Verdict
from support.servers import running


def main() -> int:
    """Soak, and report."""
    options = _options()
    plan = Plan(options.minutes * 60, options.seed, options.processes)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    _write(f"seed {plan.seed}, {plan.seconds:g} s, Python {platform.python_version()}, {os.cpu_count()} processors")
    try:
        verdict = soak(plan)
    except pytest.skip.Exception as missing:  # how the servers of the tests say so
        sys.exit(str(missing))
    for line in verdict.lines():
        _write(line)
    for broken in verdict.broken:
        _write(f"BROKEN {broken}")
    return int(bool(verdict.broken))


def _options() -> Namespace:
    parser = ArgumentParser(prog="python tests/soak", description="Keep many programs at work under faults.")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long there are faults (30)")
    parser.add_argument("--processes", type=int, default=3, help="how many processes are killed now and then (3)")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(2**32), help="of the faults (random)")
    return parser.parse_args()


def soak(plan: Plan) -> Verdict:
    """Run everything for the time of *plan*."""
    with TemporaryDirectory(prefix="foxy-auth-soak-") as folder, Provider(plan.seed) as provider:
        for redis in running("redis"):
            sqlite, foxy = str(Path(folder, "tokens.db")), provider.emulator
            addresses = Addresses(foxy.url, foxy.store_url, foxy.client_id, foxy.client_secret, redis.url, sqlite)
            with Logins(provider, open_stores(redis.url, sqlite, lambda **_: None)):
                crew = Crew(addresses, mortals=plan.mortals, seed=plan.seed)
                try:
                    random = Random(plan.seed)  # noqa: S311 - faults are no secrets
                    return _soak(plan, Disturbances(provider, redis, sqlite, crew, random, plan.scale))
                finally:
                    crew.kill()
        raise AssertionError


def _soak(plan: Plan, disturbances: Disturbances) -> Verdict:
    provider, crew, ended = disturbances.provider, disturbances.crew, Event()
    Thread(target=_keep_clear, args=(provider, ended), daemon=True).start()
    while not all(process.is_at_work for process in crew.processes):
        time.sleep(0.05)
    began = time.monotonic()
    disturbances.run(began + plan.seconds)
    provider.is_calm = True
    time.sleep(plan.calm)
    seconds = time.monotonic() - began
    crew.stop()
    ended.set()
    return Verdict(provider, crew.told, disturbances.outages, seconds)


def _keep_clear(provider: Provider, ended: Event) -> None:
    """Forget the calls that the emulator records; the ledger has what is needed."""
    while not ended.wait(1.0):
        provider.emulator.clear_calls()


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
