"""What the command says of the token."""

from __future__ import annotations

from datetime import UTC, datetime

from foxy_auth.token import Token

LONGEST = 300  # characters of a scope that are shown


def report(token: Token, *, place: str) -> str:
    """Say what was granted, until when, and where it is kept; nothing that is secret."""
    rows = {
        "Scope": "".join(c if c.isprintable() else "?" for c in token.scope[:LONGEST]) or "as asked for",
        "Store": token.store_id or "none",
        "Expires": _expiry(token),
        "Saved in": place,
    }
    return "\n".join(["Access granted.", *(f"  {name:<9}{value}" for name, value in rows.items())])


def _expiry(token: Token) -> str:
    if token.expires_at is None:
        return "at a time that Foxy did not tell"
    renewal = "; FoxyAuth renews it by itself" if token.refresh_token else ""
    try:
        return f"{datetime.fromtimestamp(token.expires_at, UTC).astimezone():%Y-%m-%d %H:%M %Z}{renewal}"
    except (OSError, OverflowError, ValueError):
        return f"in a future beyond the calendar{renewal}"
