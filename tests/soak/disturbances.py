"""What goes wrong: endpoint, stores, processes and tokens, in random order and at random times."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soak.crew import Crew
    from soak.provider import Provider
    from support.servers import Server

GAP = 3.0  # seconds from one disturbance to the next, on average
# Seconds of a store's outage: less than a token that is not saved yet is tried for under the lock (reference/stores.md,
# "If the store is down"), which is two timeouts.
OUTAGE = (0.5, 4.0)
SQLITE_OUTAGE = (0.5, 8.0)  # SQLite itself waits five seconds
STORM = (2.0, 8.0)


@dataclass(slots=True)
class Outage:
    """When something was disturbed, in monotonic seconds."""

    what: str
    began: float
    ended: float = float("inf")


@dataclass
class Disturbances:
    """
    Makes them.

    Attributes:
        scale: What all durations are multiplied by.

        outages: What was disturbed when.
    """

    provider: Provider
    redis: Server
    sqlite: str
    crew: Crew
    random: Random
    scale: float = 1.0
    outages: list[Outage] = field(default_factory=list)

    def run(self, until: float) -> None:
        """Disturb, each kind as often as the others, until an instant in monotonic seconds."""
        kinds: list[Callable[[], object]] = []
        while True:
            time.sleep(self.scale * self.random.expovariate(1 / GAP))
            if time.monotonic() >= until:
                return
            if not kinds:
                kinds = [self.storm, self.restart_redis, self.freeze_redis, self.lock_sqlite, self.revoke]
                kinds += [self.kill] if self.crew.mortals else []
                self.random.shuffle(kinds)
            kinds.pop()()

    def storm(self) -> None:
        """Let most token requests meet a fault for a while."""
        with self._outage("endpoint"):
            self.provider.storm_until = time.monotonic() + self._draw(STORM)

    def restart_redis(self) -> None:
        """Stop Redis, and start it again."""
        with self._outage("redis"):
            self.redis.stop()
            time.sleep(self._draw(OUTAGE))
            self.redis.start()

    def freeze_redis(self) -> None:
        """Suspend Redis for a while."""
        with self._outage("redis"):
            self.redis.freeze()
            time.sleep(self._draw(OUTAGE))
            self.redis.thaw()

    def lock_sqlite(self) -> None:
        """Lock the whole SQLite database for a while."""
        with closing(sqlite3.connect(self.sqlite, timeout=30.0, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            with self._outage("sqlite"):
                time.sleep(self._draw(SQLITE_OUTAGE))
                database.execute("ROLLBACK")

    def revoke(self) -> None:
        """Revoke all access tokens."""
        with self._outage("access tokens"):
            self.provider.emulator.revoke_access_tokens()

    def kill(self) -> None:
        """Kill a process, and start another in its place."""
        with self._outage("process"):
            self.crew.replace(self.random.randrange(len(self.crew.mortals)))

    @contextmanager
    def _outage(self, what: str) -> Iterator[None]:
        outage = Outage(what, time.monotonic())
        self.outages.append(outage)
        yield
        outage.ended = time.monotonic()

    def _draw(self, seconds: tuple[float, float]) -> float:
        return self.scale * self.random.uniform(*seconds)
