"""Standard streams that are full or closed, and folders that are not there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest

from foxy_auth.cli import main
from foxy_auth.cli.profiles import profiles_path

if TYPE_CHECKING:
    from foxy_auth.emulator import Emulator

Capture = pytest.CaptureFixture[str]
FULL = Path("/dev/full")
each_output = pytest.mark.parametrize("command", ["status", "token", "headers --json", "request /", "request / -i"])


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a disk that is always full")
@pytest.mark.usefixtures("store")
@each_output
def test_full_disk(command: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: what cannot be printed is one line on standard error, not a traceback."""
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        status = main(command.split())

    assert (status, capsys.readouterr().err) == (
        1,
        "Error: the output could not be written: No space left on\ndevice\n",
    )


@pytest.mark.usefixtures("store")
@each_output
def test_closed_output(command: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a standard output, the exit status tells."""
    monkeypatch.setattr(sys, "stdout", None)

    assert (main(command.split()), capsys.readouterr().err) == (0, "")


@pytest.mark.usefixtures("store")
def test_closed_input(foxy: Emulator, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: without a standard input nothing can be sent from there, nor asked."""
    monkeypatch.setattr(sys, "stdin", None)

    assert main(["request", "POST", "/", "--input", "-"]) == 2
    assert "there is no standard input" in " ".join(capsys.readouterr().err.split())
    assert (main(["logout"]), foxy.calls) == (2, [])


@pytest.mark.usefixtures("variables")
def test_no_home(foxy: Emulator, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """R24: a user of a container may have no home folder; then there are no profiles, and a store has to be chosen."""

    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError

    for name in ("user_config_path", "user_data_path"):
        monkeypatch.setattr(platformdirs, name, fail)
    monkeypatch.setenv("FOXY_API_REFRESH_TOKEN", foxy.variables()["FOXY_API_REFRESH_TOKEN"])
    statuses = [main(arguments.split()) for arguments in (f"token --store file:{tmp_path}/token.json", "status")]

    assert statuses == [0, 8]
    assert capsys.readouterr().err == "Error: there is no home folder to keep anything in; set HOME\n"

    monkeypatch.setattr(Path, "expanduser", fail)
    assert main(["status", "--store", "file:~/token.json"]) == 2
    assert "set HOME" in " ".join(capsys.readouterr().err.split())


def test_link(tmp_path: Path) -> None:
    """A file of profiles that is kept elsewhere, with a link to it, is used there."""
    profiles_path().parent.mkdir(parents=True, exist_ok=True)
    there = tmp_path / "dotfiles.toml"
    profiles_path().symlink_to(there)

    assert profiles_path() == there
