"""The exit statuses: one table for all commands."""

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


class NoResponseError(FoxyAuthError):
    """Nobody has allowed or denied access in time."""


class PortUnavailableError(FoxyAuthError):
    """The port of the redirect URI cannot be listened on."""


class ExitStatus(IntEnum):
    """
    The exit status of a command.

    Attributes:
        meaning: What the help says about it.

        error: The error that ends a command with it, if there is one.
    """

    meaning: str
    error: type[FoxyAuthError] | None

    def __new__(cls, number: int, meaning: str, error: type[FoxyAuthError] | None = None) -> Self:
        """Make an integer that knows its meaning."""
        status = int.__new__(cls, number)
        status._value_ = number
        status.meaning = meaning
        status.error = error
        return status

    OK = 0, "Success."
    FAILED = 1, "Something did not go as expected."
    USAGE = 2, "Wrong usage, or a package is not installed."
    LOGIN_REQUIRED = 3, "The grant was revoked or has expired: log in again.", LoginRequiredError
    REFUSED = 4, "Foxy refused the client or the request.", TokenRefusedError
    UNAVAILABLE = 5, "No usable response from Foxy: try again later.", TokenUnavailableError
    UNAUTHORIZED = 6, "Access denied or authorization failed: start again.", AuthorizationError
    NOT_CREATED = 7, "Foxy refused to create something.", RegistrationError
    NOT_SAVED = 8, "The token could not be saved.", StoreError
    TIMED_OUT = 9, "No response from the browser in time: start again.", NoResponseError
    PORT_UNAVAILABLE = 10, "The redirect URI's port cannot be used.", PortUnavailableError
    INTERRUPTED = 130, "Interrupted by Ctrl-C."  # 128 + SIGINT, as shells report it

    @classmethod
    def of(cls, error: FoxyAuthError) -> ExitStatus:
        """Return the exit status for *error*."""
        return next((status for status in cls if status.error and isinstance(error, status.error)), cls.FAILED)


def exit_status_help(*without: ExitStatus) -> str:
    """Return the table for a command's help, without the statuses that the command never returns."""
    rows = [f"{status:>5}  {status.meaning}" for status in ExitStatus if status not in without]
    return "\n".join(["\b", "Exit status:", *rows])  # \b tells click to keep the lines as they are
