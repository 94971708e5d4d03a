"""R24: wrong use fails at once, and says what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from foxy_auth import Environment, FoxyAuth, OAuthClient, Token

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD: dict[str, Any] = {"client_id": "client_Fake", "client_secret": "FakeSecret", "refresh_token": "FakeRefresh"}
TOKEN = Token("FakeAccess", refresh_token="FakeRefresh")
AUTH: Any = FoxyAuth(**GOOD)
TEXT: Any = "FakeAccess"
DICT: Any = {"access_token": "FakeAccess"}

WRONG = [
    pytest.param({"client_id": None}, TypeError, "client_id takes text", id="no-client-id"),
    pytest.param({"client_id": ""}, ValueError, "client_id is empty", id="empty-client-id"),
    pytest.param({"client_id": "a:b"}, ValueError, "colon", id="colon-in-client-id"),
    pytest.param({"client_secret": None}, TypeError, "client_secret takes text", id="no-secret"),
    pytest.param({"client_secret": b"FakeSecret"}, TypeError, "client_secret takes text", id="bytes-for-secret"),
    pytest.param({"client_secret": "FakeSecret\n"}, ValueError, "ends with a newline", id="secret-with-newline"),
    pytest.param({"refresh_token": None}, ValueError, "needs a grant", id="no-grant"),
    pytest.param({"refresh_token": ""}, ValueError, "needs a grant", id="empty-grant"),
    pytest.param({"refresh_token": TOKEN}, TypeError, "goes into token=", id="token-for-refresh-token"),
    pytest.param({"token": "FakeAccess"}, TypeError, "Token.from_dict", id="text-for-token"),
    pytest.param({"token": {"access_token": "FakeAccess"}}, TypeError, "Token.from_dict", id="dict-for-token"),
    pytest.param({"token": Token("a", refresh_token="other")}, ValueError, "two different", id="two-grants"),
    pytest.param({"on_token": "save"}, TypeError, "function that is called", id="text-for-callback"),
    pytest.param({"on_token": TOKEN}, TypeError, "function that is called", id="token-for-callback"),
    pytest.param({"environment": "https://api.foxycart.com"}, TypeError, "Environment", id="text-for-environment"),
    pytest.param({"environment": None}, TypeError, "Environment", id="no-environment"),
    pytest.param({"api_version": 1}, TypeError, "api_version takes text", id="number-for-version"),
    pytest.param({"api_version": ""}, ValueError, "api_version takes ASCII", id="empty-version"),
    pytest.param({"api_version": "1.1"}, ValueError, "api_version takes ASCII", id="dot-in-version"),
    pytest.param({"api_version": "²"}, ValueError, "api_version takes ASCII", id="version-beyond-ascii"),
    pytest.param({"http": object()}, TypeError, "requests.Session", id="object-for-http"),
    pytest.param({"timeout": None}, TypeError, "seconds", id="no-timeout"),
    pytest.param({"timeout": 0}, ValueError, "seconds", id="zero-timeout"),
    pytest.param({"timeout": -1}, ValueError, "seconds", id="negative-timeout"),
    pytest.param({"timeout": float("inf")}, ValueError, "seconds", id="endless-timeout"),
    pytest.param({"timeout": "10"}, TypeError, "seconds", id="text-for-timeout"),
    pytest.param({"refresh_ahead": -1}, ValueError, "seconds", id="negative-window"),
    pytest.param({"leeway": True}, TypeError, "seconds", id="true-for-leeway"),
]


@pytest.mark.parametrize(("wrong", "error", "told"), WRONG)
def test_wrong_argument_fails_at_once(wrong: dict[str, Any], error: type[Exception], told: str) -> None:
    """R24: a wrong argument is refused when the object is made, by a message that names it and no secret."""
    with pytest.raises(error, match=told) as caught:
        FoxyAuth(**{**GOOD, **wrong})

    assert [secret for secret in ("FakeSecret", "FakeRefresh", "FakeAccess") if secret in str(caught.value)] == []


CLIENT = OAuthClient("client_Fake", "FakeSecret")
LATER: dict[str, tuple[Callable[[], object], str]] = {
    "text for a client": (lambda: FoxyAuth.from_client_credentials(TEXT), "client takes an OAuthClient, not str"),
    "an auth for a client": (lambda: FoxyAuth.from_client_credentials(AUTH), "client takes an OAuthClient"),
    "dict for its token": (lambda: FoxyAuth.from_client_credentials(CLIENT, token=DICT), "token takes a Token"),
    "text for another grant": (lambda: AUTH.for_token(TEXT), "token takes a Token, not str"),
    "text for a rejected token": (lambda: AUTH.refresh(TEXT), "rejected takes a Token, not str"),
    "the same, async": (lambda: asyncio.run(AUTH.arefresh(TEXT)), "rejected takes a Token, not str"),
}


@pytest.mark.parametrize("use", LATER)
def test_wrong_use_fails_at_once(use: str) -> None:
    """R24: so is a wrong argument of a method, by a message that names it and shows nothing of it."""
    do, told = LATER[use]
    with pytest.raises(TypeError, match=told) as caught:
        do()

    assert "Fake" not in str(caught.value)


ADDRESSES = [
    pytest.param("http://api.foxycart.com", id="cleartext"),
    pytest.param("http://127.0.0.1.evil.example", id="looks-like-loopback"),
    pytest.param("http://localhost:80@evil.example", id="userinfo"),
    pytest.param("http://localhost.evil.example", id="looks-like-localhost"),
    pytest.param("https://user:pass@api.foxycart.com", id="password"),
    pytest.param("api.foxycart.com", id="no-scheme"),
    pytest.param("ftp://api.foxycart.com", id="ftp"),
    pytest.param("", id="empty"),
]


@pytest.mark.parametrize("name", ["api", "token_endpoint", "authorization_endpoint"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_wrong_address_fails_at_once(address: str, name: str) -> None:
    """R24: an address to which secrets must not be sent is refused, whatever it is for."""
    addresses: dict[str, Any] = {"api": "https://api.foxycart.com", name: address}
    with pytest.raises(ValueError, match=f"Environment.{name}"):
        Environment(**addresses)


def test_a_mock_is_a_callback() -> None:
    """A mock for `on_token` is taken, though it seems to have the methods of a store as well."""
    auth = FoxyAuth(**{**GOOD, "on_token": Mock()})

    assert auth.token is None


class ForeignRequest:
    """A request of a client that knows no such auth objects, as aiohttp has it."""

    url = "https://api.foxycart.com/"

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}


def test_unknown_client_is_told_what_to_do() -> None:
    """R24: a request of an unknown client is refused, unsigned, and the error points to `headers()`."""
    request = ForeignRequest()
    with pytest.raises(TypeError, match=r"not .*ForeignRequest.*headers\(\)"):
        FoxyAuth(**GOOD)(request)

    assert request.headers == {}


def test_unknown_async_client_is_told_what_to_do() -> None:
    """R24: so is one that the flow for httpx gets."""

    async def use() -> None:
        foreign: Any = ForeignRequest()
        await anext(FoxyAuth(**GOOD).async_auth_flow(foreign))

    with pytest.raises(TypeError, match="httpx"):
        asyncio.run(use())


def test_headers_serve_any_client() -> None:
    """R24: `headers()`, which the message recommends, returns both headers."""
    auth = FoxyAuth(client_id="client_Fake", client_secret="FakeSecret", token=TOKEN)

    assert auth.headers() == {"Authorization": "Bearer FakeAccess", "FOXY-API-VERSION": "1"}
