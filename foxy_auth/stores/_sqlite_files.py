"""Files of SQLite databases, which SQLite creates for everybody to read, and its journals with the same mode."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from stat import S_IMODE, S_IWGRP, S_IWOTH
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from foxy_auth._events import logger
from foxy_auth.stores._private_files import HAS_MODES, OTHERS

COMPANIONS = ("", "-wal", "-shm", "-journal")
SHARED = S_IWGRP | S_IWOTH  # set by somebody on purpose, not by SQLite


def create_private_database(_dialect: Any, _record: Any, arguments: list[Any], settings: dict[str, Any]) -> None:
    """
    Create the file, if it does not exist, before `sqlite3.connect` does with these *arguments* and *settings*.

    SQLAlchemy calls this before an engine connects.
    """
    name = os.fsdecode(arguments[0] if arguments else settings.get("database", ""))
    if settings.get("uri") and name.startswith("file:"):
        url = urlsplit(name)
        name = unquote(url.path) if parse_qs(url.query).get("mode", ["rwc"]) == ["rwc"] else ""
    if HAS_MODES and name not in {"", ":memory:"}:
        with suppress(OSError):  # it exists; or SQLite reports what is wrong
            os.close(os.open(os.path.realpath(name), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def check_database(schema: str, connection: Any, _record: Any) -> None:
    """
    Make the database *schema* of a new *connection* private if it is empty; log if others can access or own it.

    SQLAlchemy calls this after our engine has connected.
    """
    cursor = connection.cursor()
    names = {row[1]: row[2] for row in cursor.execute("PRAGMA database_list").fetchall()}
    cursor.close()
    if not HAS_MODES or not names.get(schema):  # it is in memory, or not attached
        return
    for path in [Path(names[schema] + companion) for companion in COMPANIONS]:
        with suppress(FileNotFoundError):
            status = path.stat()
            if status.st_uid != os.geteuid():
                _warn(path, f"belongs to another user (number {status.st_uid})")
            elif status.st_mode & OTHERS and not status.st_mode & SHARED and not status.st_size:
                path.chmod(status.st_mode & 0o700)
            elif status.st_mode & OTHERS:
                _warn(path, f"is open to other users (mode {S_IMODE(status.st_mode):04o})")


@cache
def _warn(path: Path, reason: str) -> None:
    logger.warning("%s has tokens in it, and %s; check who may read it", path, reason)
