"""The token calls of one OAuth client, one for each kind of grant: each from its request to the token it brings."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict

from foxy_auth._arguments import check_api_version, check_auth_method, check_credential
from foxy_auth._oauth.authorization import CLIENT_FULL_ACCESS
from foxy_auth._oauth.messages import (
    ClientCredentials,
    HttpRequest,
    client_credentials_request,
    code_request,
    read_token_response,
    refresh_request,
)
from foxy_auth._transport import check_client, send
from foxy_auth.environment import Environment, check_environment
from foxy_auth.errors import LoginRequiredError
from foxy_auth.token import Token


class _Endpoint(TypedDict):
    url: str
    api_version: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    Makes the token calls of one OAuth client at one installation of Foxy.

    Attributes:
        client: Who asks.

        environment: Whom.

        api_version: What goes into `FOXY-API-VERSION`.

        http: The client that the user gave for token calls; None leaves the choice to each call.

    Raises:
        TypeError, ValueError: An argument is not what it should be; the message says what to do.
    """

    client: ClientCredentials
    environment: Environment
    api_version: str = "1"
    http: object | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no token call could be made with."""
        check_credential("client_id", self.client.client_id)
        check_credential("client_secret", self.client.client_secret)
        check_auth_method(self.client.auth_method)
        check_environment(self.environment)
        check_api_version(self.api_version)
        check_client(self.http)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Stay one: it is a value, but for the user's client, which most libraries cannot copy."""
        return self

    def for_grant(self) -> Exchange:
        """Return the exchange of the same client for grants with refresh tokens."""
        return Exchange(self.client, self.environment, self.api_version, self.http)

    def refresh(
        self, refresh_token: str | None, *, scope: str, via: str, timeout: float, clock: Callable[[], float]
    ) -> Token:
        """
        Exchange *refresh_token* for a token.

        Args:
            refresh_token: The refresh token to send, if the grant has one.

            scope: What the grant is known to allow, in case the answer does not say.

            via: The name of the client library to use, unless the user gave a client.

            timeout: Seconds for each wait on the network.

            clock: Seconds since the epoch.

        Raises:
            LoginRequiredError, TokenRefusedError, TokenUnavailableError: No token came of it.
        """
        if refresh_token is None:
            raise LoginRequiredError("there is no refresh token to get a new access token with; authorize again")
        request = refresh_request(self.client, refresh_token, **self._endpoint)
        hidden = (refresh_token,)
        return self._asked(request, via, timeout, clock, hidden=hidden, refresh_token=refresh_token, scope=scope)

    def code(
        self,
        code: str,
        *,
        redirect_uri: str,
        code_verifier: str | None,
        via: str,
        timeout: float,
        clock: Callable[[], float],
    ) -> Token:
        """Exchange an authorization *code* for the first token of a grant; the rest is as for `refresh`."""
        request = code_request(
            self.client, code, redirect_uri=redirect_uri, code_verifier=code_verifier, **self._endpoint
        )
        return self._asked(request, via, timeout, clock, hidden=(code, code_verifier or code))

    def client_credentials(self, *, scope: str, via: str, timeout: float, clock: Callable[[], float]) -> Token:
        """Get a token for the client itself; the rest is as for `refresh`."""
        request = client_credentials_request(self.client, scope, **self._endpoint)
        return self._asked(request, via, timeout, clock, scope=scope)

    @property
    def _endpoint(self) -> _Endpoint:
        return {"url": self.environment.token_endpoint, "api_version": self.api_version}

    def _asked(
        self,
        request: HttpRequest,
        via: str,
        timeout: float,
        clock: Callable[[], float],
        *,
        hidden: tuple[str, ...] = (),
        refresh_token: str | None = None,
        scope: str = "",
    ) -> Token:
        secret = self.client.client_secret
        basic = b64encode(f"{self.client.client_id}:{secret}".encode()).decode()
        asked_at = clock()
        reply = send(request, through=self.http or via, timeout=timeout)
        return read_token_response(
            reply, asked_at=asked_at, refresh_token=refresh_token, scope=scope, hidden=(basic, secret, *hidden)
        )


class ClientCredentialsExchange(Exchange):
    """An exchange whose grant is the client itself: it asks anew where others refresh."""

    __slots__ = ()

    def refresh(
        self,
        refresh_token: str | None,  # noqa: ARG002 - there is none
        *,
        scope: str,
        via: str,
        timeout: float,
        clock: Callable[[], float],
    ) -> Token:
        """Get another token for the client itself."""
        return self.client_credentials(scope=scope or CLIENT_FULL_ACCESS, via=via, timeout=timeout, clock=clock)
