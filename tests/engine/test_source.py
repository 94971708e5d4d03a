"""The token source: single flight, who shares it, who need not wait for it, and callers that leave."""

from __future__ import annotations

import asyncio
import threading
import traceback
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import requests
import trio
from support.concurrent_calls import (
    in_tasks,
    in_threads,
    in_threads_each,
    in_worker_thread,
    wait_until_waiting,
)
from support.sources import DEADLINE, FakeClock, aget_token, auth_for, expired, get_token, source_for
from support.waiting import wait_for_job_threads

from foxy_auth._engine.freshness import Windows
from foxy_auth._engine.source import TokenSource
from foxy_auth._engine.token_endpoint import TokenEndpoint
from foxy_auth._oauth.messages import ClientCredentials
from foxy_auth._secrets import Secret
from foxy_auth._transport import before_sending
from foxy_auth.errors import FoxyAuthError, TokenRefusedError, TokenUnavailableError
from foxy_auth.stores import MemoryStore
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from foxy_auth.emulator import Emulator


@pytest.fixture
def rotating(foxy: Emulator) -> Emulator:
    """Give a Foxy whose refresh tokens are good once."""
    foxy.rotate_refresh_tokens = True
    return foxy


# --- single flight -------------------------------------------------------------------------------------------------


def test_fifty_threads_share_a_refresh(rotating: Emulator) -> None:
    """R7: Fifty threads with an expired token make one token request, and all get its token."""
    source = source_for(rotating, expired(rotating))
    tokens = in_threads(50, lambda: get_token(source))

    assert len(rotating.token_calls) == 1
    assert set(tokens) == {source.grant.token}
    assert rotating.live_access_tokens == [tokens[0].access_token]


async def test_two_hundred_tasks_share_a_refresh(rotating: Emulator) -> None:
    """R7: Two hundred tasks with an expired token make one token request, and all get its token."""
    source = source_for(rotating, expired(rotating))
    tokens = await in_tasks(200, lambda: aget_token(source))

    assert len(rotating.token_calls) == 1
    assert len(tokens) == 200
    assert set(tokens) == {source.grant.token}


def test_event_loops_and_threads_share_a_refresh(rotating: Emulator) -> None:
    """R7: Two loops of asyncio, one of trio and five threads share one flight of one source."""
    source = source_for(rotating, expired(rotating))
    loops_wait = threading.Semaphore(0)

    async def call_from_tasks() -> list[Any]:
        tokens: list[Any] = []
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(lambda: _append(tokens, aget_token(source)))
            await anyio.wait_all_tasks_blocked()
            loops_wait.release()
        return tokens

    loops: list[Callable[[], list[Any]]] = [lambda: asyncio.run(call_from_tasks())] * 2
    threads: list[Callable[[], list[Any]]] = [lambda: [get_token(source)]] * 5
    with rotating.hold() as latch, ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(in_threads_each, [*loops, lambda: trio.run(call_from_tasks), *threads])
        for _ in range(3):
            assert loops_wait.acquire(timeout=DEADLINE)
        wait_until_waiting(5, "obtain")
        latch.release()
        tokens = [token for some in outcome.result(DEADLINE) for token in some]

    assert len(rotating.token_calls) == 1
    assert len(tokens) == 35
    assert set(tokens) == {source.grant.token}


async def _append(tokens: list[Any], getting: Any) -> None:
    tokens.append(await getting)


def test_event_loops_one_after_another(foxy: Emulator) -> None:
    """R7: A source works in each of several event loops, of either kind, as in the first."""
    source = source_for(foxy, expired(foxy))

    async def refresh() -> Token:
        return await aget_token(source, source.grant.token)

    tokens = [asyncio.run(refresh()), trio.run(refresh), asyncio.run(refresh()), trio.run(refresh)]

    assert len(set(tokens)) == len(foxy.token_calls) == 4


def test_threads_share_a_refusal(foxy: Emulator) -> None:
    """R7: If the refresh fails, all threads that waited get its error, each an object of its own."""
    source = source_for(foxy, expired(foxy), client_secret="fake-wrong-secret")
    with foxy.hold() as latch, ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(in_threads, 20, lambda: get_token(source))
        wait_until_waiting(20, "obtain")
        latch.release()
        errors = outcome.result(DEADLINE)

    assert [type(error) for error in errors] == [TokenRefusedError] * 20
    assert len({id(error) for error in errors}) == 20
    assert {(error.error, error.status) for error in errors} == {("invalid_client", 400)}
    assert len(foxy.token_calls) == 1


async def test_tasks_share_a_failure(foxy: Emulator) -> None:
    """R7: If the refresh fails, all tasks that waited get its error, and the cause along with it."""
    source = source_for(foxy, expired(foxy))
    errors: list[Any] = []
    foxy.drop()

    async def call() -> None:
        errors.extend(await in_tasks(20, lambda: aget_token(source)))

    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            await in_worker_thread(latch.wait_for, 1)
            latch.release()

    assert [type(error) for error in errors] == [TokenUnavailableError] * 20
    assert {type(error.__cause__) for error in errors} == {requests.ConnectionError}
    assert len(foxy.token_calls) == 1


def test_the_token_in_memory_is_read_without_waiting(foxy: Emulator) -> None:
    """R5: `FoxyAuth.token` does not wait for the refresh under way."""
    token = expired(foxy)
    auth = auth_for(foxy, token)
    with foxy.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(auth.get_token)
        latch.wait_for(1)
        present = auth.token
        latch.release()

    assert present == token
    assert waiting.result(DEADLINE) == auth.token != token


# --- rejected tokens -----------------------------------------------------------------------------------------------


def test_a_rejected_token_is_replaced_whatever_its_expiry(foxy: Emulator) -> None:
    """R8: A token that the API has refused is replaced though it looks fresh, once for all who say so."""
    token = foxy.grant()
    source = source_for(foxy, token)
    tokens = in_threads(20, lambda: get_token(source, token))

    assert len(foxy.token_calls) == 1
    assert set(tokens) == {source.grant.token} != {token}


def test_an_old_rejection_makes_no_token_request(foxy: Emulator) -> None:
    """R8: Whoever names a token that has been replaced already gets the present one, as one that was found."""
    old = foxy.grant()
    source = source_for(foxy, old)
    issued = source.obtain("requests", old)
    found = source.obtain("requests", old)

    assert (issued.is_issued, found.is_issued) == (True, False)
    assert issued.signature == found.signature
    assert len(foxy.token_calls) == 1


# --- callers that leave --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["cancelled", "timed out"])
async def test_a_caller_that_leaves_loses_no_token(rotating: Emulator, reason: str) -> None:
    """R9: After the caller was cancelled or has timed out, the token that is issued is kept and delivered."""
    delivered: list[Token] = []
    source = source_for(rotating, expired(rotating), on_token=delivered.append)
    with rotating.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(aget_token, source)
            await in_worker_thread(latch.wait_for, 1)
            if reason == "cancelled":
                group.cancel_scope.cancel()
            else:
                group.cancel_scope.deadline = anyio.current_time()
        latch.release()
    await source.aflush()

    assert [token.refresh_token for token in delivered] == [rotating.current_refresh_token]
    assert source.grant.token == delivered[0] == await aget_token(source)
    assert len(rotating.token_calls) == 1


async def test_a_caller_that_leaves_takes_no_other_along(foxy: Emulator) -> None:
    """R7, R9: When the caller is cancelled whose request started the flight, the others get their token."""
    source = source_for(foxy, expired(foxy))
    tokens: list[Any] = []
    with foxy.hold() as latch:
        async with anyio.create_task_group() as staying:
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(aget_token, source)
                await in_worker_thread(latch.wait_for, 1)
                for _ in range(5):
                    staying.start_soon(lambda: _append(tokens, aget_token(source)))
                await anyio.wait_all_tasks_blocked()
                leaving.cancel_scope.cancel()
            latch.release()

    assert tokens == [source.grant.token] * 5
    assert len(foxy.token_calls) == 1


class PausingStore(MemoryStore):
    """A store, and a callback, that pause at one stage of a refresh until they may go on."""

    def __init__(self, token: Token, stage: str) -> None:
        """Begin with *token*; pause at *stage*, which is the name of a method."""
        super().__init__(token)
        self._stage = stage
        self.paused, self.go_on = threading.Event(), threading.Event()
        self.delivered: list[Token] = []

    def _pause_at(self, stage: str) -> None:
        if stage == self._stage:
            self.paused.set()
            self.go_on.wait(DEADLINE)

    @contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Lock, after a pause."""
        self._pause_at("lock")
        with super().lock(timeout):
            yield

    def load(self) -> Token | None:
        """Load, after a pause."""
        self._pause_at("load")
        return super().load()

    def save(self, token: Token) -> None:
        """Save, after a pause."""
        self._pause_at("save")
        super().save(token)

    def deliver(self, token: Token) -> None:
        """Take a new token, after a pause."""
        self._pause_at("deliver")
        self.delivered.append(token)


@pytest.mark.parametrize("stage", ["load", "lock", "save", "deliver"])
async def test_a_caller_that_is_cancelled_at_any_stage(rotating: Emulator, stage: str) -> None:
    """R9: Whatever a refresh is at when its caller is cancelled, its token is kept, saved and delivered."""
    token = expired(rotating)
    store = PausingStore(token, stage)
    source = source_for(rotating, token, store=store, on_token=store.deliver)
    async with anyio.create_task_group() as group:
        group.start_soon(aget_token, source)
        await in_worker_thread(store.paused.wait, DEADLINE)
        group.cancel_scope.cancel()
    store.go_on.set()
    await source.aflush()

    assert [source.grant.token] == [store.load()] == store.delivered
    assert store.delivered[0].refresh_token == rotating.current_refresh_token
    assert len(rotating.token_calls) == 1


class LateEndpoint(TokenEndpoint):
    """A token endpoint whose first response comes when it may, and all others at once."""

    tokens: list[Token]
    go_on: threading.Event

    def refresh(self, *_: object, **__: object) -> Token:
        """Return the next of the tokens."""
        token = self.tokens.pop(0)
        before_sending.get()()
        if token.access_token == "fake-late":
            self.go_on.wait(DEADLINE)
        return token


def test_a_late_response_replaces_no_newer_token(foxy: Emulator) -> None:
    """R9: A response that comes after all have given it up is not used if there is a newer token by then."""
    client = ClientCredentials(foxy.client_id, Secret(foxy.client_secret))
    endpoint = LateEndpoint(client, foxy.environment.token_endpoint, timeout=0.02)
    endpoint.__dict__.update(tokens=[Token("fake-late"), Token("fake-newer")], go_on=threading.Event())
    delivered: list[Token] = []
    windows = Windows(refresh_ahead=300.0, leeway=60.0)
    source = TokenSource(
        endpoint, token=None, refresh_token=Secret("fake-refresh"), windows=windows, on_token=delivered.append
    )
    for _ in range(2):  # the second waits a whole deadline after the request has left
        with pytest.raises(TokenUnavailableError):
            get_token(source)
    newer = get_token(source)
    endpoint.go_on.set()
    wait_for_job_threads()

    assert newer.access_token == "fake-newer"
    assert source.grant.token == newer
    assert delivered == [newer]


def test_a_loop_that_ends_loses_no_token(rotating: Emulator) -> None:
    """R9: When a whole event loop ends in mid-refresh, the next one gets the token."""
    source = source_for(rotating, expired(rotating))
    with rotating.hold() as latch:

        async def leave() -> None:
            task = asyncio.create_task(aget_token(source))
            await asyncio.to_thread(latch.wait_for, 1)
            task.cancel()

        asyncio.run(leave())
        latch.release()
        token = trio.run(aget_token, source)

    assert token.refresh_token == rotating.current_refresh_token
    assert len(rotating.token_calls) == 1


async def test_the_event_loop_goes_on_during_a_refresh(foxy: Emulator) -> None:
    """R20: While a token request and a callback are under way, the event loop of those who wait serves others."""
    go_on = threading.Event()
    calls: list[bool] = []
    source = source_for(foxy, expired(foxy), on_token=lambda _: calls.append(go_on.wait(DEADLINE)))
    with foxy.hold() as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(aget_token, source)
            await in_worker_thread(latch.wait_for, 1)
            async with httpx.AsyncClient() as client:
                during_request = await client.get(foxy.url, headers={"FOXY-API-VERSION": "1"})
                latch.release()
                await in_worker_thread(wait_until_waiting, 1, "_call_recipient")
                during_callback = await client.get(foxy.url, headers={"FOXY-API-VERSION": "1"})
            go_on.set()

    assert (during_request.status_code, during_callback.status_code) == (200, 200)
    assert calls == [True]


# --- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["requests", "httpx"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda foxy: foxy.revoke_refresh_tokens(), id="revoked"),
        pytest.param(lambda foxy: foxy.drop(), id="dropped"),
        pytest.param(lambda foxy: foxy.fail(400), id="not OAuth"),
        pytest.param(lambda foxy: foxy.close(), id="unreachable"),
    ],
)
def test_a_traceback_with_all_values_shows_no_secret(
    foxy: Emulator, spoil: Callable[[Emulator], None], library: str
) -> None:
    """R23: Even a traceback that prints every local variable, of all causes, shows no secret."""
    token = expired(foxy)
    source = source_for(foxy, token, clock=FakeClock())
    spoil(foxy)
    with pytest.raises(FoxyAuthError) as caught:
        get_token(source, library=library)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(report.format())
    basic = b64encode(f"{foxy.client_id}:{foxy.client_secret}".encode()).decode()

    assert f"library = {library!r}" in text
    assert not any(secret in text for secret in (token.access_token, str(token.refresh_token), basic))
    assert foxy.client_secret not in text
