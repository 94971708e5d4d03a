"""
What is said to the provider and what its answers mean.

Everything here turns values into values: no I/O, no clock, no state.
The encoding of OAuth 2.0 requests is Authlib's; it is loaded with the first token call.

Sources: RFC 6749 (section 5 for the answers, section 6 for refreshing), RFC 6750 (the header and the 401), and the
provider's pages "OAuth for 3rd Party Integrations" and "Refreshing the Access Token".
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from math import inf, isfinite
from typing import Any, cast
from urllib.parse import urljoin

from foxy_auth._arguments import AuthMethod
from foxy_auth.errors import (
    FoxyAuthError,
    LoginRequiredError,
    RegistrationError,
    TokenRefusedError,
    TokenUnavailableError,
)
from foxy_auth.token import Token

VERSION_HEADER = "FOXY-API-VERSION"
FORM = "application/x-www-form-urlencoded"

# No answer of a token endpoint is longer than a few hundred bytes.
MAX_TOKEN_RESPONSE = 2**16
# A resource of the API may have many others embedded.
MAX_RESOURCE = 2**22
# The provider's longest lifetime, that of a refresh token: ten years in seconds. An access token that claims to live
# longer is taken to live that long.
LONGEST_LIFE = 315_360_000.0
LONGEST_DESCRIPTION = 300
# As much of a 401 as is read before the refresh, in bytes; the provider's own has some hundred.
MAX_401_BODY = 2**16

# Error words by which the provider says "not now" instead of "no" (RFC 6749, section 4.1.2.1, used at token endpoints
# as well).
PASSING_ERRORS = {"temporarily_unavailable", "server_error"}
# Words of RFC 6749, section 5.2, and of the provider: they are what they are, even if a secret is a part of one.
REFUSALS = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "redirect_uri_mismatch",
}
# A gateway that waited in vain does not know whether the provider has issued a token, so the call is not repeated.
GATEWAY_TIMEOUT = 504
TOO_MANY_REQUESTS = 429
UNAUTHORIZED = 401

# The error words of a 401 by which the access token itself is refused.
TOKEN_ERRORS = {"invalid_token", "expired_token", "malformed_token"}
# The provider's two texts about a refused token begin so, in either shape of its errors.
TOKEN_TEXT = "access token provided"  # noqa: S105 - no password, a phrase


# --- the way there -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """An OAuth client: its id and secret, and how it authenticates at the token endpoint (RFC 6749, section 2.3.1)."""

    client_id: str
    client_secret: str = field(repr=False)
    auth_method: AuthMethod = "client_secret_basic"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to the provider, ready to be sent, and how many bytes its answer may have."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)
    method: str = "POST"
    max_bytes: int = MAX_TOKEN_RESPONSE


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The provider's answer as it came; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def refresh_request(client: ClientCredentials, refresh_token: str, *, url: str, api_version: str) -> HttpRequest:
    """Ask for a new access token by a refresh token (RFC 6749, section 6)."""
    return _token_request(client, "refresh_token", {"refresh_token": refresh_token}, url=url, api_version=api_version)


def code_request(
    client: ClientCredentials, code: str, *, redirect_uri: str, code_verifier: str | None, url: str, api_version: str
) -> HttpRequest:
    """Ask for the first tokens by an authorization code (RFC 6749, section 4.1.3; RFC 7636 for the verifier)."""
    fields = {"code": code, "redirect_uri": redirect_uri, "code_verifier": code_verifier or ""}
    return _token_request(client, "authorization_code", fields, url=url, api_version=api_version)


def client_credentials_request(client: ClientCredentials, scope: str, *, url: str, api_version: str) -> HttpRequest:
    """Ask for a token for the client itself (RFC 6749, section 4.4)."""
    return _token_request(client, "client_credentials", {"scope": scope}, url=url, api_version=api_version)


def _token_request(
    client: ClientCredentials, grant_type: str, fields: Mapping[str, str], *, url: str, api_version: str
) -> HttpRequest:
    # Authlib costs 50 ms to import, which a program that finds its token fresh does not have to pay.
    from authlib.oauth2.auth import ClientAuth
    from authlib.oauth2.rfc6749.parameters import prepare_token_request

    headers = {"Content-Type": FORM, "Accept": "application/json", VERSION_HEADER: api_version}
    body = prepare_token_request(grant_type, **fields)
    authentication: Any = ClientAuth(client.client_id, client.client_secret, client.auth_method)
    url, headers, body = authentication.prepare("POST", url, headers, body)
    return HttpRequest(url, headers, body)


def bearer(token: Token) -> str:
    """Write the Authorization header (RFC 6750, section 2.1)."""
    return f"Bearer {token.access_token}"


def carries(headers: Mapping[str, str], token: Token) -> bool:
    """Tell whether *headers*, whose names compare without case, are those of a request that *token* signs."""
    return headers.get("Authorization") == bearer(token)


def merged_cookies(sent: str, fresh: str) -> str:
    """Write a Cookie header with the pairs of *sent*, where *fresh* has none of the same name, and those of *fresh*."""
    pairs = [pair for pair in (*sent.split("; "), *fresh.split("; ")) if pair]
    return "; ".join({pair.partition("=")[0]: pair for pair in pairs}.values())


# --- the token endpoint's answer -----------------------------------------------------------------------------------


def read_token_response(
    reply: HttpResponse, *, asked_at: float, refresh_token: str | None, scope: str, hidden: tuple[str, ...]
) -> Token:
    """
    Read the token endpoint's answer.

    The expiry counts from *asked_at*, so that a slow answer never makes a token look younger than it is.
    A refresh token or a scope that the answer leaves out stays as it was (RFC 6749, sections 5.1 and 6).
    An error is known by its `error` word whatever the status.

    Args:
        reply: Status, headers and body as they came.

        asked_at: The moment before the call left, in seconds since the epoch, UTC.

        refresh_token: The refresh token that was sent, if one was.

        scope: The scope that was asked for, or that the former token had.

        hidden: Secrets that the provider's words must not carry into an error.

    Raises:
        LoginRequiredError: The endpoint answered `invalid_grant`.

        TokenRefusedError: Any other error of RFC 6749, section 5.2.

        TokenUnavailableError: The answer is no token answer: 429, 5xx, a redirect, or not what RFC 6749 describes.
    """
    fields = json_object(reply.body)
    if refusal := _refusal(reply, fields, hidden):
        raise refusal
    try:
        return read_token(fields, asked_at=asked_at, refresh_token=refresh_token, scope=scope)
    except (KeyError, TypeError, ValueError):
        raise _unusable(reply, "; ".join(error_messages(fields)), hidden) from None


def read_token(
    fields: Mapping[str, Any], *, asked_at: float, refresh_token: str | None = None, scope: str = ""
) -> Token:
    """
    Read the fields of a token answer, as `read_token_response` describes.

    Raises:
        KeyError, TypeError, ValueError: They are not those of a token answer.
    """
    life = _life(fields)
    return Token(
        fields["access_token"],
        refresh_token=_text(fields.get("refresh_token")) or refresh_token,
        expires_at=None if life is None else asked_at + life,
        obtained_at=asked_at,
        scope=_scope(fields.get("scope")) or scope,
        token_type=_text(fields.get("token_type")) or "Bearer",
    )


def _refusal(reply: HttpResponse, fields: Mapping[str, Any], hidden: tuple[str, ...]) -> FoxyAuthError | None:
    error = _text(fields.get("error"))
    description = clean(_text(fields.get("error_description")), hidden) or None
    if reply.status == TOO_MANY_REQUESTS or reply.status >= 500 or error in PASSING_ERRORS:  # noqa: PLR2004
        return TokenUnavailableError(
            f"the token endpoint is unavailable ({reply.status}): {description or 'no explanation'}; try later",
            retry_after=retry_after(reply.headers),
            repeatable=reply.status != GATEWAY_TIMEOUT,
        )
    if not error:
        return None
    error = error if error in REFUSALS else clean(error, hidden)
    said = f"{error}: {description}" if description else error
    if error == "invalid_grant":
        message = f"the grant is gone ({said}); authorize again"
        return LoginRequiredError(message, error=error, description=description)
    message = f"the token endpoint refuses ({said}); check the client id, the client secret and the token endpoint"
    return TokenRefusedError(message, error=error, description=description, status=reply.status)


def _unusable(reply: HttpResponse, reason: str, hidden: tuple[str, ...]) -> TokenUnavailableError:
    if 300 <= reply.status < 400:  # noqa: PLR2004
        reason = "it redirects, and secrets follow no redirect"
    reason = clean(reason, hidden) or "its answer is no token"
    return TokenUnavailableError(
        f"the token endpoint is of no use ({reply.status}): {reason}; check that its address is right, then try later",
        retry_after=retry_after(reply.headers),
    )


def json_object(body: bytes) -> Mapping[str, Any]:
    """Read a JSON object; anything else is an empty one."""
    fields = _json(body)
    return cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}


def _json(body: bytes) -> Any:
    """Read JSON; an absurd number or a name in a wrong encoding must not cost the new token beside it."""
    try:
        return json.loads(body.decode(json.detect_encoding(body), "replace"), parse_int=_number)
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> float:
    """Read an integer, which Python does only up to some length."""
    return int(digits) if len(digits) < sys.int_info.str_digits_check_threshold else inf


def error_messages(fields: Mapping[str, Any]) -> list[str]:
    """List the messages of the API's own errors, which come as HAL (`_embedded` → `fx:errors` → `message`)."""
    try:
        errors = fields["_embedded"]["fx:errors"]
    except (KeyError, TypeError):
        return []
    messages = [_text(error.get("message")) for error in _objects(errors)]
    return [message for message in messages if message]


def _objects(content: object) -> list[dict[str, Any]]:
    """List the objects in a list, or a single one that stands there without a list; anything else is passed over."""
    entries = cast("list[object]", content) if isinstance(content, list) else [content]
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def clean(text: str, hidden: tuple[str, ...]) -> str:
    """Make the provider's words fit for an error: no secrets, no control characters, no novels."""
    for secret in sorted(hidden, key=len, reverse=True):  # one may contain another
        text = text.replace(secret, "[hidden]")
    return "".join(c if c.isprintable() else " " for c in text[:LONGEST_DESCRIPTION])


def _scope(value: object) -> str:
    return " ".join(map(_text, cast("list[object]", value))) if isinstance(value, list) else _text(value)


def _life(fields: Mapping[str, Any]) -> float | None:
    """
    Read the lifetime in seconds, None if the answer names none that makes sense.

    The provider answers `expires_in`; its pages speak of `access_token_expires`, in seconds as well.
    """
    for name in ("expires_in", "access_token_expires"):
        value = fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        try:
            life = float(value)
        except (ValueError, OverflowError):
            continue
        if life > 0 and isfinite(life):
            return min(life, LONGEST_LIFE)
    return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` in seconds (RFC 9110, section 10.2.3); a date counts from the answer's own `Date`."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return min(float(value), LONGEST_LIFE)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(wait.total_seconds(), 0.0)


# --- the API's resources -------------------------------------------------------------------------------------------


def resource_request(
    url: str, *, api_version: str, fields: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """Get the resource at *url*, or with *fields* create one there; in JSON, the API's own format."""
    own = {"Accept": "application/hal+json", VERSION_HEADER: api_version, **(headers or {})}
    if fields is None:
        return HttpRequest(url, own, "", method="GET", max_bytes=MAX_RESOURCE)
    own = {"Content-Type": "application/json", **own}
    return HttpRequest(url, own, json.dumps(fields), max_bytes=MAX_RESOURCE)


def read_resource(reply: HttpResponse) -> Mapping[str, Any]:
    """
    Read a resource.

    Raises:
        RegistrationError: The API refuses; the messages are those of all its shapes of errors.

        TokenUnavailableError: 429 or 5xx.
    """
    fields = json_object(reply.body)
    if 200 <= reply.status < 300:  # noqa: PLR2004
        return fields
    messages = tuple(clean(message, ()) for message in (*error_messages(fields), *_other_messages(reply.body)))
    text = f"the API refuses ({reply.status}): {'; '.join(messages) or 'no explanation'}"
    if reply.status == TOO_MANY_REQUESTS or reply.status >= 500:  # noqa: PLR2004
        raise TokenUnavailableError(f"{text}; try later", retry_after=retry_after(reply.headers))
    raise RegistrationError(text, messages=messages, status=reply.status)


def _other_messages(body: bytes) -> list[str]:
    """List the messages of an error that is no HAL: OAuth's, a single `message`, or a bare list of those."""
    names = ("error_description", "error", "message")
    said = [[_text(error.get(name)) for name in names] for error in _objects(_json(body))]
    return [message for description, error, plain in said for message in (description or error, plain) if message]


def link(resource: Mapping[str, Any], relation: str) -> str | None:
    """Return the address that *resource* links to by *relation*, such as `fx:token`; None if it has no such link."""
    try:
        return _text(resource["_links"][relation]["href"]) or None
    except (KeyError, TypeError):
        return None


def absolute(address: str, *, base: str) -> str:
    """Complete a link's *address*, which may be relative; what is no address stays as it is."""
    try:
        return urljoin(base, address)
    except ValueError:
        return address


# --- the API's 401 -------------------------------------------------------------------------------------------------


def blames_token(headers: Mapping[str, str], body: bytes) -> bool:
    """
    Tell whether a 401 is about the access token, so that a new one may help.

    It is not if the body or `WWW-Authenticate` names another cause (R15).
    An answer that names none, being empty, no JSON or without an error, counts as the token's.

    Args:
        headers: The answer's headers, whose names compare without case or are in lower case.

        body: As much of the answer's body as was read.
    """
    causes = [
        *_causes(json_object(body)),
        *re.findall(r'\berror\s*=\s*"?([^",\s]+)', headers.get("www-authenticate", "")),
    ]
    return all(cause in TOKEN_ERRORS or TOKEN_TEXT in cause.lower() for cause in causes)


def _causes(fields: Mapping[str, Any]) -> list[str]:
    """List what the body of an API error names as its cause, in either of the provider's two shapes."""
    words = [_text(fields.get("error")), "; ".join(error_messages(fields))]
    return [word for word in words if word]
