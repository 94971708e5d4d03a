"""Faults to order: what the next matching requests meet instead of, or after, the real work."""

import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from threading import Condition, Event, Lock
from typing import Self
from urllib.parse import urlsplit

from werkzeug.wrappers import Response

from foxy_auth.emulator._hal import error_document

TOKEN_PATH = "/token"  # noqa: S105 - a path
_BLOCK = 65_536  # bytes that an oversized answer sends at a time

Work = Callable[[], Response]
"""Do the real work and return its answer."""

Fault = Callable[[Work], Response]
"""Answer a request in a faulty way; raise `ConnectionError` to close the connection without an answer."""


class Latch:
    """Hold back the requests to one path until it is released; a context manager."""

    def __init__(self, path: str, forget: Callable[["Latch"], None]) -> None:
        """Hold *path*; *forget* is called once, at the release."""
        self.path = path
        self._forget = forget
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
            TimeoutError: Fewer had come after *timeout* seconds.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: self._waiting >= n, timeout):
                raise TimeoutError(f"{self._waiting} of {n} requests to {self.path} came within {timeout} s")

    def release(self) -> None:
        """Let the held requests go on, and later ones pass."""
        with self._condition:
            self._released = True
            self._condition.notify_all()
        self._forget(self)

    def hold(self) -> None:
        """Block a request until the release."""
        with self._condition:
            self._waiting += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._released)
            self._waiting -= 1


class Faults:
    """Keep the faults that were ordered and hand each to one matching request, first come, first served."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = Lock()
        self._ordered: list[tuple[str, Fault]] = []
        self._latches: list[Latch] = []
        self._closing = Event()

    def order(self, path: str, fault: Fault, *, times: int) -> None:
        """Let the next *times* requests to *path* meet *fault*; *path* may be a whole address."""
        with self._lock:
            self._ordered += [(path_of(path), fault)] * times

    def take(self, path: str) -> Fault | None:
        """Take the oldest fault ordered for *path* off the list."""
        with self._lock:
            for index, (ordered_path, fault) in enumerate(self._ordered):
                if ordered_path == path:
                    del self._ordered[index]
                    return fault
        return None

    def clear(self) -> None:
        """Forget the faults that no request has met yet."""
        with self._lock:
            self._ordered.clear()

    def add_latch(self, path: str) -> Latch:
        """Hold back requests to *path* from now on."""
        latch = Latch(path_of(path), self._forget)
        with self._lock:
            self._latches.append(latch)
        return latch

    def _forget(self, latch: Latch) -> None:
        with self._lock:
            if latch in self._latches:
                self._latches.remove(latch)

    def hold(self, path: str) -> None:
        """Block the calling request while a latch holds *path*."""
        with self._lock:
            latches = [latch for latch in self._latches if latch.path == path]
        for latch in latches:
            latch.hold()
        self._check_open()

    def delaying(self, seconds: float) -> Fault:
        """Wait *seconds* of real time before the work, or until the server closes."""

        def fault(work: Work) -> Response:
            self._closing.wait(seconds)
            self._check_open()
            return work()

        return fault

    def _check_open(self) -> None:
        """Raise once the server closes, so that a request that has waited does no late work."""
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


def path_of(address: str) -> str:
    """Reduce an address to its path."""
    return urlsplit(address).path or "/"


def failing(status: int, *, body: object, headers: Mapping[str, str] | None, content_type: str, after: bool) -> Fault:
    """Answer *status* and *body*; bytes and text go out as they are, None as a HAL error, anything else as JSON."""
    content = _content(status, body)

    def fault(work: Work) -> Response:
        if after:
            work().close()
        return Response(content, status, dict(headers or {}), content_type=content_type)

    return fault


def _content(status: int, body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    return json.dumps(error_document([HTTPStatus(status).phrase]) if body is None else body).encode()


def dropping(*, after: bool) -> Fault:
    """Close the connection without an answer."""

    def fault(work: Work) -> Response:
        if after:
            work().close()
        raise ConnectionAbortedError("a connection was to be dropped")

    return fault


def truncating(work: Work) -> Response:
    """Send the first half of the real answer under the length of the whole."""
    answer = work()
    content = answer.get_data()
    half = iter([content[: len(content) // 2]])  # as an iterator, so that its length is not taken for the answer's
    answer.response = half
    answer.headers["Content-Length"] = str(len(content))
    return answer


def oversizing(length: int) -> Fault:
    """Send *length* bytes of what begins like a token answer and never ends, its length not announced."""
    beginning = b'{"access_token": "'

    def stream() -> Iterator[bytes]:
        yield beginning[:length]
        for left in range(length - len(beginning), 0, -_BLOCK):
            yield b"a" * min(left, _BLOCK)

    def fault(_: Work) -> Response:
        return Response(stream(), content_type="application/json")

    return fault


def redirecting(to_url: str, status: int) -> Fault:
    """Send the request elsewhere."""

    def fault(_: Work) -> Response:
        return Response(status=status, headers={"Location": to_url})

    return fault
