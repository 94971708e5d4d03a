"""
The errors, named by what the caller does next.

    FoxyAuthError
    ├─ LoginRequiredError      the grant was revoked or has expired   → authorize again
    ├─ TokenRefusedError       the token endpoint refused             → correct the configuration
    ├─ TokenUnavailableError   no usable response                     → try later
    ├─ AuthorizationError      the authorization failed               → begin a new one
    ├─ RegistrationError       the API refused to create something    → correct what was sent
    └─ StoreError              a token could not be saved or loaded   → repair the store or the callback

Wrong use of the library is a `TypeError` or a `ValueError`, raised at once.

Requests made through requests, httpx, httpx2 or niquests raise errors that are also that library's own, so that
`except requests.RequestException` catches them. Where no response came to a token request, they are what the library
itself would raise: `requests.ConnectionError`, `requests.Timeout`, `httpx.ConnectError`, `httpx.TimeoutException`.
"""

from __future__ import annotations

from typing import Any, Literal

Outage = Literal["connect", "connection", "connect_timeout", "read_timeout", "timeout", "proxy", "tls"]
"""Why no response came: the connection was not made, or broke off; a wait was too long; a proxy; TLS."""


class FoxyAuthError(Exception):
    """The base class of this package's errors."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle without calling the constructor, which has required keywords."""
        return _rebuild, (type(self), self.args), vars(self)


def _rebuild(kind: type[FoxyAuthError], args: tuple[Any, ...]) -> FoxyAuthError:
    return kind.__new__(kind, *args)


class LoginRequiredError(FoxyAuthError):
    """
    The grant was revoked or has expired, or there is no refresh token: authorize again.

    Attributes:
        error: The provider's error code, `invalid_grant`; None if there was no refresh token.

        description: The provider's explanation, if it gave one.
    """

    def __init__(self, message: str, *, error: str | None = None, description: str | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.description = description


class TokenRefusedError(FoxyAuthError):
    """
    The token endpoint refused the client or the request: correct the configuration.

    Attributes:
        error: The error code of RFC 6749, section 5.2, such as `invalid_client`.

        description: The provider's explanation, if it gave one.

        status: The HTTP status of the response.
    """

    def __init__(self, message: str, *, error: str, description: str | None = None, status: int) -> None:
        super().__init__(message)
        self.error = error
        self.description = description
        self.status = status


class TokenUnavailableError(FoxyAuthError):
    """
    The token endpoint gave no usable response: try later.

    The client library's own error, if there is one, is the `__cause__`.

    Attributes:
        retry_after: Seconds to wait, if the provider says so.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        repeatable: bool = False,
        outage: Outage | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.repeatable = repeatable  # for the engine: the provider has not processed the request
        self.outage = outage  # for the clients: why no response came; None if one did


class AuthorizationError(FoxyAuthError):
    """
    The authorization was denied, forged, late or misconfigured: begin a new one.

    The message says what the provider's page requires to be done.

    Attributes:
        error: The provider's error code, such as `access_denied`; or one of ours: `state_mismatch`,
            `request_mismatch`, `issuer_mismatch`, `missing_code`, `invalid_response`.

        description: The provider's explanation, if it gave one.
    """

    def __init__(self, message: str, *, error: str, description: str | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.description = description


class RegistrationError(FoxyAuthError):
    """
    The API refused to create a client, a user, a store or an integration: correct what was sent.

    Attributes:
        messages: The provider's messages, one for each fault.

        status: The HTTP status of the response; 201 if something was created nevertheless, so that a retry would create
            another.
    """

    def __init__(self, message: str, *, messages: tuple[str, ...] = (), status: int) -> None:
        super().__init__(message)
        self.messages = messages
        self.status = status


class StoreError(FoxyAuthError):
    """A token could not be saved or loaded, for the reason in `__cause__`: repair the store or the callback."""
