"""The login from beginning to end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from foxy_auth._oauth.authorization import AuthorizationRequest
from foxy_auth.cli.login._answers import Happenings
from foxy_auth.cli.login._browser import open_browser
from foxy_auth.cli.login._desk import Desk
from foxy_auth.cli.login._landing import Landing
from foxy_auth.cli.login._listener import listening
from foxy_auth.cli.login._pages import granted, page_of
from foxy_auth.cli.login._waiting import AGAIN, Waiting
from foxy_auth.client import OAuthClient
from foxy_auth.errors import AuthorizationError
from foxy_auth.token import Token


class Login:
    """A login to be."""

    def __init__(
        self,
        client: OAuthClient,
        request: AuthorizationRequest,
        redirect_uri: str,
        *,
        talk: Callable[[str], None],
        keep: Callable[[Token], None],
    ) -> None:
        """
        Prepare a login.

        Args:
            client: Whose login it is.

            request: What is asked for.

            redirect_uri: The client's.

            talk: Tells the user something.

            keep: Keeps the token; raises `StoreError` if it cannot.
        """
        self._client = client
        self._request = request
        self._talk = talk
        self._keep = keep
        self._landing = Landing.of(redirect_uri)
        self._happenings = Happenings()
        path = self._landing.path if self._landing else "/"
        self._desk = Desk(path, state=request.state, happenings=self._happenings)
        self._waiting = Waiting(
            self._happenings,
            state=request.state,
            redirect_uri=redirect_uri,
            listens=self._landing is not None,
            talk=talk,
        )

    def run(self, *, timeout: float, browser: bool) -> Token:
        """
        Send the user to the provider, and return the token that comes of it, when it is kept.

        Args:
            timeout: Seconds that the user has for an answer.

            browser: Whether to start a browser.

        Raises:
            FoxyAuthError: There is no token, or it could not be kept.

            UnheardError, UnansweredError: The answer cannot arrive, or did not.
        """
        with listening(self._landing, self._desk) if self._landing else nullcontext():
            # In print first, for a browser may not come.
            self._talk(
                f"Open this address in a browser, and allow or deny access there:\n\n{self._request.url}\n\n"
                f"Waiting for the answer, at most {timeout:g} seconds. Ctrl-C gives up."
            )
            if browser:
                open_browser(self._request.url, self._happenings)
            if not browser or self._landing is None:
                self._waiting.ask()
            return self._finish(self._waiting.until_answered(timeout))

    def _finish(self, answer: str) -> Token:
        """Exchange the code, keep the token, and tell the browser how it went."""
        try:
            token = self._exchange(answer)
            self._keep(token)
        except BaseException as error:
            self._desk.conclude(page_of(error))
            raise
        self._desk.conclude(granted(token))
        return token

    def _exchange(self, answer: str) -> Token:
        try:
            return self._client.fetch_token(f"?{answer}", state=self._request.state)
        except AuthorizationError as error:
            if error.error != "access_denied":
                raise
            message = f"access was denied in the browser, so there is no token; to grant it, {AGAIN} and press Allow"
            raise AuthorizationError(message, error=error.error, description=error.description) from None
