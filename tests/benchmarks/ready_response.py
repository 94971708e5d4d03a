"""Null transports: they respond without a network, so that only the work of the clients and of their auth counts."""

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter


class ReadyAdapter(BaseAdapter):
    """A null transport for requests."""

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Respond."""
        response = Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response.raw = BytesIO(b"{}")
        return response

    def close(self) -> None:
        """Hold nothing."""


def ready_transport(library: str, *, asynchronous: bool) -> Any:
    """Return a null transport for httpx or httpx2."""
    module = import_module(library)

    class ReadyTransport(module.AsyncBaseTransport if asynchronous else module.BaseTransport):  # type: ignore[misc]
        def handle_request(self, _: object) -> Any:
            return module.Response(200, content=b"{}")

        async def handle_async_request(self, _: object) -> Any:
            return module.Response(200, content=b"{}")

    return ReadyTransport()
