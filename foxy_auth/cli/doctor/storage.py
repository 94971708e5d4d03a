"""The store of the token: who can get at it, and whether it can be read and locked."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import click

from foxy_auth.cli.doctor.finding import Finding, Setup, fail, failed, ok, skipped, warn
from foxy_auth.cli.private_path import is_shared
from foxy_auth.cli.store_address import StoreAddress
from foxy_auth.cli.times import expiry
from foxy_auth.errors import StoreError
from foxy_auth.stores import TokenStore
from foxy_auth.token import Token

OTHERS = 0o077
LOCK_TIMEOUT = 3.0  # seconds


def check_store(setup: Setup) -> Iterator[Finding]:
    """Open the store, read it and lock it; nothing is written but the lock."""
    if setup.problem or not (setup.settings.store or setup.settings.client_id):
        yield skipped("store", str(setup.obstacle))
        return
    place = setup.settings.place
    if place.kind == "file" and os.name == "posix":
        yield from _permissions(Path(place.location))  # before the store repairs them
    try:
        store = setup.settings.open_store()
        token = store.load()
    except click.UsageError as error:
        yield failed("store", error, "Install what is missing")
    except (StoreError, OSError) as error:
        yield failed("store", error)
    else:
        yield _kept(place, token, has_variable=setup.settings.refresh_token is not None)
        yield from _lock(store, place)


def load_token(setup: Setup) -> Token | None:
    """Return the stored token; None if there is none to be had."""
    try:
        return setup.settings.open_store().load()
    except (click.UsageError, StoreError, OSError):
        return None


def _kept(place: StoreAddress, token: Token | None, *, has_variable: bool) -> Finding:
    if token is not None:
        said = expiry(token, now=time.time())
        also = "; it counts, not FOXY_API_REFRESH_TOKEN" if has_variable else ""
        return ok("store", f"{place} holds a token that {said}{also}")
    if has_variable:
        return ok("store", f"{place} holds no token yet; the first comes from FOXY_API_REFRESH_TOKEN")
    return warn("store", f"{place} holds no token", "Run foxy-auth login, or choose another store.")


def _lock(store: TokenStore, place: StoreAddress) -> Iterator[Finding]:
    if place.kind == "file" and not Path(place.location).parent.is_dir():
        yield from _missing_folder(Path(place.location).parent)  # the lock would make it
        return
    try:
        with store.lock(LOCK_TIMEOUT):
            yield ok("lock", "the store can be locked")
    except TimeoutError:
        remedy = "See which program holds it; a refresh takes a minute at most."
        yield warn("lock", f"another program holds the store's lock for more than {LOCK_TIMEOUT:g} seconds", remedy)
    except (StoreError, OSError) as error:
        yield failed("lock", error)


def _missing_folder(folder: Path) -> Iterator[Finding]:
    parent = next(one for one in folder.parents if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        yield fail("lock", f"{folder} cannot be made in {parent}", f"Make {parent} writable, or choose another store.")


def _permissions(path: Path) -> Iterator[Finding]:
    try:
        folder, file = _status(path.parent), _status(path)
        if file and file.st_mode & OTHERS:
            mode = f"mode {S_IMODE(file.st_mode):04o}"
            yield warn(
                "permissions",
                f"other users could read {path} ({mode}); it is made private when it is read",
                "If others use this machine, run foxy-auth login again.",
            )
        if folder:
            yield _folder(path.parent, folder)
    except OSError as error:
        yield fail(
            "permissions", f"{path} cannot be looked at ({error.strerror})", "Choose another store, or repair it."
        )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _folder(folder: Path, status: os.stat_result) -> Finding:
    try:
        is_shared(folder, status)
    except StoreError as error:
        message = str(error).partition("; ")[0].replace(" (chmod go-w)", "")
        return fail("permissions", message, f"Run chmod go-w {folder}, or choose a folder of your own.")
    mode = f"mode {S_IMODE(status.st_mode):04o}"
    if status.st_mode & OTHERS:
        return ok(
            "permissions", f"only you can read the file; others can list its folder ({mode}), chmod 700 ends that"
        )
    return ok("permissions", f"only you can use the folder ({mode})")
