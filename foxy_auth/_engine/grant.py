"""What this process knows of a grant: its token, ready to sign requests with, and its refresh token."""

from __future__ import annotations

from dataclasses import dataclass

from foxy_auth._engine.clock import Clock
from foxy_auth._engine.freshness import Freshness, Schedule, Windows
from foxy_auth._oauth.messages import AuthorizationHeader, authorization_header
from foxy_auth._secrets import Secret
from foxy_auth.token import Token, refresh_secret


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
    """

    def __init__(self, token: Token | None, refresh_token: Secret | None, windows: Windows, clock: Clock) -> None:
        """Begin with a token, a refresh token or both."""
        self._windows = windows
        self._clock = clock
        self.signature: Signature | None = None
        if token is not None:
            self.put(token)
        self.refresh_token = refresh_token

    def put(self, token: Token) -> None:
        """Let *token* be the one in memory."""
        schedule = self._windows.schedule(token, jitter=self._clock.chance())
        self.refresh_token = refresh_secret(token)
        self.signature = Signature(token, authorization_header(token), schedule.fresh_from, schedule.stale_at, schedule)

    def __getstate__(self) -> tuple[Token | None, Secret | None, Windows, Clock]:
        """Leave out the signature, which would be pickled without its secret."""
        return self.token, self.refresh_token, self._windows, self._clock

    def __setstate__(self, state: tuple[Token | None, Secret | None, Windows, Clock]) -> None:
        self.__init__(*state)  # type: ignore[misc]

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
