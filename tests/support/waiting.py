"""Wait, with a deadline, for what another thread or process does."""

from __future__ import annotations

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
