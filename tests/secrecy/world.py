"""What a row of the table acts in: an OAuth client, a grant, a provider; its variables show no secret."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from secrecy.made_up import CLIENT_ID, secret
from secrecy.provider import Asked, Provider, document

from foxy_auth import Environment, FoxyAuth, OAuthClient, Token

REDIRECT_URI = "https://www.example.com/oauth"
LATER = {"Retry-After": "3600"}  # so that nothing is tried again


@dataclass(frozen=True, slots=True)
class Row:
    """
    A way in which something fails.

    Attributes:
        name: What happens.

        attempt: Does it; may return a coroutine.

        raises: What comes of it; None if only something is logged.

        covers: The public names that are called.
    """

    name: str
    attempt: Callable[[World], Any]
    raises: type[BaseException] | tuple[type[BaseException], ...] | None
    covers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


@dataclass
class World:
    """
    One client of one provider.

    Attributes:
        provider: The provider and its API.

        folder: An empty folder.

        setenv: Sets an environment variable until the row is over.

        environment: Where the provider is.

        timeout: Seconds for each wait on the network.

        caught: Further errors that the row met.

        at_end: Called when the row is over.
    """

    provider: Provider = field(repr=False)
    folder: Path
    setenv: Callable[[str, str], None] = field(repr=False)
    timeout: float = 5.0
    caught: list[BaseException] = field(default_factory=list, repr=False)
    at_end: list[Callable[[], object]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Look for the provider where it is."""
        self.environment = Environment(api=self.provider.url)

    @property
    def api_url(self) -> str:
        """A resource of the API."""
        return f"{self.environment.api}/stores/1"

    def client(self, **options: Any) -> OAuthClient:
        """Return the OAuth client."""
        return OAuthClient(
            CLIENT_ID,
            secret("client secret"),
            **{"redirect_uri": REDIRECT_URI, "environment": self.environment, "timeout": self.timeout, **options},
        )

    def auth(self, *, left: float = -100.0, kind: type[FoxyAuth] = FoxyAuth, **options: Any) -> FoxyAuth:
        """Return an auth object whose token has expired, or has so many seconds *left*."""
        settings = {"token": self.token(left=left), "environment": self.environment, "timeout": self.timeout}
        return kind(client_id=CLIENT_ID, client_secret=secret("client secret"), **{**settings, **options})

    def token(self, *, left: float = -100.0, new: bool = False) -> Token:
        """Return the token that the client has, or the one that comes next."""
        now, prefix = time.time(), "new " if new else ""
        return Token(
            secret(f"{prefix}access token"),
            refresh_token=secret(f"{prefix}refresh token"),
            expires_at=now + left,
            obtained_at=now + left - 7200.0,
        )

    def request(self, **changes: Any) -> dict[str, Any]:
        """Return the authorization request as a web session keeps it."""
        kept = {
            "url": f"{self.environment.authorization_endpoint}?{quote(secret('state'))}",
            "state": secret("state"),
            "code_verifier": secret("code verifier"),
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "authorization_endpoint": self.environment.authorization_endpoint,
            "token_endpoint": self.environment.token_endpoint,
        }
        return {**kept, **changes}

    def issue(self, _: Asked) -> Any:
        """Issue the next token."""
        return document(200, new_token())


def new_token(**fields: Any) -> dict[str, Any]:
    """Return the fields of the next token, as the provider writes them."""
    return {
        "access_token": secret("new access token"),
        "refresh_token": secret("new refresh token"),
        "expires_in": 7200,
        "token_type": "Bearer",
        **fields,
    }


def must(fail: Callable[[], object]) -> None:
    """Let a test fail that would show nothing."""
    pytest.fail(f"{fail} was to raise an error")


# --- how a secret is repeated ----------------------------------------------------------------------------------------


def _every_character(text: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in text)


def _shortened(text: str) -> str:
    """Return *text* as SQLAlchemy shows a long parameter."""
    return f"{text[:150]} ... ({len(text)} characters truncated) ... {text[-150:]}"


ECHOES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent-encoded": quote_plus,
    "percent-encoded in lower case": lambda text: quote(text, safe="").replace("%2B", "%2b").replace("%2F", "%2f"),
    "percent-encoded but for slashes": quote,
    "percent-encoded twice": lambda text: quote(quote_plus(text)),
    "percent-encoded in every character": _every_character,
    "in its first half": lambda text: text[: len(text) // 2],
    "in its middle": lambda text: text[4:-4],
    "shortened": _shortened,
    "quoted": repr,
    "with JSON escapes": lambda text: text.replace("/", "\\/"),
}
