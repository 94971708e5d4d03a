"""
What a refresh costs: processor time over TLS, threads, and the time for which a request waits.

Over TLS, the client trusts certifi's certificate authorities and one more, the server is in another process, and tokens
live a second. Refreshes count from the second one of the process on: with connections that are kept, and with a new one
for each token request, as it is where tokens live two hours.

A contestant with a store and a callback is given both where threads are counted; the token endpoint takes 100 ms then.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.contestants import BY_HAND, FOXY_TOKEN, STATIC, STATIC_AGAIN, SYNCHRONOUS, WITHOUT_FIRST_TOKEN, make
from benchmarks.processes import issued_tokens, report, run, serving
from benchmarks.readings import Reading
from benchmarks.setting import Setting
from benchmarks.token_server import Settings

if TYPE_CHECKING:
    from benchmarks.plan import Plan

COST = "processor time of one refresh and request over TLS, ms"
THREADS = "threads started for one refresh, with store and callback"
WAITING = "time of a request whose token expires in 100 s, ms"
OTHERS = {STATIC, STATIC_AGAIN, FOXY_TOKEN}
LIFE = 1  # seconds
STALE = 100.0  # seconds


def measure_cost(plan: Plan) -> Iterator[Reading]:
    """Compare within each client library."""
    import certifi
    import trustme

    with TemporaryDirectory() as folder:
        authority = trustme.CA()
        bundle, certificate = Path(folder, "bundle.pem"), Path(folder, "server.pem")
        bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        trusted = {"REQUESTS_CA_BUNDLE": str(bundle), "SSL_CERT_FILE": str(bundle)}
        for case, keep in (("kept", True), ("connecting", False)):
            with serving(Settings(delay=0.0, expires_in=LIFE, keep=keep, certificate=str(certificate))) as api:
                for client in SYNCHRONOUS:
                    arguments = {"task": "cost", "api": api, "client": client, "trials": 5 if plan.quick else 15}
                    ran = run("refresh_cost", arguments, environment=trusted)
                    for name, values in (ran.result or {}).items():
                        yield Reading.of(COST, f"{client}, {case}", name, values)


def measure_threads(plan: Plan) -> Iterator[Reading]:
    """Count for a token that has expired, and for one that soon will, and take the time of that request."""
    for client in SYNCHRONOUS[:2]:
        for case, remaining in (("expired", -1.0), ("expires soon", STALE)):
            arguments = {"task": "threads", "client": client, "endpoint": plan.endpoint, "remaining": remaining}
            ran = run("refresh_cost", arguments)
            for name, (threads, milliseconds, refreshes) in (ran.result or {}).items():
                note = "" if refreshes else "does not refresh yet"
                yield Reading.of(THREADS, f"{client}, {case}", name, [threads], note=note)
                if case == "expires soon":
                    yield Reading.of(WAITING, client, name, [milliseconds], note=note)


def probe(task: str, **arguments: Any) -> dict[str, Any]:
    """Measure one thing."""
    return _cost(**arguments) if task == "cost" else _threads(**arguments)


def _cost(api: str, client: str, trials: int) -> dict[str, list[float]]:
    """Take milliseconds."""
    setting = Setting(client, endpoint=f"{api}/token", api=api, remaining=-1.0)
    sends = {name: tenants("1") for name, tenants in make(setting).items() if name not in OTHERS}
    found = defaultdict[str, list[float]](list)
    for trial in range(trials + 1):
        for name, send in list(sends.items())[:: 1 if trial % 2 else -1]:
            start = time.process_time()
            response = send()
            taken = time.process_time() - start
            assert response.status_code == 200, name
            if trial:
                found[name].append(taken * 1e3)
        time.sleep(LIFE * 1.2)  # until all tokens have expired
    return found


def _threads(endpoint: str, client: str, remaining: float) -> dict[str, tuple[int, float, bool]]:
    """Count what one request starts, take its milliseconds, and tell whether it led to a token request."""
    started = 0

    def count(*_: object) -> None:
        """Be the first thing that a new thread does."""
        nonlocal started
        started += 1
        sys.setprofile(None)

    threading.setprofile(count)
    found = {}
    with TemporaryDirectory() as folder:
        setting = Setting(client, endpoint=endpoint, remaining=remaining, folder=folder)
        for name, tenants in make(setting).items():
            if name in (OTHERS if remaining < 0 else {*OTHERS, BY_HAND, *WITHOUT_FIRST_TOKEN}):
                continue
            send = tenants("1")
            before, issued, start = started, issued_tokens(endpoint), time.perf_counter()
            send()
            milliseconds = (time.perf_counter() - start) * 1e3
            time.sleep(0.5)  # a refresh in the background takes 100 ms
            found[name] = started - before, milliseconds, issued_tokens(endpoint) > issued
    return found


if __name__ == "__main__":
    report(probe)
