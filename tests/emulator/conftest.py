"""An emulator with a clock that stands still, and the shortest ways to call it."""

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
    """Tell the time that a test sets, in seconds since the epoch."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Caller:
    """Call an emulator with requests, one connection per call, redirects not followed."""

    foxy: Emulator

    def token(self, *, auth: tuple[str, str] | None = None, **fields: Any) -> requests.Response:
        """Send a form to the token endpoint, with the registered client's credentials unless told otherwise."""
        auth = (self.foxy.client_id, self.foxy.client_secret) if auth is None else auth
        return self.request("POST", "/token", auth=auth, data=fields)

    def refresh(self, refresh_token: str | None) -> requests.Response:
        """Use a refresh token."""
        return self.token(grant_type="refresh_token", refresh_token=refresh_token or "")

    def exchange(self, code: str, **fields: Any) -> requests.Response:
        """Exchange an authorization code."""
        return self.token(grant_type="authorization_code", code=code, **fields)

    def api(
        self, access_token: str | None, address: str = "/", method: str = "GET", **options: Any
    ) -> requests.Response:
        """Call the API with an access token."""
        headers = {**VERSION, **options.pop("headers", {})}
        if access_token is not None:
            headers["Authorization"] = f"Bearer {access_token}"
        return self.request(method, address, headers=headers, **options)

    def store(self, access_token: str, below: str = "", method: str = "GET", **options: Any) -> requests.Response:
        """Call the store, or what lies below it."""
        return self.api(access_token, self.foxy.store_url + below, method, **options)

    def request(self, method: str, address: str, **options: Any) -> requests.Response:
        """Send a request to an address, or to a path of the emulator."""
        url = address if address.startswith("http") else self.foxy.url + address
        return requests.request(method, url, allow_redirects=False, timeout=20, **options)


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still until the test moves it."""
    return Clock()


@pytest.fixture
def foxy(clock: Clock) -> Iterator[Emulator]:
    """Give an emulator on that clock."""
    with Emulator(clock=clock) as foxy:
        yield foxy


@pytest.fixture
def call(foxy: Emulator) -> Caller:
    """Give the shortest ways to call it."""
    return Caller(foxy)
