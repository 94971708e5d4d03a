"""The recipes: the code of the page runs as it is printed."""

from __future__ import annotations

import inspect
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from support.browser import DEADLINE, Browser
from support.credentials import credentials
from support.manual import blocks_of

from foxy_auth import FoxyAuth, LoginRequiredError, OAuthClient, Token, register_client
from foxy_auth.stores import FileStore
from foxy_auth.testing import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth.emulator import Emulator

TOP = Path(__file__).parent.parent
MANUAL = TOP / ".github/manual"
PAGE = MANUAL / "how-to/integration-kinds.md"


class Reader:
    """
    Runs the code of the page, section by section.

    Attributes:
        names: What the code has defined so far.
    """

    def __init__(self) -> None:
        """Read the page."""
        self.names: dict[str, Any] = {}
        self._text = PAGE.read_text(encoding="utf-8")

    def run(self, heading: str) -> dict[str, Any]:
        """Run the code of a section, and return all names that are defined."""
        start = self._text.index(f"\n## {heading}\n")
        end = (self._text + "\n## ").index("\n## ", start + 1)
        blocks = [block for block in blocks_of(self._text) if start < block.start < end]
        assert blocks
        for block in blocks:
            source = "\n" * (block.line - 1) + block.code
            exec(compile(source, str(PAGE), "exec"), self.names)  # noqa: S102 - our own page
        return self.names

    def connect(self, browser: Browser) -> str:
        """Connect a store as a user would, through the page's two functions."""
        session: dict[str, Any] = {}
        callback = browser.decide(self.names["connect"](session))
        store_id = self.names["callback"](session, parse_qs(urlsplit(callback).query))
        assert session == {}
        return str(store_id)


@pytest.fixture
def reader(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Reader]:
    """Make the emulator the default environment, and begin in an empty folder."""
    for function in (FoxyAuth.__init__, OAuthClient.__init__, register_client):
        monkeypatch.setitem(inspect.unwrap(function).__kwdefaults__ or {}, "environment", foxy.environment)
    monkeypatch.chdir(tmp_path)
    for name, value in credentials(foxy).items():
        monkeypatch.setenv(name, value)
    reader = Reader()
    reader.run("Keeping tokens")
    yield reader
    assert [call for call in foxy.api_calls if call.access_token], "each recipe ends with an authenticated call"
    assert {(tmp_path / "tokens").stat().st_mode & 0o777} == {0o700}
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "tokens").iterdir()} == {0o600}


def saved(name: str) -> Any:
    """Return the token that the page's code has saved."""
    return FileStore("tokens/foxy.json").for_key(name).load()


def test_standalone(foxy: Emulator, reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    """TERM: "a single integration is tied to a single OAuth Client and Foxy User or Store"."""
    names = reader.run("Standalone")
    reader.run("Standalone")

    assert capsys.readouterr().out == "Example Outfitters\n" * 2
    assert len(foxy.token_calls) == 1
    assert saved("store") == names["auth"].token


def test_third_party(foxy: Emulator, reader: Reader) -> None:
    """TERM: it "expects their users to either have a Foxy account or create one before connecting"."""
    names = reader.run("3rd-party")
    with Browser() as browser:
        store_id = reader.connect(browser)
    shown = names["shop_name"](store_id)

    assert shown == "Example Outfitters"
    assert saved(store_id).store_id == store_id == "1"
    assert saved("client").scopes == {"client_full_access"}
    assert names["kept_client"]().client_secret == names["client"].client_secret


def test_third_party_disconnected(foxy: Emulator, reader: Reader) -> None:
    """A store that was disconnected leaves no record, and the next request for it says that it has to log in."""
    names = reader.run("3rd-party")
    with Browser() as browser:
        store_id = reader.connect(browser)
        names["shop_name"](store_id)
        names["disconnect"](store_id)
        with pytest.raises(LoginRequiredError):
            names["shop_name"](store_id)
        reader.connect(browser)

    assert names["shop_name"](store_id) == "Example Outfitters"


def test_third_party_denied(foxy: Emulator, reader: Reader) -> None:
    """3P: "Your application can display a message to the user that the operation is not possible without access"."""
    names = reader.run("3rd-party")
    session: dict[str, Any] = {}
    with Browser() as browser:
        callback = browser.decide(names["connect"](session), "deny")
        said = names["callback"](session, callback)
        again = names["shop_name"](reader.connect(browser))

    assert (said, again) == (None, "Example Outfitters")
    assert {path.name for path in Path("tokens").glob("foxy.*.json")} == {"foxy.client.json", "foxy.1.json"}


def test_white_labelled(foxy: Emulator, reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    """TERM: it "would utilise the API to create Foxy users and stores on behalf of their application users"."""
    names = reader.run("White-labelled")
    names["store"].auth.refresh()

    assert capsys.readouterr().out == "Ann's Widgets\n"
    assert [saved(name).scope.split()[0] for name in ("client", "user-ann", "store-ann")] == [
        "client_full_access",
        "user_full_access",
        "store_full_access",
    ]
    assert saved("store-ann") == names["store"].auth.token


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
        names["disconnect"](first)
        with pytest.raises(LoginRequiredError):
            names["shop_name"](first)
        reader.connect(ann)
        shown.append(names["shop_name"](first))

    assert shown == ["Example Outfitters"] * 4
    assert calls == ["authorization_code"]
    assert names["auth_of"](first) is names["auth_of"](first)


def test_distributed(foxy: Emulator, reader: Reader) -> None:
    """TERM: "each unique installation would need to dynamically create its own OAuth Client"."""
    reader.run("3rd-party")
    before = reader.names["client"].client_id
    Path("tokens/client.json").unlink()  # another installation
    names = reader.run("Distributed")
    with Browser() as browser:
        store_id = reader.connect(browser)

    assert names["shop_name"](store_id) == "Example Outfitters"
    assert re.fullmatch("widgetsco[0-9A-Za-z]{30}", names["client"].client_id)
    assert names["client"].client_id == names["kept_client"]().client_id != before
    foxy.revoke_access_tokens()
    assert requests.get(foxy.url, auth=names["own"], timeout=DEADLINE).status_code == 200
    assert [call.form["grant_type"] for call in foxy.token_calls] == ["authorization_code", "client_credentials"]


def test_every_kind_has_a_recipe() -> None:
    """TERM, "Foxy-Specific OAuth Terms": five kinds of integration are told apart."""
    headings = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert headings == ["Keeping tokens", "Standalone", "3rd-party", "White-labelled", "Hosted", "Distributed"]


def save_token_of_the_manual() -> Any:
    """Return the function of the manual's recipe for saving a token without a store."""
    text = (MANUAL / "how-to/choose-a-store.md").read_text("utf-8")
    [block] = [block.code for block in blocks_of(text) if "def save_token" in block.code]
    names: dict[str, Any] = {}
    exec(block.partition("\ntoken = ")[0], names)  # noqa: S102 - our own page
    return names["save_token"]


@pytest.mark.parametrize("left", ["nothing", "open", "link"])
def test_a_token_is_saved_privately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    """R23: The manual's `save_token` leaves a file that only its owner can read, whatever was left beside it."""
    monkeypatch.chdir(tmp_path)
    if left == "open":
        Path("token.new").write_text("made up")
        Path("token.new").chmod(0o666)
    if left == "link":
        Path("token.new").symlink_to("precious")
        Path("precious").write_text("made up")
    before = os.umask(0)
    try:
        for _ in range(2):
            save_token_of_the_manual()(TOKEN)
    finally:
        os.umask(before)

    assert Token.from_dict(json.loads(Path("token.json").read_text())) == TOKEN
    assert Path("token.json").stat().st_mode & 0o777 == 0o600
    assert not Path("token.new").exists()
    assert left != "link" or Path("precious").read_text() == "made up"
