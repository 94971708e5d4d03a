"""Take the method of a request from a header, for clients that can send nothing but GET and POST."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HEADER = "HTTP_X_HTTP_METHOD_OVERRIDE"
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


def overriding(application: WSGIApplication) -> WSGIApplication:
    """Let a POST stand for the method that its `X-HTTP-Method-Override` names."""

    def overridden(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ.get(_HEADER, "").upper()
        if environ["REQUEST_METHOD"] == "POST" and method in _METHODS:
            environ = {**environ, "REQUEST_METHOD": method}
        return application(environ, start_response)

    return overridden
