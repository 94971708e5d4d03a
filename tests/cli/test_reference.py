"""The help of every command, and what the manual says about it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli.reference import PAGE, all_commands, shown_options, updated

from foxy_auth.cli import main
from foxy_auth.cli.completion import SHELLS
from foxy_auth.cli.profiles import Profile, save_profile
from foxy_auth.cli.settings import PREFIXES

NAMES = ["foxy-auth", *(name for name, _ in all_commands())]


def test_reference() -> None:
    """The manual describes the commands as they are; `python tests/cli/reference.py` writes it anew."""
    page = PAGE.read_text(encoding="utf-8")

    assert updated(page) == page


def test_variables() -> None:
    """The manual names every environment variable of an option, and no other of ours."""
    options = [option for _, command in all_commands() for option in command.params]
    known = {variable for option in options for variable in [option.envvar] if isinstance(variable, str)}
    named = set(re.findall(r"`(FOXY_[A-Z_]+[A-Z])`", PAGE.read_text(encoding="utf-8")))

    assert named == known | {"FOXY_EMULATOR_TOKEN"}  # which the emulator prints
    assert all(variable.startswith(PREFIXES) for variable in known)


@pytest.mark.parametrize("name", NAMES)
def test_help(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """R23: every help has examples and exit statuses, fits 60 columns, and shows no option for a secret."""
    monkeypatch.setenv("COLUMNS", "60")
    assert main([*name.split()[1:], "--help"]) == 0
    text = capsys.readouterr().out

    assert [line for line in text.splitlines() if len(line) > 60] == []
    assert ("\x1b" in text, "Exit status:" in text) == (False, True)
    assert re.search("^  Examples:$", text, re.MULTILINE)
    assert not re.search("--[a-z-]*(secret|password|refresh-token|encryption-key)", text)


def test_shared_names() -> None:
    """`--json` and `--quiet` mean the same everywhere, and every option has a help."""
    for name, command in all_commands():
        for option in shown_options(command):
            assert option.help, (name, option.name)
            assert {"-q": "quiet", "--json": "as_json"}.get(option.opts[0], option.name) == option.name


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`completion` prints a script for each shell."""
    assert main(["completion", shell]) == 0
    assert "foxy-auth" in capsys.readouterr().out


# What a user types, and asks to complete.
ASKED = {
    "bash": 'COMP_WORDS=(foxy-auth {}); COMP_CWORD={}; _foxy_auth_completion foxy-auth; echo "${{COMPREPLY[@]}}"',
    "fish": 'complete -C "foxy-auth {}"',
}


@pytest.mark.parametrize("shell", [shell for shell in ASKED if shutil.which(shell)])
def test_completion(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real shell completes commands, profiles and environments."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    save_profile("my-shop", Profile(environment="sandbox"))
    main(["completion", shell])
    words = [("re", 1), ("status --profile my", 3), ("status --environment sand", 3)]
    script = tmp_path / "script"
    asked = "\n".join(ASKED[shell].format(*one) for one in words)
    script.write_text(f"{capsys.readouterr().out}\n{asked}\n")
    answer = subprocess.run([shell, str(script)], capture_output=True, text=True, timeout=60, check=True)

    for expected in ("refresh", "my-shop", "sandbox"):
        assert re.search(rf"\b{expected}\b", answer.stdout), answer
