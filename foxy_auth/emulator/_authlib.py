"""The server's records as Authlib wants to see them."""

# pyright: reportUnknownMemberType=false
# The stubs of Authlib leave arguments untyped.

from __future__ import annotations

from typing import TYPE_CHECKING

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foxy_auth.emulator._records import Client, Code, RefreshToken
    from foxy_auth.emulator._switches import Switches


class FormRequest(OAuth2Request):
    """A request whose parameters are the fields of a form, or of a query."""

    def __init__(self, method: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Take the parameters from *fields* alone."""
        # Authlib refuses plain http, which is all that loopback has; it looks at nothing else of the address.
        super().__init__(method, "https://localhost/", headers=headers)
        self.fields = dict(fields)
        self.payload = BasicOAuth2Payload(self.fields)

    @property
    def form(self) -> dict[str, str]:
        """The parameters."""
        return self.fields


class KnownClient(ClientMixin):
    """A registered client."""

    def __init__(self, record: Client, switches: Switches) -> None:
        """Show *record*; what clients may do is switched."""
        self.record = record
        self._switches = switches

    def check_grant_type(self, grant_type: str) -> bool:
        """Tell whether the switches leave that grant type to clients."""
        return grant_type in self._switches.grant_types


class PendingCode(AuthorizationCodeMixin):
    """A code that is being exchanged for tokens of *scope*."""

    def __init__(self, record: Code, scope: str) -> None:
        """Show *record*, with the names that Authlib's PKCE extension reads."""
        self.record = record
        self._scope = scope
        self.code_challenge = record.code_challenge
        self.code_challenge_method = record.code_challenge_method

    def get_scope(self) -> str:
        """Return the scope of the tokens to come."""
        return self._scope


class PresentedRefreshToken(TokenMixin):
    """A refresh token that is being used for an access token of *scope*."""

    def __init__(self, record: RefreshToken, scope: str) -> None:
        """Show *record*."""
        self.record = record
        self._scope = scope

    def get_scope(self) -> str:
        """Return the scope of the token to come."""
        return self._scope
