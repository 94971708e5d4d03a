"""The authorization server: Authlib's, taught who the clients are and how refusals are worded."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# The stubs of Authlib leave arguments untyped.

from __future__ import annotations

import json
from secrets import compare_digest
from typing import TYPE_CHECKING, Any, cast

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Response
from flask import request as current_request

from foxy_auth.emulator._authlib import FormRequest, KnownClient
from foxy_auth.emulator._credentials import Credentials, read_credentials
from foxy_auth.emulator._fields import read_fields
from foxy_auth.emulator._grants import ClientGrant, CodeGrant, Consent, RefreshGrant
from foxy_auth.emulator._records import Client, Grant
from foxy_auth.emulator._refusals import Refusal, invalid_client, unknown_grant_type, wrong_method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authlib.oauth2 import OAuth2Error, OAuth2Request
    from authlib.oauth2.rfc6749 import ClientMixin
    from flask import Flask

    from foxy_auth.emulator._state import State


_pkce = CodeChallenge(required=False)


class Server(AuthorizationServer):
    """Authlib's authorization server over the emulator's state."""

    def __init__(self, state: State) -> None:
        """Offer the grant types of the provider."""
        super().__init__()
        self.state = state
        self.register_grant(CodeGrant, [_pkce])
        self.register_grant(RefreshGrant)
        self.register_grant(ClientGrant)

    def answer_token_request(self) -> Response:
        """Answer the current request; nothing else is decided or booked meanwhile."""
        with self.state.lock:
            try:
                return cast("Response", self.create_token_response())  # the stub says otherwise
            except Refusal as refusal:
                return self.refuse(refusal)

    def ask_for_consent(self) -> tuple[CodeGrant, Client]:
        """Check the current authorization request; return what to answer the user's decision with, and who asks."""
        grant = cast("CodeGrant", self.get_consent_grant())  # type: ignore[no-untyped-call]
        return grant, cast("KnownClient", grant.request.client).record

    def answer_decision(self, grant: CodeGrant, consent: Consent | None) -> Response:
        """Send the browser back to the client with a code, or with a no."""
        with self.state.lock:
            return cast("Response", self.create_authorization_response(grant.request, consent, grant))

    def refuse(self, refusal: OAuth2Error) -> Response:
        """Answer with a refusal."""
        return self.handle_response(*refusal(self.get_error_uri(None, refusal)))

    def known_client(self, request: OAuth2Request) -> KnownClient:
        """Return the client that *request* proves to come from, or refuse."""
        status = self.state.switches.invalid_client_status
        credentials = read_credentials(request.headers or {}, request.form)
        if credentials is None:
            raise invalid_client("Client credentials were not found in the headers or body", status=status)
        if not credentials.client_secret:
            raise invalid_client(_secret_missing(request), status=status)
        record = self.state.accounts.find_client(credentials.client_id)
        if record is None or not _proves(record, credentials):
            raise invalid_client("The client credentials are invalid", status=status)
        return KnownClient(record, self.state.switches)

    # What follows are Authlib's extension points, under its names.

    def create_oauth2_request(self, request: object) -> FormRequest:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - the stub wants a class that refuses http  # noqa: ARG002
        """Read the current request: the form of a POST, the query of a GET, as the provider's library does."""
        headers = dict(current_request.headers)
        if self.state.switches.json_at_token and current_request.is_json:
            return FormRequest(current_request.method, read_fields(), headers)
        fields = current_request.form if current_request.method == "POST" else current_request.args
        return FormRequest(current_request.method, fields.to_dict(), headers)

    def get_authorization_grant(self, request: OAuth2Request) -> CodeGrant:
        """Take every request as one for a code: the response type is checked after the client."""
        grant = CodeGrant(request, self)
        _pkce(grant)
        return grant

    def get_token_grant(self, request: OAuth2Request) -> Any:
        """Find the grant type that is asked for."""
        grant_type = request.form.get("grant_type")
        if grant_type not in {grant_class.GRANT_TYPE for grant_class in (CodeGrant, RefreshGrant, ClientGrant)}:
            raise unknown_grant_type(grant_type)
        return super().get_token_grant(request)

    def generate_token(  # noqa: PLR0917 - Authlib's signature
        self,
        grant_type: str,  # noqa: ARG002
        client: ClientMixin,
        user: Grant | None = None,
        scope: str | None = None,
        expires_in: int | None = None,  # noqa: ARG002
        include_refresh_token: bool = True,  # noqa: ARG002, FBT001, FBT002
    ) -> dict[str, Any]:
        """Issue and book a token; a client that acts for itself gets a grant on the spot, without a refresh token."""
        if user is None:
            record = cast("KnownClient", client).record
            return self.state.issue(self.state.ledger.open_grant(record, scope or "", user=None, store=None))
        return self.state.issue_first(user)

    def save_token(self, token: object, request: object) -> None:
        """Do nothing: a token is booked when it is issued."""

    def get_error_uri(self, request: object, error: OAuth2Error) -> str | None:  # noqa: ARG002 - Authlib's signature
        """Name the page that explains *error*, if the provider's library names one."""
        return error.explanation if isinstance(error, Refusal) else None

    def handle_response(self, status_code: int, payload: object, headers: Any) -> Response:
        """Answer; the switch `token_fields` is laid over token answers here."""
        if isinstance(payload, dict) and "access_token" in payload:
            payload = _overlaid(cast("dict[str, object]", payload), self.state.switches.token_fields)
        content = payload if isinstance(payload, str) else json.dumps(payload)
        return Response(content, status_code, headers)


def _secret_missing(request: OAuth2Request) -> str:
    if request.form.get("grant_type") == ClientGrant.GRANT_TYPE:
        return "client credentials are required"
    return "This client is invalid or must authenticate using a client secret"


def _proves(record: Client, credentials: Credentials) -> bool:
    return compare_digest(record.client_secret.encode(), credentials.client_secret.encode())


def _overlaid(fields: Mapping[str, object], overlay: Mapping[str, object]) -> dict[str, object]:
    """Lay *overlay* over *fields*; an ellipsis takes a field away."""
    return {name: value for name, value in {**fields, **overlay}.items() if value is not ...}


def add_token_route(app: Flask, server: Server) -> None:
    """Serve `/token`."""

    @app.route("/token", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def answer_token_request() -> Response:
        if current_request.method == "POST":
            return server.answer_token_request()
        answer = Response() if current_request.method == "OPTIONS" else server.refuse(wrong_method())
        answer.headers["Allow"] = "POST, OPTIONS"
        return answer
