"""
What a store promises, as tests: run a store of your own through them, with pytest.

    import pytest
    from foxy_auth.testing import StoreContract

    from my_store import MyStore


    class TestMyStore(StoreContract):
        shared = True                        # among processes

        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda key: MyStore(tmp_path, key)

`make_store` is called several times in a test, with one key or several; each call stands for another part of a program
that keeps its tokens in the same place, which is empty when the test begins.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from typing import Any, TypeVar

import pytest

from foxy_auth.stores import TokenStore
from foxy_auth.token import Token

MakeStore = Callable[[str], Any]
Test = TypeVar("Test", bound=Callable[..., None])

PATIENCE = 10.0  # seconds that something may take that must happen
MEANWHILE = 0.5  # seconds of saving, in which somebody who loads would come upon a gap
SHORT = 0.2  # seconds to wait for a lock that is not to be had

TOKEN = Token(
    "made-up-access-token",
    refresh_token="made-up-refresh-token",
    expires_at=1_800_007_200.25,
    obtained_at=1_800_000_000.5,
    scope="store_full_access store_id_7",
    token_type="bearer",
)

# A process of its own that holds the lock until it is told to leave, or is killed. Its store comes by its input.
_HOLDER = """
import pickle, sys
store = pickle.load(sys.stdin.buffer)
with store.lock(10.0):
    print("inside", flush=True)
    sys.stdin.buffer.read()
"""


def _only(attribute: str) -> Callable[[Test], Test]:
    """Make a test one of stores that have *attribute*."""

    def marked(test: Test) -> Test:
        test.__dict__["only"] = attribute
        return test

    return marked


class StoreContract:
    """
    What a store promises. Override the fixture `make_store`, and say what else your store can.

    Attributes:
        shared: Whether the store is shared among processes; it must then survive a pickle.

        freed_within: Seconds after which the lock is free whose holder was killed: the lease, where there is one.

        errors: What `load` raises when a record is damaged; any exception will do.

        keeps_records: Whether the store has records that something else could spoil; override `put_record` then, and
            `get_record`.
    """

    shared = False
    freed_within = 1.0
    errors: type[Exception] = Exception
    keeps_records = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Have only those tests that apply to the store."""
        super().__init_subclass__(**options)
        for name, test in vars(StoreContract).items():
            if (attribute := getattr(test, "only", None)) is not None and name not in vars(cls):
                setattr(cls, name, test if getattr(cls, attribute) else None)

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Return a function that takes a key and returns the store of that key's token."""
        raise NotImplementedError("override the fixture make_store: let it return a function that makes a store")

    def put_record(self, make_store: MakeStore, key: str, record: str) -> None:
        """Put *record* in the place of the one of *key*, past the store."""
        raise NotImplementedError("override put_record, or leave keeps_records False")

    def get_record(self, make_store: MakeStore, key: str) -> str | None:
        """Return the record of *key* as it is kept, past the store."""
        raise NotImplementedError("override get_record, or leave keeps_records False")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Any:
        """Return the store of the key `one`."""
        return make_store("one")

    def test_protocol(self, store: Any) -> None:
        """A store has the three methods."""
        assert isinstance(store, TokenStore)

    def test_nothing_yet(self, store: Any) -> None:
        """Where nothing was saved, there is None, and no error."""
        assert store.load() is None

    def test_every_field_comes_back(self, store: Any) -> None:
        """A token comes back as it was, all fields of it."""
        store.save(TOKEN)

        assert store.load() == TOKEN

    @pytest.mark.parametrize("absent", ["refresh_token", "expires_at", "obtained_at"])
    def test_what_a_token_lacks_it_still_lacks(self, store: Any, absent: str) -> None:
        """A field that is None comes back as None, whatever the former token had there."""
        token = Token.from_dict({**TOKEN.to_dict(), absent: None})
        store.save(TOKEN)
        store.save(token)

        assert store.load() == token

    def test_the_newest_counts(self, store: Any) -> None:
        """A token takes the place of the former."""
        tokens = [replace(TOKEN, access_token=f"made-up-{number}") for number in range(3)]
        for token in tokens:
            store.save(token)

        assert store.load() == tokens[-1]

    def test_odd_characters(self, store: Any) -> None:
        """Whatever a provider may put into a token survives, and so does a long one."""
        token = replace(TOKEN, access_token="!~\"'\\%{}[]<>&;|`$" * 20, refresh_token="snö \U0001f98a '\"\\\n\t%s")
        store.save(token)

        assert store.load() == token

    def test_two_keys_do_not_mix(self, make_store: MakeStore) -> None:
        """One grant, one record: what is kept under one key is not seen, changed or locked under another."""
        keys = ["one", "One", "one.1", "other"]
        for key in keys:
            with make_store(key).lock(SHORT):
                make_store(key).save(replace(TOKEN, access_token=f"made-up-{key}"))

        assert [make_store(key).load().access_token for key in keys] == [f"made-up-{key}" for key in keys]
        with make_store("one").lock(SHORT), make_store("other").lock(SHORT):
            pass

    def test_all_parts_of_a_program_see_the_same(self, make_store: MakeStore) -> None:
        """What one object has saved, another one of the same key loads, at once, in both directions and every time."""
        one, other = make_store("one"), make_store("one")
        tokens = [replace(TOKEN, access_token=f"made-up-{number}") for number in range(4)]
        seen: list[Token] = []
        for token, (writer, reader) in zip(tokens, [(one, other), (other, one)] * 2, strict=True):
            writer.save(token)
            seen.append(reader.load())

        assert seen == tokens

    def test_a_token_is_there_whole_or_not_at_all(self, make_store: MakeStore) -> None:
        """Who loads while others save gets the former token or the new one, never a part, nothing or an error."""
        tokens = [replace(TOKEN, access_token=letter * 500) for letter in "ab"]
        make_store("one").save(tokens[0])
        until = time.monotonic() + MEANWHILE

        def save() -> None:
            for token in cycle(tokens):
                make_store("one").save(token)
                if time.monotonic() > until:
                    return

        def load() -> Token | None:
            loaded: Token | None = tokens[0]
            while loaded in tokens and time.monotonic() < until:
                loaded = make_store("one").load()
            return loaded

        _, loaded = _all(save, load)

        assert loaded in tokens

    # --- the lock ----------------------------------------------------------------------------------------------------

    def test_inside_the_lock(self, make_store: MakeStore) -> None:
        """Who holds the lock reads and writes, in the same thread; when it is free again, all see what was written."""
        store = make_store("one")
        with store.lock(SHORT):
            before = store.load()
            store.save(TOKEN)
            after = store.load()

        assert (before, after, make_store("one").load()) == (None, TOKEN, TOKEN)

    def test_the_lock_can_be_had_again(self, store: Any) -> None:
        """A lock is free after its context, also when that ends by an error, which passes."""
        with pytest.raises(ZeroDivisionError), store.lock(SHORT):
            raise ZeroDivisionError
        for _ in range(3):
            with store.lock(SHORT):
                pass

    def test_a_lock_that_is_held(self, make_store: MakeStore) -> None:
        """Who waits for a lock that stays held gets a `TimeoutError`, not much later than asked for, and can read."""
        make_store("one").save(TOKEN)
        with make_store("one").lock(SHORT):
            outcome, seconds = _elsewhere(lambda: _try(make_store("one"), SHORT))
            read = _elsewhere(lambda: make_store("one").load())

        assert (outcome, read) == ("TimeoutError", TOKEN)
        assert seconds < SHORT + 2.0

    @pytest.mark.parametrize("same", [True, False], ids=["one object", "two objects"])
    def test_threads_exclude_each_other(self, make_store: MakeStore, same: bool) -> None:  # noqa: FBT001
        """Of all threads that use a key, one at a time is inside."""
        first = make_store("one")
        inside: list[int] = []
        seen: list[int] = []

        def enter(store: Any) -> None:
            for _ in range(3):
                with store.lock(PATIENCE):
                    inside.append(1)
                    time.sleep(0.005)
                    seen.append(len(inside))
                    inside.pop()

        _all(*[lambda: enter(first if same else make_store("one")) for _ in range(4)])

        assert seen == [1] * 12

    def test_who_waits_gets_the_lock(self, make_store: MakeStore) -> None:
        """Who waits for the lock gets it soon after it is free."""
        waited: list[float] = []

        def wait() -> None:
            with make_store("one").lock(PATIENCE):
                waited.append(time.monotonic() - left_at)

        with make_store("one").lock(SHORT):
            waiter = threading.Thread(target=wait)
            waiter.start()
            time.sleep(SHORT)
            left_at = time.monotonic()
        waiter.join(PATIENCE)

        assert len(waited) == 1
        assert 0 <= waited[0] < 1.0

    # --- processes ---------------------------------------------------------------------------------------------------

    @_only("shared")
    def test_a_pickle_is_the_same_store(self, store: Any) -> None:
        """A store that is shared survives a pickle, also one that is made while the lock is held."""
        with store.lock(SHORT):
            again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
            store.save(TOKEN)

        assert again.load() == TOKEN

    @_only("shared")
    def test_processes_exclude_each_other(self, store: Any) -> None:
        """While another process is inside, nobody here gets in; when it has left, somebody does."""
        with _holder(store) as holder:
            outcome, _ = _try(store, SHORT)
            assert holder.stdin is not None
            holder.stdin.close()
            with store.lock(PATIENCE):
                pass
            status = holder.wait(PATIENCE)

        assert (outcome, status) == ("TimeoutError", 0)

    @_only("shared")
    def test_the_lock_of_a_killed_process(self, store: Any) -> None:
        """When a process is killed that holds the lock, others get it before long, and the record is there."""
        store.save(TOKEN)
        with _holder(store) as holder:
            holder.kill()
            holder.wait(PATIENCE)
            killed_at = time.monotonic()
            with store.lock(self.freed_within + PATIENCE):
                waited = time.monotonic() - killed_at
                token = store.load()

        assert waited < self.freed_within + 1.0
        assert token == TOKEN

    @_only("shared")
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_child_that_is_forked_inside(self, make_store: MakeStore) -> None:
        """A child that is forked while a thread of its parent is inside can use the store, and does not get inside."""
        store = make_store("one")
        inside, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with store.lock(PATIENCE):
                store.save(TOKEN)
                inside.set()
                leave.wait(PATIENCE)

        holder = threading.Thread(target=hold)
        holder.start()
        inside.wait(PATIENCE)
        forked = in_fork(lambda: (_try(store, SHORT)[0], store.load() is None or store.load() == TOKEN))
        here, _ = _elsewhere(lambda: _try(make_store("one"), SHORT))
        leave.set()
        holder.join(PATIENCE)
        with store.lock(PATIENCE):
            after = store.load()

        assert forked == (0, "('TimeoutError', True)")
        assert (here, after) == ("TimeoutError", TOKEN)

    # --- records -----------------------------------------------------------------------------------------------------

    @_only("keeps_records")
    def test_unknown_fields_survive(self, make_store: MakeStore) -> None:
        """What others have put into the record, a newer version of this package say, is still there after a save."""
        make_store("one").save(TOKEN)
        record = str(self.get_record(make_store, "one"))
        self.put_record(make_store, "one", record.replace("{", '{"note": "keep me", ', 1))
        loaded = make_store("one").load()
        make_store("one").save(replace(TOKEN, access_token="made-up-newer"))

        assert loaded == TOKEN
        assert "keep me" in str(self.get_record(make_store, "one"))
        assert make_store("one").load().access_token == "made-up-newer"

    @_only("keeps_records")
    @pytest.mark.parametrize("damage", ["", "{", "[]", "null", '"text"', '{"version": 1}', "\x01"])
    def test_a_damaged_record(self, make_store: MakeStore, damage: str) -> None:
        """A record that cannot be read is an error, never "nothing there"; it stays; a save replaces it."""
        make_store("one").save(TOKEN)
        record = str(self.get_record(make_store, "one"))
        spoilt = damage or record[: len(record) // 2]
        self.put_record(make_store, "one", spoilt)
        with pytest.raises(self.errors):
            make_store("one").load()
        stayed = self.get_record(make_store, "one")
        make_store("one").save(TOKEN)

        assert stayed == spoilt
        assert make_store("one").load() == TOKEN

    @_only("keeps_records")
    def test_a_hostile_instant(self, make_store: MakeStore) -> None:
        """An expiry that is no instant is a damaged record, and not a token that lives for ever."""
        for value in ("1e999", "-1e999", "NaN", "9" * 400, "true", '"soon"', "[]", "{}"):
            self.put_record(make_store, "one", f'{{"version": 1, "access_token": "made-up", "expires_at": {value}}}')
            with pytest.raises(self.errors):
                make_store("one").load()


def in_fork(work: Callable[[], object]) -> tuple[int, str]:
    """Do *work* in a forked child; return the child's status and what *work* returned, as text."""
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
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


@contextmanager
def _holder(store: Any) -> Generator[subprocess.Popen[bytes]]:
    """Run a process that is inside the lock of *store*."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(pickle.dumps(store))
            process.stdin.flush()
            assert process.stdout.readline().split() == [b"inside"], "the other process did not get the lock"
            yield process
        finally:
            process.kill()


def _try(store: Any, timeout: float) -> tuple[str, float]:
    """Try to get the lock; tell what came of it, and after how many seconds."""
    began = time.monotonic()
    try:
        with store.lock(timeout):
            return "inside", time.monotonic() - began
    except Exception as error:  # noqa: BLE001 - told
        return type(error).__name__, time.monotonic() - began


def _elsewhere(work: Callable[[], Any]) -> Any:
    """Do *work* in another thread."""
    return _all(work)[0]


def _all(*works: Callable[[], Any]) -> list[Any]:
    """Do all *works* at once, each in a thread; raise what one of them raised."""
    outcomes: list[Any] = [TimeoutError("it takes too long")] * len(works)

    def run(number: int) -> None:
        try:
            outcomes[number] = works[number]()
        except BaseException as error:  # noqa: BLE001 - raised below
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
