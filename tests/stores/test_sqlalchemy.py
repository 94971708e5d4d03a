"""`SQLAlchemyStore`, with SQLite and real servers."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sqlite3
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from foxy_auth.errors import StoreError
from foxy_auth.stores import FileStore, SQLAlchemyStore
from foxy_auth.testing import TOKEN, MakeStore, RecordContract, SharedStoreContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEWER = replace(TOKEN, access_token="made-up-newer", refresh_token="made-up-newer-refresh")
SECRETS = [TOKEN.access_token, str(TOKEN.refresh_token), NEWER.access_token, str(NEWER.refresh_token)]


def engine_for(url: sqlalchemy.URL | str, **options: Any) -> sqlalchemy.Engine:
    """Make an engine without a pool."""
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, **options)


@pytest.fixture
def table() -> str:
    """Give the name of a table that nobody else uses."""
    return f"foxy_{uuid4().hex[:8]}"


@pytest.fixture
def database_url(
    tmp_path: Path, server_url: Callable[[str], str], table: str
) -> Iterator[Callable[[str], sqlalchemy.URL]]:
    """Give the URL of a database of a kind; drop the table afterwards."""
    used: set[sqlalchemy.URL] = set()

    def url_of(kind: str) -> sqlalchemy.URL:
        url = sqlalchemy.make_url(f"sqlite:///{tmp_path}/made-up.db" if kind == "sqlite" else server_url(kind))
        used.add(url)
        return url

    yield url_of
    for url in used:
        with engine_for(url).begin() as connection:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")


class SQLContract(SharedStoreContract, RecordContract):
    """What every shared store with readable records must do."""

    errors = StoreError
    kind = ""

    @pytest.fixture
    def engine(self, database_url: Callable[[str], sqlalchemy.URL]) -> sqlalchemy.Engine:
        """Connect to the database."""
        return engine_for(database_url(self.kind))

    @pytest.fixture
    def make_store(self, engine: sqlalchemy.Engine, table: str) -> MakeStore:
        """Make stores with engines of their own."""
        SQLAlchemyStore(engine, table=table).create_table()
        connect = partial(sqlalchemy.create_engine, engine.url, poolclass=sqlalchemy.NullPool)
        return lambda key: SQLAlchemyStore(connect, key, table=table)

    @pytest.fixture
    def read_record(self, engine: sqlalchemy.Engine, table: str) -> Callable[[str], str]:
        """Select the record."""
        columns = SQLAlchemyStore(engine, table=table).table.c

        def read(key: str) -> str:
            with engine.connect() as connection:
                query = sqlalchemy.select(columns.record).where(columns.name == key)
                return str(connection.execute(query).scalar_one())

        return read

    @pytest.fixture
    def write_record(self, engine: sqlalchemy.Engine, table: str) -> Callable[[str, str], object]:
        """Replace the row."""
        rows = SQLAlchemyStore(engine, table=table).table

        def write(key: str, record: str) -> None:
            with engine.begin() as connection:
                connection.execute(rows.delete())
                connection.execute(rows.insert().values(name=key, record=record, version=7))

        return write


class TestSQLite(SQLContract):
    """In a file of SQLite."""

    kind = "sqlite"


class TestPostgreSQL(SQLContract):
    """In PostgreSQL."""

    kind = "postgres"


class TestMariaDB(SQLContract):
    """In MariaDB."""

    kind = "mysql"


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_no_token_is_logged(
    database_url: Callable[[str], sqlalchemy.URL], table: str, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """R23: SQLAlchemy's log contains statements, but no token, even where the engine logs everything."""
    caplog.set_level(logging.DEBUG, logger="sqlalchemy")
    store = SQLAlchemyStore(engine_for(database_url(kind), echo="debug"), table=table)
    with pytest.raises(StoreError, match=r"that create_table\(\) has been called") as caught:
        store.save(TOKEN)
    store.create_table()
    with store.lock(1.0):
        store.save(TOKEN)
        store.load()
        store.save(NEWER)
    store.load()

    assert "UPDATE" in caplog.text
    assert "hidden" in caplog.text
    assert not any(secret in caplog.text + str(caught.value.__cause__) for secret in SECRETS)


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        *[(kind, "record TEXT CHECK (version < 0)") for kind in ("sqlite", "postgres")],
        *[(kind, "record TEXT, tenant VARCHAR(9) NOT NULL") for kind in ("sqlite", "postgres", "mysql")],
        ("mysql", "record INTEGER"),
    ],
)
def test_a_refused_record_is_not_quoted(
    database_url: Callable[[str], sqlalchemy.URL], table: str, kind: str, columns: str
) -> None:
    """R23: The error for a record that the table refuses, and its traceback, do not contain the record."""
    engine = engine_for(database_url(kind))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {table} (name VARCHAR(99) PRIMARY KEY, version INTEGER, {columns})")
    with pytest.raises(StoreError, match=r"cannot be written \([A-Z]\w+") as caught:
        SQLAlchemyStore(engine, table=table).save(TOKEN)

    assert "made-up-" not in "".join(traceback.format_exception(caught.value))


# --- the lock --------------------------------------------------------------------------------------------------------


def save_with_lock(store: SQLAlchemyStore, timeout: float = 5.0) -> None:
    """Do what another process does that refreshes."""
    with store.lock(timeout):
        store.load()
        store.save(NEWER)


def in_thread(work: Callable[[], Any]) -> Any:
    """Call *work* in another thread."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()


def end_other_connections(engine: sqlalchemy.Engine) -> None:
    """End the connections of all others, as a network failure does."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
            query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"  # noqa: S608
            connection.execute(sqlalchemy.text(query))
            return
        query = "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND command = 'Sleep'"
        for number in connection.execute(sqlalchemy.text(query)).scalars().all():
            connection.execute(sqlalchemy.text(f"KILL {int(number)}"))


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_lost_lock(
    database_url: Callable[[str], sqlalchemy.URL], table: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R11: A holder whose connection broke cannot overwrite what another holder has saved since; that is logged."""
    engine = engine_for(database_url(kind))
    slow, other = SQLAlchemyStore(engine, table=table), SQLAlchemyStore(engine, table=table)
    slow.create_table()
    slow.save(TOKEN)
    with slow.lock(1.0):
        slow.load()
        end_other_connections(engine)
        in_thread(lambda: save_with_lock(other))
        with pytest.raises(StoreError, match="somebody else has saved a newer token"):
            slow.save(TOKEN)

    assert other.load() == NEWER
    assert "was not released (" in caplog.text


def test_two_first_tokens(database_url: Callable[[str], sqlalchemy.URL], table: str) -> None:
    """R11: A holder that found no record does not overwrite the first one that somebody else saves."""
    holder, other = (SQLAlchemyStore(engine_for(database_url("sqlite")), table=table) for _ in range(2))
    holder.create_table()
    with holder.lock(1.0):
        other.save(NEWER)
        with pytest.raises(StoreError, match="somebody else has saved a newer token"):
            holder.save(TOKEN)
        holder.save(NEWER)  # the same token, as after a server's restart two threads may save it

    assert other.load() == NEWER


def test_a_record_that_was_removed_and_saved_again(database_url: Callable[[str], sqlalchemy.URL], table: str) -> None:
    """R11: A holder does not take the first record after a removal for the first one before it."""
    holder, other = (SQLAlchemyStore(engine_for(database_url("sqlite")), table=table) for _ in range(2))
    holder.create_table()
    holder.save(TOKEN)
    with holder.lock(1.0):
        other.delete()
        other.save(NEWER)
        with pytest.raises(StoreError, match="or removed it"):
            holder.save(TOKEN)

    assert other.load() == NEWER


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["file", "postgres", "mysql"])
def test_a_child_does_not_keep_the_lock_of_its_killed_parent(
    tmp_path: Path,
    database_url: Callable[[str], sqlalchemy.URL],
    table: str,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """R21: A child that was forked while the lock was held keeps it no longer than the server allows silence."""
    monkeypatch.setattr("foxy_auth.stores._database_locks.SILENCE", 1)
    store: Any = FileStore(tmp_path / "token.json")
    if kind != "file":
        store = SQLAlchemyStore(engine_for(database_url(kind)), table=table)
        store.create_table()
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        with store.lock(5.0):
            child = os.fork()
            if child:
                os.write(writing, str(child).encode())
            signal.pause()
    child = int(os.read(reading, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    try:
        with store.lock(5.0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(reading)
        os.close(writing)


def test_a_server_that_knows_no_limit_of_silence(
    database_url: Callable[[str], sqlalchemy.URL],
    table: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that cannot limit silence has a working lock all the same; that is logged at DEBUG."""
    monkeypatch.setattr("foxy_auth.stores._database_locks.SILENCE", "nonsense")
    store = SQLAlchemyStore(engine_for(database_url("mysql")), table=table)
    store.create_table()
    with caplog.at_level(logging.DEBUG, "foxy_auth"), store.lock(1.0):
        store.save(TOKEN)

    assert (store.load(), [record.levelname for record in caplog.records]) == (TOKEN, ["DEBUG"])
    assert "will notice late" in caplog.text


def test_a_server_that_ends_idle_sessions(database_url: Callable[[str], sqlalchemy.URL], table: str) -> None:
    """R11: A setting of PostgreSQL by which idle sessions end soon does not end the lock."""
    url = database_url("postgres")
    impatient = url.update_query_dict({"options": "-cidle_session_timeout=100"})
    one, other = (SQLAlchemyStore(engine_for(one), table=table) for one in (impatient, url))
    one.create_table()
    with one.lock(1.0), pytest.raises(TimeoutError):
        in_thread(lambda: save_with_lock(other, 0.4))


WAYS_TO_A_FILE = {
    "relative": ("sqlite:///made-up.db", "", {}),
    "link": ("sqlite:///link.db", "", {}),
    "URI": ("sqlite:///file:made-up.db?uri=true", "", {}),
    "schema": ("sqlite:///made-up.db", "main.", {}),
    "function": ("sqlite://", "", {"creator": partial(sqlite3.connect, "made-up.db")}),
}


@pytest.mark.parametrize(("url", "prefix", "options"), WAYS_TO_A_FILE.values(), ids=WAYS_TO_A_FILE)
def test_one_lock_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, prefix: str, options: dict[str, Any]
) -> None:
    """R11: However a file of SQLite is addressed, its row has the same lock."""
    monkeypatch.chdir(tmp_path)
    Path("link.db").symlink_to("made-up.db")
    one = SQLAlchemyStore(engine_for(f"sqlite:///{tmp_path}/made-up.db"), table="tokens")

    assert_same_row_and_lock(one, SQLAlchemyStore(engine_for(url, **options), table=f"{prefix}tokens"))


@pytest.mark.parametrize(
    ("kind", "way"),
    [*[("postgres", way) for way in ("schema", "search path", "function")], ("mysql", "schema"), ("mysql", "function")],
)
def test_one_lock_for_a_table(database_url: Callable[[str], sqlalchemy.URL], table: str, kind: str, way: str) -> None:
    """R11: However a table on a server is addressed, its row has the same lock."""
    url = database_url(kind)
    other, schema, options = url, "", {}
    if way == "function":
        other, options = sqlalchemy.make_url(f"{url.drivername}://"), {"creator": connecting(url)}
    elif way == "search path":
        other = url.update_query_dict({"options": "-csearch_path=pg_catalog,public"})
    elif kind == "postgres":
        schema = "public."
    else:
        other, schema = url.set(database="information_schema"), f"{url.database}."

    assert_same_row_and_lock(
        SQLAlchemyStore(engine_for(url), table=table),
        SQLAlchemyStore(engine_for(other, **options), table=f"{schema}{table}"),
    )


def assert_same_row_and_lock(one: SQLAlchemyStore, other: SQLAlchemyStore) -> None:
    """Assert that two stores use the same row, and exclude each other."""
    one.create_table()
    one.save(TOKEN)
    with one.lock(1.0):
        with pytest.raises(TimeoutError):
            in_thread(lambda: save_with_lock(other, 0.0))
        assert other.load() == TOKEN


def connecting(url: sqlalchemy.URL) -> Callable[[], Any]:
    """Make a function that connects to *url*."""
    dialect = sqlalchemy.create_engine(url).dialect
    positional, named = dialect.create_connect_args(url)
    return partial(dialect.connect, *positional, **named)


# --- connections -----------------------------------------------------------------------------------------------------


def test_an_exhausted_pool(database_url: Callable[[str], sqlalchemy.URL], table: str) -> None:
    """R11: A program whose requests use all connections of its pool while they wait for the token gets the token."""
    url = database_url("postgres")
    engine = sqlalchemy.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)
    store = SQLAlchemyStore(engine, table=table)
    store.create_table()
    with engine.connect():
        save_with_lock(store)
        loaded = store.load()
    engine.dispose()

    assert loaded == NEWER


def test_a_connection_that_hangs(database_url: Callable[[str], sqlalchemy.URL], table: str) -> None:
    """R20: A server that hung while one connection was made is used again once it responds, whatever the pool."""
    real = database_url("postgres")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ways = iter([connecting(real.set(port=silent.getsockname()[1])), connecting(real), connecting(real)])
        engine = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=lambda: next(ways)(),  # noqa: PLW0108 - the next one each time
            pool_size=1,
            max_overflow=0,
            pool_timeout=1,
        )
        store = SQLAlchemyStore(engine, table=table)
        with ThreadPoolExecutor(1) as threads:
            hanging = threads.submit(store.load)
            connection, _ = silent.accept()
            store.create_table()
            loaded = store.load()
            connection.close()

    assert isinstance(hanging.exception(), StoreError)
    assert loaded is None


def test_listeners_of_the_engine(tmp_path: Path) -> None:
    """Listeners that a program adds to its engine, such as one that sets a short-lived password, are called."""
    engine = sqlalchemy.create_engine("sqlite:////nowhere/made-up.db")
    called: list[str] = []

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def sign_in(_dialect: Any, _record: Any, args: list[Any], _named: Any) -> None:
        called.append("do_connect")
        args[0] = str(tmp_path / "made-up.db")

    @sqlalchemy.event.listens_for(engine, "connect")
    def prepare(_connection: Any, _record: Any) -> None:
        called.append("connect")

    SQLAlchemyStore(engine).create_table()

    assert called == ["do_connect", "connect"]
    assert (tmp_path / "made-up.db").exists()


def test_any_pool_of_a_server(database_url: Callable[[str], sqlalchemy.URL], table: str) -> None:
    """Any pool class is accepted for a server."""
    engine = sqlalchemy.create_engine(database_url("postgres"), poolclass=sqlalchemy.pool.SingletonThreadPool)
    store = SQLAlchemyStore(engine, table=table)
    store.create_table()
    store.save(TOKEN)

    assert store.load() == TOKEN


# --- the table -------------------------------------------------------------------------------------------------------


def test_migrations(tmp_path: Path) -> None:
    """The table can be in a schema, and copied to the metadata of one's own migrations."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")
    table = SQLAlchemyStore(engine, table="shop.tokens").table
    copy = table.to_metadata(sqlalchemy.MetaData())

    assert (copy.schema, copy.name, copy.columns.keys()) == ("shop", "tokens", ["name", "record", "version"])


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_two_programs_create_the_table(database_url: Callable[[str], sqlalchemy.URL], table: str, kind: str) -> None:
    """A table that another program creates at the same time, or has created, is not an error."""
    engine = engine_for(database_url(kind))
    one, other = (SQLAlchemyStore(engine, table=table) for _ in range(2))

    @sqlalchemy.event.listens_for(one.table, "before_create", once=True)
    def interrupt(*_: Any, **__: Any) -> None:
        other.create_table()

    one.create_table()
    one.create_table()
    one.save(TOKEN)

    assert other.load() == TOKEN


def test_translated_schemas(database_url: Callable[[str], sqlalchemy.URL]) -> None:
    """R11: With an engine that translates schemas, each tenant has its own table, record and lock."""
    engine = engine_for(database_url("postgres"))
    schemas = [f"foxy_{uuid4().hex[:8]}" for _ in range(2)]
    one, other = (SQLAlchemyStore(engine.execution_options(schema_translate_map={None: name})) for name in schemas)
    with engine.begin() as connection:
        for schema in schemas:
            connection.execute(sqlalchemy.schema.CreateSchema(schema))
    one.create_table()
    other.create_table()
    with one.lock(1.0):
        one.save(TOKEN)
        in_thread(lambda: save_with_lock(other))
    loaded = one.load(), other.load()
    with engine.begin() as connection:
        for schema in schemas:
            connection.execute(sqlalchemy.schema.DropSchema(schema, cascade=True))

    assert loaded == (TOKEN, NEWER)


# --- arguments -------------------------------------------------------------------------------------------------------


ONE_CONNECTION: dict[str, Any] = {"poolclass": sqlalchemy.StaticPool, "connect_args": {"check_same_thread": False}}


@pytest.mark.parametrize(
    ("engine", "error", "message"),
    [
        (sqlalchemy.create_engine("sqlite://"), ValueError, "use MemoryStore"),
        (sqlalchemy.create_engine("sqlite://", **ONE_CONNECTION), ValueError, "use MemoryStore"),
        (sqlalchemy.create_mock_engine("sqlite://", print), TypeError, "create_engine"),
        ("sqlite:///made-up.db", TypeError, "not str"),
        (create_async_engine("postgresql+psycopg://").sync_engine, TypeError, "not an async one"),
    ],
    ids=["one database for each thread", "in memory", "mock", "text", "async"],
)
def test_invalid_engines(engine: Any, error: type[Exception], message: str) -> None:
    """R24: What is not an engine, or of a database that cannot be shared, is refused at once."""
    with pytest.raises(error, match=message):
        SQLAlchemyStore(engine)
    with pytest.raises(StoreError, match=message):
        SQLAlchemyStore(lambda: engine).load()


def test_a_hidden_database_in_memory() -> None:
    """R24: A database in memory that only shows when it is connected to has no lock, and says so."""
    store = SQLAlchemyStore(engine_for("sqlite://", creator=partial(sqlite3.connect, ":memory:")))
    with pytest.raises(StoreError, match="use MemoryStore"), store.lock(1.0):
        pass


def test_unsupported_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: A database without a known lock is refused at once."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")
    monkeypatch.setattr(engine.dialect, "name", "oracle")
    with pytest.raises(ValueError, match="supports sqlite, postgresql, mysql, mariadb, not oracle"):
        SQLAlchemyStore(engine)


def test_pickling(tmp_path: Path) -> None:
    """R21, R24: A store with an engine cannot be pickled, and says that it takes a function, with which it can."""
    url = f"sqlite:///{tmp_path}/made-up.db"
    with pytest.raises(TypeError, match="with its Engine; give it a function that makes the Engine"):
        pickle.dumps(SQLAlchemyStore(sqlalchemy.create_engine(url)))
    store = SQLAlchemyStore(partial(sqlalchemy.create_engine, url, connect_args={"timeout": 1}))
    store.create_table()
    again: SQLAlchemyStore = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    again.save(TOKEN)

    assert store.load() == TOKEN


@pytest.mark.parametrize("key", ["", " ", "a ", "line\n", "x" * 191, None, 7], ids=repr)
def test_invalid_keys(tmp_path: Path, key: Any) -> None:
    """R24: A key that a database would shorten, or take for another, is refused at once, also in `for_key`."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")
    with pytest.raises(ValueError, match="190 printable characters"):
        SQLAlchemyStore(engine, key)
    with pytest.raises(ValueError, match=r"a key takes|190 printable characters"):
        SQLAlchemyStore(engine).for_key(key)


def test_thousands_of_keys(tmp_path: Path) -> None:
    """A store for each of many shops costs nothing until it is used; the same key of two stores is not the same row."""
    store = SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db"))
    store.create_table()
    shops = [store.for_key(f"store-{number}") for number in range(2000)]
    shops[7].save(TOKEN)
    shops[1999].save(NEWER)
    other = SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db"), "store-7")

    assert (shops[7].load(), shops[8].load(), shops[1999].load()) == (TOKEN, None, NEWER)
    assert (other.load(), other.for_key("store-7").load()) == (None, None)


def test_a_record_of_bytes(tmp_path: Path) -> None:
    """A record that somebody has replaced by bytes, which SQLite keeps in any column, is damaged like any other."""
    engine = engine_for(f"sqlite:///{tmp_path}/made-up.db")
    store = SQLAlchemyStore(engine)
    store.create_table()
    store.save(TOKEN)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE foxy_auth_tokens SET record = x'00ff'")
    with pytest.raises(StoreError, match="is damaged"):
        store.load()
    store.save(NEWER)

    assert store.load() == NEWER
