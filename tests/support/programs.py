"""
Programs that tests run in processes of their own, to interrupt them, stop them, or see how they end.

They are forked from one interpreter that has already imported the client libraries, so that they start in milliseconds.
Their code runs at the top level of that interpreter, which exits as usual when the code ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Imports what programs use, and forks them.
_LAUNCHER = """
import asyncio, json, os, select, signal, socket, sys, threading, time

import anyio, filelock, httpx, requests, trio
import anyio._backends._asyncio, anyio._backends._trio
from foxy_auth import Environment, FoxyAuth, Token
from foxy_auth.errors import FoxyAuthError
from foxy_auth.stores import FileStore

control = socket.socket(fileno=int(sys.argv[1]))
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps programs that have ended
while True:
    path, streams, _, _ = socket.recv_fds(control, 4096, 2)
    if not path:
        os._exit(0)
    pid = os.fork()
    if pid == 0:
        break
    for stream in streams:
        os.close(stream)
    control.sendall(f"{pid}\\n".encode())

control.close()
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
os.dup2(streams[0], 0)
os.dup2(streams[1], 1)
os.dup2(streams[1], 2)
for stream in streams:
    os.close(stream)
with open(path) as file:
    code = file.read()
exec(compile(code, "program", "exec"))
"""

# What every program begins with.
_PREAMBLE = """
settings = json.loads({settings!r})


def print_line(text):
    os.write(1, f"{{text}}\\n".encode())  # unbuffered, and whole lines from any thread


def wait_for_enter():
    os.read(0, 1)

"""

# Environment variables of the machine that the client libraries would obey.
_FOREIGN = {"CURL_CA_BUNDLE", "NETRC", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


class Program:
    """
    A running program; a context manager that kills it if it has not ended.

    Attributes:
        lines: What it has written to stdout and stderr, as far as it has been read.
    """

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        """Use the process *pid* through the other ends of its *stdin* and *stdout*."""
        self._pid, self._stdin, self._stdout = pid, stdin, stdout
        self._partial = b""
        self._ended = False
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            self.send(signal.SIGKILL)
        os.close(self._stdin)
        os.close(self._stdout)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the program has ended."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def press_enter(self) -> None:
        """Write a newline to the program, which waits for it."""
        os.write(self._stdin, b"\n")

    def wait_for_line(self, text: str, *, within: float = 30.0) -> None:
        """Wait until the program has printed *text* as a line of its own."""
        deadline = time.monotonic() + within
        while text not in self.lines:
            assert self._read(deadline), f"{text!r} was not printed within {within:g} s: {self.lines}"

    def wait_for_end(self, *, within: float) -> bool:
        """Wait up to *within* seconds for the program to end; return whether it has."""
        deadline = time.monotonic() + within
        while self._read(deadline):
            pass
        return self._ended

    def _read(self, deadline: float) -> bool:
        """Read some output; return False at its end, or if there is none before the deadline."""
        ready, _, _ = select.select([self._stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        piece = os.read(self._stdout, 65_536)
        self._ended = not piece  # no process has the other end open
        *lines, self._partial = (self._partial + piece).split(b"\n")
        self.lines += [line.decode() for line in lines]
        return not self._ended


class Launcher:
    """Starts programs; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Write the programs' code to *folder*."""
        self._folder = folder
        self._lock = Lock()
        self._count = 0

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", _LAUNCHER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={name: value for name, value in os.environ.items() if not _is_foreign(name)},
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.wait()

    def start(self, code: str, **settings: Any) -> Program:
        """Start *code*, with the dict `settings` as a global variable."""
        stdin_read, stdin_write = os.pipe()
        stdout_read, stdout_write = os.pipe()
        try:
            with self._lock:
                pid = self._launch(_PREAMBLE.format(settings=json.dumps(settings)) + code, [stdin_read, stdout_write])
        finally:
            os.close(stdin_read)
            os.close(stdout_write)
        return Program(pid, stdin_write, stdout_read)

    def _launch(self, code: str, streams: list[int]) -> int:
        self._count += 1
        path = self._folder / f"program{self._count}.py"
        path.write_text(code)
        socket.send_fds(self._control, [os.fsencode(path)], streams)
        reply = self._control.recv(32)
        assert reply, "the launcher has died"
        return int(reply)


def _is_foreign(variable: str) -> bool:
    return variable in _FOREIGN or variable.lower().endswith("_proxy")
