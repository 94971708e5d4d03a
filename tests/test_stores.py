"""Stores: the contract for each of them, over the real thing; and what is special to each."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio
import sqlalchemy
from cryptography.fernet import Fernet
from keyring.backends import chainer, fail, null
from keyrings import BrokenKeyring, KeptKeyring, LockedKeyring, PlaintextKeyring
from sqlalchemy.ext.asyncio import create_async_engine

from foxy_auth.errors import StoreError
from foxy_auth.stores import FileStore, KeyringStore, MemoryStore, RedisStore, SQLAlchemyStore, TokenStore
from foxy_auth.stores._records import Records
from foxy_auth.testing import TOKEN, StoreContract, in_fork
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from foxy_auth.testing import MakeStore

NEWER = replace(TOKEN, access_token="made-up-newer", refresh_token="made-up-newer-refresh")
SECRETS = [TOKEN.access_token, str(TOKEN.refresh_token), NEWER.access_token, str(NEWER.refresh_token)]


# --- the contract --------------------------------------------------------------------------------------------------


class TestMemoryStore(StoreContract):
    """In memory."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Keep them all beside one."""
        return MemoryStore().for_key


class TestFileStore(StoreContract):
    """In files."""

    shared = True
    errors = StoreError
    keeps_records = True

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        """Keep them in a folder that is made."""
        return lambda key: FileStore(tmp_path / "made" / "token.json").for_key(key)

    def put_record(self, make_store: MakeStore, key: str, record: str) -> None:
        """Write the file."""
        path: Path = make_store(key)._path
        path.parent.mkdir(exist_ok=True)
        path.write_text(record, encoding="utf-8")

    def get_record(self, make_store: MakeStore, key: str) -> str | None:
        """Read the file."""
        path: Path = make_store(key)._path
        return path.read_text(encoding="utf-8") if path.exists() else None


class TestEncryptedFileStore(StoreContract):
    """In files, encrypted."""

    shared = True

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        """Use one key for all."""
        key = Fernet.generate_key()
        return lambda name: FileStore(tmp_path / "token", key=key).for_key(name)


class TestKeyringStore(StoreContract):
    """In a keyring."""

    shared = True
    errors = StoreError
    keeps_records = True

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        """Use a keyring of the test's own; the lock file is where it is by default."""
        backend = KeptKeyring(tmp_path / "keyring.json")
        return lambda key: KeyringStore("made-up-program", "ann", backend=backend).for_key(key)

    def put_record(self, make_store: MakeStore, key: str, record: str) -> None:
        """Set the password."""
        store = make_store(key)
        store._backend.set_password(store._service, store._user, record)

    def get_record(self, make_store: MakeStore, key: str) -> str | None:
        """Get the password."""
        store = make_store(key)
        return str(store._backend.get_password(store._service, store._user))


class TestRedisStore(StoreContract):
    """In Redis."""

    shared = True
    errors = StoreError
    keeps_records = True
    freed_within = 0.9  # the lease below

    @pytest.fixture(params=[False, True], ids=["bytes", "text"])
    def make_store(self, request: pytest.FixtureRequest, server_url: Callable[[str], str]) -> Iterator[MakeStore]:
        """Use keys of the test's own, by clients that decode answers and by others."""
        with redis.Redis.from_url(server_url("redis"), decode_responses=request.param) as client:
            place = f"foxy-{uuid4().hex}"
            yield lambda key: RedisStore(client, place, lease=self.freed_within).for_key(key)

    def put_record(self, make_store: MakeStore, key: str, record: str) -> None:
        """Set the key."""
        store = make_store(key)
        store._redis.set(store._key, record)

    def get_record(self, make_store: MakeStore, key: str) -> str | None:
        """Get the key."""
        store = make_store(key)
        text: str | None = store._text(store._redis.get(store._key))
        return text


class _TestSQL(StoreContract):
    """In a row of a table."""

    shared = True
    errors = StoreError
    keeps_records = True

    @pytest.fixture
    def engine(self) -> sqlalchemy.Engine:
        """Connect to the database."""
        raise NotImplementedError

    @pytest.fixture
    def make_store(self, engine: sqlalchemy.Engine) -> Iterator[MakeStore]:
        """Use a table of the test's own."""
        store = SQLAlchemyStore(engine, table=f"foxy_{uuid4().hex[:8]}")
        store.create_table()
        store.create_table()
        yield lambda key: SQLAlchemyStore(engine, key, table=store.table.name)
        store.table.drop(engine)
        engine.dispose()

    def put_record(self, make_store: MakeStore, key: str, record: str) -> None:
        """Replace the row."""
        table = make_store(key).table
        with make_store(key)._database.connected() as connection:
            connection.execute(table.delete())
            connection.execute(table.insert().values(name=key, record=record, version=7))

    def get_record(self, make_store: MakeStore, key: str) -> str | None:
        """Read the row."""
        table = make_store(key).table
        with make_store(key)._database.connected() as connection:
            found = connection.execute(sqlalchemy.select(table.c.record).where(table.c.name == key)).scalar()
            return None if found is None else str(found)


class TestSQLite(_TestSQL):
    """In a file of SQLite."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> sqlalchemy.Engine:
        """Make a database."""
        return sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")


class TestSQLiteInMemory(_TestSQL):
    """In SQLite in memory."""

    shared = False

    @pytest.fixture
    def engine(self) -> sqlalchemy.Engine:
        """Make a database that all threads see."""
        same: dict[str, Any] = {"poolclass": sqlalchemy.StaticPool, "connect_args": {"check_same_thread": False}}
        return sqlalchemy.create_engine("sqlite://", **same)


def test_another_store_of_a_database_in_memory_ends_no_transaction() -> None:
    """R11: all stores of a database in memory have its one connection, and wait for each other to be done with it."""
    same: dict[str, Any] = {"poolclass": sqlalchemy.StaticPool, "connect_args": {"check_same_thread": False}}
    engine = sqlalchemy.create_engine("sqlite://", **same)
    store = SQLAlchemyStore(engine, "one")
    store.create_table()
    other = threading.Thread(target=lambda: SQLAlchemyStore(engine, "two").load())
    with store._database.connected() as connection:
        connection.execute(store.table.insert().values(name="one", record="made-up", version=1))
        other.start()
        other.join(0.3)  # it does not end before this transaction does
    other.join()

    with engine.connect() as connection:
        assert connection.execute(store.table.select()).all() == [("one", "made-up", 1)]


class TestPostgreSQL(_TestSQL):
    """In PostgreSQL."""

    @pytest.fixture
    def engine(self, server_url: Callable[[str], str]) -> sqlalchemy.Engine:
        """Connect through a pool that has only one connection."""
        return sqlalchemy.create_engine(server_url("postgres"), pool_size=1, max_overflow=0, pool_timeout=5)


class TestMariaDB(_TestSQL):
    """In MariaDB."""

    @pytest.fixture
    def engine(self, server_url: Callable[[str], str]) -> sqlalchemy.Engine:
        """Connect without a pool."""
        return sqlalchemy.create_engine(server_url("mysql"), poolclass=sqlalchemy.NullPool)


def copied(thing: Any) -> Any:
    """Send something to another process, as it were."""
    return pickle.loads(pickle.dumps(thing))  # noqa: S301 - our own


# --- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_has_a_memory_of_its_own() -> None:
    """A child that is forked while a thread of its parent holds the lock has a copy, whose lock is free."""
    store = MemoryStore(TOKEN)
    with store.lock(1.0):
        status, said = in_fork(lambda: write_under_lock(store))
        copy: MemoryStore = copied(store)

    assert (status, said, store.load(), copy.load()) == (0, "True", TOKEN, TOKEN)


# --- files ---------------------------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    """Return the permissions of a file or folder."""
    return path.stat().st_mode & 0o777


def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    """A file, its lock and the folders made for them are their owner's alone, whatever the umask."""
    umask = os.umask(0)
    folder = tmp_path / "above" / "made"
    try:
        store = FileStore(folder / "token.json")
        with store.lock(1.0):
            store.save(TOKEN)
            store.save(NEWER)
    finally:
        os.umask(umask)
    files = sorted(folder.iterdir())

    assert [(path.name, mode(path)) for path in files] == [("token.json", 0o600), ("token.json.lock", 0o600)]
    assert mode(folder) == mode(folder.parent) == 0o700


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new record is on the disk before it takes the place of the former, in one step."""
    steps: list[str] = []
    store = FileStore(tmp_path / "token.json")
    store.save(TOKEN)
    fsync, put = os.fsync, os.replace

    def note_fsync(handle: int) -> None:
        steps.append(f"fsync, and the store holds {getattr(store.load(), 'access_token', None)}")
        fsync(handle)

    def note_replace(source: str, target: str) -> None:
        steps.append("replace")
        put(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    store.save(NEWER)

    assert steps == [
        f"fsync, and the store holds {TOKEN.access_token}",
        "replace",
        f"fsync, and the store holds {NEWER.access_token}",
    ]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    """A new record whose writer was killed is removed with the next save, once nobody can be writing it any more."""
    store = FileStore(tmp_path / "token.json")
    left, fresh, other = (tmp_path / name for name in (".token.json.a.new", ".token.json.b.new", ".other.json.a.new"))
    for path in (left, fresh, other):
        path.write_text("made up")
    for path in (left, other):
        os.utime(path, (1, 1))
    store.save(TOKEN)

    assert [path.exists() for path in (left, fresh, other)] == [False, True, True]


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its folder, as a daemon does, keeps its file; a link is followed, not replaced."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.json").symlink_to(tmp_path / "other" / "token.json")
    store = FileStore("link.json")
    monkeypatch.chdir(tmp_path / "other")
    store.save(TOKEN)

    assert (tmp_path / "link.json").is_symlink()
    assert FileStore(tmp_path / "link.json").load() == TOKEN


AS_SOMEBODY_ELSE = """
import filelock, logging, os, pickle, resource, sys  # as long as they can be read
store, token, deed, limit = pickle.load(sys.stdin.buffer)
if limit:
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
elif os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    if deed == "lock":
        with store.lock(1.0):
            pass
    else:
        getattr(store, deed)(*([token] if deed == "save" else []))
    print("done")
except Exception as error:
    print(type(error).__name__, error)
"""


def as_somebody_else(store: TokenStore, deed: str, limit: int = 0) -> str:
    """Do something to a store without the rights of root, or with no more disk than *limit*; return what came of it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    content = pickle.dumps((store, NEWER, deed, limit))
    program = [sys.executable, "-c", AS_SOMEBODY_ELSE]
    return subprocess.run(
        program, input=content, capture_output=True, env=environment, check=True, timeout=20
    ).stdout.decode()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that everybody can get to."""
    folder = Path(mkdtemp(prefix="foxy-auth-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("deed", ["load", "save", "lock"])
def test_a_file_of_somebody_else(open_folder: Path, deed: str) -> None:
    """What cannot be read, written or locked is an error that names the file, and changes nothing."""
    store = FileStore(open_folder / "token.json")
    with store.lock(1.0):
        store.save(TOKEN)
    for path in open_folder.iterdir():
        path.chmod(0)
    open_folder.chmod(0o555)
    said = as_somebody_else(store, deed)
    open_folder.chmod(0o755)
    for path in open_folder.iterdir():
        path.chmod(0o600)

    assert said.startswith("StoreError")
    assert str(open_folder / "token.json") in said
    assert "repair" in said
    assert FileStore(open_folder / "token.json").load() == TOKEN


def test_a_read_only_folder(open_folder: Path) -> None:
    """A folder that cannot be written to is an error, and the former record is still there."""
    store = FileStore(open_folder / "token.json")
    store.save(TOKEN)
    (open_folder / "token.json").chmod(0o644)
    open_folder.chmod(0o555)
    loaded, saved = as_somebody_else(store, "load"), as_somebody_else(store, "save")

    assert (loaded.strip(), saved.split(maxsplit=1)[0]) == ("done", "StoreError")
    assert store.load() == TOKEN


@pytest.mark.parametrize("deed", ["lock", "save"])
def test_a_full_disk(tmp_path: Path, deed: str) -> None:
    """Where no record fits, none is asked for, nor saved; the former one is still there, whole, and nothing else."""
    store = FileStore(tmp_path / "token.json")
    with store.lock(1.0):
        store.save(TOKEN)
    said = as_somebody_else(store, deed, limit=50)

    assert said.startswith("StoreError")
    assert "File too large" in said
    assert store.load() == TOKEN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["token.json", "token.json.lock"]


@pytest.mark.parametrize("rights", [0o555, 0o1777], ids=oct)
@pytest.mark.parametrize("deed", ["lock", "save"])
def test_what_can_be_locked_but_not_saved(open_folder: Path, deed: str, rights: int) -> None:
    """Nobody gets the lock, and so asks for a token, who could not save it: in that folder, over that file."""
    store = FileStore(open_folder / "token.json")
    with store.lock(1.0):
        store.save(TOKEN)
    (open_folder / "token.json").chmod(0o644)
    (open_folder / "token.json.lock").chmod(0o666)
    open_folder.chmod(rights)
    said = as_somebody_else(store, deed)

    assert said.startswith(f"StoreError {open_folder / 'token.json'} cannot be written")
    assert store.load() == TOKEN


def test_a_full_disk_and_a_damaged_record(tmp_path: Path) -> None:
    """A damaged record stays where it is until its successor is on the disk: its place is never empty meanwhile."""
    store = FileStore(tmp_path / "token.json")
    (tmp_path / "token.json").write_text("{")
    said = as_somebody_else(store, "save", limit=50)

    assert said.startswith("StoreError")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"token.json": "{"}


def test_every_damaged_record_is_kept(tmp_path: Path) -> None:
    """A damaged record does not take the place of an earlier one that was kept aside."""
    store = FileStore(tmp_path / "token.json")
    for damaged in ("{first", "{second"):
        (tmp_path / "token.json").write_text(damaged)
        store.save(TOKEN)
    kept = sorted(tmp_path.glob("*.damaged"))

    assert [(path.name, path.read_text()) for path in kept] == [
        ("token.json.1.damaged", "{first"),
        ("token.json.2.damaged", "{second"),
    ]


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file of 100 MB is refused without being read."""
    path = tmp_path / "token.json"
    with path.open("wb") as file:
        file.write(b"[" * 1000)
        file.truncate(100_000_000)
    began = time.monotonic()
    with pytest.raises(StoreError, match="longer than"):
        FileStore(path).load()

    assert time.monotonic() - began < 5.0
    assert path.stat().st_size == 100_000_000


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, lambda path: path.write_bytes(b"\xff" * 100), lambda path: path.symlink_to(path)],
    ids=["folder", "bytes", "link to itself"],
)
def test_what_is_no_record_at_all(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A folder, bytes that are no text, or a link that leads nowhere are errors that name the path."""
    make(tmp_path / "token.json")
    with pytest.raises(StoreError, match=r"token\.json"):
        FileStore(tmp_path / "token.json").load()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What would keep its reader waiting for ever is an error, to a reader and to a writer, and stays."""
    store = FileStore(tmp_path / "token.json")
    os.mkfifo(tmp_path / "token.json")
    for deed in (store.load, lambda: store.save(TOKEN)):
        with pytest.raises(StoreError, match="is no file"):
            deed()

    assert (tmp_path / "token.json").is_fifo()


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_one_flipped_byte(tmp_path: Path, client: redis.Redis, place: str, kind: str) -> None:
    """A byte that is no text is damage, which no request is sent with; a save keeps it aside as it is."""
    store: TokenStore = FileStore(tmp_path / "token") if kind == "file" else RedisStore(client, place)
    damaged = json.dumps({**TOKEN.to_dict(), "version": 1}).encode().replace(b"refresh-token", b"refresh\xfftoken")
    (tmp_path / "token").write_bytes(damaged)
    client.set(place, damaged)
    with pytest.raises(StoreError, match="damaged"):
        store.load()
    store.save(NEWER)

    assert store.load() == NEWER
    assert damaged == (
        (tmp_path / "token.1.damaged").read_bytes() if kind == "file" else client.get(f"{place}:damaged")
    )


def test_a_newer_version_of_the_record(tmp_path: Path) -> None:
    """A record of a version to come is an error that says to update, not a damaged one."""
    path = tmp_path / "token.json"
    path.write_text(json.dumps({**TOKEN.to_dict(), "version": 2}))
    with pytest.raises(StoreError, match="update foxy_auth"):
        FileStore(path).load()


HOLDER_WITH_CHILD = """
import os, pickle, sys, time
store = pickle.load(sys.stdin.buffer)
with store.lock(5.0):
    child = os.fork()
    if child == 0:
        time.sleep(30)
    print(child, flush=True)
    time.sleep(30)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("kind", ["file", "postgres", "mysql"])
def test_a_child_does_not_keep_its_parents_lock(
    tmp_path: Path, server_url: Callable[[str], str], request: pytest.FixtureRequest, kind: str
) -> None:
    """When a process is killed that held the lock, it is free, even if a child that was forked inside lives on."""
    store: Any = FileStore(tmp_path / "token.json")
    if kind != "file":
        engine = sqlalchemy.create_engine(server_url(kind), poolclass=sqlalchemy.NullPool)
        store = SQLAlchemyStore(engine, table=f"foxy_{uuid4().hex[:8]}")
        store.create_table()
        request.addfinalizer(lambda: store.table.drop(engine))
    program = [sys.executable, "-c", HOLDER_WITH_CHILD]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(pickle.dumps(store))
        holder.stdin.close()
        child = int(holder.stdout.readline())
        holder.kill()
        try:
            with store.lock(5.0):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("key", ["", ".hidden", "../other", "a/b", "lock", "a.damaged", "a b", "ä", None, 7], ids=repr)
def test_keys_that_could_lead_elsewhere(tmp_path: Path, key: Any) -> None:
    """A key that could name another file, or the lock, is refused at once."""
    with pytest.raises(ValueError, match="store-123"):
        FileStore(tmp_path / "token").for_key(key)


def test_names_that_are_too_long(tmp_path: Path) -> None:
    """A name that leaves no room for those of the files beside it is refused at once; the longest that does serves."""
    longest = FileStore(tmp_path / "token").for_key("x" * 234)
    with longest.lock(1.0):
        longest.save(TOKEN)
    longest._path.write_text("{")
    longest.save(NEWER)
    with pytest.raises(ValueError, match="240 bytes"):
        FileStore(tmp_path / "token").for_key("x" * 235)
    with pytest.raises(ValueError, match="240 bytes"):
        FileStore(tmp_path / ("ü" * 121))

    assert longest.load() == NEWER


def test_the_file_is_kept_by_key(tmp_path: Path) -> None:
    """Each key has its own file beside the first."""
    FileStore(tmp_path / "token.json").for_key("store-123").save(TOKEN)

    assert [path.name for path in tmp_path.iterdir()] == ["token.store-123.json"]


# --- encryption ----------------------------------------------------------------------------------------------------


def test_what_a_thief_finds(tmp_path: Path, server_url: Callable[[str], str]) -> None:
    """With a key, neither file nor row nor Redis key shows anything of the token."""
    key = Fernet.generate_key()
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")
    client = redis.Redis.from_url(server_url("redis"))
    place = f"foxy-{uuid4().hex}"
    row = SQLAlchemyStore(engine, encryption_key=key)
    row.create_table()
    stores: list[TokenStore] = [
        FileStore(tmp_path / "token.json", key=key),
        row,
        RedisStore(client, place, encryption_key=key),
    ]
    for store in stores:
        store.save(TOKEN)
        store.save(NEWER)
    loot = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + client.get(place)  # type: ignore[operator]
    client.close()

    assert [store.load() for store in stores] == [NEWER] * 3
    assert not any(word.encode() in loot for word in [*SECRETS, "access_token", "store_full_access", str(key)])


def test_keys_can_be_replaced(tmp_path: Path) -> None:
    """With several keys the first encrypts and all decrypt; with one that is none of them, nothing is lost."""
    old, new = Fernet.generate_key(), Fernet.generate_key()
    path = tmp_path / "token.json"
    FileStore(path, key=old).save(TOKEN)
    between = FileStore(path, key=[new, old])
    loaded = between.load()
    between.save(NEWER)

    assert (loaded, FileStore(path, key=new).load()) == (TOKEN, NEWER)
    for other in (FileStore(path, key=old), FileStore(path)):
        with pytest.raises(StoreError):
            other.load()
    assert FileStore(path, key=new).load() == NEWER


def test_plain_text_is_refused_where_a_key_was_agreed_on(tmp_path: Path) -> None:
    """A record that somebody has put there in plain text does not pass for an encrypted one."""
    FileStore(tmp_path / "token.json").save(TOKEN)
    with pytest.raises(StoreError, match="does not open with this key, or is not encrypted"):
        FileStore(tmp_path / "token.json", key=Fernet.generate_key()).load()


@pytest.mark.parametrize(
    ("key", "short", "long"),
    [(None, 65_000, 66_000), (Fernet.generate_key(), 48_000, 50_000)],
    ids=["plain", "encrypted"],
)
def test_what_is_written_can_be_read(tmp_path: Path, key: bytes | None, short: int, long: int) -> None:
    """A token too long to be read again, encrypted or not, is refused; the former record is still there."""
    store = FileStore(tmp_path / "token.json", key=key)
    store.save(Token("x" * short))
    with pytest.raises(StoreError, match="characters of 65536"):
        store.save(Token("x" * long))

    assert store.load() == Token("x" * short)


@pytest.mark.parametrize("key", ["", "short", b"short", [], ["short"], 7], ids=repr)
def test_a_key_that_is_none(tmp_path: Path, key: Any) -> None:
    """What is no key is refused at once, by an error that does not show it."""
    with pytest.raises(ValueError, match=r"Fernet\.generate_key") as caught:
        FileStore(tmp_path / "token.json", key=key)

    assert "short" not in str(caught.value)


def test_keys_without_an_order(tmp_path: Path) -> None:
    """Several keys of which none is the first are refused at once: it would encrypt by chance."""
    keys: Any = {Fernet.generate_key(), Fernet.generate_key()}
    with pytest.raises(ValueError, match="or several in a list"):
        FileStore(tmp_path / "token.json", key=keys)


# --- keyrings ------------------------------------------------------------------------------------------------------


FAIL: Any = fail.Keyring()  # type: ignore[no-untyped-call]
NULL: Any = null.Keyring()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        (FAIL, "no keyring"),
        (NULL, "no keyring"),
        (type("Chain", (chainer.ChainerBackend,), {"backends": []})(), "no keyring"),
        (type("Chain", (chainer.ChainerBackend,), {"backends": [PlaintextKeyring()]})(), "plain text"),
        (PlaintextKeyring(), "plain text"),
    ],
    ids=["fail", "null", "no chain", "plain chain", "plain"],
)
def test_a_keyring_that_is_none(monkeypatch: pytest.MonkeyPatch, backend: Any, says: str) -> None:
    """Where there is no keyring, or only one that encrypts nothing, that is an error at once."""
    monkeypatch.setattr("keyring.get_keyring", lambda: backend)
    with pytest.raises(StoreError, match=f"{says}.*FileStore"):
        KeyringStore("made-up-program", "ann")


def test_the_keyring_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a backend given, the one that the package keyring chooses is used, also the first of a chain."""
    kept = KeptKeyring(tmp_path / "keyring.json")
    chain = type("Chain", (chainer.ChainerBackend,), {"backends": [FAIL, kept, PlaintextKeyring()]})
    for backend in (kept, chain()):
        monkeypatch.setattr("keyring.get_keyring", lambda backend=backend: backend)
        if backend is kept:
            KeyringStore("made-up-program", "ann").save(TOKEN)

    assert list(kept.secrets()) == ["made-up-program ann"]


def test_windows_keeps_no_more_than_1280_characters(tmp_path: Path) -> None:
    """A record that Windows would refuse is refused before it is written; the former one is still there."""
    windows = type("Windows", (KeptKeyring,), {"__module__": "keyring.backends.Windows"})(tmp_path / "keyring.json")
    store = KeyringStore("made-up-program", "ann", backend=windows)
    room = 1280 - len(Records().written(replace(TOKEN, access_token="x")))
    store.save(replace(TOKEN, access_token="x" * (room + 1)))
    with pytest.raises(StoreError, match=r"takes 1281 characters of 1280.*FileStore"):
        store.save(replace(TOKEN, access_token="x" * (room + 2)))

    assert store.load() == replace(TOKEN, access_token="x" * (room + 1))


def test_any_keyring_may_have_a_limit(tmp_path: Path) -> None:
    """The limit can be set for other keyrings."""
    store = KeyringStore("made-up-program", "ann", backend=KeptKeyring(tmp_path / "keyring.json"), limit=100)
    with pytest.raises(StoreError, match="of 100"):
        store.save(TOKEN)


def test_a_keyring_that_waits_for_its_user() -> None:
    """A keyring that does not answer is an error when the time is up."""
    backend = LockedKeyring()
    store = KeyringStore("made-up-program", "ann", backend=backend, timeout=0.1)
    began = time.monotonic()
    for deed in (store.load, lambda: store.save(TOKEN)):
        with pytest.raises(StoreError, match=r"in 0\.1 s; unlock the keyring, or use FileStore"):
            deed()
    took = time.monotonic() - began
    backend.unlocked.set()

    assert took < 10.0


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyError, type("error", (Exception,), {})])
def test_whatever_a_keyring_raises(error: type[Exception]) -> None:
    """Backends raise the errors of their systems, such as `pywintypes.error`; each is an error of the store."""

    def deed() -> None:
        raise error(TOKEN.access_token)

    store = KeyringStore("made-up-program", "ann", backend=BrokenKeyring(deed))
    with pytest.raises(StoreError, match=f"{error.__name__}.*unlock") as caught:
        store.load()

    assert isinstance(caught.value.__cause__, error)
    assert TOKEN.access_token not in str(caught.value)


def test_the_lock_beside_a_keyring(tmp_path: Path, clean_environment: Path) -> None:
    """The lock file is the user's alone, in the folder where programs keep their state, or where it is wanted."""
    backend = KeptKeyring(tmp_path / "keyring.json")
    with KeyringStore("made-up-program", "ann", backend=backend).lock(1.0):
        pass
    with KeyringStore("made-up-program", "ann", backend=backend, lock_path=tmp_path / "mine" / "lock").lock(1.0):
        pass
    [path] = clean_environment.rglob("keyring-*.lock")

    assert (mode(path), mode(path.parent), path.parent.name) == (0o600, 0o700, "foxy_auth")
    assert mode(tmp_path / "mine" / "lock") == 0o600


def test_the_lock_beside_a_keyring_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that cron starts, without the settings of a desktop, is kept out by one of the desktop."""
    store = KeyringStore("made-up-program", "ann", backend=KeptKeyring(tmp_path / "keyring.json"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with store.lock(1.0):
        monkeypatch.delenv("XDG_STATE_HOME")
        with pytest.raises(TimeoutError), store.lock(0.0):
            pass


def test_each_key_of_a_keyring_has_its_lock(tmp_path: Path) -> None:
    """Who holds the lock of one grant keeps nobody from another, also where the lock file has been chosen."""
    backend = KeptKeyring(tmp_path / "keyring.json")
    store = KeyringStore("made-up-program", "ann", backend=backend, lock_path=tmp_path / "lock")
    with store.lock(0.0), store.for_key("one").lock(0.0), store.for_key("other").lock(0.0):
        names = sorted(path.name for path in tmp_path.glob("lock*"))
        with pytest.raises(TimeoutError), store.for_key("one").lock(0.0):
            pass

    assert names == ["lock", "lock.one", "lock.other"]


# --- Redis ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(server_url: Callable[[str], str]) -> Iterator[redis.Redis]:
    """Connect to Redis."""
    with redis.Redis.from_url(server_url("redis")) as client:
        yield client


@pytest.fixture
def place() -> str:
    """Give a key that nobody else uses."""
    return f"foxy-{uuid4().hex}"


def test_a_record_in_redis_does_not_expire(client: redis.Redis, place: str) -> None:
    """The record outlives the access token; the lock has a lease."""
    store = RedisStore(client, place, lease=5.0)
    with store.lock(1.0):
        store.save(TOKEN)
        lives = (client.ttl(place), 0 < int(str(client.pttl(f"{place}:lock"))) <= 5000)

    assert lives == (-1, True)
    assert client.exists(f"{place}:lock") == 0


def test_a_lease_is_renewed(client: redis.Redis, place: str) -> None:
    """Who holds the lock for longer than a lease still has it, and everybody else waits."""
    with RedisStore(client, place, lease=0.2).lock(1.0):
        time.sleep(0.5)
        with pytest.raises(TimeoutError), RedisStore(client, place).lock(0.0):
            pass


def test_who_lost_the_lock_replaces_nothing(client: redis.Redis, place: str, caplog: pytest.LogCaptureFixture) -> None:
    """A holder whose lease ran out cannot replace what others wrote since, nor release what they hold."""
    slept, other = RedisStore(client, place), RedisStore(client, place)
    slept.save(TOKEN)
    with slept.lock(1.0):
        slept.load()
        client.delete(f"{place}:lock")  # as when its lease runs out
        wrote = in_thread(lambda: write_under_lock(other))
        with pytest.raises(StoreError, match="somebody else has written"):
            slept.save(TOKEN)

    assert (wrote, other.load()) == (True, NEWER)


def write_under_lock(store: TokenStore, timeout: float = 5.0) -> bool:
    """Do what another process does that refreshes."""
    with store.lock(timeout):
        store.load()
        store.save(NEWER)
    return True


def in_thread(work: Callable[[], Any]) -> Any:
    """Do *work* in another thread."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()


def test_a_lost_lock_is_not_taken_from_others(client: redis.Redis, place: str) -> None:
    """Leaving the lock after the lease ran out leaves the next holder's lock alone."""
    with RedisStore(client, place).lock(1.0):
        client.set(f"{place}:lock", "somebody else")

    assert client.get(f"{place}:lock") == b"somebody else"


def test_a_lock_is_released_by_its_owner_alone(client: redis.Redis, place: str) -> None:
    """Each holder has a random name of its own."""
    owners: set[object] = set()
    for _ in range(3):
        with RedisStore(client, place).lock(1.0):
            owners.add(client.get(f"{place}:lock"))

    assert len(owners) == 3


def test_without_redis() -> None:
    """Redis that is not there is an error of the store, told apart from a lock that is held."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        store = RedisStore(redis.Redis(port=nobody.getsockname()[1], socket_connect_timeout=0.2, retry=None), "foxy")  # type: ignore[arg-type]
        for deed in (store.load, lambda: store.save(TOKEN), lambda: store.lock(1.0).__enter__()):
            with pytest.raises(StoreError, match="look after the server"):
                deed()


def test_another_kind_of_value_in_redis(client: redis.Redis, place: str) -> None:
    """A key that holds something else is an error, and stays."""
    client.rpush(place, "made up")
    with pytest.raises(StoreError, match="ResponseError"):
        RedisStore(client, place).load()

    assert client.lrange(place, 0, -1) == [b"made up"]


def test_a_huge_value_in_redis(client: redis.Redis, place: str) -> None:
    """A value of 10 MB is refused without being fetched; a save keeps it aside, whole."""
    client.setrange(place, 10_000_000, b"x")
    with pytest.raises(StoreError, match="longer than"):
        RedisStore(client, place).load()
    RedisStore(client, place).save(TOKEN)

    assert RedisStore(client, place).load() == TOKEN
    assert client.strlen(f"{place}:damaged") == 10_000_001
    client.delete(f"{place}:damaged")


def test_a_client_of_redis_survives_a_pickle(server_url: Callable[[str], str], place: str) -> None:
    """The copy connects with the same settings; a client whose settings are not all known must come by a function."""
    url = server_url("redis")
    client = redis.Redis.from_url(url, client_name="ann", decode_responses=True, max_connections=3)
    store: RedisStore = copied(RedisStore(client, place))
    store.save(TOKEN)
    settings = store._redis.connection_pool.connection_kwargs
    store._redis.close()
    client.close()
    client.connection_pool.connection_kwargs["odd"] = threading.Lock()
    with pytest.raises(TypeError, match="a function that makes it"):
        pickle.dumps(RedisStore(client, place))

    assert (settings["client_name"], settings["decode_responses"], settings["socket_timeout"]) == ("ann", True, 2)
    assert callable(copied(RedisStore(connect_nowhere, place))._client)


def test_a_client_that_a_function_makes(server_url: Callable[[str], str], place: str) -> None:
    """It is one for all threads and grants, and the store can be pickled however often the client was used."""
    made: list[redis.Redis] = []

    def connect() -> redis.Redis:
        made.append(connect_oddly(server_url("redis")))
        return made[-1]

    store = RedisStore(connect, place)
    together = threading.Barrier(8)

    def load(number: int) -> None:
        together.wait()
        store.for_key(f"store-{number}").load()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load, range(8)))
    used = RedisStore(partial(connect_oddly, server_url("redis")), place)
    used.save(TOKEN)
    again: RedisStore = copied(copied(used))

    assert (len(made), again.load()) == (1, TOKEN)


def connect_oddly(url: str) -> redis.Redis:
    """Make a client that cannot be pickled."""
    return redis.Redis.from_url(url, redis_connect_func=lambda connection: connection.on_connect())


def connect_nowhere() -> redis.Redis:
    """Make a client."""
    return redis.Redis(port=1)


@pytest.mark.parametrize(
    ("client", "error", "says"),
    [
        (redis.asyncio.Redis(), TypeError, "threads of their own"),
        (type("Mine", (redis.asyncio.Redis,), {})(), TypeError, "threads of their own"),
        (redis.Redis().pipeline(), TypeError, "not Pipeline"),
        ("redis://localhost", TypeError, "not str"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_what_is_no_client(client: Any, error: type[Exception], says: str) -> None:
    """What is no client of Redis is refused at once, or when a function has made it."""
    with pytest.raises(error, match=says):
        RedisStore(client, "foxy")
    with pytest.raises(StoreError, match=says):
        RedisStore(lambda: client, "foxy").load()


@pytest.mark.parametrize("lease", [0.0, float("inf"), float("nan")])
def test_what_is_no_lease(lease: float) -> None:
    """A lease that would free the lock at once, or never, is refused at once."""
    with pytest.raises(ValueError, match="seconds"):
        RedisStore(redis.Redis(), "foxy", lease=lease)


# --- SQL -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_no_statement_is_logged_with_a_token(
    tmp_path: Path, server_url: Callable[[str], str], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """R23: Neither the log of SQLAlchemy, at its most talkative, nor its errors show a token."""
    url = f"sqlite:///{tmp_path}/made-up.db" if kind == "sqlite" else server_url(kind)
    engine = sqlalchemy.create_engine(url, echo="debug", poolclass=sqlalchemy.NullPool)
    caplog.set_level(logging.DEBUG, logger="sqlalchemy")
    store = SQLAlchemyStore(engine, table=f"foxy_{uuid4().hex[:8]}")
    with pytest.raises(StoreError, match=f"no table {store.table.name}; call create_table") as caught:
        store.save(TOKEN)
    store.create_table()
    with store.lock(1.0):
        store.save(TOKEN)
        store.load()
        store.save(NEWER)
    store.load()
    store.table.drop(engine)

    assert "UPDATE" in caplog.text
    assert "hidden" in caplog.text
    assert not any(secret in caplog.text + str(caught.value.__cause__) for secret in SECRETS)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        *[(kind, "record TEXT CHECK (version > 9)") for kind in ("sqlite", "postgres")],
        *[(kind, "record TEXT, tenant VARCHAR(9) NOT NULL") for kind in ("sqlite", "postgres", "mysql")],
        ("mysql", "record INTEGER"),
    ],
)
def test_a_database_that_refuses_a_record(
    tmp_path: Path, server_url: Callable[[str], str], kind: str, shape: str
) -> None:
    """R23: A record that the table does not take is an error that quotes nothing of it, and not somebody else's."""
    url = f"sqlite:///{tmp_path}/made-up.db" if kind == "sqlite" else server_url(kind)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    store = SQLAlchemyStore(engine, table=f"foxy_{uuid4().hex[:8]}")
    columns = f"name VARCHAR(99) PRIMARY KEY, version INTEGER, {shape}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {store.table.name} ({columns})")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        store.save(TOKEN)
    told = "".join(traceback.format_exception(caught.value))
    drop_table(store)

    assert "made-up" not in told


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_who_lost_the_connection_replaces_nothing(
    server_url: Callable[[str], str], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A holder whose connection broke cannot replace what others wrote since, and is told in the log."""
    engine = sqlalchemy.create_engine(server_url(kind), poolclass=sqlalchemy.NullPool)
    table = f"foxy_{uuid4().hex[:8]}"
    slept, other = SQLAlchemyStore(engine, table=table), SQLAlchemyStore(engine, table=table)
    slept.create_table()
    slept.save(TOKEN)
    with slept.lock(1.0):
        slept.load()
        break_other_connections(engine)
        in_thread(lambda: write_under_lock(other))
        with pytest.raises(StoreError, match="somebody else has written"):
            slept.save(TOKEN)
    loaded = other.load()
    other.table.drop(engine)

    assert loaded == NEWER
    assert "the lock in the database was not released (" in caplog.text


def test_a_server_that_cannot_watch_its_connections(
    server_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that takes no deadline for silent connections locks all the same; the log tells that, at DEBUG."""
    monkeypatch.setattr("foxy_auth.stores._database.SILENCE", "nonsense")
    engine = sqlalchemy.create_engine(server_url("mysql"), poolclass=sqlalchemy.NullPool)
    store = SQLAlchemyStore(engine, table=f"foxy_{uuid4().hex[:8]}")
    store.create_table()
    with caplog.at_level(logging.DEBUG, "foxy_auth"), store.lock(1.0):
        store.save(TOKEN)
    loaded = store.load()
    store.table.drop(engine)

    assert (loaded, [record.levelname for record in caplog.records]) == (TOKEN, ["DEBUG"])
    assert "slow to miss a machine that is gone (" in caplog.text


def test_a_server_that_ends_idle_sessions(server_url: Callable[[str], str]) -> None:
    """A holder that waits for the token endpoint has the lock of PostgreSQL, however short sessions may be idle."""
    url = sqlalchemy.make_url(server_url("postgres"))
    hasty = url.update_query_dict({"options": "-cidle_session_timeout=100"})
    one, other = (
        SQLAlchemyStore(sqlalchemy.create_engine(each, poolclass=sqlalchemy.NullPool)) for each in (hasty, url)
    )
    one.create_table()
    with one.lock(1.0), pytest.raises(TimeoutError):
        in_thread(lambda: write_under_lock(other, 1.0))


def break_other_connections(engine: sqlalchemy.Engine) -> None:
    """Do what a network does that fails."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            mine = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
            connection.execute(sqlalchemy.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"))  # noqa: S608
            return
        query = "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND command = 'Sleep'"
        for number in connection.execute(sqlalchemy.text(query)).scalars().all():
            connection.execute(sqlalchemy.text(f"KILL {int(number)}"))


def test_a_pool_without_connections(server_url: Callable[[str], str]) -> None:
    """A program all of whose connections are in use, by those who wait for the token, gets its token."""
    engine = sqlalchemy.create_engine(server_url("postgres"), pool_size=1, max_overflow=0, pool_timeout=1)
    store = SQLAlchemyStore(engine, table=f"foxy_{uuid4().hex[:8]}")
    store.create_table()
    with engine.connect() as connection:
        with store.lock(1.0):
            store.save(TOKEN)
        loaded = store.load()
        store.table.drop(connection)
        connection.commit()
    engine.dispose()

    assert loaded == TOKEN


def test_a_connection_that_hangs_keeps_no_other_from_being_made(server_url: Callable[[str], str]) -> None:
    """A server that fell silent while a connection was made is used again when it answers, whatever the pool's size."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        real = sqlalchemy.make_url(server_url("postgres"))
        ways = iter([connecting(real.set(port=silent.getsockname()[1])), connecting(real)])

        def connect() -> Any:
            return next(ways)()

        engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=connect, pool_size=1, max_overflow=0, pool_timeout=1
        )
        store = SQLAlchemyStore(engine)
        with ThreadPoolExecutor(1) as threads:
            hanging = threads.submit(store.load)
            connection, _ = silent.accept()
            outcome = engine_of(store)
            connection.close()
            ended = hanging.exception()

    assert isinstance(ended, StoreError)
    assert outcome == "postgresql"


def engine_of(store: SQLAlchemyStore) -> str:
    """Connect, and tell to what."""
    with store._database.connected() as connection:
        return connection.dialect.name


def test_an_engines_listeners_hear_of_the_stores_connections(tmp_path: Path) -> None:
    """What a program adds to its engine, such as a password that lives for minutes, goes for the store as well."""
    engine = sqlalchemy.create_engine("sqlite:////nowhere/made-up.db")
    heard: list[str] = []

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def sign_in(_dialect: Any, _record: Any, args: list[Any], _named: Any) -> None:
        heard.append("do_connect")
        args[0] = str(tmp_path / "made-up.db")

    @sqlalchemy.event.listens_for(engine, "connect")
    def prepare(_connection: Any, _record: Any) -> None:
        heard.append("connect")

    SQLAlchemyStore(engine).create_table()

    assert heard == ["do_connect", "connect"]
    assert (tmp_path / "made-up.db").exists()


def test_a_schema_and_migrations(tmp_path: Path) -> None:
    """The table may live in a schema, and can be had for one's own migrations."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")
    table = SQLAlchemyStore(engine, table="shop.tokens").table
    other = table.to_metadata(sqlalchemy.MetaData())

    assert (table.schema, table.name, other.columns.keys()) == ("shop", "tokens", ["name", "record", "version"])


SPELLINGS = {
    "relative": ("sqlite:///made-up.db", "", {}),
    "dotted": ("sqlite:///./made-up.db", "", {}),
    "linked": ("sqlite:///link.db", "", {}),
    "URI": ("sqlite:///file:made-up.db?uri=true", "", {}),
    "main": ("sqlite:///made-up.db", "main.", {}),
    "function": ("sqlite://", "", {"creator": partial(sqlite3.connect, "made-up.db")}),
}


@pytest.mark.parametrize(("url", "prefix", "options"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_file_of_sqlite_has_one_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, prefix: str, options: dict[str, Any]
) -> None:
    """However the way to a file is written, its users keep each other out."""
    monkeypatch.chdir(tmp_path)
    Path("link.db").symlink_to("made-up.db")
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, **options)
    one = SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db"), table="tokens")

    assert_same_lock(one, SQLAlchemyStore(engine, table=f"{prefix}tokens"))


def assert_same_lock(one: SQLAlchemyStore, other: SQLAlchemyStore) -> None:
    """Assert that two stores are of the same row, and keep each other out."""
    one.create_table()
    one.save(TOKEN)
    with one.lock(1.0):
        with pytest.raises(TimeoutError):
            in_thread(lambda: write_under_lock(other, 0.0))
        loaded = other.load()
    one._database.rename("default", "gone")

    assert loaded == TOKEN
    assert other.load() is None


@pytest.mark.parametrize(
    ("kind", "way"),
    [*[("postgres", way) for way in ("schema", "search path", "function")], ("mysql", "schema"), ("mysql", "function")],
)
def test_a_table_on_a_server_has_one_lock(server_url: Callable[[str], str], kind: str, way: str) -> None:
    """However the way to a table is written, its users keep each other out."""
    url, table = sqlalchemy.make_url(server_url(kind)), f"foxy_{uuid4().hex[:8]}"
    one = SQLAlchemyStore(sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool), table=table)
    other, schema, options = url, "", {}
    if way == "function":
        other, options = sqlalchemy.make_url(f"{url.drivername}://"), {"creator": connecting(url)}
    elif way == "search path":
        other = url.update_query_dict({"options": "-csearch_path=pg_catalog,public"})
    elif kind == "postgres":
        schema = "public."
    else:
        other, schema = url.set(database="information_schema"), f"{url.database}."
    engine = sqlalchemy.create_engine(other, poolclass=sqlalchemy.NullPool, **options)
    try:
        assert_same_lock(one, SQLAlchemyStore(engine, table=f"{schema}{table}"))
    finally:
        drop_table(one)


def connecting(url: sqlalchemy.URL) -> Callable[[], Any]:
    """Make a function that connects as a URL tells."""
    dialect = sqlalchemy.create_engine(url).dialect
    positional, named = dialect.create_connect_args(url)
    return partial(dialect.connect, *positional, **named)


def drop_table(store: SQLAlchemyStore) -> None:
    """Leave nothing on the server."""
    with store._database.connected() as connection:
        store.table.drop(connection)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_a_table_that_two_make_at_once(tmp_path: Path, server_url: Callable[[str], str], kind: str) -> None:
    """Programs that start at the same time may make the table at the same time."""
    url = f"sqlite:///{tmp_path}/made-up.db" if kind == "sqlite" else server_url(kind)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    table = f"foxy_{uuid4().hex[:8]}"
    one, other = (SQLAlchemyStore(engine, table=table) for _ in range(2))

    @sqlalchemy.event.listens_for(one.table, "before_create")
    def hurry(*_: Any, **__: Any) -> None:
        other.create_table()

    one.create_table()
    one.save(TOKEN)
    loaded = other.load()
    drop_table(one)

    assert loaded == TOKEN


def test_tenants_in_schemas_of_their_own(server_url: Callable[[str], str]) -> None:
    """An engine that translates schemas does so for the store: each tenant has a table, and a record, of its own."""
    engine = sqlalchemy.create_engine(server_url("postgres"), poolclass=sqlalchemy.NullPool)
    schemas = [f"foxy_{uuid4().hex[:8]}" for _ in range(2)]
    ours, theirs = (SQLAlchemyStore(engine.execution_options(schema_translate_map={None: one})) for one in schemas)
    with engine.begin() as connection:
        for schema in schemas:
            connection.execute(sqlalchemy.schema.CreateSchema(schema))
    ours.create_table()
    theirs.create_table()
    with ours.lock(1.0):
        ours.save(TOKEN)
        wrote = in_thread(lambda: write_under_lock(theirs))
    loaded = ours.load(), theirs.load()
    with pytest.raises(TypeError, match="a function that makes it"):
        pickle.dumps(ours)
    with engine.begin() as connection:
        for schema in schemas:
            connection.execute(sqlalchemy.schema.DropSchema(schema, cascade=True))

    assert loaded == (TOKEN, NEWER)
    assert wrote is True


@pytest.mark.parametrize(
    ("engine", "error", "says"),
    [
        (sqlalchemy.create_engine("sqlite://"), ValueError, "StaticPool"),
        (sqlalchemy.create_mock_engine("sqlite://", print), TypeError, "create_engine"),
        ("sqlite:///made-up.db", TypeError, "not str"),
        (create_async_engine("postgresql+psycopg://").sync_engine, TypeError, "not an async one's"),
    ],
    ids=["a database for each thread", "mock", "text", "async"],
)
def test_what_is_no_engine(engine: Any, error: type[Exception], says: str) -> None:
    """What cannot be shared, or is no engine, is refused at once."""
    with pytest.raises(error, match=says):
        SQLAlchemyStore(engine)


def test_a_pool_of_a_connection_for_each_thread(server_url: Callable[[str], str]) -> None:
    """Any pool will do for a server."""
    engine = sqlalchemy.create_engine(server_url("postgres"), poolclass=sqlalchemy.pool.SingletonThreadPool)
    store = SQLAlchemyStore(engine, table=f"foxy_{uuid4().hex[:8]}")
    store.create_table()
    store.save(TOKEN)
    loaded = store.load()
    drop_table(store)

    assert loaded == TOKEN


def test_a_database_without_known_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database whose locks are not known is refused, rather than shared without."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")
    monkeypatch.setattr(engine.dialect, "name", "oracle")
    with pytest.raises(ValueError, match="no locks of oracle, but of sqlite, postgresql"):
        SQLAlchemyStore(engine)


def test_an_engine_survives_a_pickle_only_whole(tmp_path: Path) -> None:
    """An engine whose URL does not tell all must come by a function, used before or not, lest TLS settings get lost."""
    url = f"sqlite:///{tmp_path}/made-up.db"
    plain: SQLAlchemyStore = copied(SQLAlchemyStore(sqlalchemy.create_engine(url)))
    plain.create_table()
    plain.save(TOKEN)
    special = sqlalchemy.create_engine(url, connect_args={"timeout": 1})
    with pytest.raises(TypeError, match="a function that makes it"):
        pickle.dumps(SQLAlchemyStore(special))
    by_function = SQLAlchemyStore(partial(sqlalchemy.create_engine, url, connect_args={"timeout": 1}))
    by_function.load()
    again: SQLAlchemyStore = copied(by_function)

    assert again.load() == plain.load() == TOKEN


@pytest.mark.parametrize("key", ["", " ", "a ", "line\n", "x" * 191, None, 7], ids=repr)
def test_a_row_needs_a_name(tmp_path: Path, key: Any) -> None:
    """A key that databases would mix up with others is refused at once."""
    with pytest.raises(ValueError, match="190 characters"):
        SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db"), key)


def test_a_key_that_is_too_long(tmp_path: Path) -> None:
    """What would not fit into the row is refused before anything depends on it."""
    store = SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db"))
    with pytest.raises(ValueError, match="190 characters"):
        store.for_key("x" * 191)


def test_rows_of_two_stores_do_not_mix(tmp_path: Path) -> None:
    """The same key below two stores of a table names two grants, and neither is a store's own."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")
    ours, theirs = SQLAlchemyStore(engine, "ours"), SQLAlchemyStore(engine, "theirs")
    ours.create_table()
    ours.for_key("theirs").save(TOKEN)

    assert (ours.load(), theirs.load(), theirs.for_key("theirs").load()) == (None, None, None)


def test_thousands_of_grants_in_one_process(tmp_path: Path) -> None:
    """A store for each of many shops costs nothing until it is used."""
    store = SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db"))
    store.create_table()
    shops = [store.for_key(f"store-{number}") for number in range(2000)]
    shops[7].save(TOKEN)
    shops[1999].save(NEWER)

    assert (shops[7].load(), shops[8].load(), shops[1999].load()) == (TOKEN, None, NEWER)
