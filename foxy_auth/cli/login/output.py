"""Where the token goes: a file, the standard output, or both."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from foxy_auth.errors import StoreError
from foxy_auth.token import Token


@contextmanager
def saving(output: Path | None, *, as_json: bool) -> Generator[Callable[[Token], None]]:
    """
    Prepare to save a token to the file *output* or as JSON to the standard output, and return the function that does.

    Raises:
        StoreError: The token cannot be saved.
    """
    with token_file(output) if output else nullcontext() as write:

        def save(token: Token) -> None:
            if write:
                write(token)
            if as_json:
                _print_token(token)

        yield save


@contextmanager
def token_file(path: Path) -> Generator[Callable[[Token], None]]:
    """
    Prepare to write a token to *path*, and return the function that writes it.

    The file is replaced in one step, and only its owner can read it (mode 0600). Preparing fails before the login, so
    that there is no token that cannot be saved.

    Raises:
        StoreError: The file cannot be written. An existing file is left as it was.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays, and what it points to is replaced
    if os.path.lexists(target) and not target.is_file():
        raise StoreError(f"{path} is not a regular file; choose another one, or --json")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise _not_writable(path, error) from error
    os.close(descriptor)
    draft = Path(name)
    try:
        yield lambda token: _write(token, draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _write(token: Token, draft: Path, target: Path) -> None:
    try:
        with draft.open("r+", encoding="utf-8") as file:
            file.write(json.dumps(token.to_dict(), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise _not_writable(target, error) from error


def _not_writable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write {path}: {error.strerror}; choose another file, or --json")


def _print_token(token: Token) -> None:
    """Print a token as JSON; raise `StoreError` if nobody reads it."""
    try:
        click.echo(json.dumps(token.to_dict()))
    except OSError as error:
        # The rest of the buffer would fail again when Python exits, and change the exit status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StoreError(f"the token could not be printed: {error.strerror}") from error


def describe(token: Token, *, place: str) -> str:
    """Describe what was granted and where it was saved, without secrets."""
    rows = {
        "Scope": "".join(character if character.isprintable() else "?" for character in token.scope) or "not named",
        "Store": token.store_id or "none",
        "Expires": _expiry(token),
        "Saved in": place,
    }
    return "\n".join(["Access granted.", *(f"  {name:<9}{value}" for name, value in rows.items())])


def _expiry(token: Token) -> str:
    if token.expires_at is None:
        return "at an unknown time"
    expires_at = datetime.fromtimestamp(token.expires_at, UTC).astimezone()
    return f"{expires_at:%Y-%m-%d %H:%M %Z}{'; FoxyAuth refreshes it' if token.refresh_token else ''}"
