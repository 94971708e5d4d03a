"""
The authorization request and its response as values: no I/O, no clock, no state.

Sources: RFC 6749, sections 4.1.1 and 4.1.2; RFC 7636 for PKCE; RFC 9207 for the issuer; the provider's page "OAuth for
3rd Party Integrations", which has the table of errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from hmac import compare_digest
from importlib import import_module
from typing import Any, Self, TypedDict, Unpack, cast
from urllib.parse import parse_qsl

from foxy_auth._arguments import kind
from foxy_auth._oauth.messages import clean
from foxy_auth._secrets import Secret, guarded_class
from foxy_auth.errors import AuthorizationError

# The scopes that the provider's pages name. There are others, so any text is accepted.
CLIENT_FULL_ACCESS = "client_full_access"
USER_FULL_ACCESS = "user_full_access"
STORE_FULL_ACCESS = "store_full_access"

# The provider's table of errors: what to do, by error code and description.
ACTIONS = {
    (
        "access_denied",
        "The user denied access to your application",
    ): "display a message to the user that the operation is not possible without access",
    ("invalid_client", "No client id supplied"): "supply a valid client id",
    ("invalid_client", "The client id supplied is invalid"): "confirm that the client_id supplied is valid",
    ("invalid_client", "This application requires you specify a scope parameter"): "supply a valid scope",
    (
        "invalid_request",
        "Invalid or missing response type",
    ): "ensure that you are passing code as the response type",
    ("invalid_request", "The state parameter is required"): "supply a state parameter",
    ("invalid_scope", "An unsupported scope was requested"): "confirm that the scope you are requesting is valid",
}
# Texts of that table are shown even if they contain a short state.
KNOWN_TEXTS = {text for row in ACTIONS for text in row}
# The one error that comes without a state, because the state is what was missing.
STATE_MISSING = ("invalid_request", "The state parameter is required")

# What precedes the query of an address: a scheme or a path up to the first question mark, or anything that does not
# look like a query. The query itself may contain slashes and question marks (RFC 3986, section 3.4).
BEFORE_QUERY = re.compile(r"\A(([a-z][a-z0-9+.-]*:)?/[^?]*|[^=&?]*)\?", re.IGNORECASE)
VERIFIER = re.compile("[A-Za-z0-9._~-]{43,128}")  # RFC 7636, section 4.1
PARAMETERS = {"code", "state", "error", "error_description", "iss"}
# The method that returns all values of a name: in Django, Flask, Starlette and Bottle; aiohttp and Pyramid; httpx.
GET_ALL_METHODS = ("getlist", "getall", "get_list")


class Binding(TypedDict):
    """What a request and whoever takes its response must agree in, so that no code is sent where it does not belong."""

    client_id: str
    redirect_uri: str | None
    authorization_endpoint: str
    token_endpoint: str


@guarded_class
@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class AuthorizationRequest:
    """
    An authorization request, which the user's browser makes; its `to_dict()` is kept in the user's session.

    An `OAuthClient` takes the response only if it agrees with the request in the last four attributes.

    Attributes:
        url: Where to send the browser.

        state: What the response must repeat.

        code_verifier: What proves at the code exchange who made the request (PKCE); None without PKCE.

        client_id: The client's id.

        redirect_uri: The client's redirect URI; None if it has none.

        authorization_endpoint: Where users grant access.

        token_endpoint: Where the code is exchanged.

    Raises:
        TypeError, ValueError: An attribute is not text, or not a verifier.
    """

    url: str
    state: str
    code_verifier: str | None
    client_id: str
    redirect_uri: str | None
    authorization_endpoint: str
    token_endpoint: str

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, str) and (value is not None or name not in {"code_verifier", "redirect_uri"}):
                raise TypeError(f"AuthorizationRequest.{name} must be text, not {kind(value)}")
        if self.code_verifier is not None and not VERIFIER.fullmatch(self.code_verifier):
            raise ValueError(
                "AuthorizationRequest.code_verifier must be 43 to 128 letters, digits, '-', '.', '_' or '~'"
            )

    def __repr__(self) -> str:
        """Show the endpoint; the rest of the URL contains the state."""
        return f"<AuthorizationRequest to {self.url.partition('?')[0]}>"

    def to_dict(self) -> dict[str, str | None]:
        """Return the attributes as JSON values, for the user's session; `fetch_token` and `from_dict` read them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """
        Read what `to_dict` wrote; values of other names are ignored.

        Raises:
            TypeError, ValueError: A value is missing or wrong; the message names it, and never shows it.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"request takes an AuthorizationRequest or what its to_dict returned, not {kind(values)}")
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in values]:
            raise ValueError(f"AuthorizationRequest.from_dict needs {missing[0]}; give it all that to_dict returned")
        return cls(**{name: values[name] for name in names})


def authorization_request(
    scope: str, *, send_redirect_uri: bool, pkce: bool, **binding: Unpack[Binding]
) -> AuthorizationRequest:
    """
    Build an authorization request with a new random state; a query of the authorization endpoint is kept.

    Args:
        scope: What to ask for.

        send_redirect_uri: Whether the redirect URI is sent along.

        pkce: Whether the code is bound to a verifier.

        binding: The last four attributes of the request.
    """
    from authlib.common.security import generate_token

    # Authlib's types are incomplete.
    parameters: Any = import_module("authlib.oauth2.rfc6749.parameters")
    rfc7636: Any = import_module("authlib.oauth2.rfc7636")

    state = generate_token(48)
    verifier = generate_token(64) if pkce else None
    challenge = {
        "code_challenge": verifier and rfc7636.create_s256_code_challenge(verifier),
        "code_challenge_method": verifier and "S256",
    }
    endpoint, redirect_uri = binding["authorization_endpoint"], binding["redirect_uri"] if send_redirect_uri else None
    url: str = parameters.prepare_grant_uri(
        endpoint, binding["client_id"], "code", redirect_uri, scope, state, **challenge
    )
    return AuthorizationRequest(url=url, state=state, code_verifier=verifier, **binding)


def read_authorization_response(
    response: str | Mapping[str, Any], *, state: str | None, is_issuer: Callable[[str], bool]
) -> Secret:
    """
    Return the code of an authorization response, after checking its issuer and its state.

    Args:
        response: The URL to which the browser was redirected, its query, or the query parameters as the web framework
            gives them.

        state: The state of the request; None, as from a session that has expired, matches nothing.

        is_issuer: Tells whether the environment may call itself so; asked if the response names its issuer.

    Raises:
        AuthorizationError: The state or the issuer differs, the provider reports an error, a parameter is repeated, or
            there is no code.

        TypeError: An argument has the wrong type.
    """
    if state is not None and not isinstance(state, str):
        raise TypeError(f"state takes the state of the request as text, or None, not {type(state).__name__}")
    parameters = _parameters(response)
    error, description = parameters.get("error", ""), parameters.get("error_description", "")
    code = parameters.get("code", "")
    if "iss" in parameters and not is_issuer(parameters["iss"]):
        raise _other_issuer(parameters["iss"], (Secret(state or ""), Secret(code)))
    if (error, description) == STATE_MISSING and "state" not in parameters:
        raise _reported_error(error, description, ())
    if not state or not compare_digest(_octets(state), _octets(parameters.get("state", ""))):
        message = (
            "the state of the response differs from the state of the request, so the response may be forged: abort, "
            "and begin a new authorization (the user's session may also have expired)"
        )
        raise AuthorizationError(message, error="state_mismatch")
    if error:
        raise _reported_error(error, description, (Secret(state), Secret(code)))
    if not code:
        raise AuthorizationError("the response has no code; begin a new authorization", error="missing_code")
    if code != code.encode("utf-8", "ignore").decode():  # lone surrogates
        raise AuthorizationError("the response's code is broken; begin a new authorization", error="invalid_response")
    return Secret(code)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a forged state may contain anything


def _other_issuer(issuer: str, hidden: Iterable[Secret]) -> AuthorizationError:
    message = (
        f"the response is from another issuer, {clean(issuer, hidden)!r}, so it may be forged: abort, and begin a new "
        "authorization (if this is how Foxy calls itself, give it to Environment as issuer=…)"
    )
    return AuthorizationError(message, error="issuer_mismatch")


def _reported_error(code: str, description: str, hidden: Iterable[Secret]) -> AuthorizationError:
    action = ACTIONS.get((code, description)) or _action_for(code)
    code, description = (text if text in KNOWN_TEXTS else clean(text, hidden) for text in (code, description))
    reason = f"{code}: {description}" if description else code
    return AuthorizationError(f"{reason}; {action}", error=code, description=description or None)


def _action_for(code: str) -> str:
    """Return what to do about an error code whose description is not in the provider's table."""
    actions = [action for (known, _), action in ACTIONS.items() if known == code]
    return " or ".join(dict.fromkeys(actions)) or "begin a new authorization"


def _parameters(response: str | Mapping[str, Any]) -> dict[str, str]:
    if isinstance(response, str):
        return _unique(parse_qsl(query_of(response), keep_blank_values=True))
    if not isinstance(response, Mapping):
        kind = type(response).__name__
        raise TypeError(f"authorization_response takes a URL as text, or the parameters of its query, not {kind}")
    return _unique((_text(name), _text(value)) for name in dict.fromkeys(response) for value in _values(response, name))


def query_of(response: str) -> str:
    """Return the query of an address; text that is not an address is a query already."""
    return BEFORE_QUERY.sub("", response.partition("#")[0])


def _values(response: Mapping[str, Any], name: str) -> list[object]:
    """List all values of a parameter but None, which frameworks use for a missing one."""
    for method in GET_ALL_METHODS:
        if callable(get_all := getattr(response, method, None)):
            return cast("list[object]", get_all(name))
    value = response[name]
    values = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
    return [value for value in values if value is not None]


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Collect the OAuth parameters, none of which may be repeated (RFC 6749, section 3.1)."""
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:  # from the redirect URI's own query
            continue
        if name in parameters:
            message = f"the response repeats the parameter {name}, so it may be forged; begin a new authorization"
            raise AuthorizationError(message, error="invalid_response")
        parameters[name] = value
    return parameters
