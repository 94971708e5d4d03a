"""Check an authorization request, in the order of the provider's library."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from foxy_auth.emulator._records import STORE_SCOPE, USER_SCOPE
from foxy_auth.emulator._refusals import Refusal, invalid_scope, unauthorized_client
from foxy_auth.emulator._scopes import GRANULAR, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foxy_auth.emulator._records import Client
    from foxy_auth.emulator._state import State


def check_authorization_request(state: State, fields: Mapping[str, str]) -> tuple[Client, str]:
    """
    Return who asks, and where the browser goes next.

    As long as client and address are not known to be good, a refusal is an answer of its own: a browser is not sent to
    an address that nobody has registered (RFC 6749, section 4.1.2.1).

    Raises:
        Refusal: The request lacks something; `redirect_uri` is set once the refusal may be sent back.
    """
    with state.lock:
        client = _client(state, fields)
        redirect_uri = _sound(_redirect_uri(client, fields.get("redirect_uri", "")))
    refusal = _response_type_fault(state, fields) or _scope_fault(state, fields) or _state_fault(fields)
    if refusal is not None:
        raise refusal.sent_back(redirect_uri)
    return client, redirect_uri


def _client(state: State, fields: Mapping[str, str]) -> Client:
    client_id = fields.get("client_id")
    if not client_id:
        raise Refusal("invalid_client", "No client id supplied")
    client = state.accounts.find_client(client_id)
    if client is None:
        raise Refusal("invalid_client", "The client id supplied is invalid")
    return client


def _redirect_uri(client: Client, sent: str) -> str:
    """Choose among the registered addresses, which blanks separate."""
    registered = client.redirect_uri.split()
    if not sent:
        return _only(registered)
    if sent.partition("#")[2]:
        raise Refusal("invalid_uri", "The redirect URI must not contain a fragment")
    if registered and sent not in registered:
        description = "The redirect URI provided is missing or does not match"
        raise Refusal("redirect_uri_mismatch", description, section="3.1.2")
    return sent


def _only(registered: list[str]) -> str:
    if not registered:
        raise Refusal("invalid_uri", "No redirect URI was supplied or stored")
    if len(registered) > 1:
        description = "A redirect URI must be supplied when multiple redirect URIs are registered"
        raise Refusal("invalid_uri", description, section="3.1.2.3")
    return registered[0]


def _sound(address: str) -> str:
    """Return *address* if it can be taken apart, without which nobody can be sent there."""
    try:
        urlsplit(address)
    except ValueError:
        raise Refusal("invalid_uri", "The redirect URI is not an address") from None
    return address


def _response_type_fault(state: State, fields: Mapping[str, str]) -> Refusal | None:
    response_type = fields.get("response_type")
    if response_type not in {"code", "token"}:
        return Refusal("invalid_request", "Invalid or missing response type")
    if response_type == "token":
        return Refusal("unsupported_response_type", "implicit grant type not supported")
    return None if "authorization_code" in state.switches.grant_types else unauthorized_client()


def _scope_fault(state: State, fields: Mapping[str, str]) -> Refusal | None:
    scope = words(fields.get("scope", ""))
    if not scope:
        return Refusal("invalid_client", "This application requires you specify a scope parameter")  # so it is called
    granular: frozenset[str] = GRANULAR if state.switches.granular_scopes else frozenset()
    return (
        None if scope <= {STORE_SCOPE, USER_SCOPE} | granular else invalid_scope("An unsupported scope was requested")
    )


def _state_fault(fields: Mapping[str, str]) -> Refusal | None:
    return None if fields.get("state") else Refusal("invalid_request", "The state parameter is required")
