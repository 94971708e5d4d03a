"""
One way to drive every client: requests, niquests, httpx and httpx2, the latter two in threads, on asyncio and on trio.

A scenario is written once, as plain calls from the test's thread.
An async client lives on an event loop in a thread of its own, and the calls are handed over to it.
"""

from __future__ import annotations

import io
import signal
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from foxy_auth import FoxyAuth, Token

WAIT = 10.0  # seconds after which a call that does not come back has failed
PIECE = 1024

Intercept = Callable[[str, Mapping[str, str]], None]
"""Is handed address and headers of a request that is not sent, but answered 200 on the spot."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What any client answers.

    Attributes:
        status: The status.

        body: All of it.

        headers: Their names in lower case.

        history: The statuses of the answers before this one.

        response: The client's own object.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    history: tuple[int, ...]
    response: Any

    @classmethod
    def of(cls, response: Any) -> Answer:
        """Read a response of any library."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        history = tuple(earlier.status_code for earlier in response.history)
        return cls(response.status_code, response.content, headers, history, response)


@dataclass(frozen=True, slots=True)
class Stream:
    """
    An answer whose body is still on its way.

    Attributes:
        status: The status.

        untouched: Whether nobody has read of the body.

        pieces: The body, as it comes.
    """

    status: int
    untouched: bool
    pieces: Iterator[bytes]


class Client(ABC):
    """A client, opened; the options of `send` are those of `httpx.Client.request`, for requests too."""

    raw: Any
    thread: int | None = None  # where its event loop runs, if it has one

    @abstractmethod
    def send(self, method: str, url: str, **options: Any) -> Answer:
        """Make a request, following redirects unless told otherwise by `follow_redirects`."""

    @abstractmethod
    def start(self, method: str, url: str, **options: Any) -> Future[Answer]:
        """Begin a request in a thread, or in a task on the client's loop."""

    @abstractmethod
    def stream(self, method: str, url: str, **options: Any) -> AbstractContextManager[Stream]:
        """Make a request and leave the body on the line."""

    @abstractmethod
    def abandon(self, under_way: Callable[[], object], method: str, url: str, **options: Any) -> None:
        """Make a request, and break it off when *under_way* returns: by Ctrl-C, or by cancelling the task."""

    @abstractmethod
    def breathe(self) -> None:
        """Have the client's loop, if there is one, do something else; `TimeoutError` if it is blocked."""

    @abstractmethod
    def saving(self, save: Callable[[Token], object]) -> Callable[[Token], object]:
        """Return *save* as a callback of the client's colour, a coroutine function on a loop."""

    @abstractmethod
    def calling(self, url: str, auth: list[FoxyAuth], heard: list[int]) -> Callable[[Token], object]:
        """Return a callback of the client's colour that GETs *url* by the same client; statuses go to *heard*."""

    def send_all(self, number: int, method: str, url: str, **options: Any) -> list[Answer]:
        """Make that many requests at once."""
        return [started.result(WAIT) for started in [self.start(method, url, **options) for _ in range(number)]]

    def get(self, url: str, **options: Any) -> Answer:
        """GET *url*."""
        return self.send("GET", url, **options)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that the client keeps."""
        return {cookie.name: cookie.value for cookie in getattr(self.raw.cookies, "jar", self.raw.cookies)}


class SyncClient(Client):
    """A client whose calls block their thread."""

    def __init__(self, raw: Any, options_of: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Drive *raw*, which takes what *options_of* makes of the options."""
        self.raw = raw
        self._options_of = options_of
        self._threads = ThreadPoolExecutor(64)

    def close(self) -> None:
        """End its threads."""
        self._threads.shutdown()

    def send(self, method: str, url: str, **options: Any) -> Answer:
        """Call it."""
        return Answer.of(self.raw.request(method, url, **self._options_of(options)))

    def start(self, method: str, url: str, **options: Any) -> Future[Answer]:
        """Call it in a thread."""
        return self._threads.submit(self.send, method, url, **options)

    def stream(self, method: str, url: str, **options: Any) -> AbstractContextManager[Stream]:
        """Call it and leave the body on the line."""
        opened = self._stream_requests if self._options_of is _as_requests else self._stream_httpx
        return opened(method, url, self._options_of(options))

    @contextmanager
    def _stream_requests(self, method: str, url: str, options: dict[str, Any]) -> Iterator[Stream]:
        with self.raw.request(method, url, stream=True, **options) as response:
            yield Stream(response.status_code, not response._content_consumed, response.iter_content(PIECE))

    @contextmanager
    def _stream_httpx(self, method: str, url: str, options: dict[str, Any]) -> Iterator[Stream]:
        with self.raw.stream(method, url, **options) as response:
            yield Stream(response.status_code, not response.is_stream_consumed, response.iter_bytes())

    def abandon(self, under_way: Callable[[], object], method: str, url: str, **options: Any) -> None:
        """Interrupt the main thread in the call."""
        caller, interrupted = threading.main_thread().ident, threading.Event()
        assert caller is not None

        def interrupt() -> None:
            under_way()
            # A signal that comes just before the thread begins to wait does not wake it, so another follows.
            while not interrupted.wait(0.05):
                signal.pthread_kill(caller, signal.SIGINT)

        def interrupt_once(*_: object) -> None:
            if not interrupted.is_set():
                interrupted.set()
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, interrupt_once)
        interrupting = self._threads.submit(interrupt)
        try:
            with suppress(KeyboardInterrupt):
                self.send(method, url, **options)
                raise AssertionError("the request came to an end before it was interrupted")
        finally:
            interrupted.set()
            interrupting.result(WAIT)
            signal.signal(signal.SIGINT, before)

    def breathe(self) -> None:
        """Do nothing, for there is no loop."""

    def saving(self, save: Callable[[Token], object]) -> Callable[[Token], object]:
        """Return it as it is."""
        return save

    def calling(self, url: str, auth: list[FoxyAuth], heard: list[int]) -> Callable[[Token], object]:
        """Return a function."""
        return lambda _: heard.append(self.get(url, auth=auth[0]).status)


class AsyncClient(Client):
    """A client of httpx or httpx2 on an event loop."""

    def __init__(self, raw: Any, portal: BlockingPortal) -> None:
        """Drive *raw* through *portal*."""
        self.raw = raw
        self.portal = portal
        self.thread = portal.call(threading.get_ident)

    def send(self, method: str, url: str, **options: Any) -> Answer:
        """Run a task to its end."""
        return self.start(method, url, **options).result(WAIT)

    def start(self, method: str, url: str, **options: Any) -> Future[Answer]:
        """Start a task."""
        return self.portal.start_task_soon(self._send, method, url, options)

    async def _send(self, method: str, url: str, options: dict[str, Any]) -> Answer:
        return Answer.of(await self.raw.request(method, url, **options))

    @contextmanager
    def stream(self, method: str, url: str, **options: Any) -> Iterator[Stream]:
        """Await the answer and leave the body on the line."""
        with self.portal.wrap_async_context_manager(self.raw.stream(method, url, **options)) as response:
            pieces = response.aiter_bytes()
            yield Stream(response.status_code, not response.is_stream_consumed, self._pulled(pieces))

    def _pulled(self, pieces: AsyncIterator[bytes]) -> Iterator[bytes]:
        async def pull() -> bytes:
            return await anext(pieces, b"")

        while piece := self.portal.start_task_soon(pull).result(WAIT):
            yield piece

    def abandon(self, under_way: Callable[[], object], method: str, url: str, **options: Any) -> None:
        """Cancel the task."""
        started = self.start(method, url, **options)
        under_way()
        assert started.cancel()
        with suppress(CancelledError):
            started.result(WAIT)

    def breathe(self) -> None:
        """Run another task."""
        self.portal.start_task_soon(_nothing).result(WAIT)

    def saving(self, save: Callable[[Token], object]) -> Callable[[Token], Awaitable[object]]:
        """Return a coroutine function."""

        async def callback(token: Token) -> object:
            return save(token)

        return callback

    def calling(self, url: str, auth: list[FoxyAuth], heard: list[int]) -> Callable[[Token], Awaitable[object]]:
        """Return a coroutine function."""

        async def callback(_: Token) -> None:
            heard.append((await self.raw.get(url, auth=auth[0])).status_code)

        return callback


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Library:
    """
    A client library, in one of its colours.

    Attributes:
        name: What is imported.

        backend: The event loop of its async client; None stands for the sync one.
    """

    name: str
    backend: str | None = None

    def __str__(self) -> str:
        return f"{self.name}-{self.backend}" if self.backend else self.name

    @property
    def module(self) -> Any:
        """The library."""
        return import_module(self.name)

    @property
    def like_requests(self) -> bool:
        """Whether it is requests or niquests, whose hooks see a request after us."""
        return self.name in {"requests", "niquests"}

    @property
    def request_error(self) -> type[Exception]:
        """What its users catch where a request cannot be made."""
        error: type[Exception] = self.module.RequestException if self.like_requests else self.module.RequestError
        return error

    @property
    def invalid_url(self) -> type[Exception]:
        """What it raises where it makes nothing of an address."""
        error: type[Exception] = self.module.exceptions.InvalidURL if self.like_requests else self.module.InvalidURL
        return error

    def iterated(self, pieces: list[bytes], between: Callable[[], object] = lambda: None) -> Any:
        """Return a generator of *pieces*, an async one for an async client; *between* is called after the first."""

        def generator() -> Iterator[bytes]:
            for number, piece in enumerate(pieces):
                if number == 1:
                    between()
                yield piece

        async def async_generator() -> AsyncIterator[bytes]:
            for piece in generator():
                yield piece

        return async_generator() if self.backend else generator()

    @contextmanager
    def open(
        self,
        *,
        auth: object = None,
        headers: Mapping[str, str] | None = None,
        hooks: list[str] | None = None,
        intercept: Intercept | None = None,
        max_redirects: int = 20,
        pool: int | None = None,
    ) -> Iterator[Client]:
        """
        Open a client.

        Args:
            auth: For all its requests.

            headers: With all its requests.

            hooks: Takes the addresses that the client's event hooks see.

            intercept: Sees the requests, which then are not sent.

            max_redirects: How many it follows.

            pool: How many connections it may have.
        """
        opened = self._session if self.like_requests else self._client
        with opened(
            auth=auth, headers=headers, hooks=hooks, intercept=intercept, max_redirects=max_redirects, pool=pool
        ) as client:
            yield client

    @contextmanager
    def _session(
        self,
        *,
        auth: object,
        headers: Mapping[str, str] | None,
        hooks: list[str] | None,
        intercept: Intercept | None,
        max_redirects: int,
        pool: int | None,
    ) -> Iterator[Client]:
        with self.module.Session() as session:
            session.auth, session.max_redirects = auth, max_redirects
            session.headers.update(headers or {})
            if hooks is not None:
                session.hooks["response"].append(lambda response, **_: hooks.append(str(response.request.url)))
            if intercept or pool:
                adapters = self.module.adapters
                adapter = (
                    _intercepting(self.module, intercept)
                    if intercept
                    else adapters.HTTPAdapter(pool_connections=pool, pool_maxsize=pool, pool_block=True)
                )
                session.mount("http://", adapter)
                session.mount("https://", adapter)
            client = SyncClient(session, _as_requests)
            try:
                yield client
            finally:
                client.close()

    @contextmanager
    def _client(
        self,
        *,
        auth: object,
        headers: Mapping[str, str] | None,
        hooks: list[str] | None,
        intercept: Intercept | None,
        max_redirects: int,
        pool: int | None,
    ) -> Iterator[Client]:
        options: dict[str, Any] = {
            "auth": auth,
            "follow_redirects": True,
            "headers": headers,
            "limits": self.module.Limits(max_connections=pool),
            "max_redirects": max_redirects,
            "timeout": WAIT,
            "verify": _tls(),
        }
        if hooks is not None:
            options["event_hooks"] = _httpx_hooks(hooks, is_async=self.backend is not None)
        if intercept:
            options["transport"] = self.module.MockTransport(_answering(self.module, intercept))
        with ExitStack() as stack:
            if self.backend is None:
                client = SyncClient(stack.enter_context(self.module.Client(**options)), dict)
                stack.callback(client.close)
                yield client
            else:
                portal = stack.enter_context(start_blocking_portal(self.backend))
                opening = self.module.AsyncClient(**options)
                yield AsyncClient(stack.enter_context(portal.wrap_async_context_manager(opening)), portal)


@cache
def _tls() -> ssl.SSLContext:
    """Return what every client would otherwise make anew, at a cost that exceeds all other of a test."""
    return ssl.create_default_context()


def _as_requests(options: dict[str, Any]) -> dict[str, Any]:
    """Spell the options of httpx as requests does."""
    named = {"content": "data", "follow_redirects": "allow_redirects"}
    return {"timeout": WAIT, **{named.get(name, name): value for name, value in options.items()}}


def _httpx_hooks(seen: list[str], *, is_async: bool) -> dict[str, list[Callable[[Any], object]]]:
    def see(thing: Any) -> None:
        seen.append(str(thing.url))

    async def asee(thing: Any) -> None:
        see(thing)

    hook = asee if is_async else see
    return {"request": [hook], "response": [hook]}


def _answering(module: Any, intercept: Intercept) -> Callable[[Any], Any]:
    def answer(request: Any) -> Any:
        intercept(str(request.url), dict(request.headers.items()))
        return module.Response(200)

    return answer


def _intercepting(module: Any, intercept: Intercept) -> Any:
    class Adapter(module.adapters.BaseAdapter):  # type: ignore[misc]
        def send(self, request: Any, **_: Any) -> Any:
            intercept(request.url, {name.lower(): value for name, value in request.headers.items()})
            response = module.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            response.raw = io.BytesIO()
            response.connection = self
            return response

        def close(self) -> None:
            pass

    return Adapter()


ALL = [
    Library("requests"),
    Library("niquests"),
    Library("httpx"),
    Library("httpx2"),
    Library("httpx", "asyncio"),
    Library("httpx", "trio"),
    Library("httpx2", "asyncio"),
    Library("httpx2", "trio"),
]
# What is not installed is no part of the table: niquests cannot be, beside requests.
LIBRARIES = [library for library in ALL if find_spec(library.name) is not None]
