"""A network without sockets: programs reach the emulator's application by a call, and some responses get lost."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpcore
import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from foxy_auth.emulator import Emulator


@dataclass
class Issued:
    """
    A token that a program has received.

    Attributes:
        access_token: The token.

        holder: The program.

        failures: How often the store has failed that program since.

        is_holder_dead: Whether the program was killed.

        is_overtaken: Whether another program saved an older one later, of which this program cannot tell the age.
    """

    access_token: str
    holder: object
    failures: int = 0
    is_holder_dead: bool = False
    is_overtaken: bool = False

    def is_excused(self, saved: Sequence[str]) -> bool:
        """Tell whether others could not know of it: it was not saved, and could not be, for one failure is made up."""
        return self.access_token not in saved and (self.is_holder_dead or self.failures > 1)


class Network:
    """
    Between programs and an emulator.

    Attributes:
        counts: The token requests by what came of them: `issued`, `failed` or `refused`.

        refusals: Those that were refused, by program and refresh token.

        newest: The token that was received last; None since the last login.

        saved: The access tokens that were saved, and those of logins; the newest last.

        wrong: What must not have happened.

        stored: Returns the access token in the store, where a program saves that does not tell.
    """

    def __init__(self, foxy: Emulator) -> None:
        """Stand before *foxy*, which need not listen."""
        self._foxy = foxy
        self._application = httpx.WSGITransport(foxy._server._application)
        self._lock = Lock()
        self._faults: list[str] = []
        self._under_way: list[object] = []  # the programs that wait for a response
        self._dead: list[object] = []
        self._successors: dict[str, Issued] = {}  # what came for each refresh token
        self._order: list[str] = []  # the access tokens that were received
        self._ambiguous: set[int] = set()  # the threads whose last token request has an unknown outcome
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[tuple[object, str]] = Counter()
        self.newest: Issued | None = None
        self.saved: list[str] = []
        self.wrong: list[str] = []
        self.stored: Callable[[], str | None] = lambda: None

    def add_fault(self, fault: str) -> None:
        """Let a token request meet `unreachable`, `no response` or `lost response`."""
        self._faults.append(fault)

    def clear_faults(self) -> None:
        """Forget the faults that no token request has met."""
        self._faults.clear()
        self._foxy.clear_faults()

    def transport(self, program: object) -> httpx.BaseTransport:
        """Return the transport of *program*."""
        return _Transport(self, program)

    def send(self, request: httpx.Request, program: object) -> httpx.Response:
        """Send *request* of *program*, and wait for the response."""
        if request.url.path != "/token":
            return self._forward(request)
        sent = parse_qs(request.read().decode())["refresh_token"][0]
        with self._lock:
            fault = self._faults.pop(0) if self._faults else ""
        self._ambiguous.discard(get_ident())
        if fault == "unreachable":
            self.counts["failed"] += 1
            raise httpx.ConnectError(fault, request=request)
        if trace := request.extensions.get("trace"):
            # As httpcore does it.
            trace("http11.send_request_headers.started", {"request": httpcore.Request("POST", str(request.url))})
        return self._exchange(request, program, sent, fault)

    def _exchange(self, request: httpx.Request, program: object, sent: str, fault: str) -> httpx.Response:
        self.look()
        with self._lock:
            if self._under_way:
                self.wrong.append("two token requests are under way")
            former = self._successors.pop(sent, None)
            if self._is_spent(sent) and former and not former.is_excused(self.saved):
                self.wrong.append("a spent refresh token is sent, though the next was saved, or could have been")
            self._under_way.append(program)
        self._ambiguous.add(get_ident())
        try:
            if fault == "no response":
                raise httpx.ReadTimeout(fault, request=request)
            response = self._forward(request)
            if fault:
                raise httpx.ReadTimeout(fault, request=request)
        except httpx.TransportError:
            self.counts["failed"] += 1
            raise
        finally:
            with self._lock, suppress(ValueError):  # it was killed
                self._under_way.remove(program)
        if response.status_code not in {200, 504}:
            self._ambiguous.discard(get_ident())
        self._note(response, program, sent)
        return response

    def _note(self, response: httpx.Response, program: object, sent: str) -> None:
        token = _document(response).get("access_token")
        kind = "issued" if token else "refused" if "invalid_grant" in response.text else "failed"
        with self._lock:
            self.counts[kind] += 1
            self.refusals[program, sent] += kind == "refused"
            if token:
                self._order.append(token)
                self._successors[sent] = Issued(token, program, is_holder_dead=program in self._dead)
                self.newest = self._successors[sent] if program not in self._dead else None

    def note_pause(self) -> None:
        """Note that a token request is about to be sent again."""
        if get_ident() in self._ambiguous:
            self.wrong.append("a token request is repeated, though its outcome is unknown")

    def look(self) -> None:
        """Note what a program has saved that does not tell."""
        stored = self.stored()
        if stored is not None and stored not in self.saved:
            self.note_saved(stored)

    def note_saved(self, access_token: str) -> None:
        """Note that a token was saved, or came with a login."""
        with self._lock:
            if access_token not in self._order:
                self._order.append(access_token)
            if self.saved and self._order.index(access_token) < self._order.index(self.saved[-1]):
                self.wrong.append("a token is saved over a newer one")
            if self.newest and self.newest.access_token not in self.saved:
                self.newest.is_overtaken = self.newest.access_token != access_token
            self.saved.append(access_token)

    def note_store_failure(self, program: object) -> None:
        """Note that the store failed *program*."""
        for one in self._successors.values():
            if one.holder is program and one.access_token not in self.saved:
                one.failures += 1

    def note_death(self, program: object) -> None:
        """Note that *program* died, and what it had alone with it."""
        with self._lock:
            self._dead.append(program)
            self._under_way = [one for one in self._under_way if one is not program]
            for one in self._successors.values():
                one.is_holder_dead |= one.holder is program
            if self.newest and self.newest.holder is program:
                self.newest = None

    def _is_spent(self, refresh_token: str) -> bool:
        token = self._foxy._db.refresh_tokens.get(refresh_token)
        return token is not None and token.spent

    def is_good(self, refresh_token: str | None) -> bool:
        """Tell whether the provider takes *refresh_token*."""
        token = self._foxy._db.refresh_tokens.get(refresh_token or "")
        return token is not None and not token.spent

    def _forward(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._application.handle_request(request)
            content = response.read()
        except ConnectionError as error:
            raise httpx.ReadError(str(error), request=request) from None
        if len(content) < int(response.headers["Content-Length"]):
            raise httpx.RemoteProtocolError("the connection was closed before the end", request=request)
        return response


class _Transport(httpx.BaseTransport):
    def __init__(self, network: Network, program: object) -> None:
        self._network, self._program = network, program

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._network.send(request, self._program)


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = json.loads(response.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and response.status_code == 200 else {}
