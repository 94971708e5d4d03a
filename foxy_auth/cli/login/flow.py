"""The login: send the user to Foxy, wait for the callback, exchange the code, save the token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from urllib.parse import parse_qs

from foxy_auth import AuthorizationError, AuthorizationRequest, OAuthClient, Token
from foxy_auth.cli.exit_status import NoResponseError
from foxy_auth.cli.login.callback import Callback, Event, Problem, Source, StartPage, find_problem
from foxy_auth.cli.login.listener import ANY_PORT, listening, loopback_address
from foxy_auth.cli.login.pages import QUESTION, failure_page, success_page
from foxy_auth.cli.login.saving import Save
from foxy_auth.cli.settings import PREFIXES
from foxy_auth.cli.terminal import can_ask

TICK = 0.5  # seconds between looks for Ctrl-C, which does not interrupt a wait on Windows
# Isolated, so that a file webbrowser.py in the current folder is not imported.
OPEN_BROWSER = ["-I", "-c", "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"]
AGAIN = "run foxy-auth login again"


class Login:
    """One login."""

    def __init__(
        self, client: OAuthClient, new_request: Callable[[], AuthorizationRequest], *, tell: Callable[[str], None]
    ) -> None:
        """
        Prepare a login.

        Args:
            client: The OAuth client, with a redirect URI.

            new_request: Makes an authorization request. One is printed, and one is for the browser that is started, so
                that what becomes known of the one is of no use for the other.

            tell: Prints a message for the user.
        """
        self._client = client
        self._printed, self._browsers = new_request(), new_request()
        self._tell = tell
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._redirect_uri = client.redirect_uri or ""
        self._address = loopback_address(self._redirect_uri)
        self._input: Thread | None = None
        self._input_ended = False
        self._problem: Problem | None = None  # of the line that was pasted last

    def run(self, save: Save, *, timeout: float, browser: bool) -> Token:
        """
        Let the user authorize, and return the token when it is saved.

        Args:
            save: Saves the token, after asking the user if need be.

            timeout: Seconds until the user must have responded.

            browser: Whether to start a browser.

        Raises:
            FoxyAuthError: There is no token, or it could not be saved.

            NoResponseError: The user has not responded in time.

            PortUnavailableError: The redirect URI's port cannot be listened on.
        """
        start = StartPage(self._browsers) if browser else None
        path = self._address.path if self._address else None
        callback = Callback(path, state=self._printed.state, events=self._events, start=start)
        address = self._address or (ANY_PORT if start else None)
        with listening(address, callback) if address else nullcontext("") as root:
            self._tell(
                f"Open this address in a browser, and allow or deny access:\n\n{self._printed.url}\n\n"
                f"Waiting for at most {timeout:g} seconds. Press Ctrl-C to cancel."
            )
            if start:
                url = f"{root}{start.path}"
                Thread(target=self._open_browser, args=(url,), name="foxy-auth-browser", daemon=True).start()
            if not browser or not self._address:
                self._ask_to_paste()
            query = self._wait(timeout)
            try:
                token = self._exchange(query, callback)
                save(token, lambda question: self._confirm(question, callback))
            except BaseException as error:
                callback.finish(failure_page(error))
                raise
            callback.finish(success_page(token))
            return token

    def _wait(self, timeout: float) -> str:
        """Return the query of the callback, from the browser or pasted."""
        deadline = monotonic() + timeout
        while (remaining := deadline - monotonic()) > 0:
            try:
                event = self._events.get(timeout=min(remaining, TICK))
            except Empty:
                continue
            if (query := self._handle(event)) is not None:
                return query
        raise NoResponseError(
            f"no response within {timeout:g} seconds. If the browser showed an error, check --client-id and --scope; "
            f"if it could not load its last page, check --redirect-uri. Then {AGAIN} (--timeout sets another limit)"
        )

    def _handle(self, event: Event) -> str | None:
        """Return the query of the callback, if *event* brings it."""
        match event.source:
            case Source.CALLBACK:
                return event.text
            case Source.PASTED:
                return self._check_pasted(event.text)
            case Source.REJECTED:
                self._tell(f"The browser brought a response that was not used: {event.text}. Still waiting.")
            case Source.NO_BROWSER:
                self._tell("No browser could be started. Open the address yourself.")
                self._ask_to_paste()
            case Source.OTHER_USER:
                self._tell(
                    f"Another user of this computer (id {event.text}) has tried to open the browser's address, and was "
                    "refused. Still waiting."
                )
            case Source.OPENED_TWICE:
                raise _opened_twice()
            case Source.INPUT_ENDED:
                self._input_ended = True
                self._end_input()
        return None

    def _exchange(self, query: str, callback: Callback) -> Token:
        (state,) = parse_qs(query)["state"]
        request = self._browsers if state == self._browsers.state else self._printed
        try:
            token = self._client.fetch_token(f"?{query}", request=request)
        except AuthorizationError as error:
            if error.error != "access_denied":
                raise
            message = f"access was denied in the browser, so there is no token; to allow it, {AGAIN}"
            raise AuthorizationError(message, error=error.error, description=error.description) from None
        if callback.opened_twice:  # meanwhile
            raise _opened_twice()
        return token

    def _open_browser(self, url: str) -> None:
        # In a process of its own: some browsers run until they are closed, and some print to the standard output.
        ended = subprocess.run(  # noqa: S603 - Python, with a URL of ours
            [sys.executable, *OPEN_BROWSER, url],
            # Without ours, of which some are secret.
            env={name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C does not close the browser
            check=False,
        )
        if ended.returncode:
            self._events.put(Event(Source.NO_BROWSER))

    # --- a pasted callback -------------------------------------------------------------------------------------------

    def _ask_to_paste(self) -> None:
        """Ask the user to paste the callback, unless that was done before."""
        if self._input:
            return
        elsewhere = "If the browser runs on another computer, it cannot load its last page. Then"
        case = elsewhere if self._address else "When the browser has reached its last page (which may fail to load),"
        self._tell(
            f"{case} copy the whole address of the page, which begins with {self._redirect_uri}, paste it here and "
            "press Enter. The code in it expires after 30 seconds."
        )
        self._read_lines()

    def _read_lines(self) -> None:
        """Report the lines of the standard input from now on."""
        if self._input is None:
            self._input = Thread(target=self._read_input, name="foxy-auth-input", daemon=True)
            self._input.start()

    def _read_input(self) -> None:
        """Report each line of the standard input, and its end."""
        with (
            suppress(AttributeError, OSError, ValueError),  # there is no standard input, or it was closed
            # Not sys.stdin itself: Python cannot exit while a thread waits in it.
            open(sys.stdin.fileno(), errors="replace", closefd=False) as lines,
        ):
            for line in lines:
                self._events.put(Event(Source.PASTED, line))
        self._events.put(Event(Source.INPUT_ENDED))

    def _check_pasted(self, line: str) -> str | None:
        """Return the query of a pasted address, or say what is wrong with it."""
        address, separator, query = line.strip().strip("\"'<>").partition("#")[0].partition("?")
        if not address and not separator:
            return None
        query = query if separator else address
        self._problem = find_problem(query, self._printed.state, self._browsers.state)
        if self._problem is None:
            return query
        self._tell(
            f"This address was not used: {self._problem.value}. Please copy the whole address and paste it again."
        )
        return None

    def _end_input(self) -> None:
        """Give up, unless the listener can still receive the callback."""
        if self._address:
            return
        if self._problem:
            message = f"the pasted address was not used: {self._problem.value}; {AGAIN}"
            raise AuthorizationError(message, error="state_mismatch")
        raise NoResponseError(f"the input ended before an address was pasted; {AGAIN} in a terminal")

    # --- a question --------------------------------------------------------------------------------------------------

    def _confirm(self, question: str, callback: Callback) -> bool:
        """Ask the user; where there is no terminal, the answer is no."""
        if self._input_ended or not can_ask():
            return False
        callback.finish(QUESTION)
        self._tell(f"{question}\nType yes or no, and press Enter.")
        self._read_lines()
        while True:
            with suppress(Empty):
                event = self._events.get(timeout=TICK)
                answer = event.text.strip().lower() if event.source is Source.PASTED else ""
                if event.source is Source.INPUT_ENDED or answer in {"yes", "y", "no", "n"}:
                    return answer.startswith("y")


def _opened_twice() -> AuthorizationError:
    message = (
        "the address that the browser was sent to was opened twice: another user or program may have read it, and "
        f"answered for you. So the login was stopped, and nothing was saved; {AGAIN}, with --no-browser if this "
        "happens again"
    )
    return AuthorizationError(message, error="state_mismatch")
