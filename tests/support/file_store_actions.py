"""What can be done with a `FileStore`, for tests of what each of it does to the file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from foxy_auth.stores import FileStore
from foxy_auth.testing import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

NEWER = replace(TOKEN, access_token="made-up-newer", refresh_token="made-up-newer-refresh")


def hold_lock(store: FileStore) -> None:
    """Acquire and release the lock."""
    with store.lock(1.0):
        pass


ACTIONS: dict[str, Callable[[FileStore], object]] = {
    "load": FileStore.load,
    "save": lambda store: store.save(NEWER),
    "delete": FileStore.delete,
    "lock": hold_lock,
}
