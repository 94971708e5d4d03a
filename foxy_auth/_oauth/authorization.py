"""
The authorization request and its answer, as values: no I/O, no clock, no state.

Sources: RFC 6749, sections 4.1.1 and 4.1.2; RFC 7636 for PKCE; and the provider's page "OAuth for 3rd Party
Integrations", from which the table of errors is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from importlib import import_module
from typing import Any, cast
from urllib.parse import parse_qsl

from foxy_auth._oauth.messages import clean
from foxy_auth.errors import AuthorizationError

# The scopes of the provider's pages. Any other text passes too, for there are granular ones.
CLIENT_FULL_ACCESS = "client_full_access"
USER_FULL_ACCESS = "user_full_access"
STORE_FULL_ACCESS = "store_full_access"

# The provider's table of errors: what to do about each, by error word and description.
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
# The words of that table are what they are, even if a state of somebody's own is a part of one.
KNOWN = {text for row in ACTIONS for text in row}
# The one row that comes without a state, for that is what it is about.
STATE_MISSING = ("invalid_request", "The state parameter is required")

# What stands before the query of an address: a path, from its scheme or its first slash on, or anything without the
# signs of a query. The query may hold slashes and question marks itself (RFC 3986, section 3.4).
PLACE = re.compile(r"\A(([a-z][a-z0-9+.-]*:)?/[^?]*|[^=&?]*)\?", re.IGNORECASE)
# What an authorization response is made of.
PARAMETERS = {"code", "state", "error", "error_description"}
# How the mappings of web frameworks are asked for every value of a name: those of Django, Flask, Starlette and Bottle;
# of aiohttp and Pyramid; of httpx.
EVERY_VALUE = ("getlist", "getall", "get_list")


@dataclass(frozen=True, slots=True, repr=False)
class AuthorizationRequest:
    """
    An authorization request, to which the user's browser is sent.

    Attributes:
        url: Where to send the browser.

        state: What the answer must bring back; keep it in the user's session until then.

        code_verifier: What the code exchange must prove, if the request asked for PKCE; keep it beside the state.
    """

    url: str
    state: str
    code_verifier: str | None = None

    def __repr__(self) -> str:
        """Name the endpoint; the rest of the URL holds the state."""
        return f"<AuthorizationRequest to {self.url.partition('?')[0]}>"


def authorization_request(
    endpoint: str, client_id: str, scope: str, *, redirect_uri: str | None, pkce: bool
) -> AuthorizationRequest:
    """Write an authorization request with a fresh state; what *endpoint* has as a query is kept."""
    # Authlib's types are known in part only.
    security: Any = import_module("authlib.common.security")
    parameters: Any = import_module("authlib.oauth2.rfc6749.parameters")
    rfc7636: Any = import_module("authlib.oauth2.rfc7636")

    state: str = security.generate_token(48)
    verifier: str | None = security.generate_token(64) if pkce else None
    proof = {
        "code_challenge": verifier and rfc7636.create_s256_code_challenge(verifier),
        "code_challenge_method": verifier and "S256",
    }
    url: str = parameters.prepare_grant_uri(endpoint, client_id, "code", redirect_uri, scope, state, **proof)
    return AuthorizationRequest(url, state, verifier)


def read_authorization_response(response: str | Mapping[str, Any], *, state: str | None) -> str:
    """
    Return the code of an authorization response.

    The state is checked before anything else.

    Args:
        response: The URL to which the browser was redirected, its query, or the query's parameters as the web framework
            gives them.

        state: The state of the request; None, as from a session that has expired, matches nothing.

    Raises:
        AuthorizationError: The state differs, the provider reports an error, a parameter is there twice, or there is no
            code.

        TypeError: An argument is of no use.
    """
    if state is not None and not isinstance(state, str):
        raise TypeError(f"state takes the state of the request as text, or None, not {type(state).__name__}")
    parameters = _parameters(response)
    error, description = parameters.get("error", ""), parameters.get("error_description", "")
    code = parameters.get("code", "")
    if (error, description) == STATE_MISSING and "state" not in parameters:
        raise _reported(error, description, ())
    if not state or not compare_digest(_octets(state), _octets(parameters.get("state", ""))):
        message = (
            "the state of the answer is not the state of the request, so the answer may be forged: abort, and begin a "
            "new authorization (the user's session may also have expired)"
        )
        raise AuthorizationError(message, error="state_mismatch")
    if error:
        raise _reported(error, description, (state, code or state))
    if not code:
        raise AuthorizationError("the answer has no code; begin a new authorization", error="missing_code")
    if code != code.encode("utf-8", "ignore").decode():  # half a character, as JSON can name it
        raise AuthorizationError("the answer's code is broken; begin a new authorization", error="invalid_response")
    return code


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # whatever a forger sends


def _reported(error: str, description: str, hidden: tuple[str, ...]) -> AuthorizationError:
    action = ACTIONS.get((error, description)) or _action_by_word(error)
    error, description = (text if text in KNOWN else clean(text, hidden) for text in (error, description))
    said = f"{error}: {description}" if description else error
    return AuthorizationError(f"{said}; {action}", error=error, description=description or None)


def _action_by_word(error: str) -> str:
    """Say what to do about an error with another description than the provider's page has."""
    actions = [action for (word, _), action in ACTIONS.items() if word == error]
    return " or ".join(dict.fromkeys(actions)) or "begin a new authorization"


def _parameters(response: str | Mapping[str, Any]) -> dict[str, str]:
    """Read the parameters that count; none of them may be there twice (RFC 6749, section 3.1)."""
    if isinstance(response, str):
        return _once(parse_qsl(query_of(response), keep_blank_values=True))
    if not isinstance(response, Mapping):
        kind = type(response).__name__
        raise TypeError(f"authorization_response takes a URL as text, or the parameters of its query, not {kind}")
    return _once((_text(name), _text(value)) for name in dict.fromkeys(response) for value in _values(response, name))


def query_of(response: str) -> str:
    """Return the query of an address; what is no address is a query already."""
    return PLACE.sub("", response.partition("#")[0])


def _values(response: Mapping[str, Any], name: str) -> list[object]:
    """List every value of a parameter; those that are None, as in a framework's default, are none."""
    for every in EVERY_VALUE:
        if callable(ask := getattr(response, every, None)):
            return cast("list[object]", ask(name))
    value = response[name]
    values = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
    return [value for value in values if value is not None]


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:  # a query that the redirect URI had before
            continue
        if name in parameters:
            message = f"the answer names {name} twice, so it may be forged; begin a new authorization"
            raise AuthorizationError(message, error="invalid_response")
        parameters[name] = value
    return parameters
