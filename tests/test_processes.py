"""Programs that end, are interrupted, fork, spawn or copy: no token is lost and nothing is left behind."""

from __future__ import annotations

import copy
import gc
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
from sources import PATIENCE, VIA, auth_for, expired, report_status, source_for

from foxy_auth.errors import LoginRequiredError
from foxy_auth.testing import in_fork
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.queues import SimpleQueue
    from pathlib import Path

    from foxy_auth.auth import FoxyAuth
    from foxy_auth.emulator import Emulator

# What a program is told of the emulator, and what it makes of that.
PREAMBLE = """
import asyncio, atexit, json, os, sys, threading
from foxy_auth import Environment, FoxyAuth, Token

told = json.loads(sys.argv[1])


def save(token):
    with open(told["file"], "a") as file:
        file.write(json.dumps(token.to_dict()) + "\\n")


async def asave(token):
    await asyncio.sleep(0)
    save(token)


def make_auth(**options):
    return FoxyAuth(
        client_id=told["client_id"],
        client_secret=told["client_secret"],
        token=Token.from_dict(told["token"]),
        environment=Environment(api=told["url"]),
        **options,
    )


def say(word):
    print(word, flush=True)

"""


class Program:
    """A program of its own that uses the emulator; what it prints is read line by line."""

    def __init__(self, foxy: Emulator, token: Token, folder: Path, code: str) -> None:
        """Run *code* in a new interpreter, with every warning an error."""
        self._saved = folder / "tokens"
        told = {
            "url": foxy.url,
            "client_id": foxy.client_id,
            "client_secret": foxy.client_secret,
            "token": token.to_dict(),
            "file": str(self._saved),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-c", PREAMBLE + code, json.dumps(told)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> str:
        """Wait for the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its status and what it complained of."""
        _, complaints = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, complaints

    @property
    def saved(self) -> list[str | None]:
        """The refresh tokens that it has saved."""
        if not self._saved.exists():
            return []
        return [Token.from_dict(json.loads(line)).refresh_token for line in self._saved.read_text().splitlines()]


@pytest.fixture
def rotating(foxy: Emulator) -> Emulator:
    """Give a Foxy whose refresh tokens serve once."""
    foxy.rotate_refresh_tokens = True
    return foxy


# --- programs that end ---------------------------------------------------------------------------------------------


def test_ctrl_c_loses_no_token(rotating: Emulator, tmp_path: Path) -> None:
    """R9: A synchronous program that is interrupted during a refresh has saved the token when it is gone."""
    with rotating.hold() as latch:
        code = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin deaf to it
auth = make_auth(on_token=save)
try:
    auth.get_token()
except KeyboardInterrupt:
    say("interrupted")
    raise
"""
        program = Program(rotating, expired(rotating), tmp_path, code)
        latch.wait_for(1)
        program.process.send_signal(signal.SIGINT)
        heard = program.hear()
        latch.release()
        status, complaints = program.end()

    assert heard == "interrupted"
    assert status == -signal.SIGINT
    assert complaints.rstrip().endswith("KeyboardInterrupt")
    assert program.saved == [rotating.current_refresh_token]
    assert len(rotating.token_calls) == 1


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            """
auth = make_auth(on_token=save, refresh_ahead=10**6)
auth.get_token()
say("done")
""",
            id="sync",
        ),
        pytest.param(
            """
async def main():
    await make_auth(on_token=asave, refresh_ahead=10**6).aget_token()

asyncio.run(main())
say("done")
""",
            id="async callback, loop closed",
        ),
        pytest.param(
            """
import trio

async def main():
    await make_auth(on_token=save, refresh_ahead=10**6).aget_token()

trio.run(main)
say("done")
""",
            id="trio",
        ),
        pytest.param(
            """
auth = make_auth(on_token=save, refresh_ahead=10**6)
auth.get_token()
say("done")
auth.flush()
os._exit(0)
""",
            id="flushed, then os._exit",
        ),
    ],
)
def test_a_program_that_ends_saves_its_token(rotating: Emulator, tmp_path: Path, code: str) -> None:
    """R9: A program that ends while a refresh is on the wire has saved the token when it is gone."""
    token = rotating.grant()
    assert token.obtained_at is not None
    nearly = replace(token, obtained_at=token.obtained_at - 6000.0, expires_at=token.obtained_at + 1200.0)
    with rotating.hold() as latch:
        program = Program(rotating, nearly, tmp_path, code)
        heard = program.hear()
        latch.wait_for(1)
        latch.release()
        status, complaints = program.end()

    assert (heard, status, complaints) == ("done", 0, "")
    assert program.saved == [rotating.current_refresh_token]


def test_an_unsaved_token_is_offered_at_exit(rotating: Emulator, tmp_path: Path) -> None:
    """R19: A token that could not be saved is offered to the callback once more when the interpreter exits."""
    code = """
tries = []

def on_token(token):
    tries.append(token)
    if len(tries) == 1:
        raise OSError("disk full")
    save(token)

make_auth(on_token=on_token).get_token()
say(len(tries))
"""
    program = Program(rotating, expired(rotating), tmp_path, code)
    heard = program.hear()
    status, complaints = program.end()

    assert (heard, status) == ("1", 0)
    assert "OSError: disk full" in complaints
    assert program.saved == [rotating.current_refresh_token]


def test_a_token_lost_at_exit_is_told(rotating: Emulator, tmp_path: Path) -> None:
    """R19, R23: If the callback fails at exit too, the log says that a token is lost, and not which."""
    code = """
def on_token(token):
    raise OSError(f"cannot write {token.refresh_token}")

make_auth(on_token=on_token).get_token()
"""
    program = Program(rotating, expired(rotating), tmp_path, code)
    status, complaints = program.end()

    assert status == 0
    assert "a new token is lost at exit" in complaints
    assert str(rotating.current_refresh_token) not in complaints


@pytest.mark.parametrize("callback", ["save", "asave"])
def test_a_refresh_at_exit_works(rotating: Emulator, tmp_path: Path, callback: str) -> None:
    """R9: A handler that runs when the interpreter exits, and may start no thread, still gets and saves a token."""
    code = f"""
auth = make_auth(on_token={callback})
atexit.register(lambda: say(auth.get_token().refresh_token))
"""
    program = Program(rotating, expired(rotating), tmp_path, code)
    heard = program.hear()
    status, complaints = program.end()

    assert (heard, status, complaints) == (rotating.current_refresh_token, 0, "")
    assert program.saved == [rotating.current_refresh_token]


def test_a_callback_that_hangs_does_not_keep_the_program(rotating: Emulator, tmp_path: Path) -> None:
    """R19: A program whose callback never returns ends after the timeout."""
    code = """
make_auth(on_token=lambda token: threading.Event().wait(), timeout=0.2).get_token()
say("done")
"""
    program = Program(rotating, expired(rotating), tmp_path, code)
    heard = program.hear()
    status, complaints = program.end()

    assert (heard, status) == ("done", 0)
    assert "a new token is lost at exit" in complaints


# --- copies --------------------------------------------------------------------------------------------------------


def test_a_pickle_works_elsewhere(foxy: Emulator) -> None:
    """R21: An object out of a pickle refreshes on its own, and keeps token, environment and callback."""
    auth = auth_for(foxy, expired(foxy), on_token=print)
    again: FoxyAuth = pickle.loads(pickle.dumps(auth))  # noqa: S301 - our own

    assert again.token == auth.token
    assert foxy.is_live(again.get_token().access_token)
    assert auth.token != again.token


def test_a_pickle_can_be_made_in_the_midst_of_a_refresh(foxy: Emulator) -> None:
    """R21: While a refresh is under way the object can be pickled, and the copy waits for no foreign flight."""
    auth = auth_for(foxy, expired(foxy))
    with foxy.hold() as latch:
        caller = threading.Thread(target=auth.get_token)
        caller.start()
        latch.wait_for(1)
        content = pickle.dumps(auth)
        latch.release()
        caller.join(PATIENCE)
    again: FoxyAuth = pickle.loads(content)  # noqa: S301 - our own

    assert foxy.is_live(again.get_token().access_token)
    assert len(foxy.token_calls) == 2


def test_copies_out_of_pickles_draw_chances_of_their_own(foxy: Emulator) -> None:
    """R5, R21: Many processes that got the object by pickle do not all refresh at the same instant."""
    content = pickle.dumps(source_for(foxy, foxy.grant()))
    jitters = {pickle.loads(content)._jitter for _ in range(8)}  # noqa: S301 - our own

    assert len(jitters) == 8


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy])
def test_copies_share_the_grant(rotating: Emulator, through: Any) -> None:
    """R21: Copies within a process share one source, for two owners of a refresh token would burn the grant."""
    auth = auth_for(rotating, expired(rotating))
    again = through(auth)
    tokens = {auth.get_token(), again.get_token(), auth.refresh(), again.get_token()}

    assert len(tokens) == 2
    assert auth.token == again.token
    assert len(rotating.token_calls) == 2


@pytest.mark.parametrize("library", [requests.Session, httpx.Client])
def test_deep_copies_share_the_client_for_token_calls(foxy: Emulator, library: Callable[[], Any]) -> None:
    """R21: A deep copy makes its token calls, those for other grants too, by the very client that the user gave."""
    with library() as http:
        auth, other = auth_for(foxy, expired(foxy), http=http), expired(foxy)
        again = copy.deepcopy(auth)
        http.headers["X-Own"] = "yes"
        again.refresh()
        again.for_token(other).refresh()

    assert [call.headers.get("X-Own") for call in foxy.token_calls] == ["yes", "yes"]


def test_a_session_with_the_object_survives_a_pickle(foxy: Emulator) -> None:
    """R21: A requests session can be pickled with the object as its auth."""
    with requests.Session() as session:
        session.auth = auth_for(foxy, expired(foxy))
        again: requests.Session = pickle.loads(pickle.dumps(session))  # noqa: S301 - our own
    with again:
        answer = again.get(foxy.store_url, timeout=PATIENCE)

    assert answer.status_code == 200


# --- other processes -----------------------------------------------------------------------------------------------


def test_a_spawned_process_goes_on(foxy: Emulator) -> None:
    """R21: An object handed to a spawned process works there, and here afterwards."""
    auth = auth_for(foxy, expired(foxy))
    context = multiprocessing.get_context("spawn")
    results: SimpleQueue[Any] = context.SimpleQueue()
    child = context.Process(target=report_status, args=(auth, foxy.store_url, results))
    child.start()
    child.join(PATIENCE)

    assert child.exitcode == 0
    assert results.get() == 200
    assert foxy.is_live(auth.get_token().access_token)


forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def calm_forks() -> Iterator[None]:
    """Allow what newer Pythons warn of: to fork while threads run is just what is tested."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
        yield


@forking
@pytest.mark.usefixtures("calm_forks")
def test_a_fork_during_a_refresh_leaves_both_alive(foxy: Emulator) -> None:
    """R21: A child forked in the midst of a refresh refreshes on its own, and the parent's refresh lands."""
    source = source_for(foxy, expired(foxy))
    with foxy.hold() as latch:
        caller = threading.Thread(target=lambda: source.token(via=VIA))
        caller.start()
        latch.wait_for(1)
        source._lock.acquire()  # as if the fork came while a thread chooses between starting and joining
        try:

            def release() -> None:
                latch.wait_for(2)
                latch.release()

            releasing = threading.Thread(target=release)
            releasing.start()
            status, said = in_fork(lambda: source.token(via=VIA) == source.current)
        finally:
            source._lock.release()
        releasing.join(PATIENCE)
        caller.join(PATIENCE)

    assert (status, said) == (0, "True")
    assert source.current is not None
    assert foxy.is_live(source.current.access_token)
    assert len(foxy.token_calls) == 2


@forking
@pytest.mark.usefixtures("calm_forks")
def test_a_fork_during_a_save_leaves_both_alive(foxy: Emulator) -> None:
    """R21: A child forked in the midst of a save waits for no thread it lacks, nor saves in its parent's place."""
    go_on, begun = threading.Event(), threading.Event()
    saved: list[Token] = []

    def on_token(token: Token) -> None:
        if not begun.is_set():
            begun.set()
            go_on.wait(PATIENCE)
        saved.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token)
    caller = threading.Thread(target=lambda: source.token(via=VIA))
    caller.start()
    begun.wait(PATIENCE)

    def work() -> list[int]:
        source.flush()
        before = len(saved)
        source.token(via=VIA, rejected=source.current)
        return [before, len(saved)]

    outcome = in_fork(work)
    go_on.set()
    caller.join(PATIENCE)

    assert outcome == (0, "[0, 1]")
    assert saved == [source.current]


# --- leaks ---------------------------------------------------------------------------------------------------------


def flights() -> int:
    """Count the flights that are still in memory."""
    gc.collect()  # a connection left open is a ResourceWarning, and that an error
    return sum(type(thing).__name__ == "Flight" for thing in gc.get_objects())


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_two_hundred_refreshes_leave_nothing(foxy: Emulator, library: str) -> None:
    """R19: Two hundred refreshes, each saved, leave no thread, no connection and no flight behind."""
    saved: list[Token] = []
    before = flights()
    # One client, for httpx reads the machine's certificates anew for each that it makes.
    with httpx.Client() as client:
        source = source_for(foxy, expired(foxy), on_token=saved.append, http=client if library == "httpx" else None)
        for _ in range(200):
            source.token(via=library, rejected=source.current)
        source.flush()
    ours = {thread.name for thread in threading.enumerate() if thread.name.startswith("foxy-auth")}
    ours.discard("foxy-auth-alarm")  # an earlier test's, whose token could not be saved

    assert len(saved) == 200
    assert ours == set()
    assert flights() - before <= 2


def test_a_source_that_is_dropped_goes(foxy: Emulator) -> None:
    """Sources are not kept by what watches over forks or unsaved tokens."""
    import weakref

    source = source_for(foxy, expired(foxy), on_token=lambda _: None)
    source.token(via=VIA)
    source.flush()
    gone = weakref.ref(source), weakref.ref(source._saver)
    del source
    gc.collect()

    assert [thing() for thing in gone] == [None, None]


def test_failures_leave_no_thread(foxy: Emulator) -> None:
    """R12: Refreshes that fail end their threads too."""
    source = source_for(foxy, expired(foxy))
    foxy.revoke_refresh_tokens()
    for _ in range(20):
        with pytest.raises(LoginRequiredError):
            source.token(via=VIA)

    assert [thread.name for thread in threading.enumerate() if thread.name == "foxy-auth-refresh"] == []
