"""What can be said about a stored token without showing it."""

from __future__ import annotations

import time
from typing import Any

from foxy_auth.cli.settings import Settings, environment_name
from foxy_auth.cli.terminal import printable
from foxy_auth.cli.times import expiry
from foxy_auth.token import Token

ACCOUNTS = {"user_full_access": "user", "client_full_access": "client"}


def account_of(token: Token) -> str | None:
    """Return whose token it is: `store`, `user` or `client`; None if the scope does not tell."""
    if token.store_id:
        return "store"
    return next((account for scope, account in ACCOUNTS.items() if scope in token.scopes), None)


def account_name(token: Token) -> str:
    """Name the account in a sentence."""
    names = {"store": f"store {token.store_id}", "user": "a user's account", "client": "the OAuth client's account"}
    return names.get(account_of(token) or "", "an account that its scope does not name")


def as_rows(token: Token | None) -> dict[str, str]:
    """Return what people read about *token*."""
    if token is None:
        return {}
    scopes = " ".join(sorted(map(printable, token.scopes))) or "not named"
    refreshed = "; refreshed when needed" if token.refresh_token else "; there is no refresh token"
    said = expiry(token, now=time.time())
    word, _, rest = said.partition(" ")
    return {"Scopes": scopes, word.capitalize(): f"{rest}{refreshed}"}


def token_json(token: Token | None, settings: Settings) -> dict[str, Any]:
    """Return the same for programs, and the settings."""
    return {
        "logged_in": token is not None,
        "account": account_of(token) if token else None,
        "store_id": token.store_id if token else None,
        "scopes": sorted(token.scopes) if token else [],
        "expires_at": seconds(token.expires_at) if token else None,
        "expires_in": seconds(token.expires_in) if token else None,
        "refreshable": bool(token and token.refresh_token),
        **settings_json(settings),
    }


def seconds(number: float | None) -> int | None:
    """Return whole seconds, as shells compare them."""
    return None if number is None else int(number)


def settings_json(settings: Settings) -> dict[str, Any]:
    """Return where the token is kept, and for which client."""
    return {
        "kept_in": str(settings.place),
        "profile": settings.profile if settings.is_profile_used else None,
        "environment": environment_name(settings.environment),
        "api": settings.environment.api,
        "client_id": settings.client_id,
    }


def settings_rows(settings: Settings) -> dict[str, str]:
    """Return the same for people."""
    name, api = environment_name(settings.environment), settings.environment.api
    return {
        "Kept in": str(settings.place),
        "Profile": settings.profile if settings.is_profile_used else "none",
        "Environment": name if name == api else f"{name} ({api})",
        "Client id": printable(settings.client_id or "not set"),
    }
