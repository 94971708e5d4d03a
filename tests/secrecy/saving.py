"""Rows: stores and callbacks that fail, called directly and by an auth object."""

from __future__ import annotations

import errno
import resource
import signal
import socketserver
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis
import sqlalchemy
from keyring.backends.null import Keyring as NullKeyring
from redis.backoff import NoBackoff
from redis.retry import Retry
from secrecy.made_up import secret
from secrecy.provider import closed_port
from secrecy.world import ECHOES, Row, World
from support.keyrings import BrokenKeyring, FileKeyring, PlaintextKeyring

from foxy_auth import FoxyAuth, StoreError, Token, TokenUnavailableError
from foxy_auth.stores import FileStore, KeyringStore, MemoryStore, RedisStore, SQLAlchemyStore

DEADLINE = 30.0  # seconds that something waits that is to be ended

# --- what the stores of this package do ------------------------------------------------------------------------------


def _lock(store: Any) -> None:
    with store.lock(0.05):
        raise AssertionError("the lock was to fail")


def _damaged_records() -> dict[str, str]:
    """Return records that are not what they should be, with secrets in them."""
    token = f'"access_token": "{secret("access token")}", "refresh_token": "{secret("refresh token")}"'
    return {
        "half a record": f"{{{token}",
        "text": f'"{secret("refresh token")}"',
        "another version": f'{{{token}, "version": 9}}',
        "an expiry that is text": f'{{{token}, "version": 1, "expires_at": "{secret("access token")}"}}',
        "an expiry that is a list": f'{{{token}, "version": 1, "expires_at": ["{secret("access token")}"]}}',
        "a broken token": f'{{"version": 1, "access_token": "{secret("access token")} "}}',
        "a broken refresh token": f'{{"version": 1, "access_token": "x", "refresh_token": ["{secret("code")}"]}}',
        "half a character": f'{{{token}, "version": 1, "scope": "\udcff"}}',
    }


def _file(world: World, record: str | None = None, **options: Any) -> FileStore:
    path = world.folder / "token.json"
    if record is not None:
        path.write_text(record, "utf-8", "surrogateescape")
    return FileStore(path, **options)


def _file_below_a_file(world: World) -> FileStore:
    (world.folder / "file").touch()
    return FileStore(world.folder / "file" / "token.json")


def _no_file(world: World) -> FileStore:
    (world.folder / "token.json").mkdir()
    return _file(world)


def _of_another_key(world: World) -> FileStore:
    _file(world, encryption_key=secret("encryption key")).save(world.token())
    return _file(world, encryption_key=secret("other encryption key"))


def _plain_where_encrypted(world: World) -> FileStore:
    _file(world).save(world.token())
    return _file(world, encryption_key=secret("encryption key"))


@contextmanager
def _full_disk() -> Iterator[None]:
    """Let no file grow beyond 50 bytes."""
    ignored = signal.SIG_IGN
    assert signal.getsignal(signal.SIGXFSZ) is ignored  # Python does that
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _save_on_full_disk(world: World) -> None:
    store = _file(world)
    with _full_disk():
        store.save(world.token())


def _lock_on_full_disk(world: World) -> None:
    store = _file(world)
    with _full_disk():
        _lock(store)


def _too_long(world: World) -> None:
    _file(world).save(Token(secret("access token"), scope=" " * 70_000))


class QuotingRedis(socketserver.ThreadingTCPServer):
    """A Redis that refuses every command, and repeats what it was to do."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), self._Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    class _Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                sizes = (int(self.rfile.readline()[1:]) for _ in range(int(line[1:])))
                words = [self.rfile.read(size + 2)[:-2] for size in sizes]
                self.wfile.write(b"-ERR cannot do " + b" ".join(words).replace(b"\n", b" ") + b"\r\n")


def _redis(world: World, port: int) -> RedisStore:
    # Its key is its address, where a careless program may put anything; the record is what it is to keep.
    client = redis.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=5.0)
    return RedisStore(client, "shop")


def _redis_away(world: World) -> RedisStore:
    return _redis(world, closed_port())


@contextmanager
def _quoting_redis(world: World) -> Iterator[RedisStore]:
    with QuotingRedis() as server:
        store = _redis(world, server.server_address[1])
        try:
            yield store
        finally:
            store._client.get().close()
            server.shutdown()


def _with_quoting_redis(act: Callable[[Any, World], object]) -> Callable[[World], None]:
    def attempt(world: World) -> None:
        with _quoting_redis(world) as store:
            act(store, world)

    return attempt


class QuotingConnection(sqlite3.Connection):
    """A driver whose errors repeat the record."""

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that writes nothing."""
        return super().cursor(QuotingCursor)


class QuotingCursor(sqlite3.Cursor):
    """Refuses to write, and says what."""

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Execute what is no write."""
        if sql.startswith(("INSERT", "UPDATE")):
            raise sqlite3.IntegrityError(f"a row refuses {parameters!r}")
        return super().execute(sql, parameters)


def _sql(world: World, factory: Any = sqlite3.Connection, *, table: bool = True) -> SQLAlchemyStore:
    path = world.folder / "tokens.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"factory": factory})
    store = SQLAlchemyStore(engine)
    if table:
        store.create_table()
    return store


def _sql_with_record(world: World, record: str) -> SQLAlchemyStore:
    store = _sql(world)
    with sqlite3.connect(world.folder / "tokens.db") as connection:
        connection.execute("INSERT INTO foxy_auth_tokens VALUES ('default', ?, 1)", (record,))
    connection.close()
    return store


def _undecodable(world: World) -> SQLAlchemyStore:
    store = _sql(world)
    record = f'{{"access_token": "{secret("access token")}'.encode() + b"\xff"
    with sqlite3.connect(world.folder / "tokens.db") as connection:
        connection.execute("INSERT INTO foxy_auth_tokens VALUES ('default', CAST(? AS TEXT), 1)", (record,))
    connection.close()
    return store


def _sql_without_folder(world: World) -> SQLAlchemyStore:
    return SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{world.folder}/missing/tokens.db"))


class QuotingKeyring(FileKeyring):
    """A keyring whose errors repeat the secret."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Refuse."""
        raise OSError(errno.EACCES, f"{username} cannot keep {password}")


def _keyring(world: World, backend: Any, **options: Any) -> KeyringStore:
    return KeyringStore("made-up", "shop", backend=backend, lock_path=world.folder / "keyring.lock", **options)


def _broken_keyring(world: World) -> KeyringStore:
    return _keyring(world, BrokenKeyring(RuntimeError(f"locked: {secret('refresh token')}")))


def _damaged_keyring(world: World) -> KeyringStore:
    keyring = FileKeyring(world.folder / "keyring.json")
    keyring.set_password("made-up", "shop", secret("refresh token"))
    return _keyring(world, keyring)


def _save(store: Any, world: World) -> None:
    store.save(world.token())


def _load(store: Any, world: World) -> None:
    store.load()


def _damage(name: str) -> list[Row]:
    def of_file(world: World) -> None:
        _file(world, _damaged_records()[name]).load()

    def of_row(world: World) -> None:
        _sql_with_record(world, _damaged_records()[name]).load()

    rows = [Row(f"FileStore.load: {name}", of_file, StoreError, ("FileStore.load",))]
    if name != "half a character":
        rows.append(Row(f"SQLAlchemyStore.load: {name}", of_row, StoreError, ("SQLAlchemyStore.load",)))
    return rows


def _direct(made: str, make: Callable[[World], Any], *names: str) -> list[Row]:
    acts: dict[str, Callable[[Any, World], object]] = {
        "save": _save,
        "load": _load,
        "delete": lambda store, _: store.delete(),
        "lock": lambda store, _: _lock(store),
    }

    def row(name: str) -> Row:
        kind = made.partition(":")[0]
        return Row(f"{made} {name}", lambda world: acts[name](make(world), world), StoreError, (f"{kind}.{name}",))

    return [row(name) for name in names]


DIRECT = [
    *_direct("FileStore: no folder,", _file_below_a_file, "load", "save", "delete", "lock"),
    *_direct("FileStore: no regular file,", _no_file, "load", "save", "delete"),
    *_direct("FileStore: another encryption key,", _of_another_key, "load"),
    *_direct("FileStore: plain where encrypted,", _plain_where_encrypted, "load"),
    Row("FileStore: full disk, save", _save_on_full_disk, StoreError, ("FileStore.save",)),
    Row("FileStore: full disk, lock", _lock_on_full_disk, StoreError, ("FileStore.lock",)),
    Row("FileStore: too long, save", _too_long, StoreError, ("FileStore.save",)),
    *_direct("RedisStore: away,", _redis_away, "load", "save", "delete", "lock"),
    Row("RedisStore: quotes, load", _with_quoting_redis(_load), StoreError, ("RedisStore.load",)),
    Row("RedisStore: quotes, save", _with_quoting_redis(_save), StoreError, ("RedisStore.save",)),
    Row(
        "RedisStore: quotes, lock", _with_quoting_redis(lambda store, _: _lock(store)), StoreError, ("RedisStore.lock",)
    ),
    *_direct("SQLAlchemyStore: no table,", partial(_sql, table=False), "load", "save", "delete"),
    *_direct("SQLAlchemyStore: no UTF-8,", _undecodable, "load", "save", "lock"),
    *_direct("SQLAlchemyStore: no folder,", _sql_without_folder, "load", "save", "lock"),
    *_direct("SQLAlchemyStore: quotes,", partial(_sql, factory=QuotingConnection), "save"),
    Row(
        "SQLAlchemyStore: no folder, create_table",
        lambda world: _sql_without_folder(world).create_table(),
        StoreError,
        ("SQLAlchemyStore.create_table",),
    ),
    *_direct("KeyringStore: refuses,", _broken_keyring, "load", "save", "delete"),
    *_direct("KeyringStore: damaged,", _damaged_keyring, "load"),
    *_direct("KeyringStore: quotes,", lambda world: _keyring(world, QuotingKeyring(world.folder / "k")), "save"),
    *(row for name in _damaged_records() for row in _damage(name)),
]


def _held(make: Callable[[World], Any], kind: str) -> Row:
    def attempt(world: World) -> None:
        with make(world).lock(5.0):
            _lock(make(world))

    return Row(f"{kind}: is held", attempt, TimeoutError, (f"{kind}.lock",))


def _keyring_on_file(world: World, **options: Any) -> KeyringStore:
    return _keyring(world, FileKeyring(world.folder / "k"), **options)


def _held_in_memory(world: World) -> None:
    store = MemoryStore(world.token())
    with store.lock(5.0):
        _lock(store)


HELD = [
    _held(_file, "FileStore"),
    _held(_sql, "SQLAlchemyStore"),
    _held(_keyring_on_file, "KeyringStore"),
    Row("MemoryStore: is held", _held_in_memory, TimeoutError, ("MemoryStore.lock",)),
]

# --- stores and callbacks of the user's own --------------------------------------------------------------------------


def _causes(text: str) -> Exception:
    """Return an error with a cause and a context, and with notes."""
    error = RuntimeError("it failed")
    error.__cause__ = ValueError(f"refused: {text}")
    error.__cause__.__context__ = KeyError(text)
    error.__context__ = OSError(errno.ENOSPC, text)
    error.add_note(text)
    return error


def _circle(text: str) -> BaseException:
    """Return an error whose cause leads back to it."""
    error = RuntimeError("it failed")
    error.__cause__ = ValueError(text)
    error.__cause__.__context__ = error
    return error


def _note(text: str) -> BaseException:
    error = RuntimeError("it failed")
    error.add_note(f"while it kept {text}")
    return error


class _SilentError(Exception):
    """Says nothing of its arguments."""

    def __str__(self) -> str:
        return "it failed"


def _attributes(text: str) -> Exception:
    """Return an error as drivers make them, with the statement and its parameters."""
    error = RuntimeError("it failed")
    vars(error).update(statement="INSERT", params={"record": text})
    return error


class _StubbornError(Exception):
    """Shows what it was made with, whatever its arguments are by now."""

    def __init__(self, text: str) -> None:
        super().__init__("it failed")
        self._show: Callable[[], str] = lambda: text

    def __str__(self) -> str:
        return self._show()


def _repeating(echo: Callable[[str], str]) -> Callable[[str], BaseException]:
    return lambda text: RuntimeError(echo(text))


FAILURES: dict[str, Callable[[str], BaseException]] = {
    **{f"with the token {name}": _repeating(echo) for name, echo in ECHOES.items()},
    "with causes": _causes,
    "in a circle": _circle,
    "with attributes": _attributes,
    "in a group": lambda text: ExceptionGroup(f"some failed: {text}", [_causes(text), ValueError(text)]),
    "with a note": _note,
    "with arguments that it does not show": lambda text: _SilentError(text, [text]),
    "as a store of ours would": StoreError,
    "with bytes": lambda text: ValueError(text.encode()),
    "whose text is made when asked for": _StubbornError,
    "at length": lambda text: RuntimeError(f"{'it failed ' * 10_000} with {text}"),
    "with a key": KeyError,
    "on leaving": SystemExit,
}
HELD_BY: dict[str, Callable[[str], BaseException]] = {"with a timeout": lambda text: TimeoutError(f"held by {text}")}


@dataclass
class OwnStore:
    """A store of the user's, whose errors say too much."""

    failure: str
    fails: tuple[str, ...]
    token: Callable[[], Token | None] = field(repr=False)

    def _fail(self, name: str, record: Token | None) -> None:
        if name in self.fails:
            raise {**FAILURES, **HELD_BY}[self.failure](
                "" if record is None else f"{record.access_token} {record.refresh_token}"
            )

    def load(self) -> Token | None:
        """Return the token."""
        self._fail("load", self.token())
        return self.token()

    def save(self, token: Token) -> None:
        """Keep nothing."""
        self._fail("save", token)

    def delete(self) -> None:
        """Remove nothing."""
        self._fail("delete", self.token())

    @contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Exclude nobody."""
        self._fail("lock", self.token())
        yield


def _own(failure: str, *fails: str) -> Callable[[World], OwnStore]:
    return lambda world: OwnStore(failure, fails, world.token)


def _callback(failure: str) -> Callable[[Token], None]:
    def on_token(token: Token) -> None:
        raise FAILURES[failure](f"{token.access_token} {token.refresh_token}")

    return on_token


def _async_callback(failure: str) -> Callable[[Token], Any]:
    async def on_token(token: Token) -> None:
        raise FAILURES[failure](f"{token.access_token} {token.refresh_token}")

    return on_token


def _leave(auth: FoxyAuth) -> None:
    with auth:
        pass


async def _aleave(auth: FoxyAuth) -> None:
    async with auth:
        pass


WAYS: dict[str, tuple[Callable[[FoxyAuth], Any], tuple[str, ...]]] = {
    "flush": (FoxyAuth.flush, ("FoxyAuth.flush",)),
    "aflush": (FoxyAuth.aflush, ("FoxyAuth.aflush",)),
    "close": (FoxyAuth.close, ("FoxyAuth.close",)),
    "aclose": (FoxyAuth.aclose, ("FoxyAuth.aclose",)),
    "with": (_leave, ("FoxyAuth.__enter__", "FoxyAuth.__exit__")),
    "async with": (_aleave, ("FoxyAuth.__aenter__", "FoxyAuth.__aexit__")),
}


def _flushing(name: str, options: Callable[[World], dict[str, Any]], way: str) -> Row:
    """Have a new token that cannot be saved or delivered, and flush."""
    flush, covers = WAYS[way]

    def attempt(world: World) -> Any:
        auth = world.client().auth(world.token(left=7200.0, new=True), **options(world))
        return flush(auth)

    return Row(f"{way} after {name}", attempt, StoreError, (*covers, "OAuthClient.auth"))


def _flush_after_refresh(world: World) -> None:
    """Fail to save what a refresh has brought, as a program that runs meets it."""
    world.provider.answer = world.issue
    world.timeout = 0.2
    store = OwnStore("with the token shortened", ("save",), world.token)
    auth = world.auth(store=store, on_token=_callback("with causes"))
    auth.get_token()
    auth.flush()


def _refreshing(name: str, make: Callable[[World], Any], act: Callable[[FoxyAuth], Any], *covers: str) -> Row:
    """Need a token while the store fails."""

    def attempt(world: World) -> Any:
        world.provider.answer = world.issue
        return act(world.auth(store=make(world)))

    return Row(name, attempt, (StoreError, TokenUnavailableError), covers)


def _without_token(auth: FoxyAuth) -> FoxyAuth:
    """Return what has the same store, and does not know its token."""
    store: Any = auth._source._renewal._store  # type: ignore[union-attr]
    return FoxyAuth(client_id="x", client_secret="x", store=store, environment=auth.environment)


def _held_by_another(world: World) -> None:
    world.timeout = 0.02
    world.auth(store=OwnStore("with a timeout", ("lock",), world.token)).get_token()


def _of_store(make: Callable[[World], Any]) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"store": make(world)}


def _of_callback(callback: Callable[[Token], Any]) -> Callable[[World], dict[str, Any]]:
    return lambda _: {"on_token": callback}


STORES: dict[str, Callable[[World], Any]] = {
    "FileStore: no folder": _file_below_a_file,
    "FileStore: another encryption key": _of_another_key,
    "RedisStore: away": _redis_away,
    "SQLAlchemyStore: no table": partial(_sql, table=False),
    "SQLAlchemyStore: quotes": partial(_sql, factory=QuotingConnection),
    "KeyringStore: refuses": _broken_keyring,
    "KeyringStore: quotes": lambda world: _keyring(world, QuotingKeyring(world.folder / "k")),
}
FAILING_TO_SAVE = {name: make for name, make in STORES.items() if name != "FileStore: another encryption key"}
FAILING_TO_LOAD = {name: make for name, make in STORES.items() if "quotes" not in name}

BY_AUTH = [
    *(_flushing(f"store fails {one}", _of_store(_own(one, "save")), "flush") for one in FAILURES),
    *(_flushing(f"callback fails {one}", _of_callback(_callback(one)), "flush") for one in FAILURES),
    *(
        _flushing(f"async callback fails {one}", _of_callback(_async_callback(one)), way)
        for one in ("with causes", "in a group", "with the token shortened")
        for way in ("flush", "aflush")
    ),
    *(
        _flushing("store fails with causes", _of_store(_own("with causes", "save")), way)
        for way in WAYS
        if way != "flush"
    ),
    *(_flushing(name, _of_store(make), "flush") for name, make in FAILING_TO_SAVE.items()),
    Row("flush after a refresh that nobody kept", _flush_after_refresh, StoreError, ("FoxyAuth.flush",)),
    *(
        _refreshing(f"get_token: store cannot {name} {one}", _own(one, name), FoxyAuth.get_token, "FoxyAuth.get_token")
        for one in FAILURES
        for name in ("load", "lock")
    ),
    *(
        _refreshing(
            f"get_token: store cannot load a token that nobody knows {one}",
            _own(one, "load"),
            lambda auth: _without_token(auth).get_token(),
            "FoxyAuth.get_token",
        )
        for one in FAILURES
    ),
    Row("get_token: store is locked by somebody who says too much", _held_by_another, StoreError),
    *(
        _refreshing(f"logout: store cannot delete {one}", _own(one, "delete"), FoxyAuth.logout, "FoxyAuth.logout")
        for one in FAILURES
    ),
    _refreshing(
        "alogout: store cannot lock with causes", _own("with causes", "lock"), FoxyAuth.alogout, "FoxyAuth.alogout"
    ),
    *(
        _refreshing(f"aget_token: {name}", make, FoxyAuth.aget_token, "FoxyAuth.aget_token")
        for name, make in FAILING_TO_LOAD.items()
    ),
    *(
        _refreshing(f"get_token: {name}", make, FoxyAuth.get_token, "FoxyAuth.get_token")
        for name, make in FAILING_TO_LOAD.items()
    ),
    _refreshing(
        "for_token: store cannot save",
        _own("with causes", "save"),
        lambda auth: auth.for_token(Token(secret("new access token")), on_token=_callback("with causes")).flush(),
        "FoxyAuth.for_token",
    ),
]


def _token_for_nobody(world: World) -> None:
    """Fetch a token whose delivery fails; that is logged, and the token returned."""
    world.provider.answer = world.issue
    world.client().fetch_token(
        {"code": secret("code"), "state": secret("state")}, request=world.request(), on_token=_callback("with causes")
    )


def _refresh_for_nobody(world: World) -> None:
    world.provider.answer = world.issue
    world.auth(on_token=_callback("in a group")).get_token()


def _hang(world: World) -> None:
    """Have a store that does not answer in time."""
    world.timeout = 0.02
    released = threading.Event()
    world.at_end.append(released.set)
    store = MemoryStore(world.token())
    store.load = lambda: released.wait(DEADLINE)  # type: ignore[method-assign, assignment, return-value]
    world.auth(store=store).get_token()


def _hang_up(world: World) -> None:
    """Have a callback that takes too long."""
    world.timeout = 0.02
    released = threading.Event()
    world.at_end.append(released.set)
    world.client().auth(world.token(), on_token=lambda _: released.wait(DEADLINE)).flush()


class _Texts(MemoryStore):
    """Gives something else than a token."""

    def load(self) -> Any:
        return secret("refresh token")


def _factory() -> Any:
    raise RuntimeError(f"cannot connect with {secret('client secret')}")


def _null() -> NullKeyring:
    return NullKeyring()  # type: ignore[no-untyped-call]


def _text() -> Any:
    return secret("access token")


HANGING = [
    Row("get_token: store hangs", _hang, StoreError),
    Row("flush: callback hangs", _hang_up, StoreError),
    Row("get_token: store gives text", lambda world: world.auth(store=_Texts()).get_token(), StoreError),
    Row("RedisStore: factory fails", lambda _: RedisStore(_factory, "shop").load(), StoreError),
    Row("RedisStore: factory makes text", lambda _: RedisStore(_text, "shop").load(), StoreError),
    Row("SQLAlchemyStore: factory fails", lambda world: SQLAlchemyStore(_factory).save(world.token()), StoreError),
    Row("KeyringStore: too long", lambda world: _keyring_on_file(world, limit=9).save(world.token()), StoreError),
    Row("KeyringStore: null", lambda world: _keyring(world, _null()).save(world.token()), StoreError),
    Row("KeyringStore: plain text", lambda world: _keyring(world, PlaintextKeyring()).save(world.token()), StoreError),
]

LOGGED = [
    Row("fetch_token: callback fails", _token_for_nobody, None, ("OAuthClient.fetch_token",)),
    Row("get_token: callback fails", _refresh_for_nobody, None, ("FoxyAuth.get_token",)),
]
ROWS = [*DIRECT, *HELD, *BY_AUTH, *HANGING, *LOGGED]
