"""A lock that all processes of one machine respect, and that the operating system frees when its holder dies."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from foxy_auth.errors import StoreError

POLL = 0.02  # seconds from one try to the next
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def require_filelock() -> None:
    """Raise `ImportError` if the package filelock is missing: now rather than in the midst of a refresh."""
    import_module("filelock")


def make_private(folder: Path) -> None:
    """Make *folder*, and those above it that do not exist, for their owner only, whatever the umask."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


@contextmanager
def locked_file(path: str | os.PathLike[str], timeout: float) -> Generator[None]:
    """
    Hold the lock on the file *path*, which is made if need be, and stays.

    Raises:
        TimeoutError: Another thread or process holds it for *timeout* seconds.

        StoreError: It cannot be locked at all.
    """
    from filelock import FileLock, Timeout

    try:
        make_private(Path(path).parent)
        # A new object each time: it is this holder's, and no fork or pickle can take it along.
        lock = FileLock(path, timeout=timeout, mode=PRIVATE_FILE, thread_local=False)
        lock.acquire(poll_interval=POLL)
    except Timeout:
        raise TimeoutError(f"{os.fspath(path)} is held by another") from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise StoreError(f"{os.fspath(path)} cannot be locked ({reason}); repair its folder") from error
    try:
        yield
    finally:
        lock.release()
