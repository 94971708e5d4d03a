"""Token sources and auth objects in front of the emulator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from support.clock import FakeClock

from foxy_auth._engine.clock import Clock
from foxy_auth._engine.freshness import Windows
from foxy_auth._engine.source import TokenSource
from foxy_auth._engine.token_endpoint import TokenEndpoint
from foxy_auth._libraries import HttpClient
from foxy_auth._oauth.messages import ClientCredentials
from foxy_auth._secrets import Secret
from foxy_auth.auth import FoxyAuth
from foxy_auth.token import refresh_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from foxy_auth.emulator import Emulator
    from foxy_auth.stores import TokenStore
    from foxy_auth.token import Token

__all__ = [
    "DEADLINE",
    "VIA",
    "FakeClock",
    "aget_token",
    "auth_for",
    "endpoint_for",
    "expired",
    "get_token",
    "source_for",
    "with_left",
]

VIA = "requests"  # the client library for token requests, unless a test wants another
DEADLINE = 30.0  # seconds that a test waits for what must happen


def endpoint_for(
    foxy: Emulator,
    *,
    clock: FakeClock | None = None,
    timeout: float = 5.0,
    http: HttpClient | None = None,
    client_secret: str | None = None,
) -> TokenEndpoint:
    """Return the emulator's token endpoint, as its registered client uses it."""
    client = ClientCredentials(foxy.client_id, Secret(client_secret or foxy.client_secret))
    time = clock.clock if clock else Clock()
    return TokenEndpoint(client, foxy.environment.token_endpoint, timeout=timeout, http=http, clock=time)


def source_for(
    foxy: Emulator,
    token: Token,
    *,
    on_token: Callable[[Token], object] | None = None,
    store: TokenStore | None = None,
    **options: Any,
) -> TokenSource:
    """Return the owner of *token*, with the default windows; *options* are those of `endpoint_for`."""
    return TokenSource(
        endpoint_for(foxy, **options),
        token=token,
        refresh_token=refresh_secret(token),
        windows=Windows(refresh_ahead=300.0, leeway=60.0),
        on_token=on_token,
        store=store,
    )


def auth_for(foxy: Emulator, token: Token | None, *, clock: FakeClock | None = None, **options: Any) -> FoxyAuth:
    """Return an auth object for the emulator that begins with *token*."""
    auth_class: type[FoxyAuth] = FoxyAuth
    if clock is not None:
        auth_class = type("ClockedAuth", (FoxyAuth,), {"_clock": clock.clock})
    return auth_class(
        client_id=foxy.client_id,
        client_secret=foxy.client_secret,
        token=token,
        environment=foxy.environment,
        **options,
    )


def get_token(source: TokenSource, rejected: Token | None = None, *, library: str = VIA) -> Token:
    """Return a usable token of *source*, other than the one that was *rejected*."""
    return source.obtain(library, rejected).signature.token


async def aget_token(source: TokenSource, rejected: Token | None = None) -> Token:
    """Async version of `get_token`."""
    return (await source.aobtain(VIA, rejected)).signature.token


def with_left(token: Token, seconds: float, clock: FakeClock) -> Token:
    """Return *token* with *seconds* left to live, of two hours."""
    return replace(token, expires_at=clock.now() + seconds, obtained_at=clock.now() + seconds - 7200.0)


def expired(foxy: Emulator) -> Token:
    """Return a token that has expired, for its holder and for the emulator."""
    token = foxy.grant()
    foxy.expire_access_tokens()
    assert token.obtained_at is not None
    return replace(token, expires_at=token.obtained_at - 100.0, obtained_at=token.obtained_at - 7300.0)
