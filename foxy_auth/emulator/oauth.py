"""The authorization server: Authlib's, with the checks and the error messages of the provider's library."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# The stubs of Authlib leave arguments untyped.

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    ClientMixin,
    RefreshTokenGrant,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Response

from foxy_auth.emulator.forms import read_fields
from foxy_auth.emulator.models import CLIENT_SCOPE, STORE_SCOPE, USER_SCOPE, Client, Code, Grant, RefreshToken, db

if TYPE_CHECKING:
    from collections.abc import Mapping

_RFC6749 = "http://tools.ietf.org/html/rfc6749"
_ERROR_HEADERS = {401: [("WWW-Authenticate", 'Basic realm="Service"')], 405: [("Allow", "POST, OPTIONS")]}
_FULL_ACCESS = frozenset({CLIENT_SCOPE, USER_SCOPE, STORE_SCOPE})
# The provider's page on permissions.
_GRANULAR = re.compile(
    r"(carts|clients|coupons|customers|customer_portal_settings|downloadables|gift_cards|integrations|item_categories"
    r"|payment_settings|reporting|shipping_integrations|shipping_settings|stores|subscriptions|subscription_settings"
    r"|taxes|templates|transactions|user_invitations|users|webhooks)_(read|write)|(taxes|transactions|webhooks)_resend"
)


class OAuthError(OAuth2Error):
    """
    An error response of the authorization server.

    The description is not passed on to Authlib, which rejects quotation marks in it (RFC 6749, section 5.2).
    """

    def __init__(
        self, error: str, description: str, *, section: str = "", status: int = 400, redirect_uri: str | None = None
    ) -> None:
        """
        Create an error with the code *error*.

        Args:
            error: The error code.

            description: For people.

            section: The section of RFC 6749 that explains it.

            status: The status, unless there is a redirect.

            redirect_uri: Where the browser takes the error (RFC 6749, section 4.1.2.1).
        """
        super().__init__(error=error, status_code=status, redirect_uri=redirect_uri)
        self.description = description
        self._explanation = f"{_RFC6749}#section-{section}" if section else None

    def __call__(self, uri: str | None = None) -> Any:
        """Return status, body and headers of the response, as Authlib asks for them."""
        return super().__call__(uri or self._explanation)

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the headers of the response."""
        return super().get_headers() + _ERROR_HEADERS.get(self.status_code, [])


class _FormRequest(OAuth2Request):
    """A request whose parameters are the fields of a form or of a query."""

    def __init__(self, method: str, fields: dict[str, str]) -> None:
        # Authlib rejects http URLs and looks at nothing else of the URL.
        super().__init__(method, "https://localhost/")
        self.payload = BasicOAuth2Payload(fields)
        self.fields = fields

    @property
    def form(self) -> dict[str, str]:
        return self.fields


@dataclass
class _RegisteredClient(ClientMixin):
    """A client as Authlib knows it."""

    record: Client

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in db.settings.grant_types


class CodeGrant(AuthorizationCodeGrant):
    """Issue an authorization code and exchange it (RFC 6749, section 4.1)."""

    @classmethod
    def check_authorization_endpoint(cls, request: OAuth2Request) -> bool:  # noqa: ARG003 - Authlib's signature
        """Accept every request: the provider checks the response type after the client."""
        return True

    @property
    def requesting_client(self) -> Client:
        """The client that makes the request."""
        return cast("_RegisteredClient", self.request.client).record

    def validate_authorization_request(self) -> str:
        """Check the request in the provider's order; return where the browser is redirected to."""
        client = _find_client(self.request.form.get("client_id"))
        redirect_uri = _choose_redirect_uri(client, self.request.form.get("redirect_uri"))
        self.request.client = _RegisteredClient(client)
        try:
            _validate_authorization_parameters(self.request.form)
            self.execute_hook("after_validate_authorization_request_payload", redirect_uri)  # PKCE
        except OAuth2Error as error:
            error.redirect_uri = redirect_uri
            raise
        return redirect_uri

    def create_authorization_response(self, redirect_uri: str, grant_user: Grant | None) -> Any:
        """Send the browser back to the client, with a code or with the user's refusal."""
        if grant_user is None:
            raise OAuthError("access_denied", "The user denied access to your application", redirect_uri=redirect_uri)
        return super().create_authorization_response(redirect_uri, grant_user)

    def generate_authorization_code(self) -> str:
        """Issue a code for the grant that the user has consented to."""
        return db.issue_code(
            cast("Grant", self.request.user),
            redirect_uri=self.request.form.get("redirect_uri"),
            code_challenge=self.request.form.get("code_challenge"),
            code_challenge_method=self.request.form.get("code_challenge_method"),
        )

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Do nothing: the code is already stored."""

    def validate_token_request(self) -> None:
        """Check the code, then its `redirect_uri`, expiry and client, then the grant type."""
        client, value = _authenticated_client(self.request), _required(self.request, "code")
        code = db.codes.get(value)
        if code is None:
            raise OAuthError("invalid_grant", "Authorization code doesn't exist or is invalid for the client")
        registered = code.grant.client.redirect_uri if db.settings.strict_redirect_uri else None
        expected = code.redirect_uri or registered
        if expected and self.request.form.get("redirect_uri") != expected:
            raise OAuthError("redirect_uri_mismatch", "The redirect URI is missing or do not match", section="4.1.3")
        if db.has_expired(code):
            raise OAuthError("invalid_grant", "The authorization code has expired")
        self.request.client = _checked_client(client, self.GRANT_TYPE, code.grant)
        self.request.authorization_code = code
        self.execute_hook("after_validate_token_request", None)  # PKCE

    def authenticate_user(self, authorization_code: Code) -> Grant:
        """Return the grant that the user has consented to."""
        return authorization_code.grant

    def delete_authorization_code(self, authorization_code: Code) -> None:  # noqa: ARG002 - Authlib's signature
        """Forget the code: it can be exchanged once."""
        del db.codes[self.request.form["code"]]


class _Pkce(CodeChallenge):
    """Bind a code to a verifier (RFC 7636), as the setting `pkce` says."""

    def validate_code_challenge(self, grant: Any, redirect_uri: Any) -> None:
        """Check the challenge of an authorization request."""
        if db.settings.pkce == "required" and grant.request.form.get("code_challenge_method") != "S256":
            raise OAuthError("invalid_request", "A code challenge with the method S256 is required")
        if db.settings.pkce != "ignored":
            super().validate_code_challenge(grant, redirect_uri)

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """Check the verifier of a token request."""
        if db.settings.pkce != "ignored":
            super().validate_code_verifier(grant, result)


class _RefreshGrant(RefreshTokenGrant):
    """Use a refresh token (RFC 6749, section 6)."""

    def validate_token_request(self) -> None:
        """Check the refresh token, then its expiry and client, then the grant type and the scope."""
        client, value = _authenticated_client(self.request), _required(self.request, "refresh_token")
        token = db.refresh_tokens.get(value)
        if token is None:
            raise OAuthError("invalid_grant", "Invalid refresh token")
        if db.has_expired(token):
            raise OAuthError("invalid_grant", "Refresh token has expired")
        self.request.client = _checked_client(client, self.GRANT_TYPE, token.grant)
        if token.spent:
            db.revoke(token.grant)  # somebody else has a copy, and nobody can tell who (RFC 9700, section 4.14.2)
            raise OAuthError("invalid_grant", "Invalid refresh token")
        if not _scopes(self.request) <= set(token.grant.scope.split()):
            raise OAuthError("invalid_scope", "The scope requested is invalid for this request")
        self.request.refresh_token = token

    def authenticate_user(self, refresh_token: RefreshToken) -> Grant:
        """Return the grant that the token belongs to."""
        return refresh_token.grant

    def issue_token(self, user: Grant, refresh_token: Any) -> dict[str, Any]:
        """Issue the next access token; the settings determine what becomes of the earlier tokens."""
        token, settings = cast("RefreshToken", refresh_token), db.settings
        scope = self.request.form.get("scope")
        if settings.refresh_revokes_access_tokens:
            db.revoke_access_tokens(user)
        if settings.omit_refresh_token:
            return db.issue_access_token(user, scope=scope)
        if settings.rotate_refresh_tokens:
            token.spent = True
            return db.issue_tokens(user, scope=scope)
        return db.issue_access_token(user, scope=scope, refresh_token=token.value)

    def revoke_old_credential(self, refresh_token: Any) -> None:
        """Do nothing: `issue_token` handles the old token."""


class _ClientGrant(ClientCredentialsGrant):
    """Issue a token to the client itself (RFC 6749, section 4.4), without a refresh token."""

    def validate_token_request(self) -> None:
        """Check the grant type and the scope, which is required."""
        self.request.client = _checked_client(_authenticated_client(self.request), self.GRANT_TYPE)
        scopes = _scopes(self.request)
        if not scopes:
            raise OAuthError("invalid_scope", "This application requires you specify a scope parameter")
        if not all(scope in _FULL_ACCESS or _GRANULAR.fullmatch(scope) for scope in scopes):
            raise OAuthError("invalid_scope", "An unsupported scope was requested")
        if scopes != {CLIENT_SCOPE}:
            raise OAuthError("invalid_scope", "The scope requested is invalid for this client")


class _Server(AuthorizationServer):
    """Authlib's authorization server on the emulator's database."""

    def __init__(self) -> None:
        """Offer the grant types of the provider."""
        super().__init__()
        self.register_grant(CodeGrant, [_Pkce(required=False)])
        self.register_grant(_RefreshGrant)
        self.register_grant(_ClientGrant)

    def issue_tokens(self) -> Response:
        """Respond to the current token request."""
        with db.lock:
            return cast("Response", self.create_token_response())  # the stub says otherwise

    def check_authorization_request(self) -> CodeGrant:
        """Check the current authorization request; return what can respond to it."""
        return cast("CodeGrant", self.get_consent_grant())  # type: ignore[no-untyped-call]

    def redirect(self, code_grant: CodeGrant, consented: Grant | None) -> Response:
        """Redirect to the client with a code for the grant *consented*, or with the user's refusal."""
        with db.lock:
            return cast("Response", self.create_authorization_response(code_grant.request, consented, code_grant))

    def respond_with(self, error: OAuth2Error) -> Response:
        """Respond with *error*."""
        return self.handle_response(*error())

    # Authlib's extension points

    def create_oauth2_request(self, request: object) -> Any:  # noqa: ARG002 - Authlib's signature
        """Read the current request: the form of a POST, the query of a GET."""
        current = flask.request
        if db.settings.json_at_token and current.is_json:
            return _FormRequest(current.method, read_fields())
        return _FormRequest(current.method, (current.form if current.method == "POST" else current.args).to_dict())

    def get_token_grant(self, request: OAuth2Request) -> Any:
        """Return the implementation of the requested grant type."""
        grant_type = request.form.get("grant_type")
        if not grant_type:
            raise OAuthError("invalid_request", "The grant type was not specified in the request")
        try:
            return super().get_token_grant(request)
        except UnsupportedGrantTypeError:
            raise OAuthError("unsupported_grant_type", f'Grant type "{grant_type}" not supported') from None

    def generate_token(self, *_: Any, client: Any = None, user: Grant | None = None, **__: Any) -> dict[str, Any]:
        """Issue tokens for the grant *user*, or an access token for the client itself."""
        if user is not None:
            return db.issue_tokens(user)
        return db.issue_access_token(db.new_grant(client.record, CLIENT_SCOPE))

    def save_token(self, token: object, request: object) -> None:
        """Do nothing: issued tokens are already stored."""

    def handle_response(self, status_code: int, payload: Any, headers: Any) -> Response:
        """Respond; the setting `token_fields` overrides the fields of tokens."""
        if "access_token" in payload:
            fields = {**payload, **db.settings.token_fields}
            payload = {name: value for name, value in fields.items() if value is not ...}
        return super().handle_response(status_code, payload, headers)


server: _Server = _Server()


def _find_client(client_id: str | None) -> Client:
    if not client_id:
        raise OAuthError("invalid_client", "No client id supplied")
    client = db.clients.get(client_id)
    if client is None:
        raise OAuthError("invalid_client", "The client id supplied is invalid")
    return client


def _choose_redirect_uri(client: Client, requested: str | None) -> str:
    """
    Return the URI to redirect the browser to.

    Errors are not redirected: a browser is never sent to a URI that is not registered (RFC 6749, section 4.1.2.1).
    """
    registered = client.redirect_uri.split()
    if requested and requested.partition("#")[2]:
        raise OAuthError("invalid_uri", "The redirect URI must not contain a fragment")
    if requested and registered and requested not in registered:
        description = "The redirect URI provided is missing or does not match"
        raise OAuthError("redirect_uri_mismatch", description, section="3.1.2")
    if not requested and not registered:
        raise OAuthError("invalid_uri", "No redirect URI was supplied or stored")
    if not requested and len(registered) > 1:
        description = "A redirect URI must be supplied when multiple redirect URIs are registered"
        raise OAuthError("invalid_uri", description, section="3.1.2.3")
    redirect_uri = requested or registered[0]
    try:
        urlsplit(redirect_uri)
    except ValueError:
        raise OAuthError("invalid_uri", "The redirect URI is not valid") from None
    return redirect_uri


def _validate_authorization_parameters(fields: Mapping[str, str]) -> None:
    """Check response type, grant type, scope and state, in this order."""
    if fields.get("response_type") == "token":
        raise OAuthError("unsupported_response_type", "implicit grant type not supported")
    if fields.get("response_type") != "code":
        raise OAuthError("invalid_request", "Invalid or missing response type")
    if CodeGrant.GRANT_TYPE not in db.settings.grant_types:
        raise OAuthError("unauthorized_client", "The grant type is unauthorized for this client_id")
    scopes = set(fields.get("scope", "").split())
    if not scopes:  # the error code is the provider's
        raise OAuthError("invalid_client", "This application requires you specify a scope parameter")
    granular = {scope for scope in scopes if db.settings.granular_scopes and _GRANULAR.fullmatch(scope)}
    if not scopes <= {STORE_SCOPE, USER_SCOPE} | granular:
        raise OAuthError("invalid_scope", "An unsupported scope was requested")
    if not fields.get("state"):
        raise OAuthError("invalid_request", "The state parameter is required")


def _authenticated_client(token_request: OAuth2Request) -> Client:
    """
    Return the client whose credentials came with the request; HTTP Basic takes precedence over the form.

    The provider does not percent-decode HTTP Basic, unlike RFC 6749, section 2.3.1.
    """
    basic, form = flask.request.authorization, token_request.form
    if basic is not None and basic.type == "basic":
        client_id, secret = basic.username or "", basic.password
    elif "client_id" in form:
        client_id, secret = form["client_id"], form.get("client_secret")
    else:
        raise _invalid_client("Client credentials were not found in the headers or body")
    if not secret and form.get("grant_type") == _ClientGrant.GRANT_TYPE:
        raise _invalid_client("client credentials are required")
    if not secret:
        raise _invalid_client("This client is invalid or must authenticate using a client secret")
    client = db.clients.get(client_id)
    if client is None or client.client_secret != secret:
        raise _invalid_client("The client credentials are invalid")
    return client


def _invalid_client(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, status=db.settings.invalid_client_status)


def _required(token_request: OAuth2Request, name: str) -> str:
    value = token_request.form.get(name)
    if not value:
        raise OAuthError("invalid_request", f'Missing parameter: "{name}" is required')
    return value


def _checked_client(client: Client, grant_type: str, grant: Grant | None = None) -> _RegisteredClient:
    """Check that *grant* belongs to *client*, and that *client* may use *grant_type*."""
    if grant is not None and grant.client is not client:
        raise OAuthError("invalid_grant", f"{grant_type} doesn't exist or is invalid for the client")
    if grant_type not in db.settings.grant_types:
        raise OAuthError("unauthorized_client", "The grant type is unauthorized for this client_id")
    return _RegisteredClient(client)


def _scopes(token_request: OAuth2Request) -> set[str]:
    return set(token_request.form.get("scope", "").split())
