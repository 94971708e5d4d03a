"""
Renewal: how a grant gets its next token, by itself or together with all others who share it through a store.

With a store, one step follows the other under its lock: load, adopt what somebody else has got meanwhile, exchange the
refresh token otherwise, save (R11, R12). So of many processes one makes the token request, and the others adopt what it
wrote.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from threading import Event
from typing import Any, Protocol

from foxy_auth._arguments import check_deletes, kind
from foxy_auth._engine.backoff import Backoff
from foxy_auth._engine.concurrency import AbandonedError, Job
from foxy_auth._engine.delivery import Delivery
from foxy_auth._engine.event_loops import Loop
from foxy_auth._engine.grant import Grant
from foxy_auth._engine.token_endpoint import LIMIT, TokenEndpoint
from foxy_auth._oauth.origin import foreign_home
from foxy_auth._secrets import Secret, without_secrets
from foxy_auth._time import monotonic
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, StoreError, TokenUnavailableError
from foxy_auth.stores import TokenStore, place_of
from foxy_auth.token import Token, refresh_secret

POLL = 0.1  # seconds of waiting for the lock, after which the store is read again
# How long others may hold the lock before a refresh fails, in timeouts: for their token request and their save.
LOCK_LIMIT = 5
REMEMBERED = 50  # access tokens that are known to be older than the present one
MAX_REFUSED = 3  # refresh tokens that one refresh tries: the one in memory, the store's, the first one
# For how long a save that fails is tried again under the lock, in timeouts: a server that restarts is back by then.
SAVE_LIMIT = 2
SAVE_PAUSE = 0.25  # seconds between two of these attempts
MAY_REMAIN = "; this auth object is logged out all the same, but the record may still be there: call logout() again"

Keep = Callable[["Flight", Token], bool]
"""Puts a token in memory, unless a newer one is there; tells whether it did."""


class Flight(Job[Token]):
    """
    The one refresh of a grant that is under way; it ends when the new token is saved and delivered.

    Attributes:
        number: Flights of one source are numbered, so that a late response does not replace a newer token.

        library: The client library of the caller that started it.

        rejected: The token that is not good enough for that caller.

        has_exchanged: Whether the token was issued to this flight, and not adopted.

        seconds: How long its token requests took; None if none was sent.
    """

    def __init__(
        self,
        work: Callable[[Flight], Token],
        *,
        number: int,
        library: str,
        rejected: Token | None,
        timeout: float,
        limit: float,
        loop: Loop | None,
    ) -> None:
        super().__init__(work, timeout=timeout, limit=limit, loop=loop)
        self.number = number
        self.library = library
        self.rejected = rejected
        self.has_exchanged = False
        self.seconds: float | None = None


class Renewal(Protocol):
    """
    A way to get the next token of a grant.

    Attributes:
        limit: Seconds that callers wait for it at most.
    """

    limit: float

    def renew(self, flight: Flight, keep: Keep) -> None:
        """Get a token that serves, and give it to *keep*; one that was just issued also to whoever shares the grant."""
        ...

    def is_gone(self) -> bool:
        """Tell whether the grant was revoked or has expired, so that no further attempt makes sense."""
        ...

    def reset(self) -> None:
        """Forget what belongs to another process."""
        ...


class LocalRenewal:
    """Exchanges the refresh token of a grant that nobody shares."""

    def __init__(self, endpoint: TokenEndpoint, grant: Grant, backoff: Backoff) -> None:
        self.limit = LIMIT * endpoint.timeout
        self._endpoint = endpoint
        self._grant = grant
        self._backoff = backoff

    def renew(self, flight: Flight, keep: Keep) -> None:
        """Exchange the refresh token."""
        keep(flight, self.exchange(flight))

    def is_gone(self) -> bool:
        """Tell whether the provider has refused the refresh token."""
        return self._backoff.grant_is_gone(self._grant.refresh_token) is not None

    def reset(self) -> None:
        """Forget nothing."""

    def exchange(self, flight: Flight) -> Token:
        """Exchange the refresh token in memory; a refusal is remembered."""
        self._grant.check()
        if error := self._backoff.grant_is_gone(self._grant.refresh_token):
            raise copy.copy(error)
        text = "a refresh is still under way and takes too long; try later"
        flight.step(self.limit, TokenUnavailableError(text, outage="timeout"))
        scope = self._grant.token.scope if self._grant.token else ""
        monotonic = self._endpoint.clock.monotonic
        began_at = monotonic()
        try:
            token = self._endpoint.refresh(self._grant.refresh_token, scope=scope, library=flight.library)
        finally:
            flight.seconds = (flight.seconds or 0.0) + monotonic() - began_at
        flight.has_exchanged = True
        return token


class SharedRenewal:
    """
    Renews a grant that others share through a store.

    Attributes:
        saving: The delivery of tokens to the store, for what could not be saved at once.
    """

    def __init__(self, local: LocalRenewal, grant: Grant, store: TokenStore, endpoint: TokenEndpoint) -> None:
        self.limit = local.limit + LOCK_LIMIT * endpoint.timeout
        self.saving = Delivery(
            self._save_later,
            timeout=endpoint.timeout,
            clock=endpoint.clock.monotonic,
            name="the store",
            events=("saved", "unsaved"),
            environment=endpoint.environment,
        )
        self._local = local
        self._grant = grant
        self._store = store
        self._timeout = endpoint.timeout
        self._environment, self._origins = endpoint.environment, endpoint.origins
        self._first_refresh_token = grant.refresh_token
        # The access tokens that ours came after, or is to replace once the store works again; the oldest first.
        self._older: tuple[str, ...] = ()
        self.reset()

    def reset(self) -> None:
        """Forget what belongs to another process."""
        self._overrides = False  # the token in memory is to replace whatever the store holds
        self._lock_is_wanted = Event()
        self.saving.reset()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock_is_wanted"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.reset()

    def is_gone(self) -> bool:
        """Tell that another attempt makes sense: somebody may have logged in again, and the store has the token."""
        return False

    def override(self, token: Token) -> None:
        """Let *token* replace whatever the store holds, with the next delivery to it."""
        self._overrides = True
        self.saving.expect(token)

    # --- one refresh -------------------------------------------------------------------------------------------------

    def renew(self, flight: Flight, keep: Keep) -> None:
        """Watch the store for a new token, until the lock is free to get one."""
        until = monotonic() + LOCK_LIMIT * self._timeout
        while not self._adopt(self._load(flight), flight, keep):
            self._grant.check()
            poll_until = monotonic() + POLL
            held_by_another = self._renew_under_lock(flight, keep)
            if held_by_another is None:
                return
            if monotonic() >= until:
                text = (
                    f"another process holds the store's lock for too long; look for one that hangs ({held_by_another})"
                )
                raise StoreError(text.removesuffix(" ()"))
            time.sleep(max(0.0, poll_until - monotonic()))  # a lock may say no at once

    def _renew_under_lock(self, flight: Flight, keep: Keep) -> BaseException | None:
        """Adopt or exchange, and save; return what the lock raises if another holds it."""
        self._step(flight)
        self._lock_is_wanted.set()  # should an earlier flight of ours still have it
        try:
            with ExitStack() as leaving:
                try:
                    leaving.enter_context(self._store.lock(POLL))
                except TimeoutError as held_by_another:
                    return self._cut(held_by_another)
                self._adopt_or_exchange(flight, keep)
        except Exception as error:
            if flight.has_exchanged and flight.outcome.done():  # what was saved may be gone with the lock
                failure = self._cut(error)
                del error
                self.saving.record_failure(flight.outcome.result(), failure)
            elif isinstance(error, StoreError) or not isinstance(error, FoxyAuthError | AbandonedError):
                failure = self._failure("locked", error)
                raise failure from failure.__cause__
            else:
                raise
        return None

    def _adopt_or_exchange(self, flight: Flight, keep: Keep) -> None:
        stored = self._load(flight)
        if self._adopt(stored, flight, keep):
            return
        refused: set[Secret | None] = set()
        while True:
            sent = self._grant.refresh_token
            try:
                token = self._local.exchange(flight)
            except LoginRequiredError:
                refused.add(sent)
                stored = self._load(flight)
                if self._adopt(stored, flight, keep):
                    return
                if not self._choose_refresh_token(refused):
                    if sent is None:
                        raise self._nothing_to_send(stored) from None
                    raise
            else:
                self._note_older(stored.access_token if stored else None)
                self._keep_and_save(flight, token, keep, is_rotated=refresh_secret(token) != sent)
                return

    def _choose_refresh_token(self, refused: set[Secret | None]) -> bool:
        """
        Choose another refresh token to try, the store's or the first one; tell whether there is one.

        The user may have authorized again, and given the new refresh token along with the old store.
        """
        candidates = (self._grant.refresh_token, self._first_refresh_token)
        other = next((one for one in candidates if one is not None and one not in refused), None)
        if other is None or len(refused) == MAX_REFUSED:
            return False
        self._grant.try_refresh_token(other)
        return True

    def _nothing_to_send(self, stored: Token | None) -> LoginRequiredError:
        place = place_of(self._store)
        reason = f"{place} is empty, and" if stored is None else f"the token in {place} cannot be refreshed:"
        return LoginRequiredError(
            f"{reason} there is no refresh token; authorize and save the token there, or give refresh_token=… "
            "(from_env reads FOXY_API_REFRESH_TOKEN)"
        )

    def _adopt(self, stored: Token | None, flight: Flight, keep: Keep) -> bool:
        """
        Take over the store's token, if it is newer than ours; tell whether it serves.

        Everybody writes under the lock what comes after that which they have read there. So what is neither ours nor
        any that ours came after has come after ours. A server that was restored from a backup may hold an older one
        again, whose refresh token is spent.
        """
        if stored is None or self._overrides or stored.access_token in {*self._older, self._own}:
            return False
        own = self._grant.refresh_token
        token = replace(stored, refresh_token=stored.refresh_token or (own.reveal() if own else None))
        self._note_older(self._own)
        if not self._grant.usable(token, flight.rejected):
            self._grant.put(token)
            return False
        keep(flight, token)
        return True

    def _keep_and_save(self, flight: Flight, token: Token, keep: Keep, *, is_rotated: bool) -> None:
        self._note_older(self._own)
        if not keep(flight, token):
            return
        self._overrides = False
        self._lock_is_wanted.clear()
        self.saving.expect(token)
        self._step(flight)
        if not self.saving.deliver_now(token, self._store.save):
            flight.end()  # nobody needs to wait for more
            if is_rotated:
                self._save_again(token)

    def _save_again(self, token: Token) -> None:
        """Keep the lock for a while: whoever got it now would read, and send, a refresh token that is spent."""
        until = monotonic() + SAVE_LIMIT * self._timeout
        while self.saving.is_pending and monotonic() < until:
            if self._lock_is_wanted.wait(SAVE_PAUSE):
                self._lock_is_wanted.clear()
                self.saving.deliver_now(token, self._write)  # whoever waits hears of a failure
                continue
            with suppress(Exception):  # the failure is logged already
                self._write(token)
                self.saving.record_success(token)

    def remove(self, job: Job[None], secrets: Iterable[Secret]) -> None:
        """
        Remove the record, when no other process refreshes.

        Args:
            job: Part of which this is.

            secrets: What errors must not repeat.

        Raises:
            StoreError: The record may still be there.
        """
        self._first_refresh_token, self._older = None, ()
        job.step((LOCK_LIMIT + 1) * self._timeout, StoreError(f"the store does not answer; look after it{MAY_REMAIN}"))
        try:
            with self._store.lock(LOCK_LIMIT * self._timeout):
                self._store.delete()
        except BaseException as error:  # noqa: BLE001 - a store of the user raises what it likes
            failure = self._failure("locked" if isinstance(error, TimeoutError) else "cleared", error, secrets)
            raise StoreError(f"{failure}{MAY_REMAIN}") from failure.__cause__

    def check_removable(self) -> None:
        """Refuse a store that cannot delete."""
        check_deletes(self._store)

    # --- the store ---------------------------------------------------------------------------------------------------

    @property
    def _own(self) -> str | None:
        return self._grant.token.access_token if self._grant.token else None

    def _note_older(self, access_token: str | None) -> None:
        """Note that this one is older than the one that comes now."""
        if access_token is not None:
            self._older = (*self._older, access_token)[-REMEMBERED:]

    def _step(self, flight: Flight) -> None:
        text = "the store does not answer; look after it, and whether something holds its lock for ever"
        flight.step(self._timeout, StoreError(text))

    def _load(self, flight: Flight | None = None) -> Token | None:
        if flight is not None:
            self._step(flight)
        try:
            stored: object = self._store.load()
        except Exception as error:  # noqa: BLE001 - a store of the user raises what it likes
            failure = self._failure("read", error)
            raise failure from failure.__cause__
        if stored is None:
            return None
        if not isinstance(stored, Token):
            message = f"the store's load returned {kind(stored)}, not a Token or None; Token.from_dict(…) makes one"
            raise StoreError(message)
        self._check_environment(stored)
        return stored

    def _check_environment(self, stored: Token) -> None:
        """Refuse the token of another environment: it must not be sent to this one, nor be replaced by its tokens."""
        if self._origins and (home := foreign_home(stored.api, self._origins)):
            raise StoreError(
                f"{place_of(self._store)} holds a token of {home}, and this object is for {self._environment}: give "
                "each environment a store of its own"
            )

    def _failure(self, action: str, error: BaseException, secrets: Iterable[Secret] = ()) -> StoreError:
        """Return what those who wait get; the user's own store may raise `StoreError` too."""
        cause = self._cut(error, secrets)
        if isinstance(cause, StoreError):
            return cause
        failure = StoreError(f"the store cannot be {action} ({kind(error)}); repair it")
        failure.__cause__ = cause
        return failure

    def _cut(self, error: BaseException, secrets: Iterable[Secret] = ()) -> BaseException:
        secrets = (*secrets, *self._grant.secrets)
        is_ours = isinstance(error, StoreError) and type(self._store).__module__.startswith("foxy_auth.")
        return without_secrets(error, secrets, guess=not is_ours)

    def _save_later(self, token: Token) -> None:
        """Save a token that could not be saved when it was issued, unless there is a newer one here or there."""
        self._lock_is_wanted.set()
        with self._store.lock(self._timeout):
            self._write(token)

    def _write(self, token: Token) -> None:
        if token.access_token != self._own:
            return
        stored = None if self._overrides else self._load()
        if stored is None or stored.access_token in self._older:
            self._store.save(token)
        self._overrides = False
