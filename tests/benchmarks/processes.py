"""Probes and servers, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.request import urlopen

if TYPE_CHECKING:
    from benchmarks.token_server import Settings

LOOK = 0.02  # seconds from one look at a process to the next
# Proxies and certificates of the machine's are not measured; the peers' token endpoint is on loopback, without TLS.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.lower().endswith(("_proxy", "_ca_bundle"))},
    "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    "PYTHONWARNINGS": "ignore",
    "AUTHLIB_INSECURE_TRANSPORT": "1",
    "OAUTHLIB_INSECURE_TRANSPORT": "1",
}


@dataclass(frozen=True, slots=True)
class Ran:
    """
    What became of a probe.

    Attributes:
        result: What it found; None if it failed or did not end in time.

        threads: How many it had at most, as the system tells; 0 where it does not.

        files: How many files and sockets it had open at most.
    """

    result: Any
    threads: int
    files: int


def run(
    probe: str, arguments: Mapping[str, object], *, limit: float = 300.0, environment: Mapping[str, str] | None = None
) -> Ran:
    """Run a probe, a module of this package, for *limit* seconds at most, and watch it from outside."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{probe}", json.dumps(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, **(environment or {})},
        text=True,
    )
    threads = files = 0
    deadline = time.monotonic() + limit
    while True:
        with suppress(subprocess.TimeoutExpired):
            output, errors = process.communicate(timeout=LOOK)
            if process.returncode > 0:  # it was not killed, but failed
                sys.stderr.write(errors)
            return Ran(None if process.returncode else json.loads(output), threads, files)
        with suppress(OSError):  # no /proc, or the process has just ended
            threads = max(threads, len(list(Path(f"/proc/{process.pid}/task").iterdir())))
            files = max(files, len(list(Path(f"/proc/{process.pid}/fd").iterdir())))
        if time.monotonic() > deadline:
            process.kill()


def report(probe: Callable[..., Any]) -> None:
    """Be the process that `run` waits for."""
    json.dump(probe(**json.loads(sys.argv[1])), sys.stdout)


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Run a token server; give its address."""
    with Talk("token_server", asdict(settings)) as server:
        yield f"{'https' if settings.certificate else 'http'}://127.0.0.1:{server.hear()}"


class Talk:
    """A process that is told and tells lines of text, and ends when there is nothing more to tell it."""

    def __init__(self, module: str, arguments: Mapping[str, object]) -> None:
        """Start a module of this package."""
        command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def hear(self) -> str:
        """Wait for a line."""
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        assert line, "the process has failed"
        return line

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


def issued_tokens(endpoint: str) -> int:
    """Tell how many tokens the server at *endpoint* has issued."""
    with urlopen(endpoint.replace("/token", "/count")) as response:  # noqa: S310 - an address of `serving`
        return int(response.read())
