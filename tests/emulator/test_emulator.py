"""The emulator: addresses, recorded requests, start, close and load."""

from __future__ import annotations

import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests
from emulator.conftest import Http

from foxy_auth.emulator import Call, Emulator
from foxy_auth.environment import Environment
from foxy_auth.token import Token

if TYPE_CHECKING:
    from emulator.conftest import Clock

THREADS, ROUNDS = 30, 3


def test_environment(foxy: Emulator) -> None:
    """The environment has the server's own URLs."""
    url = foxy.url

    expected = Environment(api=url, token_endpoint=f"{url}/token", authorization_endpoint=f"{url}/authorize")
    assert foxy.environment == expected


def test_grant(foxy: Emulator, http: Http, clock: Clock) -> None:
    """A grant returns a valid token with times by the emulator's clock."""
    token = foxy.grant()

    expected = Token(
        token.access_token,
        refresh_token=token.refresh_token,
        obtained_at=clock.now,
        expires_at=clock.now + 7200,
        scope="store_full_access store_id_1",
    )
    assert token == expected
    assert http.store(token.access_token).status_code == 200
    assert foxy.current_refresh_token == token.refresh_token


def test_recorded_token_request(foxy: Emulator, http: Http) -> None:
    """A token request is recorded with its form, case-insensitive headers, digest and status."""
    http.exchange("abc", redirect_uri="https://x.example/?a=b")

    (recorded,) = foxy.token_calls
    body = b"grant_type=authorization_code&code=abc&redirect_uri=https%3A%2F%2Fx.example%2F%3Fa%3Db"
    assert (recorded.method, recorded.path, recorded.query, recorded.status) == ("POST", "/token", "", 400)
    assert dict(recorded.form) == {
        "grant_type": "authorization_code",
        "code": "abc",
        "redirect_uri": "https://x.example/?a=b",
    }
    assert recorded.headers["AUTHORIZATION"].startswith("Basic ")
    assert "Content-type" in recorded.headers
    assert (recorded.headers.get("Cookie"), len(recorded.headers)) == (None, len(list(recorded.headers)))
    assert (recorded.body_length, recorded.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())


def test_recorded_api_request(foxy: Emulator, http: Http) -> None:
    """An API request is recorded with its query and its access token, apart from token requests."""
    token = foxy.grant().access_token
    http.store(token, "?a=b%20c")
    http.refresh("any")
    http.api(None)

    first, second = foxy.api_calls
    assert (first.path, first.query, first.access_token, first.status) == ("/stores/1", "a=b%20c", token, 200)
    assert (second.path, second.access_token) == ("/", None)
    assert [recorded.path for recorded in foxy.calls] == ["/stores/1", "/token", "/"]
    foxy.clear_calls()
    assert foxy.calls == []


def test_repr_of_a_call() -> None:
    """R23: The repr of a recorded request shows no header, no form and no token."""
    recorded = Call(method="GET", path="/", query="", headers={"a": "hush"}, form={"b": "hush"}, access_token="hush")

    assert "hush" not in repr(recorded)


def test_second_origin(foxy: Emulator) -> None:
    """The second origin has its own port, responds with the status set, and records its requests."""
    foxy.elsewhere.status = 401

    response = requests.post(
        f"{foxy.elsewhere.url}/a?b=c", data=b"1234", headers={"Authorization": "Bearer x"}, timeout=20
    )

    (recorded,) = foxy.elsewhere.calls
    assert urlsplit(foxy.elsewhere.url).netloc != urlsplit(foxy.url).netloc
    assert (response.status_code, recorded.status, recorded.path, recorded.query) == (401, 401, "/a", "b=c")
    assert (recorded.body_length, recorded.access_token, foxy.calls) == (4, "x", [])
    foxy.elsewhere.clear_calls()
    assert foxy.elsewhere.calls == []


def test_bounce(foxy: Emulator) -> None:
    """The second origin redirects from `/bounce`."""
    response = requests.get(f"{foxy.elsewhere.url}/bounce?to={foxy.url}/", allow_redirects=False, timeout=20)

    assert (response.status_code, response.headers["Location"]) == (302, f"{foxy.url}/")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.", ""])
def test_foreign_host(foxy: Emulator, host: str) -> None:
    """A request to another host name reaches neither the emulator nor the second origin (DNS rebinding)."""
    for url in (foxy.url, foxy.elsewhere.url):
        foreign = host.format(port=urlsplit(url).port)
        assert requests.get(url, headers={"Host": foreign}, timeout=30).status_code == 421

    assert (foxy.calls, foxy.elsewhere.calls) == ([], [])


def test_own_host(foxy: Emulator, http: Http) -> None:
    """Both names of the address are the emulator's own, in any case, and links name the one that was used."""
    for name in ("127.0.0.1", "localhost", "LocalHost"):
        home = http.api(None, foxy.url.replace("127.0.0.1", name))
        assert urlsplit(home.json()["_links"]["self"]["href"]).hostname == name.lower()


def test_start_and_close() -> None:
    """An emulator can be closed and started again with the same port and the same tokens."""
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
    """An emulator that was not started has no address."""
    foxy = Emulator()

    for server in (foxy, foxy.elsewhere):
        with pytest.raises(RuntimeError, match="before it is started"):
            _ = server.url


def test_two_emulators(foxy: Emulator, http: Http) -> None:
    """Emulators that run at the same time share nothing but code."""
    with Emulator() as other:
        token = other.grant().access_token

        assert Http(other).store(token).status_code == 200
        assert http.store(token).status_code == 401
        assert (foxy.live_access_tokens, len(foxy.calls), len(other.calls)) == ([], 1, 1)


def test_port_in_use(foxy: Emulator) -> None:
    """A port that is taken raises `OSError`."""
    port = urlsplit(foxy.url).port or 0

    with pytest.raises(OSError, match="in use"):
        Emulator(port=port).start()


def test_clear_calls_during_a_request(foxy: Emulator, http: Http) -> None:
    """A request that is cleared while in progress is not recorded again."""
    with ThreadPoolExecutor(1) as pool, foxy.hold() as latch:
        response = pool.submit(http.refresh, "any")
        latch.wait_for()
        foxy.clear_calls()
        latch.release()
        response.result()

    assert foxy.calls == []


def test_repr(foxy: Emulator) -> None:
    """R23: The repr names the client and shows no secret."""
    assert repr(foxy) == f"<Emulator client_id={foxy.client_id!r}>"


def test_misspelt_setting(foxy: Emulator) -> None:
    """An unknown setting cannot be set."""
    with pytest.raises(AttributeError):
        foxy.rotate_refresh_token = True  # type: ignore[attr-defined]


def test_idle_connection() -> None:
    """Closing ends idle connections."""
    with Emulator() as foxy:
        idle = socket.create_connection(("127.0.0.1", urlsplit(foxy.url).port or 0), timeout=20)
        requests.get(foxy.url, timeout=20)  # which is served after the idle one has been accepted

    assert idle.recv(1) == b""
    idle.close()


def test_load(foxy: Emulator) -> None:
    """Many threads that request, upload and refresh at once all get their responses, and all is recorded."""
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


def test_rotation_under_load(foxy: Emulator, http: Http) -> None:
    """Of many requests that use one refresh token at once, with rotation, one succeeds and the grant is revoked."""
    foxy.rotate_refresh_tokens = True
    token = foxy.grant()

    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(http.refresh, [token.refresh_token] * 10))

    assert sorted(response.status_code for response in responses) == [200] + [400] * 9
    assert foxy.live_access_tokens == []


def test_client(foxy: Emulator) -> None:
    """`foxy.client` is an `OAuthClient` that can exchange a code."""
    request = foxy.client.authorization_request("store_full_access")
    token = foxy.client.fetch_token(foxy.authorize(request.url), request=request)

    assert foxy.is_live(token.access_token)
