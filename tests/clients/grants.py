"""Grants to test with: auth objects over the emulator, and tokens of every age."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import replace
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from foxy_auth import FoxyAuth, Token

if TYPE_CHECKING:
    from foxy_auth.emulator import Emulator


def make_auth(foxy: Emulator, **options: Any) -> FoxyAuth:
    """Make an auth object for *foxy*, with a fresh token unless *options* say otherwise."""
    if "refresh_token" not in options:
        options.setdefault("token", foxy.grant())
    options.setdefault("environment", foxy.environment)
    return FoxyAuth(client_id=foxy.client_id, client_secret=foxy.client_secret, **options)


def aged(token: Token, *, left: float, life: float = 7200.0) -> Token:
    """Return *token* as if it had *left* seconds of its *life* before it."""
    now = time.time()
    return replace(token, expires_at=now + left, obtained_at=now + left - life)


def pass_time(auth: FoxyAuth, seconds: float) -> None:
    """Let the object think that so many *seconds* have passed."""
    source: Any = auth._source
    source._clock = replace(source._clock, now=lambda: time.time() + seconds)


def record_pauses(auth: FoxyAuth) -> list[float]:
    """Let the pauses between two token calls take no time; return the list of those that were to be made."""
    pauses: list[float] = []
    source: Any = auth._source
    source._clock = replace(source._clock, sleep=pauses.append)
    return pauses


def count_boarding(auth: FoxyAuth) -> Semaphore:
    """Return a semaphore that rises by one with every caller that waits for a flight."""
    boarded = Semaphore(0)
    source: Any = auth._source
    board = source._board

    def counted(*args: Any) -> Any:
        flight = board(*args)
        boarded.release()
        return flight

    source._board = counted
    return boarded


def secrets_of(foxy: Emulator, *tokens: Token | None) -> list[str]:
    """List what must be found nowhere: the client's secret in each of its forms, and what *tokens* hold."""
    basic = b64encode(f"{foxy.client_id}:{foxy.client_secret}".encode()).decode()
    found = [foxy.client_secret, basic]
    for token in tokens:
        if token is not None:
            found += [token.access_token, token.refresh_token or foxy.client_secret]
    return found
