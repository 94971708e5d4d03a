"""Many processes that share one grant through a store: it survives all of them, and what befalls them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import httpx
import pytest
import redis
import requests
import sqlalchemy
from keyrings import KeptKeyring
from sources import PATIENCE, auth_for, expired

import foxy_auth._engine.delivery
from foxy_auth import FoxyAuth, LoginRequiredError, StoreError
from foxy_auth._engine.concurrency import in_thread
from foxy_auth.stores import FileStore, KeyringStore, MemoryStore, RedisStore, SQLAlchemyStore
from foxy_auth.testing import in_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import Server

    from foxy_auth.emulator import Emulator
    from foxy_auth.token import Token

SHARED = ["file", "keyring", "redis", "sqlite", "postgres", "mysql"]
SERVED = ["redis", "postgres", "mysql"]
LEASE = 1.0  # of locks in Redis, in seconds


@pytest.fixture
def rotating(foxy: Emulator) -> Emulator:
    """Give a Foxy whose refresh tokens serve once; who uses one twice loses the grant."""
    foxy.rotate_refresh_tokens = True
    return foxy


@pytest.fixture
def make(tmp_path: Path, server_url: Callable[[str], str]) -> Iterator[Callable[[str], Any]]:
    """Make a store of a kind, empty; all calls of a test make the same."""
    place = f"foxy_{uuid4().hex[:8]}"
    tables: list[SQLAlchemyStore] = []

    def sql(url: str) -> SQLAlchemyStore:
        store = SQLAlchemyStore(sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool), table=place)
        store.create_table()
        tables.append(store)
        return store

    def made(kind: str) -> Any:
        if kind == "file":
            return FileStore(tmp_path / "token.json")
        if kind == "keyring":
            return KeyringStore("made-up-program", "ann", backend=KeptKeyring(tmp_path / "keyring.json"))
        if kind == "redis":
            return RedisStore(redis.Redis.from_url(server_url("redis")), place, lease=LEASE)
        return sql(f"sqlite:///{tmp_path}/made-up.db" if kind == "sqlite" else server_url(kind))

    yield made
    for store in tables:
        with store._database.connected() as connection:
            store.table.drop(connection, checkfirst=True)


def auth_over(foxy: Emulator, store: Any, **options: Any) -> FoxyAuth:
    """Sign requests by what *store* holds."""
    return FoxyAuth(
        client_id=foxy.client_id,
        client_secret=foxy.client_secret,
        store=store,
        environment=foxy.environment,
        **options,
    )


def status_of(auth: FoxyAuth, url: str) -> int:
    """Call the API."""
    return requests.get(url, auth=auth, timeout=PATIENCE).status_code


def call_after(auth: FoxyAuth, url: str, start: Any, results: Any) -> None:
    """Call the API as soon as all are ready; stands here because a spawned process must be able to import it."""
    start.wait(PATIENCE)
    results.put(status_of(auth, url))


# --- many at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "method"),
    [*[(kind, "fork") for kind in SHARED], *[(kind, "spawn") for kind in ("file", "redis", "postgres")]],
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_eight_processes_make_one_token_call(
    rotating: Emulator, make: Callable[[str], Any], kind: str, method: str
) -> None:
    """R11, R21: Eight processes begin with one stored expired token: one exchanges it, all are served."""
    store = make(kind)
    store.save(expired(rotating))
    auth = auth_over(rotating, store)
    context: Any = multiprocessing.get_context(method)
    start, results = context.Barrier(8), context.SimpleQueue()
    processes = [context.Process(target=call_after, args=(auth, rotating.store_url, start, results)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    statuses = [results.get() for process in processes if process.exitcode == 0]

    assert statuses == [200] * 8
    assert len(rotating.token_calls) == 1
    assert make(kind).load().refresh_token == rotating.current_refresh_token
    assert status_of(auth_over(rotating, make(kind)), rotating.store_url) == 200
    assert len(rotating.token_calls) == 1


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_short_processes_share_a_grant(rotating: Emulator, make: Callable[[str], Any], kind: str) -> None:
    """R11: Of 64 short processes, 8 at a time, each eighth of them finding an expired token, nobody loses the grant."""
    store = make(kind)
    auth = auth_over(rotating, store)
    context: Any = multiprocessing.get_context("fork")  # as a server does that forks its workers
    results = context.SimpleQueue()
    statuses: list[int] = []
    store.save(expired(rotating))
    for _ in range(8):
        start = context.Barrier(8)
        arguments = (auth, rotating.store_url, start, results)
        processes = [context.Process(target=call_after, args=arguments) for _ in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(PATIENCE)
        statuses += [results.get() for process in processes if process.exitcode == 0]
        token = store.load()
        store.save(replace(token, expires_at=token.obtained_at - 1.0, obtained_at=token.obtained_at - 7201.0))

    assert statuses == [200] * 64
    assert len(rotating.token_calls) == 8
    assert store.load().refresh_token == rotating.current_refresh_token


@pytest.mark.parametrize("kind", SHARED)
def test_waiters_go_on_when_the_token_is_there(rotating: Emulator, make: Callable[[str], Any], kind: str) -> None:
    """R11: Who waits for another's refresh goes on by reading the store, even if the lock is never free."""
    store = make(kind)
    store.save(expired(rotating))
    fresh = auth_for(rotating, store.load()).get_token()
    waiter = auth_over(rotating, make(kind))
    statuses: list[int] = []
    with store.lock(PATIENCE):
        thread = threading.Thread(target=lambda: statuses.append(status_of(waiter, rotating.store_url)))
        thread.start()
        still_waiting = wait_until(lambda: any(t.name == "foxy-auth-store" for t in threading.enumerate()))
        store.save(fresh)
        thread.join(PATIENCE)

    assert (still_waiting, statuses) == (True, [200])
    assert len(rotating.token_calls) == 1


def wait_until(happened: Callable[[], Any], seconds: float = PATIENCE) -> bool:
    """Wait until something has happened; tell whether it has."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("kind", SHARED)
def test_two_objects_of_a_process(rotating: Emulator, make: Callable[[str], Any], kind: str) -> None:
    """R11: Two objects over one store exclude each other in one process too, with twenty threads each."""
    make(kind).save(expired(rotating))
    auths = [auth_over(rotating, make(kind)) for _ in range(2)]
    statuses: list[int] = []

    def call(auth: FoxyAuth) -> None:
        statuses.append(status_of(auth, rotating.store_url))

    threads = [threading.Thread(target=call, args=(auth,)) for auth in auths * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert statuses == [200] * 40
    assert len(rotating.token_calls) == 1


# --- leaders that die ----------------------------------------------------------------------------------------------

# Is killed when the token has been issued, and not saved yet: while it holds the lock.
LEADER = """
import pickle, sys, time

def hang(token):
    print("issued", flush=True)
    time.sleep(60)

auth = pickle.load(sys.stdin.buffer)
if sys.argv[1] == "between exchange and save":
    auth._source._store.save = hang
auth.get_token()
"""


def leader(auth: FoxyAuth, at: str) -> subprocess.Popen[bytes]:
    """Start a process that refreshes, to be killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = subprocess.Popen(
        [sys.executable, "-c", LEADER, at], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert program.stdin is not None
    program.stdin.write(pickle.dumps(auth))
    program.stdin.close()
    return program


@pytest.mark.parametrize("at", ["during the exchange", "between exchange and save"])
@pytest.mark.parametrize("kind", SHARED)
def test_a_leader_that_is_killed(foxy: Emulator, make: Callable[[str], Any], kind: str, at: str) -> None:
    """R11: When the process is killed that refreshes, another takes over: after one lease at most, and no hang."""
    store = make(kind)
    store.save(expired(foxy))
    auth = auth_over(foxy, store)
    with foxy.hold() as latch, leader(auth, at) as program:
        latch.wait_for(1)
        if at == "between exchange and save":
            latch.release()
            assert program.stdout is not None
            assert program.stdout.readline() == b"issued\n"
        program.kill()
        killed_at = time.monotonic()
        latch.release()
        status = status_of(auth, foxy.store_url)
        took = time.monotonic() - killed_at

    assert status == 200
    assert took < LEASE + 5.0
    assert len(foxy.token_calls) == 2
    assert store.load() == auth.token


# --- stores that fail ----------------------------------------------------------------------------------------------


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Iterator[Server]:
    """Give the test's own server of that kind, which it may stop: it runs again afterwards."""
    server: Server = request.getfixturevalue(f"{kind}_server")
    yield server
    server.thaw()
    if not server.answers():
        server.stop()
        server.start()


@pytest.fixture
def make_served(server: Server, kind: str) -> Callable[..., Any]:
    """Make a store on the test's own server."""
    place = f"foxy_{uuid4().hex[:8]}"

    def made(lease: float = LEASE) -> Any:
        if kind == "redis":
            return RedisStore(redis.Redis.from_url(server.url), place, lease=lease)
        url = f"{server.url}&read_timeout=2" if kind == "mysql" else server.url
        store = SQLAlchemyStore(sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool), table=place)
        store.create_table()
        return store

    return made


@pytest.mark.parametrize("kind", SERVED)
def test_a_server_that_is_gone(rotating: Emulator, server: Server, make_served: Callable[[], Any]) -> None:
    """R11: Without the server a valid token goes on to serve, and an expired one is an error that requests know."""
    store = make_served()
    token = rotating.grant()
    assert token.obtained_at is not None
    store.save(replace(token, expires_at=token.obtained_at + 100.0, obtained_at=token.obtained_at - 7100.0))
    auth = auth_over(rotating, store)
    before = status_of(auth, rotating.store_url)
    auth.flush()
    made = len(rotating.token_calls)
    server.stop()
    without = [status_of(auth, rotating.store_url) for _ in range(3)]
    with pytest.raises(requests.RequestException) as caught:
        status_of(auth_over(rotating, store), rotating.store_url)
    server.start()
    after = status_of(auth_over(rotating, store), rotating.store_url)

    assert (before, without, after) == (200, [200] * 3, 200)
    assert isinstance(caught.value, StoreError)
    assert len(rotating.token_calls) == made
    assert store.load().refresh_token == rotating.current_refresh_token


@pytest.mark.parametrize("kind", SERVED)
def test_a_server_that_goes_during_the_exchange(
    rotating: Emulator, server: Server, make_served: Callable[[], Any]
) -> None:
    """R19: A token that could not be saved is used, and is saved when the server is back."""
    store = make_served()
    store.save(expired(rotating))
    auth = auth_over(rotating, store)
    statuses: list[int] = []
    with rotating.hold() as latch:
        caller = threading.Thread(target=lambda: statuses.append(status_of(auth, rotating.store_url)))
        caller.start()
        latch.wait_for(1)
        server.stop()
        latch.release()
        caller.join(PATIENCE)
    with pytest.raises(StoreError, match="flush again"):
        auth.flush()
    server.start()
    auth.flush()

    assert statuses == [200]
    assert store.load() == auth.token
    assert store.load().refresh_token == rotating.current_refresh_token
    assert status_of(auth_over(rotating, make_served()), rotating.store_url) == 200
    assert len(rotating.token_calls) == 1


@pytest.mark.parametrize(
    ("kind", "goes", "comes"), [("redis", "stop", "start"), ("postgres", "freeze", "thaw"), ("mysql", "freeze", "thaw")]
)
def test_an_outage_burns_no_grant(
    rotating: Emulator, server: Server, make_served: Callable[..., Any], goes: str, comes: str
) -> None:
    """R19: A token that could not be saved is soon offered again, and until then nobody else can send a spent one."""
    store = make_served(lease=10.0)
    store.save(expired(rotating))
    auth, other = auth_over(rotating, store), auth_over(rotating, make_served(lease=10.0))
    statuses: list[int] = []
    with rotating.hold() as latch:
        caller = threading.Thread(target=lambda: statuses.append(status_of(auth, rotating.store_url)))
        caller.start()
        latch.wait_for(1)
        getattr(server, goes)()
        latch.release()
        caller.join(PATIENCE)
    getattr(server, comes)()
    statuses.append(status_of(other, rotating.store_url))

    assert statuses == [200, 200]
    assert store.load() == auth.token == other.token
    assert len(rotating.token_calls) == 1


@pytest.mark.parametrize("kind", SERVED)
async def test_a_server_that_hangs(foxy: Emulator, server: Server, make_served: Callable[[], Any]) -> None:
    """R20: While the server hangs, the event loop goes on, and so do requests with a token that is valid."""
    store = make_served()
    token = foxy.grant()
    assert token.obtained_at is not None
    near = replace(token, expires_at=token.obtained_at + 200.0, obtained_at=token.obtained_at - 7000.0)
    store.save(near)
    auth = auth_over(foxy, store, token=near, timeout=1.0)
    stalls: list[float] = []
    async with httpx.AsyncClient(auth=auth) as client, anyio.create_task_group() as group:
        group.start_soon(note_stalls, stalls)
        server.freeze()
        began = time.monotonic()
        statuses = [(await client.get(foxy.store_url)).status_code for _ in range(5)]
        took = time.monotonic() - began
        with pytest.raises(StoreError):
            await in_thread(lambda: auth.refresh(near))
        server.thaw()
        group.cancel_scope.cancel()
    await auth.aclose()

    assert statuses == [200] * 5
    assert took < 5.0  # the timeout for each request
    assert max(stalls) < 0.9  # less than the one of the store


async def note_stalls(stalls: list[float]) -> None:
    """Note how late the event loop comes back from each short sleep."""
    while True:
        began = time.monotonic()
        await anyio.sleep(0.01)
        stalls.append(time.monotonic() - began - 0.01)


# --- what a store must not burn ------------------------------------------------------------------------------------


def test_a_refused_token_looks_again(rotating: Emulator) -> None:
    """R12: When the refresh token is refused, and the store has another by now, that one is adopted, once."""
    store = MemoryStore(expired(rotating))
    auth = auth_over(rotating, store)
    newer = rotating.grant()
    rotating.fail(400, body={"error": "invalid_grant"})
    with rotating.hold() as latch:
        caller = threading.Thread(target=auth.get_token)
        caller.start()
        latch.wait_for(1)
        store.save(newer)  # by somebody who does not heed the lock
        latch.release()
        caller.join(PATIENCE)

    assert auth.token == newer
    assert len(rotating.token_calls) == 1


def test_a_refused_token_looks_again_and_refreshes(rotating: Emulator) -> None:
    """R12: If what the store has by now has expired too, it is refreshed, once."""
    store = MemoryStore(expired(rotating))
    auth = auth_over(rotating, store)
    newer = expired(rotating)
    rotating.fail(400, body={"error": "invalid_grant"})
    with rotating.hold() as latch:
        caller = threading.Thread(target=auth.get_token)
        caller.start()
        latch.wait_for(1)
        store.save(newer)
        latch.release()
        caller.join(PATIENCE)

    assert auth.token is not None
    assert rotating.is_live(auth.token.access_token)
    assert len(rotating.token_calls) == 2


def test_a_dead_grant_makes_no_storm(foxy: Emulator) -> None:
    """R12: A grant that is gone costs one token call, however many requests follow; until somebody logs in again."""
    store = MemoryStore(expired(foxy))
    auth = auth_over(foxy, store, refresh_token="made-up-and-old")
    foxy.revoke_refresh_tokens()
    for _ in range(20):
        with pytest.raises(LoginRequiredError):
            auth.get_token()
    refused = len(foxy.token_calls)
    store.save(foxy.grant())

    assert refused == 2  # the store's refresh token, and the one that was given
    assert auth.get_token() == store.load()
    assert len(foxy.token_calls) == 2


def test_an_older_record_is_not_adopted(rotating: Emulator) -> None:
    """R11: A record that could not be replaced is not mistaken for a newer one."""
    store = FragileStore(expired(rotating))
    auth = auth_over(rotating, store)
    first = auth.get_token()
    second = auth.refresh()
    copy: FoxyAuth = pickle.loads(pickle.dumps(auth))  # noqa: S301 - our own
    with pytest.raises(StoreError):
        auth.flush()
    third = copy.get_token()
    store.works = True
    auth.flush()

    assert first != second == third
    assert store.load() == auth.token
    assert auth.token is not None
    assert auth.token.refresh_token == rotating.current_refresh_token


@pytest.mark.parametrize("theirs", [False, True], ids=["exchanged", "adopted"])
def test_a_store_that_falls_back_burns_no_grant(rotating: Emulator, *, theirs: bool) -> None:
    """R11: A store that holds an old record again, as a server restarted from a backup, is not believed."""
    backup = rotating.grant()
    store = MemoryStore(backup)
    auth, other = auth_over(rotating, store), auth_over(rotating, store)
    auth.get_token()
    (other if theirs else auth).refresh(backup)
    auth.refresh(backup if theirs else None)
    store.save(backup)
    token = auth.refresh()

    assert token == auth.token == store.load()
    assert token.refresh_token == rotating.current_refresh_token


def test_an_unsaved_token_replaces_a_store_that_fell_back(rotating: Emulator) -> None:
    """R19: What could not be saved is saved when the store works again, even if its record is older than it was."""
    backup = expired(rotating)
    store = FragileStore(backup)
    store.works = True
    auth = auth_over(rotating, store)
    auth.get_token()
    store.works = False
    token = auth.refresh()
    store.works = True
    store.save(backup)
    auth.flush()

    assert store.load() == token


def test_a_late_token_replaces_no_newer_one(foxy: Emulator) -> None:
    """R19: A token that could not be saved for a while is dropped when somebody else has saved one meanwhile."""
    store = FragileStore(expired(foxy))
    auth = auth_over(foxy, store)
    auth.get_token()
    store.works = True
    other = foxy.grant()
    store.save(other)
    auth.flush()

    assert store.load() == other
    assert auth.refresh() == other


class FragileStore(MemoryStore):
    """A store that reads, and writes only once it `works`."""

    works = False

    def save(self, token: Token) -> None:
        """Fail, until it works."""
        if not self.works:
            raise OSError("disk full")
        super().save(token)


def test_a_store_that_cannot_be_written_locks_nobody_out(foxy: Emulator) -> None:
    """R19: Where the provider keeps the refresh token, a token that cannot be saved is no reason to keep the lock."""
    store = FragileStore(expired(foxy))
    token = auth_over(foxy, store).get_token()

    with store.lock(PATIENCE / 3):
        assert foxy.is_live(token.access_token)


def test_who_ends_a_program_hears_what_is_wrong_with_the_store(
    rotating: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """R19: The last try, when the program ends, waits for nobody who keeps the lock for the same token."""
    auth = auth_over(rotating, FragileStore(expired(rotating)))
    auth.get_token()
    caplog.clear()
    foxy_auth._engine.delivery._flush_all()
    auth._source._store.works = True  # type: ignore[attr-defined]
    auth.flush()

    assert "a new token is lost at exit: the store failed" in caplog.text
    assert "another thread holds the lock" not in caplog.text


def test_a_store_that_returns_no_token(foxy: Emulator) -> None:
    """R24: A store of one's own that returns what it has read, and not a token of it, is told so."""

    class Careless(MemoryStore):
        def load(self) -> Any:
            return {"access_token": "made-up-secret"}

    with pytest.raises(StoreError, match=r"load returned dict, not a Token") as caught:
        auth_over(foxy, Careless()).get_token()

    assert "made-up-secret" not in str(caught.value)


class AsyncStore(MemoryStore):
    """A store that was written for an event loop."""

    async def load(self) -> Any:  # type: ignore[override]
        """Read, some time."""


@pytest.mark.parametrize(("store", "said"), [(MemoryStore, "not the class"), (AsyncStore(), "plain functions")])
def test_what_is_no_store(foxy: Emulator, store: Any, said: str) -> None:
    """R24: What has the methods, and yet is no store, is refused at once."""
    with pytest.raises(TypeError, match=said):
        auth_over(foxy, store)


def test_a_lock_that_fails_to_close(rotating: Emulator) -> None:
    """R19: If leaving the lock fails, as the commit of a transaction may, the token is used, and saved again."""

    class Uncommitted(MemoryStore):
        commits = False

        def lock(self, timeout: float) -> Any:
            return self._around(super().lock(timeout))

        @contextmanager
        def _around(self, lock: Any) -> Iterator[None]:
            before = self._token
            with lock:
                yield
                if not self.commits:
                    self._token = before
                    raise OSError("the commit failed")

    store = Uncommitted(expired(rotating))
    auth = auth_over(rotating, store)
    token = auth.get_token()
    store.commits = True
    auth.flush()

    assert store.load() == token == auth.token
    assert len(rotating.token_calls) == 1


def test_the_first_token_is_stored(foxy: Emulator) -> None:
    """R19: A login's token replaces whatever the store has, damaged records included, which are kept aside."""
    store = MemoryStore(foxy.grant())
    token = foxy.grant()
    auth = auth_for(foxy, foxy.grant()).for_token(token, store=store)
    auth.flush()

    assert store.load() == token
    assert auth_over(foxy, store).get_token() == token


def test_a_login_over_a_damaged_record(foxy: Emulator, tmp_path: Path) -> None:
    """R19: A login repairs a store whose record is damaged, and keeps the damaged one aside."""
    path = tmp_path / "token.json"
    path.write_text("{")
    auth = auth_for(foxy, foxy.grant()).for_token(foxy.grant(), store=FileStore(path))
    auth.flush()

    assert FileStore(path).load() == auth.token
    assert (tmp_path / "token.json.1.damaged").read_text() == "{"


def test_one_thread_does_it_all(foxy: Emulator) -> None:
    """Locks may belong to the thread that took them: locking, reading and writing happen in the same."""

    class Watched(MemoryStore):
        threads: list[int] = []  # noqa: RUF012 - one store

        def load(self) -> Token | None:
            self.threads.append(threading.get_ident())
            return super().load()

        def save(self, token: Token) -> None:
            self.threads.append(threading.get_ident())
            super().save(token)

        def lock(self, timeout: float) -> Any:
            self.threads.append(threading.get_ident())
            return super().lock(timeout)

    store = Watched(expired(foxy))
    auth_over(foxy, store).get_token()

    assert len(store.threads) == 4
    assert len(set(store.threads)) == 1
    assert threading.get_ident() not in store.threads


# --- stores that are slow, or hang -----------------------------------------------------------------------------------


async def test_a_slow_store_blocks_no_loop(foxy: Emulator) -> None:
    """R20: While a store takes its time, an event loop does other things."""

    class Slow(MemoryStore):
        def load(self) -> Token | None:
            time.sleep(0.6)
            return super().load()

        def save(self, token: Token) -> None:
            time.sleep(0.6)
            super().save(token)

    store = Slow(expired(foxy))
    auth = auth_over(foxy, store)
    stalls: list[float] = []
    async with httpx.AsyncClient(auth=auth) as client, anyio.create_task_group() as group:
        group.start_soon(note_stalls, stalls)
        status = (await client.get(foxy.store_url)).status_code
        await auth.aflush()
        group.cancel_scope.cancel()

    assert (status, store.load()) == (200, auth.token)
    assert max(stalls) < 0.5


@pytest.mark.parametrize("step", ["load", "save", "lock"])
def test_a_store_that_hangs_keeps_nobody(rotating: Emulator, step: str) -> None:
    """R19: A store that never answers is given up: a token that was issued is used, else there is a `StoreError`."""
    go_on = threading.Event()

    class Hanging(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name == step:
                go_on.wait(PATIENCE)
            return super().__getattribute__(name)

    auth = auth_over(rotating, MemoryStore(expired(rotating)), timeout=0.2)
    auth._source._store = Hanging(auth._source._store.load())  # type: ignore[attr-defined]
    began = time.monotonic()
    try:
        outcome: object = rotating.is_live(auth.get_token().access_token)
    except StoreError as error:
        outcome = str(error)
    took = time.monotonic() - began
    go_on.set()
    auth._source._store = MemoryStore(expired(rotating))  # type: ignore[attr-defined]

    assert outcome is True if step == "save" else "does not answer" in str(outcome)
    assert took < 10.0


def test_a_lock_that_nobody_releases_is_named(foxy: Emulator, make: Callable[[str], Any]) -> None:
    """R19: Who waits for a lock in vain, as for one in Redis that does not run out, hears which one it is."""
    store = make("redis")
    store.save(expired(foxy))
    store._redis.set(f"{store._key}:lock", "made up")
    with pytest.raises(StoreError, match=f"hangs .{store._key}:lock in Redis is held"):
        auth_over(foxy, store, timeout=0.2).get_token()


PROGRAM = """
import pickle, sys
auth, made = pickle.load(sys.stdin.buffer)
from foxy_auth.stores import FileStore

class Hanging(FileStore):
    def load(self):
        import threading
        threading.Event().wait()

class Failing(FileStore):
    failures = 1
    def save(self, token):
        self.failures -= 1
        if self.failures >= 0:
            raise OSError("disk full")
        super().save(token)

auth._source._store.__class__ = {"hanging": Hanging, "failing": Failing, "good": FileStore}[made]
try:
    auth.get_token()
    print("got it")
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("made", "said"), [("hanging", b"StoreError"), ("failing", b"got it"), ("good", b"got it")], ids=str
)
def test_programs_end_all_the_same(rotating: Emulator, tmp_path: Path, made: str, said: bytes) -> None:
    """R19: A program ends though its store hangs; what could not be stored is stored when it ends."""
    store = FileStore(tmp_path / "token.json")
    store.save(expired(rotating))
    auth = auth_over(rotating, store, timeout=0.5)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=pickle.dumps((auth, made)),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )

    assert ran.stdout.strip() == said
    assert (store.load() or auth.token).refresh_token == rotating.current_refresh_token  # type: ignore[union-attr]


# --- forks and copies ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("kind", SHARED)
def test_a_fork_during_a_refresh(rotating: Emulator, make: Callable[[str], Any], kind: str) -> None:
    """R21: A child that is forked while a refresh is on the wire waits for it, and both go on with its token."""
    store = make(kind)
    store.save(expired(rotating))
    auth = auth_over(rotating, store)
    with rotating.hold() as latch:
        caller = threading.Thread(target=auth.get_token)
        caller.start()
        latch.wait_for(1)
        releasing = threading.Timer(0.3, latch.release)
        releasing.start()
        status, said = in_fork(lambda: status_of(auth, rotating.store_url))
        caller.join(PATIENCE)
        releasing.join(PATIENCE)
    here = status_of(auth, rotating.store_url)

    assert (status, said, here) == (0, "200", 200)
    assert len(rotating.token_calls) == 1
    assert store.load() == auth.token


@pytest.mark.parametrize("kind", ["memory", *SHARED])
def test_a_pickle_with_a_store(foxy: Emulator, make: Callable[[str], Any], kind: str) -> None:
    """R21: An object with a store survives a pickle, and the copy uses the same record."""
    store = MemoryStore() if kind == "memory" else make(kind)
    store.save(expired(foxy))
    auth = auth_over(foxy, store)
    copy: FoxyAuth = pickle.loads(pickle.dumps(auth))  # noqa: S301 - our own
    token = copy.get_token()

    assert foxy.is_live(token.access_token)
    assert kind == "memory" or auth.get_token() == token
    assert len(foxy.token_calls) == 1
