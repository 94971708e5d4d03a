"""Rows: token requests that fail, by each way to make one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import quote_plus

import httpx
import httpx2
import requests
from secrecy.made_up import secret
from secrecy.provider import DROP, HANG, Answer, Asked, badly_framed, closed_port, document
from secrecy.world import ECHOES, LATER, Row, World, new_token
from support.clock import FakeClock

from foxy_auth import (
    PRODUCTION,
    AuthorizationError,
    Environment,
    FoxyAuth,
    FoxyAuthError,
    LoginRequiredError,
    TokenRefusedError,
    TokenUnavailableError,
)

# --- the ways to make a token request --------------------------------------------------------------------------------


def _fetch(world: World) -> object:
    return world.client().fetch_token({"code": secret("code"), "state": secret("state")}, request=world.request())


def _afetch(world: World) -> Awaitable[object]:
    return world.client().afetch_token({"code": secret("code"), "state": secret("state")}, request=world.request())


@cache
def _context() -> ssl.SSLContext:
    """Return one for all clients: making it takes longer than a row."""
    return ssl.create_default_context()


def _by_httpx(world: World, library: Any, **options: Any) -> object:
    with library.Client(verify=_context(), auth=world.auth(**options)) as client:
        return client.get(world.api_url)


async def _by_async_httpx(world: World, library: Any, **options: Any) -> object:
    async with library.AsyncClient(verify=_context(), auth=world.auth(**options)) as client:
        return await client.get(world.api_url)


CALLS: dict[str, tuple[Callable[[World], Any], tuple[str, ...]]] = {
    "client_credentials": (lambda world: world.client().client_credentials(), ("OAuthClient.client_credentials",)),
    "aclient_credentials": (lambda world: world.client().aclient_credentials(), ("OAuthClient.aclient_credentials",)),
    "client_secret_post": (
        lambda world: world.client(client_auth_method="client_secret_post").client_credentials(),
        ("OAuthClient.client_credentials",),
    ),
    "refresh_token": (lambda world: world.client().refresh_token(world.token()), ("OAuthClient.refresh_token",)),
    "arefresh_token": (lambda world: world.client().arefresh_token(world.token()), ("OAuthClient.arefresh_token",)),
    "fetch_token": (_fetch, ("OAuthClient.fetch_token",)),
    "afetch_token": (_afetch, ("OAuthClient.afetch_token",)),
    "get_token": (lambda world: world.auth().get_token(), ("FoxyAuth.get_token",)),
    "aget_token": (lambda world: world.auth().aget_token(), ("FoxyAuth.aget_token",)),
    "headers": (lambda world: world.auth().headers(), ("FoxyAuth.headers",)),
    "aheaders": (lambda world: world.auth().aheaders(), ("FoxyAuth.aheaders",)),
    "refresh": (lambda world: world.auth(left=7200.0).refresh(), ("FoxyAuth.refresh",)),
    "arefresh": (lambda world: world.auth(left=7200.0).arefresh(), ("FoxyAuth.arefresh",)),
    "requests": (lambda world: requests.get(world.api_url, auth=world.auth(), timeout=9), ("FoxyAuth.__call__",)),
    "httpx": (lambda world: _by_httpx(world, httpx), ("FoxyAuth.sync_auth_flow",)),
    "httpx2": (lambda world: _by_httpx(world, httpx2), ("FoxyAuth.sync_auth_flow",)),
    "async httpx": (lambda world: _by_async_httpx(world, httpx), ("FoxyAuth.async_auth_flow",)),
    "async httpx2": (lambda world: _by_async_httpx(world, httpx2), ("FoxyAuth.async_auth_flow",)),
    # The API refuses a token that looked fresh, and no other is to be had.
    "requests after a 401": (
        lambda world: requests.get(world.api_url, auth=world.auth(left=7200.0), timeout=9),
        ("FoxyAuth.__call__",),
    ),
    "httpx after a 401": (lambda world: _by_httpx(world, httpx, left=7200.0), ("FoxyAuth.sync_auth_flow",)),
    "async httpx after a 401": (
        lambda world: _by_async_httpx(world, httpx, left=7200.0),
        ("FoxyAuth.async_auth_flow",),
    ),
}

# --- what the token endpoint does ------------------------------------------------------------------------------------

Prepare = Callable[[World], None]


def _answering(answer: Callable[[Asked], Answer]) -> Prepare:
    def prepare(world: World) -> None:
        world.provider.answer = lambda asked: _unauthorized() if asked.method == "GET" else answer(asked)

    return prepare


def _unauthorized() -> Answer:
    description = "The access token provided is invalid"
    return document(401, {"error": "invalid_token", "error_description": description})


def _echoing(code: str, echo: Callable[[str], str], *, status: int = 400) -> Prepare:
    """Refuse with a description that repeats what the request had in it."""

    def answer(asked: Asked) -> Answer:
        body = {"error": code, "error_description": f"no: {' '.join(map(echo, reversed(asked.secrets)))}"}
        return document(status, body, **LATER)

    return _answering(answer)


def _echoing_client(echo: Callable[[str], str]) -> Prepare:
    def answer(asked: Asked) -> Answer:
        return document(401, {"error": "invalid_client", "error_description": "; ".join(map(echo, asked.secrets))})

    return _answering(answer)


def _echoing_code(asked: Asked) -> Answer:
    return document(400, {"error": asked.secrets[0], "error_description": asked.secrets[-1]})


def _echoing_hal(asked: Asked) -> Answer:
    return document(404, {"_embedded": {"fx:errors": [{"message": one} for one in asked.secrets]}})


def _echoing_redirect(asked: Asked) -> Answer:
    return document(302, {"error_description": asked.secrets}, Location="https://example.com/")


def _echoing_page(asked: Asked) -> Answer:
    return Answer(500, f"<html>{asked.secrets}</html>".encode(), {"Content-Type": "text/html", **LATER})


def _broken_token(_: Asked) -> Answer:
    return document(200, {"access_token": f"{secret('new access token')} ", "refresh_token": secret("refresh token")})


def _token_of_another_type(_: Asked) -> Answer:
    return document(200, {"access_token": [secret("new access token")], "refresh_token": secret("refresh token")})


def _half_a_token(_: Asked) -> Answer:
    return Answer(200, f'{{"access_token": "{secret("new access token")}", "refresh_t'.encode())


def _breaking_off(_: Asked) -> Answer:
    body = f'{{"access_token": "{secret("new access token")}", "refresh_token": "{secret("new refresh token")}"}}'
    return Answer(200, body.encode(), {"Content-Type": "application/json"}, sent=300)


def _gzipped(_: Asked) -> Answer:
    return Answer(200, secret("new access token").encode(), {"Content-Encoding": "gzip"})


def _too_long(_: Asked) -> Answer:
    return Answer(200, secret("new access token").encode() + b" " * 70_000)


def _refused_connection(world: World) -> None:
    world.timeout = 0.05
    world.environment = Environment(api=f"http://127.0.0.1:{closed_port()}")


def _no_tls(world: World) -> None:
    world.timeout = 0.05
    world.environment = Environment(api=world.provider.url.replace("http:", "https:"))


def _no_proxy(world: World) -> None:
    world.timeout = 0.05
    world.environment = PRODUCTION
    for name in ("HTTPS_PROXY", "https_proxy"):
        world.setenv(name, f"http://127.0.0.1:{closed_port()}")


def _timeout(world: World) -> None:
    world.timeout = 0.05
    _answering(lambda _: HANG)(world)


UNAVAILABLE: dict[str, Prepare] = {
    "nothing answers": _refused_connection,
    "TLS fails": _no_tls,
    "the proxy fails": _no_proxy,
    "the connection drops": _answering(lambda _: DROP),
    "the response breaks off": _answering(_breaking_off),
    "the response does not come": _timeout,
    "the response is no JSON": _answering(_half_a_token),
    "the response is badly coded": _answering(_gzipped),
    "the response is badly framed": _answering(badly_framed),
    "the token is broken": _answering(_broken_token),
    "the token is no text": _answering(_token_of_another_type),
    "it redirects": _answering(_echoing_redirect),
    "it fails with a page": _answering(_echoing_page),
    "it fails with an echo": _echoing("server_error", str, status=503),
    "it fails with an echo in HAL": _answering(_echoing_hal),
}
REFUSED: dict[str, Prepare] = {
    **{f"it repeats the client {name}": _echoing_client(echo) for name, echo in ECHOES.items()},
    "it repeats secrets as the code": _answering(_echoing_code),
}
REVOKED: dict[str, Prepare] = {
    f"it repeats the grant {name}": _echoing("invalid_grant", echo) for name, echo in ECHOES.items()
}
# What every call meets; the rest is met by the first calls of each kind.
USUAL = {"the connection drops", "nothing answers", "it repeats the client percent-encoded", "it fails with an echo"}
THOROUGH = {"arefresh_token", "requests"}


def _echoing_401(world: World) -> None:
    """Let the API repeat the token, and the token endpoint fail."""

    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            return DROP
        return document(401, {"error": "invalid_token", "error_description": " ".join(asked.secrets)})

    world.provider.answer = answer


def _echoing_401_always(world: World) -> None:
    """Let the API repeat the token, and the next ones, though they are issued: what is recorded has our frames."""

    def answer(asked: Asked) -> Answer:
        if asked.method == "POST":
            return document(200, new_token())
        return document(401, {"error": "invalid_token", "error_description": " ".join(asked.secrets)})

    world.provider.answer = answer


def _row(call: str, failure: str, prepare: Prepare, raises: type[FoxyAuthError] | None) -> Row:
    act, covers = CALLS[call]

    def attempt(world: World) -> Any:
        prepare(world)
        return act(world)

    return Row(f"{call}: {failure}", attempt, raises, covers)


def _rows() -> list[Row]:
    kinds = ((UNAVAILABLE, TokenUnavailableError), (REFUSED, TokenRefusedError), (REVOKED, LoginRequiredError))
    rows = []
    for call in CALLS:
        for failures, usual in kinds:
            for failure, prepare in failures.items():
                raises: type[FoxyAuthError] = usual
                if usual is LoginRequiredError and call in {"fetch_token", "afetch_token"}:
                    raises = AuthorizationError
                if "after a 401" in call and failure in {"nothing answers", "TLS fails", "the proxy fails"}:
                    continue  # then there is no 401 either
                if call in THOROUGH or failure in USUAL:
                    rows.append(_row(call, failure, prepare, raises))
    return rows


def _refused_again(world: World) -> None:
    """Meet a refusal that is remembered."""
    _echoing("invalid_grant", quote_plus)(world)
    auth = world.auth()
    with suppress(LoginRequiredError):
        auth.get_token()
    auth.get_token()


def _unavailable_again(world: World) -> None:
    """Meet a failure that is remembered for a while."""
    _echoing("server_error", quote_plus, status=503)(world)
    auth = world.auth()
    with suppress(TokenUnavailableError):
        auth.get_token()
    auth.get_token()


def _tried_again(world: World) -> None:
    """Meet a failure after which the request is sent again; what is logged then has the frames of the token request."""
    _answering(lambda asked: document(503, {"error": "x", "error_description": " ".join(asked.secrets)}))(world)
    world.auth(kind=type("ClockedAuth", (FoxyAuth,), {"_clock": FakeClock().clock})).get_token()


REMEMBERED = [
    Row("get_token: it is tried again", _tried_again, TokenUnavailableError),
    Row("get_token: it was refused before", _refused_again, LoginRequiredError),
    Row("get_token: it failed before", _unavailable_again, TokenUnavailableError),
]
OF_REDIRECT_URI = _row(
    "fetch_token", "the redirect URI differs", _echoing("redirect_uri_mismatch", quote_plus), AuthorizationError
)

# --- nobody waits any more -------------------------------------------------------------------------------------------


def _cancelled(call: str) -> Row:
    """Cancel a task that waits for the token endpoint."""
    act, covers = CALLS[call]

    async def attempt(world: World) -> None:
        _answering(lambda _: HANG)(world)
        task = asyncio.ensure_future(act(world))
        await asyncio.to_thread(world.provider.asked.wait, 10.0)
        task.cancel()
        await task

    return Row(f"{call}: is cancelled", attempt, asyncio.CancelledError, covers)


CANCELLED = [
    _cancelled(call)
    for call in ("aclient_credentials", "arefresh_token", "afetch_token", "aget_token", "arefresh", "async httpx")
]
ROWS = [
    *_rows(),
    _row("httpx", "the response is too long", _answering(_too_long), TokenUnavailableError),
    *(
        _row(call, "the 401 repeats the token", _echoing_401, TokenUnavailableError)
        for call in CALLS
        if "after a 401" in call
    ),
    *(
        _row(call, "it is retried, and the 401 repeats the token", _echoing_401_always, None)
        for call in CALLS
        if "after a 401" in call
    ),
    *REMEMBERED,
    OF_REDIRECT_URI,
    *CANCELLED,
]
