"""The table that `SQLAlchemyStore` keeps its rows in, and the locks of each kind of database."""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
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
        with _alone_on(self._engine), self._engine.connect() as connection:
            if _in_memory(self._engine):
                with connection.begin():
                    yield connection
            else:
                connection.detach()
                yield connection

    def create_table(self) -> None:
        """Make the table, unless it is there."""
        with self.connected() as connection:
            self.table.create(connection, checkfirst=True)

    def read(self, key: str) -> Row | None:
        """Return the row *key*; of a record that is too long only as much as tells so."""
        from sqlalchemy import func, select

        columns = self.table.c
        record = func.substr(columns.record, 1, LARGEST_RECORD + 1, type_=columns.record.type)
        with self.connected() as connection:
            found = connection.execute(select(record, columns.version).where(columns.name == key)).first()
        return None if found is None else Row(found[0], found[1])

    def write(self, key: str, record: str, seen: Row | None) -> Row | None:
        """Put *record* into the row *key*, if that still is as it was *seen*; None if not."""
        from sqlalchemy.exc import IntegrityError

        columns = self.table.c
        row = Row(Hidden(record), 1 if seen is None else seen.version + 1)
        values = {"record": record, "version": row.version}
        with self.connected() as connection:
            if seen is not None:
                same = self.table.update().where(columns.name == key, columns.version == seen.version)
                return row if connection.execute(same.values(values)).rowcount == 1 else None
            try:
                connection.execute(self.table.insert().values(name=key, **values))
            except IntegrityError:
                return None
        return row

    def rename(self, key: str, other: str) -> None:
        """Let the row *key* be another, in the place of what was there."""
        with self.connected() as connection:
            connection.execute(self.table.delete().where(self.table.c.name == other))
            connection.execute(self.table.update().where(self.table.c.name == key).values(name=other))

    def locked(self, key: str, timeout: float) -> AbstractContextManager[object]:
        """Hold the lock of the row *key*."""
        engine = self._engine
        name = f"{engine.url.database}/{self.table.fullname}/{key}"
        return _LOCKS[engine.dialect.name](engine, name, timeout)


# --- how connections are made -----------------------------------------------------------------------------------------


def _check(engine: Any) -> None:
    from sqlalchemy import Engine
    from sqlalchemy.pool import SingletonThreadPool

    if not isinstance(engine, Engine):
        raise TypeError(f"SQLAlchemyStore takes an Engine of create_engine(…), not {type(engine).__name__}")
    if engine.dialect.name not in _LOCKS:
        raise ValueError(f"SQLAlchemyStore knows no locks of {engine.dialect.name}, but of {', '.join(_LOCKS)}")
    if isinstance(engine.pool, SingletonThreadPool):
        raise ValueError(  # noqa: TRY004 - an engine it is
            "this SQLite database is another one in each thread; give create_engine poolclass=StaticPool and "
            "connect_args={'check_same_thread': False}, or use a file"
        )
    if engine.dialect.name == "sqlite":
        require_filelock()


def _in_memory(engine: sqlalchemy.Engine) -> bool:
    place = str(engine.url.database or ":memory:")
    return engine.dialect.name == "sqlite" and (":memory:" in place or engine.url.query.get("mode") == "memory")


def _alone_on(engine: sqlalchemy.Engine) -> AbstractContextManager[object]:
    """Keep other threads from the one connection of a database in memory: their transactions would mix."""
    return _lock_here(engine, "") if _in_memory(engine) else nullcontext()


def _own(engine: Any) -> sqlalchemy.Engine:
    """Return an engine whose connections are made like those of *engine*, and that writes no token into logs."""
    from sqlalchemy import Engine, NullPool

    if _in_memory(engine):  # where another connection is another database
        return Engine(engine.pool, engine.dialect, engine.url, hide_parameters=True)
    # It has the listeners too, by which programs sign in. No pool is full of connections that hang.
    pool = NullPool(engine.pool._creator, _dispatch=engine.pool.dispatch, dialect=engine.dialect)  # noqa: SLF001
    each_by_itself = {"isolation_level": "AUTOCOMMIT"}
    return Engine(pool, engine.dialect, engine.url, hide_parameters=True, execution_options=each_by_itself)


def _maker(engine: Any) -> Callable[[], sqlalchemy.Engine]:
    """Return what makes such an engine in another process; `TypeError` unless its URL tells all about it."""
    from inspect import getclosurevars

    creator = engine.pool._creator  # noqa: SLF001
    made_with = dict(getclosurevars(creator).nonlocals) if creator.__module__ == "sqlalchemy.engine.create" else {}
    # It was `cargs` in SQLAlchemy 2.0.
    arguments = [*made_with.get("cargs_tup", made_with.get("cargs", "?"))], made_with.get("cparams")
    positional, named = engine.dialect.create_connect_args(engine.url)
    whole = arguments == ([*positional], named) and not engine.dialect._has_events  # noqa: SLF001
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


# --- the locks, each of the name that it is given ---------------------------------------------------------------------


def _postgresql(engine: sqlalchemy.Engine, name: str, timeout: float) -> AbstractContextManager[object]:
    return _of_connection(
        engine,
        int.from_bytes(sha256(name.encode()).digest()[:8], signed=True),
        timeout,
        get="SELECT pg_try_advisory_lock(:name)",
        release="SELECT pg_advisory_unlock(:name)",
        # When this machine is gone without a word, the server finds out by asking.
        then="SELECT set_config('tcp_keepalives_idle', '10', false), "
        "set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false)",
    )


def _mysql(engine: sqlalchemy.Engine, name: str, timeout: float) -> AbstractContextManager[object]:
    return _of_connection(
        engine,
        f"foxy_auth:{sha256(name.encode()).hexdigest()[:40]}",  # 64 characters at most, and the whole server's
        timeout,
        get="SELECT GET_LOCK(:name, 0)",
        release="SELECT RELEASE_LOCK(:name)",
        then=f"SET SESSION wait_timeout = {SILENCE}",
    )


def _sqlite(engine: sqlalchemy.Engine, name: str, timeout: float) -> AbstractContextManager[object]:
    if _in_memory(engine):
        return held(_lock_here(engine, name), timeout)
    path = os.path.abspath(str(engine.url.database).removeprefix("file:"))  # noqa: PTH100
    return locked_file(f"{path}.{sha256(name.encode()).hexdigest()[:12]}.lock", timeout)


_LOCKS = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql, "mariadb": _mysql}


@contextmanager
def _of_connection(
    engine: sqlalchemy.Engine, name: object, timeout: float, *, get: str, release: str, then: str
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
                connection.execute(text(release), {"name": name})
            except Exception as error:  # noqa: BLE001
                logger.warning("the lock in the database was not released (%s)", type(error).__name__)


def _connection_with(
    engine: sqlalchemy.Engine, get: str, name: object, timeout: float, leaving: ExitStack
) -> sqlalchemy.Connection:
    """Return a connection that has the lock, and that no pool knows; *leaving* closes it."""
    from sqlalchemy import text

    until = time.monotonic() + timeout
    try:
        with ExitStack() as failing:
            connection = failing.enter_context(_detached(engine))
            while not connection.execute(text(get), {"name": name}).scalar():
                if time.monotonic() + POLL > until:
                    break
                time.sleep(POLL)
            else:
                leaving.push(failing.pop_all())
                return connection
    except Exception as error:
        kind = type(error).__name__
        raise StoreError(f"the database cannot be locked ({kind}); look after the server") from error
    raise TimeoutError("the lock in the database is held by another")


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
_locks_here: WeakKeyDictionary[sqlalchemy.Pool, defaultdict[tuple[int, str], Lock]] = WeakKeyDictionary()


def _lock_here(engine: sqlalchemy.Engine, name: str) -> Lock:
    return _locks_here.setdefault(engine.pool, defaultdict(Lock))[os.getpid(), name]
