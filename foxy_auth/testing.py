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

`FoxyClock` moves the time of auth objects and emulators, in tests of programs that use this package.
"""

from __future__ import annotations

import os
import pickle
import reprlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import cycle
from typing import Any, NoReturn, Self

try:
    import pytest
except ModuleNotFoundError:
    raise ModuleNotFoundError("foxy_auth.testing needs pytest: pip install pytest", name="pytest") from None

from foxy_auth._time import monotonic, told_by
from foxy_auth.token import Token

MakeStore = Callable[[str], Any]

DEADLINE = 10.0  # seconds that something may take that must happen
CONTENTION = 0.25  # seconds in which one thread saves and another would load something incomplete
SHORT = 0.2  # seconds to wait for a lock that another holds
SLACK = 2.0  # seconds by which such a wait may be longer

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
        for name in ("load", "save", "delete", "lock"):
            _expect(callable(getattr(store, name, None)), f"{_kind(store)} has no method {name}; see TokenStore")

    def test_empty(self, store: Any) -> None:
        """Before anything was saved, `load` returns None."""
        _expect_nothing(store, "before anything was saved, in a place that is empty when the test starts")

    def test_all_fields(self, store: Any) -> None:
        """A token is loaded as it was saved, with all its fields."""
        store.save(TOKEN)

        _expect_token(store, TOKEN)

    @pytest.mark.parametrize("absent", ["refresh_token", "expires_at", "obtained_at"])
    def test_absent_fields(self, store: Any, absent: str) -> None:
        """A field that is None is loaded as None, even if the former token had a value there."""
        token = Token.from_dict({**TOKEN.to_dict(), absent: None})
        store.save(TOKEN)
        store.save(token)

        _expect_token(store, token)

    def test_special_characters(self, store: Any) -> None:
        """Any characters that a provider may use are preserved, and so is a long token."""
        token = replace(TOKEN, access_token="!~\"'\\%{}[]<>&;|`$" * 20, refresh_token="snö \U0001f98a '\"\\\n\t%s")
        store.save(token)

        _expect_token(store, token)

    def test_keys_are_independent(self, make_store: MakeStore) -> None:
        """The token and the lock of one key have nothing to do with those of another."""
        keys = ["one", "One", "one.1", "other"]
        for key in keys:
            with _locked(make_store(key)):
                make_store(key).save(replace(TOKEN, access_token=f"made-up-{key}"))
        for key in keys:
            _expect_token(make_store(key), replace(TOKEN, access_token=f"made-up-{key}"), f"of the key {key!r}")
        with _locked(make_store("one")):
            _expect(_can_lock(make_store("other")), "while the lock of one key is held, that of another must be free")

    def test_saved_tokens_are_seen_at_once(self, make_store: MakeStore) -> None:
        """What one object saves, another one with the same key loads at once, in both directions and every time."""
        one, other = make_store("one"), make_store("one")
        for number, (writer, reader) in enumerate([(one, other), (other, one)] * 2):
            token = replace(TOKEN, access_token=f"made-up-{number}")
            writer.save(token)
            _expect_token(reader, token, "that another object with the same key has saved")

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

        def load() -> object:
            loaded: object = tokens[0]
            try:
                while loaded in tokens and time.monotonic() < end:
                    loaded = make_store("one").load()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what this test looks for
                return error
            finally:
                stop.set()
            return loaded

        seen = _run_in_threads(save, load)[1]
        _expect(
            seen in tokens,
            f"while another thread saves, load() must return the former token or the new one, not {_shown(seen)}; "
            "replace the record in one step",
        )

    # --- delete ------------------------------------------------------------------------------------------------------

    def test_delete(self, make_store: MakeStore) -> None:
        """Once the token is removed, every object loads None; removing it again does nothing, and saving works."""
        store, other = make_store("one"), make_store("one")
        store.save(TOKEN)
        other.delete()
        for one in (store, other, make_store("one")):
            _expect_nothing(one, "after delete()")
        store.delete()
        newer = Token("made-up-newer")
        other.save(newer)

        _expect_token(store, newer, "that was saved after delete()")

    def test_delete_is_independent(self, make_store: MakeStore) -> None:
        """Removing the token of one key leaves that of another, even where one name contains the other."""
        other = replace(TOKEN, access_token="made-up-one.1")
        make_store("one").save(TOKEN)
        make_store("one.1").save(other)
        make_store("one").delete()
        _expect_token(make_store("one.1"), other, "of another key than the one that was deleted")
        make_store("one.1").delete()

        _expect_nothing(make_store("one.1"), "after delete()")

    def test_delete_with_the_lock(self, make_store: MakeStore) -> None:
        """The holder of the lock can remove the token and save another one, and the lock works afterwards."""
        store = make_store("one")
        store.save(TOKEN)
        with _locked(store):
            store.delete()
            _expect_nothing(store, "after delete() by the holder of the lock")
            store.save(TOKEN)
            store.delete()
        with _locked(store):
            _expect_nothing(make_store("one"), "after delete() by the holder of the lock")

    # --- the lock ----------------------------------------------------------------------------------------------------

    def test_load_and_save_with_the_lock(self, make_store: MakeStore) -> None:
        """The holder of the lock can load and save, and others see what was saved when the lock is released."""
        store = make_store("one")
        with _locked(store):
            _expect_nothing(store, "before anything was saved")
            store.save(TOKEN)
            _expect_token(store, TOKEN, "that the holder of the lock has saved")

        _expect_token(make_store("one"), TOKEN, "that the holder of the lock has saved, once it is released")

    def test_the_lock_is_released_after_an_error(self, store: Any) -> None:
        """The lock is released when its context ends, also by an error, which is not swallowed."""
        with suppress(ZeroDivisionError):
            with _locked(store):
                raise ZeroDivisionError
            _fail("the context of lock() must not swallow an error that is raised within it")
        for _ in range(3):
            _expect(_can_lock(store), "the lock must be free again after an error within it; release it in `finally`")

    def test_timeout_of_the_lock(self, make_store: MakeStore) -> None:
        """Waiting for a lock that another holds ends with a `TimeoutError` when it should; loading is possible."""
        make_store("one").save(TOKEN)
        with _locked(make_store("one")):
            _expect(not _can_lock(make_store("one")), "lock() must exclude others, and two held it at the same time")
            [loaded] = _run_in_threads(make_store("one").load)
            _expect(loaded == TOKEN, "load() must work without the lock, while somebody else holds it")

    def test_threads_exclude_each_other(self, make_store: MakeStore) -> None:
        """Only one of several threads holds the lock at a time, whether they use the same object or not."""
        shared = make_store("one")
        holders: list[int] = []
        counts: list[int] = []

        def hold(store: Any) -> None:
            for _ in range(3):
                with _locked(store, DEADLINE):
                    holders.append(1)
                    time.sleep(0.005)
                    counts.append(len(holders))
                    holders.pop()

        _run_in_threads(*[lambda: hold(shared)] * 2, *[lambda: hold(make_store("one"))] * 2)

        _expect(max(counts) == 1, f"lock() must exclude other threads, and {max(counts)} held it at the same time")

    def test_a_waiting_thread_gets_the_lock(self, make_store: MakeStore) -> None:
        """A thread that waits for the lock gets it soon after it is released."""

        def wait() -> float:
            with _locked(make_store("one"), DEADLINE):
                return time.monotonic()

        with _locked(make_store("one")):
            acquired_at = _start(wait)
            time.sleep(SHORT)
            released_at = time.monotonic()
        waited = _result(acquired_at) - released_at

        _expect(waited >= 0, "lock() must exclude other threads, and one acquired it that should have waited")
        _expect(
            waited < 1.0, f"who waits in lock() must acquire it soon after its release; it took {waited:.1f} seconds"
        )


class SharedStoreContract(StoreContract):
    """
    What a store must do that several processes can share: it can be pickled, and its lock excludes other processes.

    Attributes:
        freed_within: Seconds after which the lock of a process that was killed is free: the lease, if there is one.
    """

    freed_within: float = 1.0

    def test_pickle(self, store: Any) -> None:
        """A pickle is the same store, also one that was made while the lock was held."""
        with _locked(store):
            again = pickle.loads(_pickled(store))  # noqa: S301 - our own
            store.save(TOKEN)

        _expect_token(again, TOKEN, "that was saved by the store that it is a pickle of")

    def test_processes_exclude_each_other(self, store: Any) -> None:
        """Another process excludes us until it releases the lock, or is killed; the stored token survives that."""
        store.save(TOKEN)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        program, pipe = [sys.executable, "-c", _HOLDER], subprocess.PIPE
        with subprocess.Popen(program, env=environment, stdin=pipe, stdout=pipe, stderr=pipe) as process:  # noqa: S603 - our own
            try:
                _tell(process, _pickled(store), "locked")
                _expect(not _can_lock(store), "lock() must exclude other processes; two held it at the same time")
                _tell(process, b"\n", "released")
                _expect(_can_lock(store), "the lock must be free when another process has released it")
                _tell(process, b"\n", "locked")
            finally:
                process.kill()
        killed_at = time.monotonic()
        with _locked(store, self.freed_within + DEADLINE):
            waited = time.monotonic() - killed_at
        _expect(
            waited < self.freed_within + 1.0,
            f"the lock of a process that was killed must be free within {self.freed_within:g} seconds (freed_within); "
            f"it took {waited:.1f}",
        )

        _expect_token(store, TOKEN, "that was saved before a holder of the lock was killed")

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_fork_while_the_lock_is_held(self, make_store: MakeStore) -> None:
        """A child that is forked while another thread holds the lock can load, and does not have the lock."""
        store = make_store("one")
        store.save(TOKEN)
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with _locked(store, DEADLINE):
                held.set()
                release.wait(DEADLINE)

        holder = _start(hold)
        held.wait(DEADLINE)
        forked = in_fork(lambda: (_can_lock(store), store.load() == TOKEN))
        here = _can_lock(make_store("one"))
        release.set()
        _result(holder)

        _expect(
            forked == (0, "(False, True)"),
            "a child that is forked while a thread holds the lock must be able to load, and must not have the lock; it "
            f"answered {forked[1]}",
        )
        _expect(not here, "a fork must not release the lock that a thread holds")
        _expect(_can_lock(store), "the lock must be free when its holder has released it, also after a fork")


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
        _expect_token(store, TOKEN, "of a record with a field that is unknown")
        store.save(newer)

        _expect("keep me" in read_record("one"), "save() must preserve fields of the record that it does not know")
        _expect_token(store, newer, "that replaced a record with a field that is unknown")

    @pytest.mark.parametrize("damage", ["", "{", "[]", "null", '"text"', '{"version": 1}', "\x01"])
    def test_damaged_records(self, store: Any, read_record: Any, write_record: Any, damage: str) -> None:
        """A record that cannot be read is an error, not the absence of a token; it stays until the next save."""
        store.save(TOKEN)
        damaged = damage or read_record("one")[:50]
        write_record("one", damaged)
        self._expect_error(store, damaged)

        _expect(read_record("one") == damaged, "load() must leave a damaged record as it is: it may be repaired")
        store.save(TOKEN)
        _expect_token(store, TOKEN, "that replaced a damaged record")

    def test_invalid_expiry(self, store: Any, write_record: Any) -> None:
        """An expiry that is not a number of seconds makes a record damaged, not a token that never expires."""
        for value in ("1e999", "-1e999", "NaN", "9" * 400, "true", '"soon"', "[]", "{}"):
            record = f'{{"version": 1, "access_token": "made-up", "expires_at": {value}}}'
            write_record("one", record)
            self._expect_error(store, record)

    def _expect_error(self, store: Any, record: str) -> None:
        __tracebackhide__ = True
        with suppress(self.errors):
            loaded = store.load()
            _fail(
                f"load() of the damaged record {reprlib.repr(record)} must raise {self.errors.__name__}, and returned "
                f"{_shown(loaded)}"
            )


# --- sentences about failures ----------------------------------------------------------------------------------------


def _expect(is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition, as that of `assert`
    __tracebackhide__ = True
    if not is_so:
        _fail(otherwise)


def _fail(sentence: str) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(sentence)


def _expect_nothing(store: Any, when: str) -> None:
    """Expect that *store* loads None."""
    __tracebackhide__ = True
    loaded = store.load()
    _expect(loaded is None, f"load() must return None {when}, and returned {_shown(loaded)}")


def _expect_token(store: Any, expected: Token, which: str = "that was saved") -> None:
    """Expect that *store* loads a token; otherwise name the fields that differ, of tokens that are all made up."""
    __tracebackhide__ = True
    loaded: object = store.load()
    _expect(isinstance(loaded, Token), f"load() must return the token {which}, and returned {_shown(loaded)}")
    if loaded != expected and isinstance(loaded, Token):
        found = loaded.to_dict()
        wrong = [
            f"{name} is {reprlib.repr(found[name])} instead of {reprlib.repr(value)}"
            for name, value in expected.to_dict().items()
            if found[name] != value
        ]
        _fail(f"load() must return the token {which}, with all its fields: {', '.join(wrong)}")


def _shown(thing: object) -> str:
    """Describe what a store returned or raised."""
    if isinstance(thing, Exception):
        return f"raise {type(thing).__name__}: {thing}"
    return (
        f"a Token with the access token {reprlib.repr(thing.access_token)}" if isinstance(thing, Token) else repr(thing)
    )


def _kind(store: object) -> str:
    return type(store).__name__


@contextmanager
def _locked(store: Any, timeout: float = SHORT) -> Generator[None]:
    """Hold the lock of *store*, if it has one."""
    __tracebackhide__ = True
    _expect(callable(getattr(store, "lock", None)), f"{_kind(store)} has no method lock; see TokenStore")
    context = store.lock(timeout)
    _expect(
        all(hasattr(context, name) for name in ("__enter__", "__exit__")),
        f"{_kind(store)}.lock() must return a context that holds the lock, as a function with @contextmanager and one "
        f"`yield` does, and returned {_kind(context)}",
    )
    with context:
        yield


def _can_lock(store: Any) -> bool:
    """Tell whether another thread can acquire the lock of *store*."""
    __tracebackhide__ = True

    def lock() -> None:
        with _locked(store):
            pass

    locked = _start(lock)
    in_time = wait([locked], SHORT + SLACK).done
    _expect(bool(in_time), f"lock({SHORT}) must raise TimeoutError after {SHORT} seconds, and waits for longer")
    with suppress(TimeoutError):
        locked.result()
        return True
    return False


def _pickled(store: Any) -> bytes:
    __tracebackhide__ = True
    try:
        return pickle.dumps(store)
    except Exception as error:  # noqa: BLE001 - pickling raises what it likes
        failure = f"a store that processes share must be one that can be pickled: {type(error).__name__}: {error}"
    _fail(failure)


def _tell(process: Any, data: bytes, expected: str) -> None:
    """Send *data* to the holder of a lock, and expect what it says."""
    __tracebackhide__ = True
    with suppress(BrokenPipeError):
        process.stdin.write(data)
        process.stdin.flush()
    if (answer := str(process.stdout.readline(), "ascii").strip()) != expected:
        process.kill()
        reason = str(process.stderr.read(), "utf-8", "replace").strip().rpartition("\n")[2] or answer
        _fail(f"another process that unpickles the store must be able to lock and to release it: {reason}")


# --- threads and processes -------------------------------------------------------------------------------------------


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


def _run_in_threads(*works: Callable[[], Any]) -> list[Any]:
    """Call all *works* at once, each in a thread; return what they return, or raise what one of them raises."""
    __tracebackhide__ = True
    return [_result(future) for future in [_start(work) for work in works]]


def _result(future: Future[Any]) -> Any:
    __tracebackhide__ = True
    _expect(bool(wait([future], DEADLINE).done), f"the store must answer within {DEADLINE:g} seconds, and hangs")
    return future.result()


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


class FoxyClock:
    """
    A clock that a test moves, for all auth objects and emulators of this process at once; a context manager.

    It begins at the present time and stands still. The pause before a token request is repeated takes no real time: it
    moves the clock. Other clocks, such as `time.time`, stay as they are, and so do the deadlines of waits.
    With pytest, use the fixture `foxy_clock`.
    """

    def __init__(self) -> None:
        self._now = time.time()
        self._moved = 0.0
        self._started = monotonic()
        self._lock = threading.Lock()
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        self._leaving.enter_context(told_by(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.close()

    def __repr__(self) -> str:
        return f"<FoxyClock moved by {self._moved:g} s>"

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now + self._moved

    def advance(self, seconds: float) -> None:
        """
        Let so many *seconds* pass: tokens and codes expire, and a failed save or delivery that is due is tried again.

        Raises:
            ValueError: *seconds* is negative.
        """
        from foxy_auth._engine.delivery import deliver_due

        if not seconds >= 0:
            raise ValueError("advance takes the seconds that pass, zero or more")
        self.sleep(seconds)
        deliver_due()

    # What stands in for the module `time`.

    def time(self) -> float:
        """Return seconds since the epoch, as `time.time` does."""
        return self.now

    def monotonic(self) -> float:
        """Return seconds since some instant, as `time.monotonic` does."""
        return self._started + self._moved

    def sleep(self, seconds: float) -> None:
        """Move the clock instead of waiting."""
        with self._lock:
            self._moved += seconds
