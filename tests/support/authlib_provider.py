"""
An OAuth 2.0 provider that is not ours: Authlib's own authorization server, as its manual sets it up.

It is stricter than Foxy: refresh tokens serve once, a redirect URI is compared, an unknown client is a 401.
It names itself in authorization responses (RFC 9207).
"""

from __future__ import annotations

import time
from secrets import token_urlsafe
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

from foxy_auth import Environment, OAuthClient

if TYPE_CHECKING:
    import pytest

CLIENT_ID = "other-provider-client"
CLIENT_SECRET = "Fake:Secret+of a/provider%"
REDIRECT_URI = "https://www.example.com/oauth?shop=1"
SCOPE = "store_full_access"


class Registered(SimpleNamespace):
    """The one client that is registered, in Authlib's interface."""

    def get_client_id(self) -> str:
        """Tell its id."""
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        """Tell where its users go."""
        return REDIRECT_URI

    def get_allowed_scope(self, scope: str) -> str:
        """Allow what there is."""
        return " ".join(word for word in (scope or "").split() if word in {SCOPE, "client_full_access"})

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Compare to the letter."""
        return redirect_uri == REDIRECT_URI

    def check_client_secret(self, client_secret: str) -> bool:
        """Compare."""
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Take both ways of RFC 6749, section 2.3.1."""
        return method in {"client_secret_basic", "client_secret_post"}

    def check_response_type(self, response_type: str) -> bool:
        """Take codes."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Take all."""
        return True


class Issued(SimpleNamespace):
    """A token or code that was issued, in Authlib's interface."""

    def get_redirect_uri(self) -> str | None:
        """Tell the redirect URI of the request."""
        return self.redirect_uri or None

    def get_scope(self) -> str:
        """Tell the scope."""
        return str(self.scope)

    def check_client(self, client: Registered) -> bool:
        """There is one client."""
        return True

    def is_expired(self) -> bool:
        """Look at the clock."""
        return bool(time.time() >= self.expires_at)

    def is_revoked(self) -> bool:
        """Tell whether it serves no more."""
        return bool(self.revoked)


class AuthlibProvider:
    """
    The provider on loopback; a context manager.

    Attributes:
        refreshes: The refresh tokens that were presented.

        life: Seconds that the access tokens issued from now on live.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the server up."""
        monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # it listens on loopback only
        self.refreshes: list[str] = []
        self.life = 3600
        self._codes: dict[str, Issued] = {}
        self._tokens: list[Issued] = []
        self._app = self._application()

    def __enter__(self) -> Self:
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def client(self, **options: Any) -> OAuthClient:
        """Return our client, at this provider, whose paths are not Foxy's."""
        environment = Environment(
            api=f"{self.url}/v7/",
            token_endpoint=f"{self.url}/oauth2/issue?tenant=1",
            authorization_endpoint=f"{self.url}/oauth2/ask?tenant=1",
        )
        return OAuthClient(CLIENT_ID, CLIENT_SECRET, redirect_uri=REDIRECT_URI, environment=environment, **options)

    def revoke_access_tokens(self) -> None:
        """Let no access token serve any more."""
        for token in self._tokens:
            token.life_over = True

    def _application(self) -> Flask:
        app = Flask(__name__)
        server = AuthorizationServer(app, query_client=self._query_client, save_token=self._save)
        server.register_grant(self._code_grant(), [CodeChallenge(required=True)])
        server.register_grant(self._refresh_grant())
        server.register_grant(ClientCredentialsGrant)
        server.register_extension(self._issuer())
        server.register_token_generator("default", self._generate)  # type: ignore[arg-type]  # the stub wants its class
        protect = ResourceProtector()
        protect.register_token_validator(self._validator())

        @app.route("/oauth2/ask", methods=["GET", "POST"])
        def ask() -> Any:
            grant = server.get_consent_grant(end_user="robin")  # type: ignore[no-untyped-call]
            if request.method == "POST":
                user = "robin" if request.form["decision"] == "allow" else None
                return server.create_authorization_response(grant_user=user, grant=grant)
            return '<form method="post"><button name="decision" value="allow">Allow</button></form>'

        @app.post("/oauth2/issue")
        def issue() -> Any:
            return server.create_token_response()

        @app.get("/v7/")
        @protect(SCOPE)  # type: ignore[untyped-decorator]
        def home() -> Response:
            return jsonify(welcome=True)

        return app

    def _query_client(self, client_id: str) -> Registered | None:
        return Registered() if client_id == CLIENT_ID else None

    def _generate(
        self, *, grant_type: str, scope: str, include_refresh_token: bool = True, **_: Any
    ) -> dict[str, object]:
        refresh_token = {"refresh_token": token_urlsafe(30)} if include_refresh_token else {}
        fields = {"access_token": token_urlsafe(30), "token_type": "bearer", "expires_in": self.life, "scope": scope}
        return {**fields, **refresh_token}

    def _save(self, token: dict[str, Any], _: object) -> None:
        expires_at = time.time() + token["expires_in"]
        kept = Issued(refresh_token=None, revoked=False, life_over=False, expires_at=expires_at)
        vars(kept).update(token)
        self._tokens.append(kept)

    def _code_grant(self) -> type[AuthorizationCodeGrant]:
        codes = self._codes

        class CodeGrant(AuthorizationCodeGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

            def save_authorization_code(self, code: str, request: Any) -> None:
                payload = request.payload
                codes[code] = Issued(
                    code=code,
                    redirect_uri=payload.redirect_uri,
                    scope=payload.scope,
                    code_challenge=payload.data.get("code_challenge"),
                    code_challenge_method=payload.data.get("code_challenge_method"),
                )

            def query_authorization_code(self, code: str, client: object) -> Issued | None:
                return codes.get(code)

            def delete_authorization_code(self, authorization_code: Issued) -> None:
                del codes[authorization_code.code]

            def authenticate_user(self, authorization_code: Issued) -> str:
                return "robin"

        return CodeGrant

    def _refresh_grant(self) -> type[RefreshTokenGrant]:
        provider = self

        class RefreshGrant(RefreshTokenGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")
            INCLUDE_NEW_REFRESH_TOKEN = True

            def authenticate_refresh_token(self, refresh_token: str) -> Any:
                provider.refreshes.append(refresh_token)
                found = [token for token in provider._tokens if token.refresh_token == refresh_token]
                return found[0] if found and not found[0].revoked else None

            def authenticate_user(self, refresh_token: Issued) -> str:
                return "robin"

            def revoke_old_credential(self, refresh_token: Any) -> None:
                refresh_token.revoked = True

        return RefreshGrant

    def _issuer(self) -> IssuerParameter:
        provider = self

        class Issuer(IssuerParameter):
            def get_issuer(self) -> str:
                return provider.url

        return Issuer()

    def _validator(self) -> BearerTokenValidator:
        tokens = self._tokens

        class Validator(BearerTokenValidator):
            def authenticate_token(self, token_string: str) -> Issued | None:
                found = [one for one in tokens if one.access_token == token_string and not one.life_over]
                return found[0] if found else None

        return Validator()
