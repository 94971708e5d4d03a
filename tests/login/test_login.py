"""`foxy-auth login` as its users run it, against the emulator."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import requests
from login.process import LOOPBACK, TIMEOUT, listening_addresses, login
from support.ports import free_port

from foxy_auth import FoxyAuth, Token
from foxy_auth.cli import main
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from pathlib import Path

    from foxy_auth.emulator import Emulator

ELSEWHERE = "https://integration.example/oauth/callback"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes and terminals of this kind")

# A browser that opens the consent page, presses a button, and writes down where that leads.
BROWSER = """\
#!{python}
import html, pathlib, re, sys, requests
print("chatter of a browser")
print("chatter of a browser", file=sys.stderr)
session = requests.Session()
page = session.get(sys.argv[1])
hidden = re.findall('<input type="hidden" name="(.*?)" value="(.*?)">', page.text)
form = {{name: html.unescape(value) for name, value in hidden}}
end = session.post(page.url.partition("?")[0], data=form | {{"store": "2", "decision": {decision!r}}})
pathlib.Path({note!r}).write_text(end.url + " " + end.text)
"""


def make_browser(folder: Path, decision: str) -> tuple[str, Path]:
    """Write a browser that presses the button *decision*; return its path, and that of its note."""
    program, note = folder / "browser", folder / "note"
    program.write_text(BROWSER.format(python=sys.executable, decision=decision, note=str(note)))
    program.chmod(0o700)
    return str(program), note


# --- with a browser --------------------------------------------------------------------------------------------------


@posix
def test_allow(foxy: Emulator, tmp_path: Path) -> None:
    """Allowing access in the browser writes the token to the file, and prints what was granted."""
    browser, note = make_browser(tmp_path, "allow")
    file = tmp_path / "token.json"
    with login(foxy, "--output", str(file), BROWSER=browser) as running:
        status = running.end()

    token = FileStore(file).load()
    assert token
    running.secrets += [token.access_token, str(token.refresh_token)]
    assert (status, running.err) == (0, "")
    assert (
        "\nAccess granted to store 2.\n  Scopes   store_full_access store_id_2\n  Expires  in 2 hours (" in running.out
    )
    assert f"\n  Kept in  file:{file}\n" in running.out
    assert [secret for secret in running.secrets if secret in running.out] == []
    assert foxy.is_live(token.access_token)
    assert note.read_text().startswith(f"{running.redirect_uri} <!doctype html>")
    assert "<h1>You are logged in</h1>" in note.read_text()


@posix
def test_deny(foxy: Emulator, tmp_path: Path) -> None:
    """Denying access has its own page, message and exit status, and writes no file."""
    browser, note = make_browser(tmp_path, "deny")
    with login(foxy, "--output", str(tmp_path / "token.json"), BROWSER=browser) as running:
        status = running.end()

    assert status == 6
    assert running.err.startswith("Error: access was denied in the browser")
    assert "<h1>Access was denied</h1>" in note.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"browser", "note", "token.json.lock"}


@posix
def test_json(foxy: Emulator, tmp_path: Path) -> None:
    """With `--json` the token is alone on the standard output, whatever the browser prints; it works."""
    browser, _ = make_browser(tmp_path, "allow")
    with login(foxy, "--json", BROWSER=browser) as running:
        token = Token.from_dict(running.token())

    auth = FoxyAuth(
        client_id=foxy.client_id, client_secret=foxy.client_secret, token=token, environment=foxy.environment
    )
    assert requests.get(f"{foxy.url}/stores/2", auth=auth, timeout=TIMEOUT).ok
    assert "Access granted." in running.err
    assert "chatter" not in running.err


def test_no_browser(foxy: Emulator) -> None:
    """If no browser can be started, the user is told so, and can paste the callback."""
    with login(foxy, "--json", stdin=subprocess.PIPE, BROWSER="/nonexistent/browser", PATH="", DISPLAY="") as running:
        callback = running.authorize(foxy)
        running.read_until("No browser could be started")
        running.read_until("If the browser runs on another computer")
        running.paste(callback)
        running.token()


# --- the listener ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_listening_addresses(foxy: Emulator, host: str) -> None:
    """The command listens only where the redirect URI leads, and stops with the login."""
    port = free_port()
    with login(foxy, "--json", "--no-browser", redirect_uri=f"http://{host}:{port}/back/to/us") as running:
        callback = running.authorize(foxy)
        addresses = listening_addresses(port)
        page = running.open(callback)
        running.token()

    assert addresses == {"localhost": ["127.0.0.1", "::1"]}.get(host, [host.strip("[]")])
    assert "<h1>You are logged in</h1>" in page.text
    assert listening_addresses(port) == []


def test_other_requests(foxy: Emulator) -> None:
    """Requests that are not the callback do not end the login, nor do connections without a request."""
    with login(foxy, "--json", "--no-browser") as running:
        callback = running.authorize(foxy)
        root = running.redirect_uri.removesuffix("/callback")
        address = ("127.0.0.1", int(root.rpartition(":")[2]))
        statuses = [
            requests.request(method, url, timeout=TIMEOUT).status_code
            for method, url in [
                ("GET", f"{root}/favicon.ico"),
                ("GET", callback.replace("/callback", "/callback/")),
                ("GET", running.redirect_uri),
                ("HEAD", callback),
                ("POST", callback),
            ]
        ]
        with socket.create_connection(address, timeout=TIMEOUT) as broken:
            broken.sendall(b"\x16\x03\x01\x02\x00\x01\r\n")
            broken.recv(1000)
        with socket.create_connection(address, timeout=TIMEOUT):
            running.open(callback)
            running.token()

    assert statuses == [404, 404, 200, 501, 501]
    assert "Traceback" not in running.err


def test_wrong_state(foxy: Emulator) -> None:
    """3P: a response with a wrong state is not used, which the browser shows and the terminal says once."""
    with login(foxy, "--json", "--no-browser") as running:
        callback = running.authorize(foxy)
        forged = [
            f"{running.redirect_uri}?code=forged&state=forged",
            f"{running.redirect_uri}?error=access_denied&state=forged",
            f"{callback}&state=forged",
        ]
        pages = [running.open(address) for address in forged]
        running.open(callback)
        running.token()

    assert {(page.status_code, page.url) for page in pages} == {(200, running.redirect_uri)}
    assert all("<h1>This response was not used</h1>" in page.text for page in pages)
    assert "forged" not in pages[0].text
    assert running.err.count("its state does not match") == 1


def test_no_state(foxy: Emulator) -> None:
    """A response without a state is not used either, but its error code is printed."""
    with login(foxy, "--json", "--no-browser") as running:
        callback = running.authorize(foxy)
        running.open(f"{running.redirect_uri}?error=invalid_scope&error_description=Call+this+number")
        running.open(callback)
        running.token()

    assert "it has no state, so part of it is missing; its error code is invalid_scope." in running.err
    assert "number" not in running.err


def test_address_bar(foxy: Emulator) -> None:
    """R23: the code leaves the address bar before a page is shown, and no page may be cached or send it on."""
    with login(foxy, "--json", "--no-browser") as running:
        callback = running.authorize(foxy)
        first = running.open(callback, allow_redirects=False)
        again = running.open(callback, allow_redirects=False)
        page = running.open(running.redirect_uri)
        running.token()

    for response in (first, again):
        assert (response.status_code, response.headers["Location"], response.text) == (303, "/callback", "")
    for response in (first, page):
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert response.headers["Server"] == "foxy-auth"


@pytest.mark.parametrize(("holder", "family"), LOOPBACK.items())
def test_port_in_use(foxy: Emulator, holder: str, family: socket.AddressFamily) -> None:
    """If another program uses the port on either address, the command says so before it sends the user there."""
    port = free_port()
    with (
        socket.create_server((holder, port), family=family),
        login(foxy, "--json", redirect_uri=f"http://localhost:{port}/") as running,
    ):
        status = running.end()

    place = f"[{holder}]:{port}" if ":" in holder else f"{holder}:{port}"
    assert (status, running.out) == (10, "")
    assert f"cannot listen on {place}, where the redirect URI leads: it is in use by another program" in running.err
    assert "http" not in running.err


# --- pasting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("redirect_uri", [ELSEWHERE, "example.app:/callback"])
def test_paste(foxy: Emulator, redirect_uri: str) -> None:
    """If the redirect URI leads elsewhere, the callback is pasted."""
    with login(foxy, "--json", "--no-browser", redirect_uri=redirect_uri, stdin=subprocess.PIPE) as running:
        callback = running.authorize(foxy)
        assert redirect_uri in running.read_until("When the browser has reached its last page")
        running.paste("", f"  '{callback}' \r")
        running.token()


def test_paste_something_else(foxy: Emulator) -> None:
    """Each address that is not the callback is explained, and the next line is read."""
    with login(foxy, "--json", "--no-browser", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE) as running:
        url = running.url
        callback = foxy.authorize(url)
        cut_off = callback.partition("state=")[0]
        running.paste("http://[::1?code=x&state=y", url, ELSEWHERE, "what?", cut_off, callback.partition("?")[2])
        running.token()

    complaints = [line for line in running.err.splitlines() if line.startswith("This address was not used: ")]
    words = ["state does not match", "no code", "no code", "no code", "no state"]
    assert [word in complaint for word, complaint in zip(words, complaints, strict=True)] == [True] * 5


@pytest.mark.parametrize(
    ("lines", "status", "word"),
    [([], 9, "the input ended before"), (["x"], 6, "no code"), ([f"{ELSEWHERE}?code=x&state=y"], 6, "state")],
)
def test_end_of_input(foxy: Emulator, lines: list[str], status: int, word: str) -> None:
    """When nothing more can be pasted, the command ends and says what was wrong."""
    with login(foxy, "--json", "--no-browser", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE) as running:
        running.paste(*lines)

        assert running.end() == status
        assert word in running.err.splitlines()[-1]


@posix
def test_terminal(foxy: Emulator) -> None:
    """On a terminal the secret is asked for without echo, and an unread line does not keep the command from ending."""
    with login(foxy, "--json", "--no-browser", secret=False, stdin=subprocess.PIPE, terminal=True) as running:
        prompt = ""  # without a newline, so that it is read by character
        while not prompt.endswith("(not shown): "):
            prompt += running.messages.read(1)
        running.paste(foxy.client_secret)
        callback = foxy.authorize(running.url)
        running.read_until("If the browser runs on another computer")
        running.open(callback)
        status = running.end()

    assert status == 0
    assert '"access_token": "' in running.out
    assert "Access granted." in running.out


# --- when there is no token ------------------------------------------------------------------------------------------


def test_code_used_before(foxy: Emulator) -> None:
    """If the code is refused, the browser shows it too."""
    with login(foxy, "--json", "--no-browser", "--no-pkce") as running:
        callback = running.authorize(foxy)
        state = callback.partition("state=")[2].partition("&")[0]
        foxy.client.fetch_token(callback, request=replace(foxy.client.authorization_request("x"), state=state))
        page = running.open(callback)
        status = running.end()

    assert (status, running.out) == (6, "")
    assert "<h1>The login failed</h1>" in page.text


def test_refused_client(foxy: Emulator) -> None:
    """An error of the token endpoint sets the exit status."""
    foxy.fail(401, body={"error": "invalid_client"})
    with login(foxy, "--json", "--no-browser") as running:
        running.open(running.authorize(foxy))

        assert running.end() == 4


def test_timeout(foxy: Emulator) -> None:
    """Without a response the login ends in time, and says what to check."""
    with login(foxy, "--json", "--no-browser", "--timeout", "0.2") as running:
        status = running.end()

    assert (status, running.out) == (9, "")
    assert "Error: no response within 0.2 seconds." in running.err


@pytest.mark.skipif(os.name == "nt", reason="Windows sends interrupts to whole consoles only")
def test_interrupt(foxy: Emulator, tmp_path: Path) -> None:
    """Ctrl-C ends the login at once, also while it reads the input, and leaves no file."""
    options = ["--output", str(tmp_path / "token.json"), "--no-browser"]
    with login(foxy, *options, stdin=subprocess.PIPE) as running:
        running.read_until("If the browser runs on another computer")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(TIMEOUT) == 130
        running.end()

    assert running.err.strip() == "Interrupted."
    assert [path.name for path in tmp_path.iterdir()] == ["token.json.lock"]


# --- where the token goes --------------------------------------------------------------------------------------------


@posix
def test_file_mode(foxy: Emulator, tmp_path: Path) -> None:
    """R26: only the owner can read the file, whatever its mode was before; a symbolic link is followed."""
    file, link = tmp_path / "token.json", tmp_path / "link.json"
    file.write_text("old")
    file.chmod(0o644)
    link.symlink_to(file)
    with login(foxy, "--output", str(link), "--no-browser") as running:
        running.open(running.authorize(foxy))
        assert running.end() == 0

    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert getattr(FileStore(link).load(), "store_id", "") == "1"


@pytest.mark.parametrize("options", [["--output", "{}/token.json"], ["--store", "redis://127.0.0.1:1"]])
def test_unwritable_store(foxy: Emulator, tmp_path: Path, options: list[str]) -> None:
    """R26: if the token could not be saved, the command says so before it asks for access."""
    (tmp_path / "file").touch()
    with login(foxy, *(option.format(tmp_path / "file") for option in options)) as running:
        assert (running.end(), running.out) == (8, "")
        assert running.err.startswith("Error: ")


def test_broken_pipe(foxy: Emulator) -> None:
    """A token that nobody reads from the standard output is no success."""
    with login(foxy, "--json", "--no-browser") as running:
        callback = running.authorize(foxy)
        assert running.process.stdout
        running.process.stdout.close()
        running.process.stdout = None
        running.open(callback)
        status = running.end()

    assert status == 8
    assert running.err.endswith("Error: the token could not be printed: Broken pipe\n")


# --- wrong usage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--output", "-"], "To print the token, use --json."),
        (["--json", "--output", "x"], "Choose one of --store, --output and --json."),
        (["--store", "file:x", "--output", "x"], "Choose one of --store, --output and --json."),
        (["--json", "--client-id", ""], "Give --client-id, or set FOXY_API_CLIENT_ID."),
        (["--json", "--scope", " "], "scope"),
        (["--json", "--environment", "http://foxy.example"], "https"),
        (["--json", "--authorize", "ftp://foxy.example"], "authorization_endpoint"),
        (["--json", "--client-id", "a:b"], "client_id"),
        (["--json", "--timeout", "0"], "--timeout"),
        (["--json", "--redirect-uri", "localhost:8910/callback"], "such as http://127.0.0.1:8910/callback"),
        (["--json", "--client-secret", ""], "FOXY_API_CLIENT_SECRET"),
    ],
)
def test_wrong_usage(options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """R24: what cannot work is reported before anything happens."""
    required = ["--client-id", "x", "--client-secret", "x", "--redirect-uri", ELSEWHERE]
    assert main(["login", *required, *options]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert complaint in printed.err.rpartition("Error: ")[2].replace("\n", " ")


def test_no_standard_output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """R24: without a standard output, `--json` is refused."""
    monkeypatch.setattr(sys, "stdout", None)

    assert main(["login", "--json", "--client-id", "x", "--client-secret", "x", "--redirect-uri", ELSEWHERE]) == 2
    assert "There is no standard output: choose --output FILE." in capsys.readouterr().err.replace("\n", " ")


def test_no_client_library(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """R24: without a client library the command says what to install."""
    for name in ("requests", "httpx", "httpx2", "niquests"):
        monkeypatch.setitem(sys.modules, name, None)

    assert main(["login", "--json", "--client-id", "x", "--client-secret", "x", "--redirect-uri", ELSEWHERE]) == 2
    assert "pip install 'foxy_auth[requests]'" in capsys.readouterr().err.replace("\n", " ")


def test_send_redirect_uri(foxy: Emulator) -> None:
    """If several redirect URIs are registered, the request can name the one to use."""
    with login(foxy, "--json", "--no-browser", "--send-redirect-uri") as running:
        foxy.redirect_uri = f"https://other.example/ {running.redirect_uri}"
        running.open(running.authorize(foxy))
        running.token()


def test_several_redirect_uris(foxy: Emulator) -> None:
    """RFC 8252, section 8.3: of the registered redirect URIs the one with 127.0.0.1 is used and sent."""
    address = f"http://127.0.0.1:{free_port()}/callback"
    with login(foxy, "--json", "--no-browser", "--redirect-uri", address) as running:
        foxy.redirect_uri = f"{running.redirect_uri} {address}"
        callback = running.authorize(foxy)
        running.open(callback)
        running.token()

    assert callback.startswith(address)


def test_authorize(foxy: Emulator) -> None:
    """`--authorize` changes where the user is sent, and nothing else."""
    with login(foxy, "--json", "--no-browser", "--authorize", "https://login.example/oauth?tenant=1") as running:
        url = running.url
        running.open(foxy.authorize(url.replace("https://login.example/oauth", f"{foxy.url}/authorize")))
        running.token()

    assert url.startswith("https://login.example/oauth?tenant=1&response_type=code&")
