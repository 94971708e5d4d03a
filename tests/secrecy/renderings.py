"""What error trackers, consoles and log files make of an error: frames with variables, messages, causes, records."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sentry_sdk
from loguru import logger
from rich.traceback import Traceback
from sentry_sdk.integrations.logging import EventHandler
from sentry_sdk.transport import Transport

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope

# The ways in which rich shows variables: by default the first 80 characters of texts, and whole.
RICH: tuple[dict[str, Any], ...] = ({}, {"locals_max_string": None, "locals_max_length": None})


def rendered(error: BaseException, *, by_loguru: bool = True) -> dict[str, str]:
    """Return all that is told about *error*, by who tells it; loguru, which takes longest, may be left out."""
    return {name: render(error) for name, render in RENDERINGS.items() if by_loguru or name != "loguru"}


def _traceback(error: BaseException) -> str:
    shown = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True)
    return "".join(shown.format())


def _rich(error: BaseException) -> str:
    """Return what rich would lay out on a console, with the variables as far as it takes them apart."""
    if _is_circular(error):  # where rich never comes to an end
        return ""
    extracts = [
        Traceback.extract(type(error), error, error.__traceback__, show_locals=True, **options) for options in RICH
    ]
    return "".join(map(repr, extracts))


def _is_circular(error: BaseException | None) -> bool:
    passed: list[BaseException] = []
    while error is not None:
        if any(error is one for one in passed):
            return True
        passed.append(error)
        error = error.__cause__ or error.__context__
    return False


def _sentry(error: BaseException) -> str:
    sentry_sdk.capture_exception(error)
    return _taken(_events)


def _loguru(error: BaseException) -> str:
    logger.opt(exception=error).error("it failed")
    return _taken(_lines)


def _everything(error: BaseException) -> str:
    """Return what hangs on *error*, though most do not show it: a suppressed context, attributes, arguments."""
    return "\n".join(f"{one} {one!r} {one.args!r} {vars(one)!r} {_traceback(one)}" for one in linked(error))


def linked(error: BaseException) -> list[BaseException]:
    """List *error* and all that it leads to: causes, contexts, the members of groups."""
    found: list[BaseException] = []
    ahead: list[BaseException | None] = [error]
    while ahead:
        one = ahead.pop()
        if one is not None and not any(one is other for other in found):
            found.append(one)
            ahead += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return found


RENDERINGS: dict[str, Callable[[BaseException], str]] = {
    "traceback": _traceback,
    "rich": _rich,
    "sentry": _sentry,
    "loguru": _loguru,
    "everything": _everything,
}


# --- what is told meanwhile ------------------------------------------------------------------------------------------

_events: list[str] = []
_lines: list[str] = []


class _Memory(Transport):
    """Keeps the events that would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        _events.extend(item.payload.get_bytes().decode() for item in envelope.items)


class _Lines(logging.Handler):
    """Keeps the records of all loggers, with their arguments and the errors that they bring."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        _lines.append(f"{self.format(record)} {record.args!r} {_everything(error) if error else ''}")


def _taken(texts: list[str]) -> str:
    taken = "\n".join(texts)
    texts.clear()
    return taken


def logged() -> dict[str, str]:
    """Return what was logged since the last time, as lines, and as Sentry's events with the frames at that moment."""
    return {"sentry of a record": _taken(_events), "records": _taken(_lines)}


@contextmanager
def listening() -> Iterator[None]:
    """Set Sentry and loguru up as programs do, though only for this process's tests, and collect what they tell."""
    settings: dict[str, Any] = {"default_integrations": False, "auto_enabling_integrations": False}
    sentry_sdk.init(
        dsn="http://key@127.0.0.1/1",
        transport=_Memory,
        attach_stacktrace=True,
        include_local_variables=True,
        **settings,  # which would change the libraries in this process for all other tests
    )
    logger.remove()
    sink = logger.add(_lines.append, diagnose=True, backtrace=True, level=0, catch=False)
    root, handlers = logging.getLogger(), (EventHandler(level=logging.INFO), _Lines())
    level = root.level
    root.setLevel(logging.DEBUG)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        root.setLevel(level)
        logger.remove(sink)
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
