"""`foxy-auth request`: one request to the API from a shell."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import re
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from foxy_auth.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from foxy_auth.emulator import Emulator

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("store")
each_library = pytest.mark.parametrize("library", ["requests", "httpx"])


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give a function that chooses the client library."""
    place = "foxy_auth.cli.request.exchange.installed_library"
    return lambda library: monkeypatch.setattr(place, lambda: library)


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    """Make a request; return the exit status and what was printed."""
    status = main(["request", *arguments])
    printed = capsys.readouterr()
    return status, printed.out, " ".join(printed.err.split())  # as if it were not wrapped


def request(capsys: Capture, *arguments: str) -> Any:
    """Make a request that succeeds, and return what it brings."""
    status, out, err = run(capsys, *arguments)
    assert (status, err) == (0, "")
    return json.loads(out)


# --- where it goes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("GET fx:store", "GET /stores/1?"),
        ("fx:store/fx:integrations", "GET /stores/1/integrations?"),
        ("fx:store fx:integrations?limit=2", "GET /stores/1/integrations?limit=2"),
        ("/stores/1/ fx:store", None),
        ("/stores/1", "GET /stores/1?"),
        ("get /stores/1 fx:integrations --field limit=2 -f q:=[1]", "GET /stores/1/integrations?limit=2&q=%5B1%5D"),
        ("{url}/stores/1", "GET /stores/1?"),
        ("/", "GET /?"),
        ("/stores/1#x -f q=1", "GET /stores/1?q=1"),
    ],
)
def test_targets(foxy: Emulator, capsys: Capture, words: str, target: str | None) -> None:
    """A target is a path, an address, or relations, and fields of a GET go into its query."""
    status, _, _ = run(capsys, *words.format(url=foxy.url).split())
    last = foxy.calls[-1]

    assert f"{last.method} {last.path}?{last.query}" == target if target else status == 11
    assert status == 0 or target is None


def test_missing_relation(capsys: Capture) -> None:
    """R24: a relation that is not there is an error that lists those that are."""
    status, out, err = run(capsys, "fx:store/fx:nothing")

    assert (status, out) == (11, "")
    assert "no link fx:nothing" in err
    assert "fx:integrations, self" in err
    assert "Did you mean fx:store?" in run(capsys, "store")[2]
    assert "A path begins with /" in run(capsys, "stores/1")[2]


def test_foreign_origins(foxy: Emulator, capsys: Capture) -> None:
    """R31: nothing is sent to another origin, be it given, linked to, or redirected to."""
    away = f"{foxy.elsewhere.url}/x"
    refused = run(capsys, away)
    before = list(foxy.calls)
    foxy.fail(200, body={"_links": {"fx:store": {"href": away}, "next": {"href": away}}, "total_items": 0}, path="/")
    linked = run(capsys, "fx:store")
    foxy.fail(307, headers={"Location": away}, path="/")
    moved = run(capsys, "POST", "/", "-f", "a=b")

    assert (refused[0], linked[0], moved[0]) == (2, 2, 11)
    assert "nothing was sent there" in refused[2]
    assert before == []
    assert "no redirect is followed" in moved[2]
    assert foxy.elsewhere.calls == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("POST", "Missing TARGET"),
        ("/ --input -", "GET sends no body"),
        ("POST / --input - -f a=b", "--field or --input"),
        ("POST / --paginate", "--paginate is for GET"),
        ("/ -f a", "NAME=VALUE"),
        ("/ -f a:=b", "not JSON"),
        ("/ -H Authorization:x", "foxy-auth sets it"),
        ("/ -H x", "Name: value"),
        ("-X POST /", "name METHOD before the target"),
        ("/ -F a=1", "--field NAME:=JSON"),
        ("/ --jq .id", "pipe the output to jq"),
        ("/ -H X:é", "printable ASCII"),
    ],
)
def test_wrong_use(foxy: Emulator, capsys: Capture, words: str, text: str) -> None:
    """R24: wrong use is refused before anything is sent, with what to do."""
    status, out, err = run(capsys, *words.split())

    assert (status, out, foxy.calls) == (2, "", [])
    assert text in err


# --- what is sent ----------------------------------------------------------------------------------------------------


@each_library
def test_bodies(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, use: Callable[[str], None]
) -> None:
    """Fields are sent as JSON, and a file or the standard input as it is, with the headers that are given."""
    use(library)
    content = b"\x00a,b\n" * 50_000
    file = tmp_path / "c.csv"
    file.write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    fields = request(capsys, "PATCH", "/stores/1", "-f", "a=1", "-f", "b:=[1, null]")
    uploads = [
        request(capsys, "POST", "/stores/1/upload", "--input", source, "-H", "content-type: text/csv")
        for source in (str(file), "-")
    ]

    sent = b'{"a": "1", "b": [1, null]}'
    assert (fields["sha256"], fields["content_type"]) == (hashlib.sha256(sent).hexdigest(), "application/json")
    expected = {"length": len(content), "sha256": hashlib.sha256(content).hexdigest(), "content_type": "text/csv"}
    assert uploads == [expected, expected]


@each_library
def test_refused_tokens(
    foxy: Emulator, capsys: Capture, monkeypatch: pytest.MonkeyPatch, library: str, use: Callable[[str], None]
) -> None:
    """R16: a request whose token the API refuses is sent again with a new one, and with what a pipe brought once."""
    use(library)
    reads, writes = os.pipe()
    with os.fdopen(writes, "wb") as writer:
        writer.write(b"x" * 1000)
    foxy.revoke_access_tokens()
    with os.fdopen(reads) as reader:
        monkeypatch.setattr(sys, "stdin", reader)
        uploaded = request(capsys, "POST", "/stores/1/upload", "--input", "-")

    assert uploaded["length"] == 1000
    assert len(foxy.token_calls) == 1


# --- what is printed -------------------------------------------------------------------------------------------------


@each_library
def test_large_bodies(library: str, use: Callable[[str], None], tmp_path: Path) -> None:
    """R17: a body that is not for a terminal is passed on as it comes, and not kept."""
    use(library)
    size = 24_000_000
    main(["request", "/"])  # what is imported once is no matter
    with (tmp_path / "out").open("w") as out, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        tracemalloc.start()
        status = main(["request", f"/stores/1/download?bytes={size}&chunks=100"])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert (status, (tmp_path / "out").stat().st_size) == (0, size)
    assert peak < size / 2


@each_library
def test_errors_of_the_api(foxy: Emulator, capsys: Capture, library: str, use: Callable[[str], None]) -> None:
    """R23: an error of the API has a status of its own; its body is the result, its messages go to standard error."""
    use(library)
    status, out, err = run(capsys, "/nothing", "--include")
    quiet = run(capsys, "/nothing", "--quiet")
    head, _, body = out.partition("\n\n")

    assert (status, err) == (11, 'Error: the API responded with 404 NOT FOUND: No route found for "GET /nothing"')
    assert head.startswith("HTTP/1.1 404")
    assert "Bearer" not in out
    assert json.loads(body)["total"] == 1
    assert quiet == (11, "", err)


def test_outage(foxy: Emulator, capsys: Capture) -> None:
    """R14: a response that breaks off is an outage, whatever was printed of it."""
    foxy.truncate(path="/stores/1")
    status, _, err = run(capsys, "/stores/1")

    assert status == 5
    assert err.startswith(f"Error: {foxy.url}/stores/1")


def test_head(capsys: Capture) -> None:
    """HEAD prints the headers, which are all that there is."""
    status, out, err = run(capsys, "HEAD", "/stores/1")

    assert (status, err) == (0, "")
    assert re.match("HTTP/1.1 200 OK\n.*Content-Type: application/hal", out, re.DOTALL | re.IGNORECASE)


def test_terminal(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal JSON is indented and coloured, and its control characters are not obeyed."""
    foxy.fail(200, body={"name": "Té\x1b[2J\x9b"}, path="/stores/1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, programs = pty.openpty()
    with os.fdopen(programs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["request", "/stores/1"]) == 0
        terminal.flush()
        shown = screen.read(10_000).decode()

    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert plain == '{\r\n  "name": "Té\\u001b[2J\\u009b"\r\n}\r\n'
    assert "\x1b[" in shown


# --- pages -----------------------------------------------------------------------------------------------------------


def test_pages(foxy: Emulator, capsys: Capture) -> None:
    """The items of all pages are one JSON array, each once: the last page of the provider links to itself as next."""
    foxy.serve("/stores/1/things", [{"n": number} for number in range(5)], limit=2)

    assert [item["n"] for item in request(capsys, "/stores/1/things", "--paginate")] == [0, 1, 2, 3, 4]
    assert len(foxy.api_calls) == 3


def test_pages_without_numbers(foxy: Emulator, capsys: Capture) -> None:
    """Where pages do not say how many items there are, the links next lead on, until one was seen before."""
    for path, number in (("/a", 1), ("/b", 2)):
        links = {"next": {"href": f"{foxy.url}/b"}}
        foxy.fail(200, body={"_links": links, "_embedded": {"fx:things": [{"n": number}]}}, path=path)

    assert request(capsys, "/a", "--paginate") == [{"n": 1}, {"n": 2}]


def test_no_pages(foxy: Emulator, capsys: Capture) -> None:
    """R24: what is no collection, and a page that the API refuses, are errors."""
    foxy.fail(200, body={"_links": {"next": {"href": f"{foxy.url}/nothing"}}, "_embedded": {}}, path="/a")

    assert run(capsys, "/stores/1", "--paginate")[:2] == (11, "")
    assert run(capsys, "/a", "--paginate")[0] == 11
