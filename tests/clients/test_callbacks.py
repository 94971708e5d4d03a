"""R19, R20: what `on_token` may do, and what it cannot do to requests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from clients.drivers import every_library
from clients.grants import find_leaks, make_auth, secrets_of

from foxy_auth import FoxyAuth, StoreError, Token

if TYPE_CHECKING:
    from clients.drivers import Client

    from foxy_auth.emulator import Emulator


def test_token_is_delivered_before_it_is_used(client: Client, foxy: Emulator) -> None:
    """R19: the token is in memory when the callback gets it, and no request has it before the callback is done."""
    in_memory: list[bool] = []
    began, go = threading.Event(), threading.Event()

    def save(token: Token) -> None:
        in_memory.append(auth.token == token)
        began.set()
        assert go.wait(10)

    auth = make_auth(foxy, on_token=save)
    foxy.revoke_access_tokens()
    started = client.start("GET", foxy.store_url, auth=auth)
    assert began.wait(10)
    before = [call.status for call in foxy.api_calls]
    go.set()

    assert (started.result(10).status, in_memory) == (200, [True])
    assert (before, [call.status for call in foxy.api_calls]) == ([401], [401, 200])


@every_library
def test_async_callback_runs_on_the_loop_of_its_caller(client: Client, foxy: Emulator) -> None:
    """R20: an async callback runs to its end, on the event loop of the caller, before the request goes on."""
    threads: list[int] = []
    saved: list[Token] = []

    def save(token: Token) -> None:
        threads.append(threading.get_ident())
        saved.append(token)

    auth = make_auth(foxy, on_token=client.callback(save))
    foxy.revoke_access_tokens()

    assert (client.get(foxy.store_url, auth=auth).status, saved) == (200, [auth.token])
    assert (threads == [client.loop_thread]) is (client.loop_thread is not None)


@every_library
def test_slow_callback_blocks_no_loop(client: Client, foxy: Emulator) -> None:
    """R20: during a slow token request and a slow callback, the event loop of the caller does other things."""
    began, go = threading.Event(), threading.Event()

    def save(_: Token) -> None:
        began.set()
        assert go.wait(10)

    auth = make_auth(foxy, on_token=save)
    foxy.revoke_access_tokens()
    with foxy.hold("/token") as latch:
        started = client.start("GET", foxy.store_url, auth=auth)
        latch.wait_for(1)
        client.run_another_task()
    assert began.wait(10)
    client.run_another_task()
    is_waiting = not started.done()
    go.set()

    assert (is_waiting, started.result(10).status) == (True, 200)


def test_callback_that_hangs_delays_a_request_by_the_timeout(client: Client, foxy: Emulator) -> None:
    """R20: a callback that does not return delays requests by the timeout, and a moment, at most."""
    go = threading.Event()
    auth = make_auth(foxy, on_token=lambda _: go.wait(20), timeout=0.5)
    foxy.revoke_access_tokens()
    started = client.start("GET", foxy.store_url, auth=auth)
    status = started.result(2.0).status
    second = client.get(foxy.store_url, auth=auth).status
    go.set()
    auth.flush()

    assert (status, second) == (200, 200)


@every_library
def test_callback_may_use_the_api(client: Client, foxy: Emulator) -> None:
    """R20: a callback may use the API, through the same client and the same auth object."""
    statuses: list[int] = []
    held: list[FoxyAuth] = []
    auth = make_auth(foxy, on_token=client.requesting_callback(foxy.url, held, statuses))
    held.append(auth)
    foxy.revoke_access_tokens()
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, statuses, len(foxy.token_calls)) == (200, [200], 1)


@pytest.mark.parametrize("error", [ValueError, TypeError, SystemExit])
def test_raising_callback_fails_no_request(
    client: Client, foxy: Emulator, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    """R20, R23: what a callback raises is logged and raised by `flush`, both without the token that it names."""
    failing = [True]

    def save(token: Token) -> None:
        if failing:
            raise error(f"cannot write {token.to_dict()}")

    auth = make_auth(foxy, on_token=client.callback(save) if issubclass(error, Exception) else save)
    foxy.revoke_access_tokens()
    response = client.get(foxy.store_url, auth=auth)
    with pytest.raises(StoreError, match="repair what saves it") as caught:
        auth.flush()
    failing.clear()
    auth.flush()

    assert response.status == 200
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == ["foxy_auth"] * 2
    assert find_leaks(secrets_of(foxy, auth.token), caplog.text, str(caught.value), repr(caught.value)) == []
