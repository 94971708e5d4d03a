"""Faults: what requests get, and whether they are handled."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from foxy_auth.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.conftest import Http


def test_fail(foxy: Emulator, http: Http) -> None:
    """A request gets the status and headers of the fault, and the next one gets none."""
    token = foxy.grant()
    foxy.fail(429, headers={"Retry-After": "7"})

    failed, good = http.refresh(token.refresh_token), http.refresh(token.refresh_token)

    assert (failed.status_code, failed.headers["Retry-After"], failed.json()["total"]) == (429, "7", 1)
    assert good.status_code == 200


BODIES = [
    pytest.param({"access_token": None}, b'{"access_token": null}', id="object"),
    pytest.param("<html>", b"<html>", id="text"),
    pytest.param(b"\x00", b"\x00", id="bytes"),
    pytest.param("", b"", id="nothing"),
]


@pytest.mark.parametrize(("body", "content"), BODIES)
def test_body_of_a_fault(foxy: Emulator, http: Http, body: object, content: bytes) -> None:
    """Bytes and text are sent as they are, anything else as JSON, with any status."""
    foxy.fail(200, body=body, content_type="text/x-test")

    response = http.refresh("any")

    assert (response.status_code, response.content, response.headers["Content-Type"]) == (200, content, "text/x-test")


@pytest.mark.parametrize("after", [False, True])
def test_fail_after(foxy: Emulator, http: Http, *, after: bool) -> None:
    """With `after`, the token is issued and only the response is lost."""
    foxy.rotate_refresh_tokens = True
    token = foxy.grant()
    foxy.fail(502, body="<html>", after=after)

    response = http.refresh(token.refresh_token)

    assert response.text == "<html>"
    assert (foxy.current_refresh_token != token.refresh_token) == after


@pytest.mark.parametrize("after", [False, True])
def test_drop(foxy: Emulator, http: Http, *, after: bool) -> None:
    """A connection is closed without a response, before or after the request is handled."""
    token = foxy.grant()
    foxy.drop(after=after)

    with pytest.raises(requests.ConnectionError):
        http.refresh(token.refresh_token)

    assert len(foxy.live_access_tokens) == (2 if after else 1)
    assert foxy.token_calls[0].status is None


def test_truncate(foxy: Emulator, http: Http) -> None:
    """Half of the response is sent with the length of the whole; the token is issued."""
    token = foxy.grant()
    foxy.truncate()

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        http.refresh(token.refresh_token)

    assert len(foxy.live_access_tokens) == 2


@pytest.mark.parametrize("length", [3, 1_000_003])
def test_oversize(foxy: Emulator, http: Http, length: int) -> None:
    """A response of any length is sent without `Content-Length`."""
    foxy.oversize(length)

    response = http.refresh("any")

    assert (len(response.content), response.content[:3], "Content-Length" in response.headers) == (
        length,
        b'{"a',
        False,
    )


def test_oversize_unread(foxy: Emulator) -> None:
    """A client may abandon an endless response."""
    foxy.oversize(1 << 40)

    with requests.post(f"{foxy.url}/token", stream=True, timeout=20) as response:
        assert next(response.iter_content(10)) == b'{"access_t'

    assert requests.post(f"{foxy.url}/token", timeout=20).status_code == 400


def test_redirect_token_calls(foxy: Emulator, http: Http) -> None:
    """A token request is redirected to another origin, which records it."""
    foxy.redirect_token_calls(f"{foxy.elsewhere.url}/token")

    response = requests.post(f"{foxy.url}/token", data={"grant_type": "refresh_token"}, timeout=20)

    assert [hop.status_code for hop in response.history] == [307]
    assert [(recorded.method, recorded.path) for recorded in foxy.elsewhere.calls] == [("POST", "/token")]


def test_fault_of_a_path(foxy: Emulator, http: Http) -> None:
    """A fault applies only to its path, as often as it says, whether given as path or URL."""
    token = foxy.grant().access_token
    foxy.fail(503, path=foxy.store_url, times=2)

    home = http.api(token).status_code
    statuses = [http.store(token).status_code for _ in range(3)]

    assert (home, statuses) == (200, [503, 503, 200])


def test_order_of_faults(foxy: Emulator, http: Http) -> None:
    """Faults apply in order, and can be cleared."""
    foxy.fail(500)
    foxy.fail(503, times=3)

    statuses = [http.refresh("any").status_code for _ in range(2)]
    foxy.clear_faults()

    assert [*statuses, http.refresh("any").status_code] == [500, 503, 400]


def test_hold(foxy: Emulator, http: Http) -> None:
    """Held requests are recorded without a status until they are released; later ones pass."""
    token = foxy.grant()

    with ThreadPoolExecutor() as pool, foxy.hold() as latch:
        responses = [pool.submit(http.refresh, token.refresh_token) for _ in range(3)]
        latch.wait_for(3)
        held = [(recorded.status, recorded.form["refresh_token"]) for recorded in foxy.token_calls]
        latch.release()
        statuses = [response.result().status_code for response in responses]

    assert held == [(None, token.refresh_token)] * 3
    assert [*statuses, http.refresh(token.refresh_token).status_code] == [200] * 4


def test_hold_api_requests(foxy: Emulator, http: Http) -> None:
    """API requests can be held while token requests pass; leaving the with statement releases them."""
    token = foxy.grant()

    with ThreadPoolExecutor(1) as pool:
        with foxy.hold(foxy.store_url) as latch:
            response = pool.submit(http.store, token.access_token)
            latch.wait_for()
            assert http.refresh(token.refresh_token).status_code == 200
        assert response.result().status_code == 200


def test_wait_for_timeout(foxy: Emulator) -> None:
    """`wait_for` raises `TimeoutError` if too few requests arrive."""
    with foxy.hold() as latch, pytest.raises(TimeoutError, match="0 of 1 requests to /token"):
        latch.wait_for(timeout=0.0)


def _hold(foxy: Emulator) -> None:
    foxy.hold()


def _delay(foxy: Emulator) -> None:
    foxy.delay(3600)


@pytest.mark.parametrize("block", [_hold, _delay], ids=["held", "delayed"])
def test_close_ends_waiting_requests(block: Callable[[Emulator], None]) -> None:
    """Closing ends requests that are held or delayed; they are not handled."""
    outcome: list[BaseException] = []
    polling = threading.Event()

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
            polling.wait(0.001)
    caller.join()

    assert len(outcome) == 1
    assert len(foxy.live_access_tokens) == 1


def test_delay(foxy: Emulator, http: Http) -> None:
    """A delayed request is handled after the delay."""
    foxy.delay(0.01)

    assert http.refresh(foxy.grant().refresh_token).status_code == 200


PLANS = [
    pytest.param(lambda foxy: foxy.fail(200, body={}, path="/x"), id="fail"),
    pytest.param(lambda foxy: foxy.oversize(9, 1, "/x"), id="oversize"),
]


@pytest.mark.parametrize("plan", PLANS)
def test_success_needs_a_token(foxy: Emulator, http: Http, plan: Callable[[Emulator], None]) -> None:
    """A fault with a status of success is not for a request whose token is invalid, and waits for the next."""
    plan(foxy)
    token = foxy.grant().access_token

    statuses = [http.api(one, "/x").status_code for one in (None, "0" * 40, token, token)]

    assert statuses == [401, 401, 200, 404]


def test_success_where_no_token_is_needed(foxy: Emulator, http: Http) -> None:
    """At the API home a fault is for anonymous requests, too, but not for those whose token is invalid."""
    foxy.fail(200, body={"a": 1}, path="/", times=2)

    statuses = [http.api(one).status_code for one in ("0" * 40, None)]

    assert statuses == [401, 200]
    assert http.api(None).json() == {"a": 1}
