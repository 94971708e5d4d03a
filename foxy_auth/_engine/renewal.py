"""
The engine for grants that are shared through a store (R11, R12).

What differs is the flight: look into the store, decide, exchange, write, all under the store's lock, so that of many
processes one exchanges and the others adopt what it wrote. Who waits for the lock keeps looking into the store, and
goes on as soon as the new token is there.
"""

from __future__ import annotations

import copy
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from foxy_auth._arguments import kind
from foxy_auth._engine.concurrency import Loop
from foxy_auth._engine.delivery import Saver
from foxy_auth._engine.errand import Errand
from foxy_auth._engine.freshness import Standing
from foxy_auth._engine.patience import PATIENCE
from foxy_auth._engine.source import Flight, Setback, TokenSource
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, StoreError
from foxy_auth.stores import TokenStore
from foxy_auth.token import Token

GLANCE = 0.1  # seconds of waiting for the lock, after which the store is looked into again
# How long others may hold the lock before a flight gives up, in timeouts: their exchange and their save, and then some.
LOCK_PATIENCE = 5
REMEMBERED = 50  # access tokens that are known to be older than the present one
CANDIDATES = 3  # refresh tokens that a flight tries at most: the one at hand, the store's, the one that came first


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a flight came to: a token, and whether it is new to everybody."""

    token: Token
    is_new: bool = False


class SharedSource(TokenSource):
    """A token source whose token lives in a store."""

    def __init__(self, *args: Any, store: TokenStore, **settings: Any) -> None:
        """
        Own what *store* holds, together with all others who use the same record.

        Args:
            args: As for `TokenSource`.

            store: Where the token lives.

            settings: As for `TokenSource`; a token and a refresh token serve until the store has a record.
        """
        super().__init__(*args, **settings)
        self._store = store
        self._keeper = Saver(self._keep, timeout=self._timeout, clock=self._clock.monotonic, name="the store")
        self._first_refresh_token = self._refresh_token
        # The access tokens that ours came after, or is to replace once the store works again; the oldest first.
        self._former: tuple[str, ...] = ()
        self._handed_over = False  # the token in memory is to replace whatever the store holds
        self.last_call += LOCK_PATIENCE

    def __getstate__(self) -> dict[str, Any]:
        """Take along what is the same in every process."""
        shared = {name: getattr(self, name) for name in ("_store", "_keeper", "_first_refresh_token", "_former")}
        return {**super().__getstate__(), **shared, "_handed_over": False}

    def forked(self) -> None:
        """Forget the parent's flight."""
        super().forked()
        self._keeper.forked()
        self._handed_over = False

    def hand_over(self, loop: Loop | None, *, wait: bool) -> None:
        """Have the token in memory stored, and told to the callback, as one that is new."""
        if self._token is not None:
            self._handed_over = True
            self._keeper.put(self._token, None, wait=wait)
        super().hand_over(loop, wait=wait)

    def _flush(self, loop: Loop | None) -> None:
        try:
            self._keeper.flush()
        finally:
            super()._flush(loop)

    def _retry_saving(self) -> None:
        self._keeper.retry()
        super()._retry_saving()

    def _is_final(self, setback: Setback) -> bool:  # noqa: ARG002 - as in TokenSource
        """Look into the store once more: somebody may have logged in again."""
        return False

    # --- the flight --------------------------------------------------------------------------------------------------

    def _renewed(self, flight: Flight) -> Token:
        # One thread does it all, for locks may belong to the thread that took them; should the store hang, it is left.
        outcome = Errand[_Outcome](lambda errand: self._renewed_in_turn(flight, errand)).run(self._timeout)
        if outcome.is_new:
            self._saver.put(outcome.token, flight.loop)
        return outcome.token

    def _renewed_in_turn(self, flight: Flight, errand: Errand[_Outcome]) -> _Outcome:
        """Watch the store for a new token, until the lock is free to get one."""
        until = time.monotonic() + LOCK_PATIENCE * self._timeout
        while True:
            errand.step(self._timeout)
            if adopted := self._adopted(self._load(), flight):
                return _Outcome(adopted)
            errand.step(self._timeout + GLANCE)
            glance_until = time.monotonic() + GLANCE
            outcome = self._renewed_inside(flight, errand)
            if isinstance(outcome, _Outcome):
                return outcome
            if time.monotonic() >= until:
                text = f"another process holds the store's lock for too long; look for one that hangs ({outcome})"
                raise StoreError(text.removesuffix(" ()"))
            time.sleep(max(0.0, glance_until - time.monotonic()))  # a lock may say no at once

    def _renewed_inside(self, flight: Flight, errand: Errand[_Outcome]) -> _Outcome | TimeoutError:
        """Decide, exchange and write under the lock; return what the store says if another holds it."""
        outcome = None
        try:
            with ExitStack() as leaving:
                self._keeper.give_way()  # should an earlier flight of ours have the lock still
                try:
                    leaving.enter_context(self._store.lock(GLANCE))
                except TimeoutError as held:
                    return held
                outcome = self._decided(flight, errand)
        except Exception as error:
            if outcome is not None and outcome.is_new:
                self._keeper.owe(outcome.token, error)  # what was written may be gone with the lock
            elif isinstance(error, FoxyAuthError):
                raise
            else:
                raise StoreError(f"the store cannot be locked ({type(error).__name__}); repair it") from error
        return outcome

    def _decided(self, flight: Flight, errand: Errand[_Outcome]) -> _Outcome:
        errand.step(self._timeout)
        stored = self._load()
        if adopted := self._adopted(stored, flight):
            return _Outcome(adopted)
        outcome = self._exchanged_or_adopted(flight, errand, stored)
        if outcome.is_new:
            spent = outcome.token.refresh_token != self._refresh_token
            self._remember(outcome.token)
            self._handed_over = False
            errand.settle(outcome)
            errand.step(self._timeout)
            # Where the provider keeps the refresh token, as Foxy does, nobody can send one that is spent.
            again = self._write if spent else None
            self._keeper.put_here(outcome.token, self._store.save, again=again, let_go=errand.let_go)
        return outcome

    def _adopted(self, stored: Token | None, flight: Flight) -> Token | None:
        """
        Take over the store's token, if it is newer than ours; return it, if it serves.

        Everybody writes under the lock what comes after that which they have read there. So what is neither ours nor
        any that ours came after has come after ours. A server that was restarted from a backup, say, may hold an older
        one again, whose refresh token is spent.
        """
        if stored is None or self._handed_over or stored.access_token in {*self._former, self._own}:
            return None
        token = replace(stored, refresh_token=stored.refresh_token or self._refresh_token)
        if self._standing(token, flight.rejected) in {Standing.FRESH, Standing.AHEAD}:
            self._remember(token)
            return token
        with self._lock:
            self._outlive(self._own)
            self._token, self._refresh_token = token, token.refresh_token
        return None

    def _exchanged_or_adopted(self, flight: Flight, errand: Errand[_Outcome], stored: Token | None) -> _Outcome:
        """Exchange the refresh token; should it be refused, the one that the store has by now, or that came first."""
        setback = self._setback
        if setback and isinstance(setback.error, LoginRequiredError) and setback.refresh_token == self._refresh_token:
            raise copy.copy(setback.error)
        refused: set[str | None] = set()
        while True:
            errand.step((PATIENCE + 2) * self._timeout)
            try:
                token = self._exchanged(flight)
            except LoginRequiredError:
                refused.add(self._refresh_token)
                errand.step(self._timeout)
                stored = self._load()
                if adopted := self._adopted(stored, flight):
                    return _Outcome(adopted)
                # The user may have authorized again, and given the new refresh token along with the old store.
                candidates = [self._refresh_token, self._first_refresh_token]
                other = next((one for one in candidates if one is not None and one not in refused), None)
                if other is None or len(refused) == CANDIDATES:
                    raise
                self._refresh_token = other
            else:
                self._outlive(stored.access_token if stored else None)
                return _Outcome(token, is_new=True)

    def _remember(self, token: Token) -> None:
        self._outlive(self._own)
        super()._remember(token)

    def _outlive(self, access_token: str | None) -> None:
        """Take note that this one is older than the one that comes now."""
        if access_token is not None:
            self._former = (*self._former, access_token)[-REMEMBERED:]

    # --- the store ---------------------------------------------------------------------------------------------------

    @property
    def _own(self) -> str | None:
        return self._token.access_token if self._token else None

    def _load(self) -> Token | None:
        try:
            stored: object = self._store.load()
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"the store cannot be read ({type(error).__name__}); repair it") from error
        if stored is None or isinstance(stored, Token):
            return stored
        raise StoreError(f"the store's load returned {kind(stored)}, not a Token or None; Token.from_dict(…) makes one")

    def _keep(self, token: Token) -> None:
        """Write *token*, which is long in coming, unless there is a newer one, here or in the store."""
        with self._store.lock(self._timeout):
            self._write(token)

    def _write(self, token: Token) -> None:
        if token.access_token != self._own:
            return
        stored = None if self._handed_over else self._load()
        if stored is None or stored.access_token in self._former:
            self._store.save(token)
        self._handed_over = False
