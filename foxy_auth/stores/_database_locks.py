"""
The lock of one row of a table, in each kind of database.

However the database and the table are addressed (URL, function, schema, search path), the same row has the same lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from foxy_auth._events import logger
from foxy_auth._time import monotonic
from foxy_auth.errors import StoreError
from foxy_auth.stores._file_lock import lock_file

if TYPE_CHECKING:
    import sqlalchemy

POLL_INTERVAL = 0.05  # seconds
# Seconds after which the server ends the connection of a holder that is gone but whose connection still looks open:
# its machine vanished, or a child that was forked meanwhile keeps the socket. Longer than any refresh should take.
SILENCE = 300


class _AdvisoryLock(NamedTuple):
    """Statements for a lock that belongs to a connection: the server frees it when the connection ends."""

    acquire: str
    release: str
    configure: str


# Advisory locks of PostgreSQL belong to a database. The oid of a table does not depend on how the table is addressed.
_NUMBER = "hashtextextended(concat(cast(to_regclass(:path) AS oid), '/', cast(:digest AS text)), 0)"
_POSTGRESQL = _AdvisoryLock(
    acquire=f"SELECT pg_try_advisory_lock({_NUMBER})",
    release=f"SELECT pg_advisory_unlock({_NUMBER})",
    # Keepalives find out within half a minute that a machine is gone. Older servers do not know every setting.
    configure="SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES ('tcp_keepalives_idle', '10'), "
    "('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), "
    "('idle_session_timeout', concat(cast(:silence AS text), 's'))) AS ours (name, value) USING (name)",
)
# Those of MySQL and MariaDB belong to the whole server, and have names of up to 64 characters.
_NAME = "concat('foxy_auth:', left(sha2(concat(coalesce(:schema, database()), '/', :digest), 256), 40))"
_MYSQL = _AdvisoryLock(
    acquire=f"SELECT get_lock({_NAME}, 0)",
    release=f"SELECT release_lock({_NAME})",
    configure="SET SESSION wait_timeout = :silence",
)
_ADVISORY_LOCKS = {"postgresql": _POSTGRESQL, "mysql": _MYSQL, "mariadb": _MYSQL}
DIALECTS = ("sqlite", *_ADVISORY_LOCKS)


def acquire_lock(
    engine: sqlalchemy.Engine, schema: str | None, table: str, key: str, timeout: float
) -> Callable[[], None]:
    """
    Acquire the lock of the row *key*, and return the function that releases it.

    Raises:
        TimeoutError: Another thread or process holds it for *timeout* seconds.
    """
    digest = sha256(f"{table}/{key}".encode()).hexdigest()
    with ExitStack() as stack:
        if engine.dialect.name == "sqlite":
            stack.enter_context(lock_file(f"{_sqlite_path(engine, schema)}.{digest[:12]}.lock", timeout))
        else:
            quote = engine.dialect.identifier_preparer.quote
            path = ".".join(quote(part) for part in (schema, table) if part)
            _hold_on_server(stack, engine, {"schema": schema, "path": path, "digest": digest}, timeout)
        return stack.pop_all().close


def _sqlite_path(engine: sqlalchemy.Engine, schema: str | None) -> str:
    with engine.connect() as connection:
        databases = connection.exec_driver_sql("PRAGMA database_list").all()
    path = {name: path for _, name, path in databases}[schema or "main"]
    if not path:
        raise StoreError("a database in memory cannot be shared; use MemoryStore")
    return os.path.realpath(str(path))


def _hold_on_server(stack: ExitStack, engine: sqlalchemy.Engine, row: dict[str, Any], timeout: float) -> None:
    from sqlalchemy import text

    statements = _ADVISORY_LOCKS[engine.dialect.name]
    parameters = {**row, "silence": SILENCE}
    connection = stack.enter_context(engine.connect())
    connection.execution_options(isolation_level="AUTOCOMMIT").detach()
    deadline = monotonic() + timeout
    while not connection.execute(text(statements.acquire), parameters).scalar():
        if monotonic() + POLL_INTERVAL > deadline:
            raise TimeoutError("the lock in the database is held by another process")
        time.sleep(POLL_INTERVAL)
    stack.callback(connection.execute, text(statements.release), parameters)
    try:
        connection.execute(text(statements.configure), parameters)
    except Exception as error:  # noqa: BLE001 - not every server supports it
        logger.debug("the database will notice late if this machine vanishes (%s)", type(error).__name__)
