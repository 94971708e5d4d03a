"""The command as its users meet it: a process of its own, with a terminal, a pipe or nobody at its input."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from foxy_auth.emulator import Emulator

LOOPBACK = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))
PATIENCE = 30.0  # seconds for what takes a fraction of one
# Runs the command on a terminal of its own, whose keyboard is the standard input.
TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def free_port() -> int:
    """Find a port that is free in both families."""
    while True:
        with ExitStack() as opened:
            first = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = int(first.getsockname()[1])
            try:
                opened.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6))
            except OSError:
                continue
            return port


@dataclass
class Login:
    """A login that runs."""

    process: subprocess.Popen[str]
    talk: IO[str]  # where the command talks
    redirect_uri: str
    secrets: list[str]
    said: list[str] = field(default_factory=list[str])
    out: str = ""
    err: str = ""

    @property
    def url(self) -> str:
        """The address that the command prints first."""
        return self.until("http").strip()

    def until(self, beginning: str) -> str:
        """Read what the command says until a line with this *beginning*, and give that line."""
        for line in self.talk:
            self.said.append(line)
            if line.startswith(beginning):
                return line
        raise AssertionError(f"no line {beginning!r} in {self.said}, {self.end()}")

    def come_back(self, address: str, **options: Any) -> requests.Response:
        """Come back to *address* as the browser does."""
        return requests.get(address, timeout=PATIENCE, **options)

    def paste(self, *lines: str) -> None:
        """Type *lines* into the command's input."""
        assert self.process.stdin
        for line in lines:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()

    def end(self) -> int:
        """Wait for the end, and give the exit status; nothing that was said is secret."""
        self._read_to_the_end()
        everything = "".join([*self.said, self.out, self.err])
        assert [secret for secret in self.secrets if secret in everything] == []
        return self.process.returncode

    def allowed(self, foxy: Emulator) -> str:
        """Allow access without coming back, and give the address of the answer."""
        return self._decided(foxy, allow=True)

    def denied(self, foxy: Emulator) -> str:
        """Deny access likewise."""
        return self._decided(foxy, allow=False)

    def _decided(self, foxy: Emulator, *, allow: bool) -> str:
        address = foxy.authorize(self.url, allow=allow)
        self.secrets += parse_qs(urlsplit(address).query).get("code", [])
        return address

    def token(self) -> dict[str, Any]:
        """Wait for the end, and give the token that is alone on the standard output."""
        self._read_to_the_end()
        assert self.process.returncode == 0, self.err
        token: dict[str, Any] = json.loads(self.out)
        hidden = [*self.secrets, token["access_token"], token["refresh_token"]]
        assert [secret for secret in hidden if secret in "".join([*self.said, self.err])] == []
        return token

    def _read_to_the_end(self) -> None:
        out, err = self.process.communicate(timeout=PATIENCE)
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
        talk = process.stderr if "--json" in options and not terminal else process.stdout
        assert talk
        try:
            yield Login(process, talk, address, [foxy.client_secret])
        finally:
            process.kill()


def reachable(port: int) -> Iterator[str]:
    """Give the loopback addresses at which somebody listens on *port*."""
    for host, family in (*LOOPBACK, ("127.0.0.2", socket.AF_INET)):
        with socket.socket(family) as caller:
            caller.settimeout(PATIENCE)
            if caller.connect_ex((host, port)) == 0:
                yield host
