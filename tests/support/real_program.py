"""A program in a process of its own, which uses a grant over a `FileStore` and a real network, and may be killed."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import httpx
from support.sources import DEADLINE, FakeClock

from foxy_auth.emulator.server import Server
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.direct_network import Network
    from support.programs import Launcher

    from foxy_auth.emulator import Emulator

_CODE = """
import logging

from foxy_auth._engine.clock import Clock


class Now:
    wall = elapsed = 0.0
    pauses = []


def sleep(seconds):
    Now.wall, Now.elapsed = Now.wall + seconds, Now.elapsed + seconds
    Now.pauses.append(seconds)


class ClockedAuth(FoxyAuth):
    _clock = Clock(lambda: Now.wall, lambda: Now.elapsed, sleep, lambda: 0.0)


auth = ClockedAuth(
    client_id=settings["client_id"],
    client_secret=settings["client_secret"],
    environment=Environment(api=settings["url"], token_endpoint=settings["url"] + "/token"),
    store=FileStore(settings["path"]),
    timeout=settings["timeout"],
)
client = httpx.Client(timeout=settings["timeout"])
logging.disable()
for line in open(0):
    Now.pauses = []
    what, Now.wall, Now.elapsed = json.loads(line)
    try:
        outcome = str(client.get(settings["resource"], auth=auth).status_code) if what == "use" else "200"
        if what == "refresh":
            auth.refresh()
    except FoxyAuthError:
        outcome = "error"
    auth.flush()
    print_line(json.dumps([outcome, auth.token and auth.token.to_dict(), Now.pauses]))
"""


class Gateway:
    """Serves a `Network` on loopback; a context manager."""

    def __init__(self, network: Network, foxy: Emulator) -> None:
        """Prepare to pass on requests to *foxy*."""
        self._network, self._foxy = network, foxy
        self._server = Server(self._application)
        self._server.start()
        self.url = self._server.url
        self.program: object = None

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        names = {"HTTP_AUTHORIZATION", "HTTP_FOXY_API_VERSION", "CONTENT_TYPE"} & environ.keys()
        headers = {name.removeprefix("HTTP_").replace("_", "-"): environ[name] for name in names}
        address = self._foxy.url + environ["PATH_INFO"]
        request = httpx.Request(environ["REQUEST_METHOD"], address, headers=headers, content=body)
        try:
            response = self._network.send(request, self.program)
        except httpx.TransportError:
            raise ConnectionAbortedError from None
        start_response(f"{response.status_code} -", [(name, value) for name, value in response.headers.items()])
        return [response.content]


class RealProgram:
    """
    The program.

    Attributes:
        store: Its store, as another process sees it.

        token: What it had in memory last.
    """

    def __init__(self, launcher: Launcher, gateway: Gateway, foxy: Emulator, path: Path, clock: FakeClock) -> None:
        """Start it."""
        from foxy_auth.stores import FileStore

        gateway.program = self
        self.store, self.token, self._clock = FileStore(path), cast("Token | None", None), clock
        self._lock = Lock()
        self._program = launcher.start(
            _CODE,
            client_id=foxy.client_id,
            client_secret=foxy.client_secret,
            url=gateway.url,
            resource=foxy.store_url.replace(foxy.url, gateway.url),
            path=str(path),
            timeout=DEADLINE,
        )

    def use(self) -> str:
        """Call the API; return the status, or "error" for one of ours."""
        return self._do("use")

    def refresh(self) -> str:
        """Ask for another token."""
        return self._do("refresh")

    def _do(self, what: str) -> str:
        with self._lock, suppress(BrokenPipeError):
            heard, task = len(self._program.lines), [what, self._clock.now(), self._clock.monotonic()]
            if not self._program._ended:
                os.write(self._program._stdin, f"{json.dumps(task)}\n".encode())
            while len(self._program.lines) == heard and not self._program._ended:
                self._program._read(time.monotonic() + DEADLINE)
            if self._program._ended:
                return "error"  # it was killed
            outcome, token, pauses = json.loads(self._program.lines[-1])
            self.token = token and Token.from_dict(token)
            self._clock.sleeps += pauses
            self._clock.advance(sum(pauses))
            return str(outcome)
        return "error"

    def settle(self) -> None:
        """Do nothing: it has ended what it did before it answered."""

    def die(self) -> None:
        """Kill it, also in the middle of a request."""
        self._program.send(signal.SIGKILL)
        with self._lock:
            assert self._program.wait_for_end(within=DEADLINE)
            self._program.__exit__()
