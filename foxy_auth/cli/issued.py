"""
What Foxy issues once and nobody can ask for again: a client's secret, the first token of a grant.

It goes to a private file first, whose room on the disk is taken before anything is asked for, and stays there until it
is kept where it belongs.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from foxy_auth.cli.profiles import Profile, data_folder, load_profile, save_profile
from foxy_auth.cli.settings import Settings, environment_name
from foxy_auth.cli.store_address import locked
from foxy_auth.cli.terminal import echo
from foxy_auth.errors import StoreError
from foxy_auth.stores._private_files import make_private_folder
from foxy_auth.token import Token

# What asks a program to end; Windows has no SIGHUP.
ENDING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
ROOM = 2**15  # bytes; stores read files of up to twice that


class Draft:
    """A private file with what was issued."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path
        self.is_used: bool = False

    def write(self, issued: Mapping[str, Any]) -> None:
        """Write *issued* in place of what was there."""
        content = json.dumps(issued, indent=2).encode()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, content.ljust(ROOM) + b"\n")
        os.fsync(self._descriptor)
        self.is_used = True

    def write_token(self, token: Token, url: str | None = None) -> None:
        """Write *token* as a file store reads it, and the address of what was created with it."""
        self.write({**token.to_dict(), **({"url": url} if url else {})})


@contextmanager
def safekeeping() -> Generator[Draft]:
    """
    Yield a private file for what will be issued; it is removed at the end, unless something went wrong.

    Ctrl-C, and the end of the terminal, have to wait meanwhile: what is asked for may be issued already.

    Raises:
        StoreError: There can be no such file, so nothing should be asked for.
    """
    folder = data_folder()
    try:
        make_private_folder(folder)
        descriptor, name = tempfile.mkstemp(prefix="issued.", suffix=".json", dir=folder)  # with mode 0600
        os.write(descriptor, b" " * ROOM)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}), so nothing was asked for") from None
    draft = Draft(descriptor, Path(name))
    try:
        with _uninterrupted():
            yield draft
    except BaseException:
        if draft.is_used:
            echo(
                f"What Foxy has issued is in {draft.path}, readable by you only. Keep it: it is issued once.", err=True
            )
        else:
            draft.path.unlink()
        raise
    else:
        draft.path.unlink()
    finally:
        os.close(descriptor)


def check_is_new(name: str) -> None:
    """Refuse a profile that exists: its client or its grant would be lost."""
    if load_profile(name) is not None:
        raise click.UsageError(f"There is a profile {name} already, which is not replaced: choose another name.")


def check_store(settings: Settings) -> None:
    """Refuse a store that cannot be used, or that holds a token, which would be lost."""
    store = settings.open_store()
    with locked(store):  # so it can be written
        token = store.load()
    if token is not None:
        raise click.UsageError(f"{settings.place} holds a token already, which is not replaced: choose another store.")


def keep(settings: Settings, token: Token) -> None:
    """
    Write the profile that *settings* name, and *token* to their store.

    Raises:
        StoreError: One of them could not be written.
    """
    save_profile(
        settings.profile,
        Profile(
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            redirect_uri=settings.redirect_uri,
            environment=environment_name(settings.environment),
            store=settings.place.text,
        ),
        is_new=True,
    )
    store = settings.open_store()
    with locked(store):
        if store.load() is not None:
            raise StoreError(f"{settings.place} holds a token by now, which is not replaced")
        store.save(token)


@contextmanager
def _uninterrupted() -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, _ask_to_wait) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _ask_to_wait(*_: object) -> None:
    with suppress(OSError):  # the terminal is gone
        echo("One moment: what Foxy issues is being kept.", err=True)
