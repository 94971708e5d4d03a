"""When a process got no processor time: then its deadlines say nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK = 0.1  # seconds
LATE = 0.5  # seconds; half of what the verdict allows for


def watch(tell: Callable[[float, float], object]) -> None:
    """Tell, for ever, from when to when this process was kept from running."""
    while True:
        before = time.monotonic()
        time.sleep(LOOK)
        if (after := time.monotonic()) > before + LOOK + LATE:
            tell(before, after)
