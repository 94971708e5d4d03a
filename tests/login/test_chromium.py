"""`foxy-auth login` and the emulator's consent page in Chromium, without a window and without scripts."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any, Literal

import pytest
import requests
from login.process import TIMEOUT, Login, login, started
from support.ports import free_port

from foxy_auth.cli.login.pages import DENIED, QUESTION, USED, WAITING, success_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

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
# What the console says of a consent page that asks again.
ASKED_AGAIN = "Failed to load resource: the server responded with a status of 400 (BAD REQUEST)"
# And of a start page that was used already.
USED_ALREADY = "Failed to load resource: the server responded with a status of 410 (Gone)"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    playwright: Any = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser: Browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Open a page with a profile of its own; an error on its console fails the test."""
    with browser.new_context(java_script_enabled=False) as context:
        context.set_default_timeout(TIMEOUT * 1000)
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
    assert set(errors) <= {ASKED_AGAIN, USED_ALREADY}


def decide(page: Page, running: Login, button: str) -> None:
    """Open the address that the command prints, choose the second store, and press *button*."""
    page.goto(running.url)
    page.get_by_role("radio").nth(1).check()
    page.get_by_role("button", name=button).click()
    page.wait_for_url(running.redirect_uri)


def test_allow(foxy: Emulator, page: Page) -> None:
    """Allow leads to a page that says so, at an address without the code; the command has its token."""
    with login(foxy, "--json", "--no-browser") as running:
        decide(page, running, "Allow")
        heading = page.get_by_role("heading").inner_text()
        token = running.token()

    assert (page.url, page.title(), heading) == (running.redirect_uri, "You are logged in", "You are logged in")
    assert "store_id_2" in token["scope"]
    assert foxy.is_live(token["access_token"])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_start_page(foxy: Emulator, page: Page, tmp_path: Path, host: str) -> None:
    """The browser that is started goes on to Foxy, and brings its cookie back, from another site too."""
    with started(foxy, tmp_path, redirect_uri=f"http://{host}:{free_port()}/callback") as (running, address):
        page.goto(address)
        assert page.url.startswith(f"{foxy.url}/authorize?")
        page.go_back()
        page.goto(address)
        page.get_by_role("button", name="Allow").click()
        page.wait_for_url(running.redirect_uri)
        heading = page.get_by_role("heading").inner_text()
        running.token()

    assert heading == "You are logged in"


def test_second_browser(foxy: Emulator, browser: Browser, page: Page, tmp_path: Path) -> None:
    """A second browser is told that somebody else was first."""
    with started(foxy, tmp_path) as (running, address), browser.new_context() as other:
        other.new_page().goto(address)
        page.goto(address)
        heading = page.get_by_role("heading").inner_text()
        status = running.end()

    assert (heading, status) == ("This address was used already", 6)
    assert page.evaluate(OVERFLOW) == [0, 0]


def test_deny(foxy: Emulator, page: Page) -> None:
    """Deny leads to a page that says so, and fits a telephone."""
    page.set_viewport_size({"width": 320, "height": 640})
    with login(foxy, "--json", "--no-browser") as running:
        decide(page, running, "Deny")
        heading = page.get_by_role("heading").inner_text()
        status = running.end()

    assert (page.url, page.title(), heading) == (running.redirect_uri, "Access was denied", "Access was denied")
    assert page.evaluate(OVERFLOW) == [0, 0]
    assert (status, running.out) == (6, "")


def test_enter_decides_nothing(foxy: Emulator, page: Page) -> None:
    """Enter within the list of stores decides nothing: the page asks again and keeps the choice."""
    with login(foxy, "--json", "--no-browser") as running:
        page.goto(running.url)
        page.get_by_role("radio").first.focus()
        page.keyboard.press("ArrowDown")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.get_by_role("alert").count() == 1
        page.get_by_role("button", name="Allow").press("Enter")
        token = running.token()

    assert "store_id_2" in token["scope"]


# By how much the content of the page and of its card is wider than they are.
OVERFLOW = """() => [document.documentElement, document.querySelector("main")]
    .map(element => element.scrollWidth - element.clientWidth)"""
LONG = {"project_name": "W" * 200, "company_name": "W" * 200, "project_description": "w" * 300}
EMAIL = f"{'w' * 84}@stores.example"


def test_long_names(foxy: Emulator, page: Page) -> None:
    """Long names stay within the consent page on a telephone."""
    for scope, path, fields in (("client", "/clients/1", LONG), ("user", "/users/1", {"email": EMAIL})):
        auth = foxy.client.auth(foxy.grant(f"{scope}_full_access"))
        assert requests.patch(foxy.url + path, json=fields, auth=auth, timeout=TIMEOUT).ok
    page.set_viewport_size({"width": 360, "height": 900})

    page.goto(foxy.client.authorization_request("store_full_access").url)

    assert EMAIL in page.locator("body").inner_text()
    assert page.evaluate(OVERFLOW) == [0, 0]


# The colours of each text and of what is behind it; the page's own come first.
COLOURS = """() => [...document.querySelectorAll("body, body :not(script)")]
    .filter(element => element.textContent.trim())
    .map(element => {
        let behind = element;
        while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
        return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
    })"""


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as `rgb(255, 255, 255)`, from 0 to 1 (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colours: list[str]) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    darker, brighter = sorted(map(luminance, colours))
    return (brighter + 0.05) / (darker + 0.05)


def show_pages(foxy: Emulator, page: Page) -> Iterator[None]:
    """Show the pages at which a login may end, and the consent page with its alert."""
    for result in (success_page(foxy.grant()), DENIED, WAITING, USED, QUESTION):
        page.set_content(result.html())
        yield
    page.goto(foxy.client.authorization_request("store_full_access").url)
    with page.expect_navigation():
        page.get_by_role("radio").first.press("Enter")
    yield


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours(foxy: Emulator, page: Page, scheme: Literal["light", "dark"]) -> None:
    """Pages are light or dark as the user's system is, and every text can be read (WCAG 2.2, 1.4.3)."""
    page.emulate_media(color_scheme=scheme)

    shown = [page.evaluate(COLOURS) for _ in show_pages(foxy, page)]

    assert [luminance(ground) < 0.05 for (_, ground), *_ in shown] == [scheme == "dark"] * 6
    assert [text for colours in shown for text in colours if contrast(text) < 4.5] == []
