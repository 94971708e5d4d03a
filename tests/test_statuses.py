"""The exit statuses: one table, whole and told."""

from __future__ import annotations

import inspect

import click
import pytest

from foxy_auth import FoxyAuthError, StoreError, TokenUnavailableError, errors
from foxy_auth.cli import main
from foxy_auth.cli._commands import commands
from foxy_auth.cli._statuses import OF_ERRORS, Status, status_of, table

LEAVES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, FoxyAuthError) and kind is not FoxyAuthError
]


def test_each_error_has_its_own() -> None:
    """Each error of the package ends a command with a status that no other error has."""
    assert set(OF_ERRORS) == set(LEAVES)
    assert len(set(OF_ERRORS.values())) == len(LEAVES)


def test_errors_of_libraries() -> None:
    """An error that is a library's as well ends a command like its own kind; what is unknown is a failure."""

    class BothError(TokenUnavailableError, ConnectionError):
        pass

    assert status_of(BothError("x")) is Status.UNAVAILABLE
    assert status_of(FoxyAuthError("x")) is Status.FAILED


def test_numbers() -> None:
    """The numbers are promises."""
    assert {status.name: status.value for status in Status} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "LOGIN_REQUIRED": 3,
        "REFUSED": 4,
        "UNAVAILABLE": 5,
        "UNAUTHORIZED": 6,
        "UNREGISTERED": 7,
        "UNSAVED": 8,
        "UNANSWERED": 9,
        "UNHEARD": 10,
        "INTERRUPTED": 130,
    }
    assert click.UsageError.exit_code == Status.USAGE


@pytest.mark.parametrize(("command", "without"), [("", 0), ("login", 3)])
def test_help(command: str, without: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The help tells each status and what it means, on a line of its own."""
    assert main([*command.split(), "--help"]) == 0

    lines = capsys.readouterr().out.splitlines()
    told = [line.strip() for line in lines[lines.index("  Exit status:") + 1 :]]
    assert len(told) == len(Status) - without
    assert set(told) <= {f"{status.value}  {status.meaning}" for status in Status}


def test_table_fits() -> None:
    """The table fits a terminal of 80 columns."""
    assert max(map(len, table().splitlines())) <= 78


def test_error_of_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that ends a command is one line and its status, whatever the command."""

    @click.command()
    def failing() -> None:
        raise StoreError("the disk is full; make room")

    monkeypatch.setitem(commands.commands, "failing", failing)

    assert main(["failing"]) == 8
    assert capsys.readouterr().err == "Error: the disk is full; make room\n"
