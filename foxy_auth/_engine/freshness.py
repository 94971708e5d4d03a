"""The one place that decides how fresh a token is (R4, R5, R6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from foxy_auth.token import Token

# A short-lived token must not spend its whole life inside the windows, or every request would refresh it.
REFRESH_AHEAD_SHARE = 0.25
LEEWAY_SHARE = 0.1
# The share of the refresh-ahead window that chance takes away, so that a fleet does not refresh at the same instant:
# up to 60 s of the default 300 s.
JITTER_SHARE = 0.2


class Freshness(Enum):
    """What to do about a token before it is used."""

    FRESH = auto()  # nothing
    STALE = auto()  # refresh in the background
    DUE = auto()  # wait for a refresh; if that fails, the token still serves
    EXPIRED = auto()  # wait for a refresh


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    When a token changes its freshness, as instants.

    Attributes:
        fresh_from: Before it, the token was obtained in the future: a clock has jumped, and its expiry means nothing.

        stale_at: From then on it is refreshed in the background.

        due_at: From then on requests wait for the refresh.

        expires_at: From then on it does not serve.
    """

    fresh_from: float
    stale_at: float
    due_at: float
    expires_at: float

    def freshness(self, now: float) -> Freshness:
        """Judge the token at *now*, in seconds since the epoch."""
        if now >= self.expires_at:
            return Freshness.EXPIRED
        if now < self.fresh_from or now >= self.due_at:
            return Freshness.DUE
        return Freshness.STALE if now >= self.stale_at else Freshness.FRESH


@dataclass(frozen=True, slots=True)
class Windows:
    """
    How long before its expiry a token is refreshed, in seconds.

    Attributes:
        refresh_ahead: A refresh in the background starts so long before.

        leeway: Requests wait for the refresh from so long before.
    """

    refresh_ahead: float
    leeway: float

    def schedule(self, token: Token, *, jitter: float = 0.0) -> Schedule:
        """
        Plan the refresh of *token*; one without a known expiry is fresh until a 401 says otherwise.

        Args:
            token: The token.

            jitter: A number from 0 to 1, drawn once for each token, which shortens the refresh-ahead window.
        """
        fresh_from = -inf if token.obtained_at is None else token.obtained_at - self.leeway
        if token.expires_at is None:
            return Schedule(fresh_from, inf, inf, inf)
        ahead = _capped(self.refresh_ahead, REFRESH_AHEAD_SHARE, token.life) * (1 - JITTER_SHARE * jitter)
        leeway = _capped(self.leeway, LEEWAY_SHARE, token.life)
        return Schedule(fresh_from, token.expires_at - max(ahead, leeway), token.expires_at - leeway, token.expires_at)


def _capped(window: float, share: float, life: float | None) -> float:
    return window if life is None else min(window, share * max(life, 0.0))
