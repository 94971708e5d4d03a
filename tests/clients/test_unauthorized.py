"""R15, R17, R18: what becomes of a 401, and what the caller sees of a retry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from clients.drivers import every_library, sync_libraries
from clients.grants import make_auth
from clients.slow_server import FIRST, SECOND, SlowServer

from foxy_auth import Environment, FoxyAuth
from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from clients.drivers import Client, Library

    from foxy_auth.emulator import Emulator

TOKEN = "/token"

# --- R15: which 401s lead to a retry ---------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [True, False], ids=["header", "no-header"])
@pytest.mark.parametrize("body", ["oauth", "empty", "html", "hal"])
def test_401_leads_to_one_retry(client: Client, auth: FoxyAuth, foxy: Emulator, body: Any, *, header: bool) -> None:
    """R15: a 401 that blames the token, in whatever shape it comes, leads to one refresh and one retry."""
    foxy.unauthorized_body, foxy.unauthorized_header = body, header
    foxy.revoke_access_tokens()
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, [call.path for call in foxy.calls][1:-1]) == (200, [TOKEN])
    assert [call.status for call in foxy.api_calls] == [401, 200]
    assert foxy.api_calls[0].access_token != foxy.api_calls[1].access_token


def cut_short(foxy: Emulator, url: str) -> None:
    """Let the response to *url* break off."""
    foxy.truncate(path=url)


def miscoded(foxy: Emulator, url: str) -> None:
    """Let the response to *url* not be coded as it says."""
    foxy.fail(401, body=b"no gzip", headers={"Content-Encoding": "gzip"}, path=url)


@every_library
@pytest.mark.parametrize("spoil", [cut_short, miscoded])
def test_unreadable_401_leads_to_one_retry(
    client: Client, auth: FoxyAuth, foxy: Emulator, spoil: Callable[[Emulator, str], None]
) -> None:
    """R15: a 401 that breaks off, or is not coded as it says, blames the token."""
    spoil(foxy, foxy.store_url)
    foxy.revoke_access_tokens()
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, response.history, len(foxy.token_calls)) == (200, (401,), 1)


@every_library
@pytest.mark.parametrize("spoil", [cut_short, miscoded])
def test_unreadable_401_can_be_looked_at(
    client: Client, library: Library, auth: FoxyAuth, foxy: Emulator, spoil: Callable[[Emulator, str], None]
) -> None:
    """R15: where such a 401 is returned, the caller can read what came of it."""
    url = f"{foxy.store_url}/upload"
    spoil(foxy, url)
    foxy.revoke_access_tokens()
    with client.stream("POST", url, auth=auth, content=library.generator_of([b"sent", b"once"])) as stream:
        body = b"".join(stream.pieces)

    assert (stream.status, len(foxy.token_calls), len(body) < 100) == (401, 1, True)


@every_library
def test_second_401_is_returned(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: a 401 for the new token as well is returned as it is."""
    foxy.fail(401, body={"error": "invalid_token", "error_description": "no"}, path=foxy.store_url, times=9)
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, response.body) == (401, b'{"error": "invalid_token", "error_description": "no"}')
    assert (len(foxy.api_calls), len(foxy.token_calls)) == (2, 1)


@every_library
def test_token_from_the_store_that_is_refused_too_leads_to_a_refresh(client: Client, foxy: Emulator) -> None:
    """R15: where the token that is found in the store has been revoked as well, a new one is requested."""
    store = MemoryStore()
    auth = make_auth(foxy, store=store)
    client.get(foxy.store_url, auth=auth)
    store.save(foxy.grant())
    foxy.revoke_access_tokens()
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, response.history) == (200, (401, 401))
    assert ([call.status for call in foxy.api_calls], len(foxy.token_calls)) == ([200, 401, 401, 200], 1)
    assert len({call.access_token for call in foxy.api_calls}) == 3


@every_library
def test_token_in_memory_that_is_refused_too_leads_to_a_refresh(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: the same holds for a token that another request has got meanwhile."""
    with foxy.hold(foxy.store_url) as latch:
        late = client.start("GET", foxy.store_url, auth=auth)
        latch.wait_for(1)
        foxy.revoke_access_tokens()
        early = client.get(foxy.url, auth=auth)
        foxy.revoke_access_tokens()
    response = late.result(10)

    assert (early.status, response.status, response.history) == (200, 200, (401, 401))
    assert len(foxy.token_calls) == 2


def test_request_is_sent_three_times_at_most(client: Client, foxy: Emulator) -> None:
    """R15: after a lost header and a token of the store that is refused too, the third 401 is returned."""
    second = foxy.url.replace("127.0.0.1", "localhost")
    store = MemoryStore()
    auth = make_auth(foxy, store=store, environment=Environment(api=foxy.url, origins=(second,)))
    client.get(foxy.store_url, auth=auth)
    store.save(foxy.grant())
    foxy.revoke_access_tokens()
    foxy.fail(302, headers={"Location": f"{second}/stores/1"}, path="/redirect")
    statuses = [client.get(f"{foxy.url}/redirect", auth=auth).status, client.get(foxy.store_url, auth=auth).status]

    assert statuses == [401, 200]
    assert [call.status for call in foxy.api_calls] == [200, 302, 401, 401, 401, 401, 200]
    assert len(foxy.token_calls) == 1


def test_endless_401s_do_not_lead_to_endless_refreshes(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: where the API refuses every new token, three refreshes in a row are enough."""
    foxy.fail(401, body="", path=foxy.store_url, times=99)
    statuses = {client.get(foxy.store_url, auth=auth).status for _ in range(6)}

    assert (statuses, len(foxy.token_calls)) == ({401}, 3)


def test_403_is_returned(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: a 403 is returned without a refresh, whether it names a cause, none, or blames the token."""
    named = client.get(f"{foxy.store_url}/forbidden", auth=auth)
    foxy.fail(403, body="", path=foxy.store_url)
    foxy.fail(403, body={"error": "invalid_token"}, path=foxy.store_url)
    statuses = [client.get(foxy.store_url, auth=auth).status for _ in range(2)]

    assert (named.status, statuses, len(foxy.api_calls), foxy.token_calls) == (403, [403, 403], 3, [])
    assert b"insufficient_scope" in named.body


OTHER_CAUSES = [
    pytest.param({"body": {"error": "access_denied"}}, id="body"),
    pytest.param({"body": "", "headers": {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}}, id="header"),
    pytest.param({"body": "", "headers": {"WWW-Authenticate": "Bearer realm=x, error=access_denied"}}, id="unquoted"),
    pytest.param({"body": {"_embedded": {"fx:errors": [{"message": "This store is suspended"}]}}}, id="hal"),
]


@pytest.mark.parametrize("fault", OTHER_CAUSES)
def test_401_for_another_cause_is_returned(
    client: Client, auth: FoxyAuth, foxy: Emulator, fault: Mapping[str, Any]
) -> None:
    """R15: a 401 that names another cause than the token is returned as it is, with its body."""
    foxy.fail(401, path=foxy.store_url, **fault)
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, len(foxy.api_calls), foxy.token_calls) == (401, 1, [])
    assert response.body == (json.dumps(fault["body"]) if fault["body"] else "").encode()


@every_library
@pytest.mark.parametrize("streamed", [False, True], ids=["read", "streamed"])
def test_401_of_the_resource_is_returned(client: Client, auth: FoxyAuth, foxy: Emulator, *, streamed: bool) -> None:
    """R15, R17: the provider's 401 that does not blame the token is returned as it came, streamed or not."""
    url = f"{foxy.store_url}/unauthorized?error=login_required"
    if streamed:
        with client.stream("GET", url, auth=auth) as stream:
            status, body = stream.status, b"".join(stream.pieces)
    else:
        response = client.get(url, auth=auth)
        status, body = response.status, response.body
        assert "login_required" in response.headers["www-authenticate"]

    assert (status, json.loads(body)["error"]) == (401, "login_required")
    assert (len(foxy.api_calls), foxy.token_calls) == (1, [])


# --- R17: reading a 401, and nothing else ----------------------------------------------------------------------------


@every_library
def test_endless_401_is_cut_off(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: of a 401 with an endless body only the beginning is read before the retry."""
    foxy.fail(401, body="<p>" * 2**20, content_type="text/html", path=foxy.store_url)
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, len(response.response.history[0].content) < 2**20) == (200, True)


def test_slow_401_is_cut_off(client: Client, foxy: Emulator) -> None:
    """R17: a 401 that comes byte by byte delays the retry by the timeout at most."""
    token = foxy.grant()
    with SlowServer(token, size=1000) as server:
        environment = Environment(api=server.url, token_endpoint=f"{foxy.url}/token")
        auth = make_auth(foxy, token=token, environment=environment, timeout=0.5)
        with client.stream("GET", server.url, auth=auth) as stream:
            sent = server.sent
            server.go.set()
            body = b"".join(stream.pieces)

    assert (stream.status, sent < 1000, body) == (200, True, FIRST + SECOND)


@every_library
@pytest.mark.parametrize("retried", [False, True], ids=["at-once", "after-401"])
def test_streamed_response_keeps_streaming(client: Client, foxy: Emulator, *, retried: bool) -> None:
    """R17: a response whose body has not come yet is returned as it is, after a retry as well."""
    token = foxy.grant()
    with SlowServer(token if retried else None) as server:
        environment = Environment(api=server.url, token_endpoint=f"{foxy.url}/token")
        auth = make_auth(foxy, token=token, environment=environment)
        with client.stream("GET", server.url, auth=auth) as stream:
            untouched = stream.untouched
            first = next(stream.pieces)
            server.go.set()
            rest = b"".join(stream.pieces)

    assert (stream.status, untouched, first + rest) == (200, True, FIRST + SECOND)
    assert len(foxy.token_calls) == retried


def test_open_stream_blocks_nobody(client: Client, foxy: Emulator) -> None:
    """R17: while one response is streaming, other requests refresh the token and get theirs."""
    token = foxy.grant()
    with SlowServer() as server:
        environment = Environment(api=foxy.url, origins=(server.url,))
        auth = make_auth(foxy, token=token, environment=environment)
        with client.stream("GET", server.url, auth=auth) as stream:
            foxy.revoke_access_tokens()
            responses = client.send_all(3, "GET", foxy.store_url, auth=auth)
            server.go.set()
            body = b"".join(stream.pieces)

    assert ([response.status for response in responses], body) == ([200] * 3, FIRST + SECOND)
    assert len(foxy.token_calls) == 1


@every_library
def test_streamed_download_is_whole_after_a_401(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: a streamed download that was refused first arrives whole."""
    foxy.revoke_access_tokens()
    with client.stream("GET", f"{foxy.store_url}/download?bytes=300000&chunks=7", auth=auth) as stream:
        untouched, body = stream.untouched, b"".join(stream.pieces)

    assert (stream.status, untouched, len(body)) == (200, True, 300_000)


@sync_libraries
@pytest.mark.parametrize("shared", [False, True], ids=["own-connection", "shared-connection"])
def test_one_connection_is_enough(library: Library, foxy: Emulator, *, shared: bool) -> None:
    """R17: a 401 gives its connection back before the refresh, so that a pool of one serves for both."""
    with library.open(pool=1) as client:
        auth = make_auth(foxy, http=client.raw if shared else None)
        statuses = []
        for _ in range(2):
            foxy.revoke_access_tokens()
            with client.stream("POST", foxy.store_url, auth=auth, json={"a": 1}) as stream:
                statuses.append((stream.status, len(b"".join(stream.pieces)) > 0))

    assert statuses == [(200, True)] * 2
    assert len(foxy.token_calls) == 2


@every_library
def test_one_connection_is_enough_for_many(library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: many requests that are refused at once manage with one connection."""
    foxy.revoke_access_tokens()
    with library.open(pool=1) as client:
        responses = client.send_all(4, "GET", foxy.store_url, auth=auth)

    assert [response.status for response in responses] == [200] * 4


# --- R18: the client's own work --------------------------------------------------------------------------------------


@every_library
def test_response_to_a_retry_looks_like_any_other(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: the response to a retry knows its request, how long it took, and the 401 before it."""
    old = auth.token
    foxy.revoke_access_tokens()
    response = client.send("POST", foxy.store_url, auth=auth, json={"a": 1})
    retried, refused = response.response, response.response.history[0]

    assert (response.status, response.history, str(retried.request.url)) == (200, (401,), foxy.store_url)
    assert old
    assert auth.token
    assert [each.request.headers["Authorization"] for each in (refused, retried)] == [
        f"Bearer {old.access_token}",
        f"Bearer {auth.token.access_token}",
    ]
    assert retried.elapsed.total_seconds() > 0
    assert refused.elapsed.total_seconds() > 0
    assert b"invalid_token" in refused.content


@every_library
def test_cookies_of_the_401_count(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: a cookie that the 401 sets goes out with the retry, beside the caller's own, and into the jar."""
    foxy.revoke_access_tokens()
    client.get(f"{foxy.store_url}?cookie=seen=1", auth=auth, headers={"Cookie": "mine=2"})

    assert set(foxy.api_calls[1].headers["Cookie"].split("; ")) == {"mine=2", "seen=1"}
    assert client.cookies == {"seen": "1"}


@every_library
def test_token_requests_share_no_cookies(client: Client, foxy: Emulator) -> None:
    """R18: a cookie of the token endpoint is not the client's, nor is one of the client's sent there."""
    environment = Environment(api=foxy.url, token_endpoint=f"{foxy.url}/token?cookie=spy=1")
    auth = make_auth(foxy, environment=environment)
    client.get(f"{foxy.store_url}?cookie=mine=1", auth=auth)
    foxy.revoke_access_tokens()
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, len(foxy.token_calls), client.cookies) == (200, 1, {"mine": "1"})
    assert "Cookie" not in foxy.token_calls[0].headers


@every_library
def test_token_requests_pass_no_hook_and_count_as_no_redirect(library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: the client's event hooks see the caller's requests alone, and its limit of redirects counts no retry."""
    seen: list[str] = []
    foxy.revoke_access_tokens()
    with library.open(hooks=seen, max_redirects=1, auth=auth) as client:
        retried = client.get(foxy.store_url)
        redirected = client.get(f"{foxy.url}/redirect?to={foxy.store_url}")

    assert [(response.status, response.history) for response in (retried, redirected)] == [(200, (401,)), (200, (302,))]
    assert [url for url in seen if TOKEN in url] == []
    assert (foxy.store_url in seen, len(foxy.token_calls)) == (True, 1)


@every_library
def test_only_the_refused_hop_is_sent_again(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: where the 401 comes after a redirect, the request before it is not made again."""
    with foxy.hold(foxy.store_url) as latch:
        started = client.start("POST", f"{foxy.url}/redirect?status=303&to={foxy.store_url}", auth=auth, content=b"x")
        latch.wait_for(1)
        foxy.revoke_access_tokens()

    assert (started.result(10).status, len(foxy.token_calls)) == (200, 1)
    assert [(call.method, call.body_length) for call in foxy.api_calls] == [("POST", 1), ("GET", 0), ("GET", 0)]


@every_library
@pytest.mark.parametrize("follow", [True, False], ids=["followed", "not-followed"])
def test_redirect_after_the_retry_is_the_clients_to_follow(
    client: Client, auth: FoxyAuth, foxy: Emulator, *, follow: bool
) -> None:
    """R18: where the retry is redirected, the client follows with the new token, unless it is told not to."""
    foxy.revoke_access_tokens()
    response = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth, follow_redirects=follow)

    assert response.status == (200 if follow else 302)
    assert [call.status for call in foxy.api_calls] == ([401, 302, 200] if follow else [401, 302])
