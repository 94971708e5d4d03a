"""Whether a path is one that no other user can read, replace or lead elsewhere."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from foxy_auth.errors import StoreError
from foxy_auth.stores._private_files import follow_links

POSIX = os.name == "posix"  # Windows has neither owners nor modes of this kind
ROOT = 0
ADVICE = "choose another file, or --json"


def check_private_path(path: Path) -> None:
    """
    Check that no other user can read or replace what is written to *path*, a file that need not exist, or redirect it.

    Raises:
        StoreError: One can; or the path cannot be followed.
    """
    try:
        target = _resolve(path)
        if os.path.lexists(target) and not target.is_file():
            raise StoreError(f"{path} is not a regular file; {ADVICE}")
        if POSIX:
            folder = next(parent for parent in target.parents if parent.is_dir())  # missing ones are made, private
            is_shared(folder, folder.stat())
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; {ADVICE}") from error


def _resolve(path: Path) -> Path:
    """
    Follow the symbolic links of *path*, through folders that no other user can change.

    Raises:
        StoreError: Other users could lead the path elsewhere.

        OSError: A folder cannot be read, or links lead in a circle.
    """
    return follow_links(path, _check) if POSIX else Path(os.path.realpath(path))


def _check(entry: Path, status: os.stat_result) -> None:
    """Check one of the folders, links and files on the way."""
    if not is_shared(entry.parent, entry.parent.lstat()):
        return
    if stat.S_ISLNK(status.st_mode):
        raise StoreError(
            f"{entry} is a symbolic link in a folder that others can write to, and is not followed; {ADVICE}"
        )
    if not stat.S_ISDIR(status.st_mode) and status.st_uid != os.geteuid():
        raise StoreError(f"{entry} belongs to another user; {ADVICE}")


def is_shared(folder: Path, status: os.stat_result) -> bool:
    """
    Tell whether others can create files in *folder*, but not replace ours (the sticky bit, as in /tmp).

    Raises:
        StoreError: They can also replace ours.
    """
    if status.st_uid not in {ROOT, os.geteuid()}:
        raise StoreError(f"{folder} belongs to another user, who could replace the token; {ADVICE}")
    # With an access control list, the bits of the group are those of all who are named in it.
    is_private_group = _is_own_group(status.st_gid) and not _has_acl(folder)
    others = stat.S_IWOTH if is_private_group else stat.S_IWOTH | stat.S_IWGRP
    if status.st_mode & others and not status.st_mode & stat.S_ISVTX:
        raise StoreError(f"other users can write to {folder}, and could replace the token (chmod go-w); {ADVICE}")
    return bool(status.st_mode & others)


def _is_own_group(group_id: int) -> bool:
    """Tell whether the group is the one that many distributions make for each user, with nobody else in it."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(group_id)
    except KeyError:
        return False
    if user.pw_uid == ROOT or user.pw_name != group.gr_name:  # the group of root has administrators in it
        return False
    users = {*group.gr_mem, *(one.pw_name for one in pwd.getpwall() if one.pw_gid == group_id)}
    return user.pw_gid == group_id and users <= {user.pw_name}  # large directories do not list their users


def _has_acl(folder: Path) -> bool:
    if sys.platform == "linux":
        with suppress(OSError):  # the file system has none
            return "system.posix_acl_access" in os.listxattr(folder)
    return False
