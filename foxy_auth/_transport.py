"""
One request through whichever client library is there: values in, values out.

A token request carries the client secret, so it follows no redirect and uses no netrc and no cookies. Proxies and
certificate authorities come from the usual environment variables, or from the client that the user gave; what goes to
this machine goes through no proxy. The response is asked for uncoded, and otherwise decoded here, up to its limit.

Without such a client, each request has a client of its own, and so a connection of its own: one that was kept open may
break off just when it is used again, and then nobody knows whether the provider has issued a token. What is costly
about a client, its TLS context, is kept.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from foxy_auth._libraries import library_of
from foxy_auth._oauth.content_coding import decode
from foxy_auth._oauth.messages import MAX_TOKEN_RESPONSE, HttpRequest, HttpResponse
from foxy_auth._oauth.origin import Origin, is_on_loopback, plain_origin
from foxy_auth._outages import Sending, outage_of
from foxy_auth._secrets import Secret, links, without_secrets
from foxy_auth._time import monotonic
from foxy_auth.errors import FoxyAuthError, TokenUnavailableError

# What the variables name that decide about certificate authorities, for each library.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
UNCODED = {"Accept-Encoding": "identity"}
PROXY_REFUSAL = (
    "a request in plain http to this machine would leave through a proxy, which could read the secrets; "
    "name the host in the environment variable NO_PROXY, or use a client without proxies"
)
CHUNK = 2**13  # bytes
GRACE = 0.5  # seconds for what has arrived already when a deadline has passed: the process may have been stopped

# Called right before a request leaves; an error that it raises keeps the request from leaving.
before_sending: ContextVar[Callable[[], object]] = ContextVar("foxy_auth_before_sending", default=lambda: None)

# Held while a client library is imported, and while the process forks: a child that was forked in the middle of an
# import could never import that module.
_importing = Lock()
if hasattr(os, "register_at_fork"):
    _release = _importing.release
    os.register_at_fork(before=_importing.acquire, after_in_parent=_release, after_in_child=_release)


def check_client(client: object) -> None:
    """
    Refuse what cannot carry a token request; None leaves the choice to each request.

    Raises:
        TypeError: *client* is no synchronous client of a known library.
    """
    if client is None:
        return
    library = library_of(client)
    if library is not None and isinstance(client, getattr(import_module(library), _FAMILIES[library].client)):
        return
    raise TypeError(
        f"http takes a requests.Session, httpx.Client, httpx2.Client or niquests.Session, not {_kind_of(client)}"
    )


def _kind_of(client: Any) -> str:
    """Say what *client* is, which is no synchronous client, and what to give instead."""
    if isinstance(client, type | ModuleType):
        what = "class" if isinstance(client, type) else "module"
        family = _FAMILIES.get(client.__name__) if isinstance(client, ModuleType) else None
        made = f"{client.__name__}.{family.client}" if family else f"{client.__name__}"
        return f"the {what} {client.__name__} itself; give an object, such as {made}()"
    kind = f"{type(client).__module__}.{type(client).__name__}".removeprefix("builtins.")
    if "Async" in kind:
        return f"{kind}; token requests run in a thread of their own, so async programs give a synchronous client too"
    return kind


def send(
    request: HttpRequest,
    *,
    through: object,
    timeout: float,
    auth: object | None = None,
    hidden: Callable[[], Iterable[Secret]] = tuple,
) -> HttpResponse:
    """
    Send *request* and return the response, whatever its status.

    Args:
        request: The request.

        through: The name of a client library, or one of its synchronous clients, which stays open.

        timeout: Seconds for each wait on the network, and for the response's body.

        auth: An auth object that signs the request; None sends it as it is.

        hidden: Tells which secrets errors must not repeat: a response that cannot be read is quoted in some.

    Raises:
        TokenUnavailableError: No whole response came, or a larger one than *request* allows; its `repeatable` tells
            whether the request is sure not to have reached the provider.
    """
    library = through if isinstance(through, str) else library_of(through)
    assert library is not None  # noqa: S101 - check_client has seen it
    with _importing:
        module, family = import_module(library), _FAMILIES[library]
    with (
        explained(request.url, library, timeout=timeout, is_by_users_client=through is not library, hidden=hidden),
        make_client(library, request.url) if isinstance(through, str) else nullcontext(through) as client,
    ):
        return family.send(module, client, request, timeout, auth)


@contextmanager
def explained(
    url: str,
    library: str,
    *,
    timeout: float,
    is_by_users_client: bool = False,
    hidden: Callable[[], Iterable[Secret]] = tuple,
) -> Generator[None]:
    """
    Turn the errors of *library*, when no response came from *url*, into ours.

    Raises:
        TokenUnavailableError: As `send` raises it.
    """
    try:
        yield
    except FoxyAuthError:  # from us, or from *auth*
        raise
    except Exception as error:  # noqa: BLE001 - no error of a client library passes, be it its own or a mock's
        secrets, is_unsent = tuple(hidden()), _FAMILIES[library].is_unsent(import_module(library), error)
        outage = outage_of(error, is_unsent=is_unsent)
        message = Sending(url, library, timeout, is_by_users_client, secrets).explain(error, outage)
        raise TokenUnavailableError(message, repeatable=is_unsent, outage=outage) from _strip(error, secrets)


def _strip(error: Exception, hidden: Iterable[Secret]) -> BaseException:
    """Take from *error*, and from what led to it, the request, the frames and what is *hidden*."""
    for link in links(error):
        for name in ("request", "response"):
            if name in vars(link) or f"_{name}" in vars(link):
                setattr(link, name, None)
    return without_secrets(error, hidden, guess=False)


def _read(chunks: Iterable[bytes], coding: str, request: HttpRequest, timeout: float) -> bytes:
    """Join and decode *chunks*, but neither endlessly nor without end in sight."""
    try:
        return decode(_joined(chunks, request, timeout), coding, request.max_bytes)
    except ValueError as error:
        message = f"the response of {request.url} cannot be read, for {error}; check that address"
        raise TokenUnavailableError(message) from None


def _joined(chunks: Iterable[bytes], request: HttpRequest, timeout: float) -> bytes:
    until = monotonic() + timeout
    looks_again = True
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > request.max_bytes:
            message = f"the response of {request.url} is longer than {request.max_bytes} bytes; check that address"
            raise TokenUnavailableError(message)
        if (now := monotonic()) > until:
            if not looks_again:
                message = f"the response of {request.url} did not end within {timeout} seconds; try later"
                raise TokenUnavailableError(message, outage="read_timeout")
            looks_again, until = False, now + GRACE
    return bytes(body)


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


# --- a client for each request --------------------------------------------------------------------------------------

_context_lock = Lock()  # so that one thread reads the certificate authorities for all


def _after_fork() -> None:
    """Free the lock, which another thread of the parent may have held."""
    global _context_lock  # noqa: PLW0603
    _context_lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def make_client(library: str, url: str) -> Any:
    """Make a client for one request to *url*, with the settings of the environment variables."""
    context = None
    if url.startswith("https:"):
        with _context_lock:
            context = _tls_context(library, _certificates())
    return _FAMILIES[library].make_client(import_module(library), context, url)


def tls_context(library: str) -> ssl.SSLContext:
    """Make a TLS context that trusts what *library* trusts."""
    return _FAMILIES[library].make_context(import_module(library)) or ssl.create_default_context()


def _certificates() -> tuple[tuple[str, str, float], ...]:
    """Tell which certificate authorities the environment names, and from when they are."""
    named = ((name, os.environ.get(name, "")) for name in CERTIFICATES)
    return tuple(
        (name, path, Path(path).stat().st_mtime if path and Path(path).exists() else 0.0) for name, path in named
    )


@cache
def _tls_context(library: str, certificates: tuple[tuple[str, str, float], ...]) -> ssl.SSLContext | None:  # noqa: ARG001
    """Make the TLS context of *library*; it takes tens of milliseconds to read the certificate authorities."""
    return _FAMILIES[library].make_context(import_module(library))


# --- requests and niquests ------------------------------------------------------------------------------------------


def _make_requests_context(module: Any) -> ssl.SSLContext | None:
    if module.__name__ == "niquests":  # which keeps its own
        return None
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or module.certs.where()
    context: ssl.SSLContext = import_module("urllib3.util.ssl_").create_urllib3_context()
    context.load_verify_locations(**{"capath" if Path(bundle).is_dir() else "cafile": bundle})
    return context


def _make_session(module: Any, context: ssl.SSLContext | None, url: str) -> Any:
    session = module.Session()
    session.trust_env = False  # but for what is looked up here
    session.proxies = {} if is_on_loopback(url) else module.utils.get_environ_proxies(url)
    if module.__name__ == "requests":
        session.is_ours = True
        for scheme in ("http://", "https://"):
            session.mount(scheme, _adapter_class(module)(context))
    else:
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    return session


@cache
def _adapter_class(module: Any) -> Any:
    """Derive an adapter that uses one TLS context, and tells when a request leaves."""
    urllib3: Any = import_module("urllib3")

    class Adapter(module.adapters.HTTPAdapter):  # type: ignore[misc]
        def __init__(self, context: ssl.SSLContext | None) -> None:
            self._options = {"ssl_context": context} if context else {}
            parent: Any = super()
            parent.__init__()

        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            parent: Any = super()
            parent.init_poolmanager(*args, **options, **self._options)
            self.poolmanager.pool_classes_by_scheme = pools()

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            parent: Any = super()
            manager: Any = parent.proxy_manager_for(proxy, **options, **self._options)
            manager.pool_classes_by_scheme = pools()
            return manager

        def cert_verify(self, *_: Any) -> None:
            """Leave it to the TLS context; this would read the certificate authorities for each connection."""

    def pools() -> dict[str, Any]:
        kinds = {"http": urllib3.HTTPConnectionPool, "https": urllib3.HTTPSConnectionPool}
        return {scheme: _watched(pool, pool.ConnectionCls) for scheme, pool in kinds.items()}

    return Adapter


@cache
def _watched(pool: Any, connection: Any) -> Any:
    """Derive a connection pool whose connections call `before_sending`, unless they are a mock's."""
    if not connection.__module__.startswith("urllib3."):
        return pool

    def send(self: Any, *args: Any, **options: Any) -> Any:
        if self.sock is None:
            self.connect()
        before_sending.get()()
        return connection.send(self, *args, **options)

    return type(pool.__name__, (pool,), {"ConnectionCls": type(connection.__name__, (connection,), {"send": send})})


def _send_requests(
    module: Any, session: Any, request: HttpRequest, timeout: float, auth: object | None
) -> HttpResponse:
    hooks: dict[str, Any] = {"response": [_leave_alone]}
    headers: dict[str, str | None] = {"Authorization": None}  # which takes away what the session would add
    if plain_origin(request.url) and is_by_proxy(module, session, request.url):
        raise TokenUnavailableError(PROXY_REFUSAL)
    if module.__name__ == "niquests":
        hooks["pre_send"] = [_note_sending]
    elif not hasattr(session, "is_ours"):  # no session of the user's tells when a request leaves
        before_sending.get()()
    with session.request(
        request.method,
        request.url,
        data=request.body,
        headers={**headers, **request.headers, **UNCODED},
        auth=auth or _no_netrc,
        hooks=hooks,
        allow_redirects=False,
        stream=True,
        timeout=timeout,
    ) as response:
        # In 2**16 chunks at most, a token's byte by byte: larger ones may be gathered without a look at the clock.
        chunks, coding = undecoded(response, request.max_bytes // MAX_TOKEN_RESPONSE)
        body = _read(chunks, coding, request, timeout)
        return HttpResponse(response.status_code, _lower(response.headers), body)


def undecoded(response: Any, size: int) -> tuple[Iterable[bytes], str]:
    """Return the body of *response* as it comes, if need be in chunks of *size* bytes, and how it is coded."""
    raw = response.raw
    if not hasattr(raw, "stream") or response._content_consumed:  # noqa: SLF001 - there is no public way
        return response.iter_content(size), ""  # which decodes nothing then, or has done so
    # Not by `stream`: of a chunked body that would read the line before a chunk, however long.
    if hasattr(raw, "read1") and type(raw).__module__.startswith("urllib3"):  # not a mock's; read1 waits for no more
        chunks = iter(lambda: raw.read1(CHUNK, decode_content=False), b"")
    else:
        chunks = iter(lambda: raw.read(size, decode_content=False), b"")
    return chunks, response.headers.get("Content-Encoding", "")


def is_by_proxy(module: Any, session: Any, url: str, proxies: Mapping[str, str] | None = None) -> bool:
    """Tell whether a proxy of *session*, of the environment or of the request would get a request to *url*."""
    settings = session.merge_environment_settings(url, dict(proxies or {}), None, None, None)
    return bool(module.utils.select_proxy(url, settings["proxies"]))


def _note_sending(_: object) -> None:
    before_sending.get()()


def _no_netrc(request: Any) -> Any:
    """Sign nothing: with no `auth` at all, requests would take the password for this host from netrc."""
    return request


def _leave_alone(response: Any, **_: Any) -> Any:
    """
    Return *response*: hooks of the session would log it, or raise for its status, and hide what it says.

    But the session must not see that it is a redirect, for it would read and decode its body, however long.
    """
    if response.is_redirect:
        del response.headers["Location"]
    return response


def _is_unsent_by_requests(module: Any, error: Exception) -> bool:
    """Tell whether the connection failed, so that nothing was sent."""
    never = (module.exceptions.ConnectTimeout, module.exceptions.ProxyError)
    reason = getattr(error.args[0], "reason", None) if error.args else None
    # requests and niquests bring different urllib3s, so the reason is known by its name.
    return isinstance(error, never) or "NewConnectionError" in {kind.__name__ for kind in type(reason).__mro__}


# --- httpx and httpx2 -----------------------------------------------------------------------------------------------


def _make_httpx_client(module: Any, context: ssl.SSLContext | None, url: str) -> Any:
    # Without certificate authorities nothing can be reached by TLS, which plain http does not need.
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return module.Client(verify=context, trust_env=not is_on_loopback(url))  # proxies are all that is left to trust


def _send_httpx(module: Any, client: Any, request: HttpRequest, timeout: float, auth: object | None) -> HttpResponse:
    plain = plain_origin(request.url)

    def trace(event: str, info: Any) -> None:
        if plain and tells_of_proxy(event, info, plain):
            raise TokenUnavailableError(PROXY_REFUSAL)
        if event.endswith("send_request_headers.started"):
            before_sending.get()()

    built = client.build_request(
        request.method, request.url, content=request.body, timeout=timeout, extensions={"trace": trace}
    )
    built.headers.pop("Authorization", None)  # which the client would add
    built.headers.update({**request.headers, **UNCODED})
    try:
        response = client.send(built, auth=auth, follow_redirects=False, stream=True)
    except module.HTTPStatusError as error:
        # A hook of the user's has raised; unless it has read the response, what that said is lost.
        response = error.response
        body = response.content if response.is_stream_consumed else b""
        return HttpResponse(response.status_code, _lower(response.headers), body)
    try:
        if response.is_stream_consumed:  # by a hook of the user's, or because it is a mock's
            chunks, coding = response.iter_bytes(), ""
        else:
            chunks, coding = response.iter_raw(), response.headers.get("Content-Encoding", "")
        body = _read(chunks, coding, request, timeout)
        return HttpResponse(response.status_code, _lower(response.headers), body)
    finally:
        response.close()


def tells_of_proxy(event: str, info: Any, origin: Origin) -> bool:
    """Tell whether by this *event* of httpcore's a proxy is about to get a request to *origin* in plain http."""
    if event.endswith("send_request_headers.started"):  # such proxies are sent the whole address
        return Origin.of(info["request"].url.target.decode("latin-1")) == origin
    if event.endswith("setup_socks5_connection.started"):
        return (info["host"], info["port"]) == (origin.host, origin.port)
    return False


def _is_unsent_by_httpx(module: Any, error: Exception) -> bool:
    """Tell whether the connection failed, so that nothing was sent."""
    return isinstance(error, (module.ConnectError, module.ConnectTimeout, module.PoolTimeout, module.ProxyError))


@dataclass(frozen=True, slots=True)
class _Family:
    """What is common to a client library and its successor: the name of its client, and how to deal with it."""

    client: str
    make_context: Callable[[Any], ssl.SSLContext | None]
    make_client: Callable[[Any, ssl.SSLContext | None, str], Any]
    send: Callable[[Any, Any, HttpRequest, float, object | None], HttpResponse]
    is_unsent: Callable[[Any, Exception], bool]


_REQUESTS = _Family("Session", _make_requests_context, _make_session, _send_requests, _is_unsent_by_requests)
_HTTPX = _Family(
    "Client", lambda module: module.create_ssl_context(), _make_httpx_client, _send_httpx, _is_unsent_by_httpx
)
_FAMILIES = {"requests": _REQUESTS, "httpx": _HTTPX, "httpx2": _HTTPX, "niquests": _REQUESTS}
