"""What the three applications have in common: the OAuth client, and an auth object for each store."""

from __future__ import annotations

import os
from functools import cache

from foxy_auth import PRODUCTION, Environment, FoxyAuth, OAuthClient, Token
from foxy_auth.stores import FileStore

client = OAuthClient(
    os.environ["FOXY_API_CLIENT_ID"],
    os.environ["FOXY_API_CLIENT_SECRET"],
    redirect_uri=os.environ["REDIRECT_URI"],
    environment=Environment(api=os.environ["FOXY_API_URL"]) if "FOXY_API_URL" in os.environ else PRODUCTION,
)

# A record for each store. For an application on several machines: a RedisStore, or a SQLAlchemyStore.
grants = FileStore(os.environ.get("TOKENS", "tokens/foxy.json"))


def connect(token: Token) -> str:
    """Take in the token of a store whose owner has just said yes; return the store's number."""
    store_id = token.store_id
    if store_id is None:
        raise ValueError("the token names no store; ask for the scope store_full_access")
    client.auth(token, store=grants.for_key(store_id)).flush()  # raises StoreError if the token could not be kept
    return store_id


@cache
def auth_of(store_id: str) -> FoxyAuth:
    """
    Return the store's auth object: one for all requests of this process.

    Its tokens live in the record that all processes share, so it also finds the one of a store that was connected anew.
    """
    return client.auth(store=grants.for_key(store_id))
