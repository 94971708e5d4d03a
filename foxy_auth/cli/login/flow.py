"""The login: send the user to Foxy, wait for the callback, exchange the code, save the token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from foxy_auth import AuthorizationError, AuthorizationRequest, OAuthClient, Token
from foxy_auth.cli.exit_status import NoResponseError
from foxy_auth.cli.login.callback import Callback, Event, Problem, Source, find_problem
from foxy_auth.cli.login.listener import listening, loopback_address
from foxy_auth.cli.login.pages import failure_page, success_page

TICK = 0.5  # seconds between looks for Ctrl-C, which does not interrupt a wait on Windows
# Isolated, so that a file webbrowser.py in the current folder is not imported.
OPEN_BROWSER = ["-I", "-c", "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"]
AGAIN = "run foxy-auth login again"


class Login:
    """One login."""

    def __init__(self, client: OAuthClient, request: AuthorizationRequest, *, tell: Callable[[str], None]) -> None:
        """
        Prepare a login.

        Args:
            client: The OAuth client, with a redirect URI.

            request: The authorization request.

            tell: Prints a message for the user.
        """
        self._client = client
        self._request = request
        self._tell = tell
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._redirect_uri = client.redirect_uri or ""
        self._address = loopback_address(self._redirect_uri)
        path = self._address.path if self._address else ""
        self._callback = Callback(path, state=request.state, events=self._events)
        self._reading_input = False
        self._problem: Problem | None = None  # of the line that was pasted last

    def run(self, save: Callable[[Token], None], *, timeout: float, browser: bool) -> Token:
        """
        Let the user authorize, and return the token when it is saved.

        Args:
            save: Saves the token.

            timeout: Seconds until the user must have responded.

            browser: Whether to start a browser.

        Raises:
            FoxyAuthError: There is no token, or it could not be saved.

            NoResponseError: The user has not responded in time.

            PortUnavailableError: The redirect URI's port cannot be listened on.
        """
        with listening(self._address, self._callback) if self._address else nullcontext():
            self._tell(
                f"Open this address in a browser, and allow or deny access:\n\n{self._request.url}\n\n"
                f"Waiting for at most {timeout:g} seconds. Press Ctrl-C to cancel."
            )
            if browser:
                Thread(target=self._open_browser, name="foxy-auth-browser", daemon=True).start()
            if not browser or not self._address:
                self._ask_to_paste()
            query = self._wait(timeout)
            try:
                token = self._exchange(query)
                save(token)
            except BaseException as error:
                self._callback.finish(failure_page(error))
                raise
            self._callback.finish(success_page(token))
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
            case Source.INPUT_ENDED:
                self._end_input()
        return None

    def _exchange(self, query: str) -> Token:
        try:
            return self._client.fetch_token(f"?{query}", state=self._request.state)
        except AuthorizationError as error:
            if error.error != "access_denied":
                raise
            message = f"access was denied in the browser, so there is no token; to allow it, {AGAIN}"
            raise AuthorizationError(message, error=error.error, description=error.description) from None

    def _open_browser(self) -> None:
        # In a process of its own: some browsers run until they are closed, and some print to the standard output.
        ended = subprocess.run(  # noqa: S603 - Python, with a URL of ours
            [sys.executable, *OPEN_BROWSER, self._request.url],
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
        if self._reading_input:
            return
        self._reading_input = True
        elsewhere = "If the browser runs on another computer, it cannot load its last page. Then"
        case = elsewhere if self._address else "When the browser has reached its last page (which may fail to load),"
        self._tell(
            f"{case} copy the whole address of the page, which begins with {self._redirect_uri}, paste it here and "
            "press Enter. The code in it expires after 30 seconds."
        )
        Thread(target=self._read_input, name="foxy-auth-input", daemon=True).start()

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
        self._problem = find_problem(query, state=self._request.state)
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
