"""
How a request of httpx or httpx2 is signed with a new token, and sent again after a 401.

The steps are the same for the two flows, which carry them out, one waiting and one awaiting.
"""

# ruff: noqa: SLF001 - what is private to `HttpxAuth` is not to this module, nor are files to httpx's streams
# pyright: reportPrivateUsage=false

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from foxy_auth._clients import bodies
from foxy_auth._clients.challenge import Attempt, answer_401, check_not_moved, decoded_401, record_retry
from foxy_auth._clients.errors import client_errors
from foxy_auth._clients.proxies import guard
from foxy_auth._clients.unsigned import note_unsigned
from foxy_auth._engine.grant import Signature
from foxy_auth._engine.source import Obtained
from foxy_auth._libraries import library_of
from foxy_auth._oauth import UNAUTHORIZED
from foxy_auth._oauth.content_coding import is_stacked, is_unknown
from foxy_auth._oauth.messages import MAX_401_BODY, merged_cookies
from foxy_auth._time import monotonic
from foxy_auth.token import Token

if TYPE_CHECKING:
    import httpx

    from foxy_auth._clients.httpx import HttpxAuth

    # Yields requests to be sent, and what to wait for; takes the responses and results.
    Steps = Generator["Wait | httpx.Request", Any, None]


@dataclass(frozen=True, slots=True)
class Wait:
    """Something to wait for, and how to wait for it without blocking the event loop."""

    wait: Callable[[], Any]
    await_: Callable[[], Awaitable[Any]]


def begin(auth: HttpxAuth, request: httpx.Request, *, is_async: bool) -> Steps:
    """Send *request*, signed if it is for Foxy, once there is a token for it."""
    library_of_request(request)  # or it is refused
    if not auth._environment.covers(str(request.url)):
        note_unsigned(auth, str(request.url), auth._environment)
        yield request
        return
    if request.url.scheme == "http":
        guard(request, is_async=is_async)
    obtained: Obtained = yield _obtaining(auth, request, None)
    auth._sign(request, obtained.signature)
    start = start_of(request.stream)
    response = yield request
    check_address(auth, request, obtained.signature)
    yield from answer(auth, response, obtained.signature, start, is_async=is_async)


def check_address(auth: HttpxAuth, request: httpx.Request, signature: Signature) -> None:
    """Raise `ValueError` if *request*, which was sent, has taken the token of *signature* to another origin."""
    if request.headers.get("Authorization") == signature.authorization:
        check_not_moved(str(request.url), auth._environment)


def answer(
    auth: HttpxAuth, response: httpx.Response, signature: Signature, start: int | None, *, is_async: bool
) -> Steps:
    """
    Answer a 401 to *auth*, and those to the retries, as long as one may help.

    Args:
        auth: Who signed the request.

        response: The response, which may be a 401.

        signature: What the request was signed with.

        start: Where its file begins, if it sends one.

        is_async: Whether the client is.
    """
    attempt, source = Attempt(signature), auth._source
    while _is_refused(auth, response) and attempt.may_retry(response.request.headers):
        if response.is_stream_consumed:
            body = response.content
        else:
            body = _replace_stream(response, (yield _reading(response, source.timeout)))
        retry = answer_401(attempt, response.request.headers, response.headers, body, source)
        del body  # it may repeat the token
        if retry is None:
            return
        obtained: Obtained = yield _obtaining(auth, response.request, retry.rejected)
        if not _rewind(response.request.stream, start):
            return
        attempt = attempt.next(retry, obtained)
        if is_unknown(response.headers.get("Content-Encoding", "")):
            del response.headers["Content-Encoding"]  # for the client reads what is only history now, however long
        again = _sign_again(auth, response, attempt.signature)
        if again.url.scheme == "http":  # a redirect may have led there
            guard(again, is_async=is_async)
        response = yield again
        record_retry(attempt, response.status_code, response.request.headers, source)
    if _is_refused(auth, response) and is_stacked(response.headers.get("Content-Encoding", "")):
        del response.headers["Content-Encoding"]  # for the client would decode it, however long


def proceed(steps: Steps, result: object) -> Wait | httpx.Request | None:
    """Give the *result* of the last step, and return the next one; None at the end."""
    try:
        return steps.send(result)
    except StopIteration:
        return None


def _obtaining(auth: HttpxAuth, request: httpx.Request, rejected: Token | None) -> Wait:
    """Obtain a signature, but not that of the token *rejected*."""
    library, source = library_of_request(request), auth._source

    def obtain() -> Obtained:
        with client_errors(library, request):
            return source.obtain(library, rejected)

    async def aobtain() -> Obtained:
        with client_errors(library, request):
            return await source.aobtain(library, rejected)

    return Wait(obtain, aobtain)


def _is_refused(auth: HttpxAuth, response: httpx.Response) -> bool:
    """Tell whether *response* is a 401, and no redirect has led to a foreign origin, which may have chosen it."""
    covers = auth._environment.covers
    hops = (*response.history, response)
    return response.status_code == UNAUTHORIZED and all(covers(str(hop.request.url)) for hop in hops)


def _sign_again(auth: HttpxAuth, response: httpx.Response, signature: Signature) -> httpx.Request:
    """Return the refused request anew, with another signature; the refused one stays as it was sent."""
    refused = response.request
    retry = copy.copy(refused)
    retry.stream, retry.extensions = refused.stream, refused.extensions  # which copying leaves out
    retry.headers = refused.headers.copy()
    auth._sign(retry, signature)
    library = _module_of(refused)
    jar, bare = library.Cookies(), library.Request(refused.method, refused.url)
    jar.extract_cookies(response)
    jar.set_cookie_header(bare)
    if fresh := bare.headers.get("Cookie"):
        retry.headers["Cookie"] = merged_cookies(retry.headers.get("Cookie", ""), fresh)
    return retry


# --- the 401 -------------------------------------------------------------------------------------------------------


def _reading(response: httpx.Response, seconds: float) -> Wait:
    """
    Read the beginning of *response*, as far as it comes within so many *seconds*, and give its connection back.

    A read that gets nothing at all ends by the client's own timeout, unless it is awaited.
    """
    stream: Any = response.stream
    head = bytearray()
    it_breaks_off = _module_of(response.request).TransportError

    def read() -> bytes:
        until = monotonic() + seconds
        with suppress(it_breaks_off):
            for chunk in stream:
                head.extend(chunk)
                if len(head) > MAX_401_BODY or monotonic() > until:
                    break
        stream.close()
        return bytes(head)

    async def aread() -> bytes:
        anyio: Any = import_module("anyio")  # which both libraries bring
        with suppress(it_breaks_off), anyio.move_on_after(seconds) as scope:
            async for chunk in stream:
                head.extend(chunk)
                if len(head) > 2 * MAX_401_BODY:
                    break
                if len(head) > MAX_401_BODY:
                    # To just break off would leave the library's own generators unfinished, of which trio warns.
                    scope.cancel()
        await stream.aclose()
        return bytes(head)

    return Wait(read, aread)


def _replace_stream(response: httpx.Response, head: bytes) -> bytes:
    """Let the client read, and decode, what was read of *response* already; return it decoded."""
    if (elapsed := getattr(response.stream, "elapsed", None)) is not None:
        response.elapsed = elapsed  # which httpx2 leaves on the stream
    response.stream = _module_of(response.request).ByteStream(head)
    decoded, is_harmless = decoded_401(head, response.headers.get("Content-Encoding", ""))
    if not is_harmless:
        response.headers.pop("Content-Encoding", None)
    return decoded


# --- bodies --------------------------------------------------------------------------------------------------------


def start_of(stream: Any) -> int | None:
    """Return where a file begins that is about to be sent as content; None if *stream* is no such file."""
    # There is no public way to the file.
    return bodies.start_of(stream._stream) if _is_of_library(stream) and hasattr(stream, "_stream") else None


def _rewind(stream: Any, start: int | None) -> bool:
    """
    Make *stream* ready to be sent again; tell whether that can be relied on.

    Bytes, text, json and forms can; a multipart stream can, if its files can seek, for it takes them back itself; a
    file can be taken back to where it began; an iterator cannot.
    """
    kind = type(stream).__name__ if _is_of_library(stream) else ""
    if kind == "ByteStream":
        return True
    if kind == "MultipartStream":
        return all(_is_seekable(field.file) for field in stream.fields if hasattr(field, "file"))
    return start is not None and bodies.rewind(stream._stream, start)


def _is_seekable(file: Any) -> bool:
    if isinstance(file, str | bytes):
        return True
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):
        return False


def _is_of_library(stream: object) -> bool:
    """Tell whether *stream* is of a class of the library's own; users derive theirs, with any name and attributes."""
    return type(stream).__module__.partition(".")[0] in {"httpx", "httpx2"}


# --- libraries -----------------------------------------------------------------------------------------------------


def _module_of(request: httpx.Request) -> Any:
    return import_module(library_of_request(request))


def library_of_request(request: httpx.Request) -> str:
    """Name the library of *request*; `TypeError` if it is neither httpx nor httpx2."""
    library = library_of(request)
    if library not in {"httpx", "httpx2"}:
        raise TypeError(f"this flow signs requests of httpx and httpx2, not {type(request).__module__}'s")
    return library
