"""Where the engine gets time and chance from: the one seam for its tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from foxy_auth import _time


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

    now: Callable[[], float] = _time.now
    monotonic: Callable[[], float] = _time.elapsed
    sleep: Callable[[float], None] = _time.sleep
    chance: Callable[[], float] = _chance
