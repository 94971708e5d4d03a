"""Faults: what the next requests to a path get instead of, or after, the normal handling."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import Condition, Event, Lock
from typing import Self
from urllib.parse import urlsplit

from werkzeug.wrappers import Response

from foxy_auth.emulator.hal import error_document

_WITHOUT_TOKEN = frozenset({"/token", "/authorize"})
_BLOCK = 65_536  # bytes of an oversized response that are sent at a time

Handler = Callable[[], Response]
"""Handle the request normally."""

Fault = Callable[[Handler], Response]
"""Respond in a faulty way; raise `ConnectionError` to close the connection without a response."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A fault that one request to a path is to get."""

    path: str
    fault: Fault
    needs_token: bool


class Latch:
    """Hold back the requests to one path until it is released; a context manager."""

    def __init__(self, path: str, on_release: Callable[[Latch], None]) -> None:
        """Hold *path*; *on_release* is called at the release."""
        self.path = path
        self._on_release = on_release
        self._condition = Condition()
        self._waiting = 0
        self._released = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def wait_for(self, n: int = 1, timeout: float = 10.0) -> None:
        """
        Block until *n* requests are waiting.

        Raises:
            TimeoutError: Fewer have arrived after *timeout* seconds.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: self._waiting >= n, timeout):
                raise TimeoutError(f"{self._waiting} of {n} requests to {self.path} arrived within {timeout} s")

    def release(self) -> None:
        """Let the held requests continue, and later ones pass."""
        with self._condition:
            self._released = True
            self._condition.notify_all()
        self._on_release(self)

    def hold(self) -> None:
        """Block a request until the release."""
        with self._condition:
            self._waiting += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._released)
            self._waiting -= 1


class Faults:
    """Keep the faults to come, and give each to one request, in order."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = Lock()
        self._faults: list[_Planned] = []
        self._latches: list[Latch] = []
        self._closing = Event()

    def add(self, url: str, fault: Fault, *, times: int, needs_token: bool = False) -> None:
        """
        Let the next *times* requests to the path of *url* get *fault*.

        If it *needs_token*, those count whose token is valid; the others are refused as ever.
        """
        with self._lock:
            self._faults += [_Planned(path_of(url), fault, needs_token)] * times

    def clear(self) -> None:
        """Remove the faults that no request has got."""
        with self._lock:
            self._faults.clear()

    def add_latch(self, url: str) -> Latch:
        """Hold back requests to the path of *url* from now on."""
        latch = Latch(path_of(url), self._remove_latch)
        with self._lock:
            self._latches.append(latch)
        return latch

    def _remove_latch(self, latch: Latch) -> None:
        with self._lock:
            self._latches = [other for other in self._latches if other is not latch]

    def apply(self, path: str, handle: Handler, *, check: Handler) -> Response:
        """
        Handle a request to *path* normally, or with its fault; block while a latch holds the path.

        Args:
            path: Where the request goes.

            handle: Handles it normally.

            check: Refuses it if its token is not valid, and otherwise has no effect.
        """
        with self._lock:
            latches = [latch for latch in self._latches if latch.path == path]
        for latch in latches:
            latch.hold()
        self._check_open()
        planned = self._next_fault(path)
        if planned is None:
            return handle()
        if planned.needs_token and path not in _WITHOUT_TOKEN and not (response := check()).status.startswith("2"):
            with self._lock:
                self._faults.insert(0, planned)
            return response
        return planned.fault(handle)

    def _next_fault(self, path: str) -> _Planned | None:
        with self._lock:
            planned = next((planned for planned in self._faults if planned.path == path), None)
            if planned is not None:
                self._faults.remove(planned)
        return planned

    def delay(self, seconds: float) -> Fault:
        """Return a fault that waits *seconds* of real time, or until the server closes, before the handling."""

        def fault(handle: Handler) -> Response:
            self._closing.wait(seconds)
            self._check_open()
            return handle()

        return fault

    def _check_open(self) -> None:
        """Raise if the server is closing, so that a request that has waited is not handled late."""
        if self._closing.is_set():
            raise ConnectionAbortedError("the emulator is closing")

    def open(self) -> None:
        """Let requests wait again."""
        self._closing.clear()

    def close(self) -> None:
        """Wake up every waiting request."""
        self._closing.set()
        with self._lock:
            latches = list(self._latches)
        for latch in latches:
            latch.release()


def fail(status: int, *, body: object, headers: Mapping[str, str] | None, content_type: str, after: bool) -> Fault:
    """Return a fault with *status* and *body*: bytes and text are sent as they are, None as a HAL error, else JSON."""
    content = error_document(HTTPStatus(status).phrase) if body is None else body
    sent = content if isinstance(content, (bytes, str)) else json.dumps(content)

    def fault(handle: Handler) -> Response:
        if after:
            handle().close()
        return Response(sent, status, dict(headers or {}), content_type=content_type)

    return fault


def drop(*, after: bool) -> Fault:
    """Return a fault that closes the connection without a response."""

    def fault(handle: Handler) -> Response:
        if after:
            handle().close()
        raise ConnectionAbortedError("this connection is dropped on request")

    return fault


def truncate(handle: Handler) -> Response:
    """Send the first half of the normal response with the length of the whole."""
    response = handle()
    content = response.get_data()
    response.response = iter([content[: len(content) // 2]])  # an iterator, since the length of a list would be sent
    response.headers["Content-Length"] = str(len(content))
    return response


def oversize(length: int) -> Fault:
    """Return a fault that sends *length* bytes, which begin like a token response, without `Content-Length`."""
    beginning = b'{"access_token": "'

    def content() -> Iterator[bytes]:
        yield beginning[:length]
        for left in range(length - len(beginning), 0, -_BLOCK):
            yield b"a" * min(left, _BLOCK)

    return lambda _: Response(content(), content_type="application/json")


def redirect(url: str, status: int) -> Fault:
    """Return a fault that redirects to *url*."""
    return lambda _: Response(status=status, headers={"Location": url})


def path_of(url: str) -> str:
    """Return the path of a URL, which may be a path alone."""
    return urlsplit(url).path or "/"
