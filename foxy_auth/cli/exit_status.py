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
    """The port, such as that of the redirect URI, cannot be listened on."""


class ApiError(FoxyAuthError):
    """The API has responded with an error, or not with what was to be there."""


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
    LOGIN_REQUIRED = 3, "No token, or the grant is gone: log in.", LoginRequiredError
    REFUSED = 4, "Foxy refused the client or the request.", TokenRefusedError
    UNAVAILABLE = 5, "No usable response from Foxy: try again later.", TokenUnavailableError
    UNAUTHORIZED = 6, "Access denied or authorization failed: start again.", AuthorizationError
    NOT_CREATED = 7, "Foxy refused to create something.", RegistrationError
    NOT_SAVED = 8, "The token could not be saved or read.", StoreError
    TIMED_OUT = 9, "No response from the browser in time: start again.", NoResponseError
    PORT_UNAVAILABLE = 10, "The port cannot be used.", PortUnavailableError
    API_ERROR = 11, "The API responded with an error.", ApiError
    INTERRUPTED = 130, "Interrupted by Ctrl-C."  # 128 + SIGINT, as shells report it

    @classmethod
    def of(cls, error: FoxyAuthError) -> ExitStatus:
        """Return the exit status for *error*."""
        return next((status for status in cls if status.error and isinstance(error, status.error)), cls.FAILED)
