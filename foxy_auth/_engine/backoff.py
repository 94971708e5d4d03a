"""When not to ask for a token: after a failed refresh, and after new tokens that the API refused at once."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from foxy_auth._engine.clock import Clock
from foxy_auth._secrets import Secret
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, TokenRefusedError, TokenUnavailableError
from foxy_auth.token import Token

SPACING = 30.0  # seconds from a failed refresh to the next, while the token in memory still serves
# After so many refusals of this client in a row, or of new tokens by the API, nothing is asked for SPACING.
TOO_MANY = 3
LONGEST_RETRY_AFTER = 3600.0  # seconds that a provider's Retry-After is obeyed at most


@dataclass(frozen=True, slots=True)
class Failure:
    """
    The last refresh, which failed.

    Attributes:
        error: What it raised.

        refresh_token: The refresh token that was sent.

        retry_at: Until then a token that still serves is not refreshed.

        blocked_until: Until then no token is asked for at all.

        refusals: How often in a row the provider has refused this client.
    """

    error: FoxyAuthError
    refresh_token: Secret | None
    retry_at: float
    blocked_until: float
    refusals: int


class Backoff:
    """Remembers failures for as long as they have consequences."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything: the instants of one process mean nothing in another."""
        self._failure: Failure | None = None
        self._rejected: Token | None = None  # the last new token that the API refused at once
        self._rejections = 0  # how many in a row
        self._rejections_until = 0.0

    def __getstate__(self) -> Clock:
        return self._clock

    def __setstate__(self, clock: Clock) -> None:
        self.__init__(clock)  # type: ignore[misc]

    def record_failure(self, error: FoxyAuthError, refresh_token: Secret | None) -> None:
        """Note that a refresh with *refresh_token* has failed."""
        now, wait, refusals = self._clock.monotonic(), getattr(error, "retry_after", None) or 0.0, 0
        if isinstance(error, TokenRefusedError):
            refusals = (self._failure.refusals if self._failure else 0) + 1
            wait = SPACING if refusals >= TOO_MANY else 0.0
        blocked_until = now + min(wait, LONGEST_RETRY_AFTER)
        self._failure = Failure(error, refresh_token, now + SPACING, blocked_until, refusals)

    def record_success(self) -> None:
        """Note that there is a new token."""
        self._failure = None

    def grant_is_gone(self, refresh_token: Secret | None) -> LoginRequiredError | None:
        """Return the provider's refusal of *refresh_token*, if that was the last refresh."""
        failure = self._failure
        if failure and failure.refresh_token == refresh_token and isinstance(failure.error, LoginRequiredError):
            return failure.error
        return None

    def is_resting(self) -> bool:
        """Tell whether a refresh has failed so lately that a token that still serves is kept."""
        failure = self._failure
        return failure is not None and self._clock.monotonic() < max(failure.retry_at, failure.blocked_until)

    def blocking_error(self) -> FoxyAuthError | None:
        """Return the error to raise instead of asking for a token now, if there is one."""
        failure = self._failure
        if failure is None or self._clock.monotonic() >= failure.blocked_until:
            return None
        error = copy.copy(failure.error)
        if isinstance(error, TokenUnavailableError):
            error.retry_after = failure.blocked_until - self._clock.monotonic()
        return error

    def record_retry(self, token: Token, *, rejected: bool) -> None:
        """Note whether the API refused a *token* that had just been issued."""
        if not rejected:
            self._rejections = 0
        elif token is not self._rejected:
            self._rejections = self._rejections + 1 if self._clock.monotonic() < self._rejections_until else 1
            self._rejected, self._rejections_until = token, self._clock.monotonic() + SPACING

    @property
    def is_refresh_futile(self) -> bool:
        """Whether the API refuses every new token at once, so that tokens are not the trouble."""
        return self._rejections >= TOO_MANY and self._clock.monotonic() < self._rejections_until
