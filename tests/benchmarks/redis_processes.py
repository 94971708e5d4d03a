"""Processes that share one record in Redis: how long they take to get its new token, by how many token requests."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from benchmarks.contestants import FOXY, foxy_auths
from benchmarks.processes import Talk, issued_tokens
from benchmarks.readings import Reading
from benchmarks.setting import Setting

if TYPE_CHECKING:
    from benchmarks.plan import Plan

WAITING = "processes on one Redis record: until all have the token, ms"
SIZES = (1, 2, 4, 8, 16, 32)


def measure(plan: Plan) -> Iterator[Reading]:
    """Grow the crowd; nothing without a `redis-server`."""
    if program := shutil.which("redis-server"):
        with _redis(program) as port:
            for size in SIZES[: 4 if plan.quick else None]:
                found = [_together(plan.endpoint, port, size, trial) for trial in range(plan.repetitions)]
                note = f"{max(issued for _, issued in found)} token requests"
                yield Reading.of(
                    WAITING, str(size), FOXY, [seconds * 1e3 for seconds, _ in found], size=size, note=note
                )


def _together(endpoint: str, port: int, size: int, trial: int) -> tuple[float, int]:
    """Start processes, let all begin at once, and wait for the last."""
    arguments = {"endpoint": endpoint, "port": port, "key": f"foxy:{size}:{trial}"}
    with ExitStack() as stack:
        processes = [stack.enter_context(Talk("redis_processes", arguments)) for _ in range(size)]
        for process in processes:
            process.hear()
        issued, start = issued_tokens(endpoint), time.perf_counter()
        for process in processes:
            process.tell("go")
        for process in processes:
            process.hear()
        return time.perf_counter() - start, issued_tokens(endpoint) - issued


@contextmanager
def _redis(program: str) -> Iterator[int]:
    """Run a Redis that keeps nothing; give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        while "Ready to accept connections" not in (line := process.stdout.readline()):
            assert line, "redis-server did not start"
        yield port
        process.terminate()


def probe(endpoint: str, port: int, key: str) -> None:
    """Be one of the processes."""
    from redis import Redis

    from foxy_auth.stores import RedisStore

    setting = Setting("requests", endpoint, remaining=-1.0)
    auth = foxy_auths(setting, lambda name: RedisStore(Redis(port=port, socket_timeout=5), name))(key)
    for line in ("ready", "done"):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if line == "ready":
            sys.stdin.readline()
            auth.get_token()


if __name__ == "__main__":
    probe(**json.loads(sys.argv[1]))
