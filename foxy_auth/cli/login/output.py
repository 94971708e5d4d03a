"""Where the token goes: a file, the standard output, or both."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click

from foxy_auth.cli.login.token_file import TokenFile, token_file
from foxy_auth.errors import StoreError
from foxy_auth.token import Token

Confirm = Callable[[str], bool]
Save = Callable[[Token, Confirm], None]


@contextmanager
def saving(output: Path | None, *, as_json: bool, replace: bool = False) -> Generator[Save]:
    """
    Prepare to save a token to the file *output* or as JSON to the standard output, and return the function that does.

    That function takes the token, and a function that asks the user a question; *replace* answers it with yes.

    Raises:
        StoreError: The token cannot be saved.
    """
    with token_file(output) if output else nullcontext() as file:

        def save(token: Token, confirm: Confirm) -> None:
            try:
                if file:
                    _save_to(file, token, confirm=(lambda _: True) if replace else confirm)
            finally:
                if as_json:
                    _print_token(token)

        yield save


def _save_to(file: TokenFile, token: Token, *, confirm: Confirm) -> None:
    """Write *token* to *file*; ask before it replaces the token of another store."""
    file.write(token)
    current = file.current_token()
    if current and current.store_id != token.store_id:
        difference = f"{file.path} holds the token of {_store(current)}, and the new token is of {_store(token)}"
        if not confirm(f"{difference}. Replace it? If not, the new token stays in {file.draft}."):
            raise StoreError(
                f"{difference}, so it was not replaced; the new token is in {file.draft} (--replace replaces the "
                "token of any store)"
            )
    file.replace()


def _store(token: Token) -> str:
    return f"store {token.store_id}" if token.store_id else "no store"


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
