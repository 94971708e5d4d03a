"""A second origin: it records what it is sent and answers the same to everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.wrappers import Request, Response

from foxy_auth.emulator._faults import Faults
from foxy_auth.emulator._gate import Gate
from foxy_auth.emulator._journal import Call, Journal
from foxy_auth.emulator._serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Elsewhere:
    """
    Stand for another party's server.

    Attributes:
        status: The status of its answers. `/bounce?to=URL` sends the client on to URL instead.
    """

    __slots__ = ("_journal", "_serving", "status")

    def __init__(self, clock: Callable[[], float]) -> None:
        """Prepare; `start` makes it listen. *clock* gives the times of its calls."""
        self.status = 200
        self._journal = Journal()
        self._serving = Serving(Gate(self._application, self._journal, Faults(), clock))

    @property
    def url(self) -> str:
        """Its address, `http://127.0.0.1:PORT`."""
        return self._serving.url

    @property
    def calls(self) -> list[Call]:
        """What it was sent, in the order of arrival."""
        return self._journal.calls()

    def clear_calls(self) -> None:
        """Forget what it was sent."""
        self._journal.clear()

    def start(self) -> None:
        """Listen on a free port."""
        self._serving.start()

    def close(self) -> None:
        """Stop listening."""
        self._serving.close()

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == "/bounce":
            answer = Response(status=302, headers={"Location": request.args.get("to", "/")})
        else:
            answer = Response(b'{"elsewhere": true}', self.status, content_type="application/json")
        return answer(environ, start_response)
