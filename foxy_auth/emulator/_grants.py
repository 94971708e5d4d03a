"""The grant types that the token endpoint offers, each with the provider's order of checks."""

# pyright: reportUnknownMemberType=false
# The stubs of Authlib leave arguments untyped.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant

from foxy_auth.emulator._asking import check_authorization_request
from foxy_auth.emulator._authlib import KnownClient, PendingCode, PresentedRefreshToken
from foxy_auth.emulator._opaque import new_code, new_refresh_token
from foxy_auth.emulator._records import CLIENT_SCOPE
from foxy_auth.emulator._refusals import (
    access_denied,
    foreign_grant,
    invalid_grant,
    invalid_scope,
    missing_parameter,
    redirect_uri_mismatch,
    unauthorized_client,
)
from foxy_auth.emulator._scopes import FULL_ACCESS, GRANULAR, words
from foxy_auth.emulator._state import granted_scope

if TYPE_CHECKING:
    from authlib.oauth2 import OAuth2Request
    from authlib.oauth2.rfc6749 import TokenMixin

    from foxy_auth.emulator._oauth import Server
    from foxy_auth.emulator._records import Code, Grant, Store, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a user said yes to."""

    user: User
    store: Store | None


class CodeGrant(AuthorizationCodeGrant):
    """Issue an authorization code and exchange it (RFC 6749, section 4.1)."""

    server: Server

    def validate_authorization_request(self) -> str:
        """Check the request in the provider's order; return where the browser goes next."""
        client, redirect_uri = check_authorization_request(self.server.state, self.request.form)
        self.request.client = KnownClient(client, self.server.state.switches)
        try:
            self.execute_hook("after_validate_authorization_request_payload", redirect_uri)  # PKCE
        except OAuth2Error as error:
            error.redirect_uri = redirect_uri
            raise
        return redirect_uri

    def create_authorization_response(self, redirect_uri: str, grant_user: Consent | None) -> Any:
        """Send the browser back with a code, or with the user's no."""
        if grant_user is None:
            raise access_denied().sent_back(redirect_uri)
        return super().create_authorization_response(redirect_uri, grant_user)

    def generate_authorization_code(self) -> str:
        """Make a code in the provider's shape."""
        return new_code()

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Book the code with what the request said."""
        consent, fields = cast("Consent", request.user), request.form
        self.server.state.ledger.open_code(
            cast("KnownClient", request.client).record,
            fields["scope"],
            value=code,
            user=consent.user,
            store=consent.store,
            redirect_uri=fields.get("redirect_uri") or None,
            code_challenge=fields.get("code_challenge") or None,
            code_challenge_method=fields.get("code_challenge_method") or None,
        )

    def validate_token_request(self) -> None:
        """Check the code, then its `redirect_uri`, age and owner, then what the client may ask for."""
        client = self.server.known_client(self.request)
        value = self.request.form.get("code")
        if not value:
            raise missing_parameter("code")
        code = self.server.state.ledger.find_code(value)
        if code is None:
            raise invalid_grant("Authorization code doesn't exist or is invalid for the client")
        self._check_redirect_uri(code)
        if self.server.state.ledger.expired(code.expires_at):
            raise invalid_grant("The authorization code has expired")
        if code.client is not client.record:
            raise foreign_grant(self.GRANT_TYPE)
        check_grant_type(client, self.GRANT_TYPE)
        scope = narrowed_scope(self.request, code.scope)
        self.request.client = client
        self.request.authorization_code = PendingCode(code, scope)
        self.execute_hook("after_validate_token_request", None)  # PKCE

    def _check_redirect_uri(self, code: Code) -> None:
        """Compare the address with the one of the authorization request, if that named one."""
        strict = self.server.state.switches.strict_redirect_uri
        expected = code.redirect_uri or (code.client.redirect_uri if strict else None)
        if expected is not None and self.request.form.get("redirect_uri") != expected:
            raise redirect_uri_mismatch()

    def authenticate_user(self, authorization_code: PendingCode) -> Grant:
        """Open the grant that the user has consented to."""
        code = authorization_code.record
        scope = granted_scope(authorization_code.get_scope(), code.store)
        return self.server.state.ledger.open_grant(code.client, scope, user=code.user, store=code.store)

    def delete_authorization_code(self, authorization_code: PendingCode) -> None:
        """Let the code count no more."""
        self.server.state.ledger.spend_code(authorization_code.record)


class RefreshGrant(RefreshTokenGrant):
    """Use a refresh token (RFC 6749, section 6)."""

    server: Server

    def validate_token_request(self) -> None:
        """Check the refresh token, then its age and owner, then what the client may ask for."""
        client = self.server.known_client(self.request)
        value = self.request.form.get("refresh_token")
        if not value:
            raise missing_parameter("refresh_token")
        ledger = self.server.state.ledger
        token = ledger.find_refresh_token(value)
        if token is None:
            raise invalid_grant("Invalid refresh token")
        if ledger.expired(token.expires_at):
            raise invalid_grant("Refresh token has expired")
        if token.grant.client is not client.record:
            raise foreign_grant(self.GRANT_TYPE)
        if token.spent:
            ledger.revoke(token.grant)  # somebody has a copy, and nobody can say who (RFC 9700, section 4.14.2)
            raise invalid_grant("Invalid refresh token")
        check_grant_type(client, self.GRANT_TYPE)
        scope = narrowed_scope(self.request, token.grant.scope)
        self.request.client = client
        self.request.refresh_token = PresentedRefreshToken(token, scope)

    def authenticate_user(self, refresh_token: PresentedRefreshToken) -> Grant:
        """Return the grant that the token belongs to."""
        return refresh_token.record.grant

    def issue_token(self, user: Grant, refresh_token: TokenMixin) -> dict[str, Any]:
        """Issue the next access token; the switches say what becomes of the tokens before it."""
        presented = cast("PresentedRefreshToken", refresh_token)
        old, scope = presented.record, presented.get_scope()
        state, switches = self.server.state, self.server.state.switches
        if switches.refresh_revokes_access_tokens:
            state.ledger.revoke_access_tokens(user)
        if switches.omit_refresh_token:
            return state.issue(user, scope=scope)
        old.spent = switches.rotate_refresh_tokens
        return state.issue(user, scope=scope, refresh_token=new_refresh_token() if old.spent else old.value)

    def revoke_old_credential(self, refresh_token: TokenMixin) -> None:
        """Leave the old token alone: it was dealt with when the new one was issued."""


class ClientGrant(ClientCredentialsGrant):
    """Give a client a token for itself (RFC 6749, section 4.4), without a refresh token."""

    server: Server

    def validate_token_request(self) -> None:
        """Check what the client may ask for; the one scope that there is must be named."""
        client = self.server.known_client(self.request)
        check_grant_type(client, self.GRANT_TYPE)
        scope = words(self.request.form.get("scope", ""))
        if not scope:
            raise invalid_scope("This application requires you specify a scope parameter")
        if not scope <= FULL_ACCESS | GRANULAR:
            raise invalid_scope("An unsupported scope was requested")
        if scope != words(CLIENT_SCOPE):
            raise invalid_scope("The scope requested is invalid for this client")
        self.request.client = client


def check_grant_type(client: KnownClient, grant_type: str) -> None:
    """Refuse a client that may not use *grant_type*."""
    if not client.check_grant_type(grant_type):
        raise unauthorized_client()


def narrowed_scope(request: OAuth2Request, available: str) -> str:
    """Return the scope asked for, which may be a part of what is *available*, or all of that."""
    asked = request.form.get("scope", "")
    if not words(asked) <= words(available):
        raise invalid_scope("The scope requested is invalid for this request")
    return asked or available
