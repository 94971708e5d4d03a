"""
Token requests, token responses and 401s as values: no I/O, no clock, no state.

Authlib encodes the token requests; it is imported with the first one.

Sources: RFC 6749 (section 5 for responses, section 6 for refreshing), RFC 6750 (the header and the 401), and the
provider's pages "OAuth for 3rd Party Integrations" and "Refreshing the Access Token".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, Self, cast

from foxy_auth._arguments import CLIENT_ID_PREFIX, AuthMethod
from foxy_auth._oauth import VERSION_HEADER
from foxy_auth._secrets import Secret, hide
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, TokenRefusedError, TokenUnavailableError
from foxy_auth.token import Token

FORM = "application/x-www-form-urlencoded"

# Limits of response bodies, in bytes. A token response has a few hundred, a resource may embed many others.
MAX_TOKEN_RESPONSE = 2**16
MAX_RESOURCE = 2**20
MAX_401_BODY = 2**16
# Ten years in seconds, the provider's longest lifetime. Longer ones are read as this.
LONGEST_LIFE = 315_360_000.0
LONGEST_DESCRIPTION = 300
MOST_MESSAGES = 50

TOO_MANY_REQUESTS = 429
GATEWAY_TIMEOUT = 504

# Error codes that ask to try later (RFC 6749, section 4.1.2.1; token endpoints use them too).
TEMPORARY_ERRORS = {"temporarily_unavailable", "server_error"}
# Error codes of RFC 6749, section 5.2, and of the provider. They are shown even if they contain a short secret.
KNOWN_ERRORS = re.compile(
    "invalid_(request|client|grant|scope)|unauthorized_client|unsupported_grant_type|redirect_uri_mismatch"
)
# What to do about an error code.
REMEDY = "check the client id, the client secret and the token endpoint"
REMEDIES = {
    "invalid_client": ("check client_id, client_secret and environment: sandbox and production have different clients"),
    "invalid_scope": "ask for a scope that this client may have",
    "unauthorized_client": "this client may not ask for tokens in this way; check grant_type",
    "unsupported_grant_type": "it does not issue tokens in this way; check grant_type and the token endpoint",
}
WRONG_GRANT = (
    "the grant was revoked or has expired; or the token is another client's, or another environment's "
    "(sandbox or production), or of another kind, such as an access token or a code; authorize again, "
    "or give the right one"
)
# Error codes of a 401 that blame the access token.
TOKEN_ERRORS = {"invalid_token", "expired_token", "malformed_token"}
# The provider's two descriptions of a refused access token begin with this.
TOKEN_PHRASE = "access token provided"  # noqa: S105 - not a password


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to the provider; the response's body may have *max_bytes* bytes."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)
    method: str = "POST"
    max_bytes: int = MAX_TOKEN_RESPONSE


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The provider's response; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


# --- token requests --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The credentials of an OAuth client, and how it sends them (RFC 6749, section 2.3.1)."""

    client_id: str
    client_secret: Secret
    auth_method: AuthMethod = "client_secret_basic"


def token_request(
    client: ClientCredentials, grant_type: str, fields: Mapping[str, str | Secret], *, url: str, api_version: str
) -> HttpRequest:
    """
    Build a token request.

    Args:
        client: Who asks.

        grant_type: `refresh_token` (RFC 6749, section 6), `authorization_code` (section 4.1.3) or `client_credentials`
            (section 4.4).

        fields: The parameters that this grant type needs; empty ones are not sent.

        url: The token endpoint's address.

        api_version: Goes into the header `FOXY-API-VERSION`.
    """
    # Importing Authlib takes 50 ms, which a program whose token is fresh does not need to spend.
    from authlib.oauth2.auth import ClientAuth
    from authlib.oauth2.rfc6749.parameters import prepare_token_request

    headers = {"Content-Type": FORM, "Accept": "application/json", VERSION_HEADER: api_version}
    revealed = {name: field.reveal() if isinstance(field, Secret) else field for name, field in fields.items()}
    body = prepare_token_request(grant_type, **revealed)
    authentication: Any = ClientAuth(client.client_id, client.client_secret.reveal(), client.auth_method)
    url, headers, body = authentication.prepare("POST", url, headers, body)
    secret = {name: HiddenText(value) for name, value in headers.items() if name == "Authorization"}
    return HttpRequest(url, {**headers, **secret}, HiddenText(body))


# --- headers of signed requests --------------------------------------------------------------------------------------


class _Shared:
    """Copies share the value instead of going through its pickle."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class HiddenText(_Shared, str):
    """
    A text that client libraries send, hidden from `repr` and pickles.

    They keep it, or its bytes, in variables, on requests and on responses, which users log and pickle (R21, R23).
    """

    __slots__ = ("_bytes",)
    SHOWN = "[hidden]"
    _bytes: bytes

    def __new__(cls, value: str) -> Self:
        text = super().__new__(cls, value)
        text._bytes = _HiddenBytes(value, "ascii")
        return text

    def encode(self, encoding: str = "ascii", errors: str = "strict") -> bytes:  # noqa: ARG002 - str's signature
        """Return the same bytes for every encoding; the value is ASCII."""
        return self._bytes

    def __getitem__(self, key: Any) -> str:
        """Hide parts too: rich shows the beginning of long texts."""
        return type(self)(super().__getitem__(key))

    def __repr__(self) -> str:
        return repr(self.SHOWN)

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (self.SHOWN,)


class AuthorizationHeader(HiddenText):
    """The value `Bearer …` of the Authorization header."""

    __slots__ = ()
    SHOWN = "Bearer [hidden]"


class _HiddenBytes(_Shared, bytes):
    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        part = cast("bytes | int", bytes.__getitem__(self, key))
        return part if isinstance(part, int) else _HiddenBytes(part)

    def __repr__(self) -> str:
        return "b'[hidden]'"

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (b"[hidden]",)


def authorization_header(token: Token) -> AuthorizationHeader:
    """Return the value of the Authorization header (RFC 6750, section 2.1) for requests of client libraries."""
    return AuthorizationHeader(f"Bearer {token.access_token}")


def merged_cookies(sent: str, fresh: str) -> str:
    """Merge two Cookie headers; where both have a name, *fresh* wins."""
    pairs = [pair for pair in (*sent.split("; "), *fresh.split("; ")) if pair]
    return "; ".join({pair.partition("=")[0]: pair for pair in pairs}.values())


# --- token responses -------------------------------------------------------------------------------------------------


def read_token_response(
    response: HttpResponse,
    *,
    asked_at: float,
    refresh_token: Secret | None,
    scope: str,
    hidden: Iterable[Secret],
    url: str = "",
    client_id: str = "",
) -> Token:
    """
    Read the token endpoint's response.

    The expiry counts from *asked_at*, so that a slow response makes no token look younger than it is.
    A refresh token or scope missing from the response stays what it was (RFC 6749, sections 5.1 and 6).
    An error code counts whatever the status.

    Args:
        response: The response.

        asked_at: When the token request was about to be sent, in seconds since the epoch, UTC.

        refresh_token: The refresh token that was sent, if any.

        scope: The scope that was requested, or that the former token had.

        hidden: Secrets to be removed from the provider's texts.

        url: Where it came from, for messages.

        client_id: Who has asked, for messages.

    Raises:
        LoginRequiredError: The error code is `invalid_grant`.

        TokenRefusedError: Any other error code of RFC 6749, section 5.2.

        TokenUnavailableError: The response is not a token response: 429, 5xx, a redirect, or not what RFC 6749
            describes.
    """
    fields, endpoint = json_object(response.body), f"the token endpoint {url}".rstrip()
    if error := _error(response, fields, hidden, endpoint=endpoint, client_id=client_id):
        raise error
    try:
        return read_token(fields, asked_at=asked_at, refresh_token=refresh_token, scope=scope)
    except KeyError:
        raise _unusable(response, "; ".join(error_messages(fields)), hidden, endpoint) from None
    except (TypeError, ValueError) as error:
        raise _unusable(response, str(error), hidden, endpoint) from None


def read_token(
    fields: Mapping[str, Any], *, asked_at: float, refresh_token: Secret | None = None, scope: str = ""
) -> Token:
    """
    Read the fields of a token response; see `read_token_response`.

    Raises:
        KeyError, TypeError, ValueError: There is no usable access token, or it is no bearer token.
    """
    life = _life(fields)
    kind = fields.get("token_type")
    return Token(
        fields["access_token"],
        refresh_token=text_of(fields.get("refresh_token")) or (refresh_token.reveal() if refresh_token else None),
        expires_at=None if life is None else asked_at + life,
        obtained_at=asked_at,
        scope=text_of(fields.get("scope")) or scope,
        token_type="Bearer" if kind is None or kind == "" else kind,
    )


def _error(
    response: HttpResponse, fields: Mapping[str, Any], hidden: Iterable[Secret], *, endpoint: str, client_id: str
) -> FoxyAuthError | None:
    code = text_of(fields.get("error"))
    description = clean(text_of(fields.get("error_description")), hidden) or None
    if asks_to_try_later(response.status) or code in TEMPORARY_ERRORS:
        return TokenUnavailableError(
            f"{endpoint} is unavailable ({response.status}): {description or 'no explanation'}; try later",
            retry_after=retry_after(response.headers),
            # A gateway that timed out does not know whether the provider has issued a token.
            repeatable=response.status != GATEWAY_TIMEOUT,
        )
    if not code:
        return None
    code = code if KNOWN_ERRORS.fullmatch(code) else clean(code, hidden)
    reason = f"{code}: {description}" if description else code
    if code == "invalid_grant":
        message = f"{endpoint} refuses the refresh token ({reason}): {WRONG_GRANT}"
        return LoginRequiredError(message, error=code, description=description)
    # Another id may be the secret, if the two were swapped.
    is_id = code == "invalid_client" and client_id.startswith(CLIENT_ID_PREFIX)
    client = f" the client {clean(client_id, hidden)}" if is_id else ""
    message = f"{endpoint} refuses{client} ({reason}); {REMEDIES.get(code, REMEDY)}"
    return TokenRefusedError(message, error=code, description=description, status=response.status)


def _unusable(response: HttpResponse, reason: str, hidden: Iterable[Secret], endpoint: str) -> TokenUnavailableError:
    if 300 <= response.status < 400:  # noqa: PLR2004
        reason = "it redirects, and secrets are not sent elsewhere"
    reason = clean(reason, hidden) or "no token in the response"
    message = f"{endpoint} gave no usable response ({response.status}): {reason}; check its address, then try later"
    return TokenUnavailableError(message, retry_after=retry_after(response.headers))


def _life(fields: Mapping[str, Any]) -> float | None:
    """
    Read the lifetime in seconds; None if the fields have no sensible one.

    Responses have `expires_in`; the provider's pages call it `access_token_expires`, in seconds as well.
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


# --- 401 responses ---------------------------------------------------------------------------------------------------


def blames_token(headers: Mapping[str, str], body: bytes) -> bool:
    """
    Tell whether a 401 blames the access token, so that a new one may help (R15).

    It does unless the body or `WWW-Authenticate` names another cause.
    A response without a cause (an empty body, no JSON, no error) counts as the token's.

    Args:
        headers: The response's headers; names in lower case, or compared without case.

        body: The body, or its beginning.
    """
    fields = json_object(body)
    causes = [
        text_of(fields.get("error")),
        "; ".join(error_messages(fields)),
        *re.findall(r'\berror\s*=\s*"?([^",\s]+)', headers.get("www-authenticate", "")),
    ]
    return all(cause in TOKEN_ERRORS or TOKEN_PHRASE in cause.lower() for cause in causes if cause)


# --- parts of every response -----------------------------------------------------------------------------------------


def asks_to_try_later(status: int) -> bool:
    """Tell whether *status* is about the provider's load or health, not about the request."""
    return status == TOO_MANY_REQUESTS or status >= 500  # noqa: PLR2004


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` in seconds (RFC 9110, section 10.2.3); a date counts from the response's own `Date`."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return min(float(value), LONGEST_LIFE)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(wait.total_seconds(), 0.0)


def json_object(body: bytes) -> Mapping[str, Any]:
    """
    Read a JSON object; anything else is read as an empty one.

    A huge number or a wrongly encoded name is tolerated: it must not cost the token next to it. (Python refuses to read
    very long integers, so all numbers are read as floats.)
    """
    try:
        fields = json.loads(body.decode(json.detect_encoding(body), "replace"), parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}


def error_messages(fields: Mapping[str, Any]) -> list[str]:
    """List the messages of an API error in HAL, the first of very many: `_embedded`, `fx:errors`, a `message` each."""
    try:
        messages = [error.get("message") for error in fields["_embedded"]["fx:errors"][:MOST_MESSAGES]]
    except (KeyError, TypeError, AttributeError):
        return []
    return [message for message in messages if message and isinstance(message, str)]


def text_of(value: object) -> str:
    """Return a JSON value if it is text, else an empty text."""
    return value if isinstance(value, str) else ""


def clean(text: str, hidden: Iterable[Secret]) -> str:
    """Prepare the provider's *text* for an error message: no secrets, no control characters, limited length."""
    shown = hide(text[: 4 * LONGEST_DESCRIPTION], hidden)[:LONGEST_DESCRIPTION]  # hiding takes longer than reading
    return "".join(character if character.isprintable() else " " for character in shown)
