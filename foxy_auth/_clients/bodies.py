"""Whether the body of a request can be sent again (R16), for all client libraries."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any


def start_of(body: Any) -> int | None:
    """
    Return where a file begins that is about to be sent; None if *body* is no file that can be taken back.

    Asynchronous files are none: they would have to be taken back asynchronously.
    """
    if not hasattr(body, "tell") or iscoroutinefunction(body.tell):
        return None
    try:
        return int(body.tell())
    except Exception:  # noqa: BLE001 - whatever a user's file raises, it cannot be taken back
        return None


def rewind(file: Any, start: int | None) -> bool:
    """Take *file* back to *start*; tell whether that was possible."""
    if start is None:
        return False
    try:
        file.seek(start)
    except Exception:  # noqa: BLE001 - a pipe after all, or closed
        return False
    return True
