"""`foxy-auth register` and `foxy-auth create`: what is issued is kept before anything else."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from foxy_auth.cli import main
from foxy_auth.cli.issued import ENDING
from foxy_auth.cli.profiles import Profile, load_profile, profiles_path, save_profile
from foxy_auth.cli.store_address import StoreAddress
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from foxy_auth.emulator import Emulator

Capture = pytest.CaptureFixture[str]
NEW = "register --profile acme --redirect-uri http://127.0.0.1:8910/cb"
CLIENT = (
    f"{NEW} --project-name Sync --company-name Acme "
    "--contact-name Robin --contact-email robin@acme.example --contact-phone 1"
)
USER = "create user --profile acme --save-as robin --first-name R --last-name R --email r@acme.example"
STORE = (
    "create store --profile robin --save-as shop --store-name Tea --store-domain tea --store-url https://tea.example "
    "--store-email tea@tea.example --postal-code 55401 --region MN --country US"
)


@pytest.fixture(autouse=True)
def _environment(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOXY_API_URL", foxy.url)
    monkeypatch.setenv("COLUMNS", "60")


def run(capsys: Capture, arguments: str) -> tuple[int, str, str]:
    """Run a command; return the exit status and what it printed."""
    status = main(arguments.split())
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def while_held(foxy: Emulator, path: str, action: Callable[[], object]) -> Thread:
    """Do *action* while the next request to *path* is held back."""
    latch = foxy.hold(path)

    def act() -> None:
        with latch:
            latch.wait_for()
            action()

    thread = Thread(target=act)
    thread.start()
    return thread


def rescued(err: str) -> dict[str, Any]:
    """Return what is in the file that the message names, which nobody else can read."""
    path = Path(next(word for word in err.replace(",", " ").split() if word.endswith(".json")))
    assert path.stat().st_mode & 0o777 == 0o600
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_whole_chain(foxy: Emulator, capsys: Capture) -> None:
    """R27: client, user and store come one after the other, each kept as a profile that only its owner can read."""
    printed = [run(capsys, arguments) for arguments in (CLIENT, USER, STORE)]
    shop = run(capsys, "request --profile shop fx:store")
    profiles = [load_profile(name) for name in ("acme", "robin", "shop")]

    assert [(status, err) for status, _, err in printed] == [(0, "")] * 3
    assert json.loads(shop[1])["store_name"] == "Tea"
    assert profiles_path().stat().st_mode & 0o777 == 0o600
    assert len({profile.store for profile in profiles if profile}) == 3
    assert len({profile.client_secret for profile in profiles if profile}) == 1
    assert profiles[0]
    assert profiles[0].client_secret
    assert profiles[0].client_secret not in "".join(out for _, out, _ in printed)
    assert "Next: foxy-auth create store --profile robin\n" in printed[1][1]
    assert not list(Path(StoreAddress.parse(str(profiles[0].store)).location).parent.glob("issued.*"))


def test_json(capsys: Capture, tmp_path: Path) -> None:
    """With --json all that was issued is printed, under stable keys."""
    client = json.loads(run(capsys, f"{CLIENT} --json --client-id-prefix acme")[1])
    user = json.loads(run(capsys, f"{USER} --json --is-merchant --save-store file:{tmp_path}/user.json")[1])

    assert client.keys() >= {"client_id", "client_secret", "token", "url", "profile", "kept_in"}
    assert client["client_id"].startswith("acme")
    assert user.keys() == {"token", "url", "profile", "kept_in"}
    assert (user["profile"], user["token"]["scope"]) == ("robin", "user_full_access")
    assert user["kept_in"] == f"file:{tmp_path / 'user.json'}"


def test_asking(foxy: Emulator, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal what is missing is asked for; elsewhere the error names it, and nothing is sent."""
    unattended = run(capsys, NEW)
    nothing = list(foxy.calls)
    ours, programs = pty.openpty()
    with os.fdopen(programs) as terminal, os.fdopen(ours, "wb", buffering=0) as keyboard:
        keyboard.write(b"Sync\nAcme\nRobin\nr@acme.example\n1\n")
        monkeypatch.setattr(sys, "stdin", terminal)
        attended = run(capsys, f"{NEW} --quiet")

    assert (unattended[0], nothing) == (2, [])
    assert "Missing --project-name, --company-name" in unattended[2].replace("\n", " ")
    assert (attended[0], attended[1]) == (0, "")
    assert "Contact email: " in attended[2]
    assert load_profile("acme")


@pytest.mark.parametrize("arguments", [CLIENT, USER, STORE])
def test_nothing_is_replaced(foxy: Emulator, capsys: Capture, arguments: str) -> None:
    """R30: a profile that exists, and a store that holds a token, stay as they are, and nothing is sent."""
    for name in ("acme", "robin", "shop"):
        save_profile(name, Profile(client_id="client_other", client_secret="made-up", environment=foxy.url))
    before = profiles_path().read_text()
    status, out, err = run(capsys, arguments)

    assert (status, out, foxy.calls) == (2, "", [])
    assert "already, which is not replaced" in err.replace("\n", " ")
    assert profiles_path().read_text() == before


def test_full_store(foxy: Emulator, capsys: Capture, tmp_path: Path) -> None:
    """R30: a store that holds a token stays as it is."""
    place = f"file:{tmp_path / 'token.json'}"
    run(capsys, f"{CLIENT} --store {place}")
    status, _, err = run(capsys, f"{CLIENT} --profile second --store {place}")

    assert status == 2
    assert "holds a token already" in err.replace("\n", " ")
    assert load_profile("second") is None


def test_unwritable_profile(foxy: Emulator, capsys: Capture) -> None:
    """R30: what cannot be kept where it should be stays in a private file, and the error says where."""

    def damage() -> None:
        profiles_path().parent.mkdir(parents=True, exist_ok=True)
        profiles_path().write_text("no TOML")

    thread = while_held(foxy, "/clients", damage)
    status, out, err = run(capsys, CLIENT)
    thread.join()
    found = rescued(err)

    assert (status, out) == (8, "")
    assert found["client_secret"]
    assert found["token"]["access_token"] in foxy.live_access_tokens
    assert found["client_secret"] not in err


def test_race(foxy: Emulator, capsys: Capture) -> None:
    """R30: of two registrations under one name, neither replaces the other's secret."""
    thread = while_held(foxy, "/clients", lambda: save_profile("acme", Profile(client_secret="made-up")))
    status, _, err = run(capsys, CLIENT)
    thread.join()

    assert status == 8
    assert "has a profile acme by now" in " ".join(err.split())
    assert rescued(err)["client_secret"]
    assert load_profile("acme") == Profile(client_secret="made-up")


def test_store_that_fails(foxy: Emulator, capsys: Capture, tmp_path: Path) -> None:
    """R30: a token that its store does not take stays in a file that `--store` reads."""
    run(capsys, CLIENT)
    other = FileStore(tmp_path / "user.json")
    thread = while_held(foxy, "/users", lambda: other.save(foxy.grant()))
    status, _, err = run(capsys, f"{USER} --save-store file:{tmp_path}/user.json")
    thread.join()
    path = next(word for word in err.replace(",", " ").split() if word.endswith(".json"))

    assert status == 8
    assert run(capsys, f"request fx:user --profile robin --store file:{path}")[0] == 0
    assert rescued(err)["url"]
    kept = other.load()
    assert kept
    assert kept.store_id == "1"


def test_lost_credentials(foxy: Emulator, capsys: Capture) -> None:
    """R30: if the client's id and secret cannot be read, at least its token is kept."""
    foxy.hide_new_client = True
    thread = while_held(foxy, "/clients", lambda: foxy.fail(500, path="/"))
    status, out, err = run(capsys, CLIENT)
    thread.join()

    assert (status, out) == (7, "")
    assert rescued(err)["access_token"] in foxy.live_access_tokens


@pytest.mark.parametrize("number", ENDING)
def test_interrupt(foxy: Emulator, capsys: Capture, number: int) -> None:
    """R30: Ctrl-C, or a terminal that closes, while a client is registered waits until what was issued is kept."""
    former = signal.getsignal(number)
    thread = while_held(foxy, "/clients", lambda: os.kill(os.getpid(), number))
    status, _, err = run(capsys, CLIENT)
    thread.join()

    assert (status, err) == (0, "One moment: what Foxy issues is being kept.\n")
    assert load_profile("acme")
    assert signal.getsignal(number) is former


def test_refusal(capsys: Capture, foxy: Emulator) -> None:
    """What Foxy refuses to create has a status of its own, and leaves nothing behind."""
    run(capsys, CLIENT)
    status, out, err = run(capsys, f"{USER} --email nowhere")

    assert (status, out) == (7, "")
    assert "email" in err
    assert load_profile("robin") is None
    assert "What Foxy has issued" not in err
