"""The command: options in, a table and a picture out."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import crowd, import_cost, redis_processes, refresh_cost, request_cost
from benchmarks.chart import draw
from benchmarks.plan import Plan
from benchmarks.processes import serving
from benchmarks.readings import Reading, by_measure, rounded
from benchmarks.token_server import Settings

MEASURES: dict[str, Callable[[Plan], Iterator[Reading]]] = {
    "request": request_cost.measure_cost,
    "calls": request_cost.measure_calls,
    "import": import_cost.measure,
    "refresh": refresh_cost.measure_cost,
    "threads": refresh_cost.measure_threads,
    "tenants": crowd.measure_tenants,
    "waiting": crowd.measure_waiting,
    "processes": redis_processes.measure,
}
PACKAGES = ("foxy_auth", "requests", "httpx", "httpx2")
PEERS = ("Authlib", "requests-oauthlib", "requests-oauth2client", "google-auth", "httpx-auth", "httpx-oauth2")


def main() -> None:
    """Measure, and show what was found."""
    options = _options()
    # For the servers and probes, which inherit it: a connection for each tenant.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    readings: list[Reading] = []
    with serving(Settings()) as server:
        for name in options.only or MEASURES:
            sys.stderr.write(f"{name} …\n")
            readings += MEASURES[name](Plan(options.quick, f"{server}/token"))
    sys.stdout.write(_json(readings) if options.json else _table(readings))
    if options.svg:
        options.svg.write_text(draw(readings, _machine()), encoding="utf-8")


def _options() -> Namespace:
    parser = ArgumentParser(prog="python tests/benchmarks", description="Compare foxy_auth with its peers.")
    parser.add_argument("--quick", action="store_true", help="a first impression, with fewer trials and small crowds")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the picture into FILE")
    parser.add_argument("--only", action="append", choices=MEASURES, help="measure this; may be given several times")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser.parse_args()


def _json(readings: list[Reading]) -> str:
    return json.dumps({"machine": _machine(), "readings": [asdict(reading) for reading in readings]}, indent=1) + "\n"


def _table(readings: list[Reading]) -> str:
    """Write a paragraph for each measure: median, quartiles, notes."""
    lines = [_machine()]
    for measure, found in by_measure(readings).items():
        lines += ["", measure]
        before = ""
        for reading in found:
            case = reading.case if reading.case != before else ""
            before = reading.case
            lines.append(f"  {case:42} {reading.contestant:26} {_values(reading)}".rstrip())
    return "\n".join(lines) + "\n"


def _values(reading: Reading) -> str:
    if reading.median is None or reading.low is None or reading.high is None:
        return f"{'-':>8} {'':18} {reading.note}"
    spread = f"{rounded(reading.low)} to {rounded(reading.high)}" if reading.low != reading.high else ""
    return f"{rounded(reading.median):>8} {spread:18} {reading.note}"


def _machine() -> str:
    ours, peers = (", ".join(filter(None, map(_version, packages))) for packages in (PACKAGES, PEERS))
    return f"Python {platform.python_version()}, {os.cpu_count()} processors; {ours}; {peers}"


def _version(package: str) -> str:
    with suppress(PackageNotFoundError):
        return f"{package} {version(package)}"
    return ""


if __name__ == "__main__":
    main()
