"""How a request of requests or niquests is sent again after a 401."""

# ruff: noqa: SLF001 - what is private to `RequestsAuth` is not to this module, nor is a response's content
# pyright: reportPrivateUsage=false

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from io import BytesIO
from threading import local
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from foxy_auth._clients.bodies import rewind
from foxy_auth._clients.challenge import Attempt, answer_401, check_not_moved, decoded_401, record_retry
from foxy_auth._clients.errors import client_errors
from foxy_auth._engine.grant import Signature
from foxy_auth._oauth import UNAUTHORIZED, VERSION_HEADER
from foxy_auth._oauth.content_coding import is_stacked
from foxy_auth._oauth.messages import MAX_401_BODY, AuthorizationHeader, merged_cookies
from foxy_auth._oauth.origin import plain_origin
from foxy_auth._time import monotonic
from foxy_auth._transport import PROXY_REFUSAL, undecoded
from foxy_auth.environment import Environment

if TYPE_CHECKING:
    from foxy_auth._clients.requests import ResponseHook

CHUNK = 2**4  # bytes; small, for a chunk is gathered without a look at the clock
BAD_REQUEST = 400


class _Sendings(local):
    """How far the sendings of one thread have come that were retried and then redirected, by their first requests."""

    def __init__(self) -> None:
        self.attempts: WeakKeyDictionary[Any, Attempt] = WeakKeyDictionary()


_sendings = _Sendings()


def check_address(request: Any, environment: Environment) -> None:
    """Raise `ValueError` if *request*, which was sent, has taken a token out of *environment*."""
    if isinstance(request.headers.get("Authorization"), AuthorizationHeader):
        check_not_moved(request.url, environment)


def answer(hook: ResponseHook, response: Any, sending: dict[str, Any]) -> Any:
    """Return *response*, or the response to a retry, where *hook* met it."""
    request = response.request
    if not hook.auth._environment.covers(request.url):
        hook.detach(request)  # from now on that origin chooses where the redirects lead
        return response
    first = hook.request() or request
    attempt = _sendings.attempts.pop(first, None)
    if attempt is None or request is first:  # a sending of its own: of the request, or of a copy, maybe redirected
        first, attempt = request, Attempt(hook.signature)
    while _is_about_credentials(response) and attempt.may_retry(response.request.headers):
        retried = _retry(hook, response, attempt, sending)
        if retried is None:
            return response
        attempt, response = retried
        # The request, or a copy of it, may be sent anew.
        hook._replace(request=ref(first), signature=attempt.signature).attach(request)
    if response.status_code == UNAUTHORIZED and is_stacked(response.headers.get("Content-Encoding", "")):
        _leave_coded(response)  # for the session would decode it, however long
    if attempt.retries and response.is_redirect:
        _sendings.attempts[first] = attempt
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
    if plain_origin(request.url):
        module = import_module(hook.library)
        if module.utils.select_proxy(request.url, sending.get("proxies")):  # a redirect may have led there
            raise ValueError(PROXY_REFUSAL)
    read = _read_401(response, hook.library, source.timeout)
    retry = answer_401(attempt, request.headers, response.headers, read, source)
    del read  # it may repeat the token
    if retry is None:
        return None
    with client_errors(hook.library, request):
        obtained = source.obtain(hook.library, retry.rejected)
    if not (hasattr(response, "connection") and _rewind(request.body, hook.start)):
        return None  # what cannot be sent again: R16, and responses of adapters that tell no way back
    attempt = attempt.next(retry, obtained)
    retried = _send_again(response, attempt.signature, auth._api_version, sending, hook.library)
    record_retry(attempt, retried.status_code, retried.request.headers, source)
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
    Read *response*, give its connection back, for the retry needs one, and return its body decoded.

    A long body, and one that takes more *seconds*, is cut off, at the next whole chunk; of one that breaks off there is
    what could be read. The caller reads that as if it came from the connection.
    """
    urllib3 = import_module(f"{library}.packages").urllib3
    until = monotonic() + seconds
    body = bytearray()
    chunks, coding = undecoded(response, CHUNK)
    with suppress(import_module(library).RequestException, urllib3.exceptions.HTTPError):
        for chunk in chunks:
            body += chunk
            if len(body) > MAX_401_BODY or monotonic() > until:
                break
    response.close()
    decoded, is_harmless = decoded_401(bytes(body), coding)
    if isinstance(response.raw, urllib3.HTTPResponse):
        if not is_harmless:
            _leave_coded(response)
        response.raw = _in_memory(urllib3, response.raw, bytes(body))
    else:
        # What iter_content has taken is gone, unless it is left where `content` looks for it.
        response._content, response._content_consumed = bytes(body), True
    return decoded


def _leave_coded(response: Any) -> None:
    """Let nobody decode the body of *response*."""
    for headers in (response.headers, getattr(response.raw, "headers", {})):
        headers.pop("Content-Encoding", None)


def _in_memory(urllib3: Any, raw: Any, body: bytes) -> Any:
    """Return a response of *urllib3* like *raw*, whose body is at hand, and is decoded when it is read."""
    return urllib3.HTTPResponse(
        BytesIO(body),
        raw.headers,
        raw.status,
        raw.version,
        reason=raw.reason,
        preload_content=False,
        original_response=raw._original_response,  # from which the session takes the cookies
        enforce_content_length=False,
    )


def _rewind(body: Any, start: int | None) -> bool:
    """Make *body* ready to be sent again; tell whether that can be relied on (R16)."""
    return body is None or isinstance(body, str | bytes | bytearray | memoryview) or rewind(body, start)
