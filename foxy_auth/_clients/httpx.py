"""
What httpx and httpx2 call: an auth flow that signs a request, and hands a 401 to `httpx_retry`.

Nothing is held across a `yield`, for the client may drop a flow at any time, or finish it in another task. Token
requests go another way: what a flow yields are the caller's requests only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foxy_auth._oauth import UNAUTHORIZED, VERSION_HEADER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    import httpx

    from foxy_auth._engine.grant import Signature
    from foxy_auth._engine.source import TokenSource
    from foxy_auth.environment import Environment


class HttpxAuth:
    """What httpx and httpx2 call."""

    # As in the libraries' own `Auth`: uploads are not gathered in memory, and responses that succeed not read (R17).
    requires_request_body = False
    requires_response_body = False

    _source: TokenSource
    _environment: Environment
    _api_version: str

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign a request, and answer a 401; called by httpx and httpx2."""
        response = start = None
        signature = self._sign_if_fresh(request, is_async=False)
        if signature:
            if type(request.stream).__name__ != "ByteStream":  # what most requests have
                start = self._start_of(request)
            url = request.url
            response = yield request
            if request.url is not url:
                self._check_address(request, signature)
            if response.status_code != UNAUTHORIZED:
                return
        from foxy_auth._clients.httpx_retry import Wait, answer, begin, proceed

        if signature and response is not None:
            steps = answer(self, response, signature, start, is_async=False)
        else:
            steps = begin(self, request, is_async=False)
        step = proceed(steps, None)
        while step is not None:
            step = proceed(steps, step.wait() if isinstance(step, Wait) else (yield step))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Async version of `sync_auth_flow`, on asyncio or trio."""
        response = start = None
        signature = self._sign_if_fresh(request, is_async=True)
        if signature:
            if type(request.stream).__name__ != "ByteStream":  # what most requests have
                start = self._start_of(request)
            url = request.url
            response = yield request
            if request.url is not url:
                self._check_address(request, signature)
            if response.status_code != UNAUTHORIZED:
                return
        from foxy_auth._clients.httpx_retry import Wait, answer, begin, proceed

        if signature and response is not None:
            steps = answer(self, response, signature, start, is_async=True)
        else:
            steps = begin(self, request, is_async=True)
        step = proceed(steps, None)
        while step is not None:
            step = proceed(steps, await step.await_() if isinstance(step, Wait) else (yield step))

    def _sign_if_fresh(self, request: httpx.Request, *, is_async: bool) -> Signature | None:
        """Sign *request* and return the signature, if neither token nor address needs further care."""
        signature = self._source.grant.signature
        try:
            origin = request.url.scheme, request.url.netloc
        except AttributeError:  # another library's request, which is refused elsewhere
            return None
        if (
            signature is None
            or not signature.fresh_from <= self._source.now() < signature.fresh_until
            or origin not in self._environment.netlocs
        ):
            return None
        if origin[0] == "http":
            from foxy_auth._clients.proxies import guard

            guard(request, is_async=is_async)
        self._sign(request, signature)
        return signature

    def _sign(self, request: httpx.Request, signature: Signature) -> None:
        """Set the two headers of *request*."""
        headers = request.headers
        headers["Authorization"] = signature.authorization
        if VERSION_HEADER not in headers:
            headers[VERSION_HEADER] = self._api_version

    def _check_address(self, request: httpx.Request, signature: Signature) -> None:
        from foxy_auth._clients.httpx_retry import check_address

        check_address(self, request, signature)

    def _start_of(self, request: httpx.Request) -> int | None:
        from foxy_auth._clients.httpx_retry import start_of

        return start_of(request.stream)
