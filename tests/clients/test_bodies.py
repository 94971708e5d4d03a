"""R16, R17: what is sent again after a 401, and what is not."""

from __future__ import annotations

import hashlib
import io
import json
import time
from typing import IO, TYPE_CHECKING, Any

import anyio
import pytest
from clients.drivers import every_library, sync_libraries
from clients.grants import make_auth
from support.sources import FakeClock

from foxy_auth import Environment, FoxyAuth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clients.drivers import Client, Library

    from foxy_auth.emulator import Emulator

TOKEN = "/token"
PAYLOAD = bytes(range(256)) * 800  # more than one read, write or chunk of any client


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read once."""
        return self._content.readinto(buffer)


def opened(path: Path, *, offset: int = 0) -> IO[bytes]:
    """Return a file with the payload, at an offset."""
    path.write_bytes(PAYLOAD)
    file = path.open("rb")
    file.seek(offset)
    return file


def digests(foxy: Emulator) -> list[tuple[int, str]]:
    """Return length and digest of each body that the API got."""
    return [(call.body_length, call.body_sha256) for call in foxy.api_calls]


def digest(content: bytes) -> tuple[int, str]:
    """Return length and digest."""
    return len(content), hashlib.sha256(content).hexdigest()


# --- what is sent again ----------------------------------------------------------------------------------------------

REPEATABLE: dict[str, Callable[[Path], dict[str, Any]]] = {
    "none": lambda _: {},
    "json": lambda _: {"json": {"name": "caf\u00e9", "codes": list(range(3000))}},
    "bytes": lambda _: {"content": PAYLOAD},
    "text": lambda _: {"content": "text " * 9000},
    "form": lambda _: {"data": {"a": "1", "b": "two words" * 1900}},
    "multipart": lambda path: {"files": {"f": ("f.bin", opened(path), "x/y")}},
    "multipart-and-form": lambda _: {"files": {"f": ("f.bin", PAYLOAD, "x/y")}, "data": {"a": "1"}},
}


@every_library
@pytest.mark.parametrize("kind", REPEATABLE)
def test_repeatable_body_is_sent_twice(
    client: Client, auth: FoxyAuth, foxy: Emulator, tmp_path: Path, kind: str
) -> None:
    """R16: a body that can be sent again arrives whole both times."""
    options = REPEATABLE[kind](tmp_path / "file")
    foxy.revoke_access_tokens()
    response = client.send("POST", foxy.store_url, auth=auth, **options)
    for _, content, _ in options.get("files", {}).values():
        if not isinstance(content, bytes):
            content.close()
    first, second = digests(foxy)

    assert (response.status, first) == (200, second)
    assert (first[0] > 8000) is bool(options)
    assert (json.loads(response.body)["length"], json.loads(response.body)["sha256"]) == second


@pytest.mark.parametrize("size", [0, 1])
def test_short_bytes_are_sent_twice(client: Client, auth: FoxyAuth, foxy: Emulator, size: int) -> None:
    """R16: so does one of no byte or one."""
    foxy.revoke_access_tokens()
    response = client.send("PUT", foxy.store_url, auth=auth, content=PAYLOAD[:size])

    assert (response.status, digests(foxy)) == (200, [digest(PAYLOAD[:size])] * 2)


@every_library
def test_body_survives_a_redirect(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R16: a body that a redirect carries on is sent again whole."""
    foxy.revoke_access_tokens()
    client.send("POST", f"{foxy.url}/redirect?status=307&to={foxy.store_url}", auth=auth, content=PAYLOAD)

    assert [call.status for call in foxy.api_calls] == [401, 307, 200]
    assert digests(foxy) == [digest(PAYLOAD)] * 3


@sync_libraries
@pytest.mark.parametrize("offset", [0, 1, 70_001])
def test_file_is_rewound(client: Client, auth: FoxyAuth, foxy: Emulator, tmp_path: Path, offset: int) -> None:
    """R16: a file is sent again from where it was, not from its beginning."""
    # httpx takes the length of the whole file, wherever it is, so its users must tell; requests knows.
    headers = {"Content-Length": str(len(PAYLOAD) - offset)}
    foxy.revoke_access_tokens()
    with opened(tmp_path / "file", offset=offset) as file:
        response = client.send("POST", foxy.store_url, auth=auth, content=file, headers=headers)

    assert (response.status, digests(foxy)) == (200, [digest(PAYLOAD[offset:])] * 2)


@sync_libraries
def test_file_in_memory_is_rewound(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R16: so is a file in memory."""
    foxy.revoke_access_tokens()
    response = client.send("POST", foxy.store_url, auth=auth, content=io.BytesIO(PAYLOAD))

    assert (response.status, digests(foxy)) == (200, [digest(PAYLOAD)] * 2)


# --- what is sent once -----------------------------------------------------------------------------------------------


def generator(library: Library) -> Any:
    """Make a body of a generator, an async one for an async client."""
    return library.generator_of([PAYLOAD[:1000], PAYLOAD[1000:]])


def check_sent_once(client: Client, auth: FoxyAuth, foxy: Emulator, content: Any) -> None:
    """Send what cannot be sent twice, with a token that is refused, and then something else."""
    foxy.revoke_access_tokens()
    response = client.send("POST", f"{foxy.store_url}/upload", auth=auth, content=content)

    assert (response.status, response.history, digests(foxy)) == (401, (), [digest(PAYLOAD)])
    assert b"invalid_token" in response.body
    assert (len(foxy.token_calls), client.get(foxy.store_url, auth=auth).status) == (1, 200)
    assert [call.status for call in foxy.api_calls] == [401, 200]


@every_library
def test_generator_is_sent_once(client: Client, auth: FoxyAuth, foxy: Emulator, library: Library) -> None:
    """R16: a generator's 401 is returned as it is, and no empty body is sent; the next request has a new token."""
    check_sent_once(client, auth, foxy, generator(library))


@sync_libraries
def test_pipe_is_sent_once(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R16: the same holds for a file that cannot seek."""
    check_sent_once(client, auth, foxy, Pipe(PAYLOAD))


@sync_libraries
def test_closed_file_is_sent_once(client: Client, auth: FoxyAuth, foxy: Emulator, tmp_path: Path) -> None:
    """R16: the same holds for a file that has been closed by the time of the 401."""
    with opened(tmp_path / "file") as file, foxy.hold(foxy.store_url) as latch:
        started = client.start("POST", foxy.store_url, auth=auth, content=file)
        latch.wait_for(1)
        foxy.revoke_access_tokens()
        with foxy.hold(TOKEN) as refresh:
            latch.release()
            refresh.wait_for(1)
            file.close()

    assert (started.result(10).status, digests(foxy)) == (401, [digest(PAYLOAD)])


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_async_file_is_sent_once(auth: FoxyAuth, foxy: Emulator, tmp_path: Path, name: str) -> None:
    """R16: the same holds for an asynchronous file, of which nothing is asked that would have to be awaited."""
    (tmp_path / "file").write_bytes(PAYLOAD)
    foxy.revoke_access_tokens()
    async with (
        pytest.importorskip(name).AsyncClient(auth=auth) as client,
        await anyio.open_file(tmp_path / "file", "rb") as file,
    ):
        response = await client.post(foxy.store_url, content=file)

    assert (response.status_code, digests(foxy)) == (401, [digest(PAYLOAD)])


# --- nothing is gathered ---------------------------------------------------------------------------------------------


@every_library
def test_upload_is_not_read_into_memory(client: Client, library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R16, R17: an upload with a good token arrives once and whole, and its first piece before the last exists."""
    url = f"{foxy.store_url}/upload"
    latch = foxy.hold(url)

    def see_arrival() -> None:
        latch.wait_for(1)
        latch.release()

    body = library.generator_of([PAYLOAD[:1000], PAYLOAD[1000:]], between=see_arrival)
    response = client.send("POST", url, auth=auth, content=body)

    assert (response.status, digests(foxy)) == (200, [digest(PAYLOAD)])


@sync_libraries
def test_one_connection_is_enough_without_the_header(library: Library, foxy: Emulator) -> None:
    """R17: a 401 after a redirect between own origins gives its connection back before a refresh."""
    second = foxy.url.replace("127.0.0.1", "localhost")
    address = f"{foxy.url}/redirect?to={foxy.store_url.replace('127.0.0.1', 'localhost')}"
    clock = FakeClock(time.time())
    arrival = foxy.hold(foxy.store_url)
    with library.open(pool=1) as client:
        auth = make_auth(foxy, clock=clock, http=client.raw, environment=Environment(api=foxy.url, origins=(second,)))
        started = client.start("GET", address, auth=auth)
        arrival.wait_for(1)
        clock.advance(7200)
        arrival.release()
        response = started.result(10)

    assert (response.status, len(foxy.token_calls)) == (200, 1)
