"""Files that only their owner can read, also in a folder where other users can write."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from errno import ELOOP
from functools import cache
from pathlib import Path
from stat import S_IMODE, S_ISLNK, S_ISREG, S_ISVTX, S_IWOTH
from typing import IO

from foxy_auth._events import logger
from foxy_auth.errors import StoreError

HAS_MODES = os.name == "posix"
OTHERS = 0o077
MOST_LINKS = 40  # that one path may lead through, as in Linux


def make_private_folder(folder: Path) -> None:
    """Create *folder* and its missing parents, accessible to their owner only, whatever the umask."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def private_file(path: Path, mode: str) -> Generator[IO[bytes]]:
    """
    Open the file *path* in the binary *mode*.

    If other users have rights to it, these are taken away if the file system can do that, and a warning is logged.

    Raises:
        FileNotFoundError: There is no such file.

        StoreError: It belongs to another user, or is not a regular file.
    """
    with open(path, mode, opener=_open) as file:
        status = os.fstat(file.fileno())
        if not S_ISREG(status.st_mode):
            raise StoreError(f"{path} is not a regular file; move it")
        if HAS_MODES and status.st_uid != os.geteuid():
            raise StoreError(
                f"{path} belongs to another user, number {status.st_uid}, and this program runs as number "
                f"{os.geteuid()}; give it to that user if it is yours (chown {os.geteuid()}), or move it"
            )
        if HAS_MODES and status.st_mode & OTHERS:
            with suppress(OSError):
                os.fchmod(file.fileno(), status.st_mode & 0o700)
            if os.fstat(file.fileno()).st_mode & OTHERS:
                _warn_of_open_file(path, S_IMODE(status.st_mode))
            else:
                logger.warning(
                    "%s was open to other users (mode %04o), and no longer is", path, S_IMODE(status.st_mode)
                )
        yield file


@cache
def _warn_of_open_file(path: Path, mode: int) -> None:
    """Log, once, that the file system keeps no modes, as FAT and the folders of Windows in WSL."""
    logger.warning(
        "%s is open to other users (mode %04o), and cannot be made private on this file system; use another one, or "
        "encryption_key",
        path,
        mode,
    )


def _open(path: str, flags: int) -> int:
    # Neither follow a link that somebody has planted meanwhile, nor wait for the other end of a pipe.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def follow_links(path: Path, check: Callable[[Path, os.stat_result], None]) -> Path:
    """
    Return *path* with all links followed, as the system would; what does not exist is taken for a folder.

    Args:
        path: A file.

        check: Called with each folder, link and file on the way, and its status, before a link is followed.

    Raises:
        OSError: A folder cannot be read, or links lead in a circle.
    """
    place, rest, links = Path(), deque(path.absolute().parts), 0
    while rest:
        name = rest.popleft()
        entry = place.parent if name == ".." else place / name
        try:
            status = entry.lstat()
        except (FileNotFoundError, NotADirectoryError):
            place = entry
            continue
        check(entry, status)
        if not S_ISLNK(status.st_mode):
            place = entry
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(ELOOP, "there are symbolic links in a circle", str(entry))
        rest.extendleft(reversed(entry.readlink().parts))
    return place


def resolve(path: Path) -> tuple[Path, Path | None]:
    """
    Return *path* with all links followed, and the first folder or link that another user has planted on the way.

    That is one, in a folder where everybody can write, that belongs neither to this user nor to that folder's owner; as
    for links in Linux with `fs.protected_symlinks`.
    """
    if not HAS_MODES:
        return Path(os.path.realpath(path)), None
    path, planted = path.absolute(), list[Path]()

    def check(entry: Path, status: os.stat_result) -> None:
        folder = entry.parent.lstat()
        is_others = folder.st_mode & S_IWOTH and status.st_uid not in {os.geteuid(), folder.st_uid}
        if is_others and not S_ISREG(status.st_mode):  # a record is judged when it is opened
            planted.append(entry)

    with suppress(OSError):  # who opens the file gets the same error
        path = follow_links(path, check)
    return path, next(iter(planted), None)


@cache
def warn_of_shared_folder(folder: Path) -> None:
    """
    Log, once, that every user can remove what is in *folder*, or put back an older record.

    Such a folder is not refused: a record of another user is, and volumes of containers often have this mode.
    """
    mode = folder.stat().st_mode if HAS_MODES else 0
    if mode & S_IWOTH and not mode & S_ISVTX:
        logger.warning("every user of this machine can remove the tokens in %s (mode %04o)", folder, S_IMODE(mode))
