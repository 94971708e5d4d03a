"""The one place that decides how fresh a token is (R4, R5, R6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from foxy_auth.token import Token

# A short-lived token must not spend its whole life inside the windows, or every request would refresh it.
AHEAD_SHARE = 0.25
LEEWAY_SHARE = 0.1
# Part of the window ahead that chance takes away, so that a fleet does not refresh at the same instant:
# up to 60 s of the default 300 s.
JITTER_SHARE = 0.2


class Standing(Enum):
    """What is to be done about a token before it is used."""

    FRESH = auto()  # nothing
    AHEAD = auto()  # refresh, and wait for nobody
    DUE = auto()  # wait for a refresh; should that fail, the token still serves
    SPENT = auto()  # wait for a refresh


@dataclass(frozen=True, slots=True)
class Windows:
    """
    How long before its expiry a token is refreshed.

    Attributes:
        ahead: Seconds before expiry at which a refresh starts that nobody waits for.

        leeway: Seconds before expiry from which on callers wait for the refresh.
    """

    ahead: float
    leeway: float

    def standing(self, token: Token | None, now: float, *, jitter: float = 0.0) -> Standing:
        """
        Judge *token* at *now*, in seconds since the epoch.

        A token without a known expiry is fresh until a 401 says otherwise.
        One that was obtained in the future shows that a clock has jumped: its expiry is not to be relied on.

        Args:
            token: The token in hand.

            now: The present.

            jitter: A number from 0 to 1, drawn once for each token, by which the window ahead is shortened.
        """
        if token is None or token.expired(now):
            return Standing.SPENT
        if token.obtained_at is not None and token.obtained_at > now + self.leeway:
            return Standing.DUE
        if token.expires_at is None:
            return Standing.FRESH
        left = token.expires_at - now
        if left <= _capped(self.leeway, LEEWAY_SHARE, token.life):
            return Standing.DUE
        if left <= _capped(self.ahead, AHEAD_SHARE, token.life) * (1 - JITTER_SHARE * jitter):
            return Standing.AHEAD
        return Standing.FRESH


def _capped(window: float, share: float, life: float | None) -> float:
    return window if life is None else min(window, share * max(life, 0.0))
