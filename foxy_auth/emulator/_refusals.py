"""The words in which the authorization server refuses, taken from the library that the provider very probably runs."""

# pyright: reportUnknownMemberType=false
# The stubs of Authlib leave arguments untyped.

from typing import Self

from authlib.oauth2 import OAuth2Error

_RFC6749 = "http://tools.ietf.org/html/rfc6749"


class Refusal(OAuth2Error):  # noqa: N818 - it is an answer first, and an exception on its way
    """
    A refusal in the provider's words.

    Authlib would not take some of the descriptions, because RFC 6749 bars the quotation marks that they contain.
    """

    def __init__(self, error: str, description: str, *, section: str = "", status: int = 400) -> None:
        """Refuse with *error*; *section* is the part of RFC 6749 that explains it."""
        super().__init__(error=error, status_code=status)
        self.description = description
        self._section = section

    def sent_back(self, redirect_uri: str) -> Self:
        """Let the browser carry the refusal to *redirect_uri* (RFC 6749, section 4.1.2.1)."""
        self.redirect_uri = redirect_uri
        return self

    @property
    def explanation(self) -> str | None:
        """The address of an explanation, if the library gives one."""
        return f"{_RFC6749}#section-{self._section}" if self._section else None

    def get_headers(self) -> list[tuple[str, str]]:
        """Name the scheme to use where the refusal is a 401 (RFC 6749, section 5.2)."""
        challenge = [("WWW-Authenticate", 'Basic realm="Service"')] if self.status_code == 401 else []  # noqa: PLR2004
        return super().get_headers() + challenge


def wrong_method() -> Refusal:
    """Refuse a token request that is no POST."""
    description = "The request method must be POST when requesting an access token"
    return Refusal("invalid_request", description, section="3.2", status=405)


def unknown_grant_type(grant_type: str | None) -> Refusal:
    """Refuse a request for a grant type that is missing or not offered."""
    if not grant_type:
        return Refusal("invalid_request", "The grant type was not specified in the request")
    return Refusal("unsupported_grant_type", f'Grant type "{grant_type}" not supported')


def invalid_client(description: str, *, status: int) -> Refusal:
    """Refuse a client that does not prove who it is."""
    return Refusal("invalid_client", description, status=status)


def missing_parameter(name: str) -> Refusal:
    """Refuse a request without a field that its grant type needs."""
    return Refusal("invalid_request", f'Missing parameter: "{name}" is required')


def invalid_grant(description: str) -> Refusal:
    """Refuse a code or refresh token."""
    return Refusal("invalid_grant", description)


def foreign_grant(grant_type: str) -> Refusal:
    """Refuse a code or refresh token that was issued to another client."""
    return invalid_grant(f"{grant_type} doesn't exist or is invalid for the client")


def redirect_uri_mismatch() -> Refusal:
    """Refuse a code because of the `redirect_uri` sent with it."""
    return Refusal("redirect_uri_mismatch", "The redirect URI is missing or do not match", section="4.1.3")


def unauthorized_client() -> Refusal:
    """Refuse a client that may not use the grant type."""
    return Refusal("unauthorized_client", "The grant type is unauthorized for this client_id")


def invalid_scope(description: str) -> Refusal:
    """Refuse a scope."""
    return Refusal("invalid_scope", description)


def access_denied() -> Refusal:
    """Tell that the user pressed Deny."""
    return Refusal("access_denied", "The user denied access to your application")
