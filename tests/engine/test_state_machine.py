"""A random life of a grant: whatever the provider, the network and the program do, no token is lost or burnt."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from typing import TYPE_CHECKING

import requests
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.properties import PROPERTY
from support.sources import DEADLINE, FakeClock, auth_for

from foxy_auth.emulator import Emulator
from foxy_auth.errors import FoxyAuthError

if TYPE_CHECKING:
    from foxy_auth.token import Token

TICK = 1e-6  # seconds from one look of the provider at its clock to the next


class Life(RuleBasedStateMachine):
    """
    A grant, its provider and its program.

    Attributes:
        is_alive: The provider still takes the grant.

        is_at_risk: A response of a provider that rotates may have been lost, and with it the grant.

        is_lossy: A fault may still be there that loses a response.
    """

    def __init__(self) -> None:
        """Start the provider, whose clock shows the order of what it does."""
        super().__init__()
        self.clock = FakeClock()
        ticks = count()
        self.foxy = Emulator(clock=lambda: self.clock.now() + TICK * next(ticks))
        self.foxy.start()
        self.threads = ThreadPoolExecutor(5)

    def teardown(self) -> None:
        """Close everything."""
        self.threads.shutdown()
        self.foxy.close()

    # --- what happens ------------------------------------------------------------------------------------------------

    @initialize(rotate=st.booleans())
    def begin(self, rotate: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Begin with a provider that rotates refresh tokens, or does not."""
        self.foxy.rotate_refresh_tokens = rotate
        self.log_in()

    def log_in(self) -> None:
        """Begin with a new grant."""
        self.foxy.clear_faults()
        self.is_alive, self.is_at_risk, self.is_lossy = True, False, False
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
        self.auth = auth_for(self.foxy, self.saved, on_token=self.save, clock=self.clock)

    def save(self, token: Token) -> None:
        """Save *token*, as programs do."""
        self.saved = token

    @rule(callers=st.sampled_from([1, 1, 5]))
    def use(self, callers: int) -> None:
        """Call the API, from several threads at the same time."""
        outcomes = list(self.threads.map(lambda _: self.call(), range(callers)))

        assert set(outcomes) <= {"200", "error"}

    def call(self) -> str:
        """Call the API; return the status, or "error" for one of ours."""
        try:
            return str(requests.get(self.foxy.store_url, auth=self.auth, timeout=DEADLINE).status_code)
        except FoxyAuthError:
            return "error"
        finally:
            self.auth.flush()

    @rule()
    def heal_and_use(self) -> None:
        """Without faults and an hour later, a grant that is alive serves."""
        self.foxy.clear_faults()
        self.is_lossy = False
        self.clock.advance(3601.0)
        outcome = self.call()

        assert outcome == "200" or not self.is_alive or self.is_at_risk

    @rule(status=st.sampled_from([400, 429, 500]))
    def fail_and_heal(self, status: int) -> None:
        """Let several token requests fail while a token is needed; nothing is left behind."""
        self.foxy.expire_access_tokens()
        self.foxy.fail(status, times=4)
        self.call()
        self.heal_and_use()

    @rule(seconds=st.sampled_from([1.0, 31.0, 3500.0, 6950.0, 7100.0, 7150.0, 7200.0, 10.0**6]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-8000.0, -100.0, 8000.0]))
    def jump(self, seconds: float) -> None:
        """Let the clock jump."""
        self.clock.jump(seconds)

    @rule(life=st.sampled_from([5.0, 60.0, 7200.0]))
    def change_life(self, life: float) -> None:
        """Let the provider issue access tokens with another life."""
        self.foxy.access_token_life = life

    @rule()
    def expire(self) -> None:
        """Let the provider expire the access tokens before their time."""
        self.foxy.expire_access_tokens()

    @rule()
    def revoke(self) -> None:
        """Let the provider revoke the access tokens."""
        self.foxy.revoke_access_tokens()

    @rule()
    def end_grant(self) -> None:
        """Let the provider revoke the grant."""
        self.foxy.revoke_refresh_tokens()
        self.is_alive = False

    @rule(rotate=st.booleans())
    def rotate(self, rotate: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Let the provider rotate refresh tokens, or not."""
        self.foxy.rotate_refresh_tokens = rotate
        self.is_at_risk |= rotate and self.is_lossy

    @rule(
        status=st.sampled_from([400, 429, 500, 503]), times=st.integers(1, 4), wait=st.sampled_from([None, "5", "90"])
    )
    def fail(self, status: int, times: int, wait: str | None) -> None:
        """Let the token endpoint fail before it does anything."""
        self.foxy.fail(status, times=times, headers={"Retry-After": wait} if wait else None)

    @rule()
    def hang_up(self) -> None:
        """Let the token endpoint drop a request before it does anything."""
        self.foxy.drop()

    @rule(how=st.sampled_from(["drop", "truncate", "504", "html"]))
    def lose_response(self, how: str) -> None:
        """Let a response of the token endpoint be lost, after a token was issued."""
        match how:
            case "drop":
                self.foxy.drop(after=True)
            case "truncate":
                self.foxy.truncate()
            case "504":
                self.foxy.fail(504, after=True)
            case _:
                self.foxy.fail(200, body="<html>", after=True)
        self.is_lossy = True
        self.is_at_risk |= self.foxy.rotate_refresh_tokens

    # --- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def one_token_request_at_a_time(self) -> None:
        """R7: No token request arrives before the one before it was answered."""
        answered = [call for call in self.foxy.token_calls if call.answered_at is not None]
        self.foxy.clear_calls()

        assert all(call.arrived_at > before.answered_at for before, call in pairwise(answered) if before.answered_at)

    @invariant()
    def what_was_saved_is_what_is_in_memory(self) -> None:
        """R19: Between requests, every token has been delivered."""
        assert self.auth.token == self.saved

    @precondition(lambda self: self.is_alive and not self.is_at_risk)
    @invariant()
    def the_saved_refresh_token_is_the_providers(self) -> None:
        """R9, R10: Unless a response was lost, the saved refresh token is the one that the provider takes."""
        assert self.saved.refresh_token == self.foxy.current_refresh_token


Life.TestCase.settings = settings(PROPERTY, max_examples=50, stateful_step_count=40)
TestLife = Life.TestCase
