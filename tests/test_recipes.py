"""The recipes: the page's code runs as it stands, and the three applications are used over HTTP."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from browser import PATIENCE, Browser

from foxy_auth import FoxyAuth, LoginRequiredError, OAuthClient, register_client
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth import Token
    from foxy_auth.emulator import Emulator

TOP = Path(__file__).parent.parent
PAGE = TOP / ".github/RECIPES.md"
APPS = ["flask", "django", "fastapi"]

# --- the page ------------------------------------------------------------------------------------------------------


class Reader:
    """
    Follows the page: runs its code, section by section, with what the page leaves to its reader filled in.

    Attributes:
        names: What the code has defined.
    """

    def __init__(self, foxy: Emulator) -> None:
        """Read at *foxy*, which stands in for the provider."""
        self.names: dict[str, Any] = {}
        self._foxy = foxy
        self._text = PAGE.read_text(encoding="utf-8")

    def run(self, heading: str) -> dict[str, Any]:
        """Run the code of a section, and return what is defined by then."""
        start = self._text.index(f"\n## {heading}\n")
        end = (self._text + "\n## ").index("\n## ", start + 1)
        blocks = list(re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE).finditer(self._text, start, end))
        assert blocks
        for block in blocks:
            source = "\n" * self._text.count("\n", 0, block.start(1)) + self._filled_in(block[1])
            exec(compile(source, str(PAGE), "exec"), self.names)  # noqa: S102 - our own page
        return self.names

    def connect(self, browser: Browser) -> str:
        """Be a user who connects a store: through the page's own two functions."""
        session: dict[str, Any] = {}
        callback = browser.decide(self.names["connect"](session))
        store_id = self.names["callback"](session, parse_qs(urlsplit(callback).query))
        assert session == {}
        return str(store_id)

    def _filled_in(self, source: str) -> str:
        client = 'client_id="client_…", client_secret="…", refresh_token="…"'
        grant = self._foxy.grant()
        filled = f"client_id={self._foxy.client_id!r}, client_secret={self._foxy.client_secret!r}"
        source = source.replace(client, f"{filled}, refresh_token={grant.refresh_token!r}")
        source = source.replace('client_id="client_…", client_secret="…"', filled)
        return source.replace("https://api.foxycart.com", self._foxy.url)


@pytest.fixture
def reader(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Reader]:
    """Make the emulator what a reader of the page has: the default environment, and an empty folder."""
    for function in (FoxyAuth.__init__, OAuthClient.__init__, register_client):
        monkeypatch.setitem(function.__kwdefaults__ or {}, "environment", foxy.environment)
    monkeypatch.chdir(tmp_path)
    reader = Reader(foxy)
    reader.run("Keeping tokens")
    yield reader
    assert [call for call in foxy.api_calls if call.access_token], "each recipe ends with an authenticated call"
    assert {(tmp_path / "tokens").stat().st_mode & 0o777} == {0o700}
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "tokens").iterdir()} == {0o600}


def kept(name: str) -> Any:
    """Return the token that the page's code has kept."""
    return FileStore("tokens/foxy.json").for_key(name).load()


def test_standalone(foxy: Emulator, reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    """TERM: "a single integration is tied to a single OAuth Client and Foxy User or Store"."""
    names = reader.run("Standalone")
    reader.run("Standalone")

    assert capsys.readouterr().out == "Example Outfitters\n" * 2
    assert len(foxy.token_calls) == 1
    assert kept("store") == names["auth"].token


def test_third_party(foxy: Emulator, reader: Reader) -> None:
    """TERM: it "expects their users to either have a Foxy account or create one before connecting"."""
    names = reader.run("3rd-party")
    with Browser() as browser:
        store_id = reader.connect(browser)
    shown = names["shop_name"](store_id)

    assert shown == "Example Outfitters"
    assert kept(store_id).store_id == store_id == "1"
    assert kept("client").scopes == {"client_full_access"}


def test_third_party_denied(foxy: Emulator, reader: Reader) -> None:
    """3P: "Your application can display a message to the user that the operation is not possible without access"."""
    names = reader.run("3rd-party")
    session: dict[str, Any] = {}
    with Browser() as browser:
        callback = browser.decide(names["connect"](session), "deny")
        said = names["callback"](session, callback)
        again = names["shop_name"](reader.connect(browser))

    assert (said, again) == (None, "Example Outfitters")
    assert {path.name for path in Path("tokens").glob("*.json")} == {"foxy.client.json", "foxy.1.json"}


def test_white_labelled(foxy: Emulator, reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    """TERM: it "would utilise the API to create Foxy users and stores on behalf of their application users"."""
    names = reader.run("White-labelled")
    names["store"].auth.refresh()

    assert capsys.readouterr().out == "Ann's Widgets\n"
    assert [kept(name).scope.split()[0] for name in ("client", "user-ann", "store-ann")] == [
        "client_full_access",
        "user_full_access",
        "store_full_access",
    ]
    assert kept("store-ann") == names["store"].auth.token


def test_hosted(foxy: Emulator, reader: Reader) -> None:
    """TERM: it "is hosted centrally where your users will access it": one client, a grant for each store."""
    reader.run("3rd-party")
    names = reader.run("Hosted")
    foxy.clear_calls()
    with Browser() as ann:
        first = reader.connect(ann)
        shown = [names["shop_name"](first) for _ in range(2)]
        calls = [call.form["grant_type"] for call in foxy.token_calls]
        foxy.revoke_access_tokens()
        foxy.revoke_refresh_tokens()
        with pytest.raises(LoginRequiredError):
            names["shop_name"](first)
        reader.connect(ann)
        shown.append(names["shop_name"](first))

    assert shown == ["Example Outfitters"] * 3
    assert calls == ["authorization_code"]
    assert names["auth_of"](first) is names["auth_of"](first)


def test_distributed(foxy: Emulator, reader: Reader) -> None:
    """TERM: "each unique installation would need to dynamically create its own OAuth Client"."""
    reader.run("3rd-party")
    before = reader.names["client"].client_id
    names = reader.run("Distributed")
    with Browser() as browser:
        store_id = reader.connect(browser)

    assert names["shop_name"](store_id) == "Example Outfitters"
    assert re.fullmatch("widgetsco[0-9A-Za-z]{30}", names["client"].client_id)
    assert names["client"].client_id != before
    foxy.revoke_access_tokens()
    assert requests.get(foxy.url, auth=names["own"], timeout=PATIENCE).status_code == 200
    assert [call.form["grant_type"] for call in foxy.token_calls] == ["authorization_code", "client_credentials"]


def test_every_kind_has_a_recipe() -> None:
    """TERM, "Foxy-Specific OAuth Terms": five kinds of integration are told apart, and the README leads to all."""
    headings = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert headings == ["Keeping tokens", "Standalone", "3rd-party", "White-labelled", "Hosted", "Distributed"]
    assert ".github/RECIPES.md" in (TOP / "README.md").read_text(encoding="utf-8")


def test_the_pages_links_lead_somewhere() -> None:
    """What the page links to within the repository is there."""
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text(encoding="utf-8"))

    assert len(targets) >= 3
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []


# --- the applications ----------------------------------------------------------------------------------------------

# Serves an application on a socket that listens already, so that nobody has to wait for it.
SERVE = """
import logging, socket, sys
from importlib import import_module

logging.basicConfig(level=logging.INFO)
name, descriptor = sys.argv[1], int(sys.argv[2])
module = import_module(f"recipes.{name}_app")
if name == "fastapi":
    import uvicorn
    uvicorn.Server(uvicorn.Config(module.app, log_config=None)).run(sockets=[socket.socket(fileno=descriptor)])
else:
    from werkzeug.serving import make_server
    application = module.app if name == "flask" else module.application
    make_server("127.0.0.1", 0, application, threaded=True, fd=descriptor).serve_forever()
"""


class App:
    """
    One of the applications, in a process of its own; it can be restarted.

    Attributes:
        url: Its address.
    """

    def __init__(self, name: str, foxy: Emulator, folder: Path) -> None:
        """Prepare; `running` starts it."""
        self._name = name
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        foxy.redirect_uri = f"{self.url}/foxy/callback"
        self._grants = FileStore(folder / "tokens/foxy.json")
        self._settings = {
            "FOXY_API_CLIENT_ID": foxy.client_id,
            "FOXY_API_CLIENT_SECRET": foxy.client_secret,
            "FOXY_API_URL": foxy.url,
            "REDIRECT_URI": foxy.redirect_uri,
            "SECRET_KEY": "fake-key-of-a-fake-application",
            "TOKENS": str(folder / "tokens/foxy.json"),
            "PYTHONPATH": str(TOP / "tests"),
        }

    @contextmanager
    def running(self, listening: socket.socket | None = None) -> Iterator[None]:
        """Serve, at its own address or another; the process is ended afterwards, and must not have stumbled."""
        number = (listening or self._listening).fileno()
        command = [sys.executable, "-c", SERVE, self._name, str(number)]
        environ = {**os.environ, **self._settings}
        program = subprocess.Popen(command, env=environ, pass_fds=[number], stderr=subprocess.PIPE, text=True)
        try:
            yield
        finally:
            program.terminate()
            _, said = program.communicate()
        assert "Traceback" not in said, said

    @contextmanager
    def once_more(self) -> Iterator[str]:
        """Serve in one more process, as servers with several workers do; give its address."""
        with socket.create_server(("127.0.0.1", 0)) as listening, self.running(listening):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"

    def close(self) -> None:
        """Give the port back."""
        self._listening.close()

    def kept(self) -> dict[str, Token]:
        """Return the tokens that it has kept, by store."""
        found = {store_id: self._grants.for_key(store_id).load() for store_id in ("1", "2")}
        return {store_id: token for store_id, token in found.items() if token}


@pytest.fixture(params=APPS)
def stopped(request: pytest.FixtureRequest, foxy: Emulator, tmp_path: Path) -> Iterator[App]:
    """Give an application that is not running yet."""
    with closing(App(request.param, foxy, tmp_path)) as app:
        yield app


@pytest.fixture
def app(stopped: App) -> Iterator[App]:
    """Give an application that is running."""
    with stopped.running():
        yield stopped


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Give a user's browser."""
    with Browser() as browser:
        yield browser


def test_a_user_connects_a_store(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P, from the link to the API call: the application shows the store, and has kept its token."""
    start = browser.open(app.url)
    consent = browser.open(f"{app.url}/foxy/connect")
    shown = browser.press(consent, decision="allow")

    assert 'href="/foxy/connect"' in start.text
    assert consent.url.startswith(f"{foxy.url}/authorize?")
    assert (shown.status_code, shown.url) == (200, f"{app.url}/store")
    assert "<h1>Example Outfitters</h1>" in shown.text
    assert [call.form["grant_type"] for call in foxy.token_calls] == ["authorization_code"]
    assert foxy.token_calls[0].form["redirect_uri"] == f"{app.url}/foxy/callback"
    assert [token.access_token for token in app.kept().values()] == foxy.live_access_tokens


def test_a_user_denies(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P: after a denial the application says that it is not possible without access, and offers the link."""
    said = browser.press(browser.open(f"{app.url}/foxy/connect"), decision="deny")

    assert said.status_code == 403
    assert "Without access to your store, this is not possible." in said.text
    assert 'href="/foxy/connect"' in said.text
    assert foxy.token_calls == []
    assert app.kept() == {}


def test_users_have_stores_of_their_own(foxy: Emulator, app: App, browser: Browser) -> None:
    """TERM, hosted: one client serves many stores; each user sees the one that it has connected."""
    shown = [browser.press(browser.open(f"{app.url}/foxy/connect"), decision="allow", store="2")]
    with Browser() as other:
        shown += [other.press(other.open(f"{app.url}/foxy/connect"), decision="allow", store="1")]
        shown += [browser.open(f"{app.url}/store"), other.open(f"{app.url}/store")]
    names = [re.findall("<h1>(.*)</h1>", page.text) for page in shown]

    assert names == [["Example Coffee"], ["Example Outfitters"]] * 2
    assert list(app.kept()) == ["1", "2"]


def test_a_forged_callback(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P: a callback that this browser did not ask for is aborted: the attacker's code is not exchanged."""
    with Browser() as attacker:
        link = browser.open(f"{app.url}/foxy/connect").url
        own = attacker.decide(attacker.open(f"{app.url}/foxy/connect").url)
    said = browser.open(own)
    nobody = browser.open(f"{app.url}/foxy/callback?code={foxy.authorization_code()}&state=x")

    assert link.startswith(f"{foxy.url}/authorize?")
    assert [said.status_code, nobody.status_code] == [400, 400]
    assert "Please try again." in said.text
    assert foxy.token_calls == []


def test_a_replayed_callback(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P: a state serves once; who opens the same callback again is not asked for, and no code is sent twice."""
    callback = browser.decide(browser.open(f"{app.url}/foxy/connect").url)
    first, second = browser.open(callback), browser.open(callback)

    assert [first.status_code, second.status_code] == [200, 400]
    assert len(foxy.token_calls) == 1


def test_broken_callbacks(foxy: Emulator, app: App, browser: Browser) -> None:
    """Whatever a callback brings, it is answered by a page, and never by a stack trace."""
    browser.open(f"{app.url}/foxy/connect")
    queries = ["", "?code=x", "?error=access_denied", "?state=&code=x", "?state=a&state=b&code=x", "?state=%ff%00&code"]
    statuses = [browser.open(f"{app.url}/foxy/callback{query}").status_code for query in queries]

    assert statuses == [400] * len(queries)
    assert foxy.token_calls == []


def test_the_provider_does_not_answer(foxy: Emulator, app: App, browser: Browser) -> None:
    """An exchange that fails for now is told as such; the user may try again."""
    consent = browser.open(f"{app.url}/foxy/connect")
    foxy.fail(200, body="<html>")
    said = browser.press(consent, decision="allow")

    assert said.status_code == 503
    assert "Please try again later." in said.text


def test_tokens_are_refreshed_and_kept(foxy: Emulator, app: App, browser: Browser) -> None:
    """3P: when the access token is over, the user sees nothing of it, and the new token is kept."""
    browser.press(browser.open(f"{app.url}/foxy/connect"), decision="allow")
    first = app.kept()
    foxy.revoke_access_tokens()
    shown = browser.open(f"{app.url}/store")
    second = app.kept()

    assert shown.status_code == 200
    assert list(first) == list(second) == ["1"]
    assert second["1"].access_token in foxy.live_access_tokens
    assert first["1"].access_token not in foxy.live_access_tokens


def test_tokens_outlive_the_application(foxy: Emulator, stopped: App, browser: Browser) -> None:
    """3P: tokens are "securely stored": after a restart nobody has to connect again, and no token call is made."""
    with stopped.running():
        browser.press(browser.open(f"{stopped.url}/foxy/connect"), decision="allow")
    foxy.clear_calls()
    with stopped.running():
        shown = browser.open(f"{stopped.url}/store")

    assert "<h1>Example Outfitters</h1>" in shown.text
    assert foxy.token_calls == []


def test_a_store_withdraws_its_consent(foxy: Emulator, app: App, browser: Browser) -> None:
    """A grant that is gone is told, with the link to connect again, which helps."""
    browser.press(browser.open(f"{app.url}/foxy/connect"), decision="allow")
    foxy.revoke_access_tokens()
    foxy.revoke_refresh_tokens()
    said = browser.open(f"{app.url}/store")
    again = browser.press(browser.open(f"{app.url}/foxy/connect"), decision="allow")

    assert said.status_code == 403
    assert 'href="/foxy/connect"' in said.text
    assert "<h1>Example Outfitters</h1>" in again.text


def test_a_store_that_is_connected_again(foxy: Emulator, app: App, browser: Browser) -> None:
    """R12: of several workers one takes the user back, and the others find the new grant as well."""
    with app.once_more() as other:
        browser.press(browser.open(f"{app.url}/foxy/connect"), decision="allow")
        before = [browser.open(f"{url}/store").status_code for url in (app.url, other)]
        foxy.revoke_access_tokens()
        foxy.revoke_refresh_tokens()
        between = [browser.open(f"{url}/store").status_code for url in (app.url, other)]
        browser.press(browser.open(f"{app.url}/foxy/connect"), decision="allow")
        after = [browser.open(f"{url}/store").status_code for url in (app.url, other, other)]

    assert (before, between, after) == ([200] * 2, [403] * 2, [200] * 3)
