"""
One way to drive every client: requests, niquests, httpx and httpx2, the latter two in threads, on asyncio and on trio.

A test is written once, as plain calls from its own thread. An async client runs on an event loop in another thread, to
which the calls are submitted.
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

import pytest
from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from foxy_auth import FoxyAuth, Token

WAIT = 10.0  # seconds after which a call that does not come back has failed
PIECE = 1024

Intercept = Callable[[str, Mapping[str, str]], None]
"""Called with the URL and the headers of a request, which is then not sent: its response is an empty 200."""


@dataclass(frozen=True, slots=True)
class Response:
    """
    A response, whatever the client.

    Attributes:
        status: The status.

        body: All of it.

        headers: Their names in lower case.

        history: The statuses of the responses before this one.

        response: The client's own object.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    history: tuple[int, ...]
    response: Any

    @classmethod
    def of(cls, response: Any) -> Response:
        """Read a response of any library."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        history = tuple(earlier.status_code for earlier in response.history)
        return cls(response.status_code, response.content, headers, history, response)


@dataclass(frozen=True, slots=True)
class Stream:
    """
    A response whose body has not been read yet.

    Attributes:
        status: The status.

        untouched: Whether nobody has read any of the body.

        pieces: The body, as it comes.
    """

    status: int
    untouched: bool
    pieces: Iterator[bytes]


class Client(ABC):
    """An open client; the options of `send` are those of `httpx.Client.request`, for requests too."""

    raw: Any
    loop_thread: int | None = None  # the thread of its event loop, if it has one

    @abstractmethod
    def send(self, method: str, url: str, **options: Any) -> Response:
        """Make a request, following redirects unless told otherwise by `follow_redirects`."""

    @abstractmethod
    def start(self, method: str, url: str, **options: Any) -> Future[Response]:
        """Start a request in a thread, or in a task on the client's loop."""

    @abstractmethod
    def stream(self, method: str, url: str, **options: Any) -> AbstractContextManager[Stream]:
        """Make a request without reading the body."""

    @abstractmethod
    def abandon(self, under_way: Callable[[], object], method: str, url: str, **options: Any) -> None:
        """Start a request, and when *under_way* returns, stop it by Ctrl-C or by cancelling the task."""

    @abstractmethod
    def run_another_task(self) -> None:
        """Run another task on the client's loop, if there is one; `TimeoutError` if it is blocked."""

    @abstractmethod
    def callback(self, save: Callable[[Token], object]) -> Callable[[Token], object]:
        """Return *save* as a callback, async if the client is."""

    @abstractmethod
    def requesting_callback(self, url: str, auth: list[FoxyAuth], statuses: list[int]) -> Callable[[Token], object]:
        """Return a callback that GETs *url* through the same client, async if the client is."""

    def send_all(self, number: int, method: str, url: str, **options: Any) -> list[Response]:
        """Make that many requests at once."""
        return [started.result(WAIT) for started in [self.start(method, url, **options) for _ in range(number)]]

    def get(self, url: str, **options: Any) -> Response:
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

    def send(self, method: str, url: str, **options: Any) -> Response:
        """Call it."""
        return Response.of(self.raw.request(method, url, **self._options_of(options)))

    def start(self, method: str, url: str, **options: Any) -> Future[Response]:
        """Call it in a thread."""
        return self._threads.submit(self.send, method, url, **options)

    def stream(self, method: str, url: str, **options: Any) -> AbstractContextManager[Stream]:
        """Call it without reading the body."""
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
                raise AssertionError("the request ended before it was interrupted")
        finally:
            interrupted.set()
            interrupting.result(WAIT)
            signal.signal(signal.SIGINT, before)

    def run_another_task(self) -> None:
        """Do nothing: there is no loop."""

    def callback(self, save: Callable[[Token], object]) -> Callable[[Token], object]:
        """Return it as it is."""
        return save

    def requesting_callback(self, url: str, auth: list[FoxyAuth], statuses: list[int]) -> Callable[[Token], object]:
        """Return a function."""
        return lambda _: statuses.append(self.get(url, auth=auth[0]).status)


class AsyncClient(Client):
    """A client of httpx or httpx2 on an event loop."""

    def __init__(self, raw: Any, portal: BlockingPortal) -> None:
        """Drive *raw* through *portal*."""
        self.raw = raw
        self.portal = portal
        self.loop_thread = portal.call(threading.get_ident)

    def send(self, method: str, url: str, **options: Any) -> Response:
        """Run a task to its end."""
        return self.start(method, url, **options).result(WAIT)

    def start(self, method: str, url: str, **options: Any) -> Future[Response]:
        """Start a task."""
        return self.portal.start_task_soon(self._send, method, url, options)

    async def _send(self, method: str, url: str, options: dict[str, Any]) -> Response:
        return Response.of(await self.raw.request(method, url, **options))

    @contextmanager
    def stream(self, method: str, url: str, **options: Any) -> Iterator[Stream]:
        """Await the response without reading the body."""
        with self.portal.wrap_async_context_manager(self.raw.stream(method, url, **options)) as response:
            pieces = response.aiter_bytes()
            yield Stream(response.status_code, not response.is_stream_consumed, self._pull_pieces(pieces))

    def _pull_pieces(self, pieces: AsyncIterator[bytes]) -> Iterator[bytes]:
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

    def run_another_task(self) -> None:
        """Run a task that does nothing."""
        self.portal.start_task_soon(_nothing).result(WAIT)

    def callback(self, save: Callable[[Token], object]) -> Callable[[Token], Awaitable[object]]:
        """Return a coroutine function."""

        async def save_async(token: Token) -> object:
            return save(token)

        return save_async

    def requesting_callback(
        self, url: str, auth: list[FoxyAuth], statuses: list[int]
    ) -> Callable[[Token], Awaitable[object]]:
        """Return a coroutine function."""

        async def request(_: Token) -> None:
            statuses.append((await self.raw.get(url, auth=auth[0])).status_code)

        return request


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Library:
    """
    A client library, and whether its sync or its async client is used.

    Attributes:
        name: The name of the module.

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
        """Whether it is requests or niquests."""
        return self.name in {"requests", "niquests"}

    @property
    def request_error(self) -> type[Exception]:
        """The error that its users catch when a request cannot be made."""
        error: type[Exception] = self.module.RequestException if self.like_requests else self.module.RequestError
        return error

    @property
    def invalid_url(self) -> type[Exception]:
        """The error that it raises for a URL that it cannot parse."""
        error: type[Exception] = self.module.exceptions.InvalidURL if self.like_requests else self.module.InvalidURL
        return error

    def generator_of(self, pieces: list[bytes], between: Callable[[], object] = lambda: None) -> Any:
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

            headers: For all its requests.

            hooks: Collects the URLs that the client's event hooks see.

            intercept: Sees the requests, which then are not sent.

            max_redirects: How many it follows.

            pool: How many connections it may have.
        """
        settings = _Settings(auth, headers or {}, hooks, intercept, max_redirects, pool)
        with self._open_session(settings) if self.like_requests else self._open_client(settings) as client:
            yield client

    @contextmanager
    def _open_session(self, settings: _Settings) -> Iterator[Client]:
        with self.module.Session() as session:
            session.auth, session.max_redirects = settings.auth, settings.max_redirects
            session.headers.update(settings.headers)
            if (seen := settings.hooks) is not None:
                session.hooks["response"].append(lambda response, **_: seen.append(str(response.request.url)))
            adapter = None
            if settings.intercept:
                adapter = _intercepting_adapter(self.module, settings.intercept)
            elif size := settings.pool:
                adapter = self.module.adapters.HTTPAdapter(pool_connections=size, pool_maxsize=size, pool_block=True)
            for scheme in ("http://", "https://") if adapter else ():
                session.mount(scheme, adapter)
            client = SyncClient(session, _as_requests)
            try:
                yield client
            finally:
                client.close()

    @contextmanager
    def _open_client(self, settings: _Settings) -> Iterator[Client]:
        options: dict[str, Any] = {
            "auth": settings.auth,
            "follow_redirects": True,
            "headers": settings.headers,
            "limits": self.module.Limits(max_connections=settings.pool),
            "max_redirects": settings.max_redirects,
            "timeout": WAIT,
            "verify": _tls_context(),
        }
        if settings.hooks is not None:
            options["event_hooks"] = _httpx_hooks(settings.hooks, is_async=self.backend is not None)
        if settings.intercept:
            options["transport"] = _intercepting_transport(self.module, settings.intercept)
        with ExitStack() as stack:
            if self.backend is None:
                client = SyncClient(stack.enter_context(self.module.Client(**options)), dict)
                stack.callback(client.close)
                yield client
            else:
                portal = stack.enter_context(start_blocking_portal(self.backend))
                opening = self.module.AsyncClient(**options)
                yield AsyncClient(stack.enter_context(portal.wrap_async_context_manager(opening)), portal)


@dataclass(frozen=True, slots=True)
class _Settings:
    """The arguments of `Library.open`."""

    auth: object
    headers: Mapping[str, str]
    hooks: list[str] | None
    intercept: Intercept | None
    max_redirects: int
    pool: int | None


@cache
def _tls_context() -> ssl.SSLContext:
    """Return one for all clients: making it costs more than all the rest of a test."""
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


def _intercepting_transport(module: Any, intercept: Intercept) -> Any:
    def respond(request: Any) -> Any:
        intercept(str(request.url), dict(request.headers.items()))
        return module.Response(200)

    return module.MockTransport(respond)


def _intercepting_adapter(module: Any, intercept: Intercept) -> Any:
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


# niquests cannot be installed beside requests: it replaces urllib3.
INSTALLED = [
    library
    for library in (
        Library("requests"),
        Library("niquests"),
        Library("httpx"),
        Library("httpx2"),
        Library("httpx", "asyncio"),
        Library("httpx", "trio"),
        Library("httpx2", "asyncio"),
    )
    if find_spec(library.name) is not None
]
# One of each way that we are called. httpx2 has the interface of httpx, and trio matters only where somebody waits.
MAIN = [library for library in INSTALLED if library.name != "httpx2" and library.backend != "trio"]

every_library = pytest.mark.parametrize("library", INSTALLED, ids=str, indirect=True)
"""For what the client libraries do in their own ways; a test without it runs with the libraries in `MAIN`."""

sync_libraries = pytest.mark.parametrize(
    "library", [library for library in INSTALLED if library.backend is None], ids=str, indirect=True
)
"""For what only sync clients can do."""
