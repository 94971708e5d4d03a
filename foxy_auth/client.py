"""`OAuthClient`: the flows by which an integration gets its first token."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, Unpack

from foxy_auth._arguments import AuthMethod, check_callback, check_redirect_uri, check_seconds, kind
from foxy_auth._engine.concurrency import Job, in_thread, present_loop, start
from foxy_auth._engine.delivery import Delivery
from foxy_auth._engine.token_endpoint import LIMIT, TokenEndpoint
from foxy_auth._libraries import HttpClient
from foxy_auth._oauth.authorization import (
    CLIENT_FULL_ACCESS,
    AuthorizationRequest,
    Binding,
    authorization_request,
    read_authorization_response,
)
from foxy_auth._oauth.messages import ClientCredentials
from foxy_auth._secrets import Secret, guarded_class
from foxy_auth.auth import (
    LEEWAY,
    REFRESH_AHEAD,
    TIMEOUT,
    ClientOptions,
    FoxyAuth,
    offer_token,
    read_variables,
    settings_of,
)
from foxy_auth.environment import PRODUCTION, Environment, check_environment
from foxy_auth.errors import AuthorizationError, LoginRequiredError, TokenRefusedError, TokenUnavailableError
from foxy_auth.stores import TokenStore
from foxy_auth.token import Token, refresh_secret

# What to do if the token endpoint refuses a code, by error codes of the provider's library.
ADVICE = {
    "redirect_uri_mismatch": "redirect_uri must be exactly what was registered",
    "code_verifier_mismatch": "the code is another request's, so it may be injected: begin a new authorization",
}


@guarded_class
class OAuthClient:
    """
    An OAuth client registered with Foxy: its id, its secret, and what it can do with them.

    ```python
    client = OAuthClient(client_id, client_secret, redirect_uri="https://yours.example/callback")
    request = client.authorization_request(STORE_FULL_ACCESS)  # send the user to request.url
    token = client.fetch_token(response_url, request=request)  # where the user came back to
    auth = client.auth(token, store=store)
    ```

    What talks to the provider has an async version, with an `a` before its name, which does not block the event loop.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        redirect_uri: str | None = None,
        environment: Environment = PRODUCTION,
        client_auth_method: AuthMethod = "client_secret_basic",
        api_version: str = "1",
        http: HttpClient | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """
        Hold a client's credentials.

        Args:
            client_id: The client's id.

            client_secret: The client's secret.

            redirect_uri: Exactly as it was registered; the authorization code flow needs it.

            environment: Where Foxy is.

            client_auth_method: `client_secret_basic`, which the provider recommends, or `client_secret_post`.

            api_version: Goes into the header `FOXY-API-VERSION`.

            http: A client for the calls, see `HttpClient`; by default a client library that is installed, with the
                settings of the usual environment variables.

            timeout: Seconds for each wait on the network; a call, with what is tried again, takes five times as long at
                most.

        Raises:
            TypeError, ValueError: An argument is not what it should be; the message says what to do.

            ImportError: No client library is installed.
        """
        check_environment(environment)
        check_seconds("timeout", timeout, least=0.001)
        check_redirect_uri(redirect_uri)
        client = ClientCredentials(client_id, Secret(client_secret), client_auth_method)
        self._endpoint = TokenEndpoint(
            client,
            environment.token_endpoint,
            api_version,
            timeout,
            http,
            environment=environment.api,
            origins=environment.origins,
        )
        self.redirect_uri = redirect_uri
        self.environment = environment
        self.api_version = api_version
        self.http = http
        self.timeout = timeout

    @classmethod
    def from_env(
        cls,
        variables: Mapping[str, str] | None = None,
        *,
        redirect_uri: str | None = None,
        **options: Unpack[ClientOptions],
    ) -> Self:
        """
        Take the client from the environment variables that the provider's own SDK uses.

        `FOXY_API_CLIENT_ID`, `FOXY_API_CLIENT_SECRET`, and optionally `FOXY_API_URL`, the API home (by default that of
        PRODUCTION).

        Args:
            variables: Where to look instead of `os.environ`.

            redirect_uri: As for `OAuthClient`.

            options: Further arguments of `OAuthClient`.

        Raises:
            TypeError, ValueError: A variable is missing or empty, or an argument is not what it should be; the message
                names each.
        """
        found = read_variables(variables, ("client_id", "client_secret"))
        found.update(options)
        return cls(**found, redirect_uri=redirect_uri)

    @property
    def client_id(self) -> str:
        """The client's id."""
        return self._endpoint.client.client_id

    @property
    def client_secret(self) -> str:
        """The client's secret, to be kept where it was kept before."""
        return self._endpoint.client.client_secret.reveal()

    @property
    def client_auth_method(self) -> AuthMethod:
        """How the client authenticates at the token endpoint."""
        return self._endpoint.client.auth_method

    def __repr__(self) -> str:
        """Name the client, and nothing that is secret."""
        return f"<OAuthClient {self.client_id} for {self.environment.api}>"

    if not TYPE_CHECKING:  # or `auth=client` would pass for a function that signs requests

        def __call__(self, *_: object) -> None:
            """Refuse to sign: this is what client libraries call if they are given `auth=client`."""
            raise TypeError("an OAuthClient signs no requests: give auth= a FoxyAuth, such as client.auth(store=…)")

    # --- the authorization code flow ---------------------------------------------------------------------------------

    def authorization_request(
        self, scope: str, *, send_redirect_uri: bool = False, pkce: bool = True
    ) -> AuthorizationRequest:
        """
        Prepare the address to which the user is sent to grant access.

        Keep its `to_dict()` in the user's session, and give it to `fetch_token` with what comes back.

        Args:
            scope: `store_full_access` or `user_full_access`, or any other that the provider knows.

            send_redirect_uri: Send the redirect URI along, which the provider's page does not ask for.

            pkce: Bind the code to a verifier (RFC 7636, S256). The provider's page does not speak of it; a provider
                that does not know it ignores it (RFC 6749, section 3.1).

        Raises:
            ValueError: There is no scope, or no redirect URI to send.
        """
        if not isinstance(scope, str) or not scope.strip():
            raise ValueError("scope takes text such as 'store_full_access'; the provider requires one")
        if send_redirect_uri:
            self._registered_uri()
        return authorization_request(scope, send_redirect_uri=send_redirect_uri, pkce=pkce, **self._binding())

    def fetch_token(
        self,
        authorization_response: str | Mapping[str, object],
        *,
        request: AuthorizationRequest | Mapping[str, object] | None,
        on_token: Callable[[Token], object] | None = None,
    ) -> Token:
        """
        Exchange the code of an authorization response for a token, at once: a code lives 30 seconds and serves once.

        Args:
            authorization_response: The URL to which the browser was redirected, or its query parameters as the web
                framework gives them.

            request: The request, or its `to_dict()` as it was kept in the user's session; None if the session has
                expired, and then the response is refused.

            on_token: Called with the token before it is returned, and also if an async caller has been cancelled
                meanwhile: a code serves once, so the token would be lost. For the rest as for `FoxyAuth`.

        Raises:
            AuthorizationError: The state or the issuer differs, the request was made by another client or for another
                environment or redirect URI, the user denied access, the code is missing, spent or too old, or the
                request was wrong; the message says what to do.

            TokenRefusedError: The token endpoint refuses this client.

            TokenUnavailableError: The token endpoint gave no usable response. The code may be spent: start over.

            ValueError: The client has no redirect URI, without which there is no exchange; or *request* is not what
                `to_dict()` returned.
        """
        check_callback(on_token)
        redirect_uri = self._registered_uri()
        kept = self._own_request(request)
        state = kept.state if kept else None
        code = read_authorization_response(authorization_response, state=state, is_issuer=self.environment.is_issuer)
        verifier = Secret(kept.code_verifier) if kept and kept.code_verifier else None
        with _as_authorization_errors():
            return self._wait_for(
                lambda: self._endpoint.code(code, redirect_uri=redirect_uri, code_verifier=verifier), on_token
            )

    async def afetch_token(
        self,
        authorization_response: str | Mapping[str, object],
        *,
        request: AuthorizationRequest | Mapping[str, object] | None,
        on_token: Callable[[Token], object] | None = None,
    ) -> Token:
        """Async version of `fetch_token`, on asyncio or trio."""
        return await in_thread(lambda: self.fetch_token(authorization_response, request=request, on_token=on_token))

    def _binding(self) -> Binding:
        return {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "authorization_endpoint": self.environment.authorization_endpoint,
            "token_endpoint": self.environment.token_endpoint,
        }

    def _own_request(self, request: AuthorizationRequest | Mapping[str, object] | None) -> AuthorizationRequest | None:
        """Refuse a request of another client, environment or redirect URI, whose code must not be sent from here."""
        if not request:
            return None
        kept = request if isinstance(request, AuthorizationRequest) else AuthorizationRequest.from_dict(request)
        for name, value in self._binding().items():
            if getattr(kept, name) != value:
                message = (
                    f"the request was made for another {name}, so the response is not for this OAuthClient: abort, and "
                    "begin a new authorization (one and the same OAuthClient makes the request and fetches the token)"
                )
                raise AuthorizationError(message, error="request_mismatch")
        return kept

    def _registered_uri(self) -> str:
        if self.redirect_uri is None:
            raise ValueError("give OAuthClient the redirect_uri that was registered: the provider requires it")
        return self.redirect_uri

    # --- other grants ------------------------------------------------------------------------------------------------

    def refresh_token(self, token: Token) -> Token:
        """
        Exchange *token*'s refresh token for a new token, by hand; `FoxyAuth` does so by itself.

        Raises:
            LoginRequiredError: The grant was revoked or has expired, or *token* has no refresh token.

            TokenRefusedError, TokenUnavailableError: No token came of it.
        """
        if not isinstance(token, Token):
            raise TypeError(f"refresh_token takes a Token, not {kind(token)}; Token.from_dict(…) makes one")
        return self._wait_for(lambda: self._endpoint.refresh(refresh_secret(token), scope=token.scope))

    async def arefresh_token(self, token: Token) -> Token:
        """Async version of `refresh_token`, on asyncio or trio."""
        return await in_thread(lambda: self.refresh_token(token))

    def client_credentials(self, scope: str = CLIENT_FULL_ACCESS) -> Token:
        """
        Get a token for the client itself (RFC 6749, section 4.4), which has no refresh token.

        Raises:
            TokenRefusedError, TokenUnavailableError: No token came of it.
        """
        return self._wait_for(lambda: self._endpoint.client_credentials(scope))

    async def aclient_credentials(self, scope: str = CLIENT_FULL_ACCESS) -> Token:
        """Async version of `client_credentials`, on asyncio or trio."""
        return await in_thread(lambda: self.client_credentials(scope))

    # --- and then ----------------------------------------------------------------------------------------------------

    def auth(
        self,
        token: Token | None = None,
        *,
        on_token: Callable[[Token], object] | None = None,
        store: TokenStore | None = None,
        refresh_ahead: float = REFRESH_AHEAD,
        leeway: float = LEEWAY,
    ) -> FoxyAuth:
        """
        Return the auth object for *token*'s grant, and hand *token* to *on_token* at once.

        Args:
            token: What one of the flows has brought; None for the one that *store* holds.

            on_token: As for `FoxyAuth`.

            store: As for `FoxyAuth`; it gets a *token* at once too, whatever it had before.

            refresh_ahead: As for `FoxyAuth`.

            leeway: As for `FoxyAuth`.
        """
        auth = FoxyAuth(
            **settings_of(self),
            token=token,
            on_token=on_token,
            store=store,
            refresh_ahead=refresh_ahead,
            leeway=leeway,
        )
        offer_token(auth)
        return auth

    def _wait_for(self, request: Callable[[], Token], on_token: Callable[[Token], object] | None = None) -> Token:
        """Make a token request in a thread of its own, which delivers the token even if nobody waits any more."""
        delivery = Delivery(on_token, timeout=self.timeout, environment=self.environment.api)
        loop = present_loop()
        overdue = TokenUnavailableError("the token request takes too long; try later")

        def request_and_deliver(job: Job[Token]) -> Token:
            job.step(LIMIT * self.timeout, overdue)
            token = request()
            delivery.expect(token, loop)
            job.settle(token)
            job.step(self.timeout, overdue)
            job.free_slot()
            delivery.run()
            return token

        with delivery.while_blocking_loop():
            return start(Job(request_and_deliver, timeout=self.timeout, limit=(LIMIT + 1) * self.timeout)).wait()


@contextmanager
def _as_authorization_errors() -> Generator[None]:
    """Let the refusal of a code pass as what it is to the user: an authorization that did not finish."""
    try:
        yield
    except LoginRequiredError as error:
        message = f"the code was refused ({error.description or error.error}); begin a new authorization"
        raise AuthorizationError(message, error="invalid_grant", description=error.description) from None
    except TokenRefusedError as error:
        if error.error not in ADVICE:
            raise
        message = f"{error.description or error.error}; {ADVICE[error.error]}"
        raise AuthorizationError(message, error=error.error, description=error.description) from None
