"""Times as people say them."""

from __future__ import annotations

from datetime import datetime

from foxy_auth.token import Token

UNITS = {"day": 86400, "hour": 3600, "minute": 60}  # seconds


def duration(seconds: float) -> str:
    """Return *seconds* in the two largest units, such as `1 hour 12 minutes`."""
    parts: list[str] = []
    rest = round(seconds / 60) * 60
    for unit, length in UNITS.items():
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
        elif parts:  # 3 days and 5 minutes are 3 days
            break
    return " ".join(parts[:2]) or "less than a minute"


def instant(at: float, *, now: float) -> str:
    """Return the local time, such as `14:25 CET`, with the date if it is not today's."""
    then, today = (datetime.fromtimestamp(one).astimezone() for one in (at, now))
    date = "" if then.date() == today.date() else f"{then.day} {then:%b %Y}, "
    return f"{date}{then:%H:%M %Z}"


def expiry(token: Token, *, now: float) -> str:
    """Tell when *token* expires, or expired."""
    if token.expires_at is None:
        return "expires at an unknown time"
    remaining = token.expires_at - now
    try:
        at = instant(token.expires_at, now=now)
    except (OverflowError, OSError, ValueError):  # beyond the calendar
        return "expires at an unknown time"
    if remaining <= 0:
        return f"expired {duration(-remaining)} ago ({at})"
    return f"expires in {duration(remaining)} ({at})"
