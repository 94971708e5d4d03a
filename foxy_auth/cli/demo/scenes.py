"""The six scenes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import requests

from foxy_auth import FoxyAuth
from foxy_auth.cli.demo.scene import Check, Heading, Recording, Scene, Session
from foxy_auth.emulator import Call

OK, UNAUTHORIZED = 200, 401
TIMEOUT = 10.0  # seconds
DIGITS = 8  # of a SHA-256, to show

# --- 1: every client library -----------------------------------------------------------------------------------------


def play_client_libraries(session: Session) -> Iterator[Check]:
    """Use one auth object in every client library."""
    recording, url = session.record(), session.foxy.store_url
    with session.auth_without_access_token() as auth:
        yield Check.equal("status with requests", OK, requests.get(url, auth=auth, timeout=TIMEOUT).status_code)
        for name in filter(find_spec, ("httpx", "httpx2")):
            library = import_module(name)
            status = library.get(url, auth=auth, timeout=TIMEOUT).status_code
            yield Check.equal(f"status with {name}", OK, status)
            client = library.AsyncClient(auth=auth, timeout=TIMEOUT)
            yield Check.equal(f"status with async {name}", OK, asyncio.run(_get_async(url, client)))
    yield Check.equal("token requests", 1, len(recording.token_requests))


async def _get_async(url: str, client: Any) -> int:
    async with client:
        return int((await client.get(url)).status_code)


# --- 2: many requests at once ----------------------------------------------------------------------------------------

THREADS = TASKS = 25


def play_stampede(session: Session) -> Iterator[Check]:
    """Send many requests at once that all need a new token."""
    recording = session.record()
    session.foxy.expire_access_tokens()
    session.foxy.delay(0.4)  # so that all requests are waiting before there is a token
    with session.auth(expires_in=-60) as auth:
        asyncio.run(_send_at_once(auth, session.foxy.store_url))
    yield Check.equal("responses with status 200", THREADS + TASKS, recording.statuses.count(OK))
    yield Check.equal("responses other than 200", 0, len(recording.statuses) - recording.statuses.count(OK))
    yield Check.equal("token requests", 1, len(recording.token_requests))
    yield Check.equal("access tokens used", 1, len({call.access_token for call in recording.api_requests}))


async def _send_at_once(auth: FoxyAuth, url: str) -> None:
    """Send requests from threads with requests, and from tasks with httpx."""
    import httpx

    loop = asyncio.get_running_loop()
    get = partial(requests.get, url, auth=auth, timeout=TIMEOUT)
    with ThreadPoolExecutor(THREADS) as pool:
        async with httpx.AsyncClient(auth=auth, timeout=TIMEOUT) as client:
            threads = [loop.run_in_executor(pool, get) for _ in range(THREADS)]
            await asyncio.gather(*threads, *(client.get(url) for _ in range(TASKS)))


# --- 3: a refresh in the background ----------------------------------------------------------------------------------

REMAINING = 200.0  # seconds: a background refresh is due (300), but requests do not wait for it yet (60)
TOKEN_REQUEST = 1.0  # seconds


def play_background_refresh(session: Session) -> Iterator[Check]:
    """Send requests while the token is refreshed ahead of its expiry."""
    recording = session.record()
    session.foxy.delay(TOKEN_REQUEST)
    with session.auth(expires_in=REMAINING) as auth:
        durations = _send_until_refreshed(auth, session.foxy.store_url, recording)
    yield Check.equal("token requests", 1, len(recording.token_requests))
    limit, slowest = TOKEN_REQUEST / 2, max(durations)
    expected, seen = f"below {limit * 1000:,.0f} ms", f"{slowest * 1000:,.0f} ms"
    yield Check(f"slowest of {len(durations)} requests", expected, seen, passed=slowest < limit)
    yield Check.equal("responses other than 200", 0, len(durations) - recording.statuses.count(OK))
    yield Check.equal("access tokens used", 2, len({call.access_token for call in recording.api_requests}))


def _send_until_refreshed(auth: FoxyAuth, url: str, recording: Recording) -> list[float]:
    """Send requests until there is a new token, then ten more; return how long each took."""
    import httpx

    durations: list[float] = []
    deadline, more = time.monotonic() + 4 * TOKEN_REQUEST, 10
    with httpx.Client(auth=auth, timeout=TIMEOUT) as client:
        while more and time.monotonic() < deadline:
            started_at = time.perf_counter()
            client.get(url)
            durations.append(time.perf_counter() - started_at)
            time.sleep(0.01)
            more -= any(call.answered_at for call in recording.token_requests)
    return durations


# --- 4: a revoked token ----------------------------------------------------------------------------------------------

BODY = b"A body that must arrive complete. " * 2_000
PIECES = [b"A piece of an upload. " * 500] * 64


def play_revoked_token(session: Session) -> Iterator[Check | Heading]:
    """Send requests with a token that Foxy has revoked: without a body, with one, and with one that comes only once."""
    import httpx

    with session.auth() as auth:
        yield Heading("GET with requests")
        session.foxy.revoke_access_tokens()
        recording = session.record()
        response = requests.get(session.foxy.store_url, auth=auth, timeout=TIMEOUT)
        yield from _retried(recording, response.status_code)

        yield Heading("POST with httpx")
        session.foxy.revoke_access_tokens()
        recording = session.record()
        status = httpx.post(session.foxy.store_url, content=BODY, auth=auth, timeout=TIMEOUT).status_code
        yield from _retried(recording, status)
        yield from _same_bodies([BODY, BODY], recording.api_requests)

        yield from _upload_from_generator(session, auth)


def _upload_from_generator(session: Session, auth: FoxyAuth) -> Iterator[Check | Heading]:
    url = f"{session.foxy.store_url}/upload"
    yield Heading("upload from a generator")
    session.foxy.revoke_access_tokens()
    recording = session.record()
    response = requests.post(url, data=iter(PIECES), auth=auth, timeout=TIMEOUT)
    yield Check.equal("Foxy responds", [UNAUTHORIZED], recording.statuses)
    yield Check.equal("the caller gets", "401 invalid_token", f"{response.status_code} {response.json().get('error')}")
    yield Check.equal("token requests", 1, len(recording.token_requests))

    yield Heading("the same upload again")
    recording = session.record()
    requests.post(url, data=iter(PIECES), auth=auth, timeout=TIMEOUT)
    yield Check.equal("Foxy responds", [OK], recording.statuses)
    yield Check.equal("token requests", 0, len(recording.token_requests))
    yield from _same_bodies([b"".join(PIECES)], recording.api_requests)


def _retried(recording: Recording, status: int) -> Iterator[Check]:
    yield Check.equal("Foxy responds", [UNAUTHORIZED, OK], recording.statuses)
    yield Check.equal("the caller gets", OK, status)
    yield Check.equal("token requests", 1, len(recording.token_requests))


def _same_bodies(bodies: list[bytes], calls: list[Call]) -> Iterator[Check]:
    yield Check.equal("bytes received", list(map(len, bodies)), [call.body_length for call in calls])
    digests = [hashlib.sha256(body).hexdigest()[:DIGITS] for body in bodies]
    yield Check.equal("their SHA-256", digests, [call.body_sha256[:DIGITS] for call in calls])


# --- 5: another origin -----------------------------------------------------------------------------------------------

OUR_HEADERS = ("Authorization", "FOXY-API-VERSION")


def play_other_origin(session: Session) -> Iterator[Check | Heading]:
    """Send requests to another origin, directly and by a redirect."""
    foreign = f"{session.foxy.elsewhere.url}/elsewhere"
    with session.auth() as auth:
        yield Heading("direct request")
        recording = session.record()
        requests.get(foreign, auth=auth, timeout=TIMEOUT)
        sent = [name for call in recording.foreign_requests for name in OUR_HEADERS if name in call.headers]
        yield Check.equal("our headers sent there", [], sent)

        yield Heading("redirect from Foxy, then a 401")
        recording = session.record()
        session.foxy.elsewhere.status = UNAUTHORIZED
        response = requests.get(f"{session.foxy.url}/redirect", params={"to": foreign}, auth=auth, timeout=TIMEOUT)
        session.foxy.elsewhere.status = OK
        yield Check.equal("tokens sent to Foxy", 1, _count_tokens(recording.api_requests))
        yield Check.equal("tokens sent there", 0, _count_tokens(recording.foreign_requests))
        yield Check.equal("the caller gets", UNAUTHORIZED, response.status_code)
        yield Check.equal("token requests", 0, len(recording.token_requests))


def _count_tokens(calls: list[Call]) -> int:
    return sum(call.access_token is not None for call in calls)


# --- 6: a second process ---------------------------------------------------------------------------------------------

SECOND_PROCESS = [sys.executable, "-m", "foxy_auth.cli.demo.second_process"]


def play_second_process(session: Session) -> Iterator[Check | Heading]:
    """Start another process from the token that was saved."""
    yield Heading("what on_token saved")
    issued = sum(call.status == OK for call in session.foxy.token_calls)
    yield Check.equal("tokens issued, and saved", issued, len(session.saved))
    token = session.store.load()
    current = fingerprint(session.foxy.current_refresh_token)
    yield Check.equal("newest refresh token", current, fingerprint(token.refresh_token if token else None))
    if os.name == "posix":
        yield Check.equal("mode of the file", "0600", f"{stat.S_IMODE(session.path.stat().st_mode):04o}")

    yield Heading("the second process")
    recording = session.record()
    _run_second_process(session)
    yield Check.equal("Foxy responds", [OK], recording.statuses)
    yield Check.equal("token requests", 0, len(recording.token_requests))
    used = [fingerprint(call.access_token) for call in recording.api_requests]
    yield Check.equal("access token", [fingerprint(token.access_token if token else None)], used)


def _run_second_process(session: Session) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FOXY_")} | {
        "FOXY_API_CLIENT_ID": session.foxy.client_id,
        "FOXY_API_CLIENT_SECRET": session.foxy.client_secret,
        "FOXY_API_URL": session.foxy.url,
    }
    ended = subprocess.run(  # noqa: S603 - our own program
        [*SECOND_PROCESS, session.foxy.store_url, str(session.path)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr.rstrip().rpartition("\n")[2])


def fingerprint(secret: str | None) -> str:
    """Return the first digits of the SHA-256 of *secret*."""
    return hashlib.sha256(secret.encode()).hexdigest()[:DIGITS] if secret else "none"


SCENES = (
    Scene(
        "One auth object for every client library",
        "The program has a refresh token, but no access token. The first request gets one, and the others use it.",
        play_client_libraries,
    ),
    Scene(
        f"{THREADS + TASKS} requests at once with an expired token",
        f"The access token expired a minute ago. {THREADS} threads with requests and {TASKS} tasks with httpx need a "
        "new one at the same time, and the token endpoint is slow.",
        play_stampede,
        needs="httpx",
    ),
    Scene(
        "A refresh in the background",
        f"The access token expires in {REMAINING:g} s. It is refreshed while requests still use it: the token request "
        f"takes {TOKEN_REQUEST:g} s, and no request waits for it.",
        play_background_refresh,
        needs="httpx",
    ),
    Scene(
        "A revoked token",
        "The access token looks valid, but Foxy rejects it: one refresh, one retry. An upload from a generator cannot "
        "be sent twice, so its 401 is returned to the caller, who sends it again.",
        play_revoked_token,
        needs="httpx",
    ),
    Scene(
        "Requests to another origin",
        "The same auth object is used for another origin, directly and by a redirect from Foxy. No token goes there.",
        play_other_origin,
    ),
    Scene(
        "Saved tokens and a second process",
        "Every new token was passed to on_token, which saves it to a file. A second process starts from that file. "
        f"Secrets are shown as the first {DIGITS} digits of their SHA-256.",
        play_second_process,
    ),
)
