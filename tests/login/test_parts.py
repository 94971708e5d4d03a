"""The parts of the login, one by one."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import sys
import threading
from pathlib import Path
from queue import Empty

import pytest
from login.logins import free_port, reachable

from foxy_auth import StoreError, Token
from foxy_auth.cli.login import _listener
from foxy_auth.cli.login._answers import Answer, Happenings, Notice, Pasted, Stateless, Verdict, judge
from foxy_auth.cli.login._browser import open_browser
from foxy_auth.cli.login._desk import Desk
from foxy_auth.cli.login._input import read_lines
from foxy_auth.cli.login._keeping import token_file
from foxy_auth.cli.login._landing import Landing, check_redirect_uri
from foxy_auth.cli.login._listener import UnheardError, listening
from foxy_auth.cli.login._pages import DENIED, FAILED, UNCERTAIN, WAITING, Page, granted
from foxy_auth.cli.login._report import report

TOKEN = Token("made-up-access", refresh_token="made-up-refresh", expires_at=1_800_000_000.0, scope="a store_id_7")

# The redirect URI, where its browser comes back to this machine.
LANDINGS = [
    ("http://localhost:8910/callback", Landing("localhost", 8910, "/callback")),
    ("http://LocalHost:8910", Landing("localhost", 8910, "/")),
    ("http://localhost/a%20b?tenant=1", Landing("localhost", 80, "/a b")),
    ("http://127.0.0.1:1//evil.example/", Landing("127.0.0.1", 1, "/evil.example/")),
    ("http://[::1]:8910/", Landing("::1", 8910, "/")),
    ("https://localhost:8910/callback", None),
    ("http://0.0.0.0:8910/callback", None),
    ("http://localhost:0/callback", None),
    ("http://localhost.evil.example:8910/callback", None),
    ("http://127.0.0.1.evil.example/", None),
    ("https://integration.example/callback", None),
    ("example.app:/callback", None),
]


@pytest.mark.parametrize(("redirect_uri", "landing"), LANDINGS)
def test_landing(redirect_uri: str, landing: Landing | None) -> None:
    """Only plain http on loopback leads to where the command can listen."""
    assert Landing.of(redirect_uri) == landing
    check_redirect_uri(redirect_uri)


def test_addresses() -> None:
    """A name has two addresses, an address is itself."""
    hosts = [[host for _, host in Landing(name, 1, "/").addresses] for name in ("localhost", "127.0.0.2", "::1")]

    assert hosts == [["127.0.0.1", "::1"], ["127.0.0.2"], ["::1"]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/callback",
        "localhost:8910/callback",
        "http://[::1/",
        "http:/x",
        "HTTP://",
        "127.0.0.1:8910",
        "a b://x",
        "http://[::1%25lo]:8910/",
        "http://[v1.x]/",
    ],
)
def test_no_redirect_uri(text: str) -> None:
    """What is no whole address is refused, with an example of one."""
    with pytest.raises(ValueError, match="http://localhost:8910/callback"):
        check_redirect_uri(text)


# What comes back, and what it is to the login whose state is `right`.
VERDICTS = [
    ("", Verdict.NOTHING),
    ("utm_source=x", Verdict.NOTHING),
    ("code=x&state=right", Verdict.GOOD),
    ("error=access_denied&state=right", Verdict.GOOD),
    ("state=right", Verdict.INCOMPLETE),
    ("code=x", Verdict.STATELESS),
    ("code=x&stat", Verdict.STATELESS),
    ("code=x&state=", Verdict.FOREIGN),
    ("code=x&state=wrong", Verdict.FOREIGN),
    ("code=x&state=right&state=right", Verdict.FOREIGN),
    ("code=x&state=right%00", Verdict.FOREIGN),
    ("code=x&state=%ff%fe", Verdict.FOREIGN),
    ("error=invalid_request&error_description=The+state+parameter+is+required", Verdict.STATELESS),
]


@pytest.mark.parametrize(("query", "verdict"), VERDICTS)
def test_verdicts(query: str, verdict: Verdict) -> None:
    """The state decides, and is there exactly once."""
    assert judge(query, state="right") is verdict


def collected(happenings: Happenings) -> list[object]:
    """Give what has happened so far."""
    found: list[object] = []
    while True:
        try:
            found.append(happenings.get_nowait())
        except Empty:
            return found


def test_desk() -> None:
    """The first answer counts, and only the first foreign one is worth a word."""
    happenings = Happenings()
    desk = Desk("/", state="right", happenings=happenings)
    before = desk.page()

    taken = [desk.hand_in(f"code={code}&state={state}") for code, state in ["xx", "yy", ("1", "right"), ("2", "right")]]

    assert before is WAITING
    assert taken == [False, False, True, True]
    assert collected(happenings) == [Notice.FOREIGN, Answer("code=1&state=right")]


def test_desk_without_a_state() -> None:
    """Of answers without a state only the provider's own words go on, each once; anybody may have sent them."""
    happenings = Happenings()
    desk = Desk("/", state="right", happenings=happenings)
    errors = ["error=invalid_scope&error_description=An+unsupported+scope+was+requested", "code=x", "error=run+this"]

    taken = [desk.hand_in(query) for query in [*errors, *errors]]

    assert taken == [False] * 6
    assert collected(happenings) == [Stateless("invalid_scope: An unsupported scope was requested"), Stateless("")]


def test_desk_that_is_left_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser whose outcome takes too long is told to look at the terminal; nobody waits for ever for a browser."""
    monkeypatch.setattr("foxy_auth.cli.login._desk.EXCHANGE", 0.0)
    monkeypatch.setattr("foxy_auth.cli.login._desk.FAREWELL", 0.0)
    desk = Desk("/", state="right", happenings=Happenings())
    desk.hand_in("code=1&state=right")

    uncertain = desk.page()
    desk.conclude(FAILED)

    assert uncertain is UNCERTAIN
    assert desk.page() is FAILED


# --- listening -------------------------------------------------------------------------------------------------------


def failing(host: str, number: int) -> object:
    """Give a `create_server` to whom *host* means this error."""

    def create_server(address: tuple[str, int], **options: object) -> socket.socket:
        if address[0] == host:
            raise OSError(number, "made up")
        return real(address, **options)  # type: ignore[arg-type]

    real = socket.create_server
    return create_server


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_no_ipv6(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where one family is switched off, `localhost` is in the other."""
    monkeypatch.setattr(socket, "create_server", failing("::1", number))
    port = free_port_of_one_family()
    with listening(Landing("localhost", port, "/"), Desk("/", state="x", happenings=Happenings())):
        assert list(reachable(port)) == ["127.0.0.1"]


def free_port_of_one_family() -> int:
    """Find a free port where the other family cannot be asked."""
    with socket.create_server(("127.0.0.1", 0)) as first:
        return int(first.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "number", "message"),
    [
        ("::1", errno.EADDRINUSE, "is in use by another program"),
        ("127.0.0.1", errno.EACCES, r"Cannot listen on 127.0.0.1:\d+, .* \(Permission denied\)"),
    ],
)
def test_all_or_nothing(monkeypatch: pytest.MonkeyPatch, host: str, number: int, message: str) -> None:
    """Where one of the places is not to be had, none is kept."""
    port = free_port()
    monkeypatch.setattr(socket, "create_server", failing(host, number))
    desk = Desk("/", state="x", happenings=Happenings())

    with pytest.raises(UnheardError, match=message), listening(Landing("localhost", port, "/"), desk):
        pass

    assert list(reachable(port)) == []


def test_no_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any loopback address is told how to do without."""
    monkeypatch.setattr(_listener, "ABSENT", {errno.EADDRINUSE})
    port = free_port()
    desk = Desk("/", state="x", happenings=Happenings())
    with (
        socket.create_server(("127.0.0.1", port)),
        socket.create_server(("::1", port), family=socket.AF_INET6),
        pytest.raises(UnheardError, match="no loopback address"),
        listening(Landing("localhost", port, "/"), desk),
    ):
        pass


@pytest.mark.parametrize(
    "target", ["http://[/callback", "https://[::1/", "http://]", "//[", "[", "?", "*", "%ff", "\xff"]
)
def test_strange_targets(capfd: pytest.CaptureFixture[str], target: str) -> None:
    """What asks for no address at all is told that there is nothing, and the terminal hears nothing of it."""
    port = free_port()
    with (
        listening(Landing("127.0.0.1", port, "/callback"), Desk("/callback", state="x", happenings=Happenings())),
        socket.create_connection(("127.0.0.1", port), timeout=30) as caller,
    ):
        caller.sendall(f"GET {target} HTTP/1.1\r\n\r\n".encode("latin-1"))
        answer = caller.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.0 404 ")
    assert capfd.readouterr() == ("", "")


def test_browser_that_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    """A browser that goes away is nothing to speak of; a defect of ours is shown."""
    desk = Desk("/", state="x", happenings=Happenings())
    with _listener._Server(socket.create_server(("127.0.0.1", 0)), desk) as server:
        for error in (ConnectionResetError("gone"), ZeroDivisionError("a defect")):
            try:
                raise error
            except type(error):
                server.handle_error(None, ("127.0.0.1", 1))

    said = capsys.readouterr().err
    assert "a defect" in said
    assert "gone" not in said


# --- pages and words -------------------------------------------------------------------------------------------------


def test_pages_are_text() -> None:
    """What is filled into a page cannot become anything but text, and nothing is loaded from elsewhere."""
    page = Page("bad", "<b>title</b> $script", ("<script>alert(1)</script>", '"quoted" & $kind')).html()

    assert "<b>" not in page
    assert "alert(1)</script>" not in page
    assert "&quot;quoted&quot; &amp; $kind" in page
    assert "http" not in page
    assert [page.count(f"<{tag}") for tag in ("h1", "main", "title", "script", "style")] == [1] * 5


@pytest.mark.parametrize(
    ("token", "words"), [(TOKEN, "your Foxy store 7."), (Token("x", scope="user_full_access"), "your Foxy account.")]
)
def test_page_at_the_end(token: Token, words: str) -> None:
    """The page at the end says to what access was granted, and nothing that is secret."""
    page = granted(token).html()

    assert words in page
    assert "made-up" not in page
    assert DENIED.html() != FAILED.html()


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (TOKEN, ["a store_id_7", "7", "2027-01-15", "FoxyAuth renews it by itself", "file.json"]),
        (Token("x"), ["as asked for", "none", "at a time that Foxy did not tell"]),
        (Token("x", expires_at=1e300), ["in a future beyond the calendar"]),
        (Token("x", scope="\x1b[2Jevil"), ["?[2Jevil"]),
        (Token("x", scope="store_id_\x1b]0;evil"), ["store_id_?]0;evil", "none"]),
    ],
)
def test_report(token: Token, expected: list[str]) -> None:
    """The confirmation tells scope, store, expiry and place, whatever the provider wrote, and nothing secret."""
    said = report(token, place="file.json")

    assert [words for words in expected if words not in said] == []
    assert "made-up" not in said
    assert "\x1b" not in said


# --- the file --------------------------------------------------------------------------------------------------------


def test_token_file(tmp_path: Path) -> None:
    """The file comes into being when the token is there, and holds what `Token.from_dict` reads."""
    file = tmp_path / "token.json"
    with token_file(file) as keep:
        assert not file.exists()
        keep(TOKEN)

    assert Token.from_dict(json.loads(file.read_text())) == TOKEN
    assert list(tmp_path.iterdir()) == [file]


def test_failing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fails, the file that was there stays as it was, and nothing of the token is left beside it."""
    file = tmp_path / "token.json"
    file.write_text("old")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="No space left on device; choose another place"), token_file(file) as keep:
        keep(TOKEN)

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_no_regular_file() -> None:
    """A device is not replaced by a file."""
    with pytest.raises(StoreError, match="is no regular file"), token_file(Path(os.devnull)):
        pass


# --- input and browser -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stdin", [None, io.StringIO("no file"), io.BytesIO()])
def test_no_input(monkeypatch: pytest.MonkeyPatch, stdin: object) -> None:
    """Where there is no input, it has ended."""
    monkeypatch.setattr(sys, "stdin", stdin)
    happenings = Happenings()
    read_lines(happenings)

    assert [happenings.get(timeout=30) for _ in range(2)] == [Pasted(""), Notice.INPUT_ENDED]


def test_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be started, that is told."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    happenings = Happenings()
    open_browser("http://127.0.0.1/", happenings)

    assert happenings.get(timeout=30) is Notice.NO_BROWSER


def test_browser_that_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a browser was started, there is nothing to tell."""
    monkeypatch.setattr("foxy_auth.cli.login._browser.PROGRAM", ["-c", ""])
    happenings = Happenings()
    before = set(threading.enumerate())
    open_browser("http://127.0.0.1/", happenings)
    for thread in set(threading.enumerate()) - before:
        thread.join(20)

    assert collected(happenings) == []
