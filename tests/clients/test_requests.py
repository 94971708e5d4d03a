"""What only requests can get wrong: its hooks, prepared requests and sessions."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import requests
from clients.grants import make_auth, secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth import FoxyAuth
    from foxy_auth.emulator import Emulator


@pytest.fixture
def session() -> Iterator[Any]:
    """Give a session."""
    with requests.Session() as session:
        yield session


def test_users_hooks_see_the_retried_answer(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """A hook that raises for a bad status never sees the 401 that was answered by a retry."""
    seen: list[int] = []

    def check(response: Any, **_: Any) -> None:
        seen.append(response.status_code)
        response.raise_for_status()

    foxy.revoke_access_tokens()
    session.get(foxy.store_url, auth=auth, hooks={"response": check})

    assert seen == [200]


def test_prepared_request_can_be_sent_twice(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """A prepared request that is sent once more, after its token was revoked, gets along with one token call."""
    prepared = session.prepare_request(requests.Request("POST", foxy.store_url, json={"a": 1}, auth=auth))
    statuses = [session.send(prepared).status_code]
    foxy.revoke_access_tokens()
    statuses += [session.send(prepared).status_code for _ in range(2)]

    assert (statuses, len(foxy.token_calls)) == ([200] * 3, 1)
    assert {call.body_length for call in foxy.api_calls} == {8}


def test_prepared_request_is_not_refused_for_its_old_header(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """A request prepared long ago carries an old token, whose 401 is answered by the new one without a token call."""
    prepared = session.prepare_request(requests.Request("GET", foxy.store_url, auth=auth))
    foxy.revoke_access_tokens()
    session.get(foxy.store_url, auth=auth)

    assert (session.send(prepared).status_code, len(foxy.token_calls)) == (200, 1)


def test_settings_of_the_call_hold_for_the_retry(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """The retry goes out with the caller's timeout, as the first request did."""
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


def test_adapter_of_the_session_carries_the_retry(auth: FoxyAuth, foxy: Emulator) -> None:
    """The retry goes through the adapter that the first request went through."""

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
    """R15: where an adapter replaces the header of whatever it sends, its 401 is returned after one retry."""

    class Signing(requests.adapters.HTTPAdapter):
        def send(self, request: Any, *args: Any, **settings: Any) -> Any:
            request.headers["Authorization"] = "Bearer FakeOther"
            return super().send(request, *args, **settings)

    with requests.Session() as session:
        session.mount(foxy.url, Signing())
        status = session.get(foxy.store_url, auth=auth).status_code

    assert (status, len(foxy.api_calls), foxy.token_calls) == (401, 2, [])


def test_no_auth_is_how_to_send_without_the_token(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """A callable that returns the request switches a session's auth off, which None does not."""
    session.auth = auth
    session.get(foxy.store_url, auth=None)
    session.get(foxy.store_url, auth=lambda request: request)

    assert [call.access_token is None for call in foxy.api_calls] == [False, True]


def test_pickled_session_serves_on(session: Any, foxy: Emulator) -> None:
    """R21: a session with an auth object can be pickled and used on."""
    session.auth = make_auth(foxy)
    with pickle.loads(pickle.dumps(session)) as again:  # noqa: S301 - our own
        foxy.revoke_access_tokens()
        status = again.get(foxy.store_url).status_code

    assert status == 200


def test_header_tells_nothing_in_repr(session: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R23: the headers of a request, which error trackers print, hide the token, on the request that was sent too."""
    answer = session.get(foxy.store_url, auth=auth)
    texts = [repr(answer.request.headers), str(answer.request.headers), repr(dict(answer.request.headers))]

    assert [secret for secret in secrets_of(foxy, auth.token) if any(secret in text for text in texts)] == []


def test_hook_keeps_no_credential(session: Any, foxy: Emulator) -> None:
    """R21: the request of an answer, whose hooks ride along, can be pickled without a secret."""
    auth = make_auth(foxy)
    answer = session.get(foxy.store_url, auth=auth)
    pickled = pickle.dumps(answer.request)
    again = pickle.loads(pickled)  # noqa: S301 - our own

    assert [secret for secret in secrets_of(foxy, auth.token) if secret.encode() in pickled] == []
    assert session.send(again, allow_redirects=False).status_code == 401


def test_request_of_another_client_is_refused(auth: FoxyAuth) -> None:
    """R24: a request object of a client that is not known is refused, with what to do instead."""

    class ClientRequest:
        headers: ClassVar[dict[str, str]] = {}
        url = "https://api.foxycart.com/"

    with pytest.raises(TypeError, match=r"headers\(\)"):
        auth(ClientRequest())

    assert ClientRequest.headers == {}


@pytest.mark.parametrize("verify", [True, False])
def test_session_settings_do_not_reach_token_calls(session: Any, foxy: Emulator, *, verify: bool) -> None:
    """Parameters, cookies and headers of a session stay out of the token call."""
    session.params, session.verify = {"zoom": "x"}, verify
    session.headers["X-Own"] = "1"
    session.cookies.set("own", "1")
    auth = make_auth(foxy)
    foxy.revoke_access_tokens()
    session.get(foxy.store_url, auth=auth)
    call = foxy.token_calls[0]

    assert (call.query, "X-Own" in call.headers, "Cookie" in call.headers) == ("", False, False)
    assert foxy.api_calls[1].query == "zoom=x"
