"""Faults to order: what requests meet, whether the work was done, and that nothing hangs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from foxy_auth.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.conftest import Caller


def test_failing(foxy: Emulator, call: Caller) -> None:
    """A request meets the status, headers and body that were ordered, and the next one meets nothing."""
    token = foxy.grant()
    foxy.fail(429, headers={"Retry-After": "7"})

    failed, good = call.refresh(token.refresh_token), call.refresh(token.refresh_token)

    assert (failed.status_code, failed.headers["Retry-After"], failed.json()["total"]) == (429, "7", 1)
    assert good.status_code == 200


BODIES = [
    pytest.param([], b"[]", id="list"),
    pytest.param({"access_token": None}, b'{"access_token": null}', id="object"),
    pytest.param("<html>", b"<html>", id="text"),
    pytest.param(b"\x00", b"\x00", id="bytes"),
    pytest.param("", b"", id="nothing"),
]


@pytest.mark.parametrize(("body", "content"), BODIES)
def test_body_of_a_failure(foxy: Emulator, call: Caller, body: object, content: bytes) -> None:
    """Bytes and text are sent as they are, anything else as JSON, with a status that may be that of success."""
    foxy.fail(200, body=body, content_type="text/x-test")

    answer = call.refresh("any")

    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, content, "text/x-test")


@pytest.mark.parametrize("after", [False, True])
def test_failing_after_the_work(foxy: Emulator, call: Caller, *, after: bool) -> None:
    """A failure may come after the work: the token is issued, and only the answer is lost."""
    foxy.rotate_refresh_tokens = True
    token = foxy.grant()
    foxy.fail(502, body="<html>", after=after)

    answer = call.refresh(token.refresh_token)

    assert answer.text == "<html>"
    assert (foxy.current_refresh_token != token.refresh_token) == after


@pytest.mark.parametrize("after", [False, True])
def test_dropping(foxy: Emulator, call: Caller, *, after: bool) -> None:
    """A connection is closed without an answer, before or after the work."""
    token = foxy.grant()
    foxy.drop(after=after)

    with pytest.raises(requests.ConnectionError):
        call.refresh(token.refresh_token)

    assert len(foxy.live_access_tokens) == (2 if after else 1)
    assert foxy.token_calls[0].status is None


def test_truncating(foxy: Emulator, call: Caller) -> None:
    """Half of the answer is sent under the length of the whole; the token was issued."""
    token = foxy.grant()
    foxy.truncate()

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        call.refresh(token.refresh_token)

    assert len(foxy.live_access_tokens) == 2


@pytest.mark.parametrize("length", [3, 1_000_003])
def test_oversizing(foxy: Emulator, call: Caller, length: int) -> None:
    """An answer of any length comes without being announced."""
    foxy.oversize(length)

    answer = call.refresh("any")

    assert (len(answer.content), answer.content[:3], "Content-Length" in answer.headers) == (length, b'{"a', False)


def test_oversized_answer_that_nobody_reads(foxy: Emulator) -> None:
    """A client that turns away from an endless answer leaves the server in good health."""
    foxy.oversize(1 << 40)

    with requests.post(f"{foxy.url}/token", stream=True, timeout=20) as answer:
        assert next(answer.iter_content(10)) == b'{"access_t'

    assert requests.post(f"{foxy.url}/token", timeout=20).status_code == 400


def test_redirecting_token_calls(foxy: Emulator, call: Caller) -> None:
    """A token call is sent to another origin, which records what follows."""
    foxy.redirect_token_calls(f"{foxy.elsewhere.url}/token")

    answer = requests.post(f"{foxy.url}/token", data={"grant_type": "refresh_token"}, timeout=20)

    assert [hop.status_code for hop in answer.history] == [307]
    assert [(arrived.method, arrived.path) for arrived in foxy.elsewhere.calls] == [("POST", "/token")]


def test_faults_elsewhere(foxy: Emulator, call: Caller) -> None:
    """A fault is met by requests to its path alone, as often as ordered, whether path or address names it."""
    token = foxy.grant().access_token
    foxy.fail(503, path=foxy.store_url, times=2)

    statuses = [call.store(token).status_code for _ in range(3)]

    assert (call.api(token).status_code, statuses) == (200, [503, 503, 200])


def test_order_of_faults(foxy: Emulator, call: Caller) -> None:
    """Faults are met in the order in which they were ordered, and can be called off."""
    foxy.fail(500)
    foxy.fail(503, times=3)

    statuses = [call.refresh("any").status_code for _ in range(2)]
    foxy.clear_faults()

    assert [*statuses, call.refresh("any").status_code] == [500, 503, 400]


def test_holding(foxy: Emulator, call: Caller) -> None:
    """Held requests are on record without a status until they are released; later ones pass."""
    token = foxy.grant()

    with ThreadPoolExecutor() as pool, foxy.hold() as latch:
        answers = [pool.submit(call.refresh, token.refresh_token) for _ in range(3)]
        latch.wait_for(3)
        held = [(arrived.status, arrived.form["refresh_token"]) for arrived in foxy.token_calls]
        latch.release()
        statuses = [answer.result().status_code for answer in answers]

    assert held == [(None, token.refresh_token)] * 3
    assert [*statuses, call.refresh(token.refresh_token).status_code] == [200] * 4


def test_holding_api_calls(foxy: Emulator, call: Caller) -> None:
    """Calls to the API can be held too, while token calls pass; leaving the with statement releases them."""
    token = foxy.grant()

    with ThreadPoolExecutor(1) as pool:
        with foxy.hold(foxy.store_url) as latch:
            answer = pool.submit(call.store, token.access_token)
            latch.wait_for()
            assert call.refresh(token.refresh_token).status_code == 200
        assert answer.result().status_code == 200


def test_waiting_in_vain(foxy: Emulator) -> None:
    """Whoever waits for requests that do not come is told so."""
    with foxy.hold() as latch, pytest.raises(TimeoutError, match="0 of 1 requests to /token"):
        latch.wait_for(timeout=0.0)


def _hold(foxy: Emulator) -> None:
    foxy.hold()


def _delay(foxy: Emulator) -> None:
    foxy.delay(3600)


@pytest.mark.parametrize("block", [_hold, _delay], ids=["held", "delayed"])
def test_closing_wakes_requests_up(block: Callable[[Emulator], None]) -> None:
    """Closing ends requests that are held or delayed, without an answer and without late work."""
    outcome: list[BaseException] = []
    arrived = threading.Event()

    def refresh(url: str, refresh_token: str | None) -> None:
        try:
            requests.post(f"{url}/token", data={"refresh_token": refresh_token}, timeout=20)
        except requests.ConnectionError as error:
            outcome.append(error)

    with Emulator() as foxy:
        block(foxy)
        caller = threading.Thread(target=refresh, args=(foxy.url, foxy.grant().refresh_token))
        caller.start()
        while not foxy.token_calls:
            arrived.wait(0.001)
    caller.join()

    assert len(outcome) == 1
    assert len(foxy.live_access_tokens) == 1


def test_delaying(foxy: Emulator, call: Caller) -> None:
    """A delayed request is answered as usual in the end."""
    foxy.delay(0.01)

    assert call.refresh(foxy.grant().refresh_token).status_code == 200
