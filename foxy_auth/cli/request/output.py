"""The response as it is printed: readable on a terminal, byte by byte elsewhere."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from foxy_auth.cli.request.exchange import Response
from foxy_auth.cli.terminal import is_shown


def print_head(response: Response) -> None:
    """Print the status line and the headers of *response*."""
    rows = [f"HTTP/{response.version} {response.status} {response.reason}".rstrip()]
    rows += [f"{name}: {value}" for name, value in response.headers.items()]
    click.echo("\n".join([*map(_escaped, rows), ""]))


def print_body(response: Response, chunks: Iterable[bytes]) -> None:
    """Print the body of *response*, which *chunks* bring."""
    if sys.stdout is None:
        return
    if not is_shown():
        out = sys.stdout.buffer
        for chunk in chunks:
            out.write(chunk)
        out.flush()
    elif response.is_json:
        _print_document(b"".join(chunks))
    else:
        _print_text(chunks)


def print_items(items: Iterator[Any]) -> None:
    """Print *items* as one JSON array, each as soon as it is there."""
    if is_shown():
        _print_pretty([*items])
        return
    begin = "["
    for item in items:
        click.echo(f"{begin}\n{json.dumps(item)}", nl=False)
        begin = ","
    click.echo("\n]" if begin == "," else "[]")


def _print_document(body: bytes) -> None:
    try:
        _print_pretty(json.loads(body))
    except ValueError:
        _print_text([body])


def _print_pretty(value: Any) -> None:
    from rich.console import Console
    from rich.highlighter import JSONHighlighter

    text = _escaped(json.dumps(value, indent=2, ensure_ascii=False))
    # Lines are left to the terminal, so that what is copied from it is the same JSON.
    Console(highlighter=JSONHighlighter()).print(text, soft_wrap=True, markup=False, emoji=False)


def _print_text(chunks: Iterable[bytes]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    end = "\n"
    for chunk in chunks:
        text = decoder.decode(chunk)
        click.echo(_escaped(text), nl=False)
        end = text[-1:] or end
    if end != "\n":
        click.echo()


def _escaped(text: str) -> str:
    """Return *text* with the control characters escaped that a terminal would obey."""
    return "".join(one if one.isprintable() or one in "\n\t" else json.dumps(one)[1:-1] for one in text)
