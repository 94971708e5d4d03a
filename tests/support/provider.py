"""
An OAuth provider for any number of tenants, in a process of its own, so that it does not slow down what is tested.

The refresh token of the tenant NAME is `refresh-NAME`, which does not rotate. Its access tokens are `access-NAME-1`,
`access-NAME-2` and so on; the newest is valid at `/api/NAME`. Connections are kept alive, unless the query of the token
endpoint is `?close`. Every token response sets a cookie. The provider also acts as a proxy: it takes absolute URLs.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth import FoxyAuth

BACKLOG = 1024  # connections that may wait, so that a burst of clients is not refused
CLIENT_ID, CLIENT_SECRET = "fake-client", "fake-client-secret"


@dataclass
class _State:
    """
    The server's state.

    Attributes:
        delay: Seconds that a token request takes.

        generations: How many access tokens each tenant was issued.

        token_requests: The token requests, in the order of their arrival.

        under_way: How many token requests are being processed.

        most_under_way: The largest number so far of token requests that were processed at the same time.

        connections: How many connections were accepted.

        open: How many of them are open.
    """

    delay: float
    generations: dict[str, int] = field(default_factory=dict)
    token_requests: list[dict[str, Any]] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    connections: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while await self._serve_request(reader, writer, number):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has closed the connection
        finally:
            self.open -= 1
            writer.close()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        target = first.split()[1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
        url = urlsplit(target)
        closing = url.query == "close" or url.path == "/report"
        status, document = await self._answer(url.path, target, headers, body, number)
        content = json.dumps(document).encode()
        extra = {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "Connection": "close" if closing else "keep-alive",
        }
        if url.path == "/token":
            extra["Set-Cookie"] = "session=of-the-token-endpoint; Path=/"
        if status == 307:
            extra["Location"] = "/token"
        writer.write(f"HTTP/1.1 {status} -\r\n".encode())
        writer.writelines(f"{name}: {value}\r\n".encode() for name, value in extra.items())
        writer.write(b"\r\n" + content)
        await writer.drain()
        return not closing

    async def _answer(
        self, path: str, target: str, headers: dict[str, str], body: str, number: int
    ) -> tuple[int, dict[str, Any]]:
        if path == "/report":
            reported = ("token_requests", "most_under_way", "connections", "open")
            return 200, {name: getattr(self, name) for name in reported}
        if path == "/elsewhere":
            return 307, {}
        if path == "/token":
            tenant = parse_qs(body)["refresh_token"][0].removeprefix("refresh-")
            request = {"tenant": tenant, "target": target, "headers": headers, "connection": number}
            self.token_requests.append(request)
            return 200, await self._issue(tenant)
        tenant = path.removeprefix("/api/")
        if headers.get("authorization") == f"Bearer access-{tenant}-{self.generations.get(tenant, 0)}":
            return 200, {"tenant": tenant}
        return 401, {"error": "invalid_token", "error_description": "The access token provided is invalid"}

    async def _issue(self, tenant: str) -> dict[str, Any]:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self.delay)
        self.under_way -= 1
        self.generations[tenant] = self.generations.get(tenant, 0) + 1
        return {
            "access_token": f"access-{tenant}-{self.generations[tenant]}",
            "refresh_token": f"refresh-{tenant}",
            "expires_in": 7200,
            "token_type": "Bearer",
        }


async def _serve(delay: float, certificate: str) -> None:
    """Serve until the input ends; print the ports, without TLS and with it."""
    state = _State(delay)
    plain = await asyncio.start_server(state.serve, "127.0.0.1", 0, backlog=BACKLOG)
    servers = [plain]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        servers.append(await asyncio.start_server(state.serve, "127.0.0.1", 0, backlog=BACKLOG, ssl=context))
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)  # noqa: T201 - read by the test
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@dataclass(frozen=True)
class Provider:
    """
    The provider, as tests use it.

    Attributes:
        url: Its URL.

        tls_url: Its URL over TLS; empty without a certificate.
    """

    url: str
    tls_url: str = ""

    def auth(self, tenant: str, *, token_endpoint: str = "", **options: Any) -> FoxyAuth:
        """Return the auth object of *tenant*, with a token that has expired."""
        from foxy_auth import Environment, FoxyAuth, Token  # not needed in the server's process

        now = time.time()
        token = Token(
            f"access-{tenant}-0", refresh_token=f"refresh-{tenant}", expires_at=now - 100.0, obtained_at=now - 7300.0
        )
        environment = Environment(api=self.url, token_endpoint=token_endpoint or f"{self.url}/token")
        return FoxyAuth(
            client_id=CLIENT_ID, client_secret=CLIENT_SECRET, token=token, environment=environment, **options
        )

    def api_url(self, tenant: str) -> str:
        """Return the URL of a resource of *tenant*."""
        return f"{self.url}/api/{tenant}"

    def report(self) -> dict[str, Any]:
        """Return the public part of the server's state; the connection of this request counts as open."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=15.0)
        try:
            connection.request("GET", "/report")
            report: dict[str, Any] = json.load(connection.getresponse())
        finally:
            connection.close()
        return report


@contextmanager
def running_provider(*, delay: float = 0.0, certificate: str = "") -> Iterator[Provider]:
    """
    Run the provider.

    Args:
        delay: Seconds that a token request takes.

        certificate: The path of a file with its certificate and key, for TLS.
    """
    with subprocess.Popen(
        [sys.executable, __file__, str(delay), certificate], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        yield Provider(f"http://127.0.0.1:{ports[0]}", f"https://127.0.0.1:{ports[1]}" if ports[1:] else "")
        process.communicate(timeout=15.0)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), sys.argv[2]))
