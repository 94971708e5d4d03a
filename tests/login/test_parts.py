"""The parts of the login that are easier to test alone."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import threading
from queue import SimpleQueue
from socketserver import TCPServer

import pytest
from login.process import listening_addresses
from support.ports import free_port

from foxy_auth import Token
from foxy_auth.cli.exit_status import PortUnavailableError
from foxy_auth.cli.login.callback import Callback, Event, Problem, Source, find_problem
from foxy_auth.cli.login.listener import (
    LoopbackAddress,
    best_redirect_uri,
    check_redirect_uri,
    listening,
    loopback_address,
)
from foxy_auth.cli.login.pages import FAILED, NOT_USED, WAITING, Page, success_page
from foxy_auth.cli.token_facts import account_name, as_rows

TOKEN = Token("made-up-access", refresh_token="made-up-refresh", expires_at=1_800_000_000.0, scope="a store_id_7")


def make_callback(path: str = "/") -> tuple[Callback, SimpleQueue[Event]]:
    """Make the callback of a request with the state `right`, and its queue of events."""
    events: SimpleQueue[Event] = SimpleQueue()
    return Callback(path, state="right", events=events), events


# --- the redirect URI ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("redirect_uri", "address"),
    [
        ("http://localhost:8910/callback", LoopbackAddress("localhost", 8910, "/callback")),
        ("http://LocalHost:8910", LoopbackAddress("localhost", 8910, "/")),
        ("http://localhost/a%20b?tenant=1", LoopbackAddress("localhost", 80, "/a b")),
        ("http://127.0.0.1:1//evil.example/", LoopbackAddress("127.0.0.1", 1, "/evil.example/")),
        ("http://[::1]:8910/", LoopbackAddress("::1", 8910, "/")),
        ("https://localhost:8910/callback", None),
        ("http://0.0.0.0:8910/callback", None),
        ("http://localhost:0/callback", None),
        ("http://localhost:x/callback", None),
        ("http://localhost.evil.example:8910/callback", None),
        ("http://127.0.0.1.evil.example/", None),
        ("https://integration.example/callback", None),
        ("example.app:/callback", None),
    ],
)
def test_loopback_address(redirect_uri: str, address: LoopbackAddress | None) -> None:
    """The command listens only for plain http on a loopback address."""
    assert loopback_address(redirect_uri) == address
    check_redirect_uri(redirect_uri)


@pytest.mark.parametrize(
    "text", ["", "/callback", "localhost:8910/callback", "127.0.0.1:8910", "http:/x", "HTTP://", "a b://x", "x://y#z"]
)
def test_no_redirect_uri(text: str) -> None:
    """R24: what is not an absolute URI is refused, with an example."""
    with pytest.raises(ValueError, match=re.escape("http://127.0.0.1:8910/callback")):
        check_redirect_uri(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_best_redirect_uri(host: str) -> None:
    """RFC 8252, section 8.3: an IP address is preferred to `localhost`, and that to others."""
    name, elsewhere, address = "http://localhost:1/", "https://integration.example/", f"http://{host}:2/"

    assert best_redirect_uri([elsewhere, name, address]) == address
    assert best_redirect_uri([elsewhere, name]) == name
    assert best_redirect_uri([elsewhere, "example.app:/"]) == elsewhere
    with pytest.raises(ValueError, match="whole address"):
        best_redirect_uri([address, "localhost:1"])


# --- the callback ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("", Problem.NO_RESPONSE),
        ("utm_source=x", Problem.NO_RESPONSE),
        ("state=right", Problem.NO_RESPONSE),
        ("code=x&state=right", None),
        ("error=access_denied&state=right&iss=https://as.example/?t=1", None),
        ("code=x", Problem.NO_STATE),
        ("code=x&stat", Problem.NO_STATE),
        ("code=x&state=", Problem.WRONG_STATE),
        ("code=x&state=wrong", Problem.WRONG_STATE),
        ("code=x&state=right&state=right", Problem.WRONG_STATE),
        ("code=x&state=right%00", Problem.WRONG_STATE),
        ("code=x&state=%ff%fe", Problem.WRONG_STATE),
    ],
)
def test_find_problem(query: str, problem: Problem | None) -> None:
    """3P: only a response with the state of the request, exactly once, is used."""
    assert find_problem(query, "right") is problem


def test_first_response_counts() -> None:
    """The first valid response is reported, and each problem of others once; nothing an attacker writes is repeated."""
    callback, events = make_callback()
    pages = [callback.page()]
    for query in ("error=Call+us", "error=x", "code=x&state=x", "code=y&state=y", "code=1&state=right"):
        callback.receive(query)
        pages.append(callback.page() if "right" not in query else WAITING)
    callback.receive("code=2&state=right")

    assert pages[:3] == [WAITING, NOT_USED, NOT_USED]
    assert [events.get_nowait() for _ in range(events.qsize())] == [
        Event(Source.REJECTED, Problem.NO_STATE.value),
        Event(Source.REJECTED, Problem.WRONG_STATE.value),
        Event(Source.CALLBACK, "code=1&state=right"),
    ]


def test_browser_does_not_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command does not wait for a browser that never loads the result; a later one still gets it."""
    monkeypatch.setattr("foxy_auth.cli.login.callback.LAST_PAGE_TIMEOUT", 0.0)
    callback, _ = make_callback()
    callback.receive("code=1&state=right")
    callback.finish(FAILED)

    assert callback.page() is FAILED


# --- the listener ----------------------------------------------------------------------------------------------------


def refuse(monkeypatch: pytest.MonkeyPatch, host: str, number: int) -> None:
    """Let binding to *host* fail with this error."""
    bind = TCPServer.server_bind

    def fail(server: TCPServer) -> None:
        if server.server_address[0] == host:
            raise OSError(number, os.strerror(number))
        bind(server)

    monkeypatch.setattr(TCPServer, "server_bind", fail)


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_no_ipv6(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where IPv6 is switched off, `localhost` is 127.0.0.1 only."""
    port = free_port()
    refuse(monkeypatch, "::1", number)
    with listening(LoopbackAddress("localhost", port, "/"), make_callback()[0]):
        assert listening_addresses(port) == ["127.0.0.1"]


def test_all_addresses_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """If one address cannot be had, none is listened on."""
    port = free_port()
    refuse(monkeypatch, "::1", errno.EACCES)
    address = LoopbackAddress("localhost", port, "/")
    with pytest.raises(PortUnavailableError, match="Permission denied"), listening(address, make_callback()[0]):
        pass

    assert listening_addresses(port) == []


@pytest.mark.parametrize("target", ["http://[/callback", "//[", "?", "%ff", "\xff"])
def test_strange_targets(capfd: pytest.CaptureFixture[str], target: str) -> None:
    """A broken request target is not found, and nothing is printed."""
    port = free_port()
    with (
        listening(LoopbackAddress("127.0.0.1", port, "/callback"), make_callback("/callback")[0]),
        socket.create_connection(("127.0.0.1", port), timeout=30) as caller,
    ):
        caller.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode("latin-1"))
        response = caller.makefile("rb").read()

    assert response.startswith(b"HTTP/1.0 404 ")
    assert capfd.readouterr() == ("", "")


def test_connection_reset(capfd: pytest.CaptureFixture[str]) -> None:
    """A browser that breaks its connection off is ignored, and nothing is printed."""
    port = free_port()
    before = set(threading.enumerate())
    with listening(LoopbackAddress("127.0.0.1", port, "/"), make_callback()[0]):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(b"GET")
        assert listening_addresses(port) == ["127.0.0.1"]
    for thread in set(threading.enumerate()) - before:
        thread.join(30)

    assert capfd.readouterr() == ("", "")


# --- output ----------------------------------------------------------------------------------------------------------


def test_pages_escape() -> None:
    """What is filled into a page is text, and nothing is loaded from elsewhere."""
    page = Page("bad", "<b>title</b> $style", "<script>alert(1)</script>", '"quoted" & $kind').html()

    assert "<b>" not in page
    assert "<script" not in page
    assert "&quot;quoted&quot; &amp; $kind" in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("token", "words"), [(TOKEN, "your Foxy store 7."), (Token("x", scope="user_full_access"), "your Foxy account.")]
)
def test_success_page(token: Token, words: str) -> None:
    """R23: the last page says what was granted, and nothing that is secret."""
    page = success_page(token).html()

    assert words in page
    assert "made-up" not in page


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (TOKEN, ["a store_id_7", "store 7", "15 Jan 2027", "refreshed when needed"]),
        (
            Token("x", expires_at=1.0),
            ["not named", "an account that", "ago (1 Jan 1970", "no refresh token"],
        ),
        (Token("x", scope="\x1b[2Jevil client_full_access"), ["?[2Jevil", "OAuth client", "at an unknown time"]),
        (Token("x", scope="user_full_access", expires_at=1e300), ["user's account", "at an unknown time"]),
    ],
)
def test_facts(token: Token, expected: list[str]) -> None:
    """R23: scope, account and expiry are told without secrets and control characters."""
    text = f"{account_name(token)} {as_rows(token)}"

    assert [words for words in expected if words not in text] == []
    assert "made-up" not in text
    assert "\x1b" not in text
