"""A store in an SQL database, by SQLAlchemy: SQLite, PostgreSQL, MySQL, MariaDB."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from secrets import randbelow
from typing import TYPE_CHECKING, Any, cast

from foxy_auth._libraries import check_installed
from foxy_auth._secrets import Secret, guarded_class
from foxy_auth.errors import StoreError
from foxy_auth.stores._compare_and_set import ClientFactory, CompareAndSetStore, Stored, stored_record
from foxy_auth.stores._database_locks import DIALECTS, acquire_lock
from foxy_auth.stores._records import LARGEST_RECORD, EncryptionKey, Records
from foxy_auth.stores._sqlite_files import check_database, create_private_database

if TYPE_CHECKING:
    import sqlalchemy

# The rows that our engines read are logged at DEBUG.
logging.getLogger("sqlalchemy.engine.Engine.foxy_auth").addFilter(lambda message: message.levelno > logging.DEBUG)


@guarded_class
class SQLAlchemyStore(CompareAndSetStore):
    """
    Keeps the token in a row of a table.

    The lock is the database's own: an advisory lock of PostgreSQL, MySQL or MariaDB, on a connection of its own, which
    is free when its holder dies or the server is restarted; a lock file beside a SQLite database. PgBouncer must be in
    session mode: in transaction mode each statement may get another connection, and the lock would not work.

    A SQLite database that does not exist yet is created with mode 0600, also if your own part of the program connects
    first, as soon as it has this store. The rights to one that exists are yours to set: if other users can access it,
    that is logged once. An engine with a `creator` may create a file that others can open until we first connect.

    Connections are made as your engine makes them, but outside its pool: a refresh opens two for a moment. Statements
    are never logged with a token in them.

    A child that is forked during a refresh inherits the lock's connection. If the parent is then killed before the
    refresh ends, the server frees the lock after five minutes (PostgreSQL before version 14: when the child ends).

    Give the engine the time limits of its driver, so that a server that hangs is noticed:
    `connect_args={"connect_timeout": 5, "tcp_user_timeout": 10_000}` for psycopg,
    `{"connect_timeout": 5, "read_timeout": 10, "write_timeout": 10}` for PyMySQL.
    """

    _advice = "check the database, and that create_table() has been called"

    def __init__(
        self,
        engine: sqlalchemy.Engine | Callable[[], sqlalchemy.Engine],
        key: str = "default",
        *,
        table: str = "foxy_auth_tokens",
        encryption_key: EncryptionKey | None = None,
    ) -> None:
        """
        Keep the record in the row *key*.

        Args:
            engine: An engine, or a function that makes one. Only with a function can the store be pickled.

            key: Which row; a different one for each grant.

            table: The table's name, or `schema.table`. `create_table` creates it; `table` is for your own migrations.

            encryption_key: Encrypts the record: a Fernet key, or a list, of which the first encrypts and all decrypt.

        Raises:
            TypeError, ValueError: An argument is not what it should be, or the database is not supported.

            ImportError: The package sqlalchemy is not installed, or filelock, which SQLite needs.
        """
        check_installed("sqlalchemy", needed_by="SQLAlchemyStore", extra="sqlalchemy")
        super().__init__(key, Records(encryption_key))
        self._table = _table(table)
        self._engine = ClientFactory(engine, partial(_private_engine, schema=self._table.schema))

    def create_table(self) -> None:
        """Create the table, unless it exists."""
        with self._errors("created"):
            engine = self._engine.get()
            try:
                self._table.create(engine, checkfirst=True)
            except Exception:  # noqa: BLE001 - somebody else may have created it after the check
                self._table.create(engine, checkfirst=True)

    @property
    def table(self) -> sqlalchemy.Table:
        """The table, for migrations: `store.table.to_metadata(Base.metadata)`."""
        return self._table

    def __str__(self) -> str:
        """Name the row, and the database once there is an engine."""
        row, url = f"row {self._key!r} of table {self._table.fullname}", self._engine.made and self._engine.made.url
        if not url:
            return row
        server = f"{url.host}:{url.port}" if url.port else url.host
        return f"{row} in {'/'.join(filter(None, (server, url.database)))}"

    def _read(self) -> Stored | None:
        from sqlalchemy import Text, func, select

        columns = self._table.c
        record = func.substr(columns.record, 1, LARGEST_RECORD + 1, type_=Text).label(
            "record"
        )  # enough to see that it is too long
        with self._engine.get().begin() as connection:
            row = connection.execute(select(record, columns.version).where(columns.name == self._key)).first()
        return None if row is None else Stored(stored_record(row.record), row.version)

    def _write(self, record: Secret, seen: Stored | None) -> Stored | None:
        columns = self._table.c
        # A new record begins anywhere, or it could pass for one of the same number that was removed before it.
        version = seen.version + 1 if seen else randbelow(2**30)
        values = {"record": record.reveal(), "version": version}
        try:
            with self._write_transaction() as connection:
                if seen is None:
                    connection.execute(self._table.insert().values(name=self._key, **values))
                else:
                    same = self._table.update().where(columns.name == self._key, columns.version == seen.version)
                    if connection.execute(same.values(**values)).rowcount != 1:
                        return None
        except StoreError:
            if seen is not None or self._read() is None:
                raise
            return None  # somebody else has inserted it first
        return Stored(record, version)

    def _delete(self) -> None:
        with self._engine.get().begin() as connection:
            connection.execute(self._table.delete().where(self._table.c.name == self._key))

    def _put_aside(self) -> None:
        name, aside = self._table.c.name, f"{self._key}:damaged"
        with self._write_transaction() as connection:
            connection.execute(self._table.delete().where(name == aside))
            connection.execute(self._table.update().where(name == self._key).values(name=aside))

    def _acquire(self, timeout: float) -> Callable[[], object]:
        engine = self._engine.get()
        schema = _translated(engine, self._table.schema)
        return acquire_lock(engine, schema, self._table.name, self._key, timeout)

    @contextmanager
    def _write_transaction(self) -> Generator[sqlalchemy.Connection]:
        """Open a transaction whose errors do not include the driver's message, which may quote the record."""
        from sqlalchemy.exc import DBAPIError

        try:
            with self._engine.get().begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StoreError(f"{self} cannot be written ({_code(error.orig)}); check the database") from None


def _private_engine(engine: Any, schema: str | None) -> sqlalchemy.Engine:
    """
    Return an engine that connects as the user's *engine* does, but outside its pool, and never logs a token.

    The user's pool may be exhausted by the very requests that wait for the token.
    """
    from sqlalchemy import Engine, NullPool, event

    _check_engine(engine)
    # The dispatch has the listeners too, with which programs sign in.
    pool = NullPool(engine.pool._creator, _dispatch=engine.pool.dispatch, dialect=engine.dialect)  # noqa: SLF001
    if engine.dialect.name == "sqlite":
        if not event.contains(engine.dialect, "do_connect", create_private_database):
            event.listen(engine.dialect, "do_connect", create_private_database)
        event.listen(pool, "connect", partial(check_database, _translated(engine, schema) or "main"))
    options = engine.get_execution_options()
    return Engine(pool, engine.dialect, engine.url, "foxy_auth", hide_parameters=True, execution_options=options)


def _translated(engine: sqlalchemy.Engine, schema: str | None) -> str | None:
    names: Any = engine.get_execution_options().get("schema_translate_map") or {}
    return cast("str | None", names.get(schema, schema))


def _check_engine(engine: Any) -> None:
    from sqlalchemy import Engine, StaticPool
    from sqlalchemy.pool import SingletonThreadPool

    if not isinstance(engine, Engine):
        raise TypeError(f"SQLAlchemyStore takes an Engine of create_engine(…), not {type(engine).__name__}")
    if engine.dialect.is_async:
        raise TypeError("SQLAlchemyStore takes an Engine of create_engine(…), not an async one: it works in threads")
    if engine.dialect.name not in DIALECTS:
        raise ValueError(f"SQLAlchemyStore supports {', '.join(DIALECTS)}, not {engine.dialect.name}")
    if engine.dialect.name == "sqlite":
        check_installed("filelock", needed_by="SQLAlchemyStore", extra="sqlalchemy")
    if engine.dialect.name == "sqlite" and isinstance(engine.pool, SingletonThreadPool | StaticPool):
        raise ValueError("SQLAlchemyStore takes a SQLite database in a file; instead of one in memory use MemoryStore")


def _code(error: Any) -> str:
    """Return the class and the code of a driver's *error*."""
    codes = [getattr(error, "sqlite_errorname", ""), *(one for one in error.args if isinstance(one, int))]
    return f"{type(error).__name__} {next(filter(None, codes), '')}".strip()


def _table(name: str) -> sqlalchemy.Table:
    from sqlalchemy import Column, Integer, MetaData, String, Table, Text
    from sqlalchemy.dialects.mysql import VARCHAR

    schema, _, own = name.rpartition(".")
    # MySQL's usual collations would take "Shop" and "shop" for the same key.
    exact = String(255).with_variant(VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
    return Table(
        own,
        MetaData(),
        Column("name", exact, primary_key=True),
        Column("record", Text, nullable=False),
        Column("version", Integer, nullable=False),
        schema=schema or None,
    )
