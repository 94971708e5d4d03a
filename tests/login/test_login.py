"""`foxy-auth login` from the address that it prints to the token, against the emulator."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests
from login.logins import LOOPBACK, PATIENCE, free_port, login, reachable

from foxy_auth import FoxyAuth, Token
from foxy_auth.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from foxy_auth.emulator import Emulator

# Opens the page, presses a button, and notes where it ends and what is shown there.
BROWSER = """\
import html, pathlib, re, sys, requests
print("chatter of a browser")
print("chatter of a browser", file=sys.stderr)
session = requests.Session()
page = session.get(sys.argv[1])
hidden = re.findall('<input type="hidden" name="(.*?)" value="(.*?)">', page.text)
form = {name: html.unescape(value) for name, value in hidden}
end = session.post(page.url.partition("?")[0], data=form | {"store": "2", "decision": DECISION})
pathlib.Path(NOTE).write_text(end.url + " " + end.text)
"""


def scripted_browser(folder: Path, *, decision: str) -> tuple[str, Path]:
    """Write a browser that presses the button *decision*; give its path, and that of its note."""
    program, note = folder / "browser", folder / "note"
    source = BROWSER.replace("DECISION", repr(decision)).replace("NOTE", repr(str(note)))
    program.write_text(f"#!{sys.executable}\n{source}")
    program.chmod(0o700)
    return str(program), note


# --- with a browser --------------------------------------------------------------------------------------------------


def test_allowing(foxy: Emulator, tmp_path: Path) -> None:
    """Allow in the browser that was started brings a token into the file, and a short confirmation."""
    browser, note = scripted_browser(tmp_path, decision="allow")
    file = tmp_path / "token.json"
    with login(foxy, "--output", str(file), BROWSER=browser) as running:
        status = running.end()

    token = Token.from_dict(json.loads(file.read_text()))
    assert (status, running.err) == (0, "")
    assert "\n  Scope    store_full_access store_id_2\n  Store    2\n  Expires  20" in running.out
    assert running.out.endswith(f"\n  Saved in {file}\n")
    assert token.access_token not in running.out
    assert token.refresh_token
    assert token.refresh_token not in running.out
    assert foxy.is_live(token.access_token)
    assert note.read_text().startswith(f"{running.redirect_uri} <!doctype html>")
    assert "You may close this window." in note.read_text()


def test_denying(foxy: Emulator, tmp_path: Path) -> None:
    """Deny has its own page and exit status, says what to do, and leaves no file."""
    browser, note = scripted_browser(tmp_path, decision="deny")
    file = tmp_path / "token.json"
    with login(foxy, "--output", str(file), BROWSER=browser) as running:
        status = running.end()

    assert status == 6
    assert running.err.startswith("Error: access was denied in the browser")
    assert "run foxy-auth login again and press Allow" in running.err
    assert note.read_text().startswith(f"{running.redirect_uri} <!doctype html>")
    assert "<h1>Access was denied</h1>" in note.read_text()
    assert not file.exists()
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "browser", note])


def test_token_on_standard_output(foxy: Emulator, tmp_path: Path) -> None:
    """With `--json` the token is alone on the standard output, however talkative the browser is."""
    browser, _ = scripted_browser(tmp_path, decision="allow")
    with login(foxy, "--json", BROWSER=browser) as running:
        token = Token.from_dict(running.token())

    auth = FoxyAuth(
        client_id=foxy.client_id, client_secret=foxy.client_secret, token=token, environment=foxy.environment
    )
    assert requests.get(f"{foxy.url}/stores/2", auth=auth, timeout=PATIENCE).ok
    assert "Access granted." in running.err
    assert "chatter" not in running.err


def test_no_browser_to_start(foxy: Emulator) -> None:
    """Where no browser can be started, the address was printed before, and the answer may be pasted as well."""
    with login(foxy, "--json", stdin=subprocess.PIPE, BROWSER="/nonexistent/browser", PATH="", DISPLAY="") as running:
        answer = running.allowed(foxy)
        assert "No browser could be started" in running.until("No browser")
        running.until("copy the whole address")
        running.paste(answer)
        token = running.token()

    assert token["scope"] == "store_full_access store_id_1"


# --- the listener ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_where_it_listens(foxy: Emulator, host: str) -> None:
    """It listens where the redirect URI can lead, and nowhere else."""
    port = free_port()
    with login(foxy, "--json", "--no-browser", redirect_uri=f"http://{host}:{port}/back/to/us") as running:
        answer = running.allowed(foxy)
        listens = list(reachable(port))
        running.come_back(answer)
        running.token()

    assert listens == {"localhost": ["127.0.0.1", "::1"]}.get(host, [host.strip("[]")])


@pytest.mark.parametrize("host", [host for host, _ in LOOPBACK])
def test_both_families(foxy: Emulator, host: str) -> None:
    """Whichever address a browser finds for `localhost`, its answer arrives."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        page = running.come_back(answer.replace("localhost", f"[{host}]" if ":" in host else host))
        running.token()

    assert "<h1>You are logged in</h1>" in page.text


def test_answer_with_slashes_and_question_marks(foxy: Emulator) -> None:
    """What else the answer's query holds does not matter, even where it looks like an address."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        running.come_back(f"{answer.replace('?', '?/us&')}&iss=https://as.example/?t=1")
        running.token()


def test_stray_requests(foxy: Emulator) -> None:
    """Requests that are no answer get one of their own, and the login goes on waiting."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        root = running.redirect_uri.removesuffix("/callback")
        strays = [
            requests.request(method, url, timeout=PATIENCE).status_code
            for method, url in [
                ("GET", f"{root}/favicon.ico"),
                ("GET", f"{root}/"),
                ("GET", answer.replace("/callback", "/callback/")),
                ("GET", running.redirect_uri),
                ("HEAD", answer),
                ("POST", answer),
                ("PUT", answer),
                ("OPTIONS", answer),
                ("NONSENSE", answer),
            ]
        ]
        silent = socket.create_connection(("127.0.0.1", int(root.rpartition(":")[2])), timeout=PATIENCE)
        page = running.come_back(answer)
        running.token()
        silent.close()

    assert strays == [404, 404, 404, 200, 405, 405, 405, 405, 405]
    assert page.status_code == 200


def test_no_http(foxy: Emulator) -> None:
    """Bytes that are no request are refused without ending the wait; Python 3.14 and later say so in HTTP."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        port = int(running.redirect_uri.split(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as caller:
            caller.sendall(b"\x16\x03\x01\x02\x00\x01\r\n")
            refusal = caller.recv(1000)
        running.come_back(answer)
        running.token()

    assert refusal == b"" or refusal.startswith(b"HTTP/1.0 40")
    assert "Traceback" not in running.err


def test_wrong_state(foxy: Emulator) -> None:
    """A wrong state is told in the browser, and once in the terminal; the right one is used nevertheless."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        forgeries = [
            f"{running.redirect_uri}?code=forged&state=forged",
            f"{running.redirect_uri}?error=access_denied&state=forged",
            f"{answer}&state=forged",
        ]
        pages = [running.come_back(forgery) for forgery in forgeries]
        running.come_back(answer)
        running.token()

    assert {page.status_code for page in pages} == {400}
    assert {page.url for page in pages} == {f"{running.redirect_uri}?not-used"}
    assert "This answer was not used" in pages[0].text
    assert "forged" not in pages[0].text
    assert running.err.count("wrong state") == 1
    assert "answer at the address above" in running.err


def test_no_state(foxy: Emulator) -> None:
    """An answer without a state is not used either; the error that it tells is the provider's, or not repeated."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        queries = [
            "code=x",
            "error=do+this",
            "error=invalid_scope&error_description=An+unsupported+scope+was+requested",
        ]
        pages = [running.come_back(f"{running.redirect_uri}?{query}") for query in queries]
        running.come_back(answer)
        running.token()

    assert {(page.status_code, page.url) for page in pages} == {(400, f"{running.redirect_uri}?not-used")}
    assert running.err.count("an answer without a state") == 2
    assert "It says: invalid_scope: An unsupported scope was requested." in running.err
    assert "do this" not in running.err


def test_the_code_leaves_the_address_bar(foxy: Emulator) -> None:
    """The answer is redirected to the same path without it before anything is shown, and nothing keeps it."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        first = running.come_back(answer, allow_redirects=False)
        again = running.come_back(answer, allow_redirects=False)
        page = running.come_back(running.redirect_uri)
        running.token()

    assert [(one.status_code, one.headers["Location"], one.text) for one in (first, again)] == [
        (303, "/callback", "")
    ] * 2
    assert "history.replaceState" in page.text
    for one in (first, page):
        assert one.headers["Cache-Control"] == "no-store"
        assert one.headers["Referrer-Policy"] == "no-referrer"
        assert one.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert one.headers["Server"] == "foxy-auth"


def test_answer_without_a_code(foxy: Emulator) -> None:
    """An answer of the provider that lacks its code ends the login, for there will be no other."""
    with login(foxy, "--json", "--no-browser") as running:
        running.come_back(running.denied(foxy).replace("error", "eror"))
        status = running.end()

    assert (status, running.out) == (6, "")
    assert running.err.endswith("Error: the answer has no code; begin a new authorization\n")


def test_refused_exchange(foxy: Emulator) -> None:
    """When no token comes of the code, the browser learns of it too."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        requests.post(
            f"{foxy.url}/token",
            data={"grant_type": "authorization_code", "code": running.secrets[-1]},
            auth=(foxy.client_id, foxy.client_secret),
            timeout=PATIENCE,
        )
        page = running.come_back(answer)
        status = running.end()

    assert (status, running.out) == (6, "")
    assert "<h1>The login did not succeed</h1>" in page.text
    assert "begin a new authorization" in running.err


@pytest.mark.parametrize(("fault", "status"), [({"status": 401, "body": {"error": "invalid_client"}}, 4), ({}, 5)])
def test_token_endpoint_in_trouble(foxy: Emulator, fault: dict[str, object], status: int) -> None:
    """Each kind of error has its exit status."""
    foxy.fail(**{"times": 5, **fault})  # type: ignore[arg-type]
    with login(foxy, "--json", "--no-browser") as running:
        running.come_back(running.allowed(foxy))

        assert running.end() == status


def test_timeout(foxy: Emulator) -> None:
    """Without an answer the login ends in time, and says what to check."""
    with login(foxy, "--json", "--no-browser", "--timeout", "0.2") as running:
        status = running.end()

    assert (status, running.out) == (9, "")
    assert "Error: No answer came within 0.2 seconds." in running.err
    assert "--redirect-uri is exactly what was registered" in running.err


@pytest.mark.parametrize(("holder", "family"), LOOPBACK)
def test_port_in_use(foxy: Emulator, holder: str, family: socket.AddressFamily) -> None:
    """A port that is taken in either family is told at once, by name, before anybody is sent there."""
    port = free_port()
    with (
        socket.create_server((holder, port), family=family),
        login(foxy, "--json", redirect_uri=f"http://localhost:{port}/") as running,
    ):
        status = running.end()

    place = f"[{holder}]:{port}" if ":" in holder else f"{holder}:{port}"
    assert (status, running.out) == (10, "")
    assert running.err.startswith(f"Error: {place}, where the redirect URI leads, is in use by another program")
    assert "End that program, or register a redirect URI with another port." in running.err
    assert "http" not in running.err


@pytest.mark.skipif(os.name == "nt", reason="Windows sends interrupts to whole consoles only")
def test_interrupt(foxy: Emulator, tmp_path: Path) -> None:
    """Ctrl-C ends the wait at once, and leaves nothing behind."""
    with login(foxy, "--output", str(tmp_path / "token.json"), "--no-browser") as running:
        running.until("Waiting")
        running.process.send_signal(signal.SIGINT)
        status = running.end()

    assert (status, running.err.strip()) == (130, "Interrupted.")
    assert list(tmp_path.iterdir()) == []


# --- where the token goes --------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_file_mode(foxy: Emulator, tmp_path: Path) -> None:
    """The file is its owner's alone, whatever was there before, and a link is followed."""
    file, link = tmp_path / "token.json", tmp_path / "link.json"
    file.write_text("old")
    file.chmod(0o644)
    link.symlink_to(file)
    with login(foxy, "--output", str(link), "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        assert file.read_text() == "old"
        running.come_back(answer)
        token = running.token()

    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == token
    assert sorted(tmp_path.iterdir()) == [link, file]


def test_unwritable_place(foxy: Emulator, tmp_path: Path) -> None:
    """A place that cannot hold the token is told before anybody is asked for access."""
    for place, complaint in (
        (tmp_path / "missing" / "token.json", "cannot write"),
        (tmp_path, "is no regular file"),
    ):
        with login(foxy, "--output", str(place)) as running:
            assert (running.end(), running.out) == (8, "")
            assert running.err.startswith("Error: ")
            assert complaint in running.err


def test_place_that_vanishes(foxy: Emulator, tmp_path: Path) -> None:
    """A token that cannot be kept is no success: not in the browser, and not in the terminal."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with login(foxy, "--output", str(folder / "token.json"), "--no-browser") as running:
        answer = running.allowed(foxy)
        (draft,) = folder.iterdir()
        draft.unlink()
        folder.rmdir()
        page = running.come_back(answer)
        status = running.end()

    assert status == 8
    assert "<h1>The login did not succeed</h1>" in page.text
    assert "cannot write" in running.err


def test_nobody_reads_the_token(foxy: Emulator) -> None:
    """A token that nobody takes from the standard output is no success."""
    with login(foxy, "--json", "--no-browser") as running:
        answer = running.allowed(foxy)
        assert running.process.stdout
        running.process.stdout.close()
        running.process.stdout = None
        page = running.come_back(answer)
        status = running.end()

    assert status == 8
    assert "<h1>The login did not succeed</h1>" in page.text
    assert running.err.endswith("Error: the token could not be printed: Broken pipe\n")


def test_no_standard_output(
    foxy: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no standard output at all, that is told before anybody is asked."""
    monkeypatch.setattr(sys, "stdout", None)

    options = ["--json", "--client-id", "x", "--client-secret", "x", "--redirect-uri", foxy.redirect_uri]
    assert main(["login", *options]) == 2
    assert "There is no standard output: choose --output FILE." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "Choose where the token goes: --output FILE or --json."),
        (["--output", "-"], "Choose where the token goes: --output FILE or --json."),
        (["--json", "--scope", " "], "the provider requires one"),
        (["--json", "--api", "http://foxy.example"], "must be https"),
        (["--json", "--authorize", "ftp://foxy.example"], "authorization_endpoint must be a plain address"),
        (["--json", "--client-id", "a:b"], "client_id cannot contain a colon"),
        (["--json", "--timeout", "0"], "--timeout"),
        (["--json", "--redirect-uri", "localhost:8910/callback"], "such as http://localhost:8910/callback"),
        (["--json", "--redirect-uri", "http://localhost:8910/#here"], "without a fragment"),
        (["--json", "--redirect-uri", "http:///callback"], "such as http://localhost:8910/callback"),
    ],
)
def test_wrong_use(foxy: Emulator, options: list[str], complaint: str) -> None:
    """What cannot work is told before anything happens."""
    with login(foxy, *options) as running:
        status = running.end()

    assert (status, running.out) == (2, "")
    assert complaint in running.err
    assert running.err.splitlines()[-1].startswith("Error: ")
    assert foxy.calls == []


def test_no_client_library(foxy: Emulator) -> None:
    """Without a client library the command says what to install."""
    missing = "import sys; sys.modules |= dict.fromkeys(['requests', 'httpx', 'httpx2', 'niquests'])"
    run = "from foxy_auth.cli import main; sys.exit(main())"
    options = ["--json", "--client-id", "x", "--client-secret", "x", "--redirect-uri", foxy.redirect_uri]
    program = [sys.executable, "-c", f"{missing}; {run}", "login", *options]
    ended = subprocess.run(program, capture_output=True, text=True, check=False, timeout=PATIENCE)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "pip install 'foxy_auth[requests]'" in ended.stderr


def test_no_secret_to_be_had(foxy: Emulator) -> None:
    """Without a secret and a terminal to ask for it, the variable is named."""
    with login(foxy, "--json", secret=False) as running:
        assert running.end() == 2
        assert "FOXY_API_CLIENT_SECRET" in running.err


def test_naming_the_redirect_uri(foxy: Emulator) -> None:
    """Where several redirect URIs are registered, the request can name the one that is meant."""
    with login(foxy, "--json", "--no-browser", "--send-redirect-uri") as running:
        foxy.redirect_uri = f"https://other.example/ {running.redirect_uri}"
        running.come_back(running.allowed(foxy))
        running.token()


def test_other_authorization_endpoint(foxy: Emulator) -> None:
    """`--authorize` changes where the user is sent, and nothing else."""
    with login(foxy, "--json", "--no-browser", "--authorize", "https://login.example/oauth?tenant=1") as running:
        url = running.url
        answer = foxy.authorize(url.replace("https://login.example/oauth", f"{foxy.url}/authorize"))
        running.come_back(answer)
        running.token()

    assert url.startswith("https://login.example/oauth?tenant=1&response_type=code&")
