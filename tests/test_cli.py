"""The command line: its commands, its exit statuses, and what it does when something is missing."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import entry_points, version
from itertools import takewhile
from typing import TYPE_CHECKING

import click
import pytest

from foxy_auth import FoxyAuthError, StoreError, TokenUnavailableError, errors
from foxy_auth.cli import main
from foxy_auth.cli.command_help import exit_status_rows
from foxy_auth.cli.commands import commands
from foxy_auth.cli.demo import scenes
from foxy_auth.cli.demo.scene import Check, Scene, Session
from foxy_auth.cli.exit_status import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUSES = {
    "OK": 0,
    "FAILED": 1,
    "USAGE": 2,
    "LOGIN_REQUIRED": 3,
    "REFUSED": 4,
    "UNAVAILABLE": 5,
    "UNAUTHORIZED": 6,
    "NOT_CREATED": 7,
    "NOT_SAVED": 8,
    "TIMED_OUT": 9,
    "PORT_UNAVAILABLE": 10,
    "API_ERROR": 11,
    "INTERRUPTED": 130,
}


def foxy_auth(*arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run `foxy-auth`, as if the module *without* were not installed."""
    program = f"import sys; sys.modules[{without!r}] = None; from foxy_auth.cli import main; sys.exit(main())"
    start = ["-c", program] if without else ["-m", "foxy_auth"]
    return subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True, timeout=60, check=False)


# --- commands --------------------------------------------------------------------------------------------------------


def test_version() -> None:
    """`--version` prints the installed version."""
    ended = foxy_auth("--version")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"foxy-auth {version('foxy_auth')}\n", "")


def test_script() -> None:
    """The installed script `foxy-auth` and `python -m foxy_auth` are the same program."""
    (script,) = entry_points(group="console_scripts", name="foxy-auth")

    assert script.load() is main


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` lists the commands and what they do."""
    assert main(["--help"]) == 0

    text = capsys.readouterr().out
    for command, purpose in (
        ("demo", "Watch FoxyAuth handle tokens"),
        ("status", "Show whose token is kept, and until when"),
    ):
        assert re.search(f"^  {command} +{purpose}", text, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["dmeo"], ["demo", "--loud"], ["--loud"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """R24: an unknown command or option ends with status 2 and a line that names it."""
    assert main(arguments) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("Error: No such ")


@pytest.mark.parametrize(
    ("module", "extras"), [("click", "cli,requests"), ("flask", "cli,emulator,requests"), ("rich", "cli,requests")]
)
def test_missing_package(module: str, extras: str) -> None:
    """R24: if a package is not installed, one line says what to install."""
    ended = foxy_auth("demo", without=module)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"foxy-auth needs {module}, which is not installed: pip install 'foxy_auth[{extras}]'\n"


def test_help_needs_only_click() -> None:
    """A command imports only what it uses."""
    assert foxy_auth("--help", without="rich").returncode == 0


def test_own_module_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing module of this package is a bug, and raises."""
    monkeypatch.setitem(sys.modules, "foxy_auth.cli.demo.run", None)

    with pytest.raises(ModuleNotFoundError, match=r"foxy_auth\.cli\.demo\.run"):
        main(["demo"])


# --- exit statuses ---------------------------------------------------------------------------------------------------


def test_numbers() -> None:
    """The exit statuses are promises."""
    assert {status.name: status.value for status in ExitStatus} == STATUSES
    assert click.UsageError.exit_code == ExitStatus.USAGE


def test_one_status_per_error() -> None:
    """Each public error has an exit status of its own."""
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FoxyAuthError)}
    known = [status.error for status in ExitStatus if status.error]

    assert kinds - {FoxyAuthError} <= set(known)
    assert len(set(known)) == len(known)


def test_errors_of_client_libraries() -> None:
    """R22: an error that is also a client library's has the status of ours; an unknown one is a failure."""

    class BothError(TokenUnavailableError, ConnectionError):
        pass

    assert ExitStatus.of(BothError("x")) is ExitStatus.UNAVAILABLE
    assert ExitStatus.of(FoxyAuthError("x")) is ExitStatus.FAILED


@pytest.mark.parametrize(("command", "omitted"), [("", 0), ("login", 3), ("completion", 10)])
def test_statuses_in_the_help(command: str, omitted: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists the exit statuses, a line each, and fits 60 columns."""
    assert main([*command.split(), "--help"]) == 0

    lines = capsys.readouterr().out.splitlines()
    listed = [line.strip() for line in lines[lines.index("  Exit status:") + 1 :]]
    assert len(listed) == len(ExitStatus) - omitted
    assert set(listed) <= {f"{status.value}  {status.meaning}" for status in ExitStatus}
    assert max(map(len, exit_status_rows(ExitStatus))) <= 58


def test_error_of_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error is printed without a traceback, wrapped at the terminal's width, and sets the exit status."""

    @click.command()
    def failing() -> None:
        raise StoreError("the disk is full; make room and try again")

    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setitem(commands.commands, "failing", failing)

    assert main(["failing"]) == 8
    assert capsys.readouterr().err == "Error: the disk is full; make\nroom and try again\n"


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows sends interrupts to whole consoles only")
def test_interrupt() -> None:
    """Ctrl-C ends the demo at once, without a traceback."""
    command = [sys.executable, "-m", "foxy_auth", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        seen = list(takewhile(lambda line: not line.startswith("3 "), running.stdout))
        running.send_signal(signal.SIGINT)
        rest, printed = running.communicate(timeout=60)

    assert seen
    assert "as expected" not in rest
    assert (running.returncode, printed.strip()) == (130, "Interrupted.")


def test_interrupt_within_a_scene(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupt within a scene ends the command, not only the scene."""

    def interrupt(session: Session) -> Iterator[Check]:
        raise KeyboardInterrupt
        yield Check.equal("never", session, session)

    monkeypatch.setattr(scenes, "SCENES", [Scene("A title", "A text.", interrupt)])

    assert main(["demo"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."
