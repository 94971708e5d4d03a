"""The three applications of web-frameworks.md, each used over HTTP in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.browser import DEADLINE, Browser
from support.ports import free_port
from support.waiting import wait_until

from foxy_auth.emulator import Emulator
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth import Token

EXAMPLES = Path(__file__).parents[2] / ".github/manual/examples"


class App:
    """
    One of the applications.

    Attributes:
        foxy: The provider.

        url: The application's address.
    """

    def __init__(self, name: str, foxy: Emulator, folder: Path) -> None:
        """Prepare; `running` starts it."""
        self._command = documented_command(name)
        self._port = free_port()
        self.foxy = foxy
        self.url = f"http://127.0.0.1:{self._port}"
        foxy.redirect_uri = f"{self.url}/foxy/callback"
        foxy.pkce = "required"
        self._folder = folder
        self._settings = {
            "FOXY_API_CLIENT_ID": foxy.client_id,
            "FOXY_API_CLIENT_SECRET": foxy.client_secret,
            "FOXY_API_URL": foxy.url,
            "REDIRECT_URI": foxy.redirect_uri,
            "SECRET_KEY": "fake-key-of-a-fake-application",
            "TOKENS": str(folder / "foxy.json"),
        }

    @contextmanager
    def running(self, port: int | None = None) -> Iterator[None]:
        """Run it as its file says, at its own port or another; fail if it logs a traceback."""
        port = port or self._port
        at = [f"127.0.0.1:{port}"] if "runserver" in self._command else ["--port", str(port)]
        command = [sys.executable, *self._command, *at]
        environ = {**os.environ, **self._settings}
        program = subprocess.Popen(command, cwd=EXAMPLES, env=environ, stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: listens(port) or program.poll() is not None, what=" ".join(command), within=DEADLINE)
            yield
        finally:
            program.terminate()
            _, logged = program.communicate()
        assert "Traceback" not in logged, logged

    @contextmanager
    def another_worker(self) -> Iterator[str]:
        """Run it in one more process; give its address."""
        port = free_port()
        with self.running(port):
            yield f"http://127.0.0.1:{port}"

    def connect(self, browser: Browser, **button: str) -> Any:
        """Connect a store as a user does: open the link, press a button on the consent page."""
        return browser.press(browser.open(f"{self.url}/foxy/connect"), **button or {"decision": "allow"})

    def saved(self) -> dict[str, Token]:
        """Return the tokens that it has saved, by store."""
        grants = FileStore(self._folder / "foxy.json")
        found = {store_id: grants.for_key(store_id).load() for store_id in ("1", "2")}
        return {store_id: token for store_id, token in found.items() if token}

    def forget(self) -> None:
        """Remove what it has saved, and the requests that the provider has recorded."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self.foxy.clear_calls()


def documented_command(name: str) -> list[str]:
    """Return the command that an example's docstring says to run it by, as arguments of Python."""
    text = (EXAMPLES / f"{name}_app.py").read_text(encoding="utf-8")
    [last] = re.findall(r"^    export .*\n    (.+)$", text, re.MULTILINE)
    program, *arguments = last.split()
    return arguments if program == "python" else ["-m", program, *arguments]


def listens(port: int) -> bool:
    """Tell whether a program listens on *port*."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module", params=["flask", "django", "fastapi"])
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Give an application that is running."""
    folder = tmp_path_factory.mktemp("app") / "tokens"
    with Emulator() as foxy:
        app = App(request.param, foxy, folder)
        with app.running():
            yield app


@pytest.fixture
def app(started: App) -> App:
    """Give it without anything saved."""
    started.forget()
    return started


@pytest.fixture
def foxy(app: App) -> Emulator:
    """Give the application's provider."""
    return app.foxy


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Give a user's browser."""
    with Browser() as browser:
        yield browser


def test_a_user_connects_a_store(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P, from the link to the API request: the application shows the store, and has saved its token."""
    start = browser.open(app.url)
    consent = browser.open(f"{app.url}/foxy/connect")
    shown = browser.press(consent, decision="allow")

    assert 'href="/foxy/connect"' in start.text
    assert consent.url.startswith(f"{foxy.url}/authorize?")
    assert (shown.status_code, shown.url) == (200, f"{app.url}/store")
    assert "<h1>Example Outfitters</h1>" in shown.text
    assert [call.form["grant_type"] for call in foxy.token_calls] == ["authorization_code"]
    assert foxy.token_calls[0].form["redirect_uri"] == f"{app.url}/foxy/callback"
    assert [foxy.is_live(token.access_token) for token in app.saved().values()] == [True]


def test_a_user_denies(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P: after a denial the application says that it is not possible without access, and offers the link."""
    shown = app.connect(browser, decision="deny")

    assert shown.status_code == 403
    assert "Without access to your store, this is not possible." in shown.text
    assert 'href="/foxy/connect"' in shown.text
    assert foxy.token_calls == []
    assert app.saved() == {}


def test_users_have_stores_of_their_own(app: App, browser: Browser) -> None:
    """TERM, hosted: one client serves many stores; each user sees the one that it has connected."""
    shown = [app.connect(browser, decision="allow", store="2")]
    with Browser() as other:
        shown += [app.connect(other, decision="allow", store="1")]
        shown += [browser.open(f"{app.url}/store"), other.open(f"{app.url}/store")]
    names = [re.findall("<h1>(.*)</h1>", page.text) for page in shown]

    assert names == [["Example Coffee"], ["Example Outfitters"]] * 2
    assert list(app.saved()) == ["1", "2"]


def test_a_forged_callback(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P: a callback that this browser did not ask for is aborted: the attacker's code is not exchanged."""
    with Browser() as attacker:
        link = browser.open(f"{app.url}/foxy/connect").url
        own = attacker.decide(attacker.open(f"{app.url}/foxy/connect").url)
    shown = browser.open(own)
    without_session = browser.open(f"{app.url}/foxy/callback?code={foxy.authorization_code()}&state=x")

    assert link.startswith(f"{foxy.url}/authorize?")
    assert [shown.status_code, without_session.status_code] == [400, 400]
    assert "Please try again." in shown.text
    assert foxy.token_calls == []


def test_a_replayed_callback(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P: a state can be used once; the same callback opened again is refused, and no code is sent twice."""
    callback = browser.decide(browser.open(f"{app.url}/foxy/connect").url)
    first, second = browser.open(callback), browser.open(callback)

    assert [first.status_code, second.status_code] == [200, 400]
    assert len(foxy.token_calls) == 1


def test_broken_callbacks(foxy: Emulator, app: App, browser: Browser) -> None:
    """
    Whatever parameters a callback has, the response is a page, and never a traceback.

    It leads nowhere else, so that the callback's address reaches nobody (RFC 9700, section 4.2.4).
    """
    browser.open(f"{app.url}/foxy/connect")
    queries = ["", "?code=x", "?error=access_denied", "?state=&code=x", "?state=a&state=b&code=x", "?state=%ff%00&code"]
    pages = [browser.open(f"{app.url}/foxy/callback{query}") for query in queries]

    assert [page.status_code for page in pages] == [400] * len(queries)
    assert {address for page in pages for address in re.findall("(?:href|src)=(.*?)>", page.text)} == {
        '"/foxy/connect"'
    }
    assert foxy.token_calls == []


def test_the_provider_does_not_respond(foxy: Emulator, app: App, browser: Browser) -> None:
    """When no token is available for now, the user is told so, and may try again."""
    consent = browser.open(f"{app.url}/foxy/connect")
    foxy.fail(200, body="<html>")
    shown = browser.press(consent, decision="allow")

    assert shown.status_code == 503
    assert "Please try again later." in shown.text


def test_tokens_are_refreshed_and_saved(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P: when the access token has expired, the user notices nothing, and the new token is saved."""
    app.connect(browser)
    first = app.saved()
    foxy.revoke_access_tokens()
    shown = browser.open(f"{app.url}/store")
    second = app.saved()

    assert shown.status_code == 200
    assert list(first) == list(second) == ["1"]
    assert [foxy.is_live(tokens["1"].access_token) for tokens in (first, second)] == [False, True]


def test_a_store_withdraws_its_consent(foxy: Emulator, app: App, browser: Browser) -> None:
    """When the grant was revoked, the user is told so, with the link to connect again, which helps."""
    app.connect(browser)
    foxy.revoke_access_tokens()
    foxy.revoke_refresh_tokens()
    shown = browser.open(f"{app.url}/store")
    again = app.connect(browser)

    assert shown.status_code == 403
    assert 'href="/foxy/connect"' in shown.text
    assert "<h1>Example Outfitters</h1>" in again.text


def test_workers_share_their_tokens(foxy: Emulator, app: App, browser: Browser) -> None:
    """R12: another process, after a restart say, needs no login, and finds the grant of a store connected again."""
    app.connect(browser)
    with app.another_worker() as other:
        foxy.clear_calls()
        before = [browser.open(f"{url}/store").status_code for url in (app.url, other)]
        token_requests = len(foxy.token_calls)
        foxy.revoke_access_tokens()
        foxy.revoke_refresh_tokens()
        between = [browser.open(f"{url}/store").status_code for url in (app.url, other)]
        app.connect(browser)
        after = [browser.open(f"{url}/store").status_code for url in (app.url, other, other)]

    assert (before, token_requests, between, after) == ([200] * 2, 0, [403] * 2, [200] * 3)


def test_a_user_disconnects_a_store(app: App, browser: Browser) -> None:
    """A store that its user disconnects leaves no record, and the application has no access until it is back."""
    consent = app.connect(browser)
    start = browser.press(consent)
    saved = app.saved()
    again = app.connect(browser)

    assert (start.status_code, start.url) == (200, f"{app.url}/")
    assert saved == {}
    assert "<h1>Example Outfitters</h1>" in again.text
