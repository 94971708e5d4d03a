"""Processes that are stopped during a refresh, and responses that arrive after the callers' deadline: none is lost."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest
from clients.drivers import INSTALLED
from support.endpoints import SlowEndpoint
from support.programs import Launcher, needs_fork
from support.waiting import wait_until

from foxy_auth import Environment, FoxyAuth, Token
from foxy_auth.emulator import Emulator
from foxy_auth.errors import TokenUnavailableError
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clients.drivers import Library

TIMEOUT = 0.5
FROZEN = 3.0  # seconds; with that timeout, no caller waits as long

PROGRAM = """
def save(token):
    with open(settings["file"], "a") as file:
        file.write(json.dumps(token.to_dict()) + "\\n")


auth = FoxyAuth(
    client_id=settings["client_id"],
    client_secret=settings["client_secret"],
    token=Token.from_dict(settings["token"]),
    environment=Environment(api=settings["api"], token_endpoint=settings["api"] + "/token"),
    on_token=save,
    store=FileStore(settings["store"]) if settings["store"] else None,
    timeout=settings["timeout"],
)


def call_requests():
    return requests.get(settings["url"], auth=auth, timeout=20).status_code


def call_httpx():
    with httpx.Client(timeout=20) as client:
        return client.get(settings["url"], auth=auth).status_code


async def acall():
    async with httpx.AsyncClient(timeout=20) as client:
        return (await client.get(settings["url"], auth=auth)).status_code


call = {
    "requests": call_requests,
    "httpx": call_httpx,
    "asyncio": lambda: asyncio.run(acall()),
    "trio": lambda: trio.run(acall),
}[settings["client"]]
try:
    print_line(f"first: {call()}")
except FoxyAuthError as error:  # its deadline has passed
    print_line(f"first: {type(error).__name__}")
print_line(f"second: {call()}")
auth.close()
"""


def expired_token(foxy: Emulator) -> Token:
    """Return a token of *foxy* that has expired by its own account."""
    return replace(foxy.grant(), expires_at=time.time() - 100.0, obtained_at=time.time() - 7300.0)


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start the programs of this module."""
    with Launcher(tmp_path_factory.mktemp("programs")) as launcher:
        yield launcher


@needs_fork
def test_a_frozen_process(launcher: Launcher, tmp_path: Path) -> None:
    """R9: A response that arrives while the process is stopped is kept; no refresh token is sent twice."""
    cases = [(client, store) for client in ("requests", "httpx", "asyncio", "trio") for store in ("", "store")]
    one_at_a_time = Lock()  # so that each is stopped long before its token request times out

    def freeze(case: tuple[str, str]) -> dict[str, Any]:
        client, store = case
        file = tmp_path / f"{client}-{store}.tokens"
        path = tmp_path / f"{client}-{store}.store" if store else None
        with Emulator() as foxy:
            foxy.rotate_refresh_tokens = True
            settings = {
                "client": client,
                "client_id": foxy.client_id,
                "client_secret": foxy.client_secret,
                "token": expired_token(foxy).to_dict(),
                "api": foxy.url,
                "url": foxy.store_url,
                "file": str(file),
                "store": str(path or ""),
                "timeout": TIMEOUT,
            }
            with one_at_a_time:
                latch = foxy.hold()
                program = launcher.start(PROGRAM, **settings)
                latch.wait_for(1, timeout=30.0)
                program.send(signal.SIGSTOP)
            with program:
                latch.release()
                wait_until(lambda: foxy.token_calls[0].status == 200, what="the token response")
                time.sleep(FROZEN)
                program.send(signal.SIGCONT)
                ended = program.wait_for_end(within=30.0)
            assert ended, program.lines
            sent = [call.form["refresh_token"] for call in foxy.token_calls]
            stored = FileStore(path).load() if path else None
            return {
                "first": bool({"first: 200", "first: TokenUnavailableError"} & set(program.lines)),
                "second": "second: 200" in program.lines,
                "sent twice": len(sent) - len(set(sent)),
                "saved": _refresh_token_saved(file) == foxy.current_refresh_token,
                "stored": path is None or (stored is not None and stored.refresh_token == foxy.current_refresh_token),
            }

    with ThreadPoolExecutor(len(cases)) as threads:
        outcomes = dict(zip(map(" ".join, cases), threads.map(freeze, cases), strict=True))

    expected = {"first": True, "second": True, "sent twice": 0, "saved": True, "stored": True}
    assert {case: outcome for case, outcome in outcomes.items() if outcome != expected} == {}


def _refresh_token_saved(file: Path) -> str | None:
    """Return the refresh token of the last token in *file*."""
    if not file.exists():
        return None
    return Token.from_dict(json.loads(file.read_text().splitlines()[-1])).refresh_token


def test_a_response_after_the_deadline(tmp_path: Path) -> None:
    """R9: A token that arrives after the caller's deadline is kept; until then its refresh token is not sent again."""
    libraries = [one for one in INSTALLED if one.name in {"requests", "httpx"}]
    cases = [(library, store) for library in libraries for store in ("", "store")]

    def respond_late(case: tuple[Library, str]) -> dict[str, Any]:
        library, shared = case
        saved: list[Token] = []
        store = FileStore(tmp_path / str(library)) if shared else None
        with Emulator() as foxy, SlowEndpoint(foxy) as endpoint, library.open() as client:
            foxy.rotate_refresh_tokens = True
            auth = FoxyAuth(
                client_id=foxy.client_id,
                client_secret=foxy.client_secret,
                token=expired_token(foxy),
                environment=Environment(api=foxy.url, token_endpoint=endpoint.url),
                on_token=saved.append,
                store=store,
                timeout=2 * TIMEOUT,  # for slow machines
            )
            first = client.start("GET", foxy.store_url, auth=auth).exception(30.0)
            second = client.start("GET", foxy.store_url, auth=auth)
            before = endpoint.bytes_sent
            wait_until(lambda: endpoint.bytes_sent >= before + 3, what="some more of the response")
            sent = len(foxy.token_calls)
            endpoint.finish()
            wait_until(lambda: saved, what="the new token")
            second_error = second.exception(30.0)
            return {
                "first": type(first),
                "second": second_error is None or type(second_error),
                "third": client.get(foxy.store_url, auth=auth).status,
                "token requests": (sent, len(foxy.token_calls)),
                "saved": [token.refresh_token for token in saved] == [foxy.current_refresh_token],
                "kept": auth.token == saved[0] and (store is None or store.load() == saved[0]),
            }

    with ThreadPoolExecutor(len(cases)) as threads:
        outcomes = dict(zip(cases, threads.map(respond_late, cases), strict=True))

    for (library, store), outcome in outcomes.items():
        where = f"{library} {store}: {outcome}"
        assert issubclass(outcome.pop("first"), TokenUnavailableError), where
        second = outcome.pop("second")
        assert second is True or issubclass(second, TokenUnavailableError), where
        assert outcome == {"third": 200, "token requests": (1, 1), "saved": True, "kept": True}, where
