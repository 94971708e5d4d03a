"""Wait for the answer, from the browser or from the user's clipboard."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from time import monotonic

import click

from foxy_auth._oauth.authorization import query_of
from foxy_auth.cli._statuses import Status
from foxy_auth.cli.login._answers import Answer, Happening, Happenings, Notice, Pasted, Stateless, Verdict, judge
from foxy_auth.cli.login._input import read_lines
from foxy_auth.errors import AuthorizationError

TICK = 0.5  # seconds after which Python looks for Ctrl-C; Windows does not wake it up
AGAIN = "run foxy-auth login again"
FOREIGN = (
    "The browser brought an answer with a wrong state, perhaps from an older login or a forged one; it was not used. "
    "Still waiting: answer at the address above."
)
STATELESS = (
    "The browser brought an answer without a state, which anybody may have sent; it was not used.{} "
    "Still waiting: answer at the address above."
)
ELSEWHERE = "Should the browser end at a page that it cannot show, because it runs on another computer,"
THEN = "Then, when the browser has come to its last page, which it may be unable to show,"
PASTE = (
    "copy the whole address of that page (it begins with {}), paste it here, and press Enter. "
    "Be quick: it is good for 30 seconds."
)
NO_BROWSER = "No browser could be started here. Open the address above yourself."
COMPLAINTS = {
    Verdict.STATELESS: "the state is missing, so this is not the whole address",
    Verdict.FOREIGN: "the state of this address is not the state of this login, so it is cut off, from an older login "
    "or forged",
    Verdict.INCOMPLETE: "this is an address without an answer; what is wanted is the one where the browser ends",
    Verdict.NOTHING: "this is no answer; what is wanted is the whole address where the browser ends, with all its "
    "parameters",
}


class UnansweredError(click.ClickException):
    """Nobody answered in time."""

    exit_code = Status.UNANSWERED


class Waiting:
    """Wait until the answer to one request is there."""

    def __init__(
        self, happenings: Happenings, *, state: str, redirect_uri: str, listens: bool, talk: Callable[[str], None]
    ) -> None:
        """
        Prepare to wait.

        Args:
            happenings: What to wait for.

            state: That of the request.

            redirect_uri: Where the browser ends.

            listens: Whether the browser can hand in its answer itself.

            talk: Tells the user something.
        """
        self._happenings = happenings
        self._state = state
        self._redirect_uri = redirect_uri
        self._listens = listens
        self._talk = talk
        self._complaint: Verdict | None = None
        self._asked = False

    def ask(self) -> None:
        """Ask the user to paste the answer, once."""
        if self._asked:
            return
        self._asked = True
        self._talk(f"{ELSEWHERE if self._listens else THEN}\n{PASTE.format(self._redirect_uri)}")
        read_lines(self._happenings)

    def until_answered(self, timeout: float) -> str:
        """
        Return the query of the answer.

        Raises:
            UnansweredError: There was none for *timeout* seconds.

            AuthorizationError: The input ended, and what it had is no answer to this request.
        """
        until = monotonic() + timeout
        while True:
            left = until - monotonic()
            if not left > 0:
                raise self._unanswered(timeout)
            try:
                happening = self._happenings.get(timeout=min(left, TICK))
            except Empty:
                continue
            if (answer := self._consider(happening)) is not None:
                return answer

    def _consider(self, happening: Happening) -> str | None:
        match happening:
            case Answer(query):
                return query
            case Pasted(line):
                return self._read(line)
            case Stateless(error):
                self._talk(STATELESS.format(error and f" It says: {error}."))
            case Notice.FOREIGN:
                self._talk(FOREIGN)
            case Notice.NO_BROWSER:
                self._talk(NO_BROWSER)
                self.ask()
            case Notice.INPUT_ENDED:
                self._end_of_input()
        return None

    def _read(self, line: str) -> str | None:
        """Return the query of a pasted address, or say what is wrong with it."""
        if not line:
            return None
        query = query_of(line)
        self._complaint = judge(query, state=self._state)
        if self._complaint is Verdict.GOOD:
            return query
        self._talk(f"Not used: {COMPLAINTS[self._complaint]}. Please paste again.")
        return None

    def _end_of_input(self) -> None:
        if self._listens:
            return
        if self._complaint:
            error = "state_mismatch" if self._complaint in {Verdict.STATELESS, Verdict.FOREIGN} else "missing_code"
            raise AuthorizationError(f"{COMPLAINTS[self._complaint]}; {AGAIN}, and answer at its address", error=error)
        raise UnansweredError(f"The input ended before an address was pasted: {AGAIN} in a terminal.")

    def _unanswered(self, timeout: float) -> UnansweredError:
        return UnansweredError(
            f"No answer came within {timeout:g} seconds. If the browser showed an error instead of a question, check "
            "--client-id and --scope; if it ended at an address that could not be reached, check that --redirect-uri "
            f"is exactly what was registered. Then {AGAIN} (--timeout gives more time)."
        )
