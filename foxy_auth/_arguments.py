"""Checks of what users hand over: an error at once, that says what to do (R24)."""

from __future__ import annotations

from inspect import iscoroutinefunction
from math import isfinite
from typing import Literal, get_args

from foxy_auth.token import Token

# How a client authenticates at the token endpoint (RFC 6749, section 2.3.1).
AuthMethod = Literal["client_secret_basic", "client_secret_post"]


def kind(thing: object) -> str:
    """Name the type of *thing*, which is all that an error may tell of it: it could be a secret."""
    return type(thing).__name__


def check_credential(name: str, value: object) -> None:
    """Refuse what could not stand in an Authorization header (RFC 6749, appendix A; RFC 7617 for the colon)."""
    if not isinstance(value, str):
        raise TypeError(f"{name} takes text, not {kind(value)}; Foxy's admin shows it under Integrations")
    if not value or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError(f"{name} must be printable ASCII without blanks around it; copy it again from Foxy's admin")
    if name == "client_id" and ":" in value:
        raise ValueError("client_id cannot contain a colon")


def is_redirect_uri(value: str) -> bool:
    """Tell whether *value* is one address that a browser can be sent to (RFC 6749, section 3.1.2)."""
    return ":" in value and "#" not in value and value.isprintable() and " " not in value


def check_redirect_uri(value: object) -> None:
    """Refuse what cannot have been registered as a redirect URI; it is optional."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"redirect_uri takes the registered address as text, not {kind(value)}")
    if value is not None and not is_redirect_uri(value):
        raise ValueError("redirect_uri must be exactly as registered, such as 'https://www.example.com/oauth'")


def check_auth_method(value: object) -> None:
    """Refuse a way of client authentication that the provider does not know."""
    methods = get_args(AuthMethod)
    if value not in methods:
        raise ValueError(f"client_auth_method takes {' or '.join(map(repr, methods))}")


def check_api_version(value: object) -> None:
    """Refuse what is no version."""
    if not isinstance(value, str):
        raise TypeError(f'api_version takes text such as "1", not {kind(value)}')
    if not value.isascii() or not value.isalnum():
        raise ValueError('api_version takes ASCII letters and digits, such as "1"')


def check_token(name: str, value: object) -> None:
    """Refuse what is no `Token`; it is optional."""
    if value is not None and not isinstance(value, Token):
        raise TypeError(f"{name} takes a Token, not {kind(value)}; Token.from_dict(…) makes one of a stored dict")


def check_callback(value: object) -> None:
    """Refuse what cannot be called with a token."""
    if value is not None and not callable(value):
        raise TypeError(f"on_token takes a function that is called with each new token, not {kind(value)}")


def check_store(value: object) -> None:
    """Refuse what does not have the methods of a `TokenStore`."""
    missing = [name for name in ("load", "save", "lock") if not callable(getattr(value, name, None))]
    if value is not None and missing:
        raise TypeError(
            f"store takes an object with load, save and lock, see foxy_auth.stores; {kind(value)} has no {missing[0]}"
        )
    if isinstance(value, type):
        raise TypeError(f"store takes an object with load, save and lock, not the class {value.__name__} itself")
    if any(iscoroutinefunction(getattr(value, name, None)) for name in ("load", "save")):
        raise TypeError(f"the methods of {kind(value)} must be plain functions: they run in threads of their own")


def check_seconds(name: str, value: object, *, least: float = 0.0) -> None:
    """Refuse what is no number of seconds from *least* on."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} takes a number of seconds, not {kind(value)}")
    if not isfinite(value) or value < least:
        raise ValueError(f"{name} takes a number of seconds from {least} on")
