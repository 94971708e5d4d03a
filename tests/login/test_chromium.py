"""`foxy-auth login` with a real browser: Chromium, without a window."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any, Literal

import pytest
import requests
from login.logins import PATIENCE, Login, login

from foxy_auth.cli.login._pages import DENIED, WAITING, granted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from foxy_auth.emulator import Emulator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT = 60_000.0  # milliseconds
# What the console says of a page that asks again.
ASKED_AGAIN = "Failed to load resource: the server responded with a status of 400 (BAD REQUEST)"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """Give a page of a Chromium that has no past; what its console complains of fails the test."""
    playwright: Any = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            java_script_enabled=request.param == "with scripts",
        )
        context.set_default_timeout(WAIT)
        page: Page = context.pages[0]
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        context.close()
    assert set(complaints) <= {ASKED_AGAIN}


def decide(page: Page, running: Login, button: str) -> None:
    """Open the address that the command prints, read what is asked, and press *button*."""
    page.goto(running.url)

    assert page.get_by_role("heading", level=1).inner_text() == "Allow Example Integration to access your store?"
    assert page.get_by_text("See and change everything in the store you choose").is_visible()
    page.get_by_role("radio", name="Example Coffee").check()
    page.get_by_role("button", name=button).click()
    page.wait_for_url(running.redirect_uri)


@pytest.mark.parametrize("page", ["with scripts", "without scripts"], indirect=True)
def test_allow(foxy: Emulator, page: Page) -> None:
    """Allow ends at a page without the code that may be closed, and the command has its token."""
    with login(foxy, "--json", "--no-browser") as running:
        decide(page, running, "Allow")
        heading, text = page.get_by_role("heading").inner_text(), page.get_by_role("main").inner_text()
        token = running.token()

    assert (page.url, page.title(), heading) == (running.redirect_uri, "You are logged in", "You are logged in")
    assert "You may close this window." in text
    assert token["scope"] == "store_full_access store_id_2"
    assert foxy.is_live(token["access_token"])


@pytest.mark.parametrize("page", ["with scripts"], indirect=True)
def test_deny(foxy: Emulator, page: Page) -> None:
    """Deny ends at a page that says so and fits a telephone, and the command with the exit status for it."""
    page.set_viewport_size({"width": 320, "height": 640})
    with login(foxy, "--json", "--no-browser") as running:
        decide(page, running, "Deny")
        heading, text = page.get_by_role("heading").inner_text(), page.get_by_role("main").inner_text()
        status = running.end()

    box = page.get_by_role("main").bounding_box()
    assert (page.url, page.title(), heading) == (running.redirect_uri, "Access was denied", "Access was denied")
    assert "You may close this window." in text
    assert page.locator("html").get_attribute("lang") == "en"
    assert box
    assert 0 <= box["x"] <= box["x"] + box["width"] <= 320
    assert (status, running.out) == (6, "")


@pytest.mark.parametrize("page", ["without scripts"], indirect=True)
def test_enter_among_the_stores(foxy: Emulator, page: Page) -> None:
    """Enter among the stores decides nothing: the page asks again, keeps the choice, and takes the decision by keys."""
    with login(foxy, "--json", "--no-browser") as running:
        page.goto(running.url)
        page.get_by_role("radio", name="Example Outfitters").focus()
        page.keyboard.press("ArrowDown")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.get_by_role("alert").all_inner_texts() == [
            "Please choose a store and press one of the two buttons."
        ]
        page.get_by_role("button", name="Allow").press("Enter")
        token = running.token()

    assert token["scope"] == "store_full_access store_id_2"


LONG = {"project_name": "W" * 200, "company_name": "W" * 200, "project_description": "w" * 300}
EMAIL = f"{'w' * 84}@stores.example"
# By how much what is in the page and in its card is wider than they are.
OVERFLOW = """() => [document.documentElement, document.querySelector("main")]
    .map(element => element.scrollWidth - element.clientWidth)"""


@pytest.mark.parametrize("page", ["with scripts"], indirect=True)
@pytest.mark.parametrize("width", [360, 1200])
def test_long_names(foxy: Emulator, page: Page, width: int) -> None:
    """Names without a blank stay within the consent page, on a telephone too."""
    for scope, path, fields in (("client", "/clients/1", LONG), ("user", "/users/1", {"email": EMAIL})):
        auth = foxy.client.auth(foxy.grant(f"{scope}_full_access"))
        assert requests.patch(foxy.url + path, json=fields, auth=auth, timeout=PATIENCE).ok
    page.set_viewport_size({"width": width, "height": 900})

    page.goto(foxy.client.authorization_request("store_full_access").url)

    assert EMAIL in page.get_by_text("Signed in as").inner_text()
    assert page.evaluate(OVERFLOW) == [0, 0]


# The colours of each text and of what is behind it; what is behind everything is first.
COLOURS = """() => [...document.querySelectorAll("body, body :not(script)")]
    .filter(element => element.textContent.trim())
    .map(element => {
        let behind = element;
        while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
        return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
    })"""


def luminance(colour: str) -> float:
    """Tell how bright a colour such as `rgb(255, 255, 255)` is, from 0 to 1 (WCAG 2.2, relative luminance)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colours: list[str]) -> float:
    """Compare two colours, from 1 for alike to 21 for black and white (WCAG 2.2, contrast ratio)."""
    darker, brighter = sorted(map(luminance, colours))
    return (brighter + 0.05) / (darker + 0.05)


def pages(foxy: Emulator, page: Page) -> Iterator[None]:
    """Show one page after the other: where a login may end, and the one that asks, with its notice."""
    for landing in (granted(foxy.grant()), DENIED, WAITING):
        page.set_content(landing.html())
        yield
    page.goto(foxy.client.authorization_request("store_full_access").url)
    with page.expect_navigation():
        page.get_by_role("radio").first.press("Enter")
    yield


@pytest.mark.parametrize("page", ["without scripts"], indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours(foxy: Emulator, page: Page, scheme: Literal["light", "dark"]) -> None:
    """Pages are light or dark as the user's system is, and every text on them can be read (WCAG 2.2, 1.4.3)."""
    page.emulate_media(color_scheme=scheme)

    shown = [page.evaluate(COLOURS) for _ in pages(foxy, page)]

    assert [luminance(ground) < 0.05 for (_, ground), *_ in shown] == [scheme == "dark"] * 4
    assert [text for colours in shown for text in colours if contrast(text) < 4.5] == []
