"""The processes that work, and what they tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from soak.plan import FEW_TASKS, FEW_THREADS, TASKS, THREADS

if TYPE_CHECKING:
    from soak.plan import Addresses

# Proxies and certificates of the machine's are not what is tested.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.lower().endswith(("_proxy", "_ca_bundle"))},
    "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
}


@dataclass
class Told:
    """
    What one process has told.

    Attributes:
        name: Which one.

        failures: Its failed requests; those after it was told to stop are `last`.

        saved: The digests of the refresh tokens that it saved.

        unsaved: Those that it could not save, at first at least.

        late: From when to when it got no processor time.

        samples: How it was, every second.

        killed_at: When it was killed, in monotonic seconds; infinite if it was not.
    """

    name: str
    failures: list[dict[str, Any]] = field(default_factory=list)
    saved: set[str] = field(default_factory=set)
    unsaved: set[str] = field(default_factory=set)
    late: list[tuple[float, float]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    stopped_at: float = float("inf")
    killed_at: float = float("inf")
    status: int | None = None

    def hear(self, event: dict[str, Any]) -> None:
        """Take a line in."""
        if "saved" in event:
            self.saved.add(event["saved"])
        elif "unsaved" in event:
            self.unsaved.add(event["unsaved"])
        elif "late" in event:
            self.late.append(tuple(event["late"]))
        elif "failure" in event:
            self.failures.append(event)
        elif "requests" in event:
            self.samples.append(event)
        else:
            self.stopped_at = time.monotonic()


class Process:
    """
    A worker.

    Attributes:
        told: What it has told so far.
    """

    def __init__(self, name: str, addresses: Addresses, *, seed: int, threads: int, tasks: int) -> None:
        """Start it."""
        self.told = Told(name)
        task = {"name": name, "addresses": asdict(addresses), "seed": seed, "threads": threads, "tasks": tasks}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soak.worker", json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("}\n"):
                self.told.hear(json.loads(line))
        self.told.status = self._process.wait()

    def kill(self) -> None:
        """Kill it, with no chance to do anything more."""
        self.told.killed_at = time.monotonic()
        self._process.kill()
        self._reader.join()

    def tell_to_stop(self) -> None:
        """Let it end by itself."""
        assert self._process.stdin is not None
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._reader.join()

    @property
    def is_at_work(self) -> bool:
        """Whether it has told anything."""
        return bool(self.told.samples)


class Crew:
    """
    One process that lives to the end, with most threads and tasks, and some that are killed now and then.

    Attributes:
        steady: The one that lives.

        mortals: The others.

        told: What every process has told, also those that were killed.
    """

    def __init__(self, addresses: Addresses, *, mortals: int, seed: int) -> None:
        """Start them."""
        self._addresses, self._seed, self._started = addresses, seed, 0
        self.told: list[Told] = []
        self.steady = self._start("steady", THREADS, TASKS)
        self.mortals = [self._start(f"mortal-{number}", FEW_THREADS, FEW_TASKS) for number in range(mortals)]

    def _start(self, name: str, threads: int, tasks: int) -> Process:
        self._started += 1
        process = Process(
            f"{name}.{self._started}", self._addresses, seed=self._seed + self._started, threads=threads, tasks=tasks
        )
        self.told.append(process.told)
        return process

    @property
    def processes(self) -> Sequence[Process]:
        """Those that live."""
        return [self.steady, *self.mortals]

    def replace(self, number: int) -> None:
        """Kill a mortal one, and start another in its place."""
        self.mortals[number].kill()
        self.mortals[number] = self._start(f"mortal-{number}", FEW_THREADS, FEW_TASKS)

    def stop(self) -> None:
        """Let all end by themselves."""
        for process in self.processes:
            process.tell_to_stop()
        for process in self.processes:
            process.wait()

    def kill(self) -> None:
        """End whatever still runs."""
        for process in self.processes:
            if process.told.status is None:
                process.kill()
