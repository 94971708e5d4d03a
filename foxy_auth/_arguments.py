"""Checks of what users pass in: wrong use fails at once, and the error says what to do (R24)."""

from __future__ import annotations

from inspect import iscoroutinefunction
from math import isfinite
from typing import Literal, get_args

from foxy_auth.token import Token

STORE_METHODS = ("load", "save", "lock")
CLIENT_ID_PREFIX = "client_"  # how the ids begin that Foxy makes

# How a client authenticates at the token endpoint (RFC 6749, section 2.3.1).
AuthMethod = Literal["client_secret_basic", "client_secret_post"]


def kind(value: object) -> str:
    """Return the name of *value*'s type; errors show no more, because the value may be a secret."""
    return type(value).__name__


def check_credential(name: str, value: object) -> None:
    """Refuse text that cannot be sent in an Authorization header (RFC 6749, appendix A; RFC 7617 for the colon)."""
    if not isinstance(value, str):
        raise TypeError(f"{name} takes text, not {kind(value)}; Foxy's admin shows it under Integrations")
    if not value.strip():
        raise ValueError(f"{name} is empty; Foxy's admin shows it under Integrations")
    check_bare(name, value)
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"{name} must be printable ASCII; copy it again from Foxy's admin")
    if name == "client_id" and ":" in value:
        raise ValueError("client_id cannot contain a colon")


def check_bare(name: str, value: str) -> None:
    """Refuse text with whitespace or quotation marks around it, as what was read from a file has."""
    if value != value.strip():
        where = "ends" if value == value.lstrip() else "begins"
        what = "a newline" if value.strip(" \t") != value.strip() else "whitespace"
        raise ValueError(f"{name} {where} with {what}; give {name}.strip()")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ValueError(f"{name} has quotation marks around it; leave them out where it is set")


def check_not_swapped(client_id: str, client_secret: str) -> None:
    """Refuse what is the wrong way round, as far as that can be known: the ids that Foxy makes begin with `client_`."""
    if client_secret.startswith(CLIENT_ID_PREFIX) and not client_id.startswith(CLIENT_ID_PREFIX):
        raise ValueError("client_id and client_secret seem to be swapped: it is the id that begins with 'client_'")


def is_redirect_uri(value: str) -> bool:
    """Tell whether *value* is one address to which a browser can be redirected (RFC 6749, section 3.1.2)."""
    return ":" in value and "#" not in value and value.isprintable() and " " not in value


def check_redirect_uri(value: object) -> None:
    """Refuse anything but None or text that can be a registered redirect URI."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"redirect_uri takes the registered address as text, not {kind(value)}")
    if value is not None and not is_redirect_uri(value):
        raise ValueError("redirect_uri must be exactly as registered, such as 'https://www.example.com/oauth'")


def check_auth_method(value: object) -> None:
    """Refuse a method of client authentication that the provider does not support."""
    methods = get_args(AuthMethod)
    if value not in methods:
        raise ValueError(f"client_auth_method takes {' or '.join(map(repr, methods))}")


def check_api_version(value: object) -> None:
    """Refuse anything but ASCII letters and digits."""
    if not isinstance(value, str):
        raise TypeError(f'api_version takes text such as "1", not {kind(value)}')
    if not value.isascii() or not value.isalnum():
        raise ValueError('api_version takes ASCII letters and digits, such as "1"')


def check_token(name: str, value: object) -> None:
    """Refuse anything but None or a `Token`."""
    if isinstance(value, type):
        raise TypeError(f"{name} takes a Token, not the class {value.__name__} itself; Token.from_dict(…) makes one")
    if value is not None and not isinstance(value, Token):
        of_text = "; a refresh token goes into refresh_token=" if isinstance(value, str) else ""
        raise TypeError(
            f"{name} takes a Token, not {kind(value)}; Token.from_dict(…) makes one of a stored dict{of_text}"
        )


def check_grant(token: object, refresh_token: object, *, is_optional: bool) -> None:
    """Refuse what is no grant; one is needed unless *is_optional*."""
    if refresh_token is not None and not isinstance(refresh_token, str):
        raise TypeError(f"refresh_token takes text, not {kind(refresh_token)}; a Token goes into token=")
    if refresh_token:
        check_bare("refresh_token", refresh_token)
        if not refresh_token.isprintable():
            raise ValueError("refresh_token must be printable text; copy it again")
    check_token("token", token)
    own = token.refresh_token if isinstance(token, Token) else None
    if refresh_token and own and refresh_token != own:
        raise ValueError("refresh_token and token name two different refresh tokens; give the newer of the two alone")
    if token is None and not refresh_token and not is_optional:
        given = "" if refresh_token is None else " (refresh_token is empty)"
        raise ValueError(f"FoxyAuth needs a grant{given}: give refresh_token=…, token=… or store=…")


def check_callback(value: object) -> None:
    """Refuse anything but None or a callable."""
    if _is_store(value) and (isinstance(value, type) or not callable(value)):  # a mock has any method, and is called
        name = value.__name__ if isinstance(value, type) else kind(value)
        raise TypeError(f"on_token takes a function that is called with each new token; {name} goes into store=")
    if value is not None and (not callable(value) or isinstance(value, Token)):
        raise TypeError(f"on_token takes a function that is called with each new token, not {kind(value)}")


def check_store(value: object) -> None:
    """Refuse anything but None or an object with the methods of a `TokenStore`."""
    if isinstance(value, type):
        raise TypeError(f"store takes an object, not the class {value.__name__} itself; give store={value.__name__}(…)")
    if value is not None and not _is_store(value):
        missing = next(name for name in STORE_METHODS if not callable(getattr(value, name, None)))
        is_path = isinstance(value, str) or hasattr(value, "__fspath__")
        a_file = "; FileStore(…) keeps it in a file" if is_path else ""
        raise TypeError(
            f"store takes an object with load, save and lock, see foxy_auth.stores; {kind(value)} has no {missing}"
            f"{a_file}"
        )
    if any(iscoroutinefunction(getattr(value, name, None)) for name in ("load", "save", "delete")):
        raise TypeError(f"the methods of {kind(value)} must be plain functions, because they run in threads")


def _is_store(value: object) -> bool:
    return all(callable(getattr(value, name, None)) for name in STORE_METHODS)


def check_deletes(store: object) -> None:
    """Refuse to log out of a store without `delete`, which is not asked for before."""
    if not callable(getattr(store, "delete", None)):
        raise TypeError(
            f"logout() needs a store with the method delete, and {kind(store)} has none; see foxy_auth.stores"
        )


def check_seconds(name: str, value: object, *, least: float = 0.0) -> None:
    """Refuse anything but a finite number of seconds, *least* or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} takes a number of seconds, not {kind(value)}")
    if not isfinite(value) or value < least:
        raise ValueError(f"{name} takes a number of seconds from {least} on")
