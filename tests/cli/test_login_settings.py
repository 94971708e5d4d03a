"""What `foxy-auth login` leaves behind: a token, a profile, and lines of Python that use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from support.ports import free_port

from foxy_auth.cli import main
from foxy_auth.cli.login.flow import Login
from foxy_auth.cli.profiles import Profile, load_profile, save_profile
from foxy_auth.cli.settings import Settings
from foxy_auth.cli.store_address import StoreAddress

if TYPE_CHECKING:
    from pathlib import Path

    from foxy_auth.emulator import Emulator

REDIRECT_URI = "http://127.0.0.1:{}/callback"


@pytest.fixture(autouse=True)
def _browser(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    foxy.redirect_uri = REDIRECT_URI.format(free_port())

    def allow(_: Login, url: str) -> None:
        with requests.Session() as browser:
            first = browser.get(url, allow_redirects=False, timeout=30)
            browser.get(foxy.authorize(first.headers["Location"]), timeout=30)

    monkeypatch.setattr(Login, "_open_browser", allow)


def login(foxy: Emulator, *options: str) -> int:
    """Log in to the store of *foxy*."""
    return main(["login", "--redirect-uri", foxy.redirect_uri, *options])


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize("place", ["", "file:{}/t.json", "sql:sqlite:///{}/t.db"])
def test_first_hour(
    foxy: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """After the login its lines of Python run as they are pasted, and the other commands need no option."""
    options = ["--store", place.format(tmp_path)] if place else []
    assert login(foxy, *options) == 0
    _, _, lines = capsys.readouterr().out.partition("\nIn Python:\n\n")
    names: dict[str, Any] = {}
    exec(lines, names)  # noqa: S102 - that is what they are for

    assert len(lines.splitlines()) == (4 if place.startswith("sql") else 3)
    with names["auth"] as auth:
        assert requests.get(auth.environment.api, auth=auth, timeout=30).ok
    for name in ("FOXY_API_CLIENT_ID", "FOXY_API_URL"):
        monkeypatch.delenv(name)
    assert main(["refresh", "--quiet"]) == 0
    assert main(["token"]) == 0


@pytest.mark.usefixtures("variables")
def test_encrypted_store(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """R28: With an encryption key in the environment the record is encrypted, and the lines of Python have the key."""
    from cryptography.fernet import Fernet

    monkeypatch.setenv("FOXY_AUTH_ENCRYPTION_KEY", Fernet.generate_key().decode())
    assert login(foxy) == 0
    _, _, lines = capsys.readouterr().out.partition("\nIn Python:\n\n")
    names: dict[str, Any] = {}
    exec(lines, names)  # noqa: S102 - that is what they are for

    assert names["auth"].get_token().store_id == "1"
    assert lines.startswith("import os\nfrom foxy_auth import FoxyAuth\n")


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize("typed", [False, True])
def test_profile(
    foxy: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, typed: bool
) -> None:
    """R23: The profile has the client secret only if it was typed, which the output says, and never shows it."""
    if typed:
        monkeypatch.delenv("FOXY_API_CLIENT_SECRET")
        monkeypatch.setattr("foxy_auth.cli.login.command._ask_for_secret", lambda: foxy.client_secret)
    assert login(foxy, "--profile", "shop") == 0
    printed = capsys.readouterr().out.replace("\n", " ")

    assert load_profile("shop") == Profile(
        client_id=foxy.client_id,
        client_secret=foxy.client_secret if typed else None,
        redirect_uri=foxy.redirect_uri,
        environment=foxy.url,
        store=str(Settings(profile="shop", client_id=foxy.client_id).place),
    )
    assert ("with the client secret." in printed, "without the client secret" in printed) == (typed, not typed)
    assert ("In Python, with FOXY_API_CLIENT_SECRET in the environment:" in printed) is typed
    assert foxy.client_secret not in printed
    if typed:  # the next login needs no options but the name
        assert main(["login", "--profile", "shop", "--replace"]) == 0


@pytest.mark.usefixtures("variables")
def test_profile_of_another_client(foxy: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """A profile of another client stays as it is without `--replace`; the token is kept nevertheless."""
    other = Profile(client_id="client_other", store="file:/other.json")
    save_profile("default", other)
    assert login(foxy) == 0
    assert load_profile("default") == other
    assert "The profile default stays as it was" in capsys.readouterr().out
    assert main(["token", "--quiet"]) == 0
    assert login(foxy, "--replace") == 0

    assert load_profile("default") != other


@pytest.mark.usefixtures("variables")
def test_json_keeps_nothing(foxy: Emulator, clean_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints the token instead of keeping it, and saves no profile."""
    assert login(foxy, "--json") == 0
    assert '"access_token": "' in capsys.readouterr().out
    assert list(clean_environment.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("redis://:pass@host/0#shop", 'RedisStore(redis.Redis.from_url("redis://:***@host/0"), "shop")'),
        ("keyring:foxy/shop", 'KeyringStore("foxy", "shop")'),
        ("file:~/t.json", 'FileStore("~/t.json")'),
    ],
)
def test_python(address: str, line: str) -> None:
    """R23: The lines of Python name the store, without its password."""
    assert StoreAddress.parse(address).python()[-1] == line


def test_python_runs(tmp_path: Path) -> None:
    """The expression makes a store in the same place."""
    address = StoreAddress("file", str(tmp_path / 'a "quoted" name.json'))
    *imports, expression = address.python()
    names: dict[str, Any] = {}
    exec("\n".join([*imports, f"store = {expression}"]), names)  # noqa: S102 - that is what they are for

    assert names["store"]._path == tmp_path / 'a "quoted" name.json'
