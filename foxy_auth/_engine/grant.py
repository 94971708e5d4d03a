"""What this process knows of a grant: its token, ready to sign requests with, and its refresh token."""

from __future__ import annotations

from dataclasses import dataclass

from foxy_auth._engine.clock import Clock
from foxy_auth._engine.freshness import Freshness, Schedule, Windows
from foxy_auth._oauth.messages import AuthorizationHeader, authorization_header
from foxy_auth._secrets import Secret
from foxy_auth.errors import LoginRequiredError
from foxy_auth.token import Token, refresh_secret, secrets_of


@dataclass(frozen=True, slots=True)
class Signature:
    """
    A token as requests need it; immutable, so that one read gives all that belongs together.

    Attributes:
        token: The token.

        authorization: The value of its Authorization header.

        fresh_from: The token signs requests at once from this instant on …

        fresh_until: … and up to this one.

        schedule: What happens later.
    """

    token: Token
    authorization: AuthorizationHeader
    fresh_from: float
    fresh_until: float
    schedule: Schedule


class Grant:
    """
    The tokens of one grant in memory.

    Attributes:
        signature: The token in memory; None before the first one.

        refresh_token: What the next token request sends.

        is_over: Whether the program has logged out: there is no token any more, and there will be none.
    """

    def __init__(self, token: Token | None, refresh_token: Secret | None, windows: Windows, clock: Clock) -> None:
        """Begin with a token, a refresh token or both."""
        self._windows = windows
        self._clock = clock
        self.signature: Signature | None = None
        self.is_over = False
        if token is not None:
            self.put(token)
        self.refresh_token = refresh_token

    def put(self, token: Token) -> None:
        """Let *token* be the one in memory; `LoginRequiredError` after `end`."""
        schedule = self._windows.schedule(token, jitter=self._clock.chance())
        self.refresh_token = refresh_secret(token)
        self.signature = Signature(token, authorization_header(token), schedule.fresh_from, schedule.stale_at, schedule)
        self.check()

    def try_refresh_token(self, refresh_token: Secret) -> None:
        """Let *refresh_token* be what the next token request sends; `LoginRequiredError` after `end`."""
        self.refresh_token = refresh_token
        self.check()

    def end(self) -> None:
        """Forget the token, for good."""
        self.is_over = True
        self.signature = self.refresh_token = None

    def check(self) -> None:
        """Raise `LoginRequiredError` after `end`."""
        if self.is_over:
            self.end()  # a flight may have put something there since
            raise LoginRequiredError("this auth object was logged out; authorize again, and make a new one")

    def __getstate__(self) -> tuple[Token | None, Secret | None, Windows, Clock, bool]:
        """Leave out the signature, which would be pickled without its secret."""
        return self.token, self.refresh_token, self._windows, self._clock, self.is_over

    def __setstate__(self, state: tuple[Token | None, Secret | None, Windows, Clock, bool]) -> None:
        token, refresh_token, windows, clock, is_over = state
        self.__init__(token, refresh_token, windows, clock)  # type: ignore[misc]
        if is_over:
            self.end()

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What is secret about the grant."""
        return (*(secrets_of(self.token) if self.token else ()), *((self.refresh_token,) if self.refresh_token else ()))

    @property
    def token(self) -> Token | None:
        """The token in memory, whatever its freshness."""
        return self.signature.token if self.signature else None

    def freshness(self, signature: Signature | None, rejected: Token | None) -> Freshness:
        """Judge a signature; one whose token was *rejected*, or None, counts as expired."""
        if signature is None or (rejected and signature.token.access_token == rejected.access_token):
            return Freshness.EXPIRED
        return signature.schedule.freshness(self._clock.now())

    def usable(self, token: Token, rejected: Token | None) -> bool:
        """Tell whether requests may use *token* without waiting."""
        if rejected and token.access_token == rejected.access_token:
            return False
        freshness = self._windows.schedule(token).freshness(self._clock.now())
        return freshness in {Freshness.FRESH, Freshness.STALE}
