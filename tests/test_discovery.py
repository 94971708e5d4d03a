"""`Environment.discover`: where the API home says that tokens are issued; and the presets."""

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
from maze import Maze
from sources import expired

from foxy_auth import (
    FOXY_IO,
    PRODUCTION,
    SANDBOX,
    Environment,
    FoxyAuth,
    OAuthClient,
    TokenUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from foxy_auth.emulator import Emulator

PRESETS = [
    pytest.param(PRODUCTION, "https://api.foxycart.com", "https://my.foxycart.com/authorize", id="production"),
    pytest.param(FOXY_IO, "https://api.foxy.io", "https://auth.foxy.io/authorize", id="foxy.io"),
    pytest.param(
        SANDBOX, "https://api-sandbox.foxycart.com", "https://my-sandbox.foxycart.com/authorize", id="sandbox"
    ),
]


def home(href: object) -> dict[str, Any]:
    """Write an API home that links to a token endpoint."""
    return {"_links": {"fx:token": {"href": href, "type": "application/json"}}}


# --- the call ------------------------------------------------------------------------------------------------------


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
    """3P: the call has the header FOXY-API-VERSION and no credentials, for an expired token would be refused."""
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
    """What was found serves a whole grant, where no address is the usual one."""
    with Maze(foxy) as maze:
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
    """While the API home takes its time, the event loop does other things, on asyncio and on trio."""
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


@pytest.mark.parametrize(("preset", "api", "authorization_endpoint"), PRESETS)
@responses.activate
def test_a_known_api_home_is_its_preset(preset: Environment, api: str, authorization_endpoint: str) -> None:
    """Discovery at one of the provider's names knows what the home does not tell: where users grant access."""
    responses.get(f"{api}/", json=home(f"{api}/token"))

    assert Environment.discover(api) == Environment.discover(f"{api}/") == preset
    assert preset.authorization_endpoint == authorization_endpoint
    assert preset.token_endpoint == f"{api}/token"


@responses.activate
def test_both_names_of_production_are_one_provider() -> None:
    """R1: a home under one name may link to the token endpoint under the other, and the token may go to both."""
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
        pytest.param("HTTPS://API.foxycart.com:443/token", "https://API.foxycart.com:443/token", id="spelt otherwise"),
    ],
)
@responses.activate
def test_a_link_within_the_origins_is_followed(href: str, endpoint: str) -> None:
    """A token endpoint can be anywhere at the same provider."""
    responses.get("https://api.foxycart.com/", json=home(href))

    assert Environment.discover("https://api.foxycart.com").token_endpoint == endpoint


ELSEWHERE = [
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
]


@pytest.mark.parametrize("href", ELSEWHERE)
@responses.activate
def test_a_link_elsewhere_is_refused(href: str) -> None:
    """The client secret is sent where this link leads, so it must not leave https or the known origins."""
    responses.get("https://api.foxycart.com/", json=home(href))
    with pytest.raises(TokenUnavailableError, match="elsewhere; secrets are not sent there"):
        Environment.discover("https://api.foxycart.com")


def test_a_link_from_loopback_elsewhere_is_refused(foxy: Emulator) -> None:
    """On loopback too, another port is another party; nothing is sent to it."""
    foxy.fail(200, body=home(f"{foxy.elsewhere.url}/token"), path="/")
    with pytest.raises(TokenUnavailableError, match="elsewhere"):
        Environment.discover(foxy.url)

    assert foxy.elsewhere.calls == []


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
def test_what_is_no_api_home(foxy: Emulator, status: int, body: object, message: str) -> None:
    """An address that is no API home is told as such, with what it answered."""
    foxy.fail(status, body=body, path="/")
    with pytest.raises(TokenUnavailableError, match=message):
        Environment.discover(foxy.url)


def test_nobody_there(foxy: Emulator) -> None:
    """An API home that does not answer is a matter of trying later."""
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
def test_wrong_arguments_are_told_at_once(arguments: dict[str, Any], message: str) -> None:
    """R24: wrong use fails where it happens."""
    with pytest.raises((TypeError, ValueError), match=message):
        Environment.discover(**arguments)


# --- the presets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "api", "authorization_endpoint"), PRESETS)
def test_presets_are_the_provider_s_addresses(preset: Environment, api: str, authorization_endpoint: str) -> None:
    """3P: `https://api.foxycart.com` and its `/token`; the other names as the provider's other pages have them."""
    assert (preset.api, preset.token_endpoint) == (api, f"{api}/token")
    assert preset.authorization_endpoint == authorization_endpoint


def test_production_is_the_default() -> None:
    """The addresses of the provider's pages need not be given."""
    client = OAuthClient("id", "FakeSecret")

    assert client.environment is PRODUCTION
    assert client.authorization_request("store_full_access").url.startswith("https://my.foxycart.com/authorize?")


def test_any_address_can_be_overridden() -> None:
    """Every address of an environment can be another one."""
    own = Environment(
        api="https://api.foxy.io",
        token_endpoint="https://tokens.example/t",
        authorization_endpoint="https://users.example/a",
        origins=("https://proxy.example",),
    )

    assert (own.token_endpoint, own.authorization_endpoint) == ("https://tokens.example/t", "https://users.example/a")
    assert own.covers("https://proxy.example/stores/1")
    assert not own.covers("https://tokens.example/t")
