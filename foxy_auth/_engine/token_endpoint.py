"""The token requests of one OAuth client: from a grant to a token, with retries where these are safe (R13, R14)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from foxy_auth._arguments import check_api_version, check_auth_method, check_credential, check_not_swapped
from foxy_auth._engine.clock import Clock
from foxy_auth._engine.concurrency import note_turned_away
from foxy_auth._events import record
from foxy_auth._libraries import HttpClient, installed_library, library_of
from foxy_auth._oauth.authorization import CLIENT_FULL_ACCESS
from foxy_auth._oauth.messages import (
    ClientCredentials,
    read_token_response,
    token_request,
)
from foxy_auth._oauth.origin import Origin
from foxy_auth._secrets import Secret
from foxy_auth._transport import check_client, send
from foxy_auth.errors import LoginRequiredError, TokenUnavailableError
from foxy_auth.token import Token

ATTEMPTS = 3
FIRST_PAUSE = 0.5  # seconds before the second attempt; doubled with each
# No attempt begins later than after so many timeouts; one takes up to three: for the connection, headers and body.
LAST_ATTEMPT = 3
# Nobody waits longer for a token request, with its retries, than so many timeouts.
LIMIT = 5


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """
    The token endpoint, as one OAuth client uses it.

    All methods raise `LoginRequiredError`, `TokenRefusedError` or `TokenUnavailableError` where no token is to be had.

    Attributes:
        client: Who asks.

        url: The token endpoint's address.

        api_version: Goes into the header `FOXY-API-VERSION`.

        timeout: Seconds for each wait on the network.

        http: The client that the user gave for token requests; None leaves the choice to each request.

        clock: Time and chance.

        environment: The API home.

        origins: Those of the environment; none if any token will do.

        library: The client library for requests that come from no client.

    Raises:
        TypeError, ValueError: An argument is not what it should be; the message says what to do.

        ImportError: No client library is installed.
    """

    client: ClientCredentials
    url: str
    api_version: str = "1"
    timeout: float = 10.0
    http: HttpClient | None = field(default=None, repr=False)
    clock: Clock = field(default_factory=Clock, repr=False)
    environment: str = ""
    origins: frozenset[Origin] = frozenset()
    library: str = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what no token request could be made with."""
        check_credential("client_id", self.client.client_id)
        check_credential("client_secret", self.client.client_secret.reveal())
        check_not_swapped(self.client.client_id, self.client.client_secret.reveal())
        check_auth_method(self.client.auth_method)
        check_api_version(self.api_version)
        check_client(self.http)
        object.__setattr__(self, "library", library_of(self.http) or installed_library())  # the dataclass is frozen

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Stay one: it is a value, but for the user's client, which most libraries cannot copy."""
        return self

    def refresh(self, refresh_token: Secret | None, *, scope: str = "", library: str | None = None) -> Token:
        """
        Exchange *refresh_token* for a token (RFC 6749, section 6).

        Args:
            refresh_token: What to exchange, if the grant has one.

            scope: What the grant is known to allow, in case the response does not say.

            library: The client library to use, unless the user gave a client.
        """
        if refresh_token is None:
            raise LoginRequiredError("there is no refresh token to get a new access token with; authorize again")
        return self._request("refresh_token", {"refresh_token": refresh_token}, library, scope=scope)

    def code(self, code: Secret, *, redirect_uri: str, code_verifier: Secret | None) -> Token:
        """Exchange an authorization code for the first token of a grant (RFC 6749, section 4.1.3)."""
        verifier = {"code_verifier": code_verifier} if code_verifier else {}
        return self._request("authorization_code", {"code": code, "redirect_uri": redirect_uri, **verifier})

    def client_credentials(self, scope: str = CLIENT_FULL_ACCESS, *, library: str | None = None) -> Token:
        """Get a token for the client itself (RFC 6749, section 4.4)."""
        return self._request("client_credentials", {"scope": scope}, library, scope=scope)

    def _request(
        self, grant_type: str, fields: Mapping[str, str | Secret], library: str | None = None, *, scope: str = ""
    ) -> Token:
        client = self.client
        request = token_request(client, grant_type, fields, url=self.url, api_version=self.api_version)
        basic = Secret(b64encode(f"{client.client_id}:{client.client_secret.reveal()}".encode()).decode())
        secrets = [field for field in fields.values() if isinstance(field, Secret)]
        hidden = (basic, client.client_secret, *secrets)
        sent = secrets[0] if grant_type == "refresh_token" else None

        def attempt(timeout: float) -> Token:
            asked_at = self.clock.now()
            through = self.http or library or self.library
            response = send(request, through=through, timeout=timeout, hidden=lambda: hidden)
            token = read_token_response(
                response,
                asked_at=asked_at,
                refresh_token=sent,
                scope=scope,
                hidden=hidden,
                url=self.url,
                client_id=client.client_id,
            )
            return replace(token, api=self.environment or None)

        return self._retry(attempt)

    def _retry(self, attempt: Callable[[float], Token]) -> Token:
        """Make a token request again where that is safe and there is time."""
        clock = self.clock
        until = clock.monotonic() + LAST_ATTEMPT * self.timeout
        for number in range(ATTEMPTS):
            try:
                return attempt(max(min(self.timeout, until - clock.monotonic()), 0.001))
            except TokenUnavailableError as error:
                pause = max(FIRST_PAUSE * 2.0**number * (0.5 + clock.chance() / 2), error.retry_after or 0.0)
                if not error.repeatable or number == ATTEMPTS - 1 or clock.monotonic() + pause >= until:
                    raise
                self._record_repeating(number + 1, pause, error)
            note_turned_away()
            clock.sleep(pause)
        raise AssertionError  # the last attempt returns or raises

    def _record_repeating(self, attempts: int, pause: float, error: TokenUnavailableError) -> None:
        text, kind = "the token request is repeated in %.1f s: %s", type(error).__name__
        record("repeating", text, pause, error, environment=self.environment, error=kind, attempts=attempts)


@dataclass(frozen=True, slots=True)
class ClientCredentialsEndpoint(TokenEndpoint):
    """A token endpoint for grants without refresh token: where others refresh, it asks anew for the client itself."""

    def refresh(self, refresh_token: Secret | None, *, scope: str = "", library: str | None = None) -> Token:  # noqa: ARG002
        """Get another token for the client itself."""
        return self.client_credentials(scope or CLIENT_FULL_ACCESS, library=library)


# By what a token is asked for with.
ENDPOINTS: dict[str, type[TokenEndpoint]] = {
    "refresh_token": TokenEndpoint,
    "client_credentials": ClientCredentialsEndpoint,
}
