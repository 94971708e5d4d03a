"""A store in an SQL database, by SQLAlchemy: SQLite, PostgreSQL, MySQL, MariaDB."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from foxy_auth.stores._conditional import ConditionalStore
from foxy_auth.stores._database import Database, Row
from foxy_auth.stores._records import Key, Records, check_key

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy

LONGEST_KEY = 190  # characters; a few more are ours


class SQLAlchemyStore(ConditionalStore):
    """
    Keeps the token in a row of a table.

    The lock is the database's own: an advisory lock of PostgreSQL or MySQL/MariaDB, on a connection of its own, which
    is free again when its holder dies, or the server is started anew; beside a file of SQLite a lock file. A pooler
    between that gives each transaction another connection (PgBouncer in transaction mode) would break it.

    Connections are made as your engine makes them, but neither taken from its pool nor kept: a refresh needs two, for a
    moment. Statements are never logged with the token in them.

    Give the engine the time limits of its driver, so that a server that hangs is noticed, and its lock not held for as
    long as it does: `connect_args={"connect_timeout": 5, "tcp_user_timeout": 10_000}` for psycopg,
    `{"connect_timeout": 5, "read_timeout": 10, "write_timeout": 10}` for PyMySQL.
    """

    def __init__(
        self,
        engine: sqlalchemy.Engine | Callable[[], sqlalchemy.Engine],
        key: str = "default",
        *,
        table: str = "foxy_auth_tokens",
        encryption_key: Key | None = None,
    ) -> None:
        """
        Keep the record in the row *key*.

        Args:
            engine: An engine, as your program has set it up; or a function that makes one, so that the store can be
                pickled whatever the engine.

            key: Which row; another for each grant.

            table: The table's name, `schema.table` too. `create_table` makes it; `table` is for your own migrations.

            encryption_key: Encrypts the record: a Fernet key, or several, of which the first encrypts and all decrypt.

        Raises:
            TypeError, ValueError: An argument is not what it should be, or the database is none of those above.

            ImportError: The database is SQLite, and the package filelock is not installed.
        """
        super().__init__(Records(encryption_key))
        self._database = Database(engine, table)
        self._key = _fitting(key)

    def for_key(self, key: str) -> SQLAlchemyStore:
        """Return the store of another grant: the row of this one's key, a slash and *key*."""
        other = SQLAlchemyStore.__new__(SQLAlchemyStore)
        other.__setstate__({**self.__getstate__(), "_key": _fitting(f"{self._key}/{check_key(key)}")})
        return other

    def create_table(self) -> None:
        """Make the table, unless it is there."""
        with self._reported("created"):
            self._database.create_table()

    @property
    def table(self) -> sqlalchemy.Table:
        """The table, for migrations: `store.table.to_metadata(Base.metadata)`."""
        return self._database.table

    @property
    def _place(self) -> str:
        return f"row {self._key!r} of table {self._database.table.fullname}"

    def _read(self) -> Row | None:
        return self._database.read(self._key)

    def _text(self, seen: Row | None) -> str | None:
        return None if seen is None else seen.record

    def _write(self, record: str, seen: Row | None) -> Row | None:
        return self._database.write(self._key, record, seen)

    def _put_aside(self, seen: Any) -> None:  # noqa: ARG002 - however long it is
        self._database.rename(self._key, f"{self._key}:damaged")

    def _guarded(self, timeout: float) -> AbstractContextManager[object]:
        return self._database.locked(self._key, timeout)


def _fitting(key: str) -> str:
    """Return *key*, if the column holds it as it is."""
    if not isinstance(key, str) or not key.isprintable() or not 0 < len(key.strip()) == len(key) <= LONGEST_KEY:
        raise ValueError(f"key takes up to {LONGEST_KEY} characters without blanks around them")
    return key
