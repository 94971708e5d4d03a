"""Programs that end, and objects that are copied, pickled or forked: no token is lost."""

from __future__ import annotations

import copy
import json
import multiprocessing
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
from support.concurrent_calls import wait_until_waiting
from support.programs import Launcher, Program, needs_fork
from support.sources import DEADLINE, FakeClock, auth_for, expired, get_token, source_for

from foxy_auth.testing import in_fork
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from foxy_auth.auth import FoxyAuth
    from foxy_auth.emulator import Emulator

# To fork while threads run is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def rotating(foxy: Emulator) -> Emulator:
    """Give a Foxy whose refresh tokens are good once."""
    foxy.rotate_refresh_tokens = True
    return foxy


def nearly_expired(foxy: Emulator) -> Token:
    """Return a token that is still good, but old enough to be refreshed in the background."""
    token, now = foxy.grant(), time.time()
    return replace(token, obtained_at=now - 6000.0, expires_at=now + 1200.0)


# --- programs that end ---------------------------------------------------------------------------------------------

PREAMBLE = """
import atexit


def save(token):
    with open(settings["file"], "a") as file:
        file.write(json.dumps(token.to_dict()) + "\\n")


async def asave(token):
    await anyio.sleep(0)
    save(token)


def make_auth(**options):
    return FoxyAuth(
        client_id=settings["client_id"],
        client_secret=settings["client_secret"],
        token=Token.from_dict(settings["token"]),
        environment=Environment(api=settings["url"], token_endpoint=settings["url"] + "/token"),
        refresh_ahead=10.0**6,
        **options,
    )
"""


class Runner:
    """
    Runs programs that use one emulator.

    Attributes:
        file: Where the programs save tokens.
    """

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        """Start them by *launcher*."""
        self._launcher = launcher
        self.file = folder / "tokens"

    def start(self, foxy: Emulator, token: Token, code: str) -> Program:
        """Start *code* with *token*."""
        self.file.touch()
        addresses = {"url": foxy.url, "client_id": foxy.client_id, "client_secret": foxy.client_secret}
        return self._launcher.start(PREAMBLE + code, file=str(self.file), token=token.to_dict(), **addresses)

    @property
    def saved(self) -> list[str | None]:
        """The refresh tokens that were saved."""
        return [Token.from_dict(json.loads(line)).refresh_token for line in self.file.read_text().splitlines()]


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start the programs of this module."""
    with Launcher(tmp_path_factory.mktemp("programs")) as launcher:
        yield launcher


@pytest.fixture
def runner(launcher: Launcher, tmp_path: Path) -> Runner:
    """Run programs."""
    return Runner(launcher, tmp_path)


@needs_fork
@pytest.mark.parametrize(
    ("call", "leave"),
    [
        pytest.param("anyio.run(make_auth(on_token=asave).aget_token)", "", id="async callback, asyncio"),
        pytest.param("anyio.run(make_auth(on_token=asave).aget_token, backend='trio')", "", id="async callback, trio"),
        pytest.param("auth = make_auth(on_token=save); auth.get_token()", "auth.flush(); os._exit(0)", id="os._exit"),
    ],
)
def test_a_program_that_ends_in_mid_refresh(rotating: Emulator, runner: Runner, call: str, leave: str) -> None:
    """R9: A program that ends after a token request was sent saves the token, though its event loop is closed."""
    code = f"{call}\nwait_for_enter()\n{leave}"
    with rotating.hold() as latch, runner.start(rotating, nearly_expired(rotating), code) as program:
        latch.wait_for(1)
        program.press_enter()
        latch.release()
        ended = program.wait_for_end(within=DEADLINE)

    assert ended
    assert program.lines == []
    assert runner.saved == [rotating.current_refresh_token]


@needs_fork
@pytest.mark.parametrize("callback", ["save", "asave"])
def test_a_refresh_at_exit(rotating: Emulator, runner: Runner, callback: str) -> None:
    """R9: A function that runs when the interpreter exits, and may start no thread, still gets and saves a token."""
    code = f"auth = make_auth(on_token={callback})\natexit.register(lambda: print_line(auth.get_token().refresh_token))"
    with runner.start(rotating, expired(rotating), code) as program:
        ended = program.wait_for_end(within=DEADLINE)

    assert ended
    assert program.lines == [rotating.current_refresh_token]
    assert runner.saved == [rotating.current_refresh_token]


@needs_fork
def test_an_undelivered_token_is_offered_at_exit(rotating: Emulator, runner: Runner) -> None:
    """R19: A token that could not be delivered is offered once more when the interpreter exits."""
    code = """
import logging

logging.basicConfig()
attempts = []

def on_token(token):
    attempts.append(token)
    if len(attempts) == 1:
        raise OSError("disk full")
    save(token)

make_auth(on_token=on_token).get_token()
print_line(len(attempts))
"""
    with runner.start(rotating, expired(rotating), code) as program:
        ended = program.wait_for_end(within=DEADLINE)

    assert ended
    assert "1" in program.lines
    assert runner.saved == [rotating.current_refresh_token]


@needs_fork
def test_a_delivery_under_way_at_exit(rotating: Emulator, runner: Runner) -> None:
    """R19: A program that ends while a token is offered again waits for that, and does not call the token lost."""
    code = """
import foxy_auth._engine.delivery as delivery

delivery.SPACING = 0.05
attempts, begun = [], threading.Event()

def on_token(token):
    attempts.append(token)
    if len(attempts) == 1:
        raise OSError("disk full")
    begun.set()
    time.sleep(0.3)
    save(token)

make_auth(on_token=on_token).get_token()
begun.wait()
"""
    with runner.start(rotating, expired(rotating), code) as program:
        ended = program.wait_for_end(within=DEADLINE)

    assert ended
    assert runner.saved == [rotating.current_refresh_token]
    assert not any("lost" in line for line in program.lines)


@needs_fork
@pytest.mark.parametrize("part", ["on_token", "the store"])
def test_a_token_that_is_lost_at_exit(rotating: Emulator, runner: Runner, part: str) -> None:
    """R19, R23: If delivery fails at exit too, the log says that a token is lost, but not which."""
    code = f"""
import logging
from foxy_auth.stores import MemoryStore

logging.basicConfig()

class Failing(MemoryStore):
    def save(self, token):
        raise OSError(f"cannot write {{token.refresh_token}}")

broken = {{"on_token": {{"on_token": Failing().save}}, "the store": {{"store": Failing()}}}}
make_auth(**broken[{part!r}], timeout=0.5).get_token()
"""
    with runner.start(rotating, expired(rotating), code) as program:
        ended = program.wait_for_end(within=DEADLINE)
    text = "\n".join(program.lines)

    assert ended
    assert f"{part} does not have the newest token at exit" in text
    assert "cannot write [hidden]" in text
    assert "another thread holds the lock" not in text
    assert str(rotating.current_refresh_token) not in text


@needs_fork
def test_undelivered_tokens_are_offered_again_though_nobody_asks(foxy: Emulator, runner: Runner) -> None:
    """R19: A token that could not be delivered is offered again after a while, as often as it takes."""
    code = """
import foxy_auth._engine.delivery as delivery

delivery.SPACING = 0.1
attempts = []

def on_token(token):
    attempts.append(token)
    if len(attempts) <= 2:
        raise OSError("disk full")
    print_line("delivered")

make_auth(on_token=on_token).refresh()
wait_for_enter()
"""
    with runner.start(foxy, foxy.grant(), code) as program:
        program.wait_for_line("delivered")
        program.press_enter()
        ended = program.wait_for_end(within=DEADLINE)

    assert ended
    assert not any("lost" in line for line in program.lines)


@needs_fork
def test_one_thread_waits_to_offer_all_undelivered_tokens(foxy: Emulator, runner: Runner) -> None:
    """R19: However many objects have a token that could not be delivered, one thread waits for the next attempt."""
    code = """
is_full = True

def on_token(token):
    if is_full:
        raise OSError("disk full")

auths = [make_auth(on_token=on_token) for _ in range(9)]
for auth in auths:
    auth.refresh()
names = [thread.name for thread in threading.enumerate()]
print_line(f"alarms: {names.count('foxy-auth-alarm')}")
is_full = False
"""
    with runner.start(foxy, foxy.grant(), code) as program:
        ended = program.wait_for_end(within=DEADLINE)

    assert ended
    assert "alarms: 1" in program.lines
    assert not any("lost" in line for line in program.lines)


@needs_fork
def test_daemon_threads_lose_nothing_at_exit(rotating: Emulator, runner: Runner) -> None:
    """R9: While the program ends, daemon threads send no token request whose response nobody would wait for."""
    code = """
auth = make_auth(on_token=save)

def refresh():
    while True:
        auth.refresh()

threading.Thread(target=refresh, daemon=True).start()
time.sleep(0.5)
"""
    with runner.start(rotating, expired(rotating), code) as program:
        ended = program.wait_for_end(within=DEADLINE)

    assert ended
    assert runner.saved[-1] == rotating.current_refresh_token


@needs_fork
def test_a_delivery_that_hangs_at_exit(rotating: Emulator, runner: Runner) -> None:
    """R9: An exit does not wait for ever for a callback that failed first and then hangs, on no version of Python."""
    code = """
import logging

logging.basicConfig()
attempts = []

def on_token(token):
    attempts.append(token)
    if len(attempts) == 1:
        raise OSError("disk full")
    time.sleep(100)

make_auth(on_token=on_token, timeout=0.5).get_token()
"""
    with runner.start(rotating, expired(rotating), code) as program:
        ended = program.wait_for_end(within=DEADLINE)

    assert ended
    assert any("is lost" in line for line in program.lines)


@needs_fork
def test_many_callbacks_that_hang_at_exit(foxy: Emulator, runner: Runner) -> None:
    """R9: An exit waits for all that hangs at once, not for one after the other."""
    code = """
from foxy_auth._engine.delivery import Delivery

for _ in range(50):
    delivery = Delivery(lambda token: time.sleep(100), timeout=0.5)
    delivery.expect(make_auth().get_token())
    delivery.start()
print_line("hanging")
"""
    with runner.start(foxy, foxy.grant(), code) as program:
        program.wait_for_line("hanging")
        ended = program.wait_for_end(within=5.0)

    assert ended


# --- copies --------------------------------------------------------------------------------------------------------


def test_a_pickle_works_elsewhere(foxy: Emulator) -> None:
    """R21: An object out of a pickle keeps token, environment and callback, and refreshes on its own."""
    auth = auth_for(foxy, expired(foxy), on_token=print)
    again: FoxyAuth = pickle.loads(pickle.dumps(auth))  # noqa: S301 - our own

    assert again.token == auth.token
    assert foxy.is_live(again.get_token().access_token)
    assert auth.token != again.token


def test_a_pickle_made_in_mid_refresh(foxy: Emulator) -> None:
    """R21: An object can be pickled while a refresh is under way, and the copy does not wait for that one."""
    auth = auth_for(foxy, expired(foxy))
    with foxy.hold() as latch, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(auth.get_token)
        latch.wait_for(1)
        content = pickle.dumps(auth)
        latch.release()
        waiting.result(DEADLINE)
    again: FoxyAuth = pickle.loads(content)  # noqa: S301 - our own

    assert foxy.is_live(again.get_token().access_token)
    assert len(foxy.token_calls) == 2


def test_copies_out_of_pickles_draw_their_own_chance(foxy: Emulator) -> None:
    """R5, R21: Processes that got the object by pickle do not all refresh at the same instant."""
    content = pickle.dumps(source_for(foxy, foxy.grant()))
    copies = [pickle.loads(content) for _ in range(8)]  # noqa: S301 - our own

    assert len({source.grant.signature.fresh_until for source in copies}) == 8


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy])
def test_copies_share_the_grant(rotating: Emulator, copying: Callable[[FoxyAuth], FoxyAuth]) -> None:
    """R21: Copies within a process share one source: two owners of a refresh token would burn the grant."""
    auth = auth_for(rotating, expired(rotating))
    again = copying(auth)
    tokens = {auth.get_token(), again.get_token(), auth.refresh(), again.get_token()}

    assert len(tokens) == 2
    assert auth.token == again.token
    assert len(rotating.token_calls) == 2


@pytest.mark.parametrize("library", [requests.Session, httpx.Client])
def test_deep_copies_share_the_client_for_token_requests(foxy: Emulator, library: Callable[[], Any]) -> None:
    """R21: A deep copy, and what it makes for other grants, sends token requests by the very client that was given."""
    with library() as http:
        auth, other = auth_for(foxy, expired(foxy), http=http), expired(foxy)
        again = copy.deepcopy(auth)
        http.headers["X-Own"] = "yes"
        again.refresh()
        again.for_token(other).refresh()

    assert [call.headers.get("X-Own") for call in foxy.token_calls] == ["yes", "yes"]


def test_a_pickled_session(foxy: Emulator) -> None:
    """R21: A requests session can be pickled with the object as its auth."""
    with requests.Session() as session:
        session.auth = auth_for(foxy, expired(foxy))
        again: requests.Session = pickle.loads(pickle.dumps(session))  # noqa: S301 - our own
    with again:
        response = again.get(foxy.store_url, timeout=DEADLINE)

    assert response.status_code == 200


# --- forks ---------------------------------------------------------------------------------------------------------


class PausingClock(FakeClock):
    """A clock at which one thread can be held up, in the middle of what it does."""

    def __init__(self) -> None:
        """Hold nobody up yet."""
        super().__init__()
        self.go_on = threading.Event()
        self.go_on.set()
        self._held = threading.current_thread()

    def hold(self, thread: threading.Thread) -> None:
        """Hold *thread* up when it next looks at the clock."""
        self.go_on.clear()
        self._held = thread

    def now(self) -> float:
        """Return the wall clock's time."""
        if threading.current_thread() is self._held:
            self.go_on.wait(DEADLINE)
        return super().now()


@needs_fork
def test_a_fork_in_mid_refresh(foxy: Emulator) -> None:
    """R21: A child refreshes on its own; it waits neither for its parent's flight nor for a lock that is held there."""
    clock = PausingClock()
    source = source_for(foxy, expired(foxy), clock=clock)
    choosing = threading.Thread(target=get_token, args=(source,))
    with foxy.hold() as latch, ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(get_token, source)
        latch.wait_for(1)
        clock.hold(choosing)  # between starting a flight and joining one
        choosing.start()
        wait_until_waiting(1, "now")

        def release() -> None:
            latch.wait_for(2)
            latch.release()

        releasing = pool.submit(release)
        forked = in_fork(lambda: get_token(source) == source.grant.token)
        releasing.result(DEADLINE)
        clock.go_on.set()
        token = waiting.result(DEADLINE)
        choosing.join(DEADLINE)

    assert forked == (0, "True")
    assert foxy.is_live(token.access_token)
    assert len(foxy.token_calls) == 2


@needs_fork
def test_a_fork_in_mid_delivery(foxy: Emulator) -> None:
    """R21: A child waits for no callback of its parent's, and does not deliver in its parent's place."""
    go_on, begun = threading.Event(), threading.Event()
    delivered: list[Token] = []

    def on_token(token: Token) -> None:
        if not begun.is_set():
            begun.set()
            go_on.wait(DEADLINE)
        delivered.append(token)

    source = source_for(foxy, expired(foxy), on_token=on_token)

    def work() -> list[int]:
        source.flush()
        before = len(delivered)
        get_token(source, source.grant.token)
        return [before, len(delivered)]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(get_token, source)
        begun.wait(DEADLINE)
        forked = in_fork(work)
        go_on.set()
        token = waiting.result(DEADLINE)

    assert forked == (0, "[0, 1]")
    assert delivered == [source.grant.token] == [token]


def report_token(auth: FoxyAuth, url: str) -> None:
    """Call the API with a token that is refreshed in the background, and end."""
    requests.get(url, auth=auth, timeout=DEADLINE)


@needs_fork
def test_a_child_of_multiprocessing_that_ends_in_mid_refresh(rotating: Emulator, tmp_path: Path) -> None:
    """R9: A child process, which runs no exit functions, saves the token too that is on its way when it ends."""
    saved = tmp_path / "token"
    auth = auth_for(
        rotating,
        nearly_expired(rotating),
        refresh_ahead=10.0**6,
        on_token=lambda token: saved.write_text(str(token.refresh_token)),
    )
    child = multiprocessing.get_context("fork").Process(target=report_token, args=(auth, rotating.store_url))
    with rotating.hold() as latch:
        child.start()
        latch.wait_for(1)
        latch.release()
        child.join(DEADLINE)

    assert child.exitcode == 0
    assert saved.read_text() == rotating.current_refresh_token


@needs_fork
def test_a_child_of_multiprocessing_ends_though_a_callback_hangs(foxy: Emulator) -> None:
    """R9: A child process does not wait for ever for a callback."""
    auth = auth_for(foxy, expired(foxy), on_token=lambda _: time.sleep(1000.0), timeout=0.5)
    child = multiprocessing.get_context("fork").Process(target=auth.get_token)
    child.start()
    child.join(DEADLINE)

    try:
        assert child.exitcode == 0
    finally:
        child.kill()
