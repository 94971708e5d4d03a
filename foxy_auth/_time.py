"""
Time as the package sees it.

It is asked for anew each time: freezegun puts another `time.time` in its place, and `FoxyClock` puts itself there.
Waits and their deadlines go by `monotonic`, which neither of them stops: otherwise no wait would end. freezegun knows
functions by their identity, so that one comes out of a second copy of the module `time`.
"""

from __future__ import annotations

import time as _system
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import module_from_spec
from typing import Any

_spec: Any = _system.__spec__
_real: Any = module_from_spec(_spec)
_spec.loader.exec_module(_real)

# What tells the time of day, and how much time has passed between events.
_wall: Any = _system
_stopwatch: Any = _real


def now() -> float:
    """Return seconds since the epoch, UTC."""
    seconds: float = _wall.time()
    return seconds


def elapsed() -> float:
    """Return seconds that no clock change affects, for what is due after a while."""
    seconds: float = _stopwatch.monotonic()
    return seconds


def sleep(seconds: float) -> None:
    """Pause."""
    _wall.sleep(seconds)


def monotonic() -> float:
    """Return seconds that really pass, for waits and their deadlines."""
    seconds: float = _real.monotonic()
    return seconds


@contextmanager
def told_by(clock: Any) -> Generator[None]:
    """Let *clock* tell the time, with the functions `time`, `monotonic` and `sleep`, to all objects that there are."""
    global _wall, _stopwatch  # noqa: PLW0603 - objects that exist already follow, too
    before = _wall, _stopwatch
    _wall = _stopwatch = clock
    try:
        yield
    finally:
        _wall, _stopwatch = before
