"""Listen where the redirect URI leads, and nowhere else."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any

import click

from foxy_auth.cli._statuses import Status
from foxy_auth.cli.login._desk import Desk
from foxy_auth.cli.login._handler import Handler
from foxy_auth.cli.login._landing import Landing

POLL = 0.05  # seconds until a server notices that it is to end
# What a machine says that has no such loopback address, because one family is switched off.
ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class UnheardError(click.ClickException):
    """The redirect URI's port cannot be listened on."""

    exit_code = Status.UNHEARD


class _Server(ThreadingTCPServer):
    """Serve each connection in a thread of its own: browsers open some that they do not use."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, desk: Desk) -> None:
        """Serve on a socket that listens already."""
        super().__init__(listening.getsockname(), partial(Handler, desk), bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a browser that went away; anything else is a defect, and shown as one."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def listening(landing: Landing, desk: Desk) -> Generator[None]:
    """
    Hand to *desk* what comes in at *landing*.

    Raises:
        UnheardError: The port is taken in one of the places where a browser may look, or may not be opened.
    """
    with ExitStack() as opened:
        for place in _sockets(landing):
            server = opened.enter_context(_Server(place, desk))
            thread = Thread(target=server.serve_forever, args=(POLL,), name="foxy-auth-login", daemon=True)
            thread.start()
            opened.callback(thread.join)
            opened.callback(server.shutdown)
        yield


def _sockets(landing: Landing) -> list[socket.socket]:
    """Open all places or none: another program in one of them could get the answer."""
    places: list[socket.socket] = []
    with ExitStack() as opened:
        for family, host in landing.addresses:
            try:
                places.append(opened.enter_context(socket.create_server((host, landing.port), family=family)))
            except OSError as error:
                if error.errno not in ABSENT or len(landing.addresses) == 1:
                    raise _unheard(host, landing.port, error) from None
        opened.pop_all()
    if not places:
        raise UnheardError("This machine has no loopback address. Use --no-browser, and paste the answer.")
    return places


def _unheard(host: str, port: int, error: OSError) -> UnheardError:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return UnheardError(
            f"{place}, where the redirect URI leads, is in use by another program, which would get the answer. "
            "End that program, or register a redirect URI with another port."
        )
    return UnheardError(
        f"Cannot listen on {place}, where the redirect URI leads ({os.strerror(error.errno or 0)}). "
        "Register a redirect URI with another port, such as 8910."
    )
