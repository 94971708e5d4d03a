"""The table that `SQLAlchemyStore` keeps its rows in, and the locks of each kind of database."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from foxy_auth.errors import StoreError
from foxy_auth.stores._file_lock import locked_file, require_filelock
from foxy_auth.stores._records import LARGEST_RECORD
from foxy_auth.stores.memory import held

if TYPE_CHECKING:
    import sqlalchemy

POLL = 0.05  # seconds from one try to get the lock to the next
# Seconds of silence after which MySQL frees the lock of a machine that is gone without a word; PostgreSQL asks it.
SILENCE = 120

logger = logging.getLogger("foxy_auth")


class Hidden(str):
    """A text that shows itself to nobody who logs rows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[hidden]'"


@dataclass(frozen=True, slots=True)
class Row:
    """A record, and how often it was written."""

    record: Hidden
    version: int


class Database:
    """
    A table of records.

    It is reached by connections that are made as the user's engine makes them, but come from no pool and go into none:
    a refresh is rare, and must not wait for the connections of those who wait for it.
    """

    def __init__(self, engine: sqlalchemy.Engine | Callable[[], sqlalchemy.Engine], table: str) -> None:
        self._source: Any = engine
        self._pid = 0
        self._kept: list[sqlalchemy.Engine] = []  # engines of the processes that this one was forked from
        self._lock = Lock()
        self._name = table
        self.table = _table(table)
        if not callable(engine):
            _check(engine)

    def __getstate__(self) -> dict[str, Any]:
        """Take along how an engine is made."""
        source = self._source
        return {"_source": source if callable(source) else _maker(source), "_name": self._name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_source"], state["_name"])  # type: ignore[misc]

    @property
    def _engine(self) -> sqlalchemy.Engine:
        """The engine of this process: no connection is the parent's, nor taken from the user's pool."""
        with self._lock:
            if self._pid != os.getpid():
                engine = self._source
                if callable(engine):
                    engine = engine()
                    _check(engine)
                self._kept.append(_own(engine))
                self._pid = os.getpid()
            return self._kept[-1]

    @contextmanager
    def connected(self) -> Generator[sqlalchemy.Connection]:
        """Open a connection for a moment."""
        engine = self._engine
        with _alone_on(engine), engine.connect() as connection:
            if _keeps_connections(engine):
                with connection.begin():
                    yield connection
            else:
                connection.detach()
                yield connection

    def create_table(self) -> None:
        """Make the table, unless it is there, or somebody else makes it at the same time."""
        try:
            with self.connected() as connection:
                self.table.create(connection, checkfirst=True)
        except Exception:
            with self.connected() as connection:
                if not self._has_table(connection):
                    raise

    def _has_table(self, connection: sqlalchemy.Connection) -> bool:
        from sqlalchemy import inspect

        return inspect(connection).has_table(self.table.name, schema=self._schema)

    @property
    def _schema(self) -> str | None:
        """The schema of the table, as the engine translates it."""
        translated: Any = self._engine.get_execution_options().get("schema_translate_map") or {}
        schema: str | None = translated.get(self.table.schema, self.table.schema)
        return schema

    def read(self, key: str) -> Row | None:
        """Return the row *key*; of a record that is too long only as much as tells so."""
        from sqlalchemy import func, select
        from sqlalchemy.exc import DBAPIError

        columns = self.table.c
        record = func.substr(columns.record, 1, LARGEST_RECORD + 1, type_=columns.record.type)
        with self.connected() as connection:
            try:
                found = connection.execute(select(record, columns.version).where(columns.name == key)).first()
            except DBAPIError:
                if self._has_table(connection):
                    raise
                raise StoreError(f"there is no table {self.table.fullname}; call create_table(), once") from None
        return None if found is None else Row(found[0], found[1])

    def write(self, key: str, record: str, seen: Row | None) -> Row | None:
        """Put *record* into the row *key*, if that still is as it was *seen*; None if not."""
        from sqlalchemy.exc import IntegrityError

        columns = self.table.c
        row = Row(Hidden(record), 1 if seen is None else seen.version + 1)
        values = {"record": record, "version": row.version}
        try:
            with self.connected() as connection, _discretion():
                if seen is not None:
                    same = self.table.update().where(columns.name == key, columns.version == seen.version)
                    return row if connection.execute(same.values(values)).rowcount == 1 else None
                connection.execute(self.table.insert().values(name=key, **values))
        except IntegrityError:
            if seen is not None or self.read(key) is None:
                raise
            return None
        return row

    def rename(self, key: str, other: str) -> None:
        """Let the row *key* be another, in the place of what was there."""
        with self.connected() as connection, _discretion():
            connection.execute(self.table.delete().where(self.table.c.name == other))
            connection.execute(self.table.update().where(self.table.c.name == key).values(name=other))

    def locked(self, key: str, timeout: float) -> AbstractContextManager[object]:
        """Hold the lock of the row *key*."""
        engine = self._engine
        return _LOCKS[engine.dialect.name](engine, _Place(self._schema, self.table.name, key), timeout)


@contextmanager
def _discretion() -> Generator[None]:
    """Leave nothing of a driver's error but its number: the rest may quote the record."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        origin: Any = error.orig
        names = (getattr(origin, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname"))
        number = next(filter(None, (*names, *(one for one in origin.args if isinstance(one, int)))), "")
        error.args = (f"{type(origin).__name__} {number}",)
        error.orig = error.__cause__ = error.__context__ = None
        raise


# --- how connections are made -----------------------------------------------------------------------------------------


def _check(engine: Any) -> None:
    from sqlalchemy import Engine
    from sqlalchemy.pool import SingletonThreadPool

    if not isinstance(engine, Engine):
        raise TypeError(f"SQLAlchemyStore takes an Engine of create_engine(…), not {type(engine).__name__}")
    if engine.dialect.is_async:
        raise TypeError("SQLAlchemyStore takes an Engine of create_engine(…), not an async one's: it works in threads")
    if engine.dialect.name not in _LOCKS:
        raise ValueError(f"SQLAlchemyStore knows no locks of {engine.dialect.name}, but of {', '.join(_LOCKS)}")
    if engine.dialect.name == "sqlite" and isinstance(engine.pool, SingletonThreadPool):
        raise ValueError(
            "this SQLite database is another one in each thread; give create_engine poolclass=StaticPool and "
            "connect_args={'check_same_thread': False}, or use a file"
        )
    if engine.dialect.name == "sqlite":
        require_filelock()


def _in_memory(engine: sqlalchemy.Engine) -> bool:
    """Tell whether it is a database in memory; its URL does not tell what is connected to by a function."""
    place = str(engine.url.database or ":memory:")
    maybe = engine.dialect.name == "sqlite" and (":memory:" in place or engine.url.query.get("mode") == "memory")
    if not maybe:
        return False
    with _lock_here(engine, None):  # as in `connected`: a look would end the transaction of another thread
        return not _file(engine, None)


def _keeps_connections(engine: sqlalchemy.Engine) -> bool:
    """Tell whether *engine*, one of ours, is of a database in memory: another connection would be another database."""
    from sqlalchemy import NullPool

    return not isinstance(engine.pool, NullPool)


def _alone_on(engine: sqlalchemy.Engine) -> AbstractContextManager[object]:
    """Keep other threads from the one connection of a database in memory: their transactions would mix."""
    return _lock_here(engine, None) if _keeps_connections(engine) else nullcontext()


def _own(engine: Any) -> sqlalchemy.Engine:
    """Return an engine whose connections are made like those of *engine*, and that writes no token into logs."""
    from sqlalchemy import Engine, NullPool

    pool, options = engine.pool, engine.get_execution_options()
    if not _in_memory(engine):  # where another connection is another database
        # It has the listeners too, by which programs sign in. No pool is full of connections that hang.
        pool = NullPool(pool._creator, _dispatch=pool.dispatch, dialect=engine.dialect)  # noqa: SLF001
        options = {**options, "isolation_level": "AUTOCOMMIT"}
    return Engine(pool, engine.dialect, engine.url, hide_parameters=True, execution_options=options)


def _maker(engine: Any) -> Callable[[], sqlalchemy.Engine]:
    """Return what makes such an engine in another process; `TypeError` unless its URL tells all about it."""
    from inspect import getclosurevars

    creator = engine.pool._creator  # noqa: SLF001
    made_with = dict(getclosurevars(creator).nonlocals) if creator.__module__ == "sqlalchemy.engine.create" else {}
    # It was `cargs` in SQLAlchemy 2.0.
    arguments = [*made_with.get("cargs_tup", made_with.get("cargs", "?"))], made_with.get("cparams")
    positional, named = engine.dialect.create_connect_args(engine.url)
    plain = not engine.dialect._has_events and not engine.get_execution_options()  # noqa: SLF001
    whole = plain and arguments == ([*positional], named)
    if not whole or _in_memory(engine):
        raise TypeError(
            "this Engine cannot be pickled, for its URL does not tell all about it; give SQLAlchemyStore a function "
            "that makes it"
        )
    return partial(_remade, engine.url, type(engine.pool))


def _remade(url: sqlalchemy.URL, pool: Any) -> sqlalchemy.Engine:
    from sqlalchemy import create_engine

    return create_engine(url, poolclass=pool)


def _table(name: str) -> sqlalchemy.Table:
    from sqlalchemy import Column, Integer, MetaData, String, Table, Text, TypeDecorator
    from sqlalchemy.dialects.mysql import VARCHAR

    class HiddenText(TypeDecorator[Hidden]):
        """A text that arrives hidden."""

        impl = Text
        cache_ok = True

        def process_result_value(self, value: Any, dialect: Any) -> Hidden | None:  # noqa: ARG002
            return None if value is None else Hidden(value)

    schema, _, own = name.rpartition(".")
    # Bytes count: MySQL's usual collations take "Shop" and "shop" for the same.
    exact = String(255).with_variant(VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
    return Table(
        own,
        MetaData(),
        Column("name", exact, primary_key=True),
        Column("record", HiddenText, nullable=False),
        Column("version", Integer, nullable=False),
        schema=schema or None,
    )


# --- the locks: one for each row, however the way to its database is written ------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row is: in a table of the database's default schema, or of another."""

    schema: str | None
    table: str
    key: str

    @property
    def digest(self) -> str:
        """What tells it from all others of its schema, as letters and digits."""
        return sha256(f"{self.table}/{self.key}".encode()).hexdigest()


def _postgresql(engine: sqlalchemy.Engine, place: _Place, timeout: float) -> AbstractContextManager[object]:
    # Its locks are a database's own. A table's number is the same however it is found: by its schema or a search path.
    number = "hashtextextended(concat(cast(to_regclass(:table) AS oid), '/', cast(:digest AS text)), 0)"
    quote = engine.dialect.identifier_preparer.quote
    return _of_connection(
        engine,
        {"table": ".".join(quote(part) for part in (place.schema, place.table) if part), "digest": place.digest},
        timeout,
        get=f"SELECT pg_try_advisory_lock({number})",
        release=f"SELECT pg_advisory_unlock({number})",
        # When this machine is gone without a word, the server finds out by asking, and does not take silence for that.
        then="SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES ('tcp_keepalives_idle', '10'), "
        "('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), ('idle_session_timeout', '0')) "
        "AS ours (name, value) USING (name)",  # those that this server knows
    )


def _mysql(engine: sqlalchemy.Engine, place: _Place, timeout: float) -> AbstractContextManager[object]:
    # Its locks are the whole server's, and have 64 characters at most.
    name = "concat('foxy_auth:', left(sha2(concat(coalesce(:schema, database()), '/', :digest), 256), 40))"
    return _of_connection(
        engine,
        {"schema": place.schema, "digest": place.digest},
        timeout,
        get=f"SELECT get_lock({name}, 0)",
        release=f"SELECT release_lock({name})",
        then=f"SET SESSION wait_timeout = {SILENCE}",
    )


def _sqlite(engine: sqlalchemy.Engine, place: _Place, timeout: float) -> AbstractContextManager[object]:
    file = None if _keeps_connections(engine) else _file(engine, place.schema)
    if not file:
        return held(_lock_here(engine, place), timeout)
    return locked_file(f"{file}.{place.digest[:12]}.lock", timeout)


def _file(engine: sqlalchemy.Engine, schema: str | None) -> str:
    """Return the path of the file that *schema* of SQLite is in, the same for all; empty if it is in memory."""
    with _lockable(), engine.connect() as connection:
        databases = connection.exec_driver_sql("PRAGMA database_list").all()
        path = {name: path for _, name, path in databases}[schema or "main"]
    return os.path.realpath(path) if path else ""


_LOCKS = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql, "mariadb": _mysql}


@contextmanager
def _of_connection(
    engine: sqlalchemy.Engine, name: dict[str, Any], timeout: float, *, get: str, release: str, then: str
) -> Generator[None]:
    """Hold a lock that belongs to a connection, and that the server frees when that ends."""
    from sqlalchemy import text

    with ExitStack() as leaving:
        connection = _connection_with(engine, get, name, timeout, leaving)
        try:
            connection.execute(text(then))
        except Exception as error:  # noqa: BLE001 - not every server can
            logger.debug("the database will be slow to miss a machine that is gone (%s)", type(error).__name__)
        try:
            yield
        finally:
            # Closing frees the lock too, if a little later; and what fails here has failed before the server noticed.
            try:
                connection.execute(text(release), name)
            except Exception as error:  # noqa: BLE001
                logger.warning("the lock in the database was not released (%s)", type(error).__name__)


def _connection_with(
    engine: sqlalchemy.Engine, get: str, name: dict[str, Any], timeout: float, leaving: ExitStack
) -> sqlalchemy.Connection:
    """Return a connection that has the lock, and that no pool knows; *leaving* closes it."""
    from sqlalchemy import text

    until = time.monotonic() + timeout
    with _lockable(), ExitStack() as failing:
        connection = failing.enter_context(_detached(engine))
        while not connection.execute(text(get), name).scalar():
            if time.monotonic() + POLL > until:
                break
            time.sleep(POLL)
        else:
            leaving.push(failing.pop_all())
            return connection
    raise TimeoutError("the lock in the database is held by another")


@contextmanager
def _lockable() -> Generator[None]:
    try:
        yield
    except Exception as error:
        kind = type(error).__name__
        raise StoreError(f"the database cannot be locked ({kind}); look after the server") from error


@contextmanager
def _detached(engine: sqlalchemy.Engine) -> Generator[sqlalchemy.Connection]:
    """Open a connection that no pool knows, and that a forked child lets go of."""
    connection = engine.connect()
    raw: Any = connection.connection.dbapi_connection
    _of_locks[id(raw)] = raw
    try:
        connection.detach()
        yield connection
    finally:
        with suppress(Exception):
            connection.close()
        del _of_locks[id(raw)]


# The driver's connections that hold locks, or wait for them.
_of_locks: dict[int, Any] = {}


def _after_fork() -> None:
    """Let go of the parent's connections: a lock is free only once nobody has its connection any more."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for raw in _of_locks.values():
        # Of psycopg; of PyMySQL; of pg8000. What is left in memory of the connection can do no harm to nowhere.
        sockets: list[Any] = [raw, getattr(raw, "_sock", None), getattr(raw, "_usock", None)]
        for socket in sockets:
            with suppress(Exception):
                os.dup2(nowhere, socket.fileno(), inheritable=False)
    os.close(nowhere)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# The locks of databases in memory, which are shared by whoever has the same engine; a forked child has its own.
_locks_here: WeakKeyDictionary[sqlalchemy.Pool, dict[tuple[int, _Place | None], Lock]] = WeakKeyDictionary()


def _lock_here(engine: sqlalchemy.Engine, place: _Place | None) -> Lock:
    # Not a defaultdict: threads may change places between its look and its setting.
    return _locks_here.setdefault(engine.pool, {}).setdefault((os.getpid(), place), Lock())
