"""
The face for httpx and httpx2: one conversation, which two drivers carry out, one waiting and one awaiting.

The conversation yields the caller's request, once more for a token that was refused, and once more for a header that
was lost on a redirect; token calls go another way.
Nothing is held across a `yield`, for the client may drop a flow at any time, or finish it in another task.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutinefunction
from time import monotonic
from typing import TYPE_CHECKING, Any

from foxy_auth._clients.errors import client_errors
from foxy_auth._oauth.messages import (
    MAX_401_BODY,
    UNAUTHORIZED,
    VERSION_HEADER,
    bearer,
    blames_token,
    carries,
    merged_cookies,
)
from foxy_auth._transport import library_of

if TYPE_CHECKING:
    import httpx

    from foxy_auth._engine.source import TokenSource
    from foxy_auth.environment import Environment
    from foxy_auth.token import Token

# Retries of a request: one for a header that the client has dropped, on a redirect from one of our origins to another,
# and one for a token that was refused.
RETRIES = 2


@dataclass(frozen=True, slots=True)
class _Ask:
    """Step: get a token; the one that was refused, if one was, is of no use."""

    rejected: Token | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """Step: read the beginning of a 401, and give its connection back."""

    response: httpx.Response


@dataclass(frozen=True, slots=True)
class _Send:
    """Step: have the client send a request."""

    request: httpx.Request


_Conversation = Generator[_Ask | _Read | _Send, Any, None]


class HttpxFace:
    """What httpx and httpx2 call."""

    _source: TokenSource
    _environment: Environment
    _api_version: str

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """
        Sign *request* and answer a 401; a request to another origin passes untouched.

        Raises:
            FoxyAuthError: There is no token to be had; the error is a `RequestError` as well.
        """
        library = _library(request)
        conversation = self._conversation(request)
        step = next(conversation, None)
        while step is not None:
            match step:
                case _Ask(rejected):
                    with client_errors(library, request):
                        answer: Any = self._source.token(via=library, rejected=rejected)
                case _Read(response):
                    answer = _read_401(response, self._source.timeout)
                case _Send(signed):
                    answer = yield signed
            step = _next(conversation, answer)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do what `sync_auth_flow` does, without blocking the event loop, be it asyncio's or trio's."""
        library = _library(request)
        conversation = self._conversation(request)
        step = next(conversation, None)
        while step is not None:
            match step:
                case _Ask(rejected):
                    with client_errors(library, request):
                        answer: Any = await self._source.atoken(via=library, rejected=rejected)
                case _Read(response):
                    answer = await _aread_401(response, self._source.timeout)
                case _Send(signed):
                    answer = yield signed
            step = _next(conversation, answer)

    def _conversation(self, request: httpx.Request) -> _Conversation:
        if not self._environment.covers(str(request.url)):
            yield _Send(request)
            return
        token: Token = yield _Ask()
        start = _start(request.stream)
        _sign(request, token, self._api_version)
        response: httpx.Response = yield _Send(request)
        rejected: Token | None = None
        for _ in range(RETRIES):
            signed = carries(response.request.headers, token)
            if not self._refused(response) or (signed and rejected):
                break
            body = yield _Read(response)
            if signed and (self._source.futile or not blames_token(response.headers, body)):
                return
            rejected = token if signed else rejected
            token = yield _Ask(rejected)
            if not _rewound(response.request.stream, start):
                return
            response = yield _Send(_retry(response, token, self._api_version))
        if rejected:
            refused = self._refused(response) and carries(response.request.headers, token)
            self._source.note_retry(token, refused=refused)

    def _refused(self, response: httpx.Response) -> bool:
        """Tell whether *response* is a 401, and no redirect has led to a foreign origin, which may have chosen it."""
        hops = (*response.history, response)
        return response.status_code == UNAUTHORIZED and all(
            self._environment.covers(str(hop.request.url)) for hop in hops
        )


def _next(conversation: _Conversation, answer: object) -> _Ask | _Read | _Send | None:
    try:
        return conversation.send(answer)
    except StopIteration:
        return None


def _library(request: httpx.Request) -> str:
    library = library_of(request)
    if library not in {"httpx", "httpx2"}:
        raise TypeError(f"this flow signs requests of httpx and httpx2, not {type(request).__module__}'s")
    return library


# --- headers -------------------------------------------------------------------------------------------------------


class _Header(str):
    """The Authorization header; the libraries keep its bytes, and hand them on to every request of a redirect."""

    __slots__ = ()

    def encode(self, encoding: str = "ascii", errors: str = "strict") -> bytes:
        return _Veiled(super().encode(encoding, errors))


class _Veiled(bytes):
    """Bytes that are left out of pickles (R21), but not out of copies."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (b"Bearer [hidden]",)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Veiled:
        return self


def _sign(request: httpx.Request, token: Token, api_version: str) -> None:
    request.headers["Authorization"] = _Header(bearer(token))
    request.headers.setdefault(VERSION_HEADER, api_version)


# --- the retry -----------------------------------------------------------------------------------------------------


def _retry(response: httpx.Response, token: Token, api_version: str) -> httpx.Request:
    """Return the refused request anew, signed with *token*; the refused one stays as it was sent."""
    refused = response.request
    retry = copy.copy(refused)
    retry.stream, retry.extensions = refused.stream, refused.extensions  # which copying leaves out
    retry.headers = refused.headers.copy()
    _sign(retry, token, api_version)
    library = import_module(_library(refused))
    jar, bare = library.Cookies(), library.Request(refused.method, refused.url)
    jar.extract_cookies(response)
    jar.set_cookie_header(bare)
    if fresh := bare.headers.get("Cookie"):
        retry.headers["Cookie"] = merged_cookies(retry.headers.get("Cookie", ""), fresh)
    return retry


def _read_401(response: httpx.Response, seconds: float) -> bytes:
    """
    Read the beginning of *response*, as far as it comes within so many *seconds*; the client can still read it.

    A read that gets nothing at all ends by the client's own timeout; `_aread_401` ends it itself.
    """
    stream: Any = response.stream
    if response.is_stream_consumed:
        return response.content
    until = monotonic() + seconds
    head = bytearray()
    with suppress(import_module(_library(response.request)).TransportError):  # it breaks off
        for piece in stream:
            head += piece
            if len(head) > MAX_401_BODY or monotonic() > until:
                break
    stream.close()
    return _replaced(response, bytes(head))


async def _aread_401(response: httpx.Response, seconds: float) -> bytes:
    stream: Any = response.stream
    if response.is_stream_consumed:
        return response.content
    head = bytearray()
    anyio: Any = import_module("anyio")  # which both libraries bring
    with suppress(import_module(_library(response.request)).TransportError), anyio.move_on_after(seconds) as scope:
        async for piece in stream:
            head += piece
            if len(head) > 2 * MAX_401_BODY:
                break
            if len(head) > MAX_401_BODY:
                # To just break off would leave the library's own generators unfinished, of which trio warns.
                scope.cancel()
    await stream.aclose()
    return _replaced(response, bytes(head))


def _replaced(response: httpx.Response, head: bytes) -> bytes:
    """
    Put what was read in the place of the stream it was read from; return it decoded.

    What is not coded as it says is left to the client as it came, and counts as empty.
    """
    library = import_module(_library(response.request))
    if (elapsed := getattr(response.stream, "elapsed", None)) is not None:
        response.elapsed = elapsed  # which httpx2 leaves on the stream
    response.stream = library.ByteStream(head)
    try:
        decoded: bytes = library.Response(response.status_code, headers=response.headers, content=head).content
    except library.DecodingError:
        del response.headers["Content-Encoding"]
        return b""
    return decoded


# --- bodies --------------------------------------------------------------------------------------------------------


def _start(stream: Any) -> int | None:
    """
    Return where a file begins that is about to be sent as content; None if *stream* is no such file.

    Asynchronous files are none: they would have to be taken back asynchronously.
    """
    file: Any = getattr(stream, "_stream", None) if _library_made(stream) else None  # there is no public way to it
    if iscoroutinefunction(getattr(file, "tell", None)):
        return None
    try:
        return int(file.tell())
    except Exception:  # noqa: BLE001 - whatever a stranger's file raises, it cannot be taken back
        return None


def _rewound(stream: Any, start: int | None) -> bool:
    """
    Make *stream* ready to be sent again; tell whether that can be relied on (R16).

    Bytes, text, json and forms can; a multipart stream can, if its files can seek, for it takes them back itself; a
    file can be taken back to where it began; an iterator cannot.
    """
    kind = type(stream).__name__ if _library_made(stream) else ""
    if kind == "ByteStream":
        return True
    if kind == "MultipartStream":
        return all(map(_seekable, _files(stream)))
    if start is None:
        return False
    try:
        stream._stream.seek(start)  # noqa: SLF001 - as above
    except Exception:  # noqa: BLE001 - a pipe after all, or closed
        return False
    return True


def _library_made(stream: object) -> bool:
    """Tell whether *stream* is of a class of the library's own; users derive theirs, with any name and attributes."""
    return type(stream).__module__.partition(".")[0] in {"httpx", "httpx2"}


def _files(stream: Any) -> Iterator[Any]:
    return (field.file for field in stream.fields if hasattr(field, "file"))


def _seekable(file: Any) -> bool:
    if isinstance(file, str | bytes):
        return True
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):
        return False
