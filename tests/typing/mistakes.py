"""
What users write wrongly, for the type checkers; never run. It needs no other client library than requests.

A comment `type: ignore` marks each mistake, for all checkers: one that is not needed is an error itself.
"""

from __future__ import annotations

from typing import assert_type

import requests

import foxy_auth
import foxy_auth.stores
from foxy_auth import Environment, FoxyAuth, GrantType, HttpClient, OAuthClient, Token, TokenStore


class OwnAuth(FoxyAuth):
    """A subclass."""


def misspelt(auth: FoxyAuth, own: OwnAuth) -> None:
    """Use what an auth object or a module does not have."""
    auth.get_tokn()  # type: ignore[attr-defined]
    own.get_tokn()  # type: ignore[attr-defined]
    auth.get_token().acess_token.strip()  # type: ignore[attr-defined]
    foxy_auth.new_client()  # type: ignore[attr-defined]
    foxy_auth.stores.MemStore()  # type: ignore[attr-defined]
    FoxyAuth(client="id", client_secret="secret", refresh_token="refresh")  # type: ignore[call-arg]
    assert_type(auth.get_token(), Token)
    assert_type(own.get_token().access_token, str)


def arguments(auth: FoxyAuth, client: OAuthClient, own: OwnAuth) -> None:
    """Pass what the arguments do not take."""
    FoxyAuth("id", "secret", "refresh")  # type: ignore[call-arg]
    FoxyAuth(client_secret="secret", refresh_token="refresh")  # type: ignore[call-arg]
    FoxyAuth(client_id=7, client_secret="secret", refresh_token="refresh")  # type: ignore[arg-type]
    FoxyAuth(client_id="id", client_secret="secret", token="refresh")  # type: ignore[arg-type]
    FoxyAuth(client_id="id", client_secret="secret", store="token.json")  # type: ignore[arg-type]
    FoxyAuth(client_id="id", client_secret="secret", on_token=print)
    FoxyAuth(client_id="id", client_secret="secret", on_token=client)  # type: ignore[arg-type]
    FoxyAuth(client_id="id", client_secret="secret", environment="sandbox")  # type: ignore[arg-type]
    OAuthClient("id", "secret", client_auth_method="none")  # type: ignore[arg-type]
    client.fetch_token("https://shop.example/callback")  # type: ignore[call-arg]
    auth.get_token(True)  # type: ignore[call-arg]  # noqa: FBT003
    auth.refresh("access")  # type: ignore[arg-type]
    auth.token = None  # type: ignore[misc]
    grant_type: GrantType = "password"  # type: ignore[assignment]
    assert_type(own.from_env(grant_type=grant_type), OwnAuth)


def token_client(session: requests.Session) -> None:
    """Pass as `http=` what makes no requests."""
    client: HttpClient = session
    FoxyAuth.from_env(http=session)
    OAuthClient("id", "secret", http=client)
    OAuthClient("id", "secret", http="requests")  # type: ignore[arg-type]
    OAuthClient("id", "secret", http=requests)  # type: ignore[arg-type]
    OAuthClient("id", "secret", http=requests.Session)  # type: ignore[arg-type]
    OAuthClient("id", "secret", http=requests.Request("GET", "https://api.foxycart.com"))  # type: ignore[arg-type]
    OAuthClient("id", "secret", http=client.send)  # type: ignore[arg-type]
    FoxyAuth(client_id="id", client_secret="secret", http=object())  # type: ignore[arg-type]
    Environment.discover("https://api.foxycart.com", http=30)  # type: ignore[arg-type]
    FoxyAuth.from_env(http=session.send)  # type: ignore[arg-type]


class NoStore:
    """Lacks a lock."""

    def load(self) -> Token | None:
        """Read it."""

    def save(self, token: Token) -> None:
        """Write it."""


def store() -> TokenStore:
    """Pass it where a store is expected."""
    return NoStore()  # type: ignore[return-value]


def requests_of(auth: FoxyAuth) -> None:
    """Pass it where requests takes it, and make no more of the response than it is."""
    response = requests.get(auth.environment.api, auth=auth, timeout=10)
    assert_type(response, requests.Response)
    requests.get(auth.environment.api, auth=auth.headers, timeout=10)  # type: ignore[arg-type]
    assert_type(auth(requests.PreparedRequest()), requests.PreparedRequest)
