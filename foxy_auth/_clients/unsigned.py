"""Requests that pass without a token, because their origin is foreign: that is told, and what looks like a mistake."""

from __future__ import annotations

import logging
from typing import cast

from foxy_auth._events import record
from foxy_auth._oauth.origin import Origin
from foxy_auth.environment import KNOWN, Environment


def note_unsigned(auth: object, url: str, environment: Environment) -> None:
    """
    Tell that *auth* leaves a request to *url* unsigned, without what may be secret in that address.

    Args:
        auth: Whose request it is; for each, a mistake is told once for each origin.

        url: Where the request goes.

        environment: Where the token may go.
    """
    origin = Origin.of(url)
    shown = f"{origin.scheme}://{origin.netloc}" if origin else "an address without an origin"
    advice = _advice(origin, environment) if origin else ""
    level = logging.DEBUG
    if advice:
        told, mark = cast("dict[str, object]", vars(auth).setdefault("_told_unsigned", {})), object()
        if told.setdefault(shown, mark) is mark:  # in one step, for other threads may be telling it too
            level = logging.WARNING
    text = "a request to %s is not signed: this FoxyAuth is for %s%s"
    record("unsigned", text, shown, environment.api, advice, level=level, environment=environment.api, origin=shown)


def _advice(origin: Origin, environment: Environment) -> str:
    """Say what to do if a request to *origin* was probably to be signed."""
    if origin.scheme == "http" and Origin("https", origin.host, 443) in environment.origins:
        return "; write https"
    other = next((name for name, known in KNOWN.items() if origin in known.origins), None)
    return f"; make another with environment={other}" if other else ""
