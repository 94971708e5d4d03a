"""Many callers at the same time: threads, and tasks on asyncio and trio."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import requests
from support.sources import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import FrameType

    from foxy_auth import FoxyAuth

POLL = 0.005  # seconds from one look to the next


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Do *work* in so many threads, which begin at the same moment; return what each returned or raised."""
    return in_threads_each([work] * count)


def in_threads_each(works: list[Callable[[], Any]]) -> list[Any]:
    """Do each of *works* in a thread of its own, as `in_threads` does."""
    start = threading.Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        start.wait(DEADLINE)
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(DEADLINE) for future in [pool.submit(begin, work) for work in works]]


async def in_tasks(count: int, work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Do *work* in so many tasks; return what each returned or raised."""
    results: list[Any] = []

    async def begin() -> None:
        try:
            results.append(await work())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(begin)
    return results


async def in_worker_thread(work: Callable[..., Any], *args: Any) -> Any:
    """Wait in a worker thread, so that the event loop goes on."""
    return await anyio.to_thread.run_sync(work, *args)


def wait_until_waiting(count: int, function: str) -> None:
    """Wait until *count* threads are in the function of that name and wait for other threads there."""
    deadline = time.monotonic() + DEADLINE
    while _count_waiting(sys._current_frames().values(), function) < count:
        assert time.monotonic() < deadline, f"fewer than {count} threads wait in {function}"
        time.sleep(POLL)


def _count_waiting(frames: Iterable[FrameType], function: str) -> int:
    return sum(frame.f_code.co_name == "wait" and _is_in(frame, function) for frame in frames)


def _is_in(frame: FrameType | None, function: str) -> bool:
    while frame is not None:
        if frame.f_code.co_name == function:
            return True
        frame = frame.f_back
    return False


def status_of(auth: FoxyAuth, url: str) -> int:
    """Call the API."""
    return requests.get(url, auth=auth, timeout=DEADLINE).status_code


def report_status_after(auth: FoxyAuth, url: str, start: Any, results: Any) -> None:
    """Call the API when all are ready; it is here so that a spawned process can import it, wherever the tests are."""
    start.wait(DEADLINE)
    results.put(status_of(auth, url))
