"""Many processes that share one grant through a real store: some are killed, some forked, and servers fail."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import httpx
import pytest
import redis
import requests
import sqlalchemy
from support.concurrent_calls import in_worker_thread, report_status_after, status_of
from support.keyrings import FileKeyring
from support.programs import needs_fork
from support.sources import DEADLINE, auth_for, expired

from foxy_auth import FoxyAuth, StoreError
from foxy_auth.stores import FileStore, KeyringStore, MemoryStore, RedisStore, SQLAlchemyStore
from foxy_auth.testing import in_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.servers import Server

    from foxy_auth import Token
    from foxy_auth.emulator import Emulator

    MakeStore = Callable[[str], Any]

# To fork while threads run is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

SHARED = ["file", "keyring", "redis", "sqlite", "postgres", "mysql"]
SERVED = ["redis", "postgres", "mysql"]
LEASE = 1.0  # seconds, of locks in Redis


@pytest.fixture
def rotating(foxy: Emulator) -> Emulator:
    """Give a Foxy whose refresh tokens are good once; whoever uses one twice loses the grant."""
    foxy.rotate_refresh_tokens = True
    return foxy


def redis_store(url: str, place: str, *, lease: float = LEASE) -> RedisStore:
    """Make a store in Redis."""
    return RedisStore(partial(redis.Redis.from_url, url), place, lease=lease)


def sql_store(url: str, place: str) -> SQLAlchemyStore:
    """Make a store in a database."""
    store = SQLAlchemyStore(partial(sqlalchemy.create_engine, url, poolclass=sqlalchemy.NullPool), table=place)
    store.create_table()
    return store


@pytest.fixture
def make_store(tmp_path: Path, server_url: Callable[[str], str]) -> MakeStore:
    """Make an empty store of a kind; all calls in a test make the same."""
    place = f"foxy_{uuid4().hex[:8]}"

    def make(kind: str) -> Any:
        match kind:
            case "file":
                return FileStore(tmp_path / "token.json")
            case "keyring":
                return KeyringStore("fake-program", "ann", backend=FileKeyring(tmp_path / "keyring.json"))
            case "redis":
                return redis_store(server_url(kind), place)
            case _:
                return sql_store(f"sqlite:///{tmp_path}/tokens.db" if kind == "sqlite" else server_url(kind), place)

    return make


def call_from_processes(count: int, auth: FoxyAuth, url: str, *, method: str = "fork") -> list[int]:
    """Call the API from so many new processes at the same moment."""
    context: Any = multiprocessing.get_context(method)
    start, results = context.Barrier(count), context.SimpleQueue()
    processes = [context.Process(target=report_status_after, args=(auth, url, start, results)) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE)
    return [results.get() for process in processes if process.exitcode == 0]


# --- many at the same time -----------------------------------------------------------------------------------------


@needs_fork
@pytest.mark.parametrize("kind", SHARED)
def test_eight_processes_make_one_token_request(rotating: Emulator, make_store: MakeStore, kind: str) -> None:
    """R11, R21: Of eight processes that begin with one expired token, one exchanges it and all are served."""
    store = make_store(kind)
    store.save(expired(rotating))
    statuses = call_from_processes(8, auth_for(rotating, None, store=store), rotating.store_url)
    later = status_of(auth_for(rotating, None, store=make_store(kind)), rotating.store_url)

    assert statuses == [200] * 8
    assert later == 200
    assert len(rotating.token_calls) == 1
    assert store.load().refresh_token == rotating.current_refresh_token


def test_spawned_processes_make_one_token_request(rotating: Emulator, make_store: MakeStore) -> None:
    """R11, R21: Spawned processes get the object with its store by pickle, and share the grant likewise."""
    store = make_store("file")
    store.save(expired(rotating))
    auth = auth_for(rotating, None, store=store)

    assert call_from_processes(2, auth, rotating.store_url, method="spawn") == [200] * 2
    assert len(rotating.token_calls) == 1


@needs_fork
@pytest.mark.parametrize("kind", ["file", "redis", "sqlite"])
def test_short_processes_share_a_grant(rotating: Emulator, make_store: MakeStore, kind: str) -> None:
    """R11: Generations of short processes, each of which finds an expired token, do not lose the grant."""
    store = make_store(kind)
    auth = auth_for(rotating, None, store=store)
    statuses: list[int] = []
    store.save(expired(rotating))
    for _ in range(4):
        statuses += call_from_processes(4, auth, rotating.store_url)
        token = store.load()
        store.save(replace(token, expires_at=token.obtained_at - 1.0, obtained_at=token.obtained_at - 7201.0))

    assert statuses == [200] * 16
    assert len(rotating.token_calls) == 4
    assert store.load().refresh_token == rotating.current_refresh_token


@needs_fork
@pytest.mark.parametrize("kind", ["file", "redis", "postgres", "mysql"])
def test_a_fork_during_a_refresh(rotating: Emulator, make_store: MakeStore, kind: str) -> None:
    """R21: A child that is forked while a token request is under way waits for it, and both go on with its token."""
    store = make_store(kind)
    store.save(expired(rotating))
    auth = auth_for(rotating, None, store=store)
    with rotating.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(auth.get_token)
        latch.wait_for(1)
        releasing = threading.Timer(0.3, latch.release)
        releasing.start()
        forked = in_fork(lambda: status_of(auth, rotating.store_url))
        token = waiting.result(DEADLINE)
        releasing.join(DEADLINE)

    assert forked == (0, "200")
    assert store.load() == auth.token == token
    assert len(rotating.token_calls) == 1


@pytest.mark.parametrize("kind", ["memory", *SHARED])
def test_a_pickle_with_a_store(foxy: Emulator, make_store: MakeStore, kind: str) -> None:
    """R21: An object with a store survives a pickle, and the copy uses the same record."""
    store = MemoryStore() if kind == "memory" else make_store(kind)
    store.save(expired(foxy))
    auth = auth_for(foxy, None, store=store)
    copy: FoxyAuth = pickle.loads(pickle.dumps(auth))  # noqa: S301 - our own
    token = copy.get_token()

    assert foxy.is_live(token.access_token)
    assert kind == "memory" or auth.get_token() == token
    assert len(foxy.token_calls) == 1


# --- processes that are killed -------------------------------------------------------------------------------------

# Refreshes until it is killed; "save" tells to hang there, when the token has been issued and the lock is held.
LEADER = """
import pickle, sys, time

def hang(token):
    print("issued", flush=True)
    time.sleep(60)

store, make_auth = pickle.load(sys.stdin.buffer)
if sys.argv[1] == "save":
    store.save = hang
make_auth(store=store).get_token()
"""


def start_leader(foxy: Emulator, store: Any, moment: str) -> subprocess.Popen[bytes]:
    """Start a process that refreshes."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    program = subprocess.Popen(
        [sys.executable, "-c", LEADER, moment], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    make_auth = partial(
        FoxyAuth, client_id=foxy.client_id, client_secret=foxy.client_secret, environment=foxy.environment
    )
    assert program.stdin is not None
    program.stdin.write(pickle.dumps((store, make_auth)))
    program.stdin.close()
    return program


@pytest.mark.parametrize("moment", ["exchange", "save"])
@pytest.mark.parametrize("kind", ["file", "redis", "postgres"])
def test_a_process_that_is_killed(foxy: Emulator, make_store: MakeStore, kind: str, moment: str) -> None:
    """R11: When the process is killed that refreshes, another takes over, after one lease of its lock at most."""
    store = make_store(kind)
    store.save(expired(foxy))
    auth = auth_for(foxy, None, store=store)
    with foxy.hold() as latch, start_leader(foxy, store, moment) as program:
        latch.wait_for(1)
        if moment == "save":
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


# --- servers that fail ---------------------------------------------------------------------------------------------


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Iterator[Server]:
    """Give a server of that kind which the test may stop or freeze: it runs again afterwards."""
    server: Server = request.getfixturevalue(f"{kind}_server")
    yield server
    server.thaw()
    if not server.answers():
        server.stop()
        server.start()


@pytest.fixture
def make_served(server: Server, kind: str) -> Callable[..., Any]:
    """Make a store on the test's server."""
    place = f"foxy_{uuid4().hex[:8]}"
    if kind == "redis":
        return partial(redis_store, server.url, place)
    url = f"{server.url}&read_timeout=2" if kind == "mysql" else server.url
    return lambda **_: sql_store(url, place)


def near_expiry(token: Token, left: float) -> Token:
    """Return *token* with so many seconds left to live."""
    assert token.obtained_at is not None
    return replace(token, expires_at=token.obtained_at + left, obtained_at=token.obtained_at + left - 7200.0)


@pytest.mark.parametrize("kind", SERVED)
def test_a_server_that_is_down(rotating: Emulator, server: Server, make_served: Callable[..., Any]) -> None:
    """R11, R22: Without its server a valid token still serves, and an expired one is an error that requests knows."""
    store = make_served()
    store.save(near_expiry(rotating.grant(), 100.0))
    auth = auth_for(rotating, None, store=store)
    before = status_of(auth, rotating.store_url)
    auth.flush()
    made = len(rotating.token_calls)
    server.stop()
    without = [status_of(auth, rotating.store_url) for _ in range(3)]
    with pytest.raises(requests.RequestException) as caught:
        status_of(auth_for(rotating, None, store=store), rotating.store_url)
    server.start()
    after = status_of(auth_for(rotating, None, store=store), rotating.store_url)

    assert (before, without, after) == (200, [200] * 3, 200)
    assert isinstance(caught.value, StoreError)
    assert len(rotating.token_calls) == made
    assert store.load().refresh_token == rotating.current_refresh_token


@pytest.mark.parametrize(
    ("kind", "fail", "recover"),
    [("redis", "stop", "start"), ("postgres", "freeze", "thaw"), ("mysql", "freeze", "thaw")],
)
def test_a_server_that_fails_during_a_refresh(
    rotating: Emulator, server: Server, make_served: Callable[..., Any], fail: str, recover: str
) -> None:
    """R19: A token that cannot be saved is used, and saved soon; until then nobody else sends the spent one."""
    store = make_served(lease=10.0)
    store.save(expired(rotating))
    auth, other = auth_for(rotating, None, store=store), auth_for(rotating, None, store=make_served(lease=10.0))
    with rotating.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(status_of, auth, rotating.store_url)
        latch.wait_for(1)
        getattr(server, fail)()
        latch.release()
        statuses = [waiting.result(DEADLINE)]
    getattr(server, recover)()
    statuses.append(status_of(other, rotating.store_url))

    assert statuses == [200, 200]
    assert store.load() == auth.token == other.token
    assert len(rotating.token_calls) == 1


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_server_that_stops_during_a_refresh(
    rotating: Emulator, server: Server, make_served: Callable[..., Any]
) -> None:
    """R19: A token that could not be saved is used, `flush` says what to do, and saves it when the server is back."""
    store = make_served()
    store.save(expired(rotating))
    auth = auth_for(rotating, None, store=store)
    with rotating.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(status_of, auth, rotating.store_url)
        latch.wait_for(1)
        server.stop()
        latch.release()
        status = waiting.result(DEADLINE)
    with pytest.raises(StoreError, match="flush again"):
        auth.flush()
    server.start()
    auth.flush()

    assert status == 200
    assert store.load() == auth.token
    assert status_of(auth_for(rotating, None, store=make_served()), rotating.store_url) == 200
    assert len(rotating.token_calls) == 1


@pytest.mark.parametrize("kind", ["redis"])
async def test_a_server_that_hangs(foxy: Emulator, server: Server, make_served: Callable[..., Any]) -> None:
    """R20: While the server hangs, the event loop goes on, and so do requests with a token that is valid."""
    store = make_served()
    token = near_expiry(foxy.grant(), 200.0)
    store.save(token)
    auth = auth_for(foxy, token, store=store, timeout=1.0)
    stalls: list[float] = []
    async with httpx.AsyncClient(auth=auth) as client, anyio.create_task_group() as group:
        group.start_soon(record_stalls, stalls)
        server.freeze()
        began = time.monotonic()
        statuses = [(await client.get(foxy.store_url)).status_code for _ in range(5)]
        took = time.monotonic() - began
        with pytest.raises(StoreError):
            await in_worker_thread(auth.refresh, token)
        server.thaw()
        group.cancel_scope.cancel()
    await auth.aclose()

    assert statuses == [200] * 5
    assert took < 5.0  # the timeout for each request
    assert max(stalls) < 0.9  # less than one timeout


async def record_stalls(stalls: list[float]) -> None:
    """Record how late the event loop comes back from each short sleep."""
    while True:
        began = time.monotonic()
        await anyio.sleep(0.01)
        stalls.append(time.monotonic() - began - 0.01)
