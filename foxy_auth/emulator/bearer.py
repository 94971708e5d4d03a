"""Check the access token of a request (RFC 6750), with the errors of the provider's library."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

from flask import Response, abort, request

from foxy_auth.emulator import hal
from foxy_auth.emulator.models import AccessToken, db

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foxy_auth.emulator.settings import BodyShape

_BEARER = re.compile(r"Bearer\s(\S+)", re.IGNORECASE)
_HTML = (
    "<html><head><title>401 Authorization Required</title></head><body><h1>Authorization Required</h1></body></html>"
)


def require_token(scope: str | None = None) -> AccessToken:
    """Return the valid access token of the current request; abort if there is none or it lacks *scope*."""
    token = find_token()
    if token is None:
        deny(401)
    if scope is not None and scope not in token.scopes:
        deny_scope(scope)
    return token


def find_token() -> AccessToken | None:
    """Return the access token of the current request, None if it has none; abort if the token is not valid."""
    header = request.headers.get("Authorization", "")
    if not header:
        return None
    if "access_token" in request.args:
        deny(400, "invalid_request", "Only one method may be used to authenticate at a time (Auth header, GET or POST)")
    matched = _BEARER.match(header)
    if matched is None:
        deny(400, "invalid_request", "Malformed auth header")
    token = db.access_tokens.get(matched[1])
    if token is None:
        deny(401, "invalid_token", "The access token provided is invalid")
    if db.has_expired(token):
        deny(401, "invalid_token", "The access token provided has expired")
    return token


def deny_scope(scope: str) -> NoReturn:
    """Abort the current request because its token lacks *scope*."""
    description = "The request requires higher privileges than provided by the access token"
    deny(403, "insufficient_scope", description, scope=scope)


def deny(status: int, error: str = "", description: str = "", *, scope: str = "") -> NoReturn:
    """Abort the current request; the settings determine the shape of a 401."""
    headers = {"Cache-Control": "no-store"}
    if db.settings.unauthorized_header:
        parameters = {"realm": "Service", "scope": scope, "error": error, "error_description": description}
        challenge = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)
        headers["WWW-Authenticate"] = f"Bearer {challenge}"
    shape: BodyShape = "oauth"
    if status == 401:  # noqa: PLR2004 - the status that the settings are about
        shape = db.settings.unauthorized_body if error else db.settings.missing_token_body
    abort(_denial(shape, status, headers, error=error, description=description))


def _denial(shape: BodyShape, status: int, headers: Mapping[str, str], *, error: str, description: str) -> Response:
    if shape == "hal":
        return hal.error(status, description or "Authentication is required", headers=headers)
    if shape == "html":
        return Response(_HTML, status, headers, content_type="text/html")
    fields = {"error": error or "invalid_request", "error_description": description}
    content = "" if shape == "empty" else json.dumps({name: value for name, value in fields.items() if value})
    return Response(content, status, headers, content_type="application/json")
