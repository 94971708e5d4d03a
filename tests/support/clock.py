"""A clock for the engine that tests turn by hand."""

from __future__ import annotations

from threading import Lock

from foxy_auth._engine.clock import Clock


class FakeClock:
    """
    Time that passes only when somebody sleeps or a test says so.

    Attributes:
        sleeps: The seconds of each sleep so far.

        chance: What the engine draws, from 0 to 1.
    """

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        """Start *at* seconds after the epoch."""
        self._lock = Lock()
        self._now = at
        self._monotonic = 0.0
        self.sleeps: list[float] = []
        self.chance = 0.0

    def now(self) -> float:
        """Return the wall clock's time."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Return how much time has really passed."""
        with self._lock:
            return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += seconds
            self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Record a sleep, and let its time pass."""
        self.sleeps.append(seconds)
        self.advance(seconds)

    @property
    def clock(self) -> Clock:
        """What the engine takes."""
        return Clock(self.now, self.monotonic, self.sleep, lambda: self.chance)
