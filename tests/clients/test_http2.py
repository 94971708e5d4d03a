"""R23: over HTTP/2 no logger shows a secret either."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import pytest
from clients.drivers import INSTALLED
from clients.grants import find_leaks

from foxy_auth import Environment, FoxyAuth, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.drivers import Library

SECRET, REFRESH = "fake-client-secret-0123456789", "fake-refresh-token-0123456789"
BASIC = b64encode(f"fake-id:{SECRET}".encode()).decode()
SERVER = "the server of this test"  # whose own log lines do not count
FIRST, SECOND = "fake-access-token-0123456789", "fake-next-access-token-0123456789"


def respond(sock: socket.socket) -> None:
    """Refuse the first token, and issue another, until the connection or the test ends."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    with suppress(OSError):
        sock.sendall(connection.data_to_send())
        while data := sock.recv(2**16):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    answer(connection, event)
            sock.sendall(connection.data_to_send())


def answer(connection: Any, event: Any) -> None:
    """Answer one request."""
    headers = dict(event.headers)
    if headers[b":path"] == b"/token":
        status, body = "200", json.dumps({"access_token": SECOND, "expires_in": 7200}).encode()
    else:
        status, body = "200" if SECOND.encode() in headers.get(b"authorization", b"") else "401", b""
    connection.send_headers(event.stream_id, [(":status", status)])
    connection.send_data(event.stream_id, body, end_stream=True)


@pytest.fixture
def url() -> Iterator[str]:
    """Give the address of a server that speaks HTTP/2 from the first byte."""
    connections: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock = listener.accept()[0]
                connections.append(sock)
                threading.Thread(target=respond, args=(sock,), name=SERVER, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for sock in connections:
        sock.close()


@pytest.mark.parametrize(
    "library", [one for one in INSTALLED if not one.like_requests and one.backend is None], ids=str, indirect=True
)
def test_no_logger_shows_a_secret(library: Library, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """R23: with every logger at DEBUG, no secret of a token request, of a signed request or of a retry is shown."""
    client: Any = library.module.Client(http1=False, http2=True)
    token = Token(FIRST, refresh_token=REFRESH, obtained_at=time.time(), expires_at=time.time() + 7200.0)
    with client:
        auth = FoxyAuth(
            client_id="fake-id", client_secret=SECRET, token=token, environment=Environment(api=url), http=client
        )
        client.get(url)  # loads what has loggers
        for name in list(logging.root.manager.loggerDict):
            caplog.set_level(logging.DEBUG, logger=name)
        response = client.get(url, auth=auth)

    lines = [record.getMessage() for record in caplog.records if record.threadName != SERVER]

    assert (response.status_code, response.http_version) == (200, "HTTP/2")
    assert any("authorization" in line for line in lines)
    assert find_leaks([SECRET, REFRESH, FIRST, SECOND, BASIC], *lines) == []
