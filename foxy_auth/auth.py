"""`FoxyAuth`: the faces for the client libraries, composed over one token source."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from foxy_auth._arguments import (
    AuthMethod,
    check_callback,
    check_seconds,
    check_store,
    check_token,
    kind,
)
from foxy_auth._clients.httpx import HttpxFace
from foxy_auth._clients.requests import RequestsFace
from foxy_auth._engine.concurrency import on_loop, present_loop
from foxy_auth._engine.delivery import Saver
from foxy_auth._engine.freshness import Windows
from foxy_auth._engine.renewal import SharedSource
from foxy_auth._engine.source import TokenSource
from foxy_auth._engine.token_endpoint import ClientCredentialsExchange, Exchange
from foxy_auth._oauth.messages import VERSION_HEADER, ClientCredentials, bearer
from foxy_auth._transport import installed_library, library_of
from foxy_auth.environment import PRODUCTION, Environment, known_environment
from foxy_auth.token import Token

# Seconds; see the arguments of the same names.
TIMEOUT = 10.0
REFRESH_AHEAD = 300.0
LEEWAY = 60.0

VARIABLES = {
    "client_id": "FOXY_API_CLIENT_ID",
    "client_secret": "FOXY_API_CLIENT_SECRET",
    "refresh_token": "FOXY_API_REFRESH_TOKEN",
}
URL_VARIABLE = "FOXY_API_URL"


def _auth_bases() -> tuple[type, ...]:
    """
    Collect the `Auth` classes of httpx and httpx2, of which their clients want an instance.

    By identity, for after `httpx2.alias_httpx()` both names mean one class.
    """
    installed = [import_module(name).Auth for name in ("httpx", "httpx2") if find_spec(name) is not None]
    return tuple(dict.fromkeys(installed))


if TYPE_CHECKING:
    import httpx
    import httpx2

    from foxy_auth.client import OAuthClient
    from foxy_auth.stores import TokenStore

    # The flows serve the requests of both libraries, for which neither library's types have a word.
    class _Faces(RequestsFace, HttpxFace, httpx.Auth, httpx2.Auth): ...  # type: ignore[misc]  # pyright: ignore[reportIncompatibleMethodOverride]

else:
    _Faces = type("_Faces", (RequestsFace, HttpxFace, *_auth_bases()), {"__module__": __name__})


class FoxyAuth(_Faces):
    """
    Signs requests to Foxy, and keeps the token that it signs them with fresh.

    One instance serves requests, httpx (sync and async, on asyncio and trio), httpx2 and niquests, in any number of
    threads and event loops at once: `requests.get(url, auth=auth)`, `httpx.AsyncClient(auth=auth)`.
    Requests to any other origin than the environment's pass untouched.

    A token that nears its expiry is refreshed in the background while requests go on with it; one that has expired is
    refreshed while they wait; a 401 that blames the token is answered by one refresh and one retry.
    However many requests need a new token at once, one token call is made.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        refresh_token: str | None = None,
        token: Token | None = None,
        on_token: Callable[[Token], object] | None = None,
        store: TokenStore | None = None,
        environment: Environment = PRODUCTION,
        api_version: str = "1",
        client_auth_method: AuthMethod = "client_secret_basic",
        http: object | None = None,
        timeout: float = TIMEOUT,
        refresh_ahead: float = REFRESH_AHEAD,
        leeway: float = LEEWAY,
    ) -> None:
        """
        Hold a grant.

        All times are in seconds.

        Args:
            client_id: The OAuth client's id.

            client_secret: The OAuth client's secret.

            refresh_token: The grant's refresh token; it may be left out if *token* has one.

            token: The last token that `on_token` was given, if it was kept; saves a token call.

            on_token: Called with each new token, in a thread of its own; an async function is run on the event loop of
                the caller whose request needed the token, or on a new one.
                What it raises is logged; the token is offered again later, by `flush()`, `close()` and at exit.

            store: Where the token lives, see `foxy_auth.stores`: it is read and written, and lets many processes share
                the grant. Once it has a record, that counts, and not *refresh_token*, nor *token* once it is due; both
                may be left out.

            environment: Where Foxy is.

            api_version: Goes into the header `FOXY-API-VERSION`, unless a request has its own.

            client_auth_method: How the client authenticates at the token endpoint: `client_secret_basic`, which the
                provider recommends, or `client_secret_post`.

            http: A `requests.Session`, `httpx.Client`, `httpx2.Client` or `niquests.Session` for token calls, with your
                proxies, certificates and mounts. By default each token call goes through the library of the client
                that needs it, with the settings of the usual environment variables. An event hook of an httpx client
                that raises for a bad status hides why the token endpoint refused; hooks of a session are passed over.

            timeout: How long each wait on the network may last in a token call (for the connection, the headers, the
                body), and how long requests wait for `on_token`. All in all, with what is tried again, requests wait
                for a new token for five timeouts at most, with a store for ten.

            refresh_ahead: How long before its expiry a token is refreshed in the background; at most a quarter of its
                life, and somewhat later by chance, so that many processes do not all refresh at once.

            leeway: How long before its expiry requests wait for the refresh; at most a tenth of the token's life.

        Raises:
            TypeError, ValueError: An argument is not what it should be; the message says what to do.

            ImportError: No client library is installed.
        """
        exchange = Exchange(
            ClientCredentials(client_id, client_secret, client_auth_method), environment, api_version, http
        )
        check_seconds("timeout", timeout, least=0.001)
        check_seconds("refresh_ahead", refresh_ahead)
        check_seconds("leeway", leeway)
        self._compose(
            exchange,
            Windows(refresh_ahead, leeway),
            timeout=timeout,
            grant=_grant(token, refresh_token, store),
            on_token=on_token,
            store=store,
        )

    def _compose(
        self,
        exchange: Exchange,
        windows: Windows,
        *,
        timeout: float,
        grant: tuple[Token | None, str | None],
        on_token: Callable[[Token], object] | None,
        store: TokenStore | None = None,
    ) -> None:
        check_callback(on_token)
        check_store(store)
        self._exchange = exchange
        self._timeout = timeout
        self._windows = windows
        self._environment = exchange.environment
        self._api_version = exchange.api_version
        self._via = library_of(exchange.http) or installed_library()
        source = TokenSource if store is None else partial(SharedSource, store=store)
        self._source = source(
            exchange,
            Saver(on_token, timeout=timeout),
            token=grant[0],
            refresh_token=grant[1],
            windows=windows,
            timeout=timeout,
        )

    @classmethod
    def from_env(
        cls,
        variables: Mapping[str, str] | None = None,
        *,
        token: Token | None = None,
        on_token: Callable[[Token], object] | None = None,
        store: TokenStore | None = None,
        **options: Any,
    ) -> Self:
        """
        Take the grant from the environment variables that the provider's own SDK uses.

        `FOXY_API_CLIENT_ID`, `FOXY_API_CLIENT_SECRET`, `FOXY_API_REFRESH_TOKEN`, and optionally `FOXY_API_URL`, the API
        home (by default that of PRODUCTION).

        Args:
            variables: Where to look instead of `os.environ`.

            token: As for `FoxyAuth`; stands in for the refresh token's variable. Its own refresh token, if it has one,
                counts instead of that: the provider may have replaced it since the variable was set.

            on_token: As for `FoxyAuth`.

            store: As for `FoxyAuth`; stands in for the refresh token's variable.

            options: Further arguments of `FoxyAuth`.

        Raises:
            TypeError, ValueError: A variable is missing or empty, or an argument is not what it should be; the message
                names each.
        """
        variables = os.environ if variables is None else variables
        found: dict[str, Any] = {name: variables.get(variable, "").strip() for name, variable in VARIABLES.items()}
        own = token.refresh_token if isinstance(token, Token) else None
        if own or (not found["refresh_token"] and (token or store) is not None):
            del found["refresh_token"]
        if missing := [VARIABLES[name] for name, value in found.items() if not value]:
            raise ValueError(f"set the environment variable {' and '.join(missing)}")
        if url := variables.get(URL_VARIABLE, "").strip():
            try:
                options.setdefault("environment", known_environment(url))
            except ValueError as error:
                raise ValueError(f"{URL_VARIABLE}: {error}") from None
        return cls(**found, token=token, on_token=on_token, store=store, **options)

    @classmethod
    def from_client_credentials(
        cls,
        client: OAuthClient,
        *,
        token: Token | None = None,
        on_token: Callable[[Token], object] | None = None,
        store: TokenStore | None = None,
    ) -> Self:
        """
        Act for the OAuth client itself, by the scope `client_full_access`.

        Such a grant has no refresh token: where others refresh, this asks anew.

        Args:
            client: The client, whose settings are taken over.

            token: The last token that `on_token` was given, if it was kept.

            on_token: As for `FoxyAuth`.

            store: As for `FoxyAuth`.

        Raises:
            TypeError: An argument is not what it should be; the message says what to do.
        """
        settings = getattr(client, "settings", None)
        if not isinstance(settings, Exchange):
            raise TypeError(f"client takes an OAuthClient, not {kind(client)}")
        check_token("token", token)
        exchange = ClientCredentialsExchange(settings.client, settings.environment, settings.api_version, settings.http)
        auth = cls.__new__(cls)
        windows = Windows(REFRESH_AHEAD, LEEWAY)
        auth._compose(exchange, windows, timeout=client.timeout, grant=(token, None), on_token=on_token, store=store)  # noqa: SLF001
        return auth

    @property
    def token(self) -> Token | None:
        """The token in memory, whether it is still fresh or not; None before the first token call. Never blocks."""
        return self._source.current

    def get_token(self) -> Token:
        """
        Return a usable token, refreshing it first if need be.

        Raises:
            LoginRequiredError: The grant is gone: authorize again.

            TokenRefusedError: The token endpoint refuses: repair the configuration.

            TokenUnavailableError: The token endpoint gave no usable answer: try later.

            StoreError: The store cannot be read or locked: repair it.
        """
        return self._source.token(via=self._via)

    async def aget_token(self) -> Token:
        """Do what `get_token` does, without blocking the event loop, be it asyncio's or trio's."""
        return await self._source.atoken(via=self._via)

    def headers(self) -> dict[str, str]:
        """
        Return the headers of a signed request, for clients that know no auth objects.

        They are good for one request; raises what `get_token` raises.
        """
        return {"Authorization": bearer(self.get_token()), VERSION_HEADER: self._api_version}

    async def aheaders(self) -> dict[str, str]:
        """Do what `headers` does, without blocking the event loop."""
        return {"Authorization": bearer(await self.aget_token()), VERSION_HEADER: self._api_version}

    def refresh(self, rejected: Token | None = None) -> Token:
        """
        Return another token than the present one, whatever its expiry.

        Several calls at once share one token call; raises what `get_token` raises.

        Args:
            rejected: The token that is not good enough; if the present one is another already, that is returned.

        Raises:
            TypeError: *rejected* is no `Token`.
        """
        check_token("rejected", rejected)
        return self._source.token(via=self._via, rejected=rejected or self._source.current)

    async def arefresh(self, rejected: Token | None = None) -> Token:
        """Do what `refresh` does, without blocking the event loop."""
        check_token("rejected", rejected)
        return await self._source.atoken(via=self._via, rejected=rejected or self._source.current)

    def for_token(
        self, token: Token, *, on_token: Callable[[Token], object] | None = None, store: TokenStore | None = None
    ) -> Self:
        """
        Return the auth object of another grant to the same OAuth client, and hand *token* to *on_token* at once.

        Args:
            token: The other grant's token.

            on_token: As for `FoxyAuth`.

            store: As for `FoxyAuth`; it gets *token* at once too.
        """
        other = type(self).__new__(type(self))
        grant = _grant(token, None)
        exchange = self._exchange.for_grant()
        other._compose(exchange, self._windows, timeout=self._timeout, grant=grant, on_token=on_token, store=store)  # noqa: SLF001
        other.hand_over()
        return other

    def hand_over(self) -> None:
        """
        Hand the token in memory to `on_token`, as one that is new: the first of a grant, say.

        On an event loop this does not wait for `on_token`; `aflush` does.
        """
        self._source.hand_over(present_loop(), wait=not on_loop())

    def flush(self) -> None:
        """
        Wait for a refresh under way, and until `on_token` has taken the new token.

        Raises:
            StoreError: `on_token` or the store failed, or takes longer than the timeout.
        """
        self._source.flush()

    async def aflush(self) -> None:
        """Do what `flush` does, without blocking the event loop."""
        await self._source.aflush()

    def close(self) -> None:
        """Do what `flush` does; the object holds nothing else, and can still be used."""
        self.flush()

    async def aclose(self) -> None:
        """Do what `aflush` does."""
        await self.aflush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        """Name the API, and nothing that is secret."""
        return f"<FoxyAuth for {self._environment.api}>"


def _grant(token: Token | None, refresh_token: object, store: object = None) -> tuple[Token | None, str | None]:
    """Return what the source begins with: a token, a refresh token or both."""
    if refresh_token is not None and not isinstance(refresh_token, str):
        raise TypeError(f"refresh_token takes text, not {kind(refresh_token)}; a Token goes into token=")
    if refresh_token is not None and (not refresh_token.isprintable() or refresh_token != refresh_token.strip()):
        raise ValueError("refresh_token must be printable text without blanks around it; copy it again")
    check_token("token", token)
    own = token.refresh_token if token else None
    if refresh_token and own and refresh_token != own:
        raise ValueError("refresh_token and token name two different refresh tokens; give the newer of the two alone")
    if token is None and not refresh_token and store is None:
        raise ValueError("FoxyAuth needs a grant: give refresh_token=…, token=… or store=…")
    return token, own or refresh_token


def hand_over(token: Token, on_token: Callable[[Token], object] | None, *, timeout: float) -> None:
    """Hand *token* to *on_token* where there is no auth object for it yet."""
    Saver(on_token, timeout=timeout).put(token, present_loop(), wait=not on_loop())
