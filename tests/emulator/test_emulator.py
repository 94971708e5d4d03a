"""The emulator as its users hold it: addresses, records of what arrived, life and load."""

from __future__ import annotations

import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from foxy_auth.emulator import Call, Emulator
from foxy_auth.environment import Environment
from foxy_auth.token import Token

if TYPE_CHECKING:
    from emulator.conftest import Caller, Clock

THREADS, ROUNDS = 50, 8


def test_environment(foxy: Emulator) -> None:
    """The environment names the server's own addresses."""
    url = foxy.url

    expected = Environment(api=url, token_endpoint=f"{url}/token", authorization_endpoint=f"{url}/authorize")
    assert foxy.environment == expected


def test_grant(foxy: Emulator, call: Caller, clock: Clock) -> None:
    """A grant is a token by the emulator's clock, and both of its parts are good."""
    token = foxy.grant()

    expected = Token(
        token.access_token,
        refresh_token=token.refresh_token,
        obtained_at=clock.now,
        expires_at=clock.now + 7200,
        scope="store_full_access store_id_1",
    )
    assert token == expected
    assert call.store(token.access_token).status_code == 200
    assert foxy.current_refresh_token == token.refresh_token


def test_record_of_a_token_call(foxy: Emulator, call: Caller) -> None:
    """A token call is on record with its form, its headers under any spelling, its body's digest and its status."""
    call.exchange("abc", redirect_uri="https://x.example/?a=b")

    (arrived,) = foxy.token_calls
    body = b"grant_type=authorization_code&code=abc&redirect_uri=https%3A%2F%2Fx.example%2F%3Fa%3Db"
    assert (arrived.method, arrived.path, arrived.query, arrived.status) == ("POST", "/token", "", 400)
    assert dict(arrived.form) == {
        "grant_type": "authorization_code",
        "code": "abc",
        "redirect_uri": "https://x.example/?a=b",
    }
    assert arrived.headers["AUTHORIZATION"].startswith("Basic ")
    assert "Content-type" in arrived.headers
    assert (arrived.headers.get("Cookie"), len(arrived.headers)) == (None, len(list(arrived.headers)))
    assert (arrived.body_length, arrived.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())


def test_record_of_an_api_call(foxy: Emulator, call: Caller) -> None:
    """An API call is on record with its query and the token that it carried, apart from token calls."""
    token = foxy.grant().access_token
    call.store(token, "?a=b%20c")
    call.refresh("any")
    call.api(None)

    first, second = foxy.api_calls
    assert (first.path, first.query, first.access_token, first.status) == ("/stores/1", "a=b%20c", token, 200)
    assert (second.path, second.access_token) == ("/", None)
    assert [arrived.path for arrived in foxy.calls] == ["/stores/1", "/token", "/"]
    foxy.clear_calls()
    assert foxy.calls == []


def test_records_keep_secrets_out_of_sight() -> None:
    """The repr of a record shows no header, no form and no token."""
    arrived = Call(method="GET", path="/", query="", headers={"a": "hush"}, form={"b": "hush"}, access_token="hush")

    assert "hush" not in repr(arrived)


def test_elsewhere(foxy: Emulator) -> None:
    """The second origin has a port of its own, answers as told and records what it is sent."""
    foxy.elsewhere.status = 401

    answer = requests.post(
        f"{foxy.elsewhere.url}/a?b=c", data=b"1234", headers={"Authorization": "Bearer x"}, timeout=20
    )

    (arrived,) = foxy.elsewhere.calls
    assert urlsplit(foxy.elsewhere.url).netloc != urlsplit(foxy.url).netloc
    assert (answer.status_code, arrived.status, arrived.path, arrived.query) == (401, 401, "/a", "b=c")
    assert (arrived.body_length, arrived.access_token, foxy.calls) == (4, "x", [])
    foxy.elsewhere.clear_calls()
    assert foxy.elsewhere.calls == []


def test_bouncing(foxy: Emulator) -> None:
    """The second origin sends clients on."""
    answer = requests.get(f"{foxy.elsewhere.url}/bounce?to={foxy.url}/", allow_redirects=False, timeout=20)

    assert (answer.status_code, answer.headers["Location"]) == (302, f"{foxy.url}/")


def test_start_and_close() -> None:
    """An emulator can be closed and started again: same port, same tokens; both may be said twice."""
    foxy = Emulator()
    foxy.start()
    foxy.start()
    url, token = foxy.url, foxy.grant()
    foxy.close()
    foxy.close()

    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=20)
    with foxy:
        headers = {"FOXY-API-VERSION": "1", "Authorization": f"Bearer {token.access_token}"}
        again = requests.get(foxy.store_url, headers=headers, timeout=20)

    assert (foxy.url, again.status_code) == (url, 200)


def test_not_started() -> None:
    """An emulator that was not started says that it has no address yet."""
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = Emulator().url


def test_port_in_use(foxy: Emulator) -> None:
    """A port that is taken is an error of the caller's, not the end of the program."""
    port = urlsplit(foxy.url).port or 0

    with pytest.raises(OSError, match="in use"):
        Emulator(port=port).start()


def test_clear_calls_while_one_is_under_way(foxy: Emulator, call: Caller) -> None:
    """A call that is forgotten while it is under way does not come back."""
    with ThreadPoolExecutor(1) as pool, foxy.hold() as latch:
        answer = pool.submit(call.refresh, "any")
        latch.wait_for()
        foxy.clear_calls()
        latch.release()
        answer.result()

    assert foxy.calls == []


def test_repr(foxy: Emulator) -> None:
    """The repr of an emulator names its client and no secret."""
    assert repr(foxy) == f"<Emulator client_id={foxy.client_id!r}>"


def test_misspelt_switch(foxy: Emulator) -> None:
    """A switch that does not exist cannot be set."""
    with pytest.raises(AttributeError):
        foxy.rotate_refresh_token = True  # type: ignore[attr-defined]


def test_idle_connection() -> None:
    """Closing ends the connection of a client that has connected and says nothing."""
    with Emulator() as foxy:
        idle = socket.create_connection(("127.0.0.1", urlsplit(foxy.url).port or 0), timeout=20)
        requests.get(foxy.url, timeout=20)  # which is served after the idle one was accepted

    assert idle.recv(1) == b""
    idle.close()


def test_load(foxy: Emulator) -> None:
    """Fifty threads that call, upload and refresh at once get what they ask for, and all of it is on record."""
    token = foxy.grant()
    start = threading.Barrier(THREADS)
    headers = {"FOXY-API-VERSION": "1", "Authorization": f"Bearer {token.access_token}"}
    form = {"grant_type": "refresh_token", "refresh_token": token.refresh_token}

    def work(number: int) -> list[int]:
        start.wait()
        statuses: list[int] = []
        with requests.Session() as session:
            for _ in range(ROUNDS):
                statuses.append(session.get(foxy.store_url, headers=headers, timeout=20).status_code)
                uploaded = session.post(foxy.store_url, data=b"x" * number, headers=headers, timeout=20)
                statuses.append(uploaded.status_code if uploaded.json()["length"] == number else 0)
            auth = (foxy.client_id, foxy.client_secret)
            statuses.append(session.post(f"{foxy.url}/token", data=form, auth=auth, timeout=20).status_code)
        return statuses

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = [status for answered in pool.map(work, range(THREADS)) for status in answered]

    assert statuses == [200] * THREADS * (2 * ROUNDS + 1)
    assert len(foxy.token_calls) == THREADS
    assert len(foxy.calls) == len(statuses)
    assert len(foxy.live_access_tokens) == THREADS + 1


def test_rotation_under_load(foxy: Emulator, call: Caller) -> None:
    """Of many that use one refresh token at once, with rotation on, one is served and all lose the grant."""
    foxy.rotate_refresh_tokens = True
    token = foxy.grant()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(call.refresh, [token.refresh_token] * 10))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    assert foxy.live_access_tokens == []


def test_its_client_is_ready_for_use(foxy: Emulator) -> None:
    """`foxy.client` is an `OAuthClient` that goes from a code to a token by itself."""
    answer = {"code": foxy.authorization_code(), "state": "fake-state"}
    token = foxy.client.fetch_token(answer, state="fake-state")

    assert foxy.is_live(token.access_token)
