"""
The contestants: `foxy_auth`, its peers and what they are measured against, each made as its documentation tells.

A contestant is a function that takes a `Setting`, makes what many tenants share, and returns another, which makes a
tenant and returns the function that sends one of its requests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.ready_response import ready_transport
from benchmarks.setting import API, CREDENTIALS, HEADERS, LIFE, TOKEN, VERSION, Setting

Send = Callable[[], Any]
Tenants = Callable[[str], Send]

STATIC = "two static headers"
STATIC_AGAIN = "two static headers, again"
BY_HAND = "both requests by hand"
FOXY = "FoxyAuth"
FOXY_TOKEN = "FoxyAuth.aget_token"
# They cannot be given a first token: their own first request asks for it.
WITHOUT_FIRST_TOKEN = {"httpx-auth", "httpx-oauth2"}


def static_headers(setting: Setting) -> Tenants:
    """Send the headers that the others make; this never refreshes."""
    client = setting.new_client()
    return lambda _: lambda: client.get(setting.url, headers=HEADERS)


def by_hand(setting: Setting) -> Tenants:
    """Ask for a token before each request, by the same client."""
    client = setting.new_client(token_requests=True)
    body = {"grant_type": "refresh_token", "refresh_token": TOKEN["refresh_token"]}

    def send() -> Any:
        fields = client.post(setting.endpoint, data=body, auth=tuple(CREDENTIALS.values())).json()
        return client.get(setting.url, headers={"Authorization": f"Bearer {fields['access_token']}", **VERSION})

    return lambda _: send


def foxy_auth(setting: Setting) -> Tenants:
    """One client for all tenants, an auth object for each."""
    client, new_auth = setting.new_client(), foxy_auths(setting)

    def tenant(name: str) -> Send:
        auth = new_auth(name)
        return lambda: client.get(setting.url, auth=auth)

    return tenant


def foxy_token(setting: Setting) -> Tenants:
    """An auth object for each tenant, without a client."""
    new_auth = foxy_auths(setting)
    return lambda name: new_auth(name).aget_token


def foxy_auths(setting: Setting, new_store: Callable[[str], Any] = lambda _: None) -> Callable[[str], Any]:
    """Return what makes auth objects, with a callback if their tokens are kept."""
    from foxy_auth import Environment, FoxyAuth, Token
    from foxy_auth.stores import FileStore

    environment = Environment(api=setting.api, token_endpoint=setting.endpoint)
    if folder := setting.folder:
        new_store = lambda name: FileStore(f"{folder}/{name}.json")  # noqa: E731

    def new_auth(name: str) -> FoxyAuth:
        fields = setting.token
        token = Token.from_dict({**fields, "obtained_at": fields["expires_at"] - LIFE})
        on_token = (lambda _: None) if folder else None
        store = new_store(name)
        return FoxyAuth(**CREDENTIALS, token=token, environment=environment, store=store, on_token=on_token)

    return new_auth


def authlib(setting: Setting) -> Tenants:
    """A session or client for each tenant; its token requests go through itself."""
    which = "requests_client" if setting.library == "requests" else "httpx_client"
    module = import_module(f"authlib.integrations.{which}")
    names = ("OAuth2Session",) if setting.library == "requests" else ("OAuth2Client", "AsyncOAuth2Client")
    kind = getattr(module, names[setting.asynchronous])
    keep = {"update_token": lambda *_, **__: None} if setting.folder else {}
    options: dict[str, Any] = {**CREDENTIALS, **keep, "token_endpoint": setting.endpoint}

    def tenant(_: str) -> Send:
        client = setting.new_client(kind, token_requests=setting.remaining < LIFE, token=setting.token, **options)
        return lambda: client.get(setting.url, headers=VERSION)

    return tenant


def requests_oauthlib(setting: Setting) -> Tenants:
    """A session for each tenant; its token requests go through itself."""
    kind = import_module("requests_oauthlib").OAuth2Session
    options: dict[str, Any] = {"auto_refresh_url": setting.endpoint, "token_updater": lambda _: None}

    def tenant(_: str) -> Send:
        session = setting.new_client(kind, client_id=CREDENTIALS["client_id"], token=setting.token, **options)
        return lambda: session.get(setting.url, headers=VERSION, **CREDENTIALS)

    return tenant


def requests_oauth2client(setting: Setting) -> Tenants:
    """One session, and one client for token requests; an auth object for each tenant."""
    module = import_module("requests_oauth2client")
    session = setting.new_client()
    client = module.OAuth2Client(setting.endpoint, **CREDENTIALS, testing=True)

    def tenant(_: str) -> Send:
        fields = setting.token
        token = module.BearerToken(**{**fields, "expires_at": datetime.fromtimestamp(fields["expires_at"], tz=UTC)})
        auth = module.OAuth2AccessTokenAuth(client, token)
        return lambda: session.get(setting.url, headers=VERSION, auth=auth)

    return tenant


def google_auth(setting: Setting) -> Tenants:
    """A session with credentials for each tenant."""
    kind = import_module("google.oauth2.credentials").Credentials
    session_kind = import_module("google.auth.transport.requests").AuthorizedSession

    def tenant(name: str) -> Send:
        fields = setting.token
        expiry = datetime.fromtimestamp(fields["expires_at"], tz=UTC).replace(tzinfo=None)
        options = {"refresh_token": fields["refresh_token"], "token_uri": setting.endpoint, "expiry": expiry}
        credentials = kind(fields["access_token"], **CREDENTIALS, **options)
        if name.startswith("non-blocking"):
            credentials.with_non_blocking_refresh()
        session = setting.new_client(session_kind, credentials=credentials)
        return lambda: session.get(setting.url, headers=VERSION)

    return tenant


def google_auth_non_blocking(setting: Setting) -> Tenants:
    """Refresh tokens that soon expire in the background."""
    tenants = google_auth(setting)
    return lambda name: tenants(f"non-blocking {name}")


def httpx_auth(setting: Setting) -> Tenants:
    """One client for API requests and one for token requests; an auth object for each tenant."""
    httpx = import_module("httpx")
    kind = import_module("httpx_auth").OAuth2ClientCredentials
    client, tokens = setting.new_client(), httpx.Client()

    def tenant(name: str) -> Send:
        auth = kind(setting.endpoint, f"client-{name}", CREDENTIALS["client_secret"], client=tokens)
        return lambda: client.get(setting.url, headers=VERSION, auth=auth)

    return tenant


def httpx_oauth2(setting: Setting) -> Tenants:
    """One client for token requests, and one for API requests for each tenant."""
    httpx, module = import_module("httpx"), import_module("httpx_oauth2")
    configuration = {
        "token_endpoint": setting.endpoint,
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "grant_types_supported": ["client_credentials", "refresh_token"],
    }
    # Its clock is behind by its own leeway: for a token that lives shorter than that it would ask without end.
    factory = module.AuthenticatingTransportFactory(
        module.OAuthAuthorityClient(httpx.Client(), configuration),
        lambda: datetime.now() - timedelta(seconds=20),  # noqa: DTZ005 - as it does itself
    )

    def tenant(name: str) -> Send:
        credentials = module.ClientCredentials(f"client-{name}", CREDENTIALS["client_secret"])
        below = ready_transport("httpx", asynchronous=False) if setting.api == API else httpx.HTTPTransport()
        client = httpx.Client(transport=factory.authenticating_transport(below, credentials))
        return lambda: client.get(setting.url, headers=VERSION)

    return tenant


@dataclass(frozen=True, slots=True)
class Contestant:
    """
    Who takes part, and in what.

    Attributes:
        new_tenants: The contestant.

        clients: What it serves: the names of client libraries, with ` async` for their asynchronous clients.

        packages: Where its code is, if it is one of those that are compared.
    """

    new_tenants: Callable[[Setting], Tenants]
    clients: tuple[str, ...]
    packages: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether all its packages are there."""
        return all(find_spec(package.partition(".")[0]) and find_spec(package) for package in self.packages)


SYNCHRONOUS = ("requests", "httpx", "httpx2")
REQUESTS, HTTPX, ALL = SYNCHRONOUS[:1], SYNCHRONOUS[1:2], (*SYNCHRONOUS, "httpx async", "httpx2 async")
GOOGLE = ("google.auth", "google.oauth2")
CONTESTANTS = {
    STATIC: Contestant(static_headers, ALL),
    STATIC_AGAIN: Contestant(static_headers, ALL),
    BY_HAND: Contestant(by_hand, SYNCHRONOUS),
    FOXY: Contestant(foxy_auth, ALL, ("foxy_auth",)),
    FOXY_TOKEN: Contestant(foxy_token, ("httpx async",), ("foxy_auth",)),
    "Authlib": Contestant(authlib, ALL, ("authlib",)),
    "requests-oauthlib": Contestant(requests_oauthlib, REQUESTS, ("requests_oauthlib", "oauthlib")),
    "requests-oauth2client": Contestant(requests_oauth2client, REQUESTS, ("requests_oauth2client",)),
    "google-auth": Contestant(google_auth, REQUESTS, GOOGLE),
    "google-auth, non-blocking": Contestant(google_auth_non_blocking, REQUESTS, GOOGLE),
    "httpx-auth": Contestant(httpx_auth, ("httpx", "httpx async"), ("httpx_auth",)),
    "httpx-oauth2": Contestant(httpx_oauth2, HTTPX, ("httpx_oauth2",)),
}


def make(setting: Setting, *names: str) -> dict[str, Tenants]:
    """Return those contestants of *names*, or of all, that can do what *setting* asks for, made for it."""
    if setting.library == "httpx":
        sys.modules["httpx2"] = None  # type: ignore[assignment]  # Authlib would take it instead
    return {
        name: contestant.new_tenants(setting)
        for name, contestant in CONTESTANTS.items()
        if name in (names or CONTESTANTS) and setting.client in contestant.clients and contestant.installed
    }
