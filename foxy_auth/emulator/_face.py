"""The emulator as its users hold it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from foxy_auth.emulator import _faults
from foxy_auth.emulator._application import make_application
from foxy_auth.emulator._elsewhere import Elsewhere
from foxy_auth.emulator._faults import TOKEN_PATH, Faults, Latch
from foxy_auth.emulator._gate import Gate
from foxy_auth.emulator._journal import Call, Journal
from foxy_auth.emulator._serving import Serving
from foxy_auth.emulator._state import State
from foxy_auth.emulator._switches import Switches
from foxy_auth.emulator._visit import decide
from foxy_auth.environment import Environment
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from foxy_auth.client import OAuthClient


class Emulator(Switches):
    """
    Run Foxy on loopback, in threads of this process; a context manager.

    The attributes of `Switches` may be set on it at any time.
    It is written from the provider's pages; where they are silent it does what the library would that the provider very
    probably runs.
    """

    __slots__ = ("__weakref__", "_application", "_faults", "_journal", "_serving", "_state", "elsewhere")

    def __init__(
        self, *, clock: Callable[[], float] = time.time, port: int = 0, access_token_life: float = 7200.0
    ) -> None:
        """
        Prepare the server; `start` or a with statement makes it listen.

        Args:
            clock: Seconds since the epoch; the only source of time for the life of codes and tokens, and for the
                times of calls.

            port: Where to listen on 127.0.0.1; 0 takes a free one.

            access_token_life: Seconds.
        """
        super().__init__(access_token_life=access_token_life)
        self._state = State(clock, self)
        self._journal = Journal()
        self._faults = Faults()
        self._application = make_application(self._state)
        self._serving = Serving(Gate(self._application, self._journal, self._faults, clock), port=port)
        self.elsewhere = Elsewhere(clock)

    def __repr__(self) -> str:
        return f"<Emulator client_id={self.client_id!r}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """
        Listen; after a `close`, on the same port and with everything as it was.

        Raises:
            OSError: The port is taken.
        """
        self._faults.open()
        self._serving.start()
        self.elsewhere.start()

    def close(self) -> None:
        """Stop listening; requests that are held or delayed get no answer."""
        self._faults.close()
        self.elsewhere.close()
        self._serving.close()

    # Where it is, and who is known there

    @property
    def url(self) -> str:
        """The API home, without a slash at the end."""
        return self._serving.url

    @property
    def environment(self) -> Environment:
        """The addresses, as the client side wants them."""
        return Environment(
            api=self.url, token_endpoint=f"{self.url}/token", authorization_endpoint=f"{self.url}/authorize"
        )

    @property
    def store_url(self) -> str:
        """A protected resource: the store that `grant` gives access to."""
        return f"{self.url}/stores/{self._state.store.number}"

    @property
    def client(self) -> OAuthClient:
        """A registered client, ready for use."""
        from foxy_auth.client import OAuthClient

        return OAuthClient(
            self.client_id, self.client_secret, redirect_uri=self.redirect_uri, environment=self.environment
        )

    @property
    def client_id(self) -> str:
        """The id of a registered client."""
        return self._state.client.client_id

    @property
    def client_secret(self) -> str:
        """Its secret."""
        return self._state.client.client_secret

    @property
    def redirect_uri(self) -> str:
        """Where it wants its users sent; setting it registers another address."""
        return self._state.client.redirect_uri

    @redirect_uri.setter
    def redirect_uri(self, address: str) -> None:
        self._state.client.redirect_uri = address

    def register_client(self, *, client_id: str, client_secret: str, redirect_uri: str = "") -> tuple[str, str]:
        """Register a further client; return its id and secret."""
        with self._state.lock:
            self._state.accounts.add_client(
                client_id=client_id, client_secret=client_secret, redirect_uri=redirect_uri, fields={}
            )
        return client_id, client_secret

    def sign_in(self, email: str) -> None:
        """
        Let the user with that address be the one who authorizes from now on, in browsers and in `grant`.

        The first user is `robin@stores.example`.

        Raises:
            ValueError: There is no such user.
        """
        with self._state.lock:
            user = self._state.accounts.find_user(email)
            if user is None:
                raise ValueError(f"no user has the address {email!r}")
            self._state.sign_in(user)

    # Tokens

    def grant(self, scope: str = "store_full_access") -> Token:
        """Grant the client access, as if a user had just authorized it; the token is good."""
        with self._state.lock:
            now = self._state.clock()
            fields = self._state.issue_first(self._state.open_grant(self._state.client, scope))
        return Token(
            access_token=str(fields["access_token"]),
            refresh_token=str(fields["refresh_token"]),
            expires_at=now + self.access_token_life,
            obtained_at=now,
            scope=str(fields["scope"]),
            token_type=str(fields["token_type"]),
        )

    def authorization_code(self, scope: str = "store_full_access", redirect_uri: str | None = None) -> str:
        """
        Issue a code as if a user had just pressed Allow; it is good once, for 30 seconds.

        Args:
            scope: What the user consented to.

            redirect_uri: As if the authorization request had named it; the exchange must then name it too.
        """
        with self._state.lock:
            user, store = self._state.holders(scope)
            code = self._state.ledger.open_code(
                self._state.client, scope, user=user, store=store, redirect_uri=redirect_uri
            )
        return code.value

    def authorize(self, url: str, *, allow: bool = True, store: int | None = None) -> str:
        """
        Do what a user does who is sent to an authorization *url*: open the page, choose, press Allow or Deny.

        No request goes over the network, so that nothing is entered in `calls`.

        Args:
            url: As the client has made it.

            allow: Which button is pressed.

            store: The number of the store to choose; by default the one that the page suggests.

        Returns:
            The address that the browser is sent to, with the code or the error in its query.

        Raises:
            ValueError: The page shows an error instead of asking.
        """
        return decide(self._application, url, allow=allow, store=store)

    @property
    def current_refresh_token(self) -> str | None:
        """The newest refresh token that still works: the one that a client must have stored; None if there is none."""
        with self._state.lock:
            return self._state.ledger.current_refresh_token()

    @property
    def live_access_tokens(self) -> list[str]:
        """The access tokens that the API takes at this moment, oldest first."""
        with self._state.lock:
            return self._state.ledger.live_access_tokens()

    def is_live(self, access_token: str) -> bool:
        """Tell whether the API takes *access_token* at this moment."""
        return access_token in self.live_access_tokens

    def expire_access_tokens(self) -> None:
        """Let the access tokens issued so far count as expired; they are refused as "has expired"."""
        with self._state.lock:
            self._state.ledger.expire_access_tokens()

    def revoke_access_tokens(self) -> None:
        """Forget the access tokens issued so far; they are refused as "is invalid"."""
        with self._state.lock:
            self._state.ledger.revoke_access_tokens()

    def revoke_refresh_tokens(self) -> None:
        """Forget the refresh tokens issued so far; they are refused as `invalid_grant`."""
        with self._state.lock:
            self._state.ledger.revoke_refresh_tokens()

    # What arrived

    @property
    def calls(self) -> list[Call]:
        """The requests so far, in the order of their arrival."""
        return self._journal.calls()

    @property
    def token_calls(self) -> list[Call]:
        """The POSTs to the token endpoint among them."""
        return [call for call in self.calls if _is_token_call(call)]

    @property
    def api_calls(self) -> list[Call]:
        """All others."""
        return [call for call in self.calls if not _is_token_call(call)]

    def clear_calls(self) -> None:
        """Forget the requests so far."""
        self._journal.clear()

    # Faults: each is met by the next requests to `path` that meet no earlier one

    def fail(
        self,
        status: int = 500,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        times: int = 1,
        path: str = TOKEN_PATH,
        after: bool = False,
    ) -> None:
        """
        Answer the next requests with something else.

        Args:
            status: Any status, 200 too.

            body: Bytes and text are sent as they are, None as a HAL error, anything else as JSON.

            headers: Further headers, such as `Retry-After`.

            content_type: Of the body.

            times: How many requests.

            path: Which requests; a whole address is taken for its path.

            after: Do the real work first, so that only the answer is lost.
        """
        fault = _faults.failing(status, body=body, headers=headers, content_type=content_type, after=after)
        self._faults.order(path, fault, times=times)

    def drop(self, times: int = 1, path: str = TOKEN_PATH, *, after: bool = False) -> None:
        """Close the connections of the next requests without an answer, before or *after* the real work."""
        self._faults.order(path, _faults.dropping(after=after), times=times)

    def truncate(self, times: int = 1, path: str = TOKEN_PATH) -> None:
        """Do the work, announce the whole answer, send half of it and close."""
        self._faults.order(path, _faults.truncating, times=times)

    def oversize(self, length: int, times: int = 1, path: str = TOKEN_PATH) -> None:
        """Answer with *length* bytes whose number is not announced."""
        self._faults.order(path, _faults.oversizing(length), times=times)

    def delay(self, seconds: float, times: int = 1, path: str = TOKEN_PATH) -> None:
        """Wait *seconds* of real time before the work; `close` ends the wait."""
        self._faults.order(path, self._faults.delaying(seconds), times=times)

    def redirect_token_calls(self, to_url: str, status: int = 307, times: int = 1) -> None:
        """Send the next token calls to *to_url*."""
        self._faults.order(TOKEN_PATH, _faults.redirecting(to_url, status), times=times)

    def hold(self, path: str = TOKEN_PATH) -> Latch:
        """Hold back every request to *path* from now on, until the latch that is returned is released."""
        return self._faults.add_latch(path)

    def clear_faults(self) -> None:
        """Forget the faults that no request has met yet."""
        self._faults.clear()


def _is_token_call(call: Call) -> bool:
    return call.method == "POST" and call.path == TOKEN_PATH
