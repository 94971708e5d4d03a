"""`Environment.discover`: where the API home says that tokens are issued."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import httpx
import httpx2
import pytest
import requests
import responses
from support.opaque_addresses import OpaqueAddresses
from support.sources import expired

from foxy_auth import (
    FOXY_IO,
    PRODUCTION,
    SANDBOX,
    Environment,
    FoxyAuth,
    TokenUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from foxy_auth.emulator import Emulator


def home(href: object) -> dict[str, Any]:
    """Return an API home that links to a token endpoint."""
    return {"_links": {"fx:token": {"href": href, "type": "application/json"}}}


# --- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "library",
    [None, requests.Session, httpx.Client, httpx2.Client],
    ids=["installed", "requests", "httpx", "httpx2"],
)
def test_the_token_endpoint_is_found_on_the_api_home(foxy: Emulator, library: Callable[[], Any] | None) -> None:
    """3P: "you POST to the Hypermedia API's fx:token endpoint, accessible from the API home page"."""
    with library() if library else nullcontext() as http:
        found = Environment.discover(foxy.url, http=http)
    [call] = foxy.calls

    assert (found.api, found.token_endpoint) == (foxy.url, f"{foxy.url}/token")
    assert (call.method, call.path, call.status) == ("GET", "/", 200)


@pytest.mark.parametrize("library", [requests.Session, httpx.Client], ids=["requests", "httpx"])
def test_discovery_is_anonymous_and_names_the_version(
    foxy: Emulator, library: Callable[[], Any], clean_environment: Path
) -> None:
    """3P: the request has the header FOXY-API-VERSION and no credentials, because an expired token is refused."""
    (clean_environment / ".netrc").write_text("machine 127.0.0.1 login fake password fake", encoding="utf-8")
    with library() as http:
        http.headers["Authorization"] = "Bearer FakeExpired"
        http.auth = ("fake", "fake")
        Environment.discover(foxy.url, http=http)
    [call] = foxy.calls

    assert "Authorization" not in call.headers
    assert call.headers["FOXY-API-VERSION"] == "1"
    assert call.headers["Accept"] == "application/hal+json"


def test_a_discovered_environment_is_one_to_work_with(foxy: Emulator) -> None:
    """3P: a grant works with what was discovered, although every path is unusual."""
    with OpaqueAddresses(foxy) as maze:
        auth = FoxyAuth(
            client_id=foxy.client_id,
            client_secret=foxy.client_secret,
            token=expired(foxy),
            environment=Environment.discover(maze.home),
        )
        answer = requests.get(maze.home, auth=auth, timeout=10)

    assert "fx:store" in answer.json()["_links"]
    assert maze.lost == []
    assert len(foxy.token_calls) == 1


async def test_async_discovery_never_blocks_the_loop(foxy: Emulator) -> None:
    """The event loop goes on while the API home has not responded, on asyncio and on trio."""
    found: list[Environment] = []

    async def find() -> None:
        found.append(await Environment.adiscover(foxy.url))

    with foxy.hold("/") as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(find)
            await anyio.to_thread.run_sync(latch.wait_for)
            before = list(found)
            latch.release()

    assert before == []
    assert found[0].token_endpoint == f"{foxy.url}/token"


# --- where it may lead ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [PRODUCTION, FOXY_IO, SANDBOX], ids=["production", "foxy.io", "sandbox"])
@responses.activate
def test_a_known_api_home_is_its_preset(preset: Environment) -> None:
    """The provider's API homes do not tell where users grant access; the presets do."""
    responses.get(f"{preset.api}/", json=home(f"{preset.api}/token"))

    assert Environment.discover(preset.api) == Environment.discover(f"{preset.api}/") == preset


@responses.activate
def test_both_names_of_production_are_one_provider() -> None:
    """R1: an API home under one name may link to the token endpoint under the other; both get the token."""
    responses.get("https://api.foxycart.com/", json=home("https://api.foxy.io/token"))
    found = Environment.discover("https://api.foxycart.com")

    assert found.token_endpoint == "https://api.foxy.io/token"
    assert found.covers("https://api.foxy.io/stores/1")
    assert found.covers("https://api.foxycart.com/stores/1")
    assert PRODUCTION.origins == FOXY_IO.origins


@pytest.mark.parametrize(
    ("href", "endpoint"),
    [
        pytest.param("https://api.foxycart.com/v2/issue?x=1", "https://api.foxycart.com/v2/issue?x=1", id="path"),
        pytest.param("/token", "https://api.foxycart.com/token", id="relative"),
        pytest.param("HTTPS://API.foxycart.com:443/token", "https://API.foxycart.com:443/token", id="case and port"),
    ],
)
@responses.activate
def test_a_link_within_the_origins_is_followed(href: str, endpoint: str) -> None:
    """3P: "the Hypermedia API's fx:token endpoint, accessible from the API home page", on any path of an own origin."""
    responses.get("https://api.foxycart.com/", json=home(href))

    assert Environment.discover("https://api.foxycart.com").token_endpoint == endpoint


@pytest.mark.parametrize(
    "href",
    [
        pytest.param("http://api.foxycart.com/token", id="clear text"),
        pytest.param("https://api.foxycart.com.evil.example/token", id="foreign"),
        pytest.param("https://api.foxycart.com@evil.example/token", id="foreign behind userinfo"),
        pytest.param("https://user:fake@api.foxycart.com/token", id="userinfo"),
        pytest.param("https://api-sandbox.foxycart.com/token", id="another installation"),
        pytest.param("https://api.foxycart.com:8443/token", id="another port"),
        pytest.param("//evil.example/token", id="foreign and relative"),
        pytest.param("http://127.0.0.1/token", id="loopback"),
        pytest.param("https://[::1", id="no address"),
        pytest.param("javascript:alert(1)", id="no web address"),
    ],
)
@responses.activate
def test_a_link_to_another_origin_is_refused(href: str) -> None:
    """R1: the client secret is sent where this link leads, so it must be an own origin."""
    responses.get("https://api.foxycart.com/", json=home(href))
    with pytest.raises(TokenUnavailableError, match="another origin; secrets are not sent there"):
        Environment.discover("https://api.foxycart.com")


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        pytest.param(200, {"_links": {}}, "no link fx:token", id="no link"),
        pytest.param(200, {"_links": {"fx:token": {}}}, "no link fx:token", id="no address"),
        pytest.param(200, home(None), "no link fx:token", id="no text"),
        pytest.param(200, "<html>", "no link fx:token", id="HTML"),
        pytest.param(200, [1], "no link fx:token", id="a list"),
        pytest.param(404, None, "Not Found", id="HAL error"),
        pytest.param(401, {"error": "invalid_token", "error_description": "expired"}, "expired", id="OAuth error"),
        pytest.param(503, None, "try later", id="unavailable"),
    ],
)
def test_not_an_api_home(foxy: Emulator, status: int, body: object, message: str) -> None:
    """R24: an address that is not an API home is told, with its response."""
    foxy.fail(status, body=body, path="/")
    with pytest.raises(TokenUnavailableError, match=message):
        Environment.discover(foxy.url)


def test_an_unreachable_api_home(foxy: Emulator) -> None:
    """R14: an API home that cannot be reached means: try later."""
    foxy.close()
    with pytest.raises(TokenUnavailableError, match="could not be reached"):
        Environment.discover(foxy.url)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"api": "http://api.foxycart.com"}, "https", id="clear text"),
        pytest.param({"api": None}, "address", id="no text"),
        pytest.param({"api": "https://api.foxycart.com", "timeout": 0}, "timeout", id="no time"),
        pytest.param({"api": "https://api.foxycart.com", "http": object()}, "http takes", id="no client"),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    """R24: wrong use fails at once."""
    with pytest.raises((TypeError, ValueError), match=message):
        Environment.discover(**arguments)
