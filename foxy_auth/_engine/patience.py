"""How often and how long a token call is tried (R13)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from foxy_auth._engine.clock import Clock
from foxy_auth.errors import TokenUnavailableError
from foxy_auth.token import Token

ATTEMPTS = 3
FIRST_PAUSE = 0.5  # seconds before the second attempt; doubled with each
# No attempt begins later than after this many timeouts.
PATIENCE = 3

logger = logging.getLogger("foxy_auth")


def patiently(call: Callable[[float], Token], *, timeout: float, clock: Clock) -> Token:
    """
    Make a token call, again where that is safe and there is time.

    Args:
        call: Makes one attempt, with so many seconds for each wait on the network.

        timeout: Those seconds; later attempts get what is left of the patience, if that is less.

        clock: Time and chance.

    Raises:
        FoxyAuthError: What the last attempt raised.
    """
    until = clock.monotonic() + PATIENCE * timeout
    for attempt in range(ATTEMPTS):
        left = until - clock.monotonic()
        try:
            return call(min(timeout, left))
        except TokenUnavailableError as error:
            pause = _pause(attempt, error, clock)
            if not error.repeatable or attempt == ATTEMPTS - 1 or clock.monotonic() + pause >= until:
                raise
            logger.info("the token call is repeated in %.1f s: %s", pause, error)
        clock.sleep(pause)
    raise AssertionError  # the last attempt returns or raises


def _pause(attempt: int, error: TokenUnavailableError, clock: Clock) -> float:
    """Return the seconds to wait after *attempt*: exponential, jittered, and as long as the provider asks."""
    backoff = FIRST_PAUSE * 2.0**attempt * (0.5 + clock.chance() / 2)
    return max(backoff, error.retry_after or 0.0)
