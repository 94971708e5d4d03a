"""
One token call through whichever client library is at hand: values in, values out.

A call carries the client secret, so it follows no redirect and heeds no netrc; proxies and certificate authorities
come from the usual environment variables, or from the client that the user gave for token calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import wait as wait_for
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from foxy_auth._engine.threads import started
from foxy_auth._oauth.messages import MAX_TOKEN_RESPONSE, HttpRequest, HttpResponse
from foxy_auth.errors import FoxyAuthError, TokenUnavailableError

# What a call waits for in turn, each for as long as the timeout: the connection, the headers, the body.
PHASES = 3


def installed_library() -> str:
    """
    Name a client library that is installed.

    Raises:
        ImportError: None is.
    """
    for library in _FAMILIES:
        if find_spec(library) is not None:
            return library
    message = (
        "foxy_auth needs an HTTP client and none is installed: "
        "pip install 'foxy_auth[requests]', 'foxy_auth[httpx]', 'foxy_auth[httpx2]' or niquests"
    )
    raise ImportError(message)


def library_of(thing: object) -> str | None:
    """Name the client library that *thing*'s class comes from, or is derived from; None if it is none of them."""
    for ancestor in type(thing).__mro__:
        library = ancestor.__module__.partition(".")[0]
        if library in _FAMILIES:
            return library
    return None


def check_client(client: object) -> None:
    """
    Refuse what cannot carry a token call; None leaves the choice to each call.

    Raises:
        TypeError: *client* is no synchronous client of a known library.
    """
    if client is None:
        return
    library = library_of(client)
    if library is None or not isinstance(client, getattr(import_module(library), _FAMILIES[library].client)):
        message = (
            f"http takes a requests.Session, httpx.Client, httpx2.Client or niquests.Session, "
            f"not {type(client).__module__}.{type(client).__name__}; token calls run in a thread of their own, "
            f"so async programs give a synchronous client too"
        )
        raise TypeError(message)


def send(request: HttpRequest, *, through: object, timeout: float, auth: object | None = None) -> HttpResponse:
    """
    Send *request* and return the answer, whatever its status.

    Args:
        request: The call.

        through: The name of a client library, or one of its synchronous clients, which stays open.

        timeout: Seconds for each wait on the network, and for the answer's body; the call takes three times as long at
            most, whatever the other side does.

        auth: An auth object that signs the call; None sends it as it is.

    Raises:
        TokenUnavailableError: No whole answer came, or a larger one than *request* allows; it tells by `repeatable`
            whether the call is sure not to have reached the provider.
    """
    library = through if isinstance(through, str) else library_of(through)
    assert library is not None  # noqa: S101 - check_client has seen it
    module, family = import_module(library), _FAMILIES[library]
    client = nullcontext(through) if through is not library else getattr(module, family.client)()

    def call() -> HttpResponse:
        with client as opened:
            return family.call(opened, request, timeout, auth)

    try:
        return _bounded(call, PHASES * timeout)
    except FoxyAuthError:
        raise
    except Exception as error:  # noqa: BLE001 - no error of a client library passes, be it its own or a mock's
        message = f"{request.url} could not be reached or did not answer ({type(error).__name__}); try later"
        raise TokenUnavailableError(message, repeatable=family.unsent(module, error)) from _without_request(error)


def _bounded(call: Callable[[], HttpResponse], seconds: float) -> HttpResponse:
    """
    Wait for *call*, but not longer than *seconds*.

    No client library has a deadline for an answer as a whole: one whose headers come drop by drop could take for ever.
    So the call has a thread of its own, a daemon, which does not keep a program from ending.
    """
    answer = started(call, name="foxy-auth-call")
    wait_for([answer], seconds)
    if not answer.done():
        raise TokenUnavailableError(f"no whole answer came within {seconds} seconds; try later")
    return answer.result()


def _call_requests(session: Any, request: HttpRequest, timeout: float, auth: object | None) -> HttpResponse:
    with session.request(
        request.method,
        request.url,
        data=request.body,
        # None takes away what the session would add.
        headers={"Authorization": None, **request.headers},
        auth=auth or _no_netrc,
        hooks={"response": [_as_it_is]},
        allow_redirects=False,
        stream=True,
        timeout=timeout,
    ) as response:
        # In 2**16 pieces at most, a token's answer byte by byte: larger ones are gathered without a look at the clock.
        body = _read(response.iter_content(request.max_bytes // MAX_TOKEN_RESPONSE), request, timeout)
        return HttpResponse(response.status_code, _lower(response.headers), body)


def _call_httpx(client: Any, request: HttpRequest, timeout: float, auth: object | None) -> HttpResponse:
    built = client.build_request(request.method, request.url, content=request.body, timeout=timeout)
    built.headers.pop("Authorization", None)  # which the client would add
    built.headers.update(request.headers)
    try:
        response = client.send(built, auth=auth, follow_redirects=False, stream=True)
    except import_module(library_of(client) or "").HTTPStatusError as error:
        # A hook of the user's has raised; unless it has read the answer, what that said is lost.
        response = error.response
        body = response.content if response.is_stream_consumed else b""
        return HttpResponse(response.status_code, _lower(response.headers), body)
    try:
        return HttpResponse(
            response.status_code, _lower(response.headers), _read(response.iter_bytes(), request, timeout)
        )
    finally:
        response.close()


def _no_netrc(request: Any) -> Any:
    """Sign nothing: with no `auth` at all, requests would take the password for this host from netrc."""
    return request


def _as_it_is(response: Any, **_: Any) -> Any:
    """Leave *response* alone: hooks of the session would log it, or raise for its status, and hide what it says."""
    return response


def _read(pieces: Iterable[bytes], request: HttpRequest, timeout: float) -> bytes:
    """Join *pieces*, but neither endlessly nor without end in sight."""
    until = time.monotonic() + timeout
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > request.max_bytes:
            message = f"the answer of {request.url} is longer than {request.max_bytes} bytes; check that address"
            raise TokenUnavailableError(message)
        if time.monotonic() > until:
            raise TokenUnavailableError(f"the answer of {request.url} did not end within {timeout} seconds; try later")
    return bytes(body)


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _unsent_requests(module: Any, error: Exception) -> bool:
    """Tell whether the connection failed, so that nothing was sent."""
    never = (module.exceptions.ConnectTimeout, module.exceptions.ProxyError)
    reason = getattr(error.args[0], "reason", None) if error.args else None
    # requests and niquests bring different urllib3s, so the reason is known by its name.
    return isinstance(error, never) or "NewConnectionError" in {kind.__name__ for kind in type(reason).__mro__}


def _unsent_httpx(module: Any, error: Exception) -> bool:
    never = (module.ConnectError, module.ConnectTimeout, module.PoolTimeout, module.ProxyError)
    return isinstance(error, never)


def _without_request(error: Exception) -> Exception:
    """Take from *error*, and from what led to it, the request and the frames, in which the secrets stand."""
    link: Any = error
    while link is not None:
        link.__traceback__ = None
        for name in ("request", "response"):
            if name in vars(link) or f"_{name}" in vars(link):
                setattr(link, name, None)
        link = link.__cause__ or link.__context__
    return error


@dataclass(frozen=True, slots=True)
class _Family:
    """What is common to a client library and its successor: the name of its client, and how to deal with that."""

    client: str
    call: Callable[[Any, HttpRequest, float, object | None], HttpResponse]
    unsent: Callable[[Any, Exception], bool]


# The libraries that can carry a call, in the order of preference where the caller's own is not known.
_FAMILIES = {
    "requests": _Family("Session", _call_requests, _unsent_requests),
    "httpx": _Family("Client", _call_httpx, _unsent_httpx),
    "httpx2": _Family("Client", _call_httpx, _unsent_httpx),
    "niquests": _Family("Session", _call_requests, _unsent_requests),
}
