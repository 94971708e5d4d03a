"""
Tests for stores of your own, to run with pytest: what every store must do, and what it must do if it can be shared.

    import pytest
    from foxy_auth.testing import SharedStoreContract

    from my_store import MyStore


    class TestMyStore(SharedStoreContract):

        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda key: MyStore(tmp_path, key)

Derive the class from:

- `StoreContract`, if the store is used within one process;
- `SharedStoreContract`, if several processes can share it;
- `RecordContract` (also in addition to `SharedStoreContract`), if a test can read and damage the stored records.

A test calls `make_store` several times, with one key or several. Each call stands for another part of a program that
keeps its tokens in the same place, which must be empty when the test starts.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from foxy_auth.stores import TokenStore
from foxy_auth.token import Token

MakeStore = Callable[[str], Any]

DEADLINE = 10.0  # seconds that something may take that must happen
CONTENTION = 0.25  # seconds in which one thread saves and another would load something incomplete
SHORT = 0.2  # seconds to wait for a lock that another holds

TOKEN = Token(
    "made-up-access-token",
    refresh_token="made-up-refresh-token",
    expires_at=1_800_007_200.25,
    obtained_at=1_800_000_000.5,
    scope="store_full_access store_id_7",
    token_type="bearer",
)

# A process that holds the lock of the store that it reads from its input, once for each further line.
_HOLDER = """
import pickle, sys
store = pickle.load(sys.stdin.buffer)
while True:
    with store.lock(10.0):
        print("locked", flush=True)
        sys.stdin.buffer.readline()
    print("released", flush=True)
    sys.stdin.buffer.readline()
"""


class StoreContract:
    """What every store must do. Override the fixture `make_store`."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Return a function that takes a key and returns the store of that key's token."""
        raise NotImplementedError("override the fixture make_store: return a function that makes a store")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Any:
        """Return the store of the key `one`."""
        return make_store("one")

    def test_protocol(self, store: Any) -> None:
        """A store has the methods of `TokenStore`."""
        assert isinstance(store, TokenStore)

    def test_empty(self, store: Any) -> None:
        """Before anything was saved, `load` returns None."""
        assert store.load() is None

    def test_all_fields(self, store: Any) -> None:
        """A token is loaded as it was saved, with all its fields."""
        store.save(TOKEN)

        assert store.load() == TOKEN

    @pytest.mark.parametrize("absent", ["refresh_token", "expires_at", "obtained_at"])
    def test_absent_fields(self, store: Any, absent: str) -> None:
        """A field that is None is loaded as None, even if the former token had a value there."""
        token = Token.from_dict({**TOKEN.to_dict(), absent: None})
        store.save(TOKEN)
        store.save(token)

        assert store.load() == token

    def test_special_characters(self, store: Any) -> None:
        """Any characters that a provider may use are preserved, and so is a long token."""
        token = replace(TOKEN, access_token="!~\"'\\%{}[]<>&;|`$" * 20, refresh_token="snö \U0001f98a '\"\\\n\t%s")
        store.save(token)

        assert store.load() == token

    def test_keys_are_independent(self, make_store: MakeStore) -> None:
        """The token and the lock of one key have nothing to do with those of another."""
        keys = ["one", "One", "one.1", "other"]
        for key in keys:
            with make_store(key).lock(SHORT):
                make_store(key).save(replace(TOKEN, access_token=f"made-up-{key}"))

        assert [make_store(key).load().access_token for key in keys] == [f"made-up-{key}" for key in keys]
        with make_store("one").lock(SHORT), make_store("other").lock(SHORT):
            pass

    def test_saved_tokens_are_seen_at_once(self, make_store: MakeStore) -> None:
        """What one object saves, another one with the same key loads at once, in both directions and every time."""
        one, other = make_store("one"), make_store("one")
        for number, (writer, reader) in enumerate([(one, other), (other, one)] * 2):
            token = replace(TOKEN, access_token=f"made-up-{number}")
            writer.save(token)
            assert reader.load() == token

    def test_save_is_atomic(self, make_store: MakeStore) -> None:
        """While one thread saves, another loads the former token or the new one, never a part, nothing or an error."""
        tokens = [replace(TOKEN, access_token=letter * 500) for letter in "ab"]
        make_store("one").save(tokens[0])
        end, stop = time.monotonic() + CONTENTION, threading.Event()

        def save() -> None:
            for token in cycle(tokens):
                make_store("one").save(token)
                if stop.is_set():
                    return

        def load() -> Token | None:
            loaded: Token | None = tokens[0]
            try:
                while loaded in tokens and time.monotonic() < end:
                    loaded = make_store("one").load()
            finally:
                stop.set()
            return loaded

        assert _run_in_threads(save, load)[1] in tokens

    # --- the lock ----------------------------------------------------------------------------------------------------

    def test_load_and_save_with_the_lock(self, make_store: MakeStore) -> None:
        """The holder of the lock can load and save, and others see what was saved when the lock is released."""
        store = make_store("one")
        with store.lock(SHORT):
            assert store.load() is None
            store.save(TOKEN)
            assert store.load() == TOKEN

        assert make_store("one").load() == TOKEN

    def test_the_lock_is_released_after_an_error(self, store: Any) -> None:
        """The lock is released when its context ends, also by an error, which is not swallowed."""
        with pytest.raises(ZeroDivisionError), store.lock(SHORT):
            raise ZeroDivisionError
        for _ in range(3):
            with store.lock(SHORT):
                pass

    def test_timeout_of_the_lock(self, make_store: MakeStore) -> None:
        """Waiting for a lock that another holds ends with a `TimeoutError` when it should; loading is possible."""
        make_store("one").save(TOKEN)
        with make_store("one").lock(SHORT):
            started = time.monotonic()
            acquired, loaded = _run_in_threads(lambda: _can_lock(make_store("one")), lambda: make_store("one").load())

        assert (acquired, loaded) == (False, TOKEN)
        assert time.monotonic() - started < SHORT + 2.0

    def test_threads_exclude_each_other(self, make_store: MakeStore) -> None:
        """Only one of several threads holds the lock at a time, whether they use the same object or not."""
        shared = make_store("one")
        holders: list[int] = []
        counts: list[int] = []

        def hold(store: Any) -> None:
            for _ in range(3):
                with store.lock(DEADLINE):
                    holders.append(1)
                    time.sleep(0.005)
                    counts.append(len(holders))
                    holders.pop()

        _run_in_threads(*[lambda: hold(shared)] * 2, *[lambda: hold(make_store("one"))] * 2)

        assert counts == [1] * 12

    def test_a_waiting_thread_gets_the_lock(self, make_store: MakeStore) -> None:
        """A thread that waits for the lock gets it soon after it is released."""

        def wait() -> float:
            with make_store("one").lock(DEADLINE):
                return time.monotonic()

        with make_store("one").lock(SHORT):
            acquired_at = _start(wait)
            time.sleep(SHORT)
            released_at = time.monotonic()

        assert released_at <= acquired_at.result(DEADLINE) < released_at + 1.0


class SharedStoreContract(StoreContract):
    """
    What a store must do that several processes can share: it can be pickled, and its lock excludes other processes.

    Attributes:
        freed_within: Seconds after which the lock of a process that was killed is free: the lease, if there is one.
    """

    freed_within = 1.0

    def test_pickle(self, store: Any) -> None:
        """A pickle is the same store, also one that was made while the lock was held."""
        with store.lock(SHORT):
            again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
            store.save(TOKEN)

        assert again.load() == TOKEN

    def test_processes_exclude_each_other(self, store: Any) -> None:
        """Another process excludes us until it releases the lock, or is killed; the stored token survives that."""
        store.save(TOKEN)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        program = [sys.executable, "-c", _HOLDER]
        with subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
            try:
                assert _tell(process, pickle.dumps(store)) == "locked"
                assert not _can_lock(store)
                assert _tell(process, b"\n") == "released"
                assert _can_lock(store)
                assert _tell(process, b"\n") == "locked"
            finally:
                process.kill()
        killed_at = time.monotonic()
        with store.lock(self.freed_within + DEADLINE):
            assert time.monotonic() < killed_at + self.freed_within + 1.0

        assert store.load() == TOKEN

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_fork_while_the_lock_is_held(self, make_store: MakeStore) -> None:
        """A child that is forked while another thread holds the lock can load, and does not have the lock."""
        store = make_store("one")
        store.save(TOKEN)
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with store.lock(DEADLINE):
                held.set()
                release.wait(DEADLINE)

        holder = _start(hold)
        held.wait(DEADLINE)
        forked = in_fork(lambda: (_can_lock(store), store.load() == TOKEN))
        here = _can_lock(make_store("one"))
        release.set()
        holder.result(DEADLINE)

        assert (forked, here, _can_lock(store)) == ((0, "(False, True)"), False, True)


class RecordContract(StoreContract):
    """
    What a store must do that keeps records as `foxy_auth.stores` does, unencrypted.

    Override the fixtures `read_record` and `write_record` too.

    Attributes:
        errors: What `load` raises if the record is damaged.
    """

    errors: type[Exception] = Exception

    @pytest.fixture
    def read_record(self) -> Callable[[str], str]:
        """Return a function that takes a key and returns the record as it is stored."""
        raise NotImplementedError("override the fixture read_record: return a function that takes a key")

    @pytest.fixture
    def write_record(self) -> Callable[[str, str], object]:
        """Return a function that takes a key and a record, and stores that."""
        raise NotImplementedError("override the fixture write_record: return a function that takes a key and a record")

    def test_unknown_fields_are_preserved(self, store: Any, read_record: Any, write_record: Any) -> None:
        """Fields that others have added to a record, such as a newer version of this package, survive a save."""
        newer = replace(TOKEN, access_token="made-up-newer")
        store.save(TOKEN)
        write_record("one", read_record("one").replace("{", '{"note": "keep me", ', 1))
        loaded = store.load()
        store.save(newer)

        assert "keep me" in read_record("one")
        assert (loaded, store.load()) == (TOKEN, newer)

    @pytest.mark.parametrize("damage", ["", "{", "[]", "null", '"text"', '{"version": 1}', "\x01"])
    def test_damaged_records(self, store: Any, read_record: Any, write_record: Any, damage: str) -> None:
        """A record that cannot be read is an error, not the absence of a token; it stays until the next save."""
        store.save(TOKEN)
        damaged = damage or read_record("one")[:50]
        write_record("one", damaged)
        with pytest.raises(self.errors):
            store.load()

        assert read_record("one") == damaged
        store.save(TOKEN)
        assert store.load() == TOKEN

    def test_invalid_expiry(self, store: Any, write_record: Any) -> None:
        """An expiry that is not a number of seconds makes a record damaged, not a token that never expires."""
        for value in ("1e999", "-1e999", "NaN", "9" * 400, "true", '"soon"', "[]", "{}"):
            write_record("one", f'{{"version": 1, "access_token": "made-up", "expires_at": {value}}}')
            with pytest.raises(self.errors):
                store.load()


def in_fork(work: Callable[[], object]) -> tuple[int, str]:
    """Call *work* in a forked child; return the child's exit status and what *work* returned or raised, as text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(work()).encode())
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - the child must not run the rest of the tests
            os.write(write, repr(error).encode())
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def _tell(process: Any, data: bytes) -> str:
    """Send *data* to the holder of a lock; return what it says."""
    process.stdin.write(data)
    process.stdin.flush()
    return str(process.stdout.readline(), "ascii").strip()


def _can_lock(store: Any) -> bool:
    """Tell whether the lock of *store* can be acquired."""
    try:
        with store.lock(SHORT):
            return True
    except TimeoutError:
        return False


def _run_in_threads(*works: Callable[[], Any]) -> list[Any]:
    """Call all *works* at once, each in a thread; return what they return, or raise what one of them raises."""
    return [future.result(DEADLINE) for future in [_start(work) for work in works]]


def _start(work: Callable[[], Any]) -> Future[Any]:
    """Call *work* in a thread, and do not wait for it at exit: a store may hang."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised to who asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
