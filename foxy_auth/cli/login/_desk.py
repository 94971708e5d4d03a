"""Where the browser hands in its answer, and learns what came of it."""

from __future__ import annotations

from threading import Event, Lock

from foxy_auth.cli.login._answers import Answer, Happenings, Notice, Stateless, Verdict, judge, stateless
from foxy_auth.cli.login._pages import UNCERTAIN, WAITING, Page

EXCHANGE = 60.0  # seconds that the browser waits for the outcome; a token call takes less
FAREWELL = 3.0  # seconds that the command waits for the browser to fetch the last page


class Desk:
    """Take the one answer of the login, in whatever thread it comes, and show the outcome."""

    def __init__(self, path: str, *, state: str, happenings: Happenings) -> None:
        """Take the answer to the request with *state* at *path*, and report to *happenings*."""
        self.path = path
        self._state = state
        self._happenings = happenings
        self._lock = Lock()
        self._reported: set[Answer | Notice | Stateless] = set()
        self._taken = False
        self._outcome: Page | None = None
        self._concluded, self._shown = Event(), Event()

    def hand_in(self, query: str) -> bool:
        """Take an answer, and tell whether it is the login's own; only the first of each kind is reported."""
        verdict = judge(query, state=self._state)
        with self._lock:
            if verdict is Verdict.FOREIGN:
                self._report(Notice.FOREIGN)
            elif verdict is Verdict.STATELESS:
                self._report(stateless(query))
            elif not self._taken:
                self._taken = True
                self._report(Answer(query))
        return verdict not in {Verdict.FOREIGN, Verdict.STATELESS}

    def page(self) -> Page:
        """Return what there is to show to a browser without an answer; after one, the outcome."""
        if not self._taken:
            return WAITING
        self._concluded.wait(EXCHANGE)
        return self._outcome or UNCERTAIN

    def shown(self, page: Page) -> None:
        """Note that a browser has *page*."""
        if page is self._outcome:
            self._shown.set()

    def conclude(self, outcome: Page) -> None:
        """Set the outcome, and give the browser that waits for it the time to fetch it."""
        self._outcome = outcome
        self._concluded.set()
        if self._taken:
            self._shown.wait(FAREWELL)

    def _report(self, happening: Answer | Notice | Stateless) -> None:
        if happening not in self._reported:
            self._reported.add(happening)
            self._happenings.put(happening)
