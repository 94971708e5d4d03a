"""Fields and headers as they are written on the command line: `NAME=VALUE`, `NAME:=JSON`, `Name: value`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import click

TOKEN = re.compile("[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2


def read_fields(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that *texts* name, with their values; the last of a name counts."""
    return dict(map(_field, texts))


def read_headers(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Return the headers that *texts* name."""
    return dict(map(_header, texts))


def with_query(url: str, fields: Mapping[str, Any]) -> str:
    """Return *url* with *fields* in its query, as GET sends them."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(texts)}" if texts else url


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.rstrip(":"):
        raise click.BadParameter(f"a field is NAME=VALUE or NAME:=JSON, not {text!r}.")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError:
        raise click.BadParameter(f"what follows {name}= is not JSON; for text write {name[:-1]}=VALUE.") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not TOKEN.fullmatch(name.strip()) or not (value.isascii() and value.isprintable()):
        raise click.BadParameter("a header is 'Name: value', in printable ASCII.")  # no text, which may be secret
    if name.strip().lower() == "authorization":
        raise click.BadParameter("Authorization carries the token, and foxy-auth sets it.")
    return name.strip(), value.strip()
