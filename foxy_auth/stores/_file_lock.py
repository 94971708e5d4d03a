"""A lock file, which all processes of one machine respect and the operating system frees when its holder dies."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from foxy_auth.stores._errors import store_errors
from foxy_auth.stores._private_files import make_private_folder

POLL_INTERVAL = 0.02  # seconds


@contextmanager
def lock_file(path: str | os.PathLike[str], timeout: float) -> Generator[None]:
    """
    Hold the lock on the file *path*, which is created if necessary and not removed.

    Raises:
        TimeoutError: Another thread or process held it for *timeout* seconds.

        StoreError: The file cannot be created or locked.
    """
    from filelock import FileLock

    with store_errors(os.fspath(path), "locked", "repair its folder"):
        make_private_folder(Path(path).parent)
        # A new object each time: it belongs to this holder, and is not shared through a fork or a pickle.
        lock = FileLock(path, timeout=timeout, mode=0o600, thread_local=False).acquire(poll_interval=POLL_INTERVAL)
    with lock:
        yield
