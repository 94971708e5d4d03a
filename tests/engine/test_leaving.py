"""Programs that end, or are interrupted, during a refresh: how long they take to exit, and what is saved."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from support.endpoints import SlowEndpoint, unreachable_endpoint
from support.programs import Launcher, Program, needs_fork
from support.waiting import wait_until

from foxy_auth import Token
from foxy_auth.emulator import Emulator
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from foxy_auth.emulator import Latch

T = TypeVar("T")

pytestmark = needs_fork

CLIENTS = ("requests", "asyncio", "trio")
LEAVING = ("interrupted", "finished")
SLACK = 2.5  # seconds: half a second is promised, the rest allows for slow machines
AGAIN = 0.5  # seconds from one Ctrl-C to the next
PRESSES = 3  # of Ctrl-C
LONG = 10.0  # a timeout that no program may wait for
TIMEOUT = 2.0  # one that a program may wait for once
TOO_LONG = 8.0  # seconds after which a program that still runs is killed

PROGRAM = """
def save(token):
    with open(settings["file"], "a") as file:
        file.write(json.dumps(token.to_dict()) + "\\n")


def hang(token):
    print_line("delivering")
    threading.Event().wait()


async def ahang(token):
    print_line("delivering")
    await anyio.sleep_forever()


class Store(FileStore):
    def lock(self, timeout):
        print_line("locking")
        return super().lock(timeout)

    def save(self, token):
        print_line("saving")
        if settings["save_hangs"]:
            threading.Event().wait()
        super().save(token)


def report_connecting(event, args):
    if event == "socket.connect" and args[1][:2] == ("127.0.0.1", settings["token_port"]):
        print_line("connecting")


sys.addaudithook(report_connecting)
auth = FoxyAuth(
    client_id=settings["client_id"],
    client_secret=settings["client_secret"],
    token=Token.from_dict(settings["token"]),
    environment=Environment(api=settings["api"], token_endpoint=settings["token_endpoint"]),
    on_token={"save": save, "hang": hang, "ahang": ahang}[settings["on_token"]],
    store=Store(settings["store"]) if settings["store"] else None,
    timeout=settings["timeout"],
    refresh_ahead=10.0**6,
)


def call():
    requests.get(settings["url"], auth=auth, timeout=60)


async def acall():
    async with httpx.AsyncClient(timeout=60) as client:
        await client.get(settings["url"], auth=auth)


{"requests": call, "asyncio": lambda: asyncio.run(acall()), "trio": lambda: trio.run(acall)}[settings["client"]]()
print_line("called")
wait_for_enter()
print_line("leaving")
"""


@dataclass
class Case:
    """
    A program, and the emulator that it uses.

    Attributes:
        launcher: Starts the program.

        foxy: The emulator.

        stack: Closes what the case has opened.

        settings: The program's settings; functions that bring it to a certain stage change them.

        program: The program, once it runs.

        latch: Holds the token request, if the stage is `sent`.
    """

    launcher: Launcher
    foxy: Emulator
    stack: ExitStack
    settings: dict[str, Any]
    program: Program = field(init=False)
    latch: Latch = field(init=False)

    @property
    def store(self) -> FileStore:
        """The program's store."""
        return FileStore(self.settings["store"])

    @property
    def saved(self) -> list[Token]:
        """The tokens that its callback has saved."""
        lines = Path(self.settings["file"]).read_text().splitlines()
        return [Token.from_dict(json.loads(line)) for line in lines]

    def start(self) -> None:
        """Start the program."""
        port = int(self.settings["token_endpoint"].rpartition(":")[2].partition("/")[0])
        self.program = self.stack.enter_context(self.launcher.start(PROGRAM, token_port=port, **self.settings))

    def leave(self, leaving: str) -> float:
        """Interrupt the program, or let it finish; return the time at which that happened."""
        if leaving == "interrupted":
            self.program.send(signal.SIGINT)
        else:
            self.program.wait_for_line("called")
            self.program.press_enter()
        return time.monotonic()

    def wait_for_leaving(self, leaving: str) -> None:
        """Wait until the program's own code has ended."""
        self.program.wait_for_line("KeyboardInterrupt" if leaving == "interrupted" else "leaving")


def make_case(launcher: Launcher, folder: Path, stack: ExitStack, *, client: str, leaving: str, **options: Any) -> Case:
    """
    Prepare a program that needs a refresh.

    The token of a program that will be interrupted has expired, so that the program waits for the refresh.
    The token of one that will finish is still fresh enough to use, so that the refresh runs in the background.
    """
    foxy = stack.enter_context(Emulator())
    foxy.rotate_refresh_tokens = True
    left = -100.0 if leaving == "interrupted" else 1000.0
    now = time.time()
    name = "-".join((client, leaving, str(options["store"])))
    settings: dict[str, Any] = {
        "client": client,
        "client_id": foxy.client_id,
        "client_secret": foxy.client_secret,
        "token": replace(foxy.grant(), obtained_at=now + left - 7200.0, expires_at=now + left).to_dict(),
        "api": foxy.url,
        "url": foxy.store_url,
        "token_endpoint": f"{foxy.url}/token",
        "file": str(folder / f"{name}.tokens"),
        "store": "",
        "save_hangs": False,
        "on_token": "save",
        "timeout": LONG,
    }
    case = Case(launcher, foxy, stack, settings | options)
    if case.settings["store"]:
        case.settings["store"] = str(folder / f"{name}.store")
    return case


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start the programs of this module."""
    with Launcher(tmp_path_factory.mktemp("programs")) as launcher:
        yield launcher


# --- stages of a refresh -------------------------------------------------------------------------------------------


def connecting(case: Case) -> None:
    """Wait until the program connects to a token endpoint that cannot be reached."""
    case.settings["token_endpoint"] = case.stack.enter_context(unreachable_endpoint())
    case.start()
    case.program.wait_for_line("connecting")


def pausing(case: Case) -> None:
    """Wait until the program's token request was answered by a 503, and will be repeated after 8 s."""
    case.foxy.fail(503, headers={"Retry-After": "8"}, times=3)
    case.start()
    wait_until(lambda: [call.status for call in case.foxy.token_calls] == [503], what="the token request")


def locking(case: Case) -> None:
    """Wait until the program waits for its store's lock, which the test holds."""
    case.stack.enter_context(case.store.lock(1.0))
    case.start()
    case.program.wait_for_line("locking")


def sent(case: Case) -> None:
    """Wait until the program's token request has arrived; it gets no response."""
    case.latch = case.stack.enter_context(case.foxy.hold())
    case.start()
    case.latch.wait_for(1, timeout=30.0)


def responding_slowly(case: Case) -> None:
    """Wait until the response to the program's token request arrives, byte by byte."""
    endpoint = case.stack.enter_context(SlowEndpoint(case.foxy))
    case.settings["token_endpoint"] = endpoint.url
    case.start()
    wait_until(lambda: endpoint.bytes_sent, what="the token request")


def delivering(case: Case) -> None:
    """Wait until the program's callback hangs."""
    case.settings["on_token"] = "hang"
    case.start()
    case.program.wait_for_line("delivering")


def delivering_async(case: Case) -> None:
    """Wait until the program's async callback hangs."""
    case.settings["on_token"] = "ahang"
    case.start()
    case.program.wait_for_line("delivering")


def saving(case: Case) -> None:
    """Wait until the program's store hangs in `save`."""
    case.settings["save_hangs"] = True
    case.start()
    case.program.wait_for_line("saving")


# --- the table -----------------------------------------------------------------------------------------------------

ONLY_WITH_STORE = {locking, saving}


def side_by_side(
    launcher: Launcher,
    folder: Path,
    stage: Callable[[Case], None],
    act: Callable[[Case, str], T],
    *,
    timeout: float,
) -> dict[str, T]:
    """Bring programs with each client to *stage*, with and without a store, and call *act* with each way of leaving."""

    def run(row: tuple[str, str, str]) -> T:
        client, leaving, store = row
        with ExitStack() as stack:
            options: dict[str, Any] = {"client": client, "leaving": leaving, "store": store, "timeout": timeout}
            case = make_case(launcher, folder, stack, **options)
            try:
                stage(case)
            except BaseException:
                ready.abort()
                raise
            ready.wait(60.0)  # programs that start would slow down those that leave
            return act(case, leaving)

    stores = ("store",) if stage in ONLY_WITH_STORE else ("", "store")
    rows = list(product(CLIENTS, LEAVING, stores))
    ready = Barrier(len(rows))
    with ThreadPoolExecutor(len(rows)) as threads:
        return dict(zip(map(" ".join, rows), threads.map(run, rows), strict=True))


def leave(case: Case, leaving: str) -> float:
    """Make the program leave; return how many seconds it took."""
    left_at = case.leave(leaving)
    case.program.wait_for_end(within=TOO_LONG)
    return round(time.monotonic() - left_at, 1)


def interrupt_again(case: Case, leaving: str) -> float:
    """Make the program leave, then press Ctrl-C; return how many seconds it took from then on."""
    case.leave(leaving)
    case.wait_for_leaving(leaving)
    interrupted_at = time.monotonic()
    for _ in range(PRESSES):  # the first may come before the program has begun to wait
        case.program.send(signal.SIGINT)
        if case.program.wait_for_end(within=AGAIN):
            break
    case.program.wait_for_end(within=TOO_LONG)
    return round(time.monotonic() - interrupted_at, 1)


def too_slow(seconds: dict[str, float], bound: float) -> dict[str, float]:
    """Return the cases that took longer than *bound*."""
    return {case: taken for case, taken in seconds.items() if taken > bound}


@pytest.mark.parametrize("stage", [connecting, pausing, locking])
def test_nothing_sent(launcher: Launcher, tmp_path: Path, stage: Callable[[Case], None]) -> None:
    """R9: A program that leaves while no token request has been sent ends at once."""
    seconds = side_by_side(launcher, tmp_path, stage, leave, timeout=LONG)

    assert too_slow(seconds, 2 * SLACK) == {}


@pytest.mark.parametrize("stage", [sent, responding_slowly, delivering, delivering_async, saving])
def test_a_request_is_out(launcher: Launcher, tmp_path: Path, stage: Callable[[Case], None]) -> None:
    """R9: A program that leaves after a token request was sent ends within one timeout, whatever hangs."""
    seconds = side_by_side(launcher, tmp_path, stage, leave, timeout=TIMEOUT)

    assert too_slow(seconds, TIMEOUT + SLACK) == {}


@pytest.mark.parametrize("stage", [sent, delivering, saving])
def test_a_second_ctrl_c(launcher: Launcher, tmp_path: Path, stage: Callable[[Case], None]) -> None:
    """A program that is interrupted while it waits at its exit ends at once."""
    seconds = side_by_side(launcher, tmp_path, stage, interrupt_again, timeout=LONG)

    assert too_slow(seconds, PRESSES * AGAIN + SLACK) == {}


def test_the_response_is_saved(launcher: Launcher, tmp_path: Path) -> None:
    """R9: A response that arrives while a program waits for it at its exit is saved, although the caller is gone."""

    def respond(case: Case, leaving: str) -> dict[str, bool]:
        case.leave(leaving)
        case.wait_for_leaving(leaving)
        case.latch.release()
        ended = case.program.wait_for_end(within=TOO_LONG)
        current = case.foxy.current_refresh_token
        stored = case.store.load() if case.settings["store"] else None
        return {
            "ended": ended,
            "saved": [token.refresh_token for token in case.saved] == [current],
            "stored": not case.settings["store"] or (stored is not None and stored.refresh_token == current),
        }

    outcomes = side_by_side(launcher, tmp_path, sent, respond, timeout=LONG)

    assert outcomes == {case: {"ended": True, "saved": True, "stored": True} for case in outcomes}


def test_a_request_that_is_turned_away_at_the_exit(launcher: Launcher, tmp_path: Path) -> None:
    """R9: A token request that is turned away while a program waits for it at its exit is not repeated."""

    def turn_away(case: Case, leaving: str) -> tuple[bool, int]:
        case.foxy.fail(503)
        case.leave(leaving)
        case.wait_for_leaving(leaving)
        case.latch.release()
        return case.program.wait_for_end(within=TOO_LONG), len(case.foxy.token_calls)

    outcomes = side_by_side(launcher, tmp_path, sent, turn_away, timeout=LONG)

    assert outcomes == dict.fromkeys(outcomes, (True, 1))
