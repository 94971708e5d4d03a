"""The settings of the command line: option, environment variable, profile, default, in this order."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from foxy_auth import FOXY_IO, PRODUCTION, SANDBOX, StoreError
from foxy_auth.cli.login.afterwards import tell_python
from foxy_auth.cli.profiles import Profile, load_profile, profile_names, profiles_path, remove_profile, save_profile
from foxy_auth.cli.settings import Settings, with_settings
from foxy_auth.cli.store_address import StoreAddress

SHOP = Profile(client_id="client_shop", client_secret="made-up-secret", environment="sandbox", store="file:/shop.json")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


def settings(*arguments: str, **variables: str) -> Settings:
    """Return what a command gets."""
    seen: list[Settings] = []

    @click.command()
    @with_settings
    def command(found: Settings) -> None:
        seen.append(found)

    CliRunner().invoke(command, arguments, env=variables, catch_exceptions=False, standalone_mode=False)
    return seen[0]


def test_order() -> None:
    """An option counts before an environment variable, that before the profile, and that before the default."""
    save_profile("default", SHOP)

    assert settings().store == StoreAddress("file", "/shop.json")
    assert settings(FOXY_AUTH_STORE="keyring:foxy/shop").store == StoreAddress("keyring", "foxy", "shop")
    assert settings("--store=file:/b", FOXY_AUTH_STORE="keyring:foxy/shop").store == StoreAddress("file", "/b")
    assert (settings().environment, settings("--profile=none").environment) == (SANDBOX, PRODUCTION)
    assert settings("--profile=none", FOXY_API_URL="https://api.foxy.io").environment == FOXY_IO


def test_another_client() -> None:
    """Nothing of a profile is used for another client, whose token must not be mixed with that profile's."""
    save_profile("default", SHOP)
    found = settings(FOXY_API_CLIENT_ID="client_other")

    assert (found.is_profile_used, found.client_secret, found.store, found.environment) == (
        False,
        None,
        None,
        PRODUCTION,
    )
    assert found.place != settings().place
    with pytest.raises(click.UsageError, match="another client"):
        settings("--profile=default", FOXY_API_CLIENT_ID="client_other")


def test_another_environment() -> None:
    """R1: the profile's credentials are not sent to another environment."""
    save_profile("default", SHOP)

    with pytest.raises(click.UsageError, match="sandbox"):
        settings(FOXY_API_URL="https://api.foxycart.com")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("file:/a/b.json", StoreAddress("file", "/a/b.json")),
        ("keyring:my/service/me", StoreAddress("keyring", "my/service", "me")),
        ("redis://user:pass@host:6379/0#shop", StoreAddress("redis", "redis://user:pass@host:6379/0", "shop")),
        ("rediss://host", StoreAddress("redis", "rediss://host", "foxy")),
        ("sql:sqlite:///foxy.db#shop", StoreAddress("sql", f"sqlite:///{Path('foxy.db').absolute()}", "shop")),
        ("sql:sqlite:////foxy.db?x=1", StoreAddress("sql", "sqlite:////foxy.db?x=1", "foxy")),
        ("sql:sqlite:///:memory:", StoreAddress("sql", "sqlite:///:memory:", "foxy")),
        ("sql:postgresql://u:p@host/db", StoreAddress("sql", "postgresql://u:p@host/db", "foxy")),
        ("redis://host?ssl_password=pass&x=1", StoreAddress("redis", "redis://host?ssl_password=pass&x=1", "foxy")),
    ],
)
def test_addresses(text: str, address: StoreAddress) -> None:
    """R23: an address is read as it is written, and shown without its password."""
    assert StoreAddress.parse(text) == address
    assert StoreAddress.parse(address.text) == address
    shown = f"{address}{address!r}{address.python()}"
    assert [part for part in ("pass@", "p@", "=pass", "user:pass") if part in shown] == []


def test_password_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    """R23: the lines of Python show no password, and what stands in its place is told."""
    tell_python(Settings(store=StoreAddress.parse("redis://robin:made-up-pass@host")))
    printed = capsys.readouterr().out

    assert "made-up" not in printed
    assert printed.endswith("\n*** stands for the password.\n")


def test_wrong_url() -> None:
    """R23: a password that makes a URL unreadable is not in the error."""
    address = StoreAddress.parse("sql:postgresql://u:p@x:made-up-pass@host/db")

    with pytest.raises(ValueError, match="a SQL store is sql:URL#KEY") as caught:
        address.open()
    assert "made-up" not in str(caught.value)


@pytest.mark.parametrize("text", ["token.json", "", "file:", "keyring:foxy", "mysql://x", "https://example.com"])
def test_no_addresses(text: str) -> None:
    """R24: what is no address is refused, and the error shows what addresses look like."""
    with pytest.raises(ValueError, match="keyring:SERVICE/USER"):
        StoreAddress.parse(text)


def test_profiles_are_private() -> None:
    """R27: only its owner can read the file of the profiles, and comments and other profiles survive a change."""
    path = save_profile("shop", SHOP)
    path.write_text(f"# mine\n{path.read_text()}")
    save_profile("other", Profile(client_id="client_other"))
    remove_profile("none")

    assert path == profiles_path()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert path.read_text().startswith("# mine\n")
    assert (profile_names(), load_profile("shop")) == (["other", "shop"], SHOP)
    assert "made-up-secret" not in repr(load_profile("shop"))


@pytest.mark.parametrize(
    "text", ["nonsense", "[default]\nclient_id = 7\n", '[default]\nclient = "x"\n', "default = 1\n", "\xff"]
)
def test_damaged_profiles(text: str) -> None:
    """R24: a file that cannot be read is named and never written over."""
    path = save_profile("default", SHOP)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match="profiles"):
        settings()

    assert path.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize(("field", "value"), [("environment", "test"), ("store", "token.json")])
def test_wrong_values(field: str, value: str) -> None:
    """R24: what a profile has wrong is told as the profile's."""
    save_profile("default", Profile(client_id="x", **{field: value}))

    with pytest.raises(click.UsageError, match=f"the {field} of the profile in .*{profiles_path().name}: "):
        settings()


def test_writers_at_once() -> None:
    """Profiles that are saved at the same time are all there afterwards, and a new one replaces none."""
    names = [f"shop{number}" for number in range(12)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(save_profile, names, [SHOP] * len(names)))

    assert profile_names() == sorted(names)
    with pytest.raises(StoreError, match="not replaced"):
        save_profile("shop1", Profile(), is_new=True)
    assert load_profile("shop1") == SHOP


def test_no_client() -> None:
    """R24: without a client, the error says how to get one."""
    found: Any = settings()

    with pytest.raises(click.UsageError, match="foxy-auth login"):
        found.open_store()
    with pytest.raises(click.UsageError, match="FOXY_API_CLIENT_ID and FOXY_API_CLIENT_SECRET"):
        found.auth()


@pytest.mark.parametrize(
    ("address", "library"), [("keyring:a/b", "keyring"), ("redis://host", "redis"), ("sql:sqlite://", "sqlalchemy")]
)
def test_missing_extra(address: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: A store whose library is not installed names the extra that brings it."""
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(click.UsageError, match=rf"pip install 'foxy_auth\[{library}\]'"):
        Settings(store=StoreAddress.parse(address)).open_store()
