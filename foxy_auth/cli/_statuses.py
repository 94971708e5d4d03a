"""The exit statuses, one table for all commands."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from foxy_auth.errors import (
    AuthorizationError,
    FoxyAuthError,
    LoginRequiredError,
    RegistrationError,
    StoreError,
    TokenRefusedError,
    TokenUnavailableError,
)


class Status(IntEnum):
    """What a command ends with, and what that means."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> Self:
        """Give a number its meaning."""
        status = int.__new__(cls, number)
        status._value_ = number
        status.meaning = meaning
        return status

    DONE = 0, "Done."
    FAILED = 1, "It went otherwise than expected."
    USAGE = 2, "Wrong use, or something is not installed."
    LOGIN_REQUIRED = 3, "The grant is gone: log in again."
    REFUSED = 4, "Foxy refuses the client or the request: repair the configuration."
    UNAVAILABLE = 5, "Foxy gave no usable answer: try later."
    UNAUTHORIZED = 6, "Access was denied, or the authorization did not finish: start over."
    UNREGISTERED = 7, "Foxy refused to create something: repair what was sent."
    UNSAVED = 8, "The token could not be saved: repair the place."
    UNANSWERED = 9, "Nobody answered in the browser in time: start over."
    UNHEARD = 10, "The redirect URI's port cannot be listened on: free it, or use another."
    INTERRUPTED = 130, "Interrupted by Ctrl-C."  # as shells have it: 128 + SIGINT


OF_ERRORS: dict[type[FoxyAuthError], Status] = {
    LoginRequiredError: Status.LOGIN_REQUIRED,
    TokenRefusedError: Status.REFUSED,
    TokenUnavailableError: Status.UNAVAILABLE,
    AuthorizationError: Status.UNAUTHORIZED,
    RegistrationError: Status.UNREGISTERED,
    StoreError: Status.UNSAVED,
}


def status_of(error: FoxyAuthError) -> Status:
    """Return what a command ends with that *error* has ended."""
    return next((status for kind, status in OF_ERRORS.items() if isinstance(error, kind)), Status.FAILED)


def table(*without: Status) -> str:
    """Write the table for a command's help, but for what the command never ends with."""
    rows = [f"{status:>5}  {status.meaning}" for status in Status if status not in without]
    return "\n".join(["\b", "Exit status:", *rows])  # the first keeps click from filling the lines
