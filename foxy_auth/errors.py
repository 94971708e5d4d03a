"""
The errors, named by what the caller does next.

    FoxyAuthError
    ├─ LoginRequiredError      the grant is gone                      → authorize again
    ├─ TokenRefusedError       the token endpoint refuses             → repair the configuration
    ├─ TokenUnavailableError   no usable answer                       → try later
    ├─ AuthorizationError      the authorization did not finish       → start over
    ├─ RegistrationError       the API refused to create something    → repair what was sent
    └─ StoreError              a token could not be saved or loaded   → repair the store or the callback

Wrong use of the library is a `TypeError` or a `ValueError`, raised at once.

A request made through requests, httpx, httpx2 or niquests raises these errors as members of that library's own
hierarchy too, so that legacy `except requests.RequestException` clauses keep working.
"""

from __future__ import annotations

from typing import Any


class FoxyAuthError(Exception):
    """The base of all errors of this package; never raised itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle without a call of the constructor, whose keywords `Exception` does not know of."""
        return _remade, (type(self), self.args), vars(self)


def _remade(kind: type[FoxyAuthError], args: tuple[Any, ...]) -> FoxyAuthError:
    return kind.__new__(kind, *args)


class LoginRequiredError(FoxyAuthError):
    """
    The provider no longer honours the grant, or there is none to refresh: authorize again.

    Attributes:
        error: The provider's error word, `invalid_grant`; None where no refresh token was at hand.

        description: The provider's explanation, if it gave one.
    """

    def __init__(self, message: str, *, error: str | None = None, description: str | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.description = description


class TokenRefusedError(FoxyAuthError):
    """
    The token endpoint refuses this client or this request: repair the configuration.

    Attributes:
        error: The error word of RFC 6749, section 5.2, such as `invalid_client`.

        description: The provider's explanation, if it gave one.

        status: The HTTP status of the answer.
    """

    def __init__(self, message: str, *, error: str, description: str | None = None, status: int) -> None:
        super().__init__(message)
        self.error = error
        self.description = description
        self.status = status


class TokenUnavailableError(FoxyAuthError):
    """
    The token endpoint gave no usable answer: try later.

    The client library's own error, where there is one, is the `__cause__`.

    Attributes:
        retry_after: Seconds that the provider asks to wait, or None.

        repeatable: Whether the same token call can be sent again without risk, because it never reached the
            provider or was turned away unprocessed.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, repeatable: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.repeatable = repeatable


class AuthorizationError(FoxyAuthError):
    """
    The authorization did not finish: denied, forged, too late or misconfigured. Start over.

    The message tells the action that the provider's page prescribes.

    Attributes:
        error: The provider's error word, such as `access_denied`; or one of ours: `state_mismatch`, `missing_code`,
            `invalid_response`.

        description: The provider's explanation, if it gave one.
    """

    def __init__(self, message: str, *, error: str, description: str | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.description = description


class RegistrationError(FoxyAuthError):
    """
    The API refused to create a client, a user, a store or an integration: repair what was sent.

    Attributes:
        messages: What the provider says of it, a message for each fault.

        status: The HTTP status of the answer; 201 where something was created all the same, so that to try again would
            create another.
    """

    def __init__(self, message: str, *, messages: tuple[str, ...] = (), status: int) -> None:
        super().__init__(message)
        self.messages = messages
        self.status = status


class StoreError(FoxyAuthError):
    """A token could not be saved or loaded; the `__cause__` tells why: repair the store or the callback."""
