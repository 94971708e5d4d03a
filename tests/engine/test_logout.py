"""Logging out: the record goes, the object refuses from then on, and nothing is saved afterwards."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import requests
from support.concurrent_calls import in_tasks, in_worker_thread, wait_until_waiting
from support.programs import needs_fork
from support.sources import DEADLINE, auth_for, expired

from foxy_auth import FoxyAuth, LoginRequiredError, StoreError, Token
from foxy_auth._engine.delivery import _undelivered
from foxy_auth.stores import FileStore, MemoryStore
from foxy_auth.testing import in_fork

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from foxy_auth.emulator import Emulator

LOGGED_OUT = "this auth object was logged out; authorize again"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads to wait in."""
    with ThreadPoolExecutor(5) as pool:
        yield pool


@pytest.mark.parametrize("kind", ["none", "memory", "file"])
def test_nothing_stays(foxy: Emulator, tmp_path: Path, kind: str) -> None:
    """R29: After a logout no token is in the store or in memory, and requests fail without a token request."""
    store = {"none": None, "memory": MemoryStore(), "file": FileStore(tmp_path / "token.json")}[kind]
    auth = auth_for(foxy, expired(foxy), store=store)
    requests.get(foxy.environment.api, auth=auth, timeout=DEADLINE)
    auth.logout()
    with pytest.raises(LoginRequiredError, match=LOGGED_OUT) as caught:
        requests.get(foxy.environment.api, auth=auth, timeout=DEADLINE)
    for ask in (auth.get_token, auth.headers, auth.refresh):
        with pytest.raises(LoginRequiredError, match=LOGGED_OUT):
            ask()
    auth.logout()
    auth.close()

    assert isinstance(caught.value, requests.RequestException)
    assert (auth.token, store and store.load(), len(foxy.token_calls)) == (None, None, 1)


# --- what is under way -----------------------------------------------------------------------------------------------


def test_threads_that_wait_for_a_refresh(foxy: Emulator, pool: ThreadPoolExecutor) -> None:
    """R29: A logout waits for the refresh under way, whose token nobody gets and nothing keeps."""
    store, delivered = MemoryStore(), list[Token]()
    auth = auth_for(foxy, expired(foxy), store=store, on_token=delivered.append)
    with foxy.hold() as latch:
        waiting = [pool.submit(auth.get_token) for _ in range(3)]
        latch.wait_for()
        wait_until_waiting(3, "obtain")
        logout = pool.submit(auth.logout)
        wait_until_waiting(1, "finish")
        assert auth.token is None
        latch.release()

    logout.result(DEADLINE)
    for one in waiting:
        with pytest.raises(LoginRequiredError, match=LOGGED_OUT):
            one.result(DEADLINE)
    assert (store.load(), auth.token, delivered) == (None, None, [])


async def test_tasks_that_wait_for_a_refresh(foxy: Emulator) -> None:
    """R29: The same on an event loop, which is not blocked meanwhile."""
    store, delivered, outcomes = MemoryStore(), list[Token](), list[Any]()
    auth = auth_for(foxy, expired(foxy), store=store, on_token=delivered.append)

    async def wait() -> None:
        outcomes.extend(await in_tasks(3, auth.aget_token))

    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await in_worker_thread(latch.wait_for, 1)
            group.start_soon(auth.alogout)
            await anyio.wait_all_tasks_blocked()
            latch.release()

    assert [f"{type(one).__name__}: {one}"[:40] for one in outcomes] == [f"LoginRequiredError: {LOGGED_OUT}"[:40]] * 3
    assert (store.load(), auth.token, delivered) == (None, None, [])


class PausingStore(MemoryStore):
    """A store whose lock excludes nobody, and a callback: they pause at one stage, and note what is done."""

    def __init__(self, stage: str) -> None:
        """Pause at *stage*, which is the name of a method."""
        super().__init__()
        self._stage = stage
        self.paused, self.go_on = threading.Event(), threading.Event()
        self.done: list[str] = []

    def _do(self, stage: str) -> None:
        if stage == self._stage:
            self.paused.set()
            self.go_on.wait(DEADLINE)
        self.done.append(stage)

    def save(self, token: Token) -> None:
        """Save, after a pause."""
        self._do("save")
        super().save(token)

    def delete(self) -> None:
        """Remove the token."""
        super().delete()
        self.done.append("delete")

    def lock(self, timeout: float) -> Any:
        """Exclude nobody, so that only waiting for the refresh itself helps."""
        return nullcontext()

    def deliver(self, token: Token) -> None:
        """Take a new token, after a pause."""
        self._do("deliver")


@pytest.mark.parametrize(("stage", "done"), [("save", ["save", "delete"]), ("deliver", ["save", "deliver", "delete"])])
def test_a_save_or_a_callback_under_way(foxy: Emulator, pool: ThreadPoolExecutor, stage: str, done: list[str]) -> None:
    """R29: What has begun ends before the record is removed; what has not begun does not happen any more."""
    store = PausingStore(stage)
    auth = auth_for(foxy, expired(foxy), store=store, on_token=store.deliver)
    waiting = pool.submit(auth.get_token)
    assert store.paused.wait(DEADLINE)
    logout = pool.submit(auth.logout)
    wait_until_waiting(1, "finish")
    assert not logout.done()
    store.go_on.set()
    logout.result(DEADLINE)

    assert (store.done, store.load()) == (done, None)
    assert isinstance(waiting.exception(DEADLINE), LoginRequiredError)


def test_a_refresh_token_under_way(foxy: Emulator, pool: ThreadPoolExecutor) -> None:
    """R29: A refresh that reads the store meanwhile does not go back to the refresh token that it was given."""

    class SlowStore(PausingStore):
        def load(self) -> Token | None:
            self._do("load" if self.is_locked else "first load")
            return super().load()

        def lock(self, timeout: float) -> Any:
            self.is_locked = True
            return super().lock(timeout)

        is_locked = False

    store, refresh_token = SlowStore("load"), foxy.grant().refresh_token
    auth = auth_for(foxy, None, refresh_token=refresh_token, store=store)
    waiting = pool.submit(auth.get_token)
    assert store.paused.wait(DEADLINE)
    logout = pool.submit(auth.logout)
    wait_until_waiting(1, "finish")
    store.go_on.set()
    logout.result(DEADLINE)

    assert isinstance(waiting.exception(DEADLINE), LoginRequiredError)
    assert auth._source.grant.refresh_token is None


def test_another_process_that_refreshes(foxy: Emulator, pool: ThreadPoolExecutor) -> None:
    """R29: A logout waits for the store's lock, and removes what its holder has saved."""
    store = MemoryStore(foxy.grant())
    auth = auth_for(foxy, None, store=store)
    with store.lock(DEADLINE):
        logout = pool.submit(auth.logout)
        wait_until_waiting(1, "log_out")
        store.save(foxy.grant())
    logout.result(DEADLINE)

    assert store.load() is None


class FragileStore(MemoryStore):
    """A store that fails in some of its methods."""

    fails: tuple[str, ...] = ()
    error: type[Exception] = OSError

    def save(self, token: Token) -> None:
        """Fail, if it is to."""
        self._meet("save")
        super().save(token)

    def delete(self) -> None:
        """Fail, if it is to."""
        self._meet("delete")
        super().delete()

    @contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Fail, if it is to."""
        self._meet("lock")
        with super().lock(timeout):
            yield

    def _meet(self, name: str) -> None:
        if name in self.fails:
            raise self.error(f"no {name}: {self.load()}")


def test_what_could_not_be_saved_or_delivered(foxy: Emulator) -> None:
    """R29: A token that waits for its next attempt is forgotten, by the timer, by `flush` and by the exit."""
    store, delivered, called = FragileStore(), list[Token](), threading.Event()
    store.fails = ("save",)

    def deliver(token: Token) -> None:
        delivered.append(token)
        called.set()
        raise RuntimeError("made up")

    auth = auth_for(foxy, expired(foxy), store=store, on_token=deliver)
    auth.get_token()
    source: Any = auth._source
    deliveries = {source._delivery, source._renewal.saving}
    assert called.wait(DEADLINE)
    assert deliveries <= _undelivered
    auth.logout()
    assert not deliveries & _undelivered
    store.fails = ()
    auth.flush()

    assert (store.load(), len(delivered)) == (None, 1)


# --- stores that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails", "error", "reason"),
    [("lock", OSError, "cleared"), ("lock", TimeoutError, "locked"), ("delete", KeyError, "cleared")],
)
def test_a_store_that_fails(foxy: Emulator, fails: str, error: type[Exception], reason: str) -> None:
    """R29: The object refuses all the same; the error says that the record may be there, which another call removes."""
    token = foxy.grant()
    store = FragileStore(token)
    store.fails, store.error = (fails,), error
    auth = auth_for(foxy, token, store=store)
    with pytest.raises(
        StoreError, match=rf"cannot be {reason} \({error.__name__}\).*may still be there: call logout\(\) again"
    ):
        auth.logout()
    with pytest.raises(LoginRequiredError, match=LOGGED_OUT):
        auth.get_token()
    assert store.load() == token
    store.fails = ()
    auth.logout()

    assert store.load() is None


class OldStore:
    """A store of the user's, from before there was `delete`."""

    def __init__(self, token: Token) -> None:
        """Hold *token*."""
        self._token = token

    def load(self) -> Token | None:
        """Return the token."""
        return self._token

    def save(self, token: Token) -> None:
        """Replace the token."""
        self._token = token

    def lock(self, _timeout: float) -> Any:
        """Exclude nobody."""
        return nullcontext()


def test_a_store_without_delete(foxy: Emulator) -> None:
    """R24: A store of the user's may lack `delete` until somebody logs out; then an error says so, and that is all."""
    auth = auth_for(foxy, None, store=OldStore(foxy.grant()))
    with pytest.raises(TypeError, match=r"logout\(\) needs a store with the method delete, and OldStore has none"):
        auth.logout()

    assert auth.get_token() is auth.token


# --- copies, children and others -------------------------------------------------------------------------------------


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_copies_and_children(foxy: Emulator) -> None:
    """R29: Pickles, copies and forked children of an object that was logged out refuse, and hold no secret."""
    token = foxy.grant()
    auth = auth_for(foxy, token, store=MemoryStore(token))
    twin = copy.deepcopy(auth)
    auth.logout()
    pickled = pickle.dumps(auth)
    unpickled: FoxyAuth = pickle.loads(pickled)  # noqa: S301 - our own

    def ask() -> str:
        try:
            return str(auth.get_token())
        except LoginRequiredError as error:
            return str(error)

    for one in (twin, copy.copy(auth), unpickled):
        with pytest.raises(LoginRequiredError, match=LOGGED_OUT):
            one.get_token()
    assert in_fork(ask)[1].startswith(LOGGED_OUT)
    assert token.access_token.encode() not in pickled
    assert str(token.refresh_token).encode() not in pickled


def test_others_go_on(foxy: Emulator) -> None:
    """R29: Another object that shares the store and has the token goes on, and saves the next one."""
    store = MemoryStore()
    auth, other = (auth_for(foxy, foxy.grant(), store=store) for _ in range(2))
    auth.refresh()
    auth.logout()
    token = other.refresh()

    assert store.load() == token == other.token


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_callback_that_logs_out(foxy: Emulator, *, is_async: bool) -> None:
    """R20: A callback may log out, without waiting for itself."""
    store = MemoryStore()

    async def alog_out(_: Token) -> None:
        await auth.alogout()

    auth: FoxyAuth = auth_for(
        foxy, expired(foxy), store=store, on_token=alog_out if is_async else lambda _: auth.logout(), timeout=DEADLINE
    )
    with pytest.raises(LoginRequiredError, match=LOGGED_OUT):
        auth.get_token()

    assert store.load() is None
