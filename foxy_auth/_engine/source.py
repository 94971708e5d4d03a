"""
The engine: the one owner of a grant's tokens.

Whoever needs a token asks `TokenSource`. Mostly it has one, and answers at once. Otherwise a *flight* gets a new one: a
short thread that exchanges the refresh token, remembers the new token, has it saved, and lands. At most one exchange is
under way at a time; all who need its outcome wait for the same flight, and may stop waiting whenever they like.

Waiting is safe to abandon, owning is not; so callers own nothing.
"""

from __future__ import annotations

import copy
import logging
import os
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any, Self
from weakref import WeakSet

from foxy_auth._engine.clock import Clock
from foxy_auth._engine.concurrency import Loop, in_thread, on_loop, running_loop
from foxy_auth._engine.delivery import Saver
from foxy_auth._engine.freshness import Standing, Windows
from foxy_auth._engine.patience import PATIENCE, patiently
from foxy_auth._engine.token_endpoint import Exchange
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, TokenRefusedError, TokenUnavailableError
from foxy_auth.token import Token

SPACING = 30.0  # seconds from a failed refresh to the next, while the token in hand still serves
# After so many new tokens in a row that the API refused at once, or so many refusals of this client at the token
# endpoint, none is asked for for SPACING.
FUTILE = 3
LONGEST_BAN = 3600.0  # seconds that a provider's Retry-After is obeyed at most
# The last moment until which anybody waits for a flight, in timeouts: its token call, its save, and one to spare.
# It lands before, unless a second answer comes drop by drop, or something hangs that heeds no timeout.
LAST_CALL = PATIENCE + 2

logger = logging.getLogger("foxy_auth")


class Flight(Future[Token]):
    """A refresh under way."""

    def __init__(self, via: str, loop: Loop | None, rejected: Token | None = None) -> None:
        """
        Prepare a flight.

        Args:
            via: The client library of the caller that started it.

            loop: The event loop of that caller, on which an async callback runs.

            rejected: The token that is not good enough for that caller.
        """
        super().__init__()
        self.rejected = rejected
        self.via = via
        self.loop = loop
        self.set_running_or_notify_cancel()  # so that nobody who waits can cancel it for the others
        self._claimed = Lock()

    def claim(self) -> bool:
        """Take it upon oneself to land this flight; False if somebody else has done so before."""
        return self._claimed.acquire(blocking=False)


@dataclass(frozen=True, slots=True)
class _Futile:
    """How many new tokens in a row the API has refused at once, the last of them, and until when that counts."""

    count: int = 0
    token: Token | None = None
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the source came to: a token that serves, a flight to wait for, or both."""

    token: Token | None
    flight: Flight | None = None


@dataclass(slots=True)
class Setback:
    """
    The last failed refresh, while it has consequences.

    Attributes:
        error: What it raised.

        refresh_token: The refresh token that was sent.

        retry_at: Until then no refresh is tried for a token that still serves.

        banned_until: Until then none is tried at all: the provider has asked so, or refuses this client for good.

        refusals: How often in a row the provider has refused this client.
    """

    error: FoxyAuthError
    refresh_token: str | None
    retry_at: float
    banned_until: float
    refusals: int


class TokenSource:
    """Gives usable tokens to any mix of threads, event loops and clients."""

    def __init__(
        self,
        exchange: Exchange,
        saver: Saver,
        *,
        token: Token | None,
        refresh_token: str | None,
        windows: Windows,
        timeout: float,
        clock: Clock | None = None,
    ) -> None:
        """
        Own *token* and what comes after it.

        Args:
            exchange: Makes the token calls.

            saver: Is handed every new token.

            token: The token to begin with, if there is one.

            refresh_token: The refresh token to begin with.

            windows: When to refresh.

            timeout: Seconds for each wait on the network in a token call, and for saving.

            clock: Time and chance.
        """
        self._exchange = exchange
        self._saver = saver
        self._windows = windows
        self._timeout = timeout
        self._clock = clock or Clock()
        self._token: Token | None = token
        self._refresh_token: str | None = refresh_token
        self.last_call = LAST_CALL
        self._renew()

    def _renew(self) -> None:
        """Start with no flight under way: at first, out of a pickle, and in a forked child."""
        self._lock = Lock()  # guards the choice "start or join" and the outcome; never held during I/O
        self._flight: Flight | None = None  # the one whose exchange is under way
        self._last: Flight | None = None  # the one that started last, whether it has landed or not
        self._setback: Setback | None = None
        self._futile = _Futile()
        self._jitter = self._clock.chance()
        _sources.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        kept = ("_exchange", "_saver", "_windows", "_timeout", "_clock", "_token", "_refresh_token", "last_call")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renew()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Stay one: two owners of a refresh token that serves once would burn the grant."""
        return self

    def forked(self) -> None:
        """Forget the parent's flight, whose thread this process does not have."""
        self._renew()
        self._saver.forked()

    # --- for callers -------------------------------------------------------------------------------------------------

    @property
    def current(self) -> Token | None:
        """The token in memory, whatever its standing; never blocks."""
        return self._token

    @property
    def timeout(self) -> float:
        """Seconds for a token call, for saving, and for reading a 401."""
        return self._timeout

    def token(self, *, via: str, rejected: Token | None = None) -> Token:
        """
        Return a usable token, waiting for a refresh if need be.

        Args:
            via: The client library that needs it, through which a token call would go out.

            rejected: The token that the API has refused, or that the caller wants replaced.

        Raises:
            LoginRequiredError, TokenRefusedError, TokenUnavailableError, StoreError: There is none to be had.
        """
        look = self._look(via, rejected, None)
        if look.flight is not None:
            # On the thread of an event loop this caller blocks the loop, on which an async callback may be due.
            with self._saver.hurrying() if on_loop() else nullcontext():
                wait_for([look.flight], self._timeout * self.last_call)
        return self._outcome(look)

    async def atoken(self, *, via: str, rejected: Token | None = None) -> Token:
        """Do what `token` does, without blocking the event loop."""
        loop = running_loop()
        look = self._look(via, rejected, loop)
        if look.flight is not None:
            await loop.wait(look.flight, self._timeout * self.last_call)
        return self._outcome(look)

    def note_retry(self, token: Token, *, refused: bool) -> None:
        """
        Take note of how the API answered a retry.

        Args:
            token: The token of the retry, got because the API had refused another.

            refused: Whether it was answered 401 as well.
        """
        now, last = self._clock.monotonic(), self._futile
        if not refused:
            self._futile = _Futile()
        elif token is not last.token:
            self._futile = _Futile(last.count + 1 if now < last.until else 1, token, now + SPACING)

    @property
    def futile(self) -> bool:
        """Whether the API refuses every new token at once, so that tokens are not the trouble."""
        return self._futile.count >= FUTILE and self._clock.monotonic() < self._futile.until

    def hand_over(self, loop: Loop | None, *, wait: bool) -> None:
        """Have the token in memory saved, as one that is new."""
        if self._token is not None:
            self._saver.put(self._token, loop, wait=wait)

    def flush(self) -> None:
        """Wait for a refresh under way and save what is unsaved; `StoreError` if that fails."""
        if self._saver.at_work_here:  # a callback would wait for the flight that waits for it
            return
        with self._saver.hurrying():
            if self._last is not None:
                wait_for([self._last], self._timeout * self.last_call)
            self._flush(None)

    async def aflush(self) -> None:
        """Do what `flush` does, without blocking the event loop."""
        if self._saver.at_work_here:
            return
        loop = running_loop()
        if self._last is not None:
            await loop.wait(self._last, self._timeout * self.last_call)
        await in_thread(lambda: self._flush(loop))

    def _flush(self, loop: Loop | None) -> None:
        self._saver.flush(loop)

    def _retry_saving(self) -> None:
        self._saver.retry()

    # --- the choice --------------------------------------------------------------------------------------------------

    def _look(self, via: str, rejected: Token | None, loop: Loop | None) -> _Look:
        self._retry_saving()
        token = self._token
        standing = self._standing(token, rejected)
        if standing is Standing.FRESH:
            return _Look(token)
        if standing is Standing.SPENT:
            return _Look(None, self._board(via, rejected, loop))
        if self._resting():
            return _Look(token)
        flight = self._board(via, rejected, loop)
        return _Look(token, flight if standing is Standing.DUE else None)

    def _standing(self, token: Token | None, rejected: Token | None) -> Standing:
        if token is not None and rejected is not None and token.access_token == rejected.access_token:
            return Standing.SPENT
        return self._windows.standing(token, self._clock.now(), jitter=self._jitter)

    def _resting(self) -> bool:
        """Tell whether the last refresh has failed so lately, or so finally, that a token that serves is kept."""
        setback = self._setback
        return setback is not None and (
            self._is_final(setback) or self._clock.monotonic() < max(setback.retry_at, setback.banned_until)
        )

    def _is_final(self, setback: Setback) -> bool:
        return isinstance(setback.error, LoginRequiredError) and setback.refresh_token == self._refresh_token

    def _board(self, via: str, rejected: Token | None, loop: Loop | None) -> Flight:
        """Join the flight under way, or start one."""
        flight = Flight(via, loop, rejected)
        try:
            with self._lock:
                if self._flight is not None:
                    return self._flight
                if (landed := self._landed_meanwhile(rejected, via)) is not None:
                    return landed
                self._flight = self._last = flight
            # No daemon: the program does not end before a token that the provider has issued is saved.
            Thread(target=self._fly, args=(flight,), name="foxy-auth-refresh").start()
        except RuntimeError:  # the interpreter is ending, or out of threads
            self._fly(flight)
        except BaseException as error:  # interrupted
            if self._flight is flight and flight.claim():
                self._fail(flight, error)
            raise
        return flight

    def _landed_meanwhile(self, rejected: Token | None, via: str) -> Flight | None:
        """Return a flight that has landed already, where between look and lock another has, or where none may start."""
        landed = Flight(via, None)
        token = self._token
        standing = self._standing(token, rejected)
        if token is not None and (standing is Standing.FRESH or (standing is not Standing.SPENT and self._resting())):
            landed.set_result(token)
            return landed
        setback = self._setback
        if setback is None or not (self._is_final(setback) or self._clock.monotonic() < setback.banned_until):
            return None
        error = copy.copy(setback.error)
        if isinstance(error, TokenUnavailableError):
            error.retry_after = setback.banned_until - self._clock.monotonic()
        landed.set_exception(error)
        return landed

    def _outcome(self, look: _Look) -> Token:
        if look.flight is None:
            assert look.token is not None  # noqa: S101 - a look without a flight has found a token
            return look.token
        error = look.flight.exception() if look.flight.done() else _overdue()
        if error is None:
            return look.flight.result()
        if look.token is not None and not look.token.expired(self._clock.now()):
            return look.token
        # A copy for each who waited: a traceback belongs to one raise.
        own = copy.copy(error)
        raise own from error.__cause__

    # --- the flight --------------------------------------------------------------------------------------------------

    def _fly(self, flight: Flight) -> None:
        if not flight.claim():  # whoever started it was interrupted, and has told so
            return
        try:
            token = self._renewed(flight)
        except BaseException as error:  # noqa: BLE001 - lands in everybody who waits
            self._fail(flight, error)
            return
        flight.set_result(token)

    def _renewed(self, flight: Flight) -> Token:
        """Get a new token, remember it, and have it saved."""
        token = self._exchanged(flight)
        self._remember(token)
        self._saver.put(token, flight.loop)
        return token

    def _remember(self, token: Token) -> None:
        """Put *token* in memory; from now on the exchange is no longer under way."""
        with self._lock:
            self._token, self._refresh_token = token, token.refresh_token
            self._jitter = self._clock.chance()
            self._setback = None
            self._flight = None
        logger.info("there is a new access token")

    def _fail(self, flight: Flight, error: BaseException) -> None:
        if not isinstance(error, FoxyAuthError):
            cause, error = error, TokenUnavailableError(f"the refresh broke off ({type(error).__name__}); try later")
            error.__cause__ = cause
        now = self._clock.monotonic()
        ban = min(getattr(error, "retry_after", None) or 0.0, LONGEST_BAN)
        with self._lock:
            refusals = 0
            if isinstance(error, TokenRefusedError):
                refusals = (self._setback.refusals if self._setback else 0) + 1
                ban = SPACING if refusals >= FUTILE else 0.0
            self._setback = Setback(
                error, self._refresh_token, retry_at=now + SPACING, banned_until=now + ban, refusals=refusals
            )
            self._flight = None
        logger.warning("the access token was not refreshed: %s", error)
        flight.set_exception(error.with_traceback(None))

    def _exchanged(self, flight: Flight) -> Token:
        def attempt(timeout: float) -> Token:
            return self._exchange.refresh(
                self._refresh_token,
                scope=self._token.scope if self._token else "",
                via=flight.via,
                timeout=timeout,
                clock=self._clock.now,
            )

        return patiently(attempt, timeout=self._timeout, clock=self._clock)


def _overdue() -> TokenUnavailableError:
    return TokenUnavailableError("a refresh is still under way and takes too long; try later")


_sources: WeakSet[TokenSource] = WeakSet()


def _after_fork() -> None:
    for source in list(_sources):
        source.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
