"""The emulator: the one class that its users see, and the one module that knows the rest of the package."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from flask import session

from foxy_auth._time import now
from foxy_auth.emulator import faults
from foxy_auth.emulator.app import app, application_on
from foxy_auth.emulator.control import Control
from foxy_auth.emulator.faults import Faults, Latch, path_of
from foxy_auth.emulator.models import DATABASE, Database, Served
from foxy_auth.emulator.recorder import TOKEN_PATH, Call, Recorder
from foxy_auth.emulator.server import SecondOrigin, Server
from foxy_auth.emulator.settings import Settings
from foxy_auth.environment import Environment
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.wrappers import Request

    from foxy_auth.client import OAuthClient


_SUCCESS = range(200, 300)


class Emulator(Settings):
    """
    Run Foxy on loopback, in threads of this process; a context manager.

    The attributes of `Settings` may be set on it at any time.
    It follows the provider's pages; where they are silent, it behaves like the library that the provider very probably
    runs.
    """

    __slots__ = ("__weakref__", "_db", "_faults", "_recorder", "_server", "elsewhere")

    def __init__(
        self,
        *,
        clock: Callable[[], float] = now,
        port: int = 0,
        access_token_life: float = 7200.0,
        control_token: str | None = None,
    ) -> None:
        """
        Prepare the server; `start` or a with statement makes it listen.

        Args:
            clock: Returns seconds since the epoch. The lifetimes of codes and tokens and the times of calls follow it.

            port: Where to listen on 127.0.0.1; 0 takes a free port.

            access_token_life: Seconds.

            control_token: Opens the paths below `/_emulator`, by which other programs on this machine can do what the
                methods do here, to those who send `Authorization: Bearer` and this token. They are closed by default.
        """
        super().__init__(access_token_life=access_token_life)
        self._db = Database(clock, self)
        self._faults = Faults()
        self._recorder = Recorder(application_on(self._db), self._faults, clock)
        application = self._recorder if control_token is None else Control(self._recorder, self, control_token)
        self._server = Server(application, port=port)
        self.elsewhere: SecondOrigin = SecondOrigin(clock)

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
        self._server.start()
        self.elsewhere.start()

    def close(self) -> None:
        """Stop listening; requests that are held or delayed get no response."""
        self._faults.close()
        self.elsewhere.close()
        self._server.close()

    # Addresses and accounts

    @property
    def url(self) -> str:
        """The URL of the API home, without a slash at the end."""
        return self._server.url

    @property
    def environment(self) -> Environment:
        """The URLs of the API home and of the OAuth endpoints."""
        return Environment(
            api=self.url, token_endpoint=f"{self.url}{TOKEN_PATH}", authorization_endpoint=f"{self.url}/authorize"
        )

    @property
    def store_url(self) -> str:
        """The URL of a protected resource: the store that `grant` gives access to."""
        return f"{self.url}/stores/{self._db.store.number}"

    @property
    def client(self) -> OAuthClient:
        """A registered client, ready for use."""
        from foxy_auth.client import OAuthClient

        return OAuthClient(
            self.client_id, self.client_secret, redirect_uri=self.redirect_uri, environment=self.environment
        )

    @property
    def client_id(self) -> str:
        """The id of the registered client."""
        return self._db.client.client_id

    @property
    def client_secret(self) -> str:
        """The secret of the registered client."""
        return self._db.client.client_secret

    @property
    def redirect_uri(self) -> str:
        """The redirect URI of the registered client; it may be set."""
        return self._db.client.redirect_uri

    @redirect_uri.setter
    def redirect_uri(self, uri: str) -> None:
        self._db.client.redirect_uri = uri

    def variables(self, scope: str = "store_full_access") -> dict[str, str]:
        """Return the environment variables that `FoxyAuth.from_env` and the provider's SDK read, with a new grant."""
        return {
            "FOXY_API_CLIENT_ID": self.client_id,
            "FOXY_API_CLIENT_SECRET": self.client_secret,
            "FOXY_API_REFRESH_TOKEN": self.grant(scope).refresh_token or "",
            "FOXY_API_URL": self.url,
        }

    def register_client(self, *, client_id: str, client_secret: str, redirect_uri: str = "") -> tuple[str, str]:
        """Register a further client; return its id and secret."""
        with self._db.lock:
            self._db.add_client({}, client_id=client_id, client_secret=client_secret, redirect_uri=redirect_uri)
        return client_id, client_secret

    def sign_in(self, email: str) -> None:
        """
        Make the user with that address the one who authorizes from now on, in browsers and in `grant`.

        `store_url` is then the first of their stores, if they have any. The first user is `robin@stores.example`.

        Raises:
            ValueError: There is no such user.
        """
        user = self._db.find_user(email)
        if user is None:
            raise ValueError(f"no user has the address {email!r}")
        self._db.user, self._db.store = user, next(iter(self._db.stores_of(user)), self._db.store)

    # Tokens

    def grant(self, scope: str = "store_full_access") -> Token:
        """Grant the client access as if a user had just authorized it; return a valid token."""
        with self._db.lock:
            now = self._db.clock()
            fields = self._db.issue_tokens(self._db.consented_grant(scope))
        return Token(
            access_token=fields["access_token"],
            refresh_token=fields["refresh_token"],
            expires_at=now + self.access_token_life,
            obtained_at=now,
            scope=fields["scope"],
            token_type=fields["token_type"],
        )

    def authorization_code(self, scope: str = "store_full_access", redirect_uri: str | None = None) -> str:
        """
        Issue a code as if a user had just pressed Allow; it can be used once, within 30 seconds.

        Args:
            scope: What the user consented to.

            redirect_uri: The one of the authorization request; the exchange must then send it, too.
        """
        with self._db.lock:
            return self._db.issue_code(self._db.consented_grant(scope), redirect_uri=redirect_uri)

    def authorize(self, url: str, *, allow: bool = True, store: int | None = None) -> str:
        """
        Do what a user does with an authorization *url*: open the page, choose a store, press Allow or Deny.

        This needs no network, and is not recorded in `calls`.

        Args:
            url: The authorization request, as the client makes it.

            allow: Which button to press.

            store: The number of the store to choose; by default the one that the page preselects.

        Returns:
            The URL that the browser is redirected to, with the code or the error in its query.

        Raises:
            ValueError: The page shows an error instead of redirecting.
        """
        environ = {DATABASE: self._db}
        with app.test_client() as browser:
            page = browser.get(url, environ_base=environ)
            if page.status_code == HTTPStatus.OK:
                choice = {
                    "form_token": session["form_token"],
                    "store": self._db.store.number if store is None else store,
                    "decision": "allow" if allow else "deny",
                }
                page = browser.post(url, data={**page.request.args, **choice}, environ_base=environ)
        if page.status_code != HTTPStatus.FOUND:
            raise ValueError(f"the authorization endpoint responds with {page.status_code}: {page.text}")
        return page.location

    @property
    def current_refresh_token(self) -> str | None:
        """The newest valid refresh token, the one that a client must have stored; None if there is none."""
        with self._db.lock:
            tokens = reversed(self._db.refresh_tokens.values())
            return next((token.value for token in tokens if not token.spent and not self._db.has_expired(token)), None)

    @property
    def live_access_tokens(self) -> list[str]:
        """The access tokens that the API accepts at this moment, oldest first."""
        with self._db.lock:
            return [value for value, token in self._db.access_tokens.items() if not self._db.has_expired(token)]

    def is_live(self, access_token: str) -> bool:
        """Tell whether the API accepts *access_token* at this moment."""
        token = self._db.access_tokens.get(access_token)
        return token is not None and not self._db.has_expired(token)

    def expire_access_tokens(self) -> None:
        """Let the access tokens issued so far expire; the API refuses them as expired."""
        with self._db.lock:
            for token in self._db.access_tokens.values():
                token.expires_at = float("-inf")

    def revoke_access_tokens(self) -> None:
        """Revoke the access tokens issued so far; the API refuses them as invalid."""
        with self._db.lock:
            self._db.access_tokens.clear()

    def revoke_refresh_tokens(self) -> None:
        """Revoke the refresh tokens issued so far; the token endpoint responds with `invalid_grant`."""
        with self._db.lock:
            self._db.refresh_tokens.clear()

    # Resources of your own

    def serve(
        self,
        path: str,
        content: list[Any] | dict[str, Any] | Callable[[Request], object],
        *,
        rel: str = "",
        limit: int | None = None,
    ) -> None:
        """
        Serve a resource of your own, behind the checks that all resources have: a valid token and the version header.

        A resource below a store, such as `/stores/1/transactions`, needs a token of that store, whose own resource
        links to it. There may be one at that path already.

        Args:
            path: Where. It may be a whole URL.

            content: A list of items is a collection, which is paged as in the provider's API (`offset` and `limit`). A
                list of lists is one, too: these are its pages. A dict is a single resource; it needs no `self` link.
                A function is called with each request, of whatever method, and returns one of these, or what else
                Flask takes for a response: `({"message": "created"}, 201)`.

            rel: The relation of the link from the resource above (a store, a user, the API home), and of the items in
                a collection; `fx:` and the end of *path* unless given.

            limit: How many items a page has, unless the request says; 20 as in the provider's API, or as many as the
                first page.

        Raises:
            TypeError, ValueError: An argument is not what it should be; the message says what to do.
        """
        path, end = path_of(path).rstrip("/"), path_of(path).rstrip("/").rpartition("/")[2]
        if not path.startswith("/"):
            raise ValueError("serve takes a path that begins with a slash, such as /stores/1/transactions")
        if not callable(content):
            if not isinstance(content, (list, dict)):
                raise TypeError(f"serve takes a list, a dict or a function, not {type(content).__name__}")
            json.dumps(content)
        store = path.split("/")[2:3] if path.startswith("/stores/") else []
        if store and store[0] not in {str(store.number) for store in self._db.stores}:
            raise ValueError(f"there is no store {store[0]}; the one that `grant` gives access to is {self.store_url}")
        self._db.served[path] = Served(content=content, relation=rel or f"fx:{end}", limit=limit)

    # What has arrived

    @property
    def calls(self) -> list[Call]:
        """The requests so far, in the order of arrival."""
        return self._recorder.calls

    @property
    def token_calls(self) -> list[Call]:
        """The token requests among them: POST to the token endpoint."""
        return [call for call in self.calls if _is_token_request(call)]

    @property
    def api_calls(self) -> list[Call]:
        """All others."""
        return [call for call in self.calls if not _is_token_request(call)]

    def clear_calls(self) -> None:
        """Forget the requests so far."""
        self._recorder.clear()

    # Faults: each applies to the next requests to `path` that get no earlier one. `path` may be a whole URL.

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
        Respond to the next requests with something else.

        Args:
            status: Any status. One of success takes the place of a resource: without a valid token, the API still
                responds with 401, and the next request gets the fault.

            body: Bytes and text are sent as they are, None as a HAL error, anything else as JSON.

            headers: Further headers, such as `Retry-After`.

            content_type: Of the body.

            times: How many requests.

            path: Which requests.

            after: Handle the request first, so that only the response is lost.
        """
        fault = faults.fail(status, body=body, headers=headers, content_type=content_type, after=after)
        self._faults.add(path, fault, times=times, needs_token=status in _SUCCESS)

    def drop(self, times: int = 1, path: str = TOKEN_PATH, *, after: bool = False) -> None:
        """Close the connections of the next requests without a response, before or *after* handling them."""
        self._faults.add(path, faults.drop(after=after), times=times)

    def truncate(self, times: int = 1, path: str = TOKEN_PATH) -> None:
        """Handle the next requests, but send only half of the response and close the connection."""
        self._faults.add(path, faults.truncate, times=times)

    def oversize(self, length: int, times: int = 1, path: str = TOKEN_PATH) -> None:
        """Respond to the next requests with *length* bytes, without `Content-Length`."""
        self._faults.add(path, faults.oversize(length), times=times, needs_token=True)

    def delay(self, seconds: float, times: int = 1, path: str = TOKEN_PATH) -> None:
        """Wait *seconds* of real time before handling the next requests; `close` ends the wait."""
        self._faults.add(path, self._faults.delay(seconds), times=times)

    def redirect_token_calls(self, to_url: str, status: int = 307, times: int = 1) -> None:
        """Redirect the next token requests to *to_url*."""
        self._faults.add(TOKEN_PATH, faults.redirect(to_url, status), times=times)

    def hold(self, path: str = TOKEN_PATH) -> Latch:
        """Hold back all requests to *path* from now on, until the returned latch is released."""
        return self._faults.add_latch(path)

    def clear_faults(self) -> None:
        """Forget the faults that have not been applied."""
        self._faults.clear()


def _is_token_request(call: Call) -> bool:
    return call.method == "POST" and call.path == TOKEN_PATH
