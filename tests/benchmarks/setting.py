"""What every contestant is given: the same API, token endpoint, first token and client library."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from benchmarks.ready_response import ReadyAdapter, ready_transport

API = "https://api.foxycart.com"  # behind a null transport
ACCESS_TOKEN = "not-a-secret"
TOKEN = {"access_token": ACCESS_TOKEN, "refresh_token": "not-a-secret-either", "token_type": "Bearer"}
CREDENTIALS: dict[str, Any] = {"client_id": "client", "client_secret": "fake-secret"}
VERSION = {"FOXY-API-VERSION": "1"}
HEADERS = {"Authorization": f"Bearer {ACCESS_TOKEN}", **VERSION}
LIFE = 7200.0  # seconds


@dataclass(frozen=True, slots=True)
class Setting:
    """
    A task for the contestants.

    Attributes:
        client: Whose requests are authorized: a client library, with ` async` for its asynchronous client.

        endpoint: Where tokens are issued.

        api: Where requests go; those to `API` are answered by a null transport.

        remaining: Seconds until the first token expires; negative if it has.

        folder: Where a contestant that can keeps its tokens, and then calls back too; None keeps them in memory.
    """

    client: str
    endpoint: str
    api: str = API
    remaining: float = LIFE
    folder: str | None = None

    @property
    def library(self) -> str:
        """The client library."""
        return self.client.split()[0]

    @property
    def asynchronous(self) -> bool:
        """Whether the client is asynchronous."""
        return self.client != self.library

    @property
    def url(self) -> str:
        """The address that requests ask for."""
        return f"{self.api}/stores/1"

    @property
    def token(self) -> dict[str, Any]:
        """The first token, as most libraries take it."""
        return {**TOKEN, "expires_at": time.time() + self.remaining}

    def new_client(self, kind: Any = None, *, token_requests: bool = False, **options: Any) -> Any:
        """
        Return a client with its transport.

        Args:
            kind: The class of the client; by default the library's own.

            token_requests: Whether the client is to reach the token endpoint too.

            options: Arguments of the class.
        """
        library = import_module(self.library)
        if self.library == "requests":
            session = (kind or library.Session)(**options)
            if self.api == API:
                session.mount(f"{API}/", ReadyAdapter())
                # Otherwise requests without an auth object look for a netrc file, and those with one seem cheap.
                session.trust_env = False
            return session
        if self.api == API:
            ready = ready_transport(self.library, asynchronous=self.asynchronous)
            options |= {"mounts": {API: ready}} if token_requests else {"transport": ready}
        return (kind or (library.AsyncClient if self.asynchronous else library.Client))(**options)
