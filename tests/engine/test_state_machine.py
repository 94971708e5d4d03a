"""
A random life of a grant: whatever provider, network, stores and programs do, no token is lost or burnt.

With all tests run a few examples. For more:
`FOXY_AUTH_TEST_EXAMPLES=20000 pytest -n0 --timeout=0 tests/engine/test_state_machine.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.direct_network import Network
from support.programs import Launcher, needs_fork
from support.properties import PROPERTY
from support.real_program import Gateway, RealProgram
from support.sources import DEADLINE, FakeClock, auth_for

from foxy_auth.emulator import Emulator
from foxy_auth.errors import FoxyAuthError, StoreError
from foxy_auth.stores import FileStore, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth.emulator.faults import Latch
    from foxy_auth.stores import TokenStore
    from foxy_auth.token import Token

TICK = 1e-6  # seconds from one look of the provider at its clock to the next
POLL = 0.0005  # seconds
PORT = 65_000  # nobody listens there
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - where files are written fastest, each run in a folder of its own


class LifeClock(FakeClock):
    """A clock that tells the network when a token request is about to be repeated."""

    network: Network

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.network.note_pause()
        super().sleep(seconds)


class FailingStore:
    """The store of one program, which fails when the life says so, and tells what was saved."""

    def __init__(self, store: TokenStore, life: Life, program: Program) -> None:
        """Fail before, or after, what *store* does."""
        self._store, self._life, self._program = store, life, program

    def load(self) -> Token | None:
        """Load the token."""
        self._meet("load")
        return self._store.load()

    def save(self, token: Token) -> None:
        """Save *token*."""
        self._meet("save")
        self._life.network.look()
        self._store.save(token)
        self._life.network.note_saved(token.access_token)
        self._meet("save, and say no")

    def delete(self) -> None:
        """Remove the token."""
        self._store.delete()

    @contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Exclude the others."""
        self._meet("lock")
        with self._store.lock(timeout):
            yield

    def _meet(self, what: str) -> None:
        if self._program.is_dead:
            raise OSError("a thread that a killed program would not have")
        if self._life.store_faults[what]:
            self._life.store_faults[what] -= 1
            self._life.network.note_store_failure(self._program)
            raise OSError(what)


class Program:
    """A program that uses the grant, by an auth object over its own store object or with a callback that saves."""

    def __init__(self, life: Life) -> None:
        """Start it, from what was saved."""
        self.is_dead = False
        self.client = httpx.Client(transport=life.network.transport(self), timeout=DEADLINE)
        options: dict[str, Any] = {"http": self.client, "clock": life.clock, "timeout": DEADLINE}
        self.store = life.open_store()
        self._url = life.foxy.store_url
        if self.store is None:
            self.auth = auth_for(life.foxy, life.saved, on_token=life.save, **options)
        else:
            self.auth = auth_for(life.foxy, None, store=FailingStore(self.store, life, self), **options)

    def use(self) -> str:
        """Call the API; return the status, or "error" for one of ours."""
        try:
            return str(self.client.get(self._url, auth=self.auth).status_code)
        except FoxyAuthError:
            return "error"

    def refresh(self) -> str:
        """Ask for another token."""
        try:
            self.auth.refresh()
        except FoxyAuthError:
            return "error"
        return "200"

    def settle(self) -> None:
        """Let it finish what it does in the background."""
        with suppress(StoreError):
            self.auth.flush()

    @property
    def token(self) -> Token | None:
        """The token in memory."""
        return self.auth.token

    def die(self) -> None:
        """Forget everything: what is undelivered too."""
        self.is_dead = True
        self.auth._source.reset()


class Life(RuleBasedStateMachine):
    """
    A grant, its provider, and the programs that use it.

    The token requests are bounded. Those that bring a token: one for each *need*, which is a change of a clock (time
    that passes, a jump, a pause before a retry), an expiry or revocation by the provider, a login, a wish for another
    token, a start of a program, a failure of a store. Those that fail: one for each fault. Those that are refused: one
    for each program and refresh token, and one more for each fault of the endpoint or the store, which is remembered
    instead.

        token requests ≤ needs + faults + programs * refresh tokens * (1 + faults)

    Attributes:
        needs: As above.

        faults: As above, of the endpoint.

        store_failures: Those of the store.

        saved: Where there is no store: what `on_token` saved.
    """

    def __init__(self) -> None:
        """Start the provider, whose clock shows the order of what it does."""
        super().__init__()
        self.clock = LifeClock()
        ticks = count()
        self.foxy = Emulator(port=PORT, clock=lambda: self.clock.now() + TICK * next(ticks))
        self.network = self.clock.network = Network(self.foxy)
        self.store_faults: Counter[str] = Counter()
        self.needs = self.faults = self.store_failures = 0
        self.latch: Latch | None = None
        self.pending: list[Future[str]] = []
        self.programs: list[Program | RealProgram] = []
        self.folder = TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.exists() else None)

    def teardown(self) -> None:
        """Let everything end."""
        self.store_faults.clear()
        self.release()
        for program in self.programs:
            program.die()
        self.folder.cleanup()

    @initialize(rotate=st.booleans(), kind=st.sampled_from(["callback", "memory", "file"]))
    def begin(self, rotate: bool, kind: str) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Begin with a provider that rotates refresh tokens or does not, and with a way to save."""
        self.foxy.rotate_refresh_tokens = rotate
        self.kind, self.shared = kind, MemoryStore()
        self.log_in()
        self.programs = [self.start_program(number) for number in range(1 if kind == "callback" else 2)]

    def start_program(self, number: int) -> Program | RealProgram:
        """Start the program of that number."""
        return Program(self)

    def open_store(self) -> TokenStore | None:
        """Return a store object of a program that starts."""
        path = Path(self.folder.name, "token.json")
        return {"callback": None, "memory": self.shared}.get(self.kind, FileStore(path))

    def save(self, token: Token) -> None:
        """Save *token*, as programs without a store do."""
        if self.store_faults["save"]:
            self.store_faults["save"] -= 1
            raise OSError
        self.saved = token
        self.network.note_saved(token.access_token)

    def log_in(self) -> None:
        """Give the user's new grant to the store, or to a program that starts."""
        self.needs += 1
        self.saved = self.foxy.grant()
        self.network.newest = None
        self.network.note_saved(self.saved.access_token)
        if (store := self.open_store()) is not None:
            with store.lock(DEADLINE):
                store.save(self.saved)
        else:
            self.restart(kill=True)

    # --- the programs ------------------------------------------------------------------------------------------------

    def program(self, number: int) -> Program | RealProgram:
        """Return one of the programs."""
        return self.programs[number % len(self.programs)]

    @rule(number=st.integers(0, 1), callers=st.sampled_from([1, 1, 1, 4]))
    def use(self, number: int, callers: int) -> None:
        """Call the API, from several threads at the same time."""
        program = self.program(number)
        self.run(*[program.use] * callers)

    @rule()
    def use_both(self) -> None:
        """Call the API from all programs at the same time."""
        self.run(*[program.use for program in self.programs])

    @rule(number=st.integers(0, 1))
    def refresh(self, number: int) -> None:
        """Ask for another token, though the present one may be good."""
        self.needs += 1
        self.run(self.program(number).refresh)

    def run(self, *works: Any) -> None:
        """Do *works* in threads, until they are done or a token request is held back."""
        if len(works) == 1 and self.latch is None:
            works[0]()
        else:
            self.pending += [threads().submit(work) for work in works]
            self.wait()
        self.settle()

    def wait(self) -> None:
        """Wait until all calls have ended, or a token request is held back."""
        deadline = time.monotonic() + DEADLINE
        while not all(future.done() for future in self.pending):
            if self.latch is not None and self.latch._waiting:
                return
            assert time.monotonic() < deadline
            time.sleep(POLL)
        assert {future.result() for future in self.pending if not future.cancelled()} <= {"200", "error"}
        self.pending.clear()

    def settle(self) -> None:
        """Let what goes on in the background end, unless it is held back."""
        if self.latch is None:
            for program in self.programs:
                program.settle()
            self.network.look()

    @precondition(lambda self: self.latch is None)
    @rule()
    def slow_down(self) -> None:
        """Let token requests take long."""
        self.latch = self.foxy.hold()

    @precondition(lambda self: self.latch is not None)
    @rule()
    def release(self) -> None:
        """Let the token requests go on."""
        if self.latch is not None:
            self.latch.release()
            self.latch = None
            self.wait()
        self.settle()

    @precondition(lambda self: self.latch is not None)
    @rule(number=st.integers(0, 1))
    def cancel(self, number: int) -> None:
        """Cancel a task that waits for a token."""
        program = self.program(number)
        if isinstance(program, RealProgram):
            return
        task = asyncio.run_coroutine_threadsafe(program.auth.aget_token(), loop())
        deadline = time.monotonic() + DEADLINE
        while not task.done() and not (self.latch and self.latch._waiting):
            assert time.monotonic() < deadline
            time.sleep(POLL)
        task.cancel()

    @precondition(lambda self: self.latch is None)
    @rule(number=st.integers(0, 1), kill=st.booleans())
    def restart(self, number: int = 0, kill: bool = False) -> None:  # noqa: FBT001, FBT002 - hypothesis passes it by name
        """Start a program anew; before, it ends by itself or is killed."""
        self.needs += 1
        if not self.programs:
            return
        program = self.program(number)
        if not kill:
            program.settle()
        self.forget(program)

    def forget(self, program: Program | RealProgram) -> None:
        """Kill *program*, and start it anew."""
        number = self.programs.index(program)
        program.die()
        self.network.note_death(program)
        self.programs[number] = self.start_program(number)

    @precondition(lambda self: self.latch is None)
    @rule(number=st.integers(0, 1))
    def die_before_saving(self, number: int) -> None:
        """Kill a program between the response and the save."""
        self.needs += 2
        program = self.program(number)
        self.store_failures += 1
        self.store_faults["save"] += 99
        program.refresh()
        program.settle()
        self.forget(program)
        self.store_faults["save"] = 0

    @precondition(lambda self: self.latch is None)
    @rule()
    def log_in_again(self) -> None:
        """Replace the grant by a new one."""
        self.settle()
        self.log_in()

    @precondition(lambda self: self.latch is None)
    @rule(number=st.integers(0, 1))
    def log_out(self, number: int) -> None:
        """R29: Log a program out, and begin anew: neither its memory nor the store has a token in between."""
        self.settle()
        program = self.program(number)
        if not isinstance(program, Program):
            return
        self.store_faults.clear()
        program.auth.logout()
        assert program.use() == program.refresh() == "error"
        assert program.token is None
        assert program.store is None or program.store.load() is None
        self.log_in()
        if program.store is not None:
            self.restart(number, kill=True)

    # --- time and the provider ---------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 31.0, 3500.0, 6950.0, 7100.0, 7150.0, 7200.0, 10.0**6]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.needs += 1
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-8000.0, -100.0, 8000.0]))
    def jump(self, seconds: float) -> None:
        """Let the clock jump."""
        self.needs += 1
        self.clock.jump(seconds)

    @rule(life=st.sampled_from([5.0, 60.0, 7200.0]), rotate=st.booleans())
    def change_provider(self, life: float, rotate: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Let the provider issue tokens with another life, and rotate refresh tokens or not."""
        self.foxy.access_token_life = life
        self.foxy.rotate_refresh_tokens = rotate

    @rule(how=st.sampled_from(["expire_access_tokens", "revoke_access_tokens"]))
    def withdraw(self, how: str) -> None:
        """Let the provider expire the access tokens before their time, or revoke them."""
        self.needs += 1
        getattr(self.foxy, how)()

    @rule()
    def end_grant(self) -> None:
        """Let the provider revoke the grant."""
        self.needs += 1
        self.foxy.revoke_refresh_tokens()

    # --- faults ------------------------------------------------------------------------------------------------------

    @rule(
        status=st.sampled_from([400, 429, 500, 503]), times=st.integers(1, 4), wait=st.sampled_from([None, "5", "90"])
    )
    def fail(self, status: int, times: int, wait: str | None) -> None:
        """Let the token endpoint fail before it does anything."""
        self.faults += times
        self.foxy.fail(status, times=times, headers={"Retry-After": wait} if wait else None)

    @rule(how=st.sampled_from(["drop", "unreachable", "no response"]))
    def hang_up(self, how: str) -> None:
        """Let a token request get lost before it does anything."""
        self.faults += 1
        if how == "drop":
            self.foxy.drop()
        else:
            self.network.add_fault(how)

    @rule(how=st.sampled_from(["drop", "truncate", "504", "html", "late"]))
    def lose_response(self, how: str) -> None:
        """Let a response of the token endpoint be lost, after a token was issued."""
        self.faults += 1
        match how:
            case "drop":
                self.foxy.drop(after=True)
            case "truncate":
                self.foxy.truncate()
            case "504":
                self.foxy.fail(504, after=True)
            case "html":
                self.foxy.fail(200, body="<html>", after=True)
            case _:
                self.network.add_fault("lost response")

    @rule(what=st.sampled_from(["load", "save", "save, and say no", "lock"]), times=st.integers(1, 3))
    def break_store(self, what: str, times: int) -> None:
        """Let the store fail, or the callback that saves."""
        self.needs += times
        self.store_failures += times
        self.store_faults[what] += times

    @rule(number=st.integers(0, 1))
    def heal_and_use(self, number: int) -> None:
        """R12, R19: After the faults all is saved, and one request succeeds unless every known refresh token is bad."""
        self.network.clear_faults()
        self.store_faults.clear()
        self.release()
        self.needs += 2
        self.clock.advance(3601.0)
        self.foxy.expire_access_tokens()
        program, newest = self.program(number), self.network.newest
        saved = program.store.load() if program.store else self.saved
        assert saved is not None
        assert newest is None or newest.is_overtaken or newest.access_token == saved.access_token
        known = [program.token, saved if program.store else None]
        is_alive = any(self.network.is_good(token.refresh_token) for token in known if token)
        outcome = program.use()
        program.settle()

        assert outcome == ("200" if is_alive else "error")

    # --- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_burnt(self) -> None:
        """R7, R11: No two token requests at once, and no refresh token that is spent, if the next was saved."""
        assert self.network.wrong == []

    @precondition(lambda self: self.latch is None and self.network.newest is not None)
    @invariant()
    def no_token_is_lost(self) -> None:
        """R9, R19: The newest token was saved, or its holder has it in memory."""
        newest = self.network.newest
        assert newest is not None
        if newest.access_token not in self.network.saved:
            assert isinstance(newest.holder, Program | RealProgram)
            token = newest.holder.token
            assert token is not None
            assert token.access_token == newest.access_token

    @invariant()
    def token_requests_are_bounded(self) -> None:
        """R5, R7, R12, R13: The formula above."""
        assert self.network.counts["issued"] <= self.needs + len(self.clock.sleeps)
        assert self.network.counts["failed"] <= self.faults
        assert all(times <= 1 + self.faults + self.store_failures for times in self.network.refusals.values())


_open = ExitStack()  # what all examples share


@pytest.fixture(autouse=True)
def _setting() -> Iterator[None]:
    """Log nothing, of which there would be much, and leave no thread."""
    logger = logging.getLogger("foxy_auth")
    logger.disabled = True
    yield
    logger.disabled = False
    _open.close()
    threads.cache_clear()
    launcher.cache_clear()


@cache
def threads() -> ThreadPoolExecutor:
    """Return the threads that call."""
    return _open.enter_context(ThreadPoolExecutor(8))


@cache
def loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that runs in a thread."""
    made = asyncio.new_event_loop()
    Thread(target=made.run_forever, daemon=True).start()
    return made


class LifeOfProcesses(Life):
    """One of the two programs is a process of its own, over a real network; it is killed with no warning."""

    def __init__(self) -> None:
        """Let its network lead to the same place."""
        super().__init__()
        self.gateway = Gateway(self.network, self.foxy)
        self.network.stored = self.stored

    def teardown(self) -> None:
        """Let everything end."""
        super().teardown()
        self.gateway.close()

    @initialize(rotate=st.booleans(), kind=st.just("process"))
    def begin(self, rotate: bool, kind: str) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Begin with a provider that rotates refresh tokens or does not."""
        super().begin(rotate, kind)

    def start_program(self, number: int) -> Program | RealProgram:
        """Start the program of that number."""
        if number == 0:
            return Program(self)
        path = Path(self.folder.name, "token.json")
        return RealProgram(launcher(), self.gateway, self.foxy, path, self.clock)

    def stored(self) -> str | None:
        """Return the access token in the store."""
        token = FileStore(Path(self.folder.name, "token.json")).load()
        return token.access_token if token else None

    @rule()
    def kill(self) -> None:
        """Kill the process, also while it waits for a response."""
        self.needs += 1
        self.forget(self.programs[1])


@cache
def launcher() -> Launcher:
    """Return what starts processes."""
    return _open.enter_context(Launcher(Path(_open.enter_context(TemporaryDirectory()))))


EXAMPLES = int(os.environ.get("FOXY_AUTH_TEST_EXAMPLES", "60"))
Life.TestCase.settings = settings(PROPERTY, stateful_step_count=15, max_examples=EXAMPLES)
LifeOfProcesses.TestCase.settings = settings(Life.TestCase.settings, max_examples=EXAMPLES // 20)
TestLife = Life.TestCase
TestLifeOfProcesses = needs_fork(LifeOfProcesses.TestCase)
