"""R23: whatever fails, and whoever shows the error, no secret is to be seen."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from secrecy import renderings, token_requests
from secrecy.made_up import secret
from secrecy.provider import HANG, Provider
from secrecy.table import ROWS
from secrecy.world import Row, World

from foxy_auth._engine import delivery

DEADLINE = 30.0
EACH_BY_LOGURU = 5  # rows; it shows the values in the lines of a traceback, which is a part of what others show


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Give a provider for all rows."""
    with Provider().running() as provider:
        yield provider


@pytest.fixture(scope="module", autouse=True)
def listening() -> Iterator[None]:
    """Collect what is logged."""
    with renderings.listening():
        yield


@pytest.fixture
def world(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give what a row acts in; afterwards nothing waits, and nothing is tried again."""
    renderings.logged()
    world = World(provider, tmp_path, monkeypatch.setenv)
    yield world
    for end in (*world.at_end, provider.reset):
        end()
    delivery._undelivered.clear()


def test_what_is_looked_for() -> None:
    """The search finds secrets in whole, in part and percent-encoded, and nothing where there is none."""
    from secrecy.world import ECHOES

    missed = [name for name, echo in ECHOES.items() if secret.found_in(f"no: {echo(secret('code'))}.") != {"code"}]

    assert missed == []
    assert secret.found_in(f"{secret!r} {secret('code')[:11]}") == set()


def _leak(world: World) -> None:
    kept = secret("code")
    raise _noted(kept) from KeyError(secret("basic"))


def _noted(_: str) -> Exception:
    error = ValueError("it failed")
    error.add_note(secret("state"))
    return error


def test_who_looks(world: World) -> None:
    """Each rendering shows a secret in a frame, which proves that it would show ours."""
    seen = _seen(Row("a leak", _leak, ValueError), world)

    shown = {name.removesuffix(" of ValueError"): found for name, found in seen.items()}
    assert [name for name in renderings.RENDERINGS if shown.get(name) != ["basic", "code", "state"]] == []


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_error_shows_no_secret(row: Row, world: World) -> None:
    """R23: no error and no record of the table shows a secret, in whole, in part or encoded, on whatever way."""
    assert _seen(row, world) == {}


@pytest.mark.parametrize("name", ["get_token", "client_credentials", "refresh_token", "fetch_token", "requests"])
def test_interrupt_shows_no_secret(name: str, world: World) -> None:
    """R23: nor does Ctrl-C while the program waits for a token."""
    token_requests._answering(lambda _: HANG)(world)
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: None if interrupted.is_set() else _interrupt(interrupted))
    thread = threading.Thread(target=_send_interrupts, args=(world.provider.asked, interrupted))
    thread.start()
    try:
        seen = _seen_here(Row(name, token_requests.CALLS[name][0], KeyboardInterrupt), world)
    finally:
        interrupted.set()
        thread.join(DEADLINE)
        signal.signal(signal.SIGINT, before)

    assert seen == {}


def _interrupt(interrupted: threading.Event) -> None:
    interrupted.set()
    raise KeyboardInterrupt


def _send_interrupts(asked: threading.Event, interrupted: threading.Event) -> None:
    """Send one after the other: one that comes just before a thread begins to wait does not wake it."""
    main = threading.main_thread().ident
    assert main is not None
    asked.wait(DEADLINE)
    while not interrupted.wait(0.05):
        signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.parametrize("name", ["aget_token", "aclient_credentials", "arefresh_token", "afetch_token"])
def test_cancellation_shows_no_secret(name: str, world: World) -> None:
    """R23: nor does the cancellation of a task on trio."""
    token_requests._answering(lambda _: HANG)(world)

    async def attempt() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel, scope, world.provider.asked)
                try:
                    await token_requests.CALLS[name][0](world)
                except trio.Cancelled as error:
                    world.caught.append(error)
                    raise

    assert _seen(Row(name, lambda _: trio.run(attempt), None), world) == {}
    assert len(world.caught) == 1


async def _cancel(scope: trio.CancelScope, asked: threading.Event) -> None:
    await trio.to_thread.run_sync(asked.wait, DEADLINE)
    scope.cancel()


# --- what is seen ----------------------------------------------------------------------------------------------------


def _seen(row: Row, world: World) -> dict[str, Any]:
    """Return the secrets that *row* shows, by who shows them; in a thread, which has few frames of its own."""
    seen: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: seen.update(_seen_here(row, world)))
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    return seen


def _seen_here(row: Row, world: World) -> dict[str, Any]:
    error = _error_of(row, world)
    if (row.raises is None and error is not None) or (row.raises and not isinstance(error, row.raises)):
        return {"it failed otherwise": repr(error)}
    shown, errors = renderings.logged(), [one for one in (error, *world.caught) if one is not None]
    by_loguru = row not in ROWS or ROWS.index(row) % EACH_BY_LOGURU == 0
    for one in errors:
        told = renderings.rendered(one, by_loguru=by_loguru)
        shown |= {f"{name} of {type(one).__name__}": text for name, text in told.items()}
    seen: dict[str, Any] = {name: sorted(found) for name, text in shown.items() if (found := secret.found_in(text))}
    return {**seen, "in": [place for one in errors for place in _places(one)]} if seen else {}


def _error_of(row: Row, world: World) -> BaseException | None:
    try:
        outcome = row.attempt(world)
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)
    except BaseException as error:  # noqa: BLE001 - it is what we look at
        return error
    return None


def _places(error: BaseException) -> list[str]:
    """Tell where the secrets are, for whoever mends it."""
    places = []
    for one in renderings.linked(error):
        told = {"str": str(one), "args": repr(one.args), "vars": repr(vars(one))}
        places += [
            f"{type(one).__name__} {name}: {found}" for name, text in told.items() if (found := secret.found_in(text))
        ]
        trace = traceback.TracebackException(type(one), one, one.__traceback__, capture_locals=True)
        for frame in trace.stack:
            for name, shown in (frame.locals or {}).items():
                if found := secret.found_in(shown):
                    places.append(f"{Path(frame.filename).name}:{frame.lineno} {frame.name} {name}: {found}")
    return places
