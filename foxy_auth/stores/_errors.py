"""How a store reports what goes wrong."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from foxy_auth.errors import StoreError


@contextmanager
def store_errors(place: object, action: str, advice: str) -> Generator[None]:
    """Raise any error as a `StoreError`, except the `TimeoutError` of a lock; for *action* see the message."""
    try:
        yield
    except Exception as error:
        if isinstance(error, StoreError) or (action == "locked" and isinstance(error, TimeoutError)):
            raise
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise StoreError(f"{place} cannot be {action} ({reason}); {advice}") from error
