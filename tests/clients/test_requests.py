"""What only requests can get wrong: its hooks, prepared requests and sessions."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import requests
from clients.grants import find_leaks, make_auth, secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth import FoxyAuth
    from foxy_auth.emulator import Emulator


@pytest.fixture
def session() -> Iterator[Any]:
    """Give a session."""
    with requests.Session() as session:
        yield session


def test_users_hooks_see_the_response_to_the_retry(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: a hook that raises for a bad status does not see a 401 that led to a retry."""
    seen: list[int] = []

    def check(response: Any, **_: Any) -> None:
        seen.append(response.status_code)
        response.raise_for_status()

    foxy.revoke_access_tokens()
    session.get(foxy.store_url, auth=auth, hooks={"response": check})

    assert seen == [200]


def test_prepared_request_can_be_sent_twice(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """A prepared request that is sent again, after its token was revoked, makes one token request."""
    prepared = session.prepare_request(requests.Request("POST", foxy.store_url, json={"a": 1}, auth=auth))
    statuses = [session.send(prepared).status_code]
    foxy.revoke_access_tokens()
    statuses += [session.send(prepared).status_code for _ in range(2)]

    assert (statuses, len(foxy.token_calls)) == ([200] * 3, 1)
    assert {call.body_length for call in foxy.api_calls} == {8}


def test_copy_of_a_prepared_request_can_be_sent_twice(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: a copy that was retried once is retried again when its next token is revoked."""
    prepared = session.prepare_request(requests.Request("GET", foxy.store_url, auth=auth))
    for copied in (prepared.copy(), prepared, prepared.copy()):
        for tokens in (1, 2):
            foxy.clear_calls()
            foxy.revoke_access_tokens()
            assert (session.send(copied).status_code, tokens, len(foxy.token_calls)) == (200, tokens, 1)


def test_prepared_request_can_be_signed_twice(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: however often a request was signed, and with whatever grants, a 401 issues one token of the last one."""
    prepared = session.prepare_request(requests.Request("GET", foxy.store_url, auth=make_auth(foxy)))
    for _ in range(3):
        auth(prepared)
    foxy.fail(401, body={"error": "invalid_token"}, times=10, path=foxy.store_url)

    assert (session.send(prepared).status_code, len(foxy.api_calls), len(foxy.token_calls)) == (401, 2, 1)
    assert prepared.headers["Authorization"] == auth.headers()["Authorization"]


def test_prepared_request_can_be_sent_by_many_threads(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R7: so does one that many threads send at the same time, though they share its headers."""
    prepared = session.prepare_request(requests.Request("POST", foxy.store_url, json={"a": 1}, auth=auth))
    foxy.revoke_access_tokens()
    with ThreadPoolExecutor(8) as pool:
        statuses = [response.status_code for response in pool.map(lambda _: session.send(prepared), range(16))]

    assert (statuses, len(foxy.token_calls)) == ([200] * 16, 1)


def test_prepared_request_is_not_refused_for_its_old_header(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R8: a request prepared long ago carries an old token; after its 401 it is retried without a token request."""
    prepared = session.prepare_request(requests.Request("GET", foxy.store_url, auth=auth))
    foxy.revoke_access_tokens()
    session.get(foxy.store_url, auth=auth)

    assert (session.send(prepared).status_code, len(foxy.token_calls)) == (200, 1)


def test_settings_of_the_request_count_for_the_retry(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: the retry goes out with the caller's timeout, as the first request did."""
    sent: list[Any] = []
    adapter = session.get_adapter(foxy.url)
    send = adapter.send

    def recorded(request: Any, **settings: Any) -> Any:
        sent.append((settings["timeout"], settings["stream"], settings["verify"]))
        return send(request, **settings)

    adapter.send = recorded
    foxy.revoke_access_tokens()
    session.get(foxy.store_url, auth=auth, timeout=7, verify=False)

    assert sent == [(7, False, False)] * 2


def test_adapter_of_the_session_sends_the_retry(auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: the retry goes through the adapter that sent the first request."""

    class Counting(requests.adapters.HTTPAdapter):
        sent = 0

        def send(self, *args: Any, **settings: Any) -> Any:
            Counting.sent += 1
            return super().send(*args, **settings)

    foxy.revoke_access_tokens()
    with requests.Session() as session:
        session.mount(foxy.url, Counting())
        session.get(foxy.store_url, auth=auth)

    assert Counting.sent == 2


def test_adapter_that_signs_by_itself_is_left(auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: where an adapter replaces the header of every request, its 401 is returned after one retry."""

    class Signing(requests.adapters.HTTPAdapter):
        def send(self, request: Any, *args: Any, **settings: Any) -> Any:
            request.headers["Authorization"] = "Bearer FakeOther"
            return super().send(request, *args, **settings)

    with requests.Session() as session:
        session.mount(foxy.url, Signing())
        status = session.get(foxy.store_url, auth=auth).status_code

    assert (status, len(foxy.api_calls), foxy.token_calls) == (401, 2, [])


def test_no_auth_is_how_to_send_without_the_token(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """A callable that returns the request turns a session's auth off, which None does not."""
    session.auth = auth
    session.get(foxy.store_url, auth=None)
    session.get(foxy.store_url, auth=lambda request: request)

    assert [call.access_token is None for call in foxy.api_calls] == [False, True]


def test_pickled_session_still_serves(session: Any, foxy: Emulator) -> None:
    """R21: a session with an auth object can be pickled."""
    session.auth = make_auth(foxy)
    with pickle.loads(pickle.dumps(session)) as again:  # noqa: S301 - our own
        foxy.revoke_access_tokens()
        status = again.get(foxy.store_url).status_code

    assert status == 200


def test_headers_show_no_secret_in_repr(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R23: the headers of a request, which error trackers print, hide the token, on the request that was sent too."""
    headers = session.get(foxy.store_url, auth=auth).request.headers
    texts = [repr(headers), str(headers), repr(dict(headers))]

    assert find_leaks(secrets_of(foxy, auth.token), *texts) == []


def test_hook_keeps_no_credential(session: Any, foxy: Emulator) -> None:
    """R21: the request of a response, with its hooks, can be pickled without a secret."""
    auth = make_auth(foxy)
    pickled = pickle.dumps(session.get(foxy.store_url, auth=auth).request)
    again = pickle.loads(pickled)  # noqa: S301 - our own

    assert find_leaks(secrets_of(foxy, auth.token), pickled) == []
    assert session.send(again, allow_redirects=False).status_code == 401


def test_request_of_another_client_is_refused(auth: FoxyAuth) -> None:
    """R24: a request of an unknown client is refused, with what to do instead."""

    class ClientRequest:
        headers: ClassVar[dict[str, str]] = {}
        url = "https://api.foxycart.com/"

    with pytest.raises(TypeError, match=r"headers\(\)"):
        auth(ClientRequest())

    assert ClientRequest.headers == {}


@pytest.mark.parametrize("verify", [True, False])
def test_session_settings_do_not_reach_token_requests(session: Any, foxy: Emulator, *, verify: bool) -> None:
    """R18: parameters, cookies and headers of a session do not get into the token request."""
    session.params, session.verify = {"zoom": "x"}, verify
    session.headers["X-Own"] = "1"
    session.cookies.set("own", "1")
    auth = make_auth(foxy)
    foxy.revoke_access_tokens()
    session.get(foxy.store_url, auth=auth)
    call = foxy.token_calls[0]

    assert (call.query, "X-Own" in call.headers, "Cookie" in call.headers) == ("", False, False)
    assert foxy.api_calls[1].query == "zoom=x"
