"""
Write what the manual says about each command from the commands themselves.

    python tests/cli/reference.py

replaces what stands between the marks of `.github/manual/reference/command-line.md`.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foxy_auth.cli.commands import commands
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.settings import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / ".github" / "manual" / "reference" / "command-line.md"
BEGIN, END = "<!-- {} -->\n", "<!-- end of {} -->\n"


def parts() -> dict[str, str]:
    """Return the generated parts of the page, by the names of their marks."""
    return {"shared options": _table(_shared_options()), "commands": _commands(), "exit statuses": _exit_statuses()}


def updated(page: str) -> str:
    """Return *page* with its generated parts as they should be."""
    for name, text in parts().items():
        before, begin, rest = page.partition(BEGIN.format(name))
        _, end, after = rest.partition(END.format(name))
        if not begin or not end:
            message = f"{PAGE} has no part {name!r}"
            raise ValueError(message)
        page = f"{before}{begin}\n{text}\n{end}{after}"
    return page


def all_commands(group: click.Group = commands, path: str = "foxy-auth") -> Iterator[tuple[str, click.Command]]:
    """Yield every command and its whole name."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def shown_options(command: click.Command) -> list[click.Option]:
    """Return the options that the help shows, but for `--help`."""
    return [one for one in command.params if isinstance(one, click.Option) and not one.hidden]


def _shared_options() -> list[click.Option]:
    @click.command()
    def carrier() -> None:
        pass

    for option in reversed(OPTIONS):
        carrier = option(carrier)
    return shown_options(carrier)


def _commands() -> str:
    shared = {option.help for option in _shared_options()}
    return "\n".join(_section(name, command, shared) for name, command in all_commands())


def _section(name: str, command: click.Command, shared: set[str | None]) -> str:
    """Return the section of one command."""
    options = [option for option in shown_options(command) if option.help not in shared]
    taken = [option.opts[0] for option in shown_options(command) if option.help in shared]
    arguments = " ".join(
        one.make_metavar(click.Context(command)) for one in command.params if one.param_type_name == "argument"
    )
    text = [
        f"### {name}",
        "",
        _prose(command.help or ""),
        "",
        "```text",
        f"{name} [OPTIONS] {arguments}".strip(),
        "```",
        "",
    ]
    if taken:
        text += [
            f"Takes {', '.join(f'`{option}`' for option in taken)}, [as others do](#options-that-commands-share).",
            "",
        ]
    if options:
        text += [_table(options), ""]
    return "\n".join(text + _epilog(command))


def _prose(text: str) -> str:
    """Return the paragraphs of a help, each on a line of its own; what Markdown would read is marked as code."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    lines = [" ".join(paragraph.split()) for paragraph in paragraphs]
    return "\n\n".join(map(_as_code, lines))


def _as_code(line: str) -> str:
    """Mark what Markdown would read as code, unless it is marked already."""
    code = r"`[^`]*`|(?<!\w)(?:--[a-z-]+|fx:[\w/:?=.]+|[A-Z]+_[A-Z_]+)"
    return re.sub(code, lambda found: f"`{found[0].strip('`')}`", line).replace("|", "\\|")


def _table(options: list[click.Option]) -> str:
    rows = ["| option | |", "| --- | --- |"]
    context = click.Context(click.Command("foxy-auth"))
    for option in options:
        names, help_text = option.get_help_record(context) or ("", "")
        code = names.replace("|", "\\|")
        rows.append(f"| `{code}` | {_as_code(' '.join(help_text.split()))} |")
    return "\n".join(rows)


def _epilog(command: click.Command) -> list[str]:
    """Return the examples and the exit statuses of the command's help."""
    examples, _, statuses = inspect.cleandoc(command.epilog or "").partition("Exit status:")
    lines = [line.removeprefix("  ") for line in examples.splitlines()[2:] if line.strip("\b ")]
    numbers = re.findall(r"^ *(\d+) ", statuses, re.MULTILINE)
    example = ["```text", *lines, "```", ""] if lines else []
    return [*example, f"[Exit statuses](#exit-statuses): {', '.join(numbers)}.", ""] if numbers else example


def _exit_statuses() -> str:
    rows = ["| status | | error in Python |", "| --- | --- | --- |"]
    for status in ExitStatus:
        error = f"`{status.error.__name__}`" if status.error and status.error.__module__ == "foxy_auth.errors" else ""
        rows.append(f"| {status.value} | {status.meaning} | {error} |")
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
