"""Where the browser cannot come back by itself, its last address is pasted: from a terminal, or from a pipe."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from login.logins import login

if TYPE_CHECKING:
    from foxy_auth.emulator import Emulator

ELSEWHERE = "https://integration.example/oauth/callback"
terminals = pytest.mark.skipif(os.name == "nt", reason="Windows has no such terminals")


def test_pasting_broken_addresses(foxy: Emulator) -> None:
    """Of what is pasted the answer counts, however broken the address before it is."""
    places = ["http://[::1", "https://[x", "http://]", "localhost:8910/callback", ""]
    with login(foxy, "--json", "--no-browser", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE) as running:
        query = running.allowed(foxy).partition("?")[2]
        running.paste(*(f"{place}?code=x&state=y" for place in places), f"http://[?{query}&iss=https://as.example/?t=1")
        running.token()

    assert running.err.count("Not used: the state of this address") == len(places)


@pytest.mark.parametrize("redirect_uri", [ELSEWHERE, "https://localhost/callback", "example.app:/callback"])
def test_pasting(foxy: Emulator, redirect_uri: str) -> None:
    """Where the redirect URI leads elsewhere, the address that is pasted brings the token."""
    with login(foxy, "--json", "--no-browser", redirect_uri=redirect_uri, stdin=subprocess.PIPE) as running:
        answer = running.allowed(foxy)
        assert redirect_uri in running.until("copy the whole address")
        running.paste("", f"  '{answer}' \r")
        token = running.token()

    assert token["scope"] == "store_full_access store_id_1"


def test_last_line_without_an_end(foxy: Emulator) -> None:
    """A pipe need not end its last line."""
    with login(foxy, "--json", "--no-browser", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE) as running:
        answer = running.allowed(foxy)
        assert running.process.stdin
        running.process.stdin.write(answer)
        running.process.stdin.close()
        running.process.stdin = None
        running.token()


def test_pasting_on_another_computer(foxy: Emulator) -> None:
    """With `--no-browser` the answer may be pasted although the command listens, too."""
    with login(foxy, "--json", "--no-browser", stdin=subprocess.PIPE) as running:
        answer = running.allowed(foxy)
        running.until("Should the browser end at a page that it cannot show")
        running.paste(answer)
        running.token()


def test_pasting_something_else(foxy: Emulator) -> None:
    """What is no answer to this request is not used, and said to be what it is; then the right one is taken."""
    with login(foxy, "--json", "--no-browser", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE) as running:
        url = running.url
        answer = foxy.authorize(url)
        running.paste(f"{ELSEWHERE}?code=forged&state=forged", url, ELSEWHERE, "what?", answer.partition("?")[2])
        running.token()

    complaints = [line for line in running.err.splitlines() if line.startswith("Not used: ")]
    assert ["older login or forged" in line for line in complaints] == [True, False, False, False]
    assert "without an answer" in complaints[1]
    assert "this is no answer" in complaints[2]


def test_pasting_a_part(foxy: Emulator) -> None:
    """An address that was cut off or wrapped is told to be no whole one, and nothing else is held against it."""
    with login(foxy, "--json", "--no-browser", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE) as running:
        answer = running.allowed(foxy)
        place, state, rest = answer.partition("state=")
        running.paste(place, f"{place}{state[:3]}", f"{place}{state}{rest[:5]}", answer)
        running.token()

    complaints = [line for line in running.err.splitlines() if line.startswith("Not used: ")]
    assert ["not the whole address" in line for line in complaints] == [True, True, False]
    assert ["forged" in line for line in complaints] == [False, False, True]
    assert "cut off" in complaints[2]


def test_pasted_denial(foxy: Emulator) -> None:
    """A denial can be pasted as well."""
    with login(foxy, "--json", "--no-browser", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE) as running:
        running.paste(running.denied(foxy))

        assert running.end() == 6
        assert "access was denied in the browser" in running.err


def test_no_browser_to_start(foxy: Emulator) -> None:
    """Where no browser can be started either, the user is not asked twice."""
    with login(
        foxy, "--json", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE, BROWSER="/nonexistent", PATH=""
    ) as running:
        answer = running.allowed(foxy)
        running.until("No browser could be started")
        running.paste(answer)
        running.token()

    assert "".join([*running.said, running.err]).count("copy the whole address") == 1


@pytest.mark.parametrize(
    ("lines", "status", "word"),
    [
        ([], 9, "The input ended before"),
        ([f"{ELSEWHERE}?code=x&state=y"], 6, "state"),
        ([f"{ELSEWHERE}?code=x"], 6, "not the whole address"),
        (["x"], 6, "no answer"),
    ],
)
def test_end_of_input(foxy: Emulator, lines: list[str], status: int, word: str) -> None:
    """When nothing more can be pasted, the command ends and says what was wrong."""
    with login(foxy, "--json", "--no-browser", redirect_uri=ELSEWHERE, stdin=subprocess.PIPE) as running:
        running.paste(*lines)

        assert running.end() == status
        assert word in running.err.splitlines()[-1]
        assert "run foxy-auth login again" in running.err


@terminals
def test_terminal(foxy: Emulator) -> None:
    """In a terminal the secret is asked for without echo, and pastes may come in brackets."""
    with login(
        foxy,
        "--json",
        "--no-browser",
        redirect_uri=ELSEWHERE,
        secret=False,
        stdin=subprocess.PIPE,
        terminal=True,
        TERM="xterm",
    ) as running:
        # The prompt has no end of line, so that it is read by character.
        prompt = ""
        while not prompt.endswith("(not shown): "):
            prompt += running.talk.read(1)
        running.paste(foxy.client_secret)
        answer = foxy.authorize(running.url)
        running.until("copy the whole address")
        running.paste(f"\x1b[200~{answer}\x1b[201~")
        status = running.end()

    assert status == 0
    assert '"access_token": "' in running.out
    assert "Access granted." in running.out
