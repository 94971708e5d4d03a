"""`RedisStore`, with a real Redis."""

from __future__ import annotations

import pickle
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio
import redis.exceptions

from foxy_auth.errors import StoreError
from foxy_auth.stores import RedisStore
from foxy_auth.testing import DEADLINE, TOKEN, MakeStore, RecordContract, SharedStoreContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEWER = replace(TOKEN, access_token="made-up-newer", refresh_token="made-up-newer-refresh")


@pytest.fixture
def client(server_url: Callable[[str], str]) -> Iterator[redis.Redis]:
    """Connect to Redis."""
    with redis.Redis.from_url(server_url("redis")) as client:
        yield client


@pytest.fixture
def place() -> str:
    """Give a key that nobody else uses."""
    return f"foxy-{uuid4().hex}"


class TestContract(SharedStoreContract, RecordContract):
    """What every shared store with readable records must do."""

    freed_within = 0.6
    errors = StoreError

    @pytest.fixture
    def make_store(self, server_url: Callable[[str], str], place: str) -> MakeStore:
        """Use clients that return bytes."""
        connect = partial(redis.Redis.from_url, server_url("redis"))
        return RedisStore(connect, place, lease=self.freed_within).for_key

    @pytest.fixture
    def read_record(self, client: redis.Redis, place: str) -> Callable[[str], str]:
        """Get the value."""
        return lambda key: client.get(f"{place}/{key}").decode()  # type: ignore[union-attr]

    @pytest.fixture
    def write_record(self, client: redis.Redis, place: str) -> Callable[[str, str], object]:
        """Set the value."""
        return lambda key, record: client.set(f"{place}/{key}", record)


class TestContractWithText(RecordContract):
    """What every store with readable records must do, with a client that returns text."""

    errors = StoreError

    @pytest.fixture
    def client(self, server_url: Callable[[str], str]) -> Iterator[redis.Redis]:
        """Connect to Redis."""
        with redis.Redis.from_url(server_url("redis"), decode_responses=True) as client:
            yield client

    @pytest.fixture
    def make_store(self, client: redis.Redis, place: str) -> MakeStore:
        """Use the client."""
        return lambda key: RedisStore(client, place).for_key(key)

    @pytest.fixture
    def read_record(self, client: redis.Redis, place: str) -> Callable[[str], Any]:
        """Get the value."""
        return lambda key: client.get(f"{place}/{key}")

    @pytest.fixture
    def write_record(self, client: redis.Redis, place: str) -> Callable[[str, str], object]:
        """Set the value."""
        return lambda key, record: client.set(f"{place}/{key}", record)


def test_the_record_does_not_expire(client: redis.Redis, place: str) -> None:
    """The record has no expiry; the lock has a lease, and is deleted when it is released."""
    store = RedisStore(client, place, lease=5.0)
    with store.lock(1.0):
        store.save(TOKEN)
        seconds, lease = client.ttl(place), int(str(client.pttl(f"{place}:lock")))

    assert seconds == -1
    assert 0 < lease <= 5000
    assert client.exists(f"{place}:lock") == 0


def test_the_lease_is_renewed(client: redis.Redis, place: str) -> None:
    """R11: A lock that is held for longer than its lease excludes others all that time."""
    with RedisStore(client, place, lease=0.2).lock(1.0):
        time.sleep(0.5)
        with pytest.raises(TimeoutError), RedisStore(client, place).lock(0.0):
            pass


def test_a_lost_lock(client: redis.Redis, place: str) -> None:
    """R11: A holder whose lease ran out cannot overwrite what another holder has saved since."""
    slow, other = RedisStore(client, place), RedisStore(client, place)
    slow.save(TOKEN)
    with slow.lock(1.0):
        slow.load()
        client.delete(f"{place}:lock")  # as when the lease runs out
        with ThreadPoolExecutor(1) as threads:
            threads.submit(save_with_lock, other).result()
        with pytest.raises(StoreError, match="somebody else has saved a newer token"):
            slow.save(TOKEN)

    assert other.load() == NEWER


def save_with_lock(store: RedisStore) -> None:
    """Do what another process does that refreshes."""
    with store.lock(5.0):
        store.load()
        store.save(NEWER)


def test_a_lost_lease_is_logged(client: redis.Redis, place: str, caplog: pytest.LogCaptureFixture) -> None:
    """R11: A holder learns from the log that its lease ran out, once."""
    with RedisStore(client, place, lease=0.1).lock(1.0):
        client.delete(f"{place}:lock")
        deadline = time.monotonic() + DEADLINE
        while "ran out while it was held" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)

    assert caplog.text.count("ran out while it was held") == 1


def test_a_lost_lock_is_not_released(client: redis.Redis, place: str, caplog: pytest.LogCaptureFixture) -> None:
    """R11: A holder whose lease ran out does not release the lock of the next holder, and logs that."""
    with RedisStore(client, place).lock(1.0):
        client.set(f"{place}:lock", "another holder")

    assert client.get(f"{place}:lock") == b"another holder"
    assert "was not released (LockNotOwnedError)" in caplog.text


def test_saving_without_the_lock(client: redis.Redis, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock a save is repeated if another one comes between its reading and its writing."""
    store, other = RedisStore(client, place), RedisStore(client, f"{place}")
    read, interruptions = client.getrange, iter([TOKEN, NEWER])

    def read_and_be_interrupted(*args: Any) -> Any:
        value = read(*args)
        if token := next(interruptions, None):
            monkeypatch.setattr(client, "getrange", read)
            other.save(token)
            monkeypatch.setattr(client, "getrange", read_and_be_interrupted)
        return value

    monkeypatch.setattr(client, "getrange", read_and_be_interrupted)
    last = replace(TOKEN, access_token="made-up-last")
    store.save(last)

    assert (next(interruptions, None), store.load()) == (None, last)


def test_no_server() -> None:
    """A Redis that cannot be reached is a `StoreError`, also for the lock."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = redis.Redis(port=unused.getsockname()[1], socket_connect_timeout=0.2, retry=None)  # type: ignore[arg-type]
        store = RedisStore(client, "foxy")
        for action in (store.load, lambda: store.save(TOKEN), lambda: store.lock(1.0).__enter__()):
            with pytest.raises(StoreError, match="check the server"):
                action()


def test_another_type_of_value(client: redis.Redis, place: str) -> None:
    """A key that holds a list is an error, and is not changed."""
    client.rpush(place, "made up")
    with pytest.raises(StoreError, match="ResponseError"):
        RedisStore(client, place).load()

    assert client.lrange(place, 0, -1) == [b"made up"]


def test_a_huge_value(client: redis.Redis, place: str) -> None:
    """A value of 10 MB is refused without being transferred; a save keeps all of it under another key."""
    client.setrange(place, 10_000_000, b"x")
    with pytest.raises(StoreError, match="longer than"):
        RedisStore(client, place).load()
    RedisStore(client, place).save(TOKEN)

    assert RedisStore(client, place).load() == TOKEN
    assert client.strlen(f"{place}:damaged") == 10_000_001
    client.delete(f"{place}:damaged")


def test_pickling(client: redis.Redis, place: str) -> None:
    """R21, R24: A store with a client cannot be pickled, and says that it takes a function, with which it can."""
    with pytest.raises(TypeError, match="with its Redis; give it a function that makes the Redis"):
        pickle.dumps(RedisStore(client, place))
    store: RedisStore = pickle.loads(pickle.dumps(RedisStore(redis.Redis, place).for_key("one")))  # noqa: S301

    assert isinstance(store, RedisStore)


def test_a_function_is_called_once(server_url: Callable[[str], str], place: str) -> None:
    """The function is called when the client is first needed, and all keys share that client."""
    made: list[redis.Redis] = []

    def connect() -> redis.Redis:
        made.append(redis.Redis.from_url(server_url("redis")))
        return made[-1]

    store = RedisStore(connect, place)
    stores = [store.for_key(f"store-{number}") for number in range(3)]
    before = len(made)
    for one in [*stores, store]:
        one.load()

    assert (before, len(made)) == (0, 1)


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (redis.asyncio.Redis(), "stores work in threads"),
        (type("Mine", (redis.asyncio.Redis,), {})(), "stores work in threads"),
        (redis.Redis().pipeline(), "not Pipeline"),
        ("redis://localhost", "not str"),
        (None, "not NoneType"),
    ],
)
def test_invalid_clients(client: Any, message: str) -> None:
    """R24: What is not a client of Redis is refused at once, or when a function has made it."""
    with pytest.raises(TypeError, match=message):
        RedisStore(client, "foxy")
    with pytest.raises(StoreError, match=message):
        RedisStore(lambda: client, "foxy").load()


@pytest.mark.parametrize("options", [{"lease": 0.0}, {"lease": float("inf")}, {"lease": float("nan")}, {"key": ""}])
def test_invalid_arguments(options: dict[str, Any]) -> None:
    """R24: A lease that would free the lock at once, or never, and an empty key are refused at once."""
    with pytest.raises(ValueError, match=next(iter(options))):
        RedisStore(redis.Redis(), **{"key": "foxy", **options})
