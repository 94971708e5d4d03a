"""
What signing a request costs, beside a bare header and beside Authlib's own sessions.

Run it by hand: `python tests/benchmarks/signing.py`. Nothing goes over a network: each client is given a transport that
answers at once, so what is compared is the clients' own work and ours. Ratios hold on any machine, seconds do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from statistics import median
from typing import Any

import httpx
import requests
from authlib.integrations.requests_client import OAuth2Session
from requests.adapters import BaseAdapter

from foxy_auth import Environment, FoxyAuth, Token

URL = "https://api.foxycart.com/stores/1"
HEADERS = {"Authorization": "Bearer not-a-secret", "FOXY-API-VERSION": "1"}
ROUNDS = 15
REQUESTS_A_ROUND = 400


class AtOnce(BaseAdapter):
    """A requests adapter that answers 200 without a network."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer."""
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response.raw = BytesIO(b"{}")
        return response

    def close(self) -> None:
        """Hold nothing."""


def auth() -> FoxyAuth:
    """Return an auth object whose token is fresh."""
    now = time.time()
    token = Token("not-a-secret", refresh_token="nor-this", expires_at=now + 7200, obtained_at=now)
    return FoxyAuth(
        client_id="client", client_secret="none", token=token, environment=Environment(api="https://api.foxycart.com")
    )


def session(**settings: Any) -> Callable[[], Any]:
    """Return a call through requests."""
    made = settings.pop("made", None) or requests.Session()
    made.mount("https://", AtOnce())
    made.trust_env = False
    for name, value in settings.items():
        setattr(made, name, value)
    return lambda: made.get(URL)


def client(**settings: Any) -> Callable[[], Any]:
    """Return a call through httpx."""
    made = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={})), **settings)
    return lambda: made.get(URL)


def seconds(call: Callable[[], Any]) -> float:
    """Return the time of one round."""
    start = time.perf_counter()
    for _ in range(REQUESTS_A_ROUND):
        call()
    return time.perf_counter() - start


def compare(library: str, contestants: dict[str, Callable[[], Any]]) -> None:
    """Run all in turn, so that a busy machine is unfair to none, and print medians as ratios to the first."""
    rounds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, call in contestants.items():
            rounds[name].append(seconds(call))
    medians = {name: median(times) for name, times in rounds.items()}
    bare = next(iter(medians.values()))
    for name, time_of_round in medians.items():
        print(f"{library:9} {name:24} {time_of_round / bare:5.2f}   {time_of_round / REQUESTS_A_ROUND * 1e6:7.1f} µs")  # noqa: T201


def main() -> None:
    """Compare within each library."""
    authlib = OAuth2Session(token={"access_token": "not-a-secret", "expires_at": time.time() + 7200})
    compare(
        "requests",
        {
            "a bare header": session(headers=HEADERS),
            "FoxyAuth": session(auth=auth()),
            "Authlib's OAuth2Session": session(made=authlib),
        },
    )
    compare("httpx", {"a bare header": client(headers=HEADERS), "FoxyAuth": client(auth=auth())})


if __name__ == "__main__":
    main()
