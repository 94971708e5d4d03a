"""`FoxyAuth`: what every client library takes as `auth=`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, SupportsIndex, TypedDict, Unpack

import foxy_auth
from foxy_auth._clients.httpx import HttpxAuth
from foxy_auth._clients.requests import RequestsAuth
from foxy_auth._libraries import HttpClient
from foxy_auth._oauth import URL_VARIABLE, VARIABLES, VERSION_HEADER
from foxy_auth._secrets import Secret, guarded, guarded_class
from foxy_auth.environment import PRODUCTION, Environment, check_environment, known_environment

# The rest is imported when the first object is made: a program that only imports this pays almost nothing. What stands
# in public signatures is named by the package, `foxy_auth.Token`, which loads it for those who evaluate annotations.
if TYPE_CHECKING:
    from foxy_auth._engine.clock import Clock
    from foxy_auth._engine.grant import Signature
    from foxy_auth._engine.token_endpoint import TokenEndpoint

# What a token is asked for with (RFC 6749, sections 4.4 and 6).
GrantType = Literal["refresh_token", "client_credentials"]

# Seconds; see the arguments of the same names.
TIMEOUT = 10.0
REFRESH_AHEAD = 300.0
LEEWAY = 60.0

# What an auth object claims to be, by its true class and the `Auth` of httpx and httpx2, where they are loaded.
_CLASSES: dict[tuple[Any, ...], Any] = {}


class ClientOptions(TypedDict, total=False):
    """The arguments of `OAuthClient` and `FoxyAuth` beside credentials, each with its default."""

    environment: Environment
    api_version: str
    client_auth_method: foxy_auth.AuthMethod
    http: HttpClient | None
    timeout: float


class Options(ClientOptions, total=False):
    """The arguments of `FoxyAuth` that say nothing of a grant, each with its default."""

    grant_type: GrantType
    refresh_ahead: float
    leeway: float


class _Unannounced:
    """Keeps `__init_subclass__` of users' classes from being called for classes that they did not write."""

    def __init_subclass__(cls, **_: Any) -> None:
        pass


@guarded_class
class FoxyAuth(RequestsAuth, HttpxAuth):
    """
    Signs requests to Foxy, and keeps the token that it signs them with fresh.

    ```python
    auth = FoxyAuth.from_env(store=FileStore("foxy-token.json"))
    response = requests.get(auth.environment.api, auth=auth)
    ```

    One instance serves requests, httpx (sync and async, on asyncio and trio), httpx2 and niquests, in any number of
    threads and event loops at once. Requests to any other origin than the environment's pass untouched.

    A token that nears its expiry is refreshed in the background while requests go on with it; one that has expired is
    refreshed while they wait; a 401 that blames the token is answered by one refresh and one retry.
    However many requests need a new token at once, one token request is made.
    """

    _clock: ClassVar[Clock | None] = None  # a subclass may have its own, for tests

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        refresh_token: str | None = None,
        token: foxy_auth.Token | None = None,
        on_token: Callable[[foxy_auth.Token], object] | None = None,
        store: foxy_auth.TokenStore | None = None,
        environment: Environment = PRODUCTION,
        api_version: str = "1",
        client_auth_method: foxy_auth.AuthMethod = "client_secret_basic",
        grant_type: GrantType = "refresh_token",
        http: HttpClient | None = None,
        timeout: float = TIMEOUT,
        refresh_ahead: float = REFRESH_AHEAD,
        leeway: float = LEEWAY,
    ) -> None:
        """
        Hold a grant: give *refresh_token*, *token* or *store*. All times are in seconds.

        Args:
            client_id: The OAuth client's id.
            client_secret: The OAuth client's secret.
            refresh_token: The grant's refresh token; it may be left out if *token* has one.
            token: The last token that `on_token` was given, if it was kept; saves a token request.
            on_token: Called with each new token, in a thread of its own; an async function runs on the event loop of
                the caller. What it raises is logged; it is called again later, by `flush()`, `close()` and at exit.
            store: Where the token is kept, see `foxy_auth.stores`; many processes may share it. Once it has a record,
                that counts, and not *refresh_token*, nor *token* once it is due; both may be left out.
            environment: Where Foxy is: `PRODUCTION`, `FOXY_IO`, `SANDBOX`, or an `Environment` of your own.
            api_version: Goes into the header `FOXY-API-VERSION`, unless a request has its own.
            client_auth_method: `client_secret_basic`, which the provider recommends, or `client_secret_post`.
            grant_type: `refresh_token`; or `client_credentials` to act for the client, see `from_client_credentials`.
            http: For token requests, see `HttpClient`; by default the library of the client that needs the token.
            timeout: For each wait on the network, and for `on_token`; requests wait for five at most, with a store ten.
            refresh_ahead: How long before expiry a token is refreshed in the background; a quarter of its life at most.
            leeway: How long before expiry requests wait for the refresh; a tenth of its life at most.

        Raises:
            TypeError, ValueError, ImportError: An argument is wrong, or no client library there; the message says more.
        """
        from foxy_auth._arguments import check_callback, check_grant, check_seconds, check_store
        from foxy_auth._engine.clock import Clock
        from foxy_auth._engine.freshness import Windows
        from foxy_auth._engine.source import TokenSource
        from foxy_auth._engine.token_endpoint import ENDPOINTS
        from foxy_auth._oauth.messages import ClientCredentials
        from foxy_auth._oauth.origin import foreign_home
        from foxy_auth.token import refresh_secret

        check_environment(environment)
        check_seconds("timeout", timeout, least=0.001)
        check_seconds("refresh_ahead", refresh_ahead)
        check_seconds("leeway", leeway)
        check_callback(on_token)
        check_store(store)
        if grant_type not in ENDPOINTS:
            raise ValueError(f"grant_type takes {' or '.join(map(repr, ENDPOINTS))}")
        check_grant(token, refresh_token, is_optional=store is not None or grant_type == "client_credentials")
        if token and (home := foreign_home(token.api, environment.origins)):
            raise ValueError(f"the token was issued by {home}, and environment is {environment.api}; give its own")
        self._endpoint = ENDPOINTS[grant_type](
            ClientCredentials(client_id, Secret(client_secret), client_auth_method),
            environment.token_endpoint,
            api_version,
            timeout,
            http,
            self._clock or Clock(),
            environment.api,
            environment.origins,
        )
        self._environment = environment
        self._api_version = api_version
        self._windows = Windows(refresh_ahead, leeway)
        self._source = TokenSource(
            self._endpoint,
            token=token,
            refresh_token=refresh_secret(token) or (Secret(refresh_token) if refresh_token else None),
            windows=self._windows,
            on_token=on_token,
            store=store,
        )

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """
        Be an `httpx.Auth` and an `httpx2.Auth` for `isinstance`, once these libraries are loaded; mocks do the same.

        Their clients ask for it, and yet neither has to be imported for those who use another.
        """
        own = type(self)
        loaded = sys.modules.get
        key = own, getattr(loaded("httpx"), "Auth", None), getattr(loaded("httpx2"), "Auth", None)
        if key in _CLASSES:
            return _CLASSES[key]
        # After `httpx2.alias_httpx()` both are one class. A module that is being imported has none yet, and one that
        # stands in for another may have anything.
        bases: Any = dict.fromkeys(base for base in key[1:] if isinstance(base, type))
        if not bases:
            return own

        def make(_: type, *args: Any, **options: Any) -> FoxyAuth:
            return own(*args, **options)

        # Past the metaclass, which may need arguments, or register each class.
        members = {"__module__": own.__module__, "__new__": guarded(make)}
        kind: Any = type
        return _CLASSES.setdefault(key, kind.__new__(type(own), own.__name__, (_Unannounced, own, *bases), members))

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Pickle by the true class, which `__class__` hides; a subclass may still have its own ways."""
        if type(self).__reduce__ is not object.__reduce__:
            return self.__reduce__()
        return object.__new__, (type(self),), self.__getstate__()

    @classmethod
    def from_env(
        cls,
        variables: Mapping[str, str] | None = None,
        *,
        token: foxy_auth.Token | None = None,
        on_token: Callable[[foxy_auth.Token], object] | None = None,
        store: foxy_auth.TokenStore | None = None,
        **options: Unpack[Options],
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
        may_lack = {"refresh_token"} if token or store is not None else ()
        found = read_variables(variables, VARIABLES, may_lack=may_lack)
        if token and getattr(token, "refresh_token", None):
            found.pop("refresh_token", None)
        found.update(options)
        return cls(**found, token=token, on_token=on_token, store=store)

    @classmethod
    def from_client_credentials(
        cls,
        client: foxy_auth.OAuthClient,
        *,
        token: foxy_auth.Token | None = None,
        on_token: Callable[[foxy_auth.Token], object] | None = None,
        store: foxy_auth.TokenStore | None = None,
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
        if not hasattr(client, "client_auth_method"):
            raise TypeError(f"client takes an OAuthClient, not {type(client).__name__}")
        return cls(**settings_of(client), grant_type="client_credentials", token=token, on_token=on_token, store=store)

    @property
    def environment(self) -> Environment:
        """Where Foxy is; `auth.environment.api` is the API home, where requests begin."""
        return self._environment

    @property
    def token(self) -> foxy_auth.Token | None:
        """The token in memory, whether it is still fresh or not; None before the first token request. Never blocks."""
        return self._source.grant.token

    def get_token(self) -> foxy_auth.Token:
        """
        Return a usable token, refreshing it first if need be.

        Raises:
            LoginRequiredError: The grant was revoked or has expired: authorize again.

            TokenRefusedError: The token endpoint refuses: repair the configuration.

            TokenUnavailableError: The token endpoint gave no usable response: try later.

            StoreError: The store cannot be read or locked: repair it.
        """
        return self._current().token

    async def aget_token(self) -> foxy_auth.Token:
        """Async version of `get_token`, on asyncio or trio."""
        return (await self._acurrent()).token

    def headers(self) -> dict[str, str]:
        """
        Return the headers of a signed request, for clients that know no auth objects.

        They are good for one request; raises what `get_token` raises.
        """
        return self._headers(self._current())

    async def aheaders(self) -> dict[str, str]:
        """Async version of `headers`."""
        return self._headers(await self._acurrent())

    def _headers(self, signature: Signature) -> dict[str, str]:
        return {"Authorization": str(signature.authorization), VERSION_HEADER: self._api_version}

    def refresh(self, rejected: foxy_auth.Token | None = None) -> foxy_auth.Token:
        """
        Return another token than the present one, whatever its expiry.

        Several calls at once share one token request; raises what `get_token` raises.

        Args:
            rejected: The token that is not good enough; if the present one is another already, that is returned.

        Raises:
            TypeError: *rejected* is no `Token`.
        """
        return self._current(self._rejected(rejected)).token

    async def arefresh(self, rejected: foxy_auth.Token | None = None) -> foxy_auth.Token:
        """Async version of `refresh`."""
        return (await self._acurrent(self._rejected(rejected))).token

    def _rejected(self, rejected: foxy_auth.Token | None) -> foxy_auth.Token | None:
        from foxy_auth._arguments import check_token

        check_token("rejected", rejected)
        return rejected or self.token

    def _current(self, rejected: foxy_auth.Token | None = None) -> Signature:
        return self._source.obtain(self._endpoint.library, rejected).signature

    async def _acurrent(self, rejected: foxy_auth.Token | None = None) -> Signature:
        return (await self._source.aobtain(self._endpoint.library, rejected)).signature

    def for_token(
        self,
        token: foxy_auth.Token,
        *,
        on_token: Callable[[foxy_auth.Token], object] | None = None,
        store: foxy_auth.TokenStore | None = None,
    ) -> FoxyAuth:
        """
        Return the auth object of another grant to the same OAuth client, and deliver *token* to *on_token* at once.

        It is a plain `FoxyAuth`, whatever the class of this one.

        Args:
            token: The other grant's token.

            on_token: As for `FoxyAuth`.

            store: As for `FoxyAuth`; it gets *token* at once too.
        """
        auth = FoxyAuth(
            **settings_of(self),
            token=token,
            on_token=on_token,
            store=store,
            refresh_ahead=self._windows.refresh_ahead,
            leeway=self._windows.leeway,
        )
        offer_token(auth)
        return auth

    def flush(self) -> None:
        """
        Wait for a refresh under way, and until `on_token` has taken the new token.

        Raises:
            StoreError: `on_token` or the store failed, or takes longer than the timeout.
        """
        self._source.flush()

    async def aflush(self) -> None:
        """Async version of `flush`."""
        await self._source.aflush()

    def logout(self) -> None:
        """
        Remove the stored token, forget it, and refuse from now on: whoever needs a token gets a `LoginRequiredError`.

        This waits for a refresh and a call of `on_token` under way. Nothing is saved or delivered afterwards. To go on,
        authorize again and make a new auth object.

        The provider documents no endpoint that revokes a token. To withdraw the grant as well, so that no copy of its
        tokens works, delete its `fx:integration` while there is a token.

        Other auth objects that share the store are not logged out: one that has the token in memory goes on with it,
        and saves the next one. So a store that loses its records locks nobody out. Log out of each of them, or end
        their processes first.

        Raises:
            StoreError: The record could not be removed; this object refuses all the same. A second call tries again.

            TypeError: The store has no method `delete`; nothing has happened.
        """
        self._source.log_out()

    async def alogout(self) -> None:
        """Async version of `logout`."""
        await self._source.alog_out()

    def close(self) -> None:
        """Flush; the object holds nothing else, and can still be used."""
        self.flush()

    async def aclose(self) -> None:
        """Async version of `close`."""
        await self.aflush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        """Name the API, and nothing that is secret."""
        return f"<FoxyAuth for {self._environment.api}>"


def read_variables(
    variables: Mapping[str, str] | None, names: Iterable[str], *, may_lack: Collection[str] = ()
) -> dict[str, Any]:
    """
    Return the arguments *names* as the environment variables give them, and the `environment` if there is one.

    Args:
        variables: Where to look; `os.environ` if None.

        names: Keys of `VARIABLES`.

        may_lack: Those of them whose variables need not be set.

    Raises:
        TypeError, ValueError: *variables* is no mapping, or one of them is missing or wrong.
    """
    variables = os.environ if variables is None else variables
    if not hasattr(variables, "items"):
        raise TypeError(
            f"variables takes a mapping such as os.environ, not {type(variables).__name__}; "
            "if you passed from_env itself, call it"
        )
    values = {name: variables.get(VARIABLES[name], "").strip() for name in names}
    if missing := [VARIABLES[name] for name, value in values.items() if not value and name not in may_lack]:
        listed = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        raise ValueError(f"set the environment variable{'s' if missing[1:] else ''} {listed}")
    found: dict[str, Any] = {name: value for name, value in values.items() if value}
    if url := variables.get(URL_VARIABLE, "").strip():
        try:
            found["environment"] = known_environment(url)
        except ValueError as error:
            raise ValueError(f"{URL_VARIABLE}: {error}") from None
    return found


def offer_token(auth: FoxyAuth) -> None:
    """
    Save and deliver the token of *auth* as one that is new: the first of a grant, say.

    On an event loop this does not wait for `on_token`; `aflush` does.
    """
    auth._source.offer()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def endpoint_of(owner: FoxyAuth | foxy_auth.OAuthClient) -> TokenEndpoint:
    """Return where *owner* gets its tokens, with the settings for requests."""
    return owner._endpoint  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def settings_of(owner: FoxyAuth | foxy_auth.OAuthClient) -> dict[str, Any]:
    """Return the arguments that an OAuth client and its auth objects have in common."""
    endpoint = endpoint_of(owner)
    return {
        "client_id": endpoint.client.client_id,
        "client_secret": endpoint.client.client_secret.reveal(),
        "client_auth_method": endpoint.client.auth_method,
        "environment": owner.environment,
        "api_version": endpoint.api_version,
        "http": endpoint.http,
        "timeout": endpoint.timeout,
    }
