"""What stands below the options in a command's help."""

from __future__ import annotations

from collections.abc import Iterable

from foxy_auth.cli.exit_status import ExitStatus

# Every command may end with these, be it that its output cannot be written.
ALWAYS = (ExitStatus.OK, ExitStatus.FAILED, ExitStatus.USAGE)
# What else a command that uses the token may end with.
OF_TOKENS = (
    ExitStatus.LOGIN_REQUIRED,
    ExitStatus.REFUSED,
    ExitStatus.UNAVAILABLE,
    ExitStatus.NOT_SAVED,
    ExitStatus.INTERRUPTED,
)


def epilog(*examples: str, also: Iterable[ExitStatus] = OF_TOKENS) -> str:
    """Return *examples* and the exit statuses: those of every command, and *also* these."""
    lines = [f"  {line}" for example in examples for line in example.splitlines()]
    # \b tells click to keep the lines as they are.
    return "\n".join(["\b", "Examples:", *lines, "", "\b", "Exit status:", *exit_status_rows(also)])


def exit_status_rows(also: Iterable[ExitStatus]) -> list[str]:
    """Return the table of the exit statuses that every command may end with, and *also* these."""
    return [f"{status:>5}  {status.meaning}" for status in ExitStatus if status in {*ALWAYS, *also}]
