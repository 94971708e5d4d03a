"""The life of a grant at random: whatever provider, network and program do, no token is lost or asked for twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any

import requests
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from laws import LAW
from sources import PATIENCE, FakeClock, auth_for, source_for

from foxy_auth.emulator import Emulator
from foxy_auth.errors import FoxyAuthError

if TYPE_CHECKING:
    from foxy_auth._engine.token_endpoint import Exchange
    from foxy_auth.token import Token


class WatchedExchange:
    """An exchange that notices how many token calls are under way at once."""

    def __init__(self, exchange: Exchange) -> None:
        """Watch *exchange*."""
        self._exchange = exchange
        self._lock = Lock()
        self._under_way = 0
        self.most = 0

    def refresh(self, *args: Any, **options: Any) -> Token:
        """Pass the call on."""
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            return self._exchange.refresh(*args, **options)
        finally:
            with self._lock:
                self._under_way -= 1


class Life(RuleBasedStateMachine):
    """
    A grant, its provider and its program.

    Attributes:
        alive: The provider still honours the grant.

        at_risk: An answer of a provider that rotates may have been lost, and with it the grant.
    """

    def __init__(self) -> None:
        """Open the provider."""
        super().__init__()
        self.clock = FakeClock()
        self.foxy = Emulator(clock=self.clock.now)
        self.foxy.start()
        self.threads = ThreadPoolExecutor(5)

    def teardown(self) -> None:
        """Close everything."""
        self.threads.shutdown()
        self.foxy.close()

    # --- what happens ------------------------------------------------------------------------------------------------

    @initialize(rotate=st.booleans())
    def begin(self, rotate: bool) -> None:  # noqa: FBT001 - hypothesis gives it by name
        """Begin with a provider that spends refresh tokens, or does not."""
        self.foxy.rotate_refresh_tokens = rotate
        self.log_in()

    def log_in(self) -> None:
        """Begin with a new grant."""
        self.foxy.clear_faults()
        self.alive, self.at_risk, self.lossy = True, False, False
        self.saved = self.foxy.grant()
        self.start()

    @rule()
    def log_in_again(self) -> None:
        """Replace the grant by a new one."""
        self.log_in()

    @rule()
    def restart(self) -> None:
        """Start the program anew, from what was saved."""
        self.start()

    def start(self) -> None:
        """Make the auth object of a program that has just started."""
        source: Any = source_for(self.foxy, self.saved, on_token=self.save, clock=self.clock)
        self.source, self.exchange = source, WatchedExchange(source._exchange)
        source._exchange = self.exchange
        self.auth = auth_for(self.foxy, self.saved)
        self.auth._source = source

    def save(self, token: Token) -> None:
        """Keep *token* as a program's store would."""
        self.saved = token

    @rule(callers=st.sampled_from([1, 1, 5]))
    def use(self, callers: int) -> None:
        """Call the API, some at once."""
        outcomes = list(self.threads.map(lambda _: self.call(), range(callers)))

        assert set(outcomes) <= {"200", "error"}

    def call(self) -> str:
        """Call the API; return the status, or that one of our errors was raised."""
        try:
            return str(requests.get(self.foxy.store_url, auth=self.auth, timeout=PATIENCE).status_code)
        except FoxyAuthError:
            return "error"
        finally:
            self.source.flush()

    @rule()
    def heal_and_use(self) -> None:
        """Once the provider is healthy and an hour has passed, a living grant serves."""
        self.foxy.clear_faults()
        self.lossy = False
        self.clock.advance(3601.0)
        outcome = self.call()

        assert outcome == "200" or not self.alive or self.at_risk

    @rule(status=st.sampled_from([400, 429, 500]))
    def pass_through_trouble(self, status: int) -> None:
        """A trouble in the midst of a need for a token leaves nothing behind."""
        self.foxy.expire_access_tokens()
        self.foxy.fail(status, times=4)
        self.call()
        self.heal_and_use()

    @rule(seconds=st.sampled_from([1.0, 31.0, 3500.0, 6950.0, 7100.0, 7150.0, 7200.0, 10.0**6]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass, here and there."""
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-8000.0, -100.0, 8000.0]))
    def jump(self, seconds: float) -> None:
        """Let the clocks jump."""
        self.clock.jump(seconds)

    @rule(life=st.sampled_from([5.0, 60.0, 7200.0]))
    def change_life(self, life: float) -> None:
        """Let the provider issue tokens of another life."""
        self.foxy.access_token_life = life

    @rule()
    def expire(self) -> None:
        """Let the provider expire the access tokens before their time."""
        self.foxy.expire_access_tokens()

    @rule()
    def revoke(self) -> None:
        """Let the provider forget the access tokens."""
        self.foxy.revoke_access_tokens()

    @rule()
    def end_grant(self) -> None:
        """Let the provider forget the grant."""
        self.foxy.revoke_refresh_tokens()
        self.alive = False

    @rule(rotate=st.booleans())
    def rotate(self, rotate: bool) -> None:  # noqa: FBT001 - hypothesis gives it by name
        """Let the provider spend refresh tokens, or not."""
        self.foxy.rotate_refresh_tokens = rotate
        self.at_risk |= rotate and self.lossy

    @rule(
        status=st.sampled_from([400, 429, 500, 503]), times=st.integers(1, 4), wait=st.sampled_from([None, "5", "90"])
    )
    def fail(self, status: int, times: int, wait: str | None) -> None:
        """Let the token endpoint fail before it does anything."""
        self.foxy.fail(status, times=times, headers={"Retry-After": wait} if wait else None)

    @rule()
    def hang_up(self) -> None:
        """Let the token endpoint drop a call before it does anything."""
        self.foxy.drop()

    @rule(how=st.sampled_from(["drop", "truncate", "504", "html"]))
    def lose_answer(self, how: str) -> None:
        """Let an answer of the token endpoint get lost, after a token was issued."""
        match how:
            case "drop":
                self.foxy.drop(after=True)
            case "truncate":
                self.foxy.truncate()
            case "504":
                self.foxy.fail(504, after=True)
            case _:
                self.foxy.fail(200, body="<html>", after=True)
        self.lossy = True
        self.at_risk |= self.foxy.rotate_refresh_tokens

    # --- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def one_exchange_at_a_time(self) -> None:
        """R7: Never two token calls at once."""
        assert self.exchange.most <= 1

    @invariant()
    def what_was_saved_is_what_is_in_memory(self) -> None:
        """R19: Between requests nothing is unsaved."""
        assert self.source.current == self.saved

    @precondition(lambda self: self.alive and not self.at_risk)
    @invariant()
    def the_saved_refresh_token_is_the_providers(self) -> None:
        """R9, R10: Unless an answer was lost, what is saved is the refresh token that the provider takes."""
        assert self.saved.refresh_token == self.foxy.current_refresh_token


Life.TestCase.settings = settings(LAW, max_examples=50, stateful_step_count=40)
TestLife = Life.TestCase
