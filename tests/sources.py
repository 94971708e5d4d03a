"""Sources of tokens over the emulator, with a clock that tests turn by hand."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Any

import requests

from foxy_auth._engine.clock import Clock
from foxy_auth._engine.delivery import Saver
from foxy_auth._engine.freshness import Windows
from foxy_auth._engine.source import Flight, TokenSource
from foxy_auth._engine.token_endpoint import Exchange
from foxy_auth._oauth.messages import ClientCredentials
from foxy_auth.auth import FoxyAuth

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.queues import SimpleQueue

    from foxy_auth._engine.concurrency import Loop
    from foxy_auth.emulator import Emulator
    from foxy_auth.token import Token

VIA = "requests"  # the quickest library to make a client of
PATIENCE = 30.0  # seconds that a test waits for what must come


class FakeClock:
    """
    Time that passes only when somebody sleeps or says so.

    Attributes:
        sleeps: The seconds of each sleep so far.

        chance: What chance comes to, from 0 to 1.
    """

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        """Start *at* so many seconds after the epoch."""
        self._lock = Lock()
        self._at = at
        self._ticks = 0.0
        self.sleeps: list[float] = []
        self.chance = 0.0

    def now(self) -> float:
        """Return the present, as a wall clock has it."""
        with self._lock:
            return self._at

    def monotonic(self) -> float:
        """Return the time that has truly passed."""
        with self._lock:
            return self._ticks

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._at += seconds
            self._ticks += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        with self._lock:
            self._at += seconds

    def sleep(self, seconds: float) -> None:
        """Note a sleep, and let its time pass."""
        self.sleeps.append(seconds)
        self.advance(seconds)

    @property
    def clock(self) -> Clock:
        """The engine's view."""
        return Clock(self.now, self.monotonic, self.sleep, lambda: self.chance)


class WatchedSource(TokenSource):
    """A source that counts who joins or starts a flight, so that a test can wait for them."""

    def _renew(self) -> None:
        super()._renew()
        self._boarded = Semaphore(0)

    def _board(self, via: str, rejected: Token | None, loop: Loop | None) -> Flight:
        flight = super()._board(via, rejected, loop)
        self._boarded.release()
        return flight

    def await_boarders(self, count: int) -> None:
        """Wait until *count* callers have boarded since the last time."""
        for _ in range(count):
            assert self._boarded.acquire(timeout=PATIENCE), "fewer callers than expected wait for a refresh"


def source_for(
    foxy: Emulator,
    token: Token,
    *,
    on_token: Callable[[Token], object] | None = None,
    clock: FakeClock | None = None,
    timeout: float = 5.0,
    http: object | None = None,
    client_secret: str | None = None,
) -> WatchedSource:
    """Own *token* of the emulator *foxy*, with the default windows."""
    client = ClientCredentials(foxy.client_id, client_secret or foxy.client_secret)
    saver = Saver(on_token, timeout=timeout, clock=clock.monotonic) if clock else Saver(on_token, timeout=timeout)
    return WatchedSource(
        Exchange(client, foxy.environment, http=http),
        saver,
        token=token,
        refresh_token=token.refresh_token,
        windows=Windows(ahead=300.0, leeway=60.0),
        timeout=timeout,
        clock=clock.clock if clock else None,
    )


def auth_for(foxy: Emulator, token: Token, **options: Any) -> FoxyAuth:
    """Sign requests to the emulator *foxy*, beginning with *token*."""
    return FoxyAuth(
        client_id=foxy.client_id,
        client_secret=foxy.client_secret,
        token=token,
        environment=foxy.environment,
        **options,
    )


def with_left(token: Token, seconds: float, clock: FakeClock) -> Token:
    """Let *token* have *seconds* to live, of its two hours."""
    return replace(token, expires_at=clock.now() + seconds, obtained_at=clock.now() + seconds - 7200.0)


def expired(foxy: Emulator) -> Token:
    """Return a token that has expired, here and there."""
    token = foxy.grant()
    foxy.expire_access_tokens()
    assert token.obtained_at is not None
    return replace(token, expires_at=token.obtained_at - 100.0, obtained_at=token.obtained_at - 7300.0)


def report_status(auth: FoxyAuth, url: str, results: SimpleQueue[int]) -> None:
    """Call the API, and tell how it answered; stands here because a spawned process must be able to import it."""
    results.put(requests.get(url, auth=auth, timeout=PATIENCE).status_code)
