"""Wait, with a deadline, for what another thread or process does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.01  # seconds from one look to the next


def wait_until(condition: Callable[[], object], *, what: str, within: float = 15.0) -> None:
    """Poll until *condition* is true; after *within* seconds, fail and name *what* was waited for."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"waited {within:g} s for {what}"
        time.sleep(POLL)


def job_threads() -> list[threading.Thread]:
    """List the engine's threads that run; one whose start was interrupted never does, and yet Python lists it."""
    return [thread for thread in threading.enumerate() if thread.name == "foxy-auth" and thread.is_alive()]


def wait_for_job_threads(within: float = 30.0) -> None:
    """Wait until the engine's threads have ended."""
    for thread in job_threads():
        thread.join(within)
