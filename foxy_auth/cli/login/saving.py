"""Where the token goes: into a store, or to the standard output."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

import click

from foxy_auth._oauth.origin import foreign_home
from foxy_auth.cli.private_path import check_private_path
from foxy_auth.cli.profiles import data_folder
from foxy_auth.cli.settings import Settings
from foxy_auth.cli.store_address import StoreAddress, locked
from foxy_auth.cli.terminal import discard_output, echo
from foxy_auth.errors import StoreError
from foxy_auth.stores import FileStore, TokenStore
from foxy_auth.token import Token

Confirm = Callable[[str], bool]
Save = Callable[[Token, Confirm], None]


def print_token(token: Token, _: Confirm) -> None:
    """Print a token as JSON; raise `StoreError` if nobody reads it."""
    try:
        click.echo(json.dumps(token.to_dict()))
    except OSError as error:
        discard_output()
        raise StoreError(f"the token could not be printed: {error.strerror}") from error


def prepare_saving(settings: Settings, *, replace: bool = False) -> Save:
    """
    Check that the store can be written, before the login, and return the function that saves a token there.

    That function takes the token, and a function that asks the user a question; *replace* answers it with yes. A token
    that cannot be saved is kept elsewhere, and the error says where.

    Raises:
        StoreError: The store cannot be written, or is a file that other users could read or replace.
    """
    store = settings.open_store()
    _check(settings.place)
    with locked(store):
        pass

    def save(token: Token, confirm: Confirm) -> None:
        try:
            _save(token, settings, store, confirm=(lambda _: True) if replace else confirm)
        except StoreError as error:
            raise StoreError(f"{error}; {_keep(token, settings)}") from error
        except BaseException:
            echo(f"The token was not saved; {_keep(token, settings)}.", err=True)
            raise

    return save


def _check(place: StoreAddress) -> None:
    if place.kind == "file":
        check_private_path(Path(place.location))


def _save(token: Token, settings: Settings, store: TokenStore, *, confirm: Confirm) -> None:
    """Save *token*; ask before it replaces the token of another store, or of another environment."""
    place, current = settings.place, None
    with suppress(StoreError):  # what cannot be read is kept under another name by the store
        current = store.load()
    home = foreign_home(current.api, settings.environment.origins) if current else None
    if current and (home or current.store_id != token.store_id):
        former = f"{_store(current)}{f' at {home}' if home else ''}"
        difference = f"{place} holds the token of {former}, and the new token is of {_store(token)}"
        if not confirm(f"{difference}. Replace it?"):
            raise StoreError(f"{difference}, so it was not replaced (--replace replaces the token of any store)")
    _check(place)  # again: folders may have been moved meanwhile
    with locked(store):
        store.save(token)
        if store.load() != token:
            raise StoreError(f"{place} does not hold what was saved there")


def _keep(token: Token, settings: Settings) -> str:
    """Save *token* in a file of its own, and return the words that say where."""
    for make_folder in (data_folder, mkdtemp):
        with suppress(StoreError, OSError):
            path = Path(make_folder()) / f"unsaved-{token_hex(4)}.json"
            check_private_path(path)
            FileStore(path, encryption_key=settings.encryption_key).save(token)
            return f"the new token is in file:{path} (give that to --store)"
    return "it could not be kept elsewhere either: run foxy-auth login again"


def _store(token: Token) -> str:
    return f"store {token.store_id}" if token.store_id else "no store"
