"""Decide whether a request may do what it asks for (RFC 6750), in the words of the provider's library."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from flask import Response, abort, request

from foxy_auth.emulator._hal import refuse
from foxy_auth.emulator._records import AccessToken
from foxy_auth.emulator._state import State
from foxy_auth.emulator._switches import BodyShape

_REALM = "Service"
_BEARER = re.compile(r"Bearer\s(\S+)", re.IGNORECASE)
_HTML = (
    "<html><head><title>401 Authorization Required</title></head><body><h1>Authorization Required</h1></body></html>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why a request is denied; `error` is empty where it did not say who it is."""

    status: int
    error: str = ""
    description: str = ""
    scope: str = ""


MISSING = Denial(status=401)
MALFORMED = Denial(status=400, error="invalid_request", description="Malformed auth header")
TWICE = Denial(
    status=400,
    error="invalid_request",
    description="Only one method may be used to authenticate at a time (Auth header, GET or POST)",
)
UNKNOWN = Denial(status=401, error="invalid_token", description="The access token provided is invalid")
EXPIRED = Denial(status=401, error="invalid_token", description="The access token provided has expired")
_TOO_LITTLE = "The request requires higher privileges than provided by the access token"


def insufficient(scope: str) -> Denial:
    """Say that a request needs *scope*."""
    return Denial(status=403, error="insufficient_scope", description=_TOO_LITTLE, scope=scope)


def require(state: State, scope: str) -> AccessToken:
    """Return the live access token of the current request, or deny it."""
    token = find_token(state)
    if token is None:
        deny(state, MISSING)
    if scope not in token.scopes:
        deny(state, insufficient(scope))
    return token


def find_token(state: State) -> AccessToken | None:
    """Return the live access token of the current request; None if it carries none. One that is not good is denied."""
    header = request.headers.get("Authorization", "")
    if header and "access_token" in request.args:
        deny(state, TWICE)
    if not header:
        return None
    matched = _BEARER.match(header)
    if matched is None:
        deny(state, MALFORMED)
    with state.lock:
        token = state.ledger.find_access_token(matched.group(1))
        expired = token is not None and state.ledger.expired(token.expires_at)
    if token is None:
        deny(state, UNKNOWN)
    if expired:
        deny(state, EXPIRED)
    return token


def deny(state: State, denial: Denial) -> NoReturn:
    """End the current request with *denial*."""
    abort(denied(state, denial))


def denied(state: State, denial: Denial) -> Response:
    """Make the answer to a denied request, in the shape that the switches ask for."""
    switches = state.switches
    headers = {"Cache-Control": "no-store"}
    if switches.unauthorized_header:
        headers["WWW-Authenticate"] = _challenge(denial)
    if denial.status != 401:  # noqa: PLR2004 - the status that the switches are about
        return _shaped("oauth", denial, headers)
    return _shaped(switches.unauthorized_body if denial.error else switches.missing_token_body, denial, headers)


def _challenge(denial: Denial) -> str:
    parameters = {
        "realm": _REALM,
        "scope": denial.scope,
        "error": denial.error,
        "error_description": denial.description,
    }
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)


def _shaped(shape: BodyShape, denial: Denial, headers: Mapping[str, str]) -> Response:
    if shape == "empty":
        return Response(b"", denial.status, headers, content_type="application/json")
    if shape == "html":
        return Response(_HTML, denial.status, headers, content_type="text/html")
    if shape == "hal":
        return refuse(denial.status, denial.description or "Authentication is required", headers=headers)
    fields = {"error": denial.error or "invalid_request", "error_description": denial.description}
    content = json.dumps({name: value for name, value in fields.items() if value})
    return Response(content, denial.status, headers, content_type="application/json")
