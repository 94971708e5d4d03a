"""The gate: every request passes it, is entered in the journal, and meets the faults ordered for it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from werkzeug.datastructures import EnvironHeaders
from werkzeug.wrappers import Response
from werkzeug.wsgi import get_input_stream

from foxy_auth.emulator._body import CountedBody
from foxy_auth.emulator._faults import TOKEN_PATH, Faults
from foxy_auth.emulator._journal import Call, HeaderFields, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_FORM_LIMIT = 1024 * 1024  # bytes of a token request


class Gate:
    """Stand before an application: enter each request, hold it, spoil it, drain it."""

    def __init__(
        self, application: WSGIApplication, journal: Journal, faults: Faults, clock: Callable[[], float]
    ) -> None:
        """Guard *application*; *clock* gives the times in the journal."""
        self._application = application
        self._journal = journal
        self._faults = faults
        self._clock = clock

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        body = CountedBody(get_input_stream(environ))
        environ["wsgi.input"], environ["wsgi.input_terminated"] = body, True
        call = replace(_arrived(environ), arrived_at=self._clock())
        if call.path == TOKEN_PATH:
            call = _with_form(call, environ, body)
        number = self._journal.open(call)
        status = answered_at = None
        try:
            answer = self._answer(environ, call.path)
            body.drain()
            status, answered_at = answer.status_code, self._clock()
        finally:
            self._journal.note(
                number, body_length=body.length, body_sha256=body.sha256, status=status, answered_at=answered_at
            )
        return answer(environ, start_response)

    def _answer(self, environ: WSGIEnvironment, path: str) -> Response:
        def work() -> Response:
            return Response.from_app(self._application, environ)

        self._faults.hold(path)
        fault = self._faults.take(path)
        return work() if fault is None else fault(work)


def _arrived(environ: WSGIEnvironment) -> Call:
    headers = HeaderFields(dict(EnvironHeaders(environ)))
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    return Call(
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),  # PEP 3333 has it as bytes in disguise
        query=environ["QUERY_STRING"],
        headers=headers,
        access_token=credentials.strip() if scheme.lower() == "bearer" else None,
    )


def _with_form(call: Call, environ: WSGIEnvironment, body: CountedBody) -> Call:
    """Read a token request at once, so that its fields are known while it is held."""
    content = body.read_up_to(_FORM_LIMIT)
    environ["wsgi.input"] = io.BytesIO(content)
    is_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    form = dict(parse_qsl(content.decode("utf-8", "replace"), keep_blank_values=True)) if is_form else {}
    return replace(call, form=form, body_length=body.length, body_sha256=body.sha256)
