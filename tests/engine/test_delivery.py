"""Delivery to `on_token`: what is slow, async, fails, hangs, ends with its loop, or uses the same object."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest
import requests
import sniffio
from support.concurrent_calls import in_worker_thread, wait_until_waiting
from support.sources import DEADLINE, FakeClock, aget_token, auth_for, expired, get_token, source_for, with_left

from foxy_auth._engine.concurrency import LIMIT
from foxy_auth._engine.delivery import Delivery
from foxy_auth._engine.event_loops import running_loop
from foxy_auth.emulator import Emulator
from foxy_auth.errors import StoreError
from foxy_auth.stores import MemoryStore
from foxy_auth.token import Token

if TYPE_CHECKING:
    from foxy_auth._engine.event_loops import Loop

# A timeout that a delivery which waits for itself would reach, and with it the test's deadline.
FOREVER = 60.0


# --- order ---------------------------------------------------------------------------------------------------------


def test_memory_then_store_then_callback(foxy: Emulator) -> None:
    """R19: When the callback is called, the token is in memory and in the store; the caller waits for the callback."""
    store = MemoryStore()
    seen: list[tuple[Token | None, Token | None]] = []
    source = source_for(
        foxy, expired(foxy), store=store, on_token=lambda _: seen.append((source.grant.token, store.load()))
    )
    token = get_token(source)

    assert seen == [(token, token)]


def test_callbacks_are_called_in_order_and_one_at_a_time(foxy: Emulator) -> None:
    """R19: A token that is issued while an earlier one is delivered is delivered after it, to nobody's delay."""
    go_on = threading.Event()
    calls: list[Token] = []
    finished: list[Token] = []

    def on_token(token: Token) -> None:
        calls.append(token)
        go_on.wait(DEADLINE)
        finished.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(get_token, source)
        wait_until_waiting(1, "on_token")
        second = get_token(source, source.grant.token)
        meanwhile = list(calls)
        go_on.set()
        source.flush()

    assert meanwhile == calls[:1]
    assert calls == finished
    assert [token.access_token for token in calls] == foxy.live_access_tokens[-2:]
    assert first.result(DEADLINE) == calls[-1] == second


# --- async callbacks -----------------------------------------------------------------------------------------------


async def test_an_async_callback_runs_on_the_callers_loop(foxy: Emulator) -> None:
    """R20: An async callback runs on the event loop of the caller whose request started the refresh."""
    here = threading.get_ident()
    threads: list[int] = []

    async def on_token(_: Token) -> None:
        await anyio.lowlevel.checkpoint()
        threads.append(threading.get_ident())

    await aget_token(source_for(foxy, expired(foxy), on_token=on_token))

    assert threads == [here]


def test_an_async_callback_without_a_loop_gets_one(foxy: Emulator) -> None:
    """R20: For a synchronous caller an async callback runs in a loop of its own, in another thread."""
    delivered: list[tuple[bool, Token]] = []

    async def on_token(token: Token) -> None:
        await asyncio.sleep(0)
        delivered.append((threading.current_thread() is threading.main_thread(), token))

    token = get_token(source_for(foxy, expired(foxy), on_token=on_token))

    assert delivered == [(False, token)]


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_an_async_callback_whose_loop_has_ended(library: str) -> None:
    """R20: If the caller's loop has ended by then, the callback runs in a new one of the same kind."""
    clock = FakeClock()
    delivered: list[tuple[str, Token]] = []

    async def on_token(token: Token) -> None:
        await anyio.lowlevel.checkpoint()
        delivered.append((sniffio.current_async_library(), token))

    with Emulator(clock=clock.now) as foxy:
        source = source_for(foxy, with_left(foxy.grant(), 200.0, clock), on_token=on_token, clock=clock)
        with foxy.hold() as latch:
            anyio.run(aget_token, source, backend=library)
            latch.wait_for(1)
            latch.release()
            source.flush()

    assert delivered == [(library, source.grant.token)]


async def test_an_async_callback_that_is_cancelled_with_its_loop(foxy: Emulator) -> None:
    """R20: An async callback whose loop ends while it runs is called again at once, in a new loop."""
    begun, again = threading.Event(), threading.Event()
    library = sniffio.current_async_library()

    async def on_token(_: Token) -> None:
        if begun.is_set():
            again.set()
            return
        begun.set()
        await anyio.sleep_forever()

    source = source_for(foxy, expired(foxy), on_token=on_token)

    async def call_and_leave() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(aget_token, source)
            await in_worker_thread(begun.wait, DEADLINE)
            group.cancel_scope.cancel()

    await in_worker_thread(lambda: anyio.run(call_and_leave, backend=library))

    assert await in_worker_thread(again.wait, DEADLINE)
    await source.aflush()


def test_an_async_callback_whose_loop_closes_before_it_begins() -> None:
    """R20: A callback that was given to a loop which then closes without running it is called in a new loop."""
    calls: list[Token] = []

    async def on_token(token: Token) -> None:
        calls.append(token)

    async def get_loop() -> Loop:
        return running_loop()

    delivery, token = Delivery(on_token, timeout=DEADLINE), Token("fake-access")
    idle = asyncio.new_event_loop()
    delivery.expect(token, idle.run_until_complete(get_loop()))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(delivery.run)
        wait_until_waiting(1, "run_on")
        idle.close()
        running.result(DEADLINE)

    assert calls == [token]
    assert not delivery.is_pending


async def test_a_flush_that_blocks_the_callbacks_loop(foxy: Emulator) -> None:
    """R20: `flush()` on the very event loop that an async callback was to run on still gets it called, once."""
    calls: list[Token] = []

    async def on_token(token: Token) -> None:
        calls.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token, timeout=FOREVER)
    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(aget_token, source)
            await in_worker_thread(latch.wait_for, 1)
            latch.release()
            source.flush()
            at_once = list(calls)
    await anyio.wait_all_tasks_blocked()

    assert at_once == calls == [source.grant.token]


# --- callbacks that fail or hang -----------------------------------------------------------------------------------


def test_a_callback_that_raises(foxy: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """R19, R23: A callback's error fails no request; it is logged without secrets, and `flush` raises it."""
    calls: list[Token] = []

    def on_token(token: Token) -> None:
        calls.append(token)
        if len(calls) <= 2:
            raise OSError(f"disk full, cannot write {token.access_token} {token.refresh_token} {token}")

    caplog.set_level(logging.DEBUG)
    source = source_for(foxy, expired(foxy), on_token=on_token)
    token = get_token(source)
    with pytest.raises(StoreError, match=r"on_token failed.* repair what saves it") as caught:
        source.flush()
    source.flush()
    source.flush()
    # The emulator lives in this process, too, and its authorization server logs what it issues.
    ours = [record for record in caplog.records if not record.name.startswith("authlib")]
    text = "".join(record.getMessage() for record in ours)

    assert calls == [token] * 3
    assert str(caught.value.__cause__).startswith("OSError: disk full, cannot write [hidden] [hidden] Token(")
    assert [record.levelname for record in ours if "on_token failed" in record.message] == ["ERROR"] * 2
    assert not any(secret in text for secret in (token.access_token, str(token.refresh_token)))


@pytest.mark.parametrize("method", ["flush", "close", "aflush", "aclose"])
async def test_each_way_to_flush_raises(foxy: Emulator, method: str) -> None:
    """R19: Each way to flush or close raises `StoreError` while the callback fails, with the callback's error."""
    works = False

    def on_token(_: Token) -> None:
        if not works:
            raise PermissionError("read-only")

    auth = auth_for(foxy, expired(foxy), on_token=on_token)
    await auth.aget_token()
    with pytest.raises(StoreError) as caught:
        await in_worker_thread(getattr(auth, method)) if method[0] != "a" else await getattr(auth, method)()
    works = True
    await auth.aclose()

    assert isinstance(caught.value.__cause__, PermissionError)


def test_a_callback_that_hangs(foxy: Emulator) -> None:
    """R19: Nobody waits for a callback longer than the timeout; what it hangs with is delivered when it goes on."""
    go_on = threading.Event()
    finished: list[Token] = []

    def on_token(token: Token) -> None:
        go_on.wait(DEADLINE)
        finished.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token, timeout=0.2)
    token = get_token(source)
    while_it_hangs = list(finished)
    with pytest.raises(StoreError, match="takes too long"):
        source.flush()
    later = get_token(source)
    go_on.set()
    source.flush()

    assert while_it_hangs == []
    assert later == token
    assert finished == [token]


def test_callbacks_that_hang_hold_no_other_grant_up(foxy: Emulator) -> None:
    """R20: However many callbacks hang, another grant gets its token, and its callback is called."""
    go_on = threading.Event()
    hanging = [
        source_for(foxy, expired(foxy), on_token=lambda _: go_on.wait(DEADLINE), timeout=FOREVER) for _ in range(LIMIT)
    ]
    delivered: list[Token] = []
    with ThreadPoolExecutor(LIMIT) as pool:
        waiting = [pool.submit(get_token, source) for source in hanging]
        wait_until_waiting(LIMIT, "_call_recipient")
        token = get_token(source_for(foxy, expired(foxy), on_token=delivered.append))
        still_waiting = not any(future.done() for future in waiting)
        go_on.set()

    assert still_waiting
    assert delivered == [token]


# --- callbacks that use the same object ----------------------------------------------------------------------------


def test_a_callback_may_call_the_api(foxy: Emulator) -> None:
    """R20: A callback may call the API with the same object, even if that is answered by a 401 and refreshed again."""
    statuses: list[int] = []
    delivered: list[Token] = []

    def on_token(token: Token) -> None:
        if not delivered:
            foxy.revoke_access_tokens()
        delivered.append(token)
        statuses.append(requests.get(foxy.store_url, auth=auth, timeout=DEADLINE).status_code)

    auth = auth_for(foxy, expired(foxy), on_token=on_token, timeout=FOREVER)
    response = requests.get(foxy.store_url, auth=auth, timeout=DEADLINE)
    auth.close()

    assert (response.status_code, statuses) == (200, [200, 200])
    assert delivered[-1] == auth.token
    assert len(foxy.token_calls) == 2


async def test_an_async_callback_may_call_the_api(foxy: Emulator) -> None:
    """R20: An async callback may call the API with the same object on the same loop, a 401 included."""
    statuses: list[int] = []
    delivered: list[Token] = []

    async def on_token(token: Token) -> None:
        if not delivered:
            foxy.revoke_access_tokens()
        delivered.append(token)
        statuses.append((await client.get(foxy.store_url)).status_code)

    auth = auth_for(foxy, expired(foxy), on_token=on_token, timeout=FOREVER)
    async with httpx.AsyncClient(auth=auth) as client:
        response = await client.get(foxy.store_url)
        await auth.aclose()

    assert (response.status_code, statuses) == (200, [200, 200])
    assert delivered[-1] == auth.token
    assert len(foxy.token_calls) == 2


def test_a_callback_may_flush(foxy: Emulator) -> None:
    """R20: A callback that flushes the object which calls it does not wait for itself."""
    flushed: list[bool] = []

    def on_token(_: Token) -> None:
        source.flush()
        flushed.append(True)

    source = source_for(foxy, expired(foxy), on_token=on_token, timeout=FOREVER)
    get_token(source)

    assert flushed == [True]


@pytest.mark.parametrize("method", ["flush", "aflush"])
@pytest.mark.parametrize("caller", ["task", "thread"])
async def test_an_async_callback_may_flush(foxy: Emulator, method: str, caller: str) -> None:
    """R20: An async callback does not wait for itself either, on its caller's loop and on one of its own."""
    flushed: list[bool] = []

    async def on_token(_: Token) -> None:
        await source.aflush() if method == "aflush" else source.flush()
        flushed.append(True)

    source = source_for(foxy, expired(foxy), on_token=on_token, timeout=FOREVER)
    calling: Any = aget_token(source) if caller == "task" else in_worker_thread(get_token, source)
    await calling
    await source.aflush()

    assert flushed == [True]


def test_an_error_that_cannot_be_shown(foxy: Emulator) -> None:
    """R19: A callback whose error has no text is called again with the next token."""

    class UnshowableError(Exception):
        def __str__(self) -> str:
            raise ValueError

    tokens: list[Token] = []

    def on_token(token: Token) -> None:
        tokens.append(token)
        if len(tokens) == 1:
            raise UnshowableError

    delivery = Delivery(on_token, timeout=5.0)
    delivery.expect(expired(foxy))
    delivery.run()
    delivery.flush()

    assert len(tokens) == 2


def test_a_callback_that_needs_another_grants_token(foxy: Emulator) -> None:
    """R20: It does not wait for the other grant's callback, which may be waiting for it."""
    done = threading.Event()
    in_time: list[bool] = []

    def use_second(_: Token) -> None:
        get_token(second)
        done.set()

    first = source_for(foxy, expired(foxy), on_token=use_second)
    second = source_for(foxy, expired(foxy), on_token=lambda _: in_time.append(done.wait(2.0)))
    get_token(first)
    second.flush()

    assert in_time == [True]
