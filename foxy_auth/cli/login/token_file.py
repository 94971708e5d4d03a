"""A file for a token that no other user can read, replace or lead elsewhere."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from foxy_auth.errors import StoreError
from foxy_auth.stores._private_files import follow_links
from foxy_auth.token import Token

POSIX = os.name == "posix"  # Windows has neither owners and modes of this kind, nor descriptors of folders
ROOT = 0
MAX_TOKEN = 1_000_000  # bytes of a file that may be a token
READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
OPEN_FOLDER = READ | getattr(os, "O_DIRECTORY", 0)
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
ADVICE = "choose another file, or --json"


@contextmanager
def token_file(path: Path) -> Generator[TokenFile]:
    """
    Prepare to replace the file *path* in one step, before the login, so that there is no token that cannot be saved.

    Raises:
        StoreError: The file cannot be written, or other users could read or replace it.
    """
    with ExitStack() as stack:
        try:
            file = _open(path, stack)
        except OSError as error:
            raise _not_writable(path, error) from error
        yield file


def _open(path: Path, stack: ExitStack) -> TokenFile:
    target = resolve(path)
    if os.path.lexists(target) and not target.is_file():
        raise StoreError(f"{path} is not a regular file; choose another one, or --json")
    folder = None
    if POSIX:
        folder = os.open(target.parent, OPEN_FOLDER)
        stack.callback(os.close, folder)
        is_shared(target.parent, os.fstat(folder))
    file = TokenFile(target, folder)
    stack.callback(file.close)
    file.check()
    return file


class TokenFile:
    """
    A draft of the new file, which takes the place of the old one in one step.

    Folder and draft stay open from before the login until the end. So what becomes of their names meanwhile does not
    lead the token elsewhere.

    Attributes:
        path: Where the token goes.

        draft: Where it is until then.
    """

    def __init__(self, path: Path, folder: int | None) -> None:
        """Create the draft in *folder*, the descriptor of the path's folder."""
        self.path = path
        self.draft = path.with_name(f"{path.name}.{token_hex(4)}.new")
        self._folder = folder
        self._file = os.open(self._name(self.draft), CREATE, 0o600, dir_fd=folder)
        self._is_open, self._holds_token = True, False

    def _name(self, path: Path) -> str:
        """Return *path* relative to the descriptor of the folder, if there is one."""
        return str(path) if self._folder is None else path.name

    def check(self) -> None:
        """Check that the draft is still there, that it is ours, and that others cannot read it."""
        if not POSIX:
            return
        file = os.fstat(self._file)
        named = os.stat(self._name(self.draft), dir_fd=self._folder, follow_symlinks=False)
        if not os.path.samestat(file, named) or file.st_nlink != 1 or not stat.S_ISREG(file.st_mode):
            raise StoreError(f"{self.draft} was replaced by another program, so it was not used; {ADVICE}")
        if file.st_uid != os.geteuid() or file.st_mode & 0o077:
            raise StoreError(f"{self.path.parent} lets others read new files, whatever their mode; {ADVICE}")

    def current_token(self) -> Token | None:
        """Return the token that the file holds, if it holds one."""
        with suppress(OSError, ValueError, TypeError):
            descriptor = os.open(self._name(self.path), READ, dir_fd=self._folder)
            with os.fdopen(descriptor, "rb") as file:
                return Token.from_dict(json.loads(file.read(MAX_TOKEN)))
        return None

    def write(self, token: Token) -> None:
        """Write *token* to the draft, which is kept from now on, whatever happens."""
        try:
            self.check()
            with open(self._file, "w", encoding="utf-8", closefd=False) as file:
                file.write(json.dumps(token.to_dict(), indent=2) + "\n")
            os.fsync(self._file)
        except OSError as error:
            raise _not_writable(self.path, error) from error
        self._holds_token = True

    def replace(self) -> None:
        """Put the draft in the file's place."""
        file = os.fstat(self._file)
        if not POSIX:
            self._close_draft()  # Windows does not rename open files
        try:
            os.replace(self._name(self.draft), self._name(self.path), src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror}; the token is in {self.draft}") from error
        if POSIX and not self._is_at_path(file):
            raise StoreError(
                f"the token was saved, but {self.path} is another file: somebody has moved the file or a folder above "
                "it. Delete the token if you do not find it, and run foxy-auth login again"
            )

    def _is_at_path(self, file: os.stat_result) -> bool:
        try:
            return os.path.samestat(file, self.path.lstat())
        except OSError:
            return False

    def close(self) -> None:
        """Close the draft, and delete it unless it holds a token."""
        self._close_draft()
        if not self._holds_token:
            with suppress(OSError):
                os.unlink(self._name(self.draft), dir_fd=self._folder)

    def _close_draft(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._file)


def resolve(path: Path) -> Path:
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


def _not_writable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write {path}: {error.strerror}; {ADVICE}")
