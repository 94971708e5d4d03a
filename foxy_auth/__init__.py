"""
Drop-in OAuth for the Foxy API: one `auth=FoxyAuth(...)` for requests, httpx, httpx2 and niquests.

PYTEST_DONT_REWRITE: pytest need not see the import of this module, so it does not warn if that came before its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foxy_auth._arguments import AuthMethod
    from foxy_auth._libraries import HttpClient
    from foxy_auth._oauth.authorization import (
        CLIENT_FULL_ACCESS,
        STORE_FULL_ACCESS,
        USER_FULL_ACCESS,
        AuthorizationRequest,
    )
    from foxy_auth.auth import FoxyAuth, GrantType
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
    from foxy_auth.stores import TokenStore
    from foxy_auth.token import Token

    __version__: str

__all__ = [
    "CLIENT_FULL_ACCESS",
    "FOXY_IO",
    "PRODUCTION",
    "SANDBOX",
    "STORE_FULL_ACCESS",
    "USER_FULL_ACCESS",
    "AuthMethod",
    "AuthorizationError",
    "AuthorizationRequest",
    "Created",
    "Environment",
    "FoxyAuth",
    "FoxyAuthError",
    "GrantType",
    "HttpClient",
    "LoginRequiredError",
    "OAuthClient",
    "Registration",
    "RegistrationError",
    "StoreError",
    "Token",
    "TokenRefusedError",
    "TokenStore",
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

# Where the names are defined. What takes longest to import comes last: modules are imported until a name is found.
_MODULES = (
    "auth",
    "environment",
    "errors",
    "token",
    "_arguments",
    "_libraries",
    "stores",
    "_oauth.authorization",
    "client",
    "registration",
)


if not TYPE_CHECKING:  # or a misspelt name would be one of these

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("foxy_auth")
        if name in __all__:
            for module in _MODULES:
                if found := getattr(import_module(f"{__name__}.{module}"), name, None):
                    return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
