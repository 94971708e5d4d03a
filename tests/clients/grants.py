"""Grants to test with: auth objects for the emulator, and tokens of any age."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from foxy_auth import FoxyAuth, Token

if TYPE_CHECKING:
    from support.sources import FakeClock

    from foxy_auth.emulator import Emulator


def make_auth(foxy: Emulator, *, clock: FakeClock | None = None, **options: Any) -> FoxyAuth:
    """Make an auth object for *foxy*, with a fresh token unless *options* say otherwise."""
    if "refresh_token" not in options:
        options.setdefault("token", foxy.grant())
    options.setdefault("environment", foxy.environment)
    kind = type("ClockedAuth", (FoxyAuth,), {"_clock": clock.clock}) if clock else FoxyAuth
    auth: FoxyAuth = kind(client_id=foxy.client_id, client_secret=foxy.client_secret, **options)
    return auth


def aged(token: Token, *, left: float, life: float = 7200.0) -> Token:
    """Return *token* with *left* seconds of its *life* to go."""
    now = time.time()
    return replace(token, expires_at=now + left, obtained_at=now + left - life)


def secrets_of(foxy: Emulator, *tokens: Token | None) -> list[str]:
    """List what must be found nowhere: the client secret in both of its forms, and what *tokens* hold."""
    basic = b64encode(f"{foxy.client_id}:{foxy.client_secret}".encode()).decode()
    found = [foxy.client_secret, basic]
    for token in tokens:
        if token is not None:
            found += [token.access_token, token.refresh_token or foxy.client_secret]
    return found


def find_leaks(secrets: list[str], *places: object) -> list[str]:
    """Return those of *secrets* that stand in one of *places*, which may be bytes."""
    texts = [place.decode("latin-1") if isinstance(place, bytes) else str(place) for place in places]
    return [secret for secret in secrets if any(secret in text for text in texts)]
