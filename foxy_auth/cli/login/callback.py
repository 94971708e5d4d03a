"""The callback: the response that the user's browser brings from Foxy."""

from __future__ import annotations

import re
from enum import Enum, auto
from hmac import compare_digest
from queue import SimpleQueue
from secrets import token_urlsafe
from threading import Event as Flag
from threading import Lock
from typing import NamedTuple
from urllib.parse import parse_qsl

from foxy_auth import AuthorizationRequest
from foxy_auth.cli.login.pages import NOT_USED, WAITING, Page

LAST_PAGE_TIMEOUT = 3.0  # seconds that the command waits for the browser to load the result
# What an error code looks like (RFC 6749, section 4.1.2.1); a longer text could be a message of an attacker.
ERROR_CODE = re.compile("[a-z_]{1,40}")


class Problem(Enum):
    """Why a query is not the callback of this login."""

    NO_RESPONSE = "it has no code"
    NO_STATE = "it has no state, so part of it is missing"
    WRONG_STATE = "its state does not match, so it was cut off, belongs to an earlier login or is forged"
    OTHER_BROWSER = "it was not brought by the browser that was opened, or that browser keeps no cookies"


class Source(Enum):
    """Where an event comes from."""

    CALLBACK = auto()  # the text is the query of the callback
    REJECTED = auto()  # the text says why the listener rejected a response
    PASTED = auto()  # the text is a line of the standard input
    INPUT_ENDED = auto()
    NO_BROWSER = auto()  # no browser could be started
    OTHER_USER = auto()  # the text is the id of a user who tried to open the start page
    OPENED_TWICE = auto()  # the start page, by different browsers


class Event(NamedTuple):
    """Something that happened while the login waits."""

    source: Source
    text: str = ""


def find_problem(query: str, *states: str) -> Problem | None:
    """Return why *query* is not the callback of a request with one of *states*, or None if it is."""
    fields = parse_qsl(query, keep_blank_values=True)
    found = [value for name, value in fields if name == "state"]
    if not {"code", "error"} & {name for name, _ in fields}:
        return Problem.NO_RESPONSE
    if not found:
        return Problem.NO_STATE
    if len(found) > 1 or not any(compare_digest(found[0].encode(), state.encode()) for state in states):
        return Problem.WRONG_STATE
    return None


class StartPage:
    """
    The address that the browser is sent to, and that redirects to Foxy.

    Other users can read it in the list of processes, but not the state, to which it leads. It serves one browser, which
    is known by a cookie; the callback must come from that browser.

    Attributes:
        path: Its path.

        request: The authorization request to which it leads; no other address does.

        cookie: The cookie, as browsers send it.
    """

    def __init__(self, request: AuthorizationRequest) -> None:
        """Make an address that nobody can guess."""
        self.request = request
        self.path: str = f"/{token_urlsafe(32)}"
        self.cookie: str = f"foxy_auth_{token_urlsafe(6)}={token_urlsafe(32)}"
        self._opened = False

    def open(self, cookies: str) -> bool:
        """Tell whether a browser with *cookies* may go on: the first one, also when it loads the page again."""
        is_first, self._opened = not self._opened, True
        return is_first or self.knows(cookies)

    def knows(self, cookies: str) -> bool:
        """Tell whether the cookie is among *cookies*."""
        return any(compare_digest(cookie.strip().encode(), self.cookie.encode()) for cookie in cookies.split(";"))


class Callback:
    """
    Take the callback from whichever thread receives it, and show the result there.

    Attributes:
        path: The path of the redirect URI; None if it does not lead here.

        start: The start page, if a browser is started.

        opened_twice: Whether two browsers have opened it, so that the callback may be somebody else's.
    """

    def __init__(
        self, path: str | None, *, state: str, events: SimpleQueue[Event], start: StartPage | None = None
    ) -> None:
        """Take the callback of the request with *state*, or of the start page's, and report to *events*."""
        self.path = path
        self.start = start
        self.opened_twice: bool = False
        self._state = state
        self._events = events
        self._lock = Lock()
        self._reported: set[Problem | int | None] = set()
        self._received = False
        self._result: Page | None = None
        self._finished, self._shown = Flag(), Flag()

    def receive(self, query: str, cookies: str = "") -> None:
        """Take the first valid response; report each problem of other responses once."""
        problem = find_problem(query, self._state)
        if problem and self.start and not find_problem(query, self.start.request.state):
            problem = None if self.start.knows(cookies) else Problem.OTHER_BROWSER
        event = Event(Source.REJECTED, _describe(problem, query)) if problem else Event(Source.CALLBACK, query)
        with self._lock:
            if problem not in self._reported and not self._received:
                self._reported.add(problem)
                self._received = problem is None
                self._events.put(event)

    def open_start(self, start: StartPage, cookies: str) -> bool:
        """Tell whether a browser with *cookies* may go on from the start page."""
        with self._lock:
            may_go_on = start.open(cookies)
            self.opened_twice |= not may_go_on
        return may_go_on

    def stop(self) -> None:
        """Report that the start page was opened twice."""
        self._events.put(Event(Source.OPENED_TWICE))

    def refuse_user(self, user: int) -> None:
        """Report once that another user tried to open the start page."""
        with self._lock:
            if user not in self._reported:
                self._reported.add(user)
                self._events.put(Event(Source.OTHER_USER, str(user)))

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
