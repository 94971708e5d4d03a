"""How a request of requests or niquests is sent again after a 401."""

# ruff: noqa: SLF001 - what is private to `RequestsAuth` is not to this module, nor is a response's content
# pyright: reportPrivateUsage=false

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any
from weakref import ref

from foxy_auth._clients.bodies import rewind
from foxy_auth._clients.challenge import Attempt, answer_401, record_retry
from foxy_auth._clients.errors import client_errors
from foxy_auth._engine.grant import Signature
from foxy_auth._oauth import UNAUTHORIZED, VERSION_HEADER
from foxy_auth._oauth.messages import MAX_401_BODY, merged_cookies

if TYPE_CHECKING:
    from foxy_auth._clients.requests import ResponseHook

CHUNK = 2**4  # bytes; small, for a chunk is gathered without a look at the clock
BAD_REQUEST = 400


def answer(hook: ResponseHook, response: Any, sending: dict[str, Any]) -> Any:
    """Return *response*, or the response to a retry, where *hook* met it."""
    request = response.request
    if not hook.auth._environment.covers(request.url):
        hook.detach(request)  # from now on that origin chooses where the redirects lead
        return response
    is_first = hook.attempt is None or request is hook.request()  # a sending of its own, and no redirect yet
    attempt = Attempt(hook.signature) if is_first else hook.attempt
    assert attempt is not None  # noqa: S101 - or it would be the first
    while _is_about_credentials(response) and attempt.may_retry(response.request.headers):
        retried = _retry(hook, response, attempt, sending)
        if retried is None:
            return response
        attempt, response = retried
    return response


def _is_about_credentials(response: Any) -> bool:
    """Tell whether a response may be about credentials; to those from a netrc, no Bearer, Foxy says 400."""
    status: int = response.status_code
    sent: str = response.request.headers.get("Authorization", "")
    return status == UNAUTHORIZED or (status == BAD_REQUEST and sent.startswith("Basic "))


def _retry(hook: ResponseHook, response: Any, attempt: Attempt, sending: dict[str, Any]) -> tuple[Attempt, Any] | None:
    """Send the refused request again, if that may help and can be done."""
    request, auth = response.request, hook.auth
    source = auth._source
    body = _read_401(response, hook.library, source.timeout)
    retry = answer_401(attempt, request.headers, response.headers, body, source)
    if retry is None:
        return None
    with client_errors(hook.library, request):
        obtained = source.obtain(hook.library, retry.rejected)
    if not (hasattr(response, "connection") and _rewind(request.body, hook.start)):
        return None  # what cannot be sent again: R16, and responses of adapters that tell no way back
    attempt = attempt.next(retry, obtained)
    retried = _send_again(response, attempt.signature, auth._api_version, sending, hook.library)
    record_retry(attempt, retried.status_code, retried.request.headers, source)
    # A redirect goes on with this sending. Otherwise the request, or a copy of it, may be sent anew.
    first = hook.request if hook.attempt else ref(request)
    going_on = attempt if retried.is_redirect else None
    hook._replace(request=first, signature=attempt.signature, attempt=going_on).attach(request)
    return attempt, retried


def _send_again(response: Any, signature: Signature, api_version: str, sending: dict[str, Any], library: str) -> Any:
    """
    Send the refused request of *response* once more, signed anew, and make the response look like any other.

    The request object stays the caller's own, for the session resolves redirects from it; the refused response keeps a
    copy of it as it was sent.
    """
    request = response.request
    response.request = request.copy()
    request.headers["Authorization"] = signature.authorization
    request.headers.setdefault(VERSION_HEADER, api_version)
    _take_cookies(request, response, import_module(f"{library}.cookies"))
    started = perf_counter()
    retried = response.connection.send(request, **sending)
    retried.elapsed = timedelta(seconds=perf_counter() - started)
    retried.history = [*retried.history, *response.history, response]
    return retried


def _take_cookies(request: Any, response: Any, cookies: Any) -> None:
    """Send back the cookies that *response* has set, as the session would with its next request."""
    bare = request.copy()
    bare.headers.pop("Cookie", None)
    if fresh := cookies.get_cookie_header(response.cookies, bare):
        request.headers["Cookie"] = merged_cookies(request.headers.get("Cookie", ""), fresh)


def _read_401(response: Any, library: str, seconds: float) -> bytes:
    """
    Read *response* and give its connection back, for the retry needs one.

    A long body, and one that takes more *seconds*, is cut off, at the next whole chunk; of one that breaks off, or is
    not coded as it says, there is what could be read.
    """
    until = monotonic() + seconds
    body = bytearray()
    with suppress(import_module(library).RequestException):
        for chunk in response.iter_content(CHUNK):
            body += chunk
            if len(body) > MAX_401_BODY or monotonic() > until:
                break
    response.close()
    # What iter_content has taken is gone, unless it is left where `content` looks for it.
    response._content, response._content_consumed = bytes(body), True
    return bytes(body)


def _rewind(body: Any, start: int | None) -> bool:
    """Make *body* ready to be sent again; tell whether that can be relied on (R16)."""
    return body is None or isinstance(body, str | bytes | bytearray | memoryview) or rewind(body, start)
