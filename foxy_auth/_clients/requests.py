"""
What requests and niquests call: an auth callable that signs a prepared request, and a response hook that answers a 401.

The hook rides on the request, through redirects too. It knows nothing of one sending, for many threads may send one
prepared request at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import ref

from foxy_auth._libraries import library_of_class
from foxy_auth._oauth import UNAUTHORIZED, VERSION_HEADER

if TYPE_CHECKING:
    from foxy_auth._engine.grant import Signature
    from foxy_auth._engine.source import TokenSource
    from foxy_auth.environment import Environment

R = TypeVar("R")

REDIRECTION = 300


class RequestsAuth:
    """What requests and niquests call."""

    _source: TokenSource
    _environment: Environment
    _api_version: str

    def __call__(self, request: R) -> R:
        """Sign a request; called by requests and niquests."""
        prepared: Any = request
        library = library_of_class(type(request))  # type: ignore[arg-type]  # classes are hashable
        if library not in {"requests", "niquests"}:
            message = (
                f"FoxyAuth signs requests of requests, niquests, httpx and httpx2, "
                f"not {type(request).__module__}.{type(request).__name__}; for another client use its headers()"
            )
            raise TypeError(message)
        if library == "niquests":
            _check_session()
        signature = self._source.grant.signature
        if (
            signature is None
            or not signature.fresh_from <= self._source.now() < signature.fresh_until
            or not prepared.url.startswith(self._environment.prefixes)
        ):
            if not self._environment.covers(prepared.url):
                from foxy_auth._clients.unsigned import note_unsigned

                note_unsigned(self, prepared.url, self._environment)
                return request
            signature = self._obtain_for(prepared, library)
        if prepared.url.startswith("http:"):
            from foxy_auth._clients.proxies import refuse_proxy

            refuse_proxy(library, prepared.url)
        headers = prepared.headers
        headers["Authorization"] = signature.authorization
        if VERSION_HEADER not in headers:
            headers[VERSION_HEADER] = self._api_version
        start = None
        if prepared.body is not None:
            from foxy_auth._clients.bodies import start_of

            start = start_of(prepared.body)
        ResponseHook(self, library, ref(request), signature, start).attach(prepared)
        return request

    def _obtain_for(self, request: Any, library: str) -> Signature:
        from foxy_auth._clients.errors import client_errors

        with client_errors(library, request):
            return self._source.obtain(library).signature


def _check_session() -> None:
    """Refuse `niquests.AsyncSession`, which would be blocked, and whose requests could not be sent again."""
    from importlib import import_module
    from traceback import walk_stack

    from foxy_auth._engine.event_loops import on_loop

    code = import_module("niquests").AsyncSession.request.__code__
    if on_loop() and any(frame.f_code is code for frame, _ in walk_stack(None)):  # no request tells its session
        message = (
            "niquests.AsyncSession needs an async auth object, which FoxyAuth is not: "
            "use httpx.AsyncClient, or niquests.Session in a thread"
        )
        raise TypeError(message)


class ResponseHook(NamedTuple):
    """
    The response hook of one request: looks at every response, and has a refused request sent again.

    Attributes:
        auth: Who signed it.

        library: The name of its library.

        request: The request as it is before any redirect; it holds this hook itself.

        signature: What it was signed with.

        start: Where its file begins, if it sends one.
    """

    auth: RequestsAuth
    library: str
    request: ref[Any]
    signature: Signature
    start: int | None

    def attach(self, request: Any) -> None:
        """Let *request* carry this hook, before those of its users, in place of any other of ours."""
        # In one step, for other threads may be sending the request; and anew, for its copies share its hooks.
        request.hooks = {**request.hooks, "response": [self, *_hooks_of_users(request)]}

    def detach(self, request: Any) -> None:
        """Let *request* carry no hook of ours."""
        request.hooks = {**request.hooks, "response": _hooks_of_users(request)}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle, within a response, to a hook that does nothing and knows nothing."""
        return _SpentHook, ()

    def __call__(self, response: Any, /, **sending: Any) -> Any:
        """
        Return *response*, or the response to a retry.

        Args:
            response: The response.

            sending: How the request was sent: timeout, proxies and so on.

        Raises:
            ValueError: Somebody has moved the signed request to another origin.
        """
        request = response.request
        environment = self.auth._environment  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        if not request.url.startswith(environment.prefixes):  # a redirect, which has taken the token away; or moved
            from foxy_auth._clients.requests_retry import check_address

            check_address(request, environment)
        if not REDIRECTION <= response.status_code <= UNAUTHORIZED:
            return response
        from foxy_auth._clients.requests_retry import answer

        return answer(self, response, sending)


def _hooks_of_users(request: Any) -> list[Any]:
    return [hook for hook in request.hooks["response"] if not isinstance(hook, ResponseHook)]


class _SpentHook:
    """What is left of a `ResponseHook` that went through a pickle."""

    def __call__(self, response: Any, /, **_sending: Any) -> Any:
        return response
