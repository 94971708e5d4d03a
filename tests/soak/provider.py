"""The provider: the emulator with refresh tokens that rotate, in front of it a network with faults, and a ledger."""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass
from random import Random
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs

from soak.lateness import watch
from soak.plan import LIFE, TIMEOUT
from soak.stores import digest
from werkzeug.wrappers import Response

from foxy_auth.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from foxy_auth.token import Token

HANG = TIMEOUT + 2.0  # seconds, after which a client has given up
# What a token request may meet, and how often in comparison. Those that lose a response cost the grant.
HARMLESS = {"500": 8, "502": 4, "503": 4, "429": 4, "slow": 8, "hang": 3, "drop": 8}
LOSING = {"drop after": 0.3, "truncate": 0.3, "hang after": 0.2}
USUAL, STORM = 0.01, 0.6  # the share of token requests that meet a fault
RETRY_AFTER = 2.0  # seconds, with a 503


@dataclass(slots=True)
class Exchange:
    """
    A token request.

    Attributes:
        tenant: Whose refresh token it brought.

        worker: Who sent it.

        sent: The digest of that refresh token.

        arrived: When, in monotonic seconds.

        fault: What it met; empty for nothing.

        ended: When the response was ready, or the connection dropped.

        status: Of the provider, whether or not the response got through; 0 if the provider was not reached.

        issued: The digest of the new refresh token.
    """

    tenant: str
    worker: str
    sent: str
    arrived: float
    fault: str
    ended: float = 0.0
    status: int = 0
    issued: str = ""

    @property
    def loses_response(self) -> bool:
        """Whether the fault lost a response with a token in it."""
        return self.fault in LOSING


@dataclass(frozen=True, slots=True)
class Loss:
    """
    A grant that is gone, because a refresh token was sent that was spent.

    Attributes:
        tenant: Whose.

        spent_by: The token request whose token nobody kept; None if there is none.

        found: The token request that found it out.
    """

    tenant: str
    spent_by: Exchange | None
    found: Exchange


class Provider:
    """
    An emulator with tenants; a context manager.

    Attributes:
        emulator: The emulator.

        exchanges: The token requests so far.

        losses: The grants that are gone.

        outages: For each loss, from when to when the tenant had no grant.

        late: From when to when this process got no processor time.

        storm_until: Until then many token requests meet a fault, in monotonic seconds.
    """

    def __init__(self, seed: int) -> None:
        """Prepare."""
        self.emulator = Emulator(access_token_life=LIFE)
        self.emulator.rotate_refresh_tokens = True
        self._application = self.emulator._server._application
        self.emulator._server._application = self._handle
        self._random = Random(seed)  # noqa: S311 - faults are no secrets
        self._lock = Lock()
        self._owners: dict[str, tuple[str, Exchange | None]] = {}  # of refresh tokens, and what spent each
        self.exchanges: list[Exchange] = []
        self.losses: list[Loss] = []
        self.outages: dict[str, list[list[float]]] = {}
        self.storm_until = 0.0
        self.late: list[tuple[float, float]] = []
        self.is_calm = False

    def __enter__(self) -> Self:
        self.emulator.start()
        Thread(target=watch, args=(lambda began, ended: self.late.append((began, ended)),), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.emulator.close()

    def grant(self, tenant: str) -> Token:
        """Let *tenant* log in."""
        token = self.emulator.grant()
        self._owners[digest(token.refresh_token)] = tenant, None
        return token

    def end_outage(self, tenant: str) -> None:
        """Note that the new grant of *tenant* is in the store."""
        self.outages[tenant][-1][1] = time.monotonic()

    @property
    def without_grant(self) -> list[str]:
        """The tenants who have to log in again."""
        return [tenant for tenant, spans in list(self.outages.items()) if spans[-1][1] == float("inf")]

    # --- token requests ----------------------------------------------------------------------------------------------

    def _handle(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/token":
            return self._application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        exchange = self._arrived(parse_qs(body.decode())["refresh_token"][0], environ["QUERY_STRING"])
        try:
            response = self._respond(environ, exchange)
        finally:
            exchange.ended = time.monotonic()
        return response(environ, start_response)

    def _arrived(self, refresh_token: str, worker: str) -> Exchange:
        with self._lock:
            sent = digest(refresh_token)
            tenant, _ = self._owners[sent]
            exchange = Exchange(tenant, worker, sent, time.monotonic(), self._next_fault())
            self.exchanges.append(exchange)
            return exchange

    def _next_fault(self) -> str:
        share = STORM if time.monotonic() < self.storm_until else USUAL
        if self.is_calm or self._random.random() >= share:
            return ""
        faults = HARMLESS | LOSING
        return self._random.choices(list(faults), list(faults.values()))[0]

    def _respond(self, environ: dict[str, Any], exchange: Exchange) -> Response:
        match exchange.fault:
            case "slow":
                time.sleep(self._random.uniform(0.2, 0.6 * TIMEOUT))
            case "hang":
                time.sleep(HANG)
                raise ConnectionAbortedError
            case "drop":
                raise ConnectionAbortedError
            case "503":
                return Response(status=503, headers={"Retry-After": f"{RETRY_AFTER:g}"})
            case "500" | "502" | "429":
                return Response(status=int(exchange.fault))
        response = self._issue(environ, exchange)
        match exchange.fault:
            case "drop after":
                raise ConnectionAbortedError
            case "hang after":
                time.sleep(HANG)
                raise ConnectionAbortedError
            case "truncate":
                content = response.get_data()
                response.response = iter([content[: len(content) // 2]])
                response.headers["Content-Length"] = str(len(content))
        return response

    def _issue(self, environ: dict[str, Any], exchange: Exchange) -> Response:
        response = Response.from_app(self._application, environ)
        exchange.status = response.status_code
        with self._lock:
            if response.status_code == 200:
                exchange.issued = digest(json.loads(response.get_data())["refresh_token"])
                self._owners[exchange.sent] = exchange.tenant, exchange
                self._owners[exchange.issued] = exchange.tenant, None
            else:
                self._note_loss(exchange)
        return response

    def _note_loss(self, exchange: Exchange) -> None:
        spans = self.outages.setdefault(exchange.tenant, [])
        if spans and exchange.arrived < spans[-1][1]:  # known already
            return
        spans.append([exchange.arrived, float("inf")])
        self.losses.append(Loss(exchange.tenant, self._owners[exchange.sent][1], exchange))
