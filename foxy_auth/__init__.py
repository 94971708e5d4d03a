"""Drop-in OAuth for the Foxy API: one `auth=FoxyAuth(...)` for requests, httpx, httpx2 and niquests."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foxy_auth._oauth.authorization import (
        CLIENT_FULL_ACCESS,
        STORE_FULL_ACCESS,
        USER_FULL_ACCESS,
        AuthorizationRequest,
    )
    from foxy_auth.auth import FoxyAuth
    from foxy_auth.client import OAuthClient
    from foxy_auth.environment import FOXY_IO, PRODUCTION, SANDBOX, Environment
    from foxy_auth.errors import (
        AuthorizationError,
        FoxyAuthError,
        LoginRequiredError,
        RegistrationError,
        StoreError,
        TokenRefusedError,
        TokenUnavailableError,
    )
    from foxy_auth.registration import (
        Created,
        Registration,
        acreate_integration,
        acreate_store,
        acreate_user,
        aregister_client,
        create_integration,
        create_store,
        create_user,
        new_client_id,
        register_client,
    )
    from foxy_auth.token import Token

__all__ = [
    "CLIENT_FULL_ACCESS",
    "FOXY_IO",
    "PRODUCTION",
    "SANDBOX",
    "STORE_FULL_ACCESS",
    "USER_FULL_ACCESS",
    "AuthorizationError",
    "AuthorizationRequest",
    "Created",
    "Environment",
    "FoxyAuth",
    "FoxyAuthError",
    "LoginRequiredError",
    "OAuthClient",
    "Registration",
    "RegistrationError",
    "StoreError",
    "Token",
    "TokenRefusedError",
    "TokenUnavailableError",
    "acreate_integration",
    "acreate_store",
    "acreate_user",
    "aregister_client",
    "create_integration",
    "create_store",
    "create_user",
    "new_client_id",
    "register_client",
]

# Where each name is defined. It is loaded with its first use (PEP 562), so that importing the package costs nothing.
_HOMES = {
    "CLIENT_FULL_ACCESS": "_oauth.authorization",
    "FOXY_IO": "environment",
    "PRODUCTION": "environment",
    "SANDBOX": "environment",
    "STORE_FULL_ACCESS": "_oauth.authorization",
    "USER_FULL_ACCESS": "_oauth.authorization",
    "AuthorizationError": "errors",
    "AuthorizationRequest": "_oauth.authorization",
    "Created": "registration",
    "Environment": "environment",
    "FoxyAuth": "auth",
    "FoxyAuthError": "errors",
    "LoginRequiredError": "errors",
    "OAuthClient": "client",
    "Registration": "registration",
    "RegistrationError": "errors",
    "StoreError": "errors",
    "Token": "token",
    "TokenRefusedError": "errors",
    "TokenUnavailableError": "errors",
    "acreate_integration": "registration",
    "acreate_store": "registration",
    "acreate_user": "registration",
    "aregister_client": "registration",
    "create_integration": "registration",
    "create_store": "registration",
    "create_user": "registration",
    "new_client_id": "registration",
    "register_client": "registration",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("foxy_auth")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
