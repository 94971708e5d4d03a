"""How a grant gets its next token: by itself, or with others who share it through a store that may be old or broken."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.concurrent_calls import in_threads_each, in_worker_thread, wait_until_waiting
from support.sources import DEADLINE, aget_token, auth_for, endpoint_for, expired, get_token, source_for

from foxy_auth._engine.backoff import Backoff
from foxy_auth._engine.freshness import Windows
from foxy_auth._engine.grant import Grant
from foxy_auth._engine.renewal import LocalRenewal, SharedRenewal
from foxy_auth.errors import LoginRequiredError, StoreError
from foxy_auth.stores import FileStore, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from foxy_auth._engine.source import TokenSource
    from foxy_auth.auth import FoxyAuth
    from foxy_auth.emulator import Emulator
    from foxy_auth.token import Token


@pytest.fixture
def rotating(foxy: Emulator) -> Emulator:
    """Give a Foxy whose refresh tokens are good once; whoever uses one twice loses the grant."""
    foxy.rotate_refresh_tokens = True
    return foxy


def source_over(foxy: Emulator, store: Any, **options: Any) -> TokenSource:
    """Return a source that begins with the token in *store*."""
    token = store.load()
    assert token is not None
    return source_for(foxy, token, store=store, **options)


# --- a grant by itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["same", "omitted", "rotated", "null"])
def test_the_refresh_token_is_kept_or_replaced(foxy: Emulator, response: str) -> None:
    """R10: Several refreshes in a row work, whether responses repeat, omit or replace the refresh token."""
    foxy.rotate_refresh_tokens = response == "rotated"
    foxy.omit_refresh_token = response == "omitted"
    foxy.token_fields = {"refresh_token": None} if response == "null" else {}
    delivered: list[Token] = []
    source = source_for(foxy, expired(foxy), on_token=delivered.append)
    for _ in range(4):
        get_token(source, source.grant.token)

    assert delivered[-1].refresh_token == foxy.current_refresh_token
    assert [call.form["refresh_token"] for call in foxy.token_calls[1:]] == [t.refresh_token for t in delivered[:-1]]


# --- a grant that is shared ----------------------------------------------------------------------------------------


def test_two_sources_over_one_store(rotating: Emulator) -> None:
    """R11: Twenty threads on two sources over one store make one token request; the other source adopts the token."""
    store = MemoryStore(expired(rotating))
    sources = [source_over(rotating, store) for _ in range(2)]
    tokens = in_threads_each([lambda: get_token(sources[0]), lambda: get_token(sources[1])] * 10)

    assert set(tokens) == {store.load()}
    assert len(rotating.token_calls) == 1


def test_the_stores_token_is_adopted(foxy: Emulator) -> None:
    """R11: A newer token in the store is used without a token request, and counts as found, not as issued."""
    store = MemoryStore(expired(foxy))
    source = source_over(foxy, store)
    store.save(foxy.grant())
    obtained = source.obtain("requests")

    assert obtained.signature.token == store.load()
    assert not obtained.is_issued
    assert foxy.token_calls == []


@pytest.mark.parametrize("left", [30.0, -100.0], ids=["due", "expired"])
def test_the_stores_token_needs_a_refresh_itself(rotating: Emulator, left: float) -> None:
    """R11: A newer token in the store that does not serve for long is refreshed, with its own refresh token."""
    store = MemoryStore(expired(rotating))
    source = source_over(rotating, store)
    issued = rotating.grant()
    assert issued.obtained_at is not None
    now = issued.obtained_at
    store.save(replace(issued, expires_at=now + left, obtained_at=now + left - 7200.0))
    obtained = source.obtain("requests")

    assert obtained.is_issued
    assert obtained.signature.token == store.load()
    assert [call.form["refresh_token"] for call in rotating.token_calls] == [issued.refresh_token]


def test_the_stores_token_has_no_refresh_token(rotating: Emulator) -> None:
    """R10: A token in the store that comes without a refresh token leaves the one in memory as it is."""
    store = MemoryStore(expired(rotating))
    source = source_over(rotating, store)
    rotated = get_token(source)
    store.save(replace(rotated, access_token="fake-access", refresh_token=None))
    adopted = get_token(source, rotated)
    get_token(source, adopted)

    assert adopted.access_token == "fake-access"
    assert rotating.token_calls[-1].form["refresh_token"] == rotated.refresh_token


def test_a_token_appears_in_the_store_while_its_lock_is_held(rotating: Emulator) -> None:
    """R11: Whoever waits for the lock goes on as soon as a new token is in the store, even if the lock stays held."""
    store = MemoryStore(expired(rotating))
    source = source_over(rotating, store)
    with store.lock(DEADLINE), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(get_token, source)
        wait_until_waiting(1, "obtain")
        store.save(rotating.grant())
        token = waiting.result(DEADLINE)

    assert token == store.load()
    assert rotating.token_calls == []


def test_a_lock_that_is_never_released(foxy: Emulator) -> None:
    """R19: Whoever waits for a lock in vain is told that it is held, and where."""
    store = MemoryStore(expired(foxy))
    with store.lock(DEADLINE), pytest.raises(StoreError, match=r"one that hangs \(another thread holds the lock\)"):
        get_token(source_over(foxy, store, timeout=0.05))


@pytest.mark.parametrize("newer", ["valid", "expired"])
def test_a_refused_refresh_token_was_replaced_meanwhile(rotating: Emulator, newer: str) -> None:
    """R12: If the refresh token is refused and the store has a newer one, that record is adopted, or refreshed."""
    store = MemoryStore(expired(rotating))
    source = source_over(rotating, store)
    replacement = rotating.grant() if newer == "valid" else expired(rotating)
    rotating.fail(400, body={"error": "invalid_grant"})
    with rotating.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(get_token, source)
        latch.wait_for(1)
        store.save(replacement)  # by somebody who ignores the lock
        latch.release()
        token = waiting.result(DEADLINE)

    assert (token == replacement) is (newer == "valid")
    assert rotating.is_live(token.access_token)
    assert len(rotating.token_calls) == (1 if newer == "valid" else 2)


@pytest.mark.parametrize("login", ["valid", "expired"])
def test_a_revoked_grant_with_a_store_causes_no_storm(foxy: Emulator, login: str) -> None:
    """R12: A revoked grant costs each refresh token one request, until the store has the token of a new login."""
    store = MemoryStore(expired(foxy))
    auth = auth_for(foxy, None, store=store, refresh_token="fake-and-old")
    foxy.revoke_refresh_tokens()
    for _ in range(20):
        with pytest.raises(LoginRequiredError):
            auth.get_token()
    refused = {call.form["refresh_token"] for call in foxy.token_calls}
    requests = len(foxy.token_calls)
    store.save(foxy.grant() if login == "valid" else expired(foxy))
    token = auth.get_token()

    assert requests == len(refused) == 2
    assert token == store.load()
    assert foxy.is_live(token.access_token)
    assert len(foxy.token_calls) == (2 if login == "valid" else 3)


# --- stores that fail ----------------------------------------------------------------------------------------------


class FragileStore(MemoryStore):
    """A store that can be read, and written only while it `works`."""

    works = False

    def save(self, token: Token) -> None:
        """Fail, unless it works."""
        if not self.works:
            raise OSError("disk full")
        super().save(token)


def test_a_store_that_cannot_be_written_locks_nobody_out(foxy: Emulator) -> None:
    """R19: Where the refresh token stays good, a token that cannot be saved is no reason to keep the lock."""
    store = FragileStore(expired(foxy))
    source = source_over(foxy, store)
    token = get_token(source)
    with store.lock(DEADLINE / 3):
        store.works = True
    source.flush()

    assert store.load() == token


@pytest.mark.parametrize("flushes", [False, True])
def test_the_lock_is_kept_until_a_rotated_token_is_saved(rotating: Emulator, flushes: bool) -> None:  # noqa: FBT001 - a parameter
    """R19: While a rotated refresh token cannot be saved, nobody else can send the old one, flush or not."""
    store = FragileStore(expired(rotating))
    source, other = source_over(rotating, store), source_over(rotating, store)
    token = get_token(source)
    with ThreadPoolExecutor(1) as pool:
        if flushes:
            with pytest.raises(StoreError):
                source.flush()
        waiting = pool.submit(get_token, other)
        wait_until_waiting(1, "obtain")
        store.works = True
        adopted = waiting.result(DEADLINE)

    assert adopted == token == store.load()
    assert len(rotating.token_calls) == 1


def test_an_older_record_is_not_adopted(rotating: Emulator) -> None:
    """R11: A record that could not be replaced is not mistaken for a newer one, not even by a copy out of a pickle."""
    store = FragileStore(expired(rotating))
    auth = auth_for(rotating, None, store=store, timeout=0.5)
    first = auth.get_token()
    second = auth.refresh()
    copy: FoxyAuth = pickle.loads(pickle.dumps(auth))  # noqa: S301 - our own
    with pytest.raises(StoreError):
        auth.flush()
    third = copy.get_token()
    store.works = True
    auth.flush()

    assert first != second == third
    assert store.load() == auth.token == second
    assert second.refresh_token == rotating.current_refresh_token


@pytest.mark.parametrize("theirs", [False, True], ids=["exchanged", "adopted"])
def test_a_store_that_was_restored_from_a_backup(rotating: Emulator, *, theirs: bool) -> None:
    """R11: An old record that is back in the store is not believed: its refresh token is spent."""
    backup = rotating.grant()
    store = MemoryStore(backup)
    source, other = source_over(rotating, store), source_over(rotating, store)
    get_token(other if theirs else source, backup)
    latest = get_token(source, backup)
    if not theirs:
        latest = get_token(source, latest)
    store.save(backup)
    token = get_token(source, latest)

    assert token == source.grant.token == store.load()
    assert token.refresh_token == rotating.current_refresh_token


def test_an_unsaved_token_replaces_a_restored_record(rotating: Emulator) -> None:
    """R19: A token that could not be saved is saved when the store works again, over an older record, too."""
    backup = expired(rotating)
    store = FragileStore(backup)
    source = source_over(rotating, store)
    store.works = True
    get_token(source)
    store.works = False
    token = get_token(source, source.grant.token)
    store.works = True
    store.save(backup)
    source.flush()

    assert store.load() == token


def test_an_unsaved_token_replaces_no_newer_one(foxy: Emulator) -> None:
    """R19: A token that could not be saved is dropped if somebody else has saved one meanwhile."""
    store = FragileStore(expired(foxy))
    source = source_over(foxy, store)
    token = get_token(source)
    store.works = True
    theirs = foxy.grant()
    store.save(theirs)
    source.flush()

    assert store.load() == theirs
    assert get_token(source, token) == theirs


def test_a_lock_that_fails_to_close(rotating: Emulator) -> None:
    """R19: If leaving the lock fails, as the commit of a transaction may, the token is used, and saved again."""

    class Uncommitted(MemoryStore):
        commits = False

        @contextmanager
        def lock(self, timeout: float) -> Iterator[None]:
            before = self.load()
            with super().lock(timeout):
                yield
                if not self.commits and before is not None:
                    self.save(before)
                    raise OSError("the commit failed")

    store = Uncommitted(expired(rotating))
    source = source_over(rotating, store)
    token = get_token(source)
    store.commits = True
    source.flush()

    assert store.load() == token == source.grant.token
    assert len(rotating.token_calls) == 1


@pytest.mark.parametrize("step", ["load", "save", "lock"])
def test_a_store_that_hangs(rotating: Emulator, step: str) -> None:
    """R19: A store that does not answer holds nobody up: a token that was issued is used, else there is an error."""
    go_on = threading.Event()

    class HangingStore(MemoryStore):
        hangs = False

        def __getattribute__(self, name: str) -> Any:
            if name == step and self.hangs:
                go_on.wait(DEADLINE)
            return super().__getattribute__(name)

    store = HangingStore(expired(rotating))
    source = source_over(rotating, store, timeout=0.2)
    store.hangs = True
    try:
        outcome: object = rotating.is_live(get_token(source).access_token)
    except StoreError as error:
        outcome = str(error)
    waited_in_vain = not go_on.is_set()
    go_on.set()

    assert waited_in_vain
    assert outcome is True if step == "save" else "does not answer" in str(outcome)


# --- stores and threads --------------------------------------------------------------------------------------------


async def test_a_slow_store_blocks_no_event_loop(foxy: Emulator) -> None:
    """R20: While a store takes its time, the event loop of those who wait goes on."""
    go_on = threading.Event()

    class SlowStore(MemoryStore):
        slow = False

        def load(self) -> Token | None:
            if self.slow:
                go_on.wait(DEADLINE)
            return super().load()

    store = SlowStore(expired(foxy))
    source = source_over(foxy, store)
    store.slow = True
    tokens: list[Token] = []

    async def call() -> None:
        tokens.append(await aget_token(source))

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await in_worker_thread(wait_until_waiting, 1, "load")
            go_on.set()

    assert tokens == [source.grant.token] == [store.load()]


def test_one_thread_uses_the_store(foxy: Emulator) -> None:
    """R11: Locks may belong to a thread: locking, reading and writing happen in one, which is not the caller's."""
    threads: list[int] = []

    class WatchedStore(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name in {"load", "save", "lock"}:
                threads.append(threading.get_ident())
            return super().__getattribute__(name)

    store = WatchedStore(expired(foxy))
    source = source_over(foxy, store)
    threads.clear()
    get_token(source)

    assert len(threads) == 4
    assert len({threading.get_ident(), *threads}) == 2


def test_a_store_that_needs_the_same_token(foxy: Emulator) -> None:
    """R20: A store that asks for the very token that it is to give is told so, and does not wait for itself."""

    class CircularStore(MemoryStore):
        source: TokenSource | None = None

        def load(self) -> Token | None:
            if self.source is not None:
                get_token(self.source)
            return super().load()

    store = CircularStore(expired(foxy))
    source = source_over(foxy, store, timeout=60.0)
    store.source = source
    with pytest.raises(StoreError, match="the very token"):
        get_token(source)


# --- the first token -----------------------------------------------------------------------------------------------


def test_the_token_of_a_login_is_stored(foxy: Emulator) -> None:
    """R19: The token of a new grant replaces whatever the store has."""
    store = MemoryStore(foxy.grant())
    token = foxy.grant()
    auth_for(foxy, foxy.grant()).for_token(token, store=store).flush()

    assert store.load() == token


def test_the_token_of_a_login_replaces_a_damaged_record(foxy: Emulator, tmp_path: Path) -> None:
    """R19: A login repairs a store whose record is damaged, and keeps the damaged one aside."""
    path = tmp_path / "token.json"
    path.write_text("{")
    auth = auth_for(foxy, foxy.grant()).for_token(foxy.grant(), store=FileStore(path))
    auth.flush()

    assert FileStore(path).load() == auth.token
    assert (tmp_path / "token.json.1.damaged").read_text() == "{"


# --- wrong stores --------------------------------------------------------------------------------------------------


def test_a_store_that_returns_no_token(foxy: Emulator) -> None:
    """R24: A store whose `load` returns what it has read, instead of a token made of it, is told so."""

    class Careless(MemoryStore):
        def load(self) -> Any:
            return {"access_token": "fake-secret"}

    with pytest.raises(StoreError, match="load returned dict, not a Token") as caught:
        auth_for(foxy, None, store=Careless()).get_token()

    assert "fake-secret" not in str(caught.value)


class AsyncStore(MemoryStore):
    """A store that was written for an event loop."""

    async def load(self) -> Any:  # type: ignore[override]
        """Read."""


@pytest.mark.parametrize(("store", "message"), [(MemoryStore, "not the class"), (AsyncStore(), "plain functions")])
def test_what_is_no_store(foxy: Emulator, store: Any, message: str) -> None:
    """R24: What has the methods of a store, and yet is none, is refused at once."""
    with pytest.raises(TypeError, match=message):
        auth_for(foxy, None, store=store)


def test_the_token_of_a_login_is_stored_at_once(foxy: Emulator) -> None:
    """R19: The token of a new grant is in the store before anybody uses or flushes the object."""
    store, token = MemoryStore(foxy.grant()), foxy.grant()
    auth_for(foxy, foxy.grant()).for_token(token, store=store)

    assert store.load() == token


def test_a_login_whose_store_fails_until_after_a_refresh(foxy: Emulator) -> None:
    """R19: A store that works again gets the present token, although it still holds one from before the login."""

    class FailingStore(MemoryStore):
        works = False

        def save(self, token: Token) -> None:
            if not self.works:
                raise OSError("disk full")
            super().save(token)

    store = FailingStore(foxy.grant())
    auth = auth_for(foxy, foxy.grant()).for_token(foxy.grant(), store=store)
    token = auth.refresh()
    store.works = True
    auth.flush()

    assert store.load() == token == auth.token


def test_callers_wait_for_the_lock_and_for_a_token_request(foxy: Emulator) -> None:
    """R11: Nobody gives a shared grant up while another process may still hold the lock, or a request be under way."""
    endpoint, store = endpoint_for(foxy, timeout=10.0), MemoryStore(expired(foxy))
    grant = Grant(store.load(), None, Windows(300.0, 60.0), endpoint.clock)
    local = LocalRenewal(endpoint, grant, Backoff(endpoint.clock))
    shared = SharedRenewal(local, grant, store, endpoint)

    assert (local.limit, shared.limit) == (50.0, 100.0)
