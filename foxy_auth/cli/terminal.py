"""Output to terminals and pipes: plain text everywhere, wrapped at the width, and JSON."""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

# What is printed where an encoding lacks a character.
ASCII = str.maketrans({"✓": "+", "✗": "X", "━": "=", "─": "-", "•": ".", "→": ">", "…": "..."})

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# Options that commands share.
as_json: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with the keys that the manual lists."
)
quiet: Decorator = click.option(
    "--quiet", "-q", is_flag=True, help="Print errors only; the exit status tells the rest."
)
no_note: Decorator = click.option("--quiet", "-q", is_flag=True, help="Print no note that this is a secret.")


def echo(text: str, *, err: bool = False) -> None:
    """Print *text* and a newline; paragraphs are wrapped at the terminal's width, long words stay whole."""
    for line in text.splitlines():
        click.echo(fill(line), err=err)


def print_rows(rows: Mapping[str, str], *, err: bool = False) -> None:
    """Print *rows* in two columns, of which the second is wrapped at the terminal's width."""
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        click.echo(fill(value, f"  {name:<{width}}", " " * (width + 2)), err=err)


def can_ask() -> bool:
    """Tell whether there is somebody to ask: the standard input may be a pipe, or closed."""
    return _is_terminal(sys.stdin)


def is_shown() -> bool:
    """Tell whether the standard output is a terminal."""
    return _is_terminal(sys.stdout)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def discard_output() -> None:
    """Drop what is still to be printed, which would fail again when Python exits, and change the exit status."""
    if sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """Return *text* with a question mark for each control character, which a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def fill(text: str, first: str = "", others: str = "", *, widest: int | None = None) -> str:
    """
    Return *text* wrapped at the terminal's width; a path or an address stays whole, so that it can be copied.

    Args:
        text: One paragraph.

        first: What the first line begins with.

        others: What all other lines begin with.

        widest: How many columns are used at most.
    """
    width = shutil.get_terminal_size().columns
    return textwrap.fill(
        text,
        min(width, widest or width),
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def note_secret() -> None:
    """Say that what was printed is a secret, if it was printed for people."""
    if is_shown():
        echo("This is a secret: whoever has it can act in your name.", err=True)


def print_json(value: object) -> None:
    """Print *value* as JSON to the standard output."""
    click.echo(json.dumps(value, indent=2))


class _Warnings(logging.Handler):
    """Prints what stores warn of, such as a file that others could read; all else is also an error."""

    def emit(self, record: logging.LogRecord) -> None:
        if Path(record.pathname).parent.name == "stores":
            echo(f"Warning: {record.getMessage()}", err=True)


@contextmanager
def warnings_shown() -> Generator[None]:
    """Print the warnings of this package for the user."""
    logger, handler = logging.getLogger("foxy_auth"), _Warnings(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def replace_unencodable() -> None:
    """Print an ASCII character for each one that the encoding of the output lacks, instead of raising an error."""
    codecs.register_error("foxy_auth.ascii", _to_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="foxy_auth.ascii")


def _to_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(ASCII)
    return text.encode("ascii", "replace").decode(), error.end
