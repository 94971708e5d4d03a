"""What the three applications have in common: the OAuth client, and an auth object for each store."""

from __future__ import annotations

import os
from threading import Lock

from recipes import tokens

from foxy_auth import PRODUCTION, Environment, FoxyAuth, OAuthClient, Token

client = OAuthClient(
    os.environ["FOXY_API_CLIENT_ID"],
    os.environ["FOXY_API_CLIENT_SECRET"],
    redirect_uri=os.environ["REDIRECT_URI"],
    environment=Environment(api=os.environ["FOXY_API_URL"]) if "FOXY_API_URL" in os.environ else PRODUCTION,
)

_auths: dict[str, FoxyAuth] = {}
_lock = Lock()


def connect(token: Token) -> str:
    """Take in the token of a store whose owner has just said yes; return the store's number."""
    store_id = token.store_id
    if store_id is None:
        raise ValueError("the token names no store; ask for the scope store_full_access")
    auth = client.auth(token, on_token=tokens.save)
    auth.flush()  # raises StoreError if the token could not be kept
    with _lock:
        _auths[store_id] = auth
    return store_id


def auth_of(store_id: str) -> FoxyAuth | None:
    """Return the store's auth object: one for all requests, so that they share its token; None if it is not known."""
    with _lock:
        if store_id not in _auths and (token := tokens.load(store_id)):
            _auths[store_id] = client.auth(token, on_token=tokens.save)
        return _auths.get(store_id)
