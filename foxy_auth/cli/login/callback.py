"""The callback: the response that the user's browser brings from Foxy."""

from __future__ import annotations

import re
from enum import Enum, auto
from hmac import compare_digest
from queue import SimpleQueue
from threading import Event as Flag
from threading import Lock
from typing import NamedTuple
from urllib.parse import parse_qsl

from foxy_auth.cli.login.pages import NOT_USED, WAITING, Page

LAST_PAGE_TIMEOUT = 3.0  # seconds that the command waits for the browser to load the result
# What an error code looks like (RFC 6749, section 4.1.2.1); a longer text could be a message of an attacker.
ERROR_CODE = re.compile("[a-z_]{1,40}")


class Problem(Enum):
    """Why a query is not the callback of this login."""

    NO_RESPONSE = "it has no code"
    NO_STATE = "it has no state, so part of it is missing"
    WRONG_STATE = "its state does not match, so it was cut off, belongs to an earlier login or is forged"


class Source(Enum):
    """Where an event comes from."""

    CALLBACK = auto()  # the text is the query of the callback
    REJECTED = auto()  # the text says why the listener rejected a response
    PASTED = auto()  # the text is a line of the standard input
    INPUT_ENDED = auto()
    NO_BROWSER = auto()  # no browser could be started


class Event(NamedTuple):
    """Something that happened while the login waits."""

    source: Source
    text: str = ""


def find_problem(query: str, *, state: str) -> Problem | None:
    """Return why *query* is not the callback of the request with *state*, or None if it is."""
    fields = parse_qsl(query, keep_blank_values=True)
    states = [value for name, value in fields if name == "state"]
    if not {"code", "error"} & {name for name, _ in fields}:
        return Problem.NO_RESPONSE
    if not states:
        return Problem.NO_STATE
    if len(states) > 1 or not compare_digest(states[0].encode(), state.encode()):
        return Problem.WRONG_STATE
    return None


class Callback:
    """
    Take the callback from whichever thread receives it, and show the result there.

    Attributes:
        path: The path of the redirect URI.
    """

    def __init__(self, path: str, *, state: str, events: SimpleQueue[Event]) -> None:
        """Take the callback of the request with *state*, and report to *events*."""
        self.path = path
        self._state = state
        self._events = events
        self._lock = Lock()
        self._reported: set[Problem | None] = set()
        self._received = False
        self._result: Page | None = None
        self._finished, self._shown = Flag(), Flag()

    def receive(self, query: str) -> None:
        """Take the first valid response; report each problem of other responses once."""
        problem = find_problem(query, state=self._state)
        event = Event(Source.REJECTED, _describe(problem, query)) if problem else Event(Source.CALLBACK, query)
        with self._lock:
            if problem not in self._reported and not self._received:
                self._reported.add(problem)
                self._received = problem is None
                self._events.put(event)

    def page(self) -> Page:
        """Return the page to show now; after the callback, wait for the result."""
        if not self._received:
            return NOT_USED if self._reported else WAITING
        self._finished.wait()
        return self._result or WAITING

    def page_shown(self, page: Page) -> None:
        """Note that the browser has loaded *page*."""
        if page is self._result:
            self._shown.set()

    def finish(self, result: Page) -> None:
        """Set the result, and give the browser time to load it."""
        self._result = result
        self._finished.set()
        if self._received:
            self._shown.wait(LAST_PAGE_TIMEOUT)


def _describe(problem: Problem, query: str) -> str:
    """Name the problem, and the error code. Anybody may have sent the response, so nothing else in it is repeated."""
    error = dict(parse_qsl(query)).get("error", "")
    return f"{problem.value}; its error code is {error}" if ERROR_CODE.fullmatch(error) else problem.value
