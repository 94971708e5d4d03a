"""The address that the browser is sent to, which other users of the machine can read, and those who try to use it."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from login.process import TIMEOUT, login, started
from support.ports import free_port
from support.users import NOBODY, acting_as_nobody, needs_root

from foxy_auth.cli.login.peer import user_of

if TYPE_CHECKING:
    from pathlib import Path

    from foxy_auth.emulator import Emulator

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows starts no script as a browser")

REFUSED = "<h1>This response was not used</h1>"


def allow(foxy: Emulator, page: requests.Response) -> str:
    """Allow access where the start page leads, and return the address of the callback."""
    assert page.status_code == 303
    return foxy.authorize(page.headers["Location"])


def open_page(address: str, session: requests.Session | None = None) -> requests.Response:
    """Open *address* without following redirects."""
    return (session or requests).get(address, timeout=TIMEOUT, allow_redirects=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_start_page(foxy: Emulator, tmp_path: Path, host: str) -> None:
    """R23, R26: the browser's command line and environment have no state or secret; its one address leads to Foxy."""
    redirect_uri = f"http://{host}:{free_port()}/callback"
    with started(foxy, tmp_path, redirect_uri=redirect_uri) as (running, address), requests.Session() as browser:
        first = open_page(address, browser)
        again = open_page(address, browser)
        assert open_page(f"{address}x").status_code == 404
        running.open(allow(foxy, first), cookies=browser.cookies)
        running.token()

    state = parse_qs(urlsplit(first.headers["Location"]).query)["state"]
    assert again.headers["Location"] == first.headers["Location"]
    assert address.startswith(redirect_uri.removesuffix("callback"))
    assert not urlsplit(address).query
    assert state[0] not in address
    assert state[0] not in "".join([*running.printed, running.err])
    assert len(urlsplit(address).path) > 40
    assert {"HttpOnly", "SameSite=Lax"} <= set(first.headers["Set-Cookie"].split("; "))
    assert (first.headers["Cache-Control"], first.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_second_browser(foxy: Emulator, tmp_path: Path) -> None:
    """R26: A second browser at the start page ends the login: the first may have been somebody else's."""
    with started(foxy, tmp_path) as (running, address):
        callback = allow(foxy, open_page(address))
        second = open_page(address)
        status = running.end()

    assert (second.status_code, status) == (410, 6)
    assert "<h1>This address was used already</h1>" in second.text
    assert "Start the login again" in second.text
    assert "state" not in second.headers.get("Location", "")
    assert "was opened twice" in running.err
    assert "run foxy-auth login again" in running.err
    assert running.out == ""
    assert len(foxy.token_calls) == 0, callback


def test_second_browser_during_the_exchange(foxy: Emulator, tmp_path: Path) -> None:
    """R26: Also if somebody else was first and has handed in a code already, the login ends without a token."""
    with started(foxy, tmp_path) as (running, address), foxy.hold("/token") as latch:
        first = open_page(address)
        answered = open_page(allow(foxy, first), cookies_of(first))
        assert answered.status_code == 303
        latch.wait_for()
        assert open_page(address).status_code == 410
        latch.release()
        open_page(running.redirect_uri)
        status = running.end()

    assert (status, running.out) == (6, "")
    assert "was opened twice" in running.err


def cookies_of(page: requests.Response) -> requests.Session:
    """Return a browser with the cookies that *page* sets."""
    session = requests.Session()
    session.cookies.update(page.cookies)
    return session


def test_callback_from_another_browser(foxy: Emulator, tmp_path: Path) -> None:
    """R26: A callback without the first browser's cookie is not used, and the login goes on."""
    with started(foxy, tmp_path) as (running, address):
        first = open_page(address)
        callback = allow(foxy, first)
        name, value = next(iter(first.cookies.items()))
        pages = [
            running.open(callback, headers={"Cookie": cookie})
            for cookie in ("", f"{name}=x", f"{name}={value}x", f"x{name}={value}", f"{name}=\xff")
        ]
        running.open(callback, headers={"Cookie": f'broken="; {{"a": 1}}; {name}={value}; other=1'})
        running.token()

    assert [REFUSED in page.text for page in pages] == [True] * 5
    assert running.err.count("it was not brought by the browser that was opened") == 1


def test_printed_address(foxy: Emulator, tmp_path: Path) -> None:
    """The printed address works in any browser, also after the start page was opened; its state is another one."""
    with started(foxy, tmp_path) as (running, address):
        state = parse_qs(urlsplit(open_page(address).headers["Location"]).query)["state"][0]
        callback = running.authorize(foxy)
        assert state not in callback
        running.open(callback)
        running.token()


def test_redirect_elsewhere(foxy: Emulator, tmp_path: Path) -> None:
    """R26: If the redirect URI leads elsewhere, the start page is at a free port, and the callback is pasted."""
    redirect_uri = "https://integration.example/oauth/callback"
    options = {"redirect_uri": redirect_uri, "stdin": subprocess.PIPE}
    with started(foxy, tmp_path, **options) as (running, address):
        callback = allow(foxy, open_page(address))
        root = address.rpartition("/")[0]
        assert [open_page(f"{root}{path}").status_code for path in ("/", "/?code=x&state=y")] == [404, 404]
        running.paste(callback)
        running.token()

    assert address.startswith("http://127.0.0.1:")


def open_as_nobody(address: str) -> str:
    """Open *address* through a connection of the user `nobody`, and return the response."""
    parts = urlsplit(address)
    with acting_as_nobody():
        connection = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT)
    with connection, connection.makefile("rb") as response:
        connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        return response.read().decode()


@needs_root
def test_another_user(foxy: Emulator, tmp_path: Path) -> None:
    """R26: Where the system tells whose a connection is, another user gets no state and cannot stop the login."""
    with started(foxy, tmp_path) as (running, address):
        stolen = [open_as_nobody(address) for _ in range(2)]
        first = open_page(address)
        running.open(allow(foxy, first), cookies=first.cookies)
        running.token()

    assert [page.partition("\r\n")[0] for page in stolen] == ["HTTP/1.0 403 Forbidden"] * 2
    assert [name for name in ("Location", "Set-Cookie") if name in "".join(stolen)] == []
    assert running.err.count("Another user of this computer (id 65534) has tried to open") == 1


@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_user_of(host: str) -> None:
    """The owner of a connection is found for both address families."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        with acting_as_nobody():
            client = socket.create_connection(server.getsockname()[:2], timeout=TIMEOUT)
        with client, server.accept()[0] as connection:
            assert user_of(connection) == NOBODY


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a connection is")
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_user_who_hangs_up(how: str) -> None:
    """R26: A connection that its user has closed is nobody's, so it does not count as a browser and stops no login."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=TIMEOUT)
        with server.accept()[0] as connection:
            client.sendall(b"GET ")
            if how == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            with connection.makefile("rb") as request, suppress(ConnectionError):
                request.read()  # until the end has come
            with pytest.raises(OSError, match=r"closed|not connected"):
                user_of(connection)


FOREIGN_HOSTS = ["evil.example:{port}", "evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}", ""]


def test_foreign_host(foxy: Emulator, tmp_path: Path) -> None:
    """R26: A request to another host name is refused (DNS rebinding), at the start page and at the callback."""
    with started(foxy, tmp_path) as (running, address):
        port = urlsplit(address).port
        callback = running.authorize(foxy)
        statuses = {
            requests.get(url, headers={"Host": host.format(port=port)}, timeout=TIMEOUT).status_code
            for url in (address, callback)
            for host in FOREIGN_HOSTS
        }
        for own in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]"):
            assert running.open(running.redirect_uri, headers={"Host": f"{own}:{port}"}).status_code == 200
        running.open(callback)
        running.token()

    assert statuses == {421}


# --- PKCE ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pkce", ["required", "verified", "ignored"])
def test_pkce(foxy: Emulator, pkce: str) -> None:
    """R26: RFC 7636: the code is bound to a verifier, whether the provider knows that or not."""
    foxy.pkce = pkce  # type: ignore[assignment]
    with login(foxy, "--json", "--no-browser") as running:
        running.open(running.authorize(foxy))
        running.token()


def test_no_pkce(foxy: Emulator) -> None:
    """`--no-pkce` leaves challenge and verifier out."""
    with login(foxy, "--json", "--no-browser", "--no-pkce") as running:
        url = running.url
        running.open(foxy.authorize(url))
        running.token()

    assert "code_challenge" not in url
    assert "code_verifier" not in foxy.token_calls[0].form
