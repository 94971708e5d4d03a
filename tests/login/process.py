"""Run `foxy-auth login` in a process of its own, with a terminal, a pipe or nothing as its input."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from foxy_auth.emulator import Emulator

LOOPBACK = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}
TIMEOUT = 30.0  # seconds; what is waited for takes a fraction of one
# Runs a command on a terminal of its own, whose keyboard is the standard input.
TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"

# A browser that tells what it was started with, and does nothing.
BROWSER = """\
#!{python}
import json, os, sys
with open({note!r}, "w") as note:
    json.dump([sys.argv[1:], dict(os.environ)], note)
"""


def listening_addresses(port: int) -> list[str]:
    """Return the loopback addresses that accept connections on *port*."""
    found: list[str] = []
    for host, family in {**LOOPBACK, "127.0.0.2": socket.AF_INET}.items():
        with socket.socket(family) as caller:
            caller.settimeout(TIMEOUT)
            if caller.connect_ex((host, port)) == 0:
                found.append(host)
    return found


@dataclass
class Login:
    """A login that runs; *messages* is where the command prints for the user."""

    process: subprocess.Popen[str]
    messages: IO[str]
    redirect_uri: str
    secrets: list[str]
    printed: list[str] = field(default_factory=list[str])
    out: str = ""
    err: str = ""

    @property
    def url(self) -> str:
        """The address that the command prints."""
        return self.read_until("http").strip()

    def read_until(self, beginning: str) -> str:
        """Read the messages up to a line with this *beginning*, and return that line."""
        for line in self.messages:
            self.printed.append(line)
            if line.startswith(beginning):
                return line
        raise AssertionError(f"no line {beginning!r} in {self.printed}, {self.end()}")

    def authorize(self, foxy: Emulator, *, allow: bool = True) -> str:
        """Allow or deny access, and return the address of the callback without opening it."""
        address = foxy.authorize(self.url, allow=allow)
        self.secrets += parse_qs(urlsplit(address).query).get("code", [])
        return address

    def open(self, address: str, **options: Any) -> requests.Response:
        """Open *address* as the browser does."""
        return requests.get(address, timeout=TIMEOUT, **options)

    def paste(self, *lines: str) -> None:
        """Type *lines* into the command's input."""
        assert self.process.stdin
        for line in lines:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()

    def end(self) -> int:
        """Wait for the end and return the exit status; R23: nothing that was printed is secret."""
        self._read_all()
        everything = "".join([*self.printed, self.out, self.err])
        assert [secret for secret in self.secrets if secret in everything] == []
        return self.process.returncode

    def token(self) -> dict[str, Any]:
        """Wait for the end and return the token, which is alone on the standard output."""
        self._read_all()
        assert self.process.returncode == 0, self.err
        token: dict[str, Any] = json.loads(self.out)
        hidden = [*self.secrets, token["access_token"], token["refresh_token"]]
        assert [secret for secret in hidden if secret in "".join([*self.printed, self.err])] == []
        return token

    def _read_all(self) -> None:
        out, err = self.process.communicate(timeout=TIMEOUT)
        self.out, self.err = out or "", err or ""


@contextmanager
def login(
    foxy: Emulator,
    *options: str,
    redirect_uri: str | None = None,
    secret: bool = True,
    stdin: int = subprocess.DEVNULL,
    terminal: bool = False,
    **variables: str,
) -> Generator[Login]:
    """Start `foxy-auth login` for the client of *foxy*, with *redirect_uri* registered; end it if it still runs."""
    address = redirect_uri or f"http://localhost:{free_port()}/callback"
    foxy.redirect_uri = address
    command = [sys.executable, "-m", "foxy_auth", "login", "--redirect-uri", address, *options]
    wrapper = [sys.executable, "-c", TERMINAL] if terminal else []
    known = {"FOXY_API_CLIENT_ID": foxy.client_id, "FOXY_API_URL": foxy.url, "COLUMNS": "500", **variables}
    if secret:
        known["FOXY_API_CLIENT_SECRET"] = foxy.client_secret
    with subprocess.Popen(
        [*wrapper, *command],
        env=os.environ | known,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        messages = process.stderr if "--json" in options and not terminal else process.stdout
        assert messages
        try:
            yield Login(process, messages, address, [foxy.client_secret])
        finally:
            process.kill()


@contextmanager
def started(foxy: Emulator, folder: Path, *options: str, **settings: object) -> Generator[tuple[Login, str]]:
    """Start a login with a browser that opens nothing; yield it, and the address on the browser's command line."""
    program, note = folder / "browser", folder / "note"
    program.write_text(BROWSER.format(python=sys.executable, note=str(note)))
    program.chmod(0o700)
    os.mkfifo(note)
    variables = {
        "BROWSER": str(program),
        "FOXY_API_REFRESH_TOKEN": "made-up-refresh",
        "FOXY_AUTH_STORE": "redis://:made-up-password@localhost",
    }
    with login(foxy, "--json", *options, **variables, **settings) as running:  # type: ignore[arg-type]
        (address,), environment = json.loads(note.read_text())  # waits for the browser
        running.secrets += ["made-up-refresh", "made-up-password"]
        assert [secret for secret in running.secrets if secret in str(environment)] == []
        yield running, address
