"""Output to terminals and pipes."""

from __future__ import annotations

import codecs
import io
import shutil
import sys
import textwrap

import click

# What is printed where an encoding lacks a character.
ASCII = str.maketrans("✓✗━─•→", "+X=-.>")


def echo(text: str, *, err: bool = False) -> None:
    """Print *text* and a newline; paragraphs are wrapped at the terminal's width, long words stay whole."""
    width = shutil.get_terminal_size().columns
    for line in text.splitlines():
        click.echo(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False), err=err)


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
