"""What users of httpx write wrongly, for the type checkers; never run. See `mistakes.py`."""

from __future__ import annotations

import httpx
import httpx2

from foxy_auth import Environment, FoxyAuth, OAuthClient, register_client


def token_client() -> None:
    """Pass as `http=` what cannot make a token request in a thread of its own."""
    FoxyAuth.from_env(http=httpx.Client())
    FoxyAuth(client_id="id", client_secret="secret", http=httpx.AsyncClient())  # type: ignore[arg-type]
    FoxyAuth(client_id="id", client_secret="secret", http=httpx2.AsyncClient())  # type: ignore[arg-type]
    FoxyAuth(client_id="id", client_secret="secret", http=httpx.Client)  # type: ignore[arg-type]
    OAuthClient("id", "secret", http=httpx2)  # type: ignore[arg-type]
    OAuthClient("id", "secret", http=httpx.HTTPTransport())  # type: ignore[arg-type]
    Environment.discover("https://api.foxycart.com", http=httpx.AsyncClient())  # type: ignore[arg-type]
    FoxyAuth.from_env(http=httpx2.AsyncClient())  # type: ignore[arg-type]
    register_client(http=httpx2.Client())  # type: ignore[call-arg]
