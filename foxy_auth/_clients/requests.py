"""
The face for requests and niquests: a callable that signs a prepared request, and a response hook that answers a 401.

The hook rides on the request, through redirects too, and keeps what it must know about that one request; the auth
object itself remembers nothing of any request.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from time import monotonic, perf_counter
from types import FrameType
from typing import Any, TypeVar
from weakref import ref

from foxy_auth._clients.errors import client_errors
from foxy_auth._engine.source import TokenSource
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
from foxy_auth.environment import Environment
from foxy_auth.token import Token

R = TypeVar("R")

PIECE = 2**4  # bytes; small, for a piece is gathered without a look at the clock
BAD_REQUEST = 400


class RequestsFace:
    """What requests and niquests call."""

    _source: TokenSource
    _environment: Environment
    _api_version: str

    def __call__(self, request: R) -> R:
        """
        Sign a prepared request of requests or niquests; one to another origin passes untouched.

        Raises:
            TypeError: *request* is not theirs, or comes from `niquests.AsyncSession`.

            FoxyAuthError: There is no token to be had; the error is a `RequestException` as well.
        """
        prepared: Any = request
        library = _library(prepared)
        if not self._environment.covers(prepared.url):
            return request
        with client_errors(library, prepared):
            token = self._source.token(via=library)
        _sign(prepared.headers, token, self._api_version)
        answer = _Answer(
            prepared,
            library=library,
            token=token,
            source=self._source,
            environment=self._environment,
            api_version=self._api_version,
        )
        prepared.register_hook("response", answer)
        return request


class _Answer:
    """The response hook of one request: looks at every answer, and has a refused request sent once more."""

    def __init__(
        self,
        request: Any,
        *,
        library: str,
        token: Token,
        source: TokenSource,
        environment: Environment,
        api_version: str,
    ) -> None:
        self._library = library  # which a request tells no longer where a mock has wrapped it
        self._token = token
        self._source = source
        self._environment = environment
        self._api_version = api_version
        self._first = ref(request)  # the request as it is before any redirect; it holds this hook itself
        self._start = _start(request.body)
        self._strayed = False  # a redirect has led to a foreign origin, which may have chosen where to go next

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle, within a response, to a hook that does nothing and knows nothing."""
        return _Spent, ()

    def __call__(self, response: Any, /, **sending: Any) -> Any:
        """
        Return *response*, or the answer to a retry.

        Args:
            response: The answer.

            sending: How the request was sent: timeout, proxies and so on.
        """
        if response.request is self._first():
            self._strayed = False
        self._strayed |= not self._environment.covers(response.request.url)
        if self._strayed or not self._refused(response):
            return response
        body = _body_of_401(response, self._library, self._source.timeout)
        # Otherwise the client library has replaced the header on a redirect, as requests does by netrc.
        rejected = self._token if carries(response.request.headers, self._token) else None
        if rejected and (self._source.futile or not blames_token(response.headers, body)):
            return response
        with client_errors(self._library, response.request):
            self._token = self._source.token(via=self._library, rejected=rejected)
        if not (hasattr(response, "connection") and _rewound(response.request.body, self._start)):
            return response  # what cannot be sent again: R16, and answers of adapters that tell no way back
        cookies = import_module(f"{self._library}.cookies")
        retried = _sent_again(response, self._token, self._api_version, sending, cookies)
        if rejected:
            self._source.note_retry(self._token, refused=retried.status_code == UNAUTHORIZED)
        elif carries(retried.request.headers, self._token):
            return self(retried, **sending)  # only now has the token been tried
        return retried

    def _refused(self, response: Any) -> bool:
        """Tell whether *response* may be about credentials; to those from a netrc, no Bearer, Foxy says 400."""
        status: int = response.status_code
        sent: str = response.request.headers.get("Authorization", "")
        return status == UNAUTHORIZED or (status == BAD_REQUEST and sent.startswith("Basic "))


class _Spent:
    """What is left of an `_Answer` that went through a pickle."""

    def __call__(self, response: Any, /, **_sending: Any) -> Any:
        return response


class _Header(str):
    """The Authorization header: text for the client library, but hidden from `repr` and left out of pickles."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'Bearer [hidden]'"

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("Bearer [hidden]",)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Header:
        return self


def _sign(headers: Any, token: Token, api_version: str) -> None:
    headers["Authorization"] = _Header(bearer(token))
    headers.setdefault(VERSION_HEADER, api_version)


def _library(request: object) -> str:
    library = library_of(request)
    if library not in {"requests", "niquests"}:
        message = (
            f"FoxyAuth signs requests of requests, niquests, httpx and httpx2, "
            f"not {type(request).__module__}.{type(request).__name__}; for another client use its headers()"
        )
        raise TypeError(message)
    if library == "niquests" and _called_by_async_session():
        message = (
            "niquests.AsyncSession needs an async auth object, which FoxyAuth is not: "
            "use httpx.AsyncClient, or niquests.Session in a thread"
        )
        raise TypeError(message)
    return library


def _called_by_async_session() -> bool:
    """Tell whether the present call comes from `niquests.AsyncSession`, which would be blocked and its 401s missed."""
    wanted = import_module("niquests").AsyncSession.request.__code__
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no request tells its session
    while frame is not None:
        if frame.f_code is wanted:
            return True
        frame = frame.f_back
    return False


# --- the retry -----------------------------------------------------------------------------------------------------


def _sent_again(response: Any, token: Token, api_version: str, sending: dict[str, Any], cookies: Any) -> Any:
    """
    Send the refused request of *response* once more, signed with *token*, and make the answer look like any other.

    The request object stays the caller's own, for the session resolves redirects from it; the refused answer keeps a
    copy of it as it was sent.
    """
    request = response.request
    response.request = request.copy()
    _sign(request.headers, token, api_version)
    _take_cookies(request, response, cookies)
    started = perf_counter()
    retried = response.connection.send(request, **sending)
    retried.elapsed = timedelta(seconds=perf_counter() - started)
    retried.history = [*retried.history, response]
    return retried


def _take_cookies(request: Any, response: Any, cookies: Any) -> None:
    """Send back the cookies that *response* has set, as the session would with its next request."""
    bare = request.copy()
    bare.headers.pop("Cookie", None)
    if fresh := cookies.get_cookie_header(response.cookies, bare):
        request.headers["Cookie"] = merged_cookies(request.headers.get("Cookie", ""), fresh)


def _body_of_401(response: Any, library: str, seconds: float) -> bytes:
    """
    Read *response* and give its connection back, for the retry needs one.

    A long body, and one that takes more *seconds*, is cut off, at the next whole piece; of one that breaks off, or is
    not coded as it says, there is what could be read.
    """
    until = monotonic() + seconds
    body = bytearray()
    with suppress(import_module(library).RequestException):
        for piece in response.iter_content(PIECE):
            body += piece
            if len(body) > MAX_401_BODY or monotonic() > until:
                break
    response.close()
    # What iter_content has taken is gone, unless it is left where `content` looks for it.
    response._content, response._content_consumed = bytes(body), True  # noqa: SLF001
    return bytes(body)


def _start(body: Any) -> int | None:
    """Return where a file begins that is about to be sent; None if *body* is no file that can be taken back."""
    if not hasattr(body, "seek"):
        return None
    try:
        return int(body.tell())
    except Exception:  # noqa: BLE001 - whatever a stranger's file raises, it cannot be taken back
        return None


def _rewound(body: Any, start: int | None) -> bool:
    """Make *body* ready to be sent again; tell whether that can be relied on (R16)."""
    if body is None or isinstance(body, str | bytes | bytearray | memoryview):
        return True
    if start is None:
        return False
    try:
        body.seek(start)
    except Exception:  # noqa: BLE001 - a pipe after all, or closed
        return False
    return True
