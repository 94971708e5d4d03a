"""The commands for the token that is kept: `status`, `token`, `headers`, `refresh`, `logout`."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import pytest

from foxy_auth import Token
from foxy_auth.cli import main
from foxy_auth.cli.profiles import Profile, profile_names, save_profile, token_path
from foxy_auth.cli.times import duration, expiry

if TYPE_CHECKING:
    from foxy_auth.emulator import Emulator
    from foxy_auth.stores import FileStore

Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    """Run a command; return the exit status and what it printed."""
    status = main(arguments)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def saved(store: FileStore) -> Token:
    """Return the token in *store*."""
    token = store.load()
    assert token
    return token


def expire(store: FileStore, **changes: Any) -> None:
    """Let the stored token have expired three days ago."""
    store.save(replace(saved(store), expires_at=time.time() - 3 * 86400, **changes))


# --- status ----------------------------------------------------------------------------------------------------------


def test_status(foxy: Emulator, store: FileStore, capsys: Capture) -> None:
    """R23: `status` tells account, scopes, expiry, place and client in 60 columns, asks nobody and shows no secret."""
    status, out, err = run(capsys, "status")
    token = saved(store)

    assert (status, err, foxy.calls) == (0, "", [])
    assert out.startswith(
        "Logged in to store 1.\n  Scopes       store_full_access store_id_1\n  Expires      in 2 hours ("
    )
    assert f"\n  Kept in      file:{token_path('default', foxy.client_id)}\n  Profile      none\n" in out
    assert f"\n  Environment  {foxy.url}\n  Client id    {foxy.client_id}\n" in out
    assert [line for line in out.splitlines() if len(line) > 60 and "/" not in line] == []
    assert not {token.access_token, token.refresh_token, foxy.client_secret} & set(out.split())


@pytest.mark.usefixtures("variables")
def test_no_token(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token each command ends with status 3 and names the login, unless a refresh token is at hand."""
    for command in (["status"], ["status", "--check"], ["status", "--quiet"], ["token"], ["headers"], ["refresh"]):
        status, out, err = run(capsys, *command)
        assert (status, "foxy-auth login" in out + err) == (3, "--quiet" not in command), command
    monkeypatch.setenv("FOXY_API_REFRESH_TOKEN", "made-up-refresh")

    assert run(capsys, "status")[:1] == (0,)


def test_expired(store: FileStore, capsys: Capture) -> None:
    """A token that has expired is fine if it can be refreshed."""
    expire(store)
    assert run(capsys, "status")[0] == 0
    expire(store, refresh_token=None)
    status, out, _ = run(capsys, "status")

    assert status == 3
    assert out.startswith("The token of store 1 has expired: run foxy-auth login.\n")
    assert "\n  Expired      3 days ago (" in out


def test_check(foxy: Emulator, store: FileStore, capsys: Capture) -> None:
    """`--check` asks the API home once, with a token that is refreshed if necessary."""
    assert "\n  Foxy         accepts the token\n" in run(capsys, "status", "--check")[1]
    assert [call.path for call in foxy.calls] == ["/"]
    foxy.revoke_access_tokens()
    former = saved(store)
    status, out, _ = run(capsys, "status", "--check", "--json")

    assert (status, json.loads(out)["accepted"]) == (0, True)
    assert saved(store) != former


@pytest.mark.parametrize(
    ("fault", "status", "accepted", "words"),
    [
        ({"status": 400, "body": {"error": "invalid_grant"}}, 3, False, "refuses the grant"),
        ({"status": 401, "body": {"error": "invalid_client"}}, 4, False, "refuses the grant"),
        ({"status": 504, "times": 9}, 5, None, "not asked"),
    ],
)
def test_check_fails(  # noqa: PLR0917 - what pytest passes
    foxy: Emulator, store: FileStore, capsys: Capture, fault: dict[str, Any], status: int, accepted: object, words: str
) -> None:
    """A grant that Foxy refuses, and a Foxy that cannot be asked, are told apart, by exit status and in JSON."""
    expire(store)
    foxy.fail(**fault)
    ended, out, _ = run(capsys, "status", "--check")
    assert (ended, f"  Foxy         {words}" in out) == (status, True)
    foxy.clear_faults()
    foxy.fail(**fault)

    assert json.loads(run(capsys, "status", "--check", "--json")[1])["accepted"] is accepted


# --- token, headers, refresh -----------------------------------------------------------------------------------------


def test_token(foxy: Emulator, store: FileStore, capsys: Capture) -> None:
    """`token` prints the token alone, refreshed if it has expired; `headers` prints the headers of a request."""
    expire(store)
    status, out, err = run(capsys, "token")
    token = saved(store)

    assert (status, out, err) == (0, f"{token.access_token}\n", "")
    assert foxy.is_live(token.access_token)
    expected = f"Authorization: Bearer {token.access_token}\nFOXY-API-VERSION: 1\n"
    assert run(capsys, "headers") == (0, expected, "")
    assert len(foxy.token_calls) == 1


@pytest.mark.usefixtures("store")
def test_headers_for_curl(foxy: Emulator, capsys: Capture) -> None:
    """What `headers` prints is what `curl -H @-` reads."""
    headers = run(capsys, "headers")[1]
    command = ["curl", "--silent", "--noproxy", "*", "-H", "@-", foxy.store_url]
    answer = subprocess.run(command, input=headers, capture_output=True, text=True, timeout=60, check=True)

    assert json.loads(answer.stdout)["_links"]["self"]["href"] == foxy.store_url


def test_refresh(foxy: Emulator, store: FileStore, capsys: Capture) -> None:
    """`refresh` gets another token although the present one is fresh, and says until when it is valid."""
    former = saved(store)
    status, out, _ = run(capsys, "refresh")

    assert (status, len(foxy.token_calls)) == (0, 1)
    assert out.startswith("There is a new access token; it expires in 2 hours (")
    assert saved(store).access_token != former.access_token
    assert run(capsys, "refresh", "--quiet") == (0, "", "")


@pytest.mark.usefixtures("store")
def test_json(capsys: Capture) -> None:
    """The keys of each command's JSON are promises, and secrets are there only where one was asked for."""
    grant = {"logged_in", "account", "store_id", "scopes", "expires_at", "expires_in", "refreshable"}
    settings = {"kept_in", "profile", "environment", "api", "client_id"}
    promised = {
        "status": grant | settings,
        "refresh": grant | settings,
        "token": {"access_token", "expires_at", "token_type"},
        "headers": {"Authorization", "FOXY-API-VERSION"},
        "logout --yes": {"removed", "forgotten"} | settings,
    }

    for command, keys in promised.items():
        assert json.loads(run(capsys, *command.split(), "--json")[1]).keys() == keys


# --- logout ----------------------------------------------------------------------------------------------------------


def test_logout(foxy: Emulator, store: FileStore, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """R29: `logout` asks, removes the token and, with `--forget`, the profile, and says that copies stay good."""
    save_profile("default", Profile(environment=foxy.url))
    status, _, err = run(capsys, "logout")
    assert (status, "give --yes" in err, saved(store).store_id) == (2, True, "1")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: False)
    assert run(capsys, "logout") == (1, "", "Nothing was removed.\n")
    monkeypatch.setattr(click, "confirm", lambda *_, **__: True)
    status, out, _ = run(capsys, "logout")

    assert (status, store.load(), profile_names()) == (0, None, ["default"])
    assert out.startswith("Removed the token of store 1 from\nfile:")
    assert "A copy of this one expires in 2 hours (" in out.replace("\n", " ")
    assert "the integration is deleted" in out
    assert run(capsys, "logout", "--forget", "--json")[1].count("true") == 1
    assert profile_names() == []


def test_logout_of_a_damaged_record(store: FileStore, capsys: Capture) -> None:
    """A record that cannot be read can be removed."""
    path = token_path("default", saved(store).scope)  # in the same folder
    (path,) = path.parent.glob("*.json")
    path.write_text("{")

    assert run(capsys, "status")[0] == 8
    assert run(capsys, "logout", "--yes", "--quiet") == (0, "", "")
    assert run(capsys, "status")[0] == 3


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (59, "1 minute"),
        (4320, "1 hour 12 minutes"),
        (7199.6, "2 hours"),
        (86400 + 120, "1 day"),
        (3 * 86400 + 7200, "3 days 2 hours"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    """A duration is told in its two largest units."""
    assert duration(seconds) == words


def test_expiry() -> None:
    """An expiry is told by its distance and its local time, with the date if that is another day's."""
    noon = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, 0))
    zone = time.strftime("%Z", time.localtime(noon))

    assert expiry(Token("x", expires_at=noon + 8700), now=noon) == f"expires in 2 hours 25 minutes (14:25 {zone})"
    assert expiry(Token("x", expires_at=noon - 259200), now=noon) == f"expired 3 days ago (27 Nov 2026, 12:00 {zone})"
    assert expiry(Token("x"), now=noon) == "expires at an unknown time"
