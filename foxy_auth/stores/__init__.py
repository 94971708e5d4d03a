"""
Stores: where the token of a grant is kept between runs, and shared by processes and machines.

A store holds one record, the token of one grant. Pass it to `FoxyAuth(store=…)`. Any object with the methods of
`TokenStore` can be a store; `foxy_auth.testing` has tests for one of your own.
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


@runtime_checkable
class TokenStore(Protocol):
    """
    Keeps the token of one grant.

    The methods are called from short threads, never on an event loop, so they may block. Those that one refresh or one
    logout needs are called in the same thread. Any exception counts as a failure of the store, except the
    `TimeoutError` of `lock`.
    """

    def load(self) -> Token | None:
        """Return the token, or None if none was saved; raise an error if it cannot be read."""
        ...

    def save(self, token: Token) -> None:
        """Replace the stored token by *token*, entirely or not at all."""
        ...

    def delete(self) -> None:
        """Remove the stored token; do nothing if there is none."""
        ...

    def lock(self, timeout: float) -> AbstractContextManager[object]:
        """
        Return a context that holds the record's lock, which excludes all other threads and processes.

        The lock must become free when the process that holds it dies.

        Args:
            timeout: Seconds to wait for another holder; then `TimeoutError`.
        """
        ...


def place_of(store: object) -> str:
    """Name the class of a store and, if it says so, where the token is: ours do, as text."""
    name = type(store).__name__
    return name if type(store).__str__ is object.__str__ else f"{name} ({store})"


if not TYPE_CHECKING:  # or a misspelt name would be one of these

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{name.removesuffix('Store').lower()}"), name)


def __dir__() -> list[str]:
    return __all__
