"""The two stores, with a record for each grant."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from foxy_auth.stores import RedisStore, SQLAlchemyStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from foxy_auth.token import Token


class _Witnessed:
    """
    Tells of every token that was saved, or was not.

    Attributes:
        tell: Called with the digest of its refresh token, as `saved` or `unsaved`.
    """

    tell: Callable[..., object]

    def save(self, token: Token) -> None:
        """Save *token*, and tell."""
        try:
            super().save(token)  # type: ignore[misc]
        except Exception:
            self.tell(unsaved=digest(token.refresh_token))
            raise
        self.tell(saved=digest(token.refresh_token))


class WitnessedRedisStore(_Witnessed, RedisStore):
    """A `RedisStore` that tells."""


class WitnessedSQLAlchemyStore(_Witnessed, SQLAlchemyStore):
    """A `SQLAlchemyStore` that tells."""


def open_stores(redis_url: str, sqlite: str, tell: Callable[..., object]) -> dict[str, Any]:
    """Return the store of each kind; `for_key` gives that of a tenant."""
    import redis
    from sqlalchemy import create_engine

    stores: dict[str, Any] = {
        "redis": WitnessedRedisStore(redis.Redis.from_url(redis_url), "soak"),
        "sqlite": WitnessedSQLAlchemyStore(create_engine(f"sqlite:///{sqlite}"), "soak"),
    }
    for store in stores.values():
        store.tell = tell
    return stores


def digest(secret: str | None) -> str:
    """Return what identifies a refresh token without being one."""
    return sha256((secret or "").encode()).hexdigest()[:16]
