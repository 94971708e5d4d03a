"""An emulator with a clock that tests set, and short ways to send it requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from foxy_auth.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = {"FOXY-API-VERSION": "1"}


@dataclass
class Clock:
    """A clock that a test sets, in seconds since the epoch."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Http:
    """Send requests to an emulator, without following redirects."""

    foxy: Emulator

    def token(self, *, auth: tuple[str, str] | None = None, **fields: Any) -> requests.Response:
        """Send a form to the token endpoint, by default with the credentials of the registered client."""
        auth = (self.foxy.client_id, self.foxy.client_secret) if auth is None else auth
        return self.request("POST", "/token", auth=auth, data=fields)

    def refresh(self, refresh_token: str | None) -> requests.Response:
        """Use a refresh token."""
        return self.token(grant_type="refresh_token", refresh_token=refresh_token or "")

    def exchange(self, code: str, **fields: Any) -> requests.Response:
        """Exchange an authorization code."""
        return self.token(grant_type="authorization_code", code=code, **fields)

    def api(self, access_token: str | None, url: str = "/", method: str = "GET", **options: Any) -> requests.Response:
        """Send a request to the API, with an access token if there is one."""
        headers = {**VERSION, **options.pop("headers", {})}
        if access_token is not None:
            headers["Authorization"] = f"Bearer {access_token}"
        return self.request(method, url, headers=headers, **options)

    def store(self, access_token: str, below: str = "", method: str = "GET", **options: Any) -> requests.Response:
        """Send a request to the store, or to a path below it."""
        return self.api(access_token, self.foxy.store_url + below, method, **options)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send a request to a URL, or to a path of the emulator."""
        url = url if url.startswith("http") else self.foxy.url + url
        return requests.request(method, url, allow_redirects=False, timeout=20, **options)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still until the test sets it."""
    return Clock()


@pytest.fixture
def foxy(clock: Clock) -> Iterator[Emulator]:
    """Run an emulator on that clock."""
    with Emulator(clock=clock) as foxy:
        yield foxy


@pytest.fixture
def http(foxy: Emulator) -> Http:
    """Return short ways to send it requests."""
    return Http(foxy)
