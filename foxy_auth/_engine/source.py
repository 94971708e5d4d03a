"""
The engine: the one owner of a grant's tokens.

Whoever needs a token asks `TokenSource`. Mostly it has one, and answers at once. Otherwise a *flight* gets a new one: a
job that locks, loads, exchanges the refresh token, saves and delivers, in this order. At most one flight is under way;
all who need its outcome wait for it, and may stop waiting whenever they like (R7 to R9).
"""

from __future__ import annotations

import os
from threading import Lock
from typing import Any, NamedTuple, Self
from weakref import WeakSet

from foxy_auth._engine.backoff import Backoff
from foxy_auth._engine.concurrency import Job, in_thread, present_loop, start
from foxy_auth._engine.delivery import Delivery, Recipient, run_all
from foxy_auth._engine.event_loops import Loop, running_loop
from foxy_auth._engine.freshness import Freshness, Windows
from foxy_auth._engine.grant import Grant, Signature
from foxy_auth._engine.renewal import Flight, LocalRenewal, SharedRenewal
from foxy_auth._engine.token_endpoint import TokenEndpoint
from foxy_auth._events import EventName, record
from foxy_auth._secrets import Secret, without_secrets
from foxy_auth._time import monotonic
from foxy_auth.errors import FoxyAuthError, StoreError, TokenUnavailableError
from foxy_auth.stores import TokenStore
from foxy_auth.token import Token


class Obtained(NamedTuple):
    """
    A signature for a request, and how it came about.

    Attributes:
        signature: The signature.

        is_issued: Whether the token was issued because of this request, and not found in memory or in a store.
    """

    signature: Signature
    is_issued: bool


class TokenSource:
    """
    Gives usable tokens to any mix of threads, event loops and clients.

    Attributes:
        grant: The tokens in memory; requests read its signature without a lock.

        now: Seconds since the epoch, UTC.

        environment: The API home, for events.
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        *,
        token: Token | None,
        refresh_token: Secret | None,
        windows: Windows,
        on_token: Recipient | None = None,
        store: TokenStore | None = None,
    ) -> None:
        """
        Own *token* and what comes after it.

        Args:
            endpoint: Where tokens come from.

            token: The token to begin with, if there is one.

            refresh_token: The refresh token to begin with.

            windows: When to refresh.

            on_token: Called with every new token.

            store: Where the token lives, if others share the grant.
        """
        clock, self.timeout, self.now = endpoint.clock, endpoint.timeout, endpoint.clock.now
        self.environment = endpoint.environment
        self.grant = Grant(token, refresh_token, windows, clock)
        self._delivery = Delivery(on_token, timeout=self.timeout, clock=clock.monotonic, environment=self.environment)
        self._backoff = Backoff(clock)
        local = LocalRenewal(endpoint, self.grant, self._backoff)
        self._renewal: LocalRenewal | SharedRenewal = local
        if store is not None:
            self._renewal = SharedRenewal(local, self.grant, store, endpoint)
        self._start_over()

    def _start_over(self) -> None:
        """Begin with no flight under way: at first, out of a pickle, and in a forked child."""
        self._lock = (
            Lock()
        )  # guards the choice "start or join" and the outcome; never held while anything is waited for
        self._flight: Flight | None = None  # the one that is to bring a token
        self._last_flight: Flight | None = None  # it may still be saving and delivering
        self._started = self._newest = 0  # the number of the last flight, and of the one that brought the present token
        _sources.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        names = ("grant", "timeout", "now", "environment", "_delivery", "_backoff", "_renewal")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_over()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Stay one: two owners of a refresh token that serves once would burn the grant."""
        return self

    def reset(self) -> None:
        """Forget the parent's flight, whose thread a forked child does not have."""
        self._start_over()
        self._backoff.reset()
        self._renewal.reset()
        self._delivery.reset()

    # --- for callers -------------------------------------------------------------------------------------------------

    def obtain(self, library: str, rejected: Token | None = None) -> Obtained:
        """
        Return the signature of a usable token, waiting for a refresh if need be.

        Args:
            library: The client library that needs it, through which a token request would go out.

            rejected: The token that the API has refused, or that the caller wants replaced.

        Raises:
            LoginRequiredError, TokenRefusedError, TokenUnavailableError, StoreError: There is none to be had.
        """
        since = monotonic()
        signature, flight = self._signature_or_flight(library, rejected, None)
        if flight is None:
            return self._found(signature)
        try:
            with self._delivery.while_blocking_loop():
                flight.wait(since=since)
        except FoxyAuthError as error:
            return self._found(self._serving(signature, flight, error))
        return self._brought(flight)

    async def aobtain(self, library: str, rejected: Token | None = None) -> Obtained:
        """Async version of `obtain`, on asyncio or trio."""
        since = monotonic()
        signature, flight = self._signature_or_flight(library, rejected, running_loop())
        if flight is None:
            return self._found(signature)
        try:
            await flight.await_(since=since)
        except FoxyAuthError as error:
            return self._found(self._serving(signature, flight, error))
        return self._brought(flight)

    def record_retry(self, token: Token, *, rejected: bool) -> None:
        """Note how the API answered a request with a token that was issued because it had refused another."""
        self._backoff.record_retry(token, rejected=rejected)

    @property
    def is_refresh_futile(self) -> bool:
        """Whether the API refuses every new token at once, so that tokens are not the trouble."""
        return self._backoff.is_refresh_futile

    def offer(self) -> None:
        """Save and deliver the token in memory, as one that is new."""
        if self.grant.token is None:
            return
        deliveries = [self._delivery]
        if isinstance(self._renewal, SharedRenewal):
            self._renewal.override(self.grant.token)
            deliveries.insert(0, self._renewal.saving)
        self._delivery.expect(self.grant.token, present_loop())
        run_all(*deliveries, timeout=self.timeout)

    def flush(self) -> None:
        """Wait for a refresh under way, save and deliver what is not; `StoreError` if that fails."""
        if self._delivery.is_calling_here:  # a callback would wait for the flight that waits for it
            return
        with self._delivery.while_blocking_loop():
            self._flush(None)

    async def aflush(self) -> None:
        """Async version of `flush`."""
        if not self._delivery.is_calling_here:
            loop = running_loop()
            await in_thread(lambda: self._flush(loop), timeout=self.timeout)

    def _flush(self, loop: Loop | None) -> None:
        if self._last_flight is not None:
            self._last_flight.wait_for_end()
        try:
            if isinstance(self._renewal, SharedRenewal):
                self._renewal.saving.flush()
        finally:
            self._delivery.flush(loop)

    def log_out(self) -> None:
        """Forget the token for good, and remove the record from the store; `StoreError` if that fails."""
        with self._delivery.while_blocking_loop():
            self._start_logout().wait()

    async def alog_out(self) -> None:
        """Async version of `log_out`."""
        await self._start_logout().await_()

    def _start_logout(self) -> Job[None]:
        shared = self._renewal if isinstance(self._renewal, SharedRenewal) else None
        if shared:
            shared.check_removable()
        with self._lock:
            token, secrets, flight = self.grant.token, self.grant.secrets, self._last_flight
            self.grant.end()
            self._flight = self._last_flight = None
            self._backoff.reset()
        self._delivery.end()
        if shared:
            shared.saving.end()

        waits = not self._delivery.is_calling_here  # a callback that logs out would wait for itself

        def finish(job: Job[None]) -> None:
            if waits and flight:
                flight.wait_for_end()
            if waits:
                self._delivery.wait_for_call()
            if shared:
                shared.remove(job, secrets)
            self._record("logged_out", "the token was removed", token)

        return start(Job(finish, timeout=self.timeout, loop=present_loop()))

    # --- the choice --------------------------------------------------------------------------------------------------

    def _signature_or_flight(
        self, library: str, rejected: Token | None, loop: Loop | None
    ) -> tuple[Signature | None, Flight | None]:
        """Return a signature that serves, or a flight to wait for; both, if the one serves should the other fail."""
        with self._lock:
            self.grant.check()
            signature = self.grant.signature
            freshness = self.grant.freshness(signature, rejected)
            serves = freshness is not Freshness.EXPIRED
            if freshness is Freshness.FRESH or (serves and (self._backoff.is_resting() or self._renewal.is_gone())):
                return signature, None
            flight = self._flight
            if flight is not None and flight.is_overdue and not flight.has_begun:
                flight.abandon()  # whoever made it was interrupted before it was started
            if flight is None or flight.abandoned:
                if error := self._backoff.blocking_error():
                    raise error
                flight = self._flight = self._last_flight = self._new_flight(library, rejected, loop)
        start(flight)  # be it another's, who may have been interrupted before
        return signature if serves else None, None if freshness is Freshness.STALE else flight

    def _new_flight(self, library: str, rejected: Token | None, loop: Loop | None) -> Flight:
        self._started += 1
        return Flight(
            self._fly,
            number=self._started,
            library=library,
            rejected=rejected,
            timeout=self.timeout,
            limit=self._renewal.limit,
            loop=loop,
        )

    def _found(self, signature: Signature | None) -> Obtained:
        assert signature is not None  # noqa: S101 - without a flight there is one
        return Obtained(signature, is_issued=False)

    def _brought(self, flight: Flight) -> Obtained:
        if flight.is_overdue:  # something hangs; lest it be the store that keeps on_token from hearing of the token
            run_all(self._delivery, timeout=0.0)
        signature = self.grant.signature
        self.grant.check()
        assert signature is not None  # noqa: S101 - the flight has put one there
        return Obtained(signature, flight.has_exchanged)

    def _serving(self, signature: Signature | None, flight: Flight, error: FoxyAuthError) -> Signature:
        """Return the signature that serves all the same after *flight* has failed; raise *error* if there is none."""
        self.grant.check()
        if flight.abandoned:
            self._record_failure(flight, error)
        if self.grant.freshness(signature, None) is Freshness.EXPIRED:
            raise error
        assert signature is not None  # noqa: S101 - it would have expired
        return signature

    # --- the flight --------------------------------------------------------------------------------------------------

    def _fly(self, flight: Flight) -> Token:
        try:
            self._renewal.renew(flight, self._keep)
        except BaseException as cause:  # noqa: BLE001 - whatever it is, those who wait get an error of ours
            error = self._as_own_error(cause)
            del cause
            if not flight.abandoned:  # or nobody hears of it, and that was recorded
                self._record_failure(flight, error)
            raise error from error.__cause__
        if self._delivery.is_pending:
            flight.free_slot()  # a callback may take long, or need another token
            if self._delivery.is_pending:
                flight.step(self.timeout, StoreError("on_token takes too long"))
            self._delivery.run()
        return flight.outcome.result()

    @staticmethod
    def _as_own_error(error: BaseException) -> FoxyAuthError:
        """Return what those who wait get, whatever it was."""
        if isinstance(error, FoxyAuthError):
            return error
        own = TokenUnavailableError(f"the refresh broke off ({type(error).__name__}); try later")
        own.__cause__ = without_secrets(error)
        return own

    def _keep(self, flight: Flight, token: Token) -> bool:
        """Put *token* in memory, unless a newer one is there; from now on the flight is not to bring one."""
        with self._lock:
            if is_newest := flight.number > self._newest:
                self._newest = flight.number
                self.grant.put(token)
                self._backoff.record_success()
                if flight.has_exchanged:
                    self._delivery.expect(token, flight.loop)
            if self._flight is flight:
                self._flight = None
        if flight.has_exchanged:
            self._record("refreshed", "there is a new access token", token, seconds=flight.seconds)
        else:
            self._record("adopted", "an access token was found in the store", token)
        flight.settle(token)
        return is_newest

    def _record_failure(self, flight: Flight, error: FoxyAuthError) -> None:
        with self._lock:
            if self._flight is not flight:  # that was done when it was abandoned
                return
            self._flight = None
            self._backoff.record_failure(error, self.grant.refresh_token)
        fields: dict[str, Any] = {"error": type(error).__name__, "seconds": flight.seconds}
        self._record("refresh_failed", "the access token was not refreshed: %s", self.grant.token, error, **fields)

    def _record(self, event: EventName, text: str, token: Token | None, *values: object, **fields: Any) -> None:
        store_id = token.store_id if token else None
        record(event, text, *values, environment=self.environment, store_id=store_id, **fields)


_sources: WeakSet[TokenSource] = WeakSet()


def _after_fork() -> None:
    for source in list(_sources):
        source.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
