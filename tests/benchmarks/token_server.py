"""
A light server in a process of its own: tokens after a delay, anything else at once.

It writes its port to its standard output and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from dataclasses import dataclass

from benchmarks.setting import ACCESS_TOKEN, TOKEN


@dataclass(frozen=True, slots=True)
class Settings:
    """
    How a server responds.

    Attributes:
        delay: Seconds until a token is issued.

        expires_in: Seconds that a token lives.

        keep: Whether the connection of a token request stays open, as if the next one came soon.

        certificate: A PEM file with the server's private key and certificates; None serves plain http.
    """

    delay: float = 0.1
    expires_in: int = 7200
    keep: bool = False
    certificate: str | None = None


class TokenServer(asyncio.Protocol):
    """
    One connection.

    `POST /token` issues a token, `GET /count` tells how many were issued, everything else is an empty API response.
    """

    issued = 0

    def __init__(self, settings: Settings) -> None:
        """Respond by *settings*."""
        self._settings = settings
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what has arrived completely."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if not end or len(body) < int(lengths[0] if lengths else 0):
            return
        self._received = b""
        if head.startswith(b"POST /token "):
            TokenServer.issued += 1
            # Another token each time: stores are asked whether they have a newer one.
            access_token = f"{ACCESS_TOKEN}-{TokenServer.issued}"
            token = {**TOKEN, "access_token": access_token, "expires_in": self._settings.expires_in}
            asyncio.get_running_loop().call_later(self._settings.delay, self._respond, token, self._settings.keep)
        elif head.startswith(b"GET /count "):
            self._respond(TokenServer.issued)
        else:
            self._respond({})

    def _respond(self, document: object, keep: bool = True) -> None:  # noqa: FBT001, FBT002
        body = json.dumps(document).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n"
        self._transport.write(head % (len(body), b"keep-alive" if keep else b"close") + body)
        if not keep:
            self._transport.close()


async def serve(settings: Settings) -> None:
    """Serve on a free port of loopback."""
    context = None
    if settings.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.certificate)
    loop = asyncio.get_running_loop()
    # The backlog holds the connections of all tenants, which are opened at once.
    server = await loop.create_server(lambda: TokenServer(settings), "127.0.0.1", 0, ssl=context, backlog=10_000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Settings(**json.loads(sys.argv[1]))))
