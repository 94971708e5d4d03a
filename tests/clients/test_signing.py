"""R1 to R3: which requests are signed, with what, and what becomes of the signature on a redirect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from clients.drivers import every_library
from clients.grants import make_auth

from foxy_auth import Environment, FoxyAuth, Token, TokenUnavailableError

if TYPE_CHECKING:
    from clients.drivers import Client, Library

    from foxy_auth.emulator import Emulator

OWN = {
    "home": "https://api.foxycart.com/",
    "no-path": "https://api.foxycart.com",
    "default-port": "https://api.foxycart.com:443/stores/1?zoom=x",
    "upper-case": "https://API.FoxyCart.com/",
    "other-name-of-production": "https://api.foxy.io/stores/1",
    "userinfo": "https://somebody:else@api.foxycart.com/",
}

FOREIGN = {
    "cleartext": "http://api.foxycart.com/",
    "cleartext-at-443": "http://api.foxycart.com:443/",
    "port": "https://api.foxycart.com:8443/",
    "parent": "https://foxycart.com/",
    "subdomain": "https://x.api.foxycart.com/",
    "longer-host": "https://api.foxycart.com.evil.example/",
    "prefixed-host": "https://evilapi.foxycart.com/",
    "hyphen-for-dot": "https://api-foxycart.com/",
    "any-character-for-dot": "https://apixfoxycart.com/",
    "trailing-dot": "https://api.foxycart.com./",
    "userinfo": "https://api.foxycart.com@evil.example/",
    "userinfo-with-port": "https://api.foxycart.com:443@evil.example/",
    "userinfo-with-escaped-slash": "https://api.foxycart.com%2f@evil.example/",
    "in-path": "https://evil.example/https://api.foxycart.com/",
    "in-query": "https://evil.example?https://api.foxycart.com/",
    "in-fragment": "https://evil.example#@api.foxycart.com/",
}


def production_auth(**options: str) -> FoxyAuth:
    """Make an auth object for Foxy itself."""
    token = Token("FakeAccess", refresh_token="FakeRefresh")
    return FoxyAuth(client_id="client_Fake", client_secret="FakeSecret", token=token, **options)  # type: ignore[arg-type]


def headers_sent(library: Library, urls: Iterable[str]) -> list[Mapping[str, str]]:
    """Return the headers that requests to *urls* would have; none where the client cannot parse the URL."""
    sent: list[Mapping[str, str]] = []
    auth = production_auth()
    with library.open(intercept=lambda _, headers: sent.append(headers)) as client:
        for number, url in enumerate(urls):
            with suppress(library.invalid_url):
                client.get(url, auth=auth)
            sent[number:] = sent[number:] or [{}]
    return sent


# --- R1 -----------------------------------------------------------------------------------------------------------


@every_library
def test_requests_to_an_own_origin_are_signed(library: Library) -> None:
    """R1: a request to one of the environment's origins carries the token and the version."""
    sent = zip(OWN, headers_sent(library, OWN.values()), strict=True)
    signed = {name: (headers.get("authorization"), headers.get("foxy-api-version")) for name, headers in sent}

    assert signed == dict.fromkeys(OWN, ("Bearer FakeAccess", "1"))


@every_library
def test_requests_to_a_foreign_origin_are_not_signed(library: Library) -> None:
    """R1: a request to another scheme, host or port carries neither token nor version, however its URL is written."""
    sent = dict(zip(FOREIGN, headers_sent(library, FOREIGN.values()), strict=True))
    signed = [name for name, headers in sent.items() if {"authorization", "foxy-api-version"} & headers.keys()]

    assert signed == []
    assert [name for name, headers in sent.items() if not headers] == []


@every_library
def test_ambiguous_urls_show_no_token_to_another_server(
    client: Client, library: Library, auth: FoxyAuth, foxy: Emulator
) -> None:
    """R1: whatever a client makes of a URL that can be read in two ways, the other server sees no token."""
    own, foreign = urlsplit(foxy.url).netloc, urlsplit(foxy.elsewhere.url).netloc
    for url in (f"{foreign}\\@{own}", f"{own}\\@{foreign}", f"{own}@{foreign}", f"{foreign}#@{own}"):
        with suppress(library.invalid_url):
            client.get(f"http://{url}/", auth=auth)

    assert foxy.elsewhere.calls
    assert {call.access_token for call in foxy.elsewhere.calls} == {None}


@every_library
def test_requests_to_another_server_pass_untouched(client: Client, foxy: Emulator) -> None:
    """R1, R2: another server gets no token, none is asked for, and its 401 leads to no refresh and no retry."""
    foxy.elsewhere.status = 401
    auth = make_auth(foxy, refresh_token="fake")
    response = client.get(foxy.elsewhere.url, auth=auth)

    assert (response.status, [call.access_token for call in foxy.elsewhere.calls]) == (401, [None])
    assert "FOXY-API-VERSION" not in foxy.elsewhere.calls[0].headers
    assert foxy.token_calls == []


def test_own_version_header_stays(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R1: a request that names its API version keeps it."""
    response = client.get(foxy.store_url, auth=auth, headers={"FOXY-API-VERSION": "2"})

    assert (response.status, foxy.api_calls[0].headers["FOXY-API-VERSION"]) == (400, "2")


# --- R2 -----------------------------------------------------------------------------------------------------------


@every_library
@pytest.mark.parametrize(("method", "status"), [("GET", 302), ("POST", 308)])
def test_redirect_to_another_server_loses_the_token(
    client: Client, auth: FoxyAuth, foxy: Emulator, method: str, status: int
) -> None:
    """R2: a redirect to another server that responds with 401 shows it no token, and starts no refresh."""
    foxy.elsewhere.status = 401
    response = client.send(method, f"{foxy.url}/redirect?status={status}&to={foxy.elsewhere.url}/page", auth=auth)

    assert (response.status, response.history) == (401, (status,))
    assert [call.access_token for call in foxy.elsewhere.calls] == [None]
    assert "Authorization" not in foxy.elsewhere.calls[0].headers
    assert (foxy.token_calls, len(foxy.api_calls)) == ([], 1)


@every_library
def test_redirect_to_another_server_and_back_is_not_signed_again(
    client: Client, auth: FoxyAuth, foxy: Emulator
) -> None:
    """R2: where another server chose the way back to an own origin, the 401 that follows is left alone."""
    bounce = f"{foxy.elsewhere.url}/bounce?to={foxy.store_url}"
    response = client.get(f"{foxy.url}/redirect?to={bounce}", auth=auth)

    assert (response.status, response.history) == (401, (302, 302))
    assert [call.access_token is None for call in foxy.api_calls] == [False, True]
    assert foxy.token_calls == []


# --- R3: other credentials ------------------------------------------------------------------------------------------


@every_library
def test_other_credentials_give_way_to_the_token(library: Library, auth: FoxyAuth, foxy: Emulator, netrc: None) -> None:
    """R3: a header of the session, a password in the URL and one in netrc give way to the token."""
    with library.open(headers={"Authorization": "Basic c29tZWJvZHk6ZWxzZQ=="}) as client:
        statuses = [client.get(url, auth=auth).status for url in (foxy.store_url, with_password(foxy.store_url))]

    assert (statuses, len(foxy.api_calls), foxy.token_calls) == ([200, 200], 2, [])


def with_password(url: str) -> str:
    """Put a user's name and password into *url*."""
    return url.replace("//", "//somebody:else@")


@every_library
def test_netrc_does_not_win_on_a_redirect(library: Library, auth: FoxyAuth, foxy: Emulator, netrc: None) -> None:
    """R3: where a client puts netrc's password on a redirect, the refusal gives its connection back for a retry."""
    with library.open(pool=1) as client:
        response = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth)

    assert (response.status, foxy.api_calls[-1].access_token) == (200, auth.token and auth.token.access_token)
    assert (foxy.api_calls[-1].path, foxy.token_calls) == (urlsplit(foxy.store_url).path, [])


def test_netrc_does_not_reach_token_requests(client: Client, auth: FoxyAuth, foxy: Emulator, netrc: None) -> None:
    """R3: a token request is authenticated by the client secret, whatever netrc says."""
    foxy.revoke_access_tokens()
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, [call.status for call in foxy.token_calls]) == (200, [200])


def test_token_requests_follow_no_redirect(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R3: a token request that is redirected ends there; the client secret goes nowhere else."""
    foxy.revoke_access_tokens()
    foxy.redirect_token_calls(f"{foxy.elsewhere.url}/token")

    with pytest.raises(TokenUnavailableError, match="redirects"):
        client.get(foxy.store_url, auth=auth)
    assert (foxy.elsewhere.calls, len(foxy.token_calls)) == ([], 1)


# --- R3: redirects between own origins --------------------------------------------------------------------------------


@every_library
def test_redirect_between_own_origins_keeps_the_token(client: Client, foxy: Emulator) -> None:
    """R3: a redirect from one own origin to another, on which clients drop the header, is signed again."""
    environment, address = two_origins(foxy)
    response = client.get(address, auth=make_auth(foxy, environment=environment))

    assert (response.status, [call.status for call in foxy.api_calls]) == (200, [302, 401, 200])
    assert foxy.token_calls == []


def two_origins(foxy: Emulator) -> tuple[Environment, str]:
    """Return an environment of two origins, and a URL at the first that redirects to a store at the second."""
    second = f"http://localhost:{urlsplit(foxy.url).port}"
    address = f"{foxy.url}/redirect?to={second}{urlsplit(foxy.store_url).path}"
    return Environment(api=foxy.url, origins=(second,)), address


@every_library
@pytest.mark.parametrize("body", [None, b"one part, and another"], ids=["no-body", "body"])
def test_revoked_token_is_noticed_after_a_redirect(client: Client, foxy: Emulator, body: bytes | None) -> None:
    """R3: where that token then turns out to be revoked, this leads to the one refresh and another retry."""
    environment, address = two_origins(foxy)
    auth = make_auth(foxy, environment=environment)
    foxy.fail(307, headers={"Location": address.partition("to=")[2]}, path="/redirect")
    foxy.revoke_access_tokens()
    response = client.send("POST" if body else "GET", address, auth=auth, content=body)

    assert (response.status, [call.status for call in foxy.api_calls]) == (200, [307, 401, 401, 200])
    assert [call.body_length for call in foxy.api_calls] == [len(body or b"")] * 4
    assert len(foxy.token_calls) == 1


@every_library
def test_redirect_after_the_retry_keeps_the_token(client: Client, foxy: Emulator) -> None:
    """R3: where it is the retry that is redirected to the other origin, it is signed again there as well."""
    environment, address = two_origins(foxy)
    auth = make_auth(foxy, environment=environment)
    foxy.revoke_access_tokens()
    response = client.get(address, auth=auth)

    assert (response.status, [call.status for call in foxy.api_calls]) == (200, [401, 302, 401, 200])
    assert len(foxy.token_calls) == 1


@every_library
def test_origins_that_refuse_and_redirect_are_left(client: Client, library: Library, foxy: Emulator) -> None:
    """R3: a request that own origins redirect to and fro, and refuse where it comes unsigned, ends with a 401."""
    second = f"http://localhost:{urlsplit(foxy.url).port}"
    auth = make_auth(foxy, environment=Environment(api=foxy.url, origins=(second,)))
    for origin in [second, foxy.url] * 9:
        foxy.fail(302, headers={"Location": f"{origin}/"}, path="/")
        foxy.fail(401, body="", path="/")
    response = client.get(foxy.url, auth=auth)

    assert (response.status, foxy.token_calls) == (401, [])
    assert [call.status for call in foxy.calls] == [302, 401] * 2
