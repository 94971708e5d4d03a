"""Where the engine gets time and chance from: the one seam for tests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


def _chance() -> float:
    """Draw from this process's own generator: a pickled `random.random` would take its state along."""
    return random.random()  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True, slots=True)
class Clock:
    """
    Time and chance.

    Attributes:
        now: Seconds since the epoch, UTC.

        monotonic: Seconds that no clock change affects.

        sleep: Waits for so many seconds.

        chance: A number from 0 to 1.
    """

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = _chance
