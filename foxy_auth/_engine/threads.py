"""Short threads for what may take long, or hang, so that nobody has to wait for it longer than makes sense."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def started(work: Callable[[], T], *, name: str, daemon: bool = True) -> Future[T]:
    """
    Start *work* in a thread of its own, and return what will come of it, its error too.

    Where no thread can be had, because the interpreter is ending or out of them, it is done here and now.
    """
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()  # so that nobody who waits can cancel it

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    try:
        Thread(target=run, name=name, daemon=daemon).start()
    except RuntimeError:
        run()
    return outcome
