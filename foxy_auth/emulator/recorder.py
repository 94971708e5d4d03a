"""Record the requests that arrive, with their bodies' digests and the statuses of the responses."""

from __future__ import annotations

import hashlib
import io
from collections import UserDict
from dataclasses import dataclass, field, replace
from itertools import count
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from _typeshed import WriteableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from foxy_auth.emulator.faults import Faults

TOKEN_PATH = "/token"  # noqa: S105 - a path
CHECK_ONLY = "foxy_auth.check_only"  # in the environ of a request: respond with 204 if its token is valid
_BLOCK = 65_536
_BODY_LIMIT = 256 * 1024 * 1024  # bytes


class _Headers(UserDict[str, str]):
    """Headers whose names are case-insensitive (RFC 9110, section 5.1)."""

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name.lower(), value)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A request that arrived.

    Attributes:
        method: As in the request line.

        path: Decoded, without the query.

        query: As sent, without the question mark.

        headers: With case-insensitive names.

        body_length: Bytes of the body as far as it was read, without framing.

        body_sha256: Their SHA-256 in hexadecimal.

        form: The fields of a token request; empty for other requests.

        status: Of the response; None while the request is in progress, and if it gets no response.

        access_token: What follows `Bearer` in the Authorization header; None without it.

        arrived_at: By the emulator's clock.

        answered_at: When the response was ready, by the emulator's clock; None while `status` is None.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body_length: int = 0
    body_sha256: str = ""
    form: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    status: int | None = None
    access_token: str | None = field(default=None, repr=False)
    arrived_at: float = 0.0
    answered_at: float | None = None


class _CountedBody(io.RawIOBase):
    """The body of a request, counted while it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._digest = hashlib.sha256()
        self._length = 0

    @property
    def counts(self) -> dict[str, Any]:
        """What was read, as the fields of a `Call`."""
        return {"body_length": self._length, "body_sha256": self._digest.hexdigest()}

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        room = memoryview(buffer)
        block = self._stream.read(len(room))
        room[: len(block)] = block
        self._digest.update(block)
        self._length += len(block)
        return len(block)

    def blocks(self) -> Iterator[bytes]:
        """Read the rest up to a limit, or until the client disconnects."""
        try:
            while self._length < _BODY_LIMIT and (block := self.read(_BLOCK)):
                yield block
        except (OSError, HTTPException):
            return


class Recorder:
    """WSGI middleware that records requests and applies faults to them."""

    def __init__(self, application: WSGIApplication, faults: Faults, clock: Callable[[], float]) -> None:
        """Record the requests to *application*; *clock* returns seconds since the epoch."""
        self._application = application
        self._faults = faults
        self._clock = clock
        self._numbers = count()
        self._calls: dict[int, Call] = {}

    @property
    def calls(self) -> list[Call]:
        """The requests so far, in the order of arrival."""
        return list(self._calls.values())

    def clear(self) -> None:
        """Forget the requests so far."""
        self._calls.clear()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request (PEP 3333)."""
        body = _CountedBody(get_input_stream(environ))
        environ["wsgi.input"], environ["wsgi.input_terminated"] = body, True
        number = next(self._numbers)
        call = self._calls[number] = self._arrived(environ, body)
        outcome: dict[str, Any] = {}
        try:
            response = self._faults.apply(
                call.path,
                lambda: Response.from_app(self._application, environ),
                check=lambda: Response.from_app(self._application, {**environ, CHECK_ONLY: True}),
            )
            # A client that is still sending would not read the response, and closing would discard it.
            for _ in body.blocks():
                pass
            outcome = {"status": response.status_code, "answered_at": self._clock()}
        finally:
            if number in self._calls:  # not cleared
                self._calls[number] = replace(call, **body.counts, **outcome)
        return response(environ, start_response)

    def _arrived(self, environ: WSGIEnvironment, body: _CountedBody) -> Call:
        """Describe a request; the form of a token request is read at once, to be known while the request is held."""
        headers = _Headers(dict(EnvironHeaders(environ)))
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        form: dict[str, str] = {}
        if environ["PATH_INFO"] == TOKEN_PATH:
            content = b"".join(body.blocks())
            environ["wsgi.input"] = io.BytesIO(content)
            if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
                form = dict(parse_qsl(content.decode(errors="replace"), keep_blank_values=True))
        return Call(
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),  # WSGI encodes it this way
            query=environ["QUERY_STRING"],
            headers=headers,
            form=form,
            access_token=credentials.strip() if scheme.lower() == "bearer" else None,
            arrived_at=self._clock(),
            **body.counts,
        )
