"""How a store reports what goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

from foxy_auth._secrets import without_secrets
from foxy_auth.errors import StoreError


@contextmanager
def store_errors(place: object, action: str, advice: str) -> Generator[None]:
    """Raise any error as a `StoreError`, except the `TimeoutError` of a lock; for *action* see the message."""
    handled = sys.exception()
    try:
        yield
    except Exception as error:
        if isinstance(error, StoreError) or (action == "locked" and isinstance(error, TimeoutError)):
            raise
        cause = without_secrets(error, spared=handled)
        reason = getattr(cause, "strerror", None) or type(error).__name__
        raise StoreError(f"{place} cannot be {action} ({reason}); {advice}") from cause
