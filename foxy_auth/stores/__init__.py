"""
Stores: where a grant's token lives between runs, and between processes and machines that share the grant.

A store holds one record, that of one grant. Give it to `FoxyAuth(store=…)`. Any object with the three methods of
`TokenStore` will do; `foxy_auth.testing` tells whether one of your own keeps what it promises.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from foxy_auth.token import Token

if TYPE_CHECKING:
    from foxy_auth.stores.file import FileStore
    from foxy_auth.stores.keyring import KeyringStore
    from foxy_auth.stores.memory import MemoryStore
    from foxy_auth.stores.redis import RedisStore
    from foxy_auth.stores.sqlalchemy import SQLAlchemyStore

__all__ = ["FileStore", "KeyringStore", "MemoryStore", "RedisStore", "SQLAlchemyStore", "TokenStore"]

_HOMES = {
    "FileStore": "file",
    "KeyringStore": "keyring",
    "MemoryStore": "memory",
    "RedisStore": "redis",
    "SQLAlchemyStore": "sqlalchemy",
}


@runtime_checkable
class TokenStore(Protocol):
    """
    What keeps the token of one grant.

    The methods are called from short threads, never on an event loop, so they may block. Whatever they raise, but
    the `TimeoutError` of `lock`, counts as a failure of the store.
    """

    def load(self) -> Token | None:
        """Return the token, or None if there never was one; raise if it cannot be read."""
        ...

    def save(self, token: Token) -> None:
        """Put *token* in the place of the former, whole or not at all."""
        ...

    def lock(self, timeout: float) -> AbstractContextManager[object]:
        """
        Keep all others who use the same record out, in all processes, for as long as the context lasts.

        A process that dies must not keep them out for ever.

        Args:
            timeout: Seconds to wait for another who is inside; then `TimeoutError`.
        """
        ...


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
