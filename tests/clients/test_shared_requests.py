"""R2, R15: one prepared request that many threads send at once; each sending is judged by itself."""

from __future__ import annotations

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from clients.drivers import INSTALLED, WAIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clients.drivers import Library

    from foxy_auth import FoxyAuth
    from foxy_auth.emulator import Emulator

REFUSED = json.dumps({"error": "invalid_token"}).encode()
FOREIGN = "http://localhost:9/elsewhere"
THREADS = 12

pytestmark = pytest.mark.parametrize("library", [one for one in INSTALLED if one.like_requests], ids=str, indirect=True)


@dataclass(frozen=True)
class Step:
    """
    The response to one request of a thread.

    Attributes:
        status: The status.

        location: Where it redirects to.

        before: Called before it is returned.

        after: Called in a hook of the user's, after ours.
    """

    status: int
    location: str | None = None
    before: Callable[[], object] = bool
    after: Callable[[], object] = bool


class Steps(threading.local):
    """What the present thread is to get for its requests."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.left: list[Step] = []
        self.last = Step(200)


class Sender:
    """Sends one prepared request in many threads, through an adapter that responds to each by its steps."""

    def __init__(self, library: Library, url: str, auth: FoxyAuth) -> None:
        """Prepare the request."""
        self._session = session = library.module.Session()
        self._steps = steps = Steps()
        adapter = library.module.adapters.HTTPAdapter
        packages: Any = import_module(f"{library.name}.packages")

        class Adapter(adapter):  # type: ignore[misc,valid-type]
            def send(self, request: Any, *_: Any, **__: Any) -> Any:
                step = steps.last = steps.left.pop(0)
                step.before()
                headers = {"Location": step.location} if step.location else {}
                raw = packages.urllib3.HTTPResponse(
                    io.BytesIO(REFUSED), headers, status=step.status, preload_content=False
                )
                return self.build_response(request, raw)

        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter())
        self.prepared = session.prepare_request(library.module.Request("GET", url, auth=auth))
        self.prepared.register_hook("response", self._after)

    def _after(self, *_: object, **__: object) -> None:
        self._steps.last.after()

    def send(self, *steps: Step) -> tuple[int, int]:
        """Send it; return the status, and how many steps are left."""
        self._steps.left = list(steps)
        return self._session.send(self.prepared, timeout=WAIT).status_code, len(self._steps.left)


@pytest.fixture
def sender(library: Library, auth: FoxyAuth, foxy: Emulator) -> Sender:
    """Give a request that is prepared."""
    return Sender(library, foxy.store_url, auth)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def test_many_sendings_at_once(sender: Sender, pool: ThreadPoolExecutor, foxy: Emulator) -> None:
    """R2, R15: of sendings at once, those that a foreign origin redirects get their 401, all others their retry."""
    together = threading.Barrier(THREADS, timeout=WAIT)
    astray = [
        Step(302, FOREIGN, together.wait),
        Step(302, foxy.store_url, together.wait),
        Step(401, before=together.wait),
        Step(200),
    ]
    direct = [Step(401, before=together.wait), Step(200)]
    redirected = [Step(302, foxy.url, together.wait), Step(401, before=together.wait), Step(200)]
    ways = [astray, [*direct[:1], Step(302, foxy.url, together.wait), Step(200, before=together.wait)], redirected]

    def send(number: int) -> tuple[int, int]:
        way = ways[number % 3]
        outcome = sender.send(*way)
        for _ in range(3 - sum(step.before == together.wait for step in way)):
            together.wait()
        return outcome

    outcomes = list(pool.map(send, range(THREADS)))

    assert outcomes == [(401, 1), (200, 0), (200, 0)] * (THREADS // 3)
    assert len(foxy.token_calls) == 1


def test_another_sending_does_not_spend_the_retry(sender: Sender, pool: ThreadPoolExecutor, foxy: Emulator) -> None:
    """R15: the retry of one sending, which is redirected then, leaves another one its own."""
    other_is_redirected, this_is_done = threading.Event(), threading.Event()

    def wait_for_this() -> None:
        other_is_redirected.set()
        assert this_is_done.wait(WAIT)

    other = pool.submit(sender.send, Step(401), Step(302, foxy.url), Step(200, before=wait_for_this))
    this = sender.send(Step(302, foxy.url, lambda: other_is_redirected.wait(WAIT)), Step(401), Step(200))
    this_is_done.set()

    assert (this, other.result(WAIT)) == ((200, 0), (200, 0))


def test_another_sending_does_not_renew_the_retry(sender: Sender, pool: ThreadPoolExecutor, foxy: Emulator) -> None:
    """R15: for a sending whose retry is redirected, no other token is issued, although another one is retried too."""
    this_is_redirected = threading.Event()
    other = pool.submit(sender.send, Step(401, before=lambda: this_is_redirected.wait(WAIT)), Step(200))

    def wait_for_other() -> None:
        this_is_redirected.set()
        assert other.result(WAIT) == (200, 0)

    this = sender.send(Step(401), Step(302, foxy.url, after=wait_for_other), Step(401), Step(200))

    assert (this, len(foxy.token_calls)) == ((401, 1), 1)


def test_a_copy_has_a_retry_of_its_own(sender: Sender, foxy: Emulator) -> None:
    """R15: a copy of a request that was retried and redirected is retried again."""
    first = sender.send(Step(401), Step(302, foxy.url), Step(401))
    sender.prepared = sender.prepared.copy()

    assert (first, sender.send(Step(401), Step(200))) == ((401, 0), (200, 0))
    assert len(foxy.token_calls) == 2
