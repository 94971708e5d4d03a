"""The command line as its users meet it: in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from itertools import takewhile
from typing import TYPE_CHECKING

import pytest

from foxy_auth.cli import demo, main
from foxy_auth.cli.demo import Finding, Scene, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALL = "pip install 'foxy_auth[all]'"


def foxy_auth(*arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """Run `foxy-auth`, as if the module *without* were not installed."""
    program = f"import sys; sys.modules[{without!r}] = None; from foxy_auth.cli import main; sys.exit(main())"
    start = ["-c", program] if without else ["-m", "foxy_auth"]
    return subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_version() -> None:
    """`--version` tells the version that is installed."""
    ended = foxy_auth("--version")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"foxy-auth {version('foxy_auth')}\n", "")


def test_script() -> None:
    """The installed script `foxy-auth` and `python -m foxy_auth` are the same program."""
    (script,) = entry_points(group="console_scripts", name="foxy-auth")

    assert script.load() is main


def test_help() -> None:
    """`--help` names the commands and what they do."""
    ended = foxy_auth("--help")

    assert ended.returncode == 0
    assert "Usage: foxy-auth " in ended.stdout
    for command, purpose in (("demo", "Watch the life of a grant"), ("login", "Get a token")):
        assert re.search(f"^  {command} +{purpose}", ended.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["dmeo"], ["demo", "--loud"], ["--loud"]])
def test_wrong_use(arguments: list[str]) -> None:
    """What it does not know is exit status 2 and a line that says so, without a traceback."""
    ended = foxy_auth(*arguments)

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith("Error: No such ")


@pytest.mark.parametrize("module", ["click", "flask", "httpx", "httpx2", "requests", "rich"])
def test_missing_extra(module: str) -> None:
    """What is not installed is exit status 2 and one line that says what to install."""
    ended = foxy_auth("demo", without=module)

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == f"foxy-auth needs {module}, which is not installed: {INSTALL}\n"


@pytest.mark.parametrize("module", ["flask", "requests", "rich"])
def test_version_needs_little(module: str) -> None:
    """A command needs only what it uses."""
    assert foxy_auth("--version", without=module).returncode == 0


def test_own_module_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the package that cannot be found is a defect, and no reason to install anything."""
    monkeypatch.setitem(sys.modules, "foxy_auth.cli.demo", None)

    with pytest.raises(ModuleNotFoundError, match=r"foxy_auth\.cli\.demo"):
        main(["demo"])


@pytest.mark.skipif(os.name == "nt", reason="Windows sends interrupts to whole consoles only")
def test_interrupt() -> None:
    """Ctrl-C ends the demo at once with exit status 130, a word, and no traceback."""
    command = [sys.executable, "-m", "foxy_auth", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        seen = list(takewhile(lambda line: not line.startswith("3 "), running.stdout))
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=60)

    assert seen
    assert "went" not in rest
    assert (running.returncode, errors.strip()) == (130, "Interrupted.")


def test_interrupted_scene(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupt in mid-scene is no finding: it ends the command."""

    def interrupt(stage: Stage) -> Iterator[Finding]:
        raise KeyboardInterrupt
        yield Finding.same("never", expected=stage, seen=stage)

    monkeypatch.setattr(demo, "SCENES", [Scene("A title", "A story.", interrupt)])

    assert main(["demo"]) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_version_of_a_folder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the package lies in a folder and is not installed, it has no version, and says so."""

    def fail(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("foxy_auth.cli._commands.version", fail)

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "foxy-auth, from a folder where it is not installed\n"
