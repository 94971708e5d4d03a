"""R24: mistakes of the first hour, and the words that the user needs to go on."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
import requests
import trustme
from clients.grants import find_leaks, secrets_of

import foxy_auth
from foxy_auth import PRODUCTION, Environment, FoxyAuth, OAuthClient, Token
from foxy_auth.emulator import Emulator
from foxy_auth.stores import FileStore, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ID, SECRET, REFRESH = "client_MadeUpIdMadeUp", "MadeUpSecretMadeUp", "MadeUpRefreshMadeUp"
TIMEOUT = 0.3  # seconds that nothing is to take


@dataclass
class Hour:
    """
    What a new user has: an OAuth client, a grant, a terminal.

    Attributes:
        foxy: The provider.

        setenv: Sets an environment variable.

        folder: An empty folder.
    """

    foxy: Emulator
    setenv: Callable[[str, str], None]
    folder: Path
    listeners: list[socket.socket] = field(default_factory=list)

    def auth(self, **options: Any) -> FoxyAuth:
        """Make an auth object for the provider, with a refresh token."""
        if not {"token", "refresh_token", "store"} & set(options):
            options["refresh_token"] = self.foxy.grant().refresh_token
        return FoxyAuth(
            **{
                "client_id": self.foxy.client_id,
                "client_secret": self.foxy.client_secret,
                "environment": self.foxy.environment,
                **options,
            }
        )

    def get(self, auth: Any, url: str = "") -> object:
        """Make a request by requests."""
        return requests.get(url or self.foxy.store_url, auth=auth, timeout=5)

    def client(self, **options: Any) -> OAuthClient:
        """Make an OAuth client."""
        settings = {"redirect_uri": self.foxy.redirect_uri, "environment": self.foxy.environment, **options}
        return OAuthClient(self.foxy.client_id, self.foxy.client_secret, **settings)

    def authorized(self, **changes: Any) -> Any:
        """Let the user authorize, and fetch the token, but for some *changes* of the response."""
        client = self.client()
        request = client.authorization_request("store_full_access", pkce=False)
        response = {"code": self.foxy.authorization_code(), "state": request.state, **changes}
        return client.fetch_token(
            {name: value for name, value in response.items() if value is not None}, request=request
        )

    def listen(self) -> str:
        """Return the address of somebody who listens and says nothing."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.listeners.append(listener)
        return f"127.0.0.1:{listener.getsockname()[1]}"

    def nobody(self) -> str:
        """Return an address where nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return f"127.0.0.1:{listener.getsockname()[1]}"

    def away(self, api: str, **options: Any) -> FoxyAuth:
        """Make an auth object for another place."""
        settings = {"client_id": ID, "client_secret": SECRET, "refresh_token": REFRESH}
        return FoxyAuth(**{**settings, "environment": Environment(api=api), "timeout": TIMEOUT, **options})


def made(**options: Any) -> Callable[[Hour], object]:
    """Return what makes an auth object with *options* of which one is wrong."""
    given: dict[str, Any] = {"client_id": ID, "client_secret": SECRET, "refresh_token": REFRESH, **options}
    return lambda _: FoxyAuth(**{name: value for name, value in given.items() if value is not ...})


def made_store(path: Any) -> Callable[[Hour], object]:
    """Return what makes a store at a *path* that is wrong."""
    return lambda _: FileStore(path)


def touched(hour: Hour) -> None:
    """Make the file before the store does."""
    (hour.folder / "t.json").touch(0o600)
    hour.auth(store=FileStore(hour.folder / "t.json")).get_token()


def closed(hour: Hour) -> None:
    """Give a client that is closed already."""
    with httpx.Client() as client:
        pass
    hour.auth(http=client).get_token()


class AsyncStore(MemoryStore):
    """A store whose methods are coroutines."""

    async def load(self) -> Token | None:  # type: ignore[override]
        """Load nothing."""


class ForeignRequest:
    """A request of a client that knows no such auth objects."""


def signed_unknown(hour: Hour) -> None:
    """Sign a request of an unknown client."""
    hour.auth()(ForeignRequest())


def awaited_sync(hour: Hour) -> None:
    """Await what is not async."""
    auth: Any = hour.auth()

    async def main() -> None:
        await auth.get_token()

    asyncio.run(main())


def not_awaited(hour: Hour) -> None:
    """Forget to await."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cast("Any", hour.auth().aget_token())
        gc.collect()
    raise RuntimeWarning(caught[0].message)


def used_code(hour: Hour) -> None:
    """Use a code twice."""
    code = hour.foxy.authorization_code()
    hour.authorized(code=code)
    hour.authorized(code=code)


def expired_code(hour: Hour) -> None:
    """Use a code after 30 seconds."""
    now = [0.0]
    with Emulator(clock=lambda: now[0]) as foxy:
        code = foxy.authorization_code()
        now[0] += 31.0
        replace(hour, foxy=foxy).authorized(code=code)


def denied(hour: Hour) -> None:
    """Let the user press Deny."""
    client = hour.client()
    request = client.authorization_request("store_full_access")
    client.fetch_token(hour.foxy.authorize(request.url, allow=False), request=request)


def wrong_scope(hour: Hour) -> None:
    """Ask for a scope that there is not."""
    client = hour.client()
    request = client.authorization_request("everything")
    client.fetch_token(hour.foxy.authorize(request.url), request=request)


def other_redirect(hour: Hour) -> None:
    """Exchange the code with another redirect URI than the registered one."""
    client = hour.client(redirect_uri="https://www.example.com/other")
    request = client.authorization_request("store_full_access", pkce=False)
    client.fetch_token(
        {"code": hour.foxy.authorization_code(redirect_uri=hour.foxy.redirect_uri), "state": request.state},
        request=request,
    )


def other_clients_token(hour: Hour) -> None:
    """Use the refresh token of another client."""
    client_id, client_secret = hour.foxy.register_client(client_id="client_Other", client_secret="OtherSecretOther")
    hour.auth(client_id=client_id, client_secret=client_secret).get_token()


def revoked(hour: Hour) -> None:
    """Use a grant that the user has revoked."""
    auth = hour.auth()
    hour.foxy.revoke_refresh_tokens()
    auth.get_token()


def answered(**response: Any) -> Callable[[Hour], object]:
    """Return what asks a token endpoint that answers so."""

    def ask(hour: Hour) -> object:
        hour.foxy.fail(**response)
        return hour.auth().get_token()

    return ask


def unresolved(hour: Hour) -> None:
    """Misspell the host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", _unknown)
        # At once, for a name that cannot be resolved is tried again.
        foxy_auth.Environment.discover("https://api.foxy.example")


def _unknown(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


def untrusted(library: str) -> Callable[[Hour], object]:
    """Return what meets a certificate of an unknown authority."""

    def discover(hour: Hour) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _authority().issue_cert("127.0.0.1").configure_cert(context)
        address = hour.listen()

        def serve() -> None:
            with suppress(OSError), hour.listeners[-1].accept()[0] as connection:
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("foxy_auth._libraries.LIBRARIES", (library,))
            try:
                Environment.discover(f"https://{address}")
            finally:
                thread.join(5)

    return discover


def behind_proxy(hour: Hour) -> None:
    """Name a proxy that is not there."""
    proxy = hour.nobody()
    hour.setenv("https_proxy", f"http://somebody:{SECRET}@{proxy}")
    hour.setenv("HTTPS_PROXY", f"http://somebody:{SECRET}@{proxy}")
    Environment.discover("https://api.foxy.example")


def unsigned(url: str, **options: Any) -> Callable[[Hour], object]:
    """Return what makes a request that passes unsigned, and is not sent."""

    def get(hour: Hour) -> object:
        auth = FoxyAuth(client_id=ID, client_secret=SECRET, refresh_token=REFRESH, environment=PRODUCTION, **options)
        return requests.Request("GET", url, auth=auth).prepare()

    return get


FOXY = "https://api.foxycart.com"
MISTAKES: dict[str, tuple[Callable[[Hour], object], tuple[str, ...]]] = {
    # The constructor
    "positional arguments": (
        lambda _: cast("Any", FoxyAuth)(ID, SECRET),
        ("by name only: client_id=…, client_secret=…",),
    ),
    "a misspelt argument": (made(clientid=ID), ("has no argument clientid", "client_id, client_secret")),
    "an empty secret": (made(client_secret=""), ("client_secret is empty", "Integrations")),
    "a secret with a newline": (made(client_secret=f"{SECRET}\n"), ("client_secret ends with a newline", "strip()")),
    "a secret after a space": (made(client_secret=f" {SECRET}"), ("client_secret begins with whitespace", "strip()")),
    "a secret in quotation marks": (
        made(client_secret=f'"{SECRET}"'),
        ("client_secret has quotation marks around it", "leave them out"),
    ),
    "a refresh token in quotation marks": (made(refresh_token=f"'{REFRESH}'"), ("refresh_token has quotation marks",)),
    "a secret as bytes": (made(client_secret=SECRET.encode()), ("client_secret takes text, not bytes",)),
    "a secret with a dash of a word processor": (made(client_secret=f"{SECRET}\N{EN DASH}"), ("printable ASCII",)),
    "a variable that is not set": (made(client_id=None), ("client_id takes text, not NoneType", "Integrations")),
    "id and secret swapped": (made(client_id=SECRET, client_secret=ID), ("swapped", "'client_'")),
    "no grant": (made(refresh_token=...), ("needs a grant", "refresh_token=…", "token=…", "store=…")),
    "an empty refresh token": (made(refresh_token=""), ("needs a grant", "refresh_token is empty")),
    "a refresh token with a newline": (made(refresh_token=f"{REFRESH}\r\n"), ("refresh_token ends with a newline",)),
    "a Token as refresh token": (made(refresh_token=Token("MadeUpAccess")), ("a Token goes into token=",)),
    "a dict as token": (
        made(token={"access_token": "MadeUpAccess"}),
        ("takes a Token, not dict", "Token.from_dict(…)"),
    ),
    "text as token": (made(token=REFRESH), ("takes a Token, not str", "refresh_token=")),
    "the class Token": (made(token=Token), ("the class Token itself", "Token.from_dict(…)")),
    "two refresh tokens": (made(token=Token("MadeUp", refresh_token="Another")), ("two different refresh tokens",)),
    "environment='sandbox'": (made(environment="sandbox"), ("takes SANDBOX", "from foxy_auth import SANDBOX")),
    "environment='production'": (made(environment="production"), ("takes PRODUCTION", "from foxy_auth import")),
    "an address as environment": (made(environment=FOXY), ("Environment(api=…)", "not str")),
    "the class Environment": (made(environment=Environment), ("the class Environment itself", "PRODUCTION")),
    "the module requests as http": (made(http=requests), ("the module requests itself", "requests.Session()")),
    "the class Session as http": (made(http=requests.Session), ("the class Session itself", "Session()")),
    "an async client as http": (made(http=httpx.AsyncClient()), ("httpx.Client", "give a synchronous client")),
    "the name of a library as http": (made(http="requests"), ("requests.Session", "not str")),
    "the class FileStore": (made(store=FileStore), ("the class FileStore itself", "store=FileStore(…)")),
    "a FileStore without path": (made_store(None), ("FileStore takes the path of a file, not NoneType",)),
    "a FileStore with an empty path": (made_store(""), ("FileStore takes the path of a file", "empty")),
    "a dict that is saved": (
        lambda hour: FileStore(hour.folder / "t.json").save(cast("Any", {"access_token": "MadeUpAccess"})),
        ("save takes a Token, not dict", "Token.from_dict(…)"),
    ),
    "a dict that is saved in memory": (
        lambda _: MemoryStore().save(cast("Any", {"access_token": "MadeUpAccess"})),
        ("save takes a Token, not dict",),
    ),
    "an empty file as record": (touched, ("t.json: the record is empty, and holds no grant; remove it",)),
    "an empty store, and no refresh token": (
        lambda hour: hour.auth(store=MemoryStore()).get_token(),
        ("MemoryStore is empty", "refresh_token=…", "FOXY_API_REFRESH_TOKEN"),
    ),
    "a path as store": (made(store="token.json"), ("load, save and lock", "FileStore(…) keeps it in a file")),
    "an async store": (made(store=AsyncStore()), ("plain functions", "threads")),
    "a store as on_token": (made(on_token=MemoryStore()), ("MemoryStore goes into store=",)),
    "what a function returned as on_token": (
        made(on_token="saved"),
        ("a function that is called with each new token",),
    ),
    "the timeouts of requests": (made(timeout=(3, 10)), ("timeout takes a number of seconds, not tuple",)),
    "a number as version": (made(api_version=1), ('api_version takes text such as "1"',)),
    "another grant type": (made(grant_type="password"), ("'refresh_token' or 'client_credentials'",)),
    # Addresses and variables
    "Environment: positional": (lambda _: cast("Any", Environment)(FOXY), ("by name only: api=…",)),
    "Environment: http": (lambda _: Environment(api="http://api.foxycart.com"), ("must be https",)),
    "Environment: no scheme": (lambda _: Environment(api="api.foxycart.com"), ("such as 'https://api.foxycart.com'",)),
    "Environment: changed": (lambda _: setattr(PRODUCTION, "api", FOXY), ("does not change", "replace")),
    "from_env: nothing set": (
        lambda _: FoxyAuth.from_env(),
        ("the environment variables FOXY_API_CLIENT_ID, FOXY_API_CLIENT_SECRET and FOXY_API_REFRESH_TOKEN",),
    ),
    "from_env: a file": (lambda _: FoxyAuth.from_env(cast("Any", ".env")), ("a mapping such as os.environ, not str",)),
    "from_env: http": (
        lambda _: FoxyAuth.from_env(
            {
                "FOXY_API_CLIENT_ID": ID,
                "FOXY_API_CLIENT_SECRET": SECRET,
                "FOXY_API_REFRESH_TOKEN": REFRESH,
                "FOXY_API_URL": "http://api.foxycart.com",
            }
        ),
        ("FOXY_API_URL", "must be https"),
    ),
    # Requests
    "the class as auth=": (
        lambda hour: hour.get(FoxyAuth),
        ("if you passed the class FoxyAuth itself, pass an object",),
    ),
    "the class as auth= of httpx": (
        lambda hour: httpx.get(hour.foxy.url, auth=cast("Any", FoxyAuth)),
        ("if you passed the class FoxyAuth itself, pass an object",),
    ),
    "from_env as auth=": (lambda hour: hour.get(FoxyAuth.from_env), ("if you passed from_env itself, call it",)),
    "the token as auth=": (lambda hour: hour.get(Token("MadeUp")), ("give auth= the FoxyAuth, and not its token",)),
    "the token as auth= of httpx": (
        lambda hour: httpx.get(hour.foxy.url, auth=cast("Any", Token("MadeUp"))),
        ("give auth= the FoxyAuth, and not its token",),
    ),
    "the OAuth client as auth=": (
        lambda hour: hour.get(hour.client()),
        ("an OAuthClient signs no requests", "client.auth(store=…)"),
    ),
    "a request of another library": (signed_unknown, ("requests, niquests, httpx and httpx2", "headers()")),
    "await get_token()": (awaited_sync, ("Token", "await")),
    "aget_token() without await": (not_awaited, ("aget_token", "never awaited")),
    "the sandbox with a token of production": (
        unsigned("https://api-sandbox.foxycart.com/stores/1?code=MadeUpCode"),
        ("https://api-sandbox.foxycart.com is not signed", "for https://api.foxycart.com", "environment=SANDBOX"),
    ),
    "the API by http": (unsigned("http://api.foxycart.com/"), ("http://api.foxycart.com is not signed", "https")),
    "another host": (unsigned("https://api.foxy.example/"), ("https://api.foxy.example is not signed",)),
    # The token endpoint
    "another client's secret": (
        lambda hour: hour.auth(client_secret=SECRET).get_token(),
        ("/token refuses the client client_", "invalid_client", "sandbox and production have different clients"),
    ),
    "another client's id": (
        lambda hour: hour.auth(client_id=ID).get_token(),
        (ID, "/token", "check client_id, client_secret and environment"),
    ),
    "another client's refresh token": (
        other_clients_token,
        ("/token refuses the refresh token", "another client's", "sandbox or production", "authorize again"),
    ),
    "an access token as refresh token": (
        lambda hour: hour.auth(refresh_token=hour.foxy.grant().access_token).get_token(),
        ("/token refuses the refresh token", "of another kind, such as an access token or a code"),
    ),
    "a revoked grant": (revoked, ("revoked or has expired", "authorize again")),
    "an access token without refresh token": (
        lambda hour: hour.auth(token=Token("MadeUp", expires_at=1.0)).get_token(),
        ("no refresh token", "authorize again"),
    ),
    "a page of HTML": (answered(status=200, body="<html>"), ("/token gave no usable response", "check its address")),
    "an address without token endpoint": (answered(status=404), ("/token", "(404)", "check its address")),
    "a token endpoint that redirects": (answered(status=302), ("redirects", "secrets are not sent elsewhere")),
    "a maintenance": (answered(status=503, headers={"Retry-After": "9999"}), ("/token is unavailable (503)", "later")),
    "a scope that the client may not have": (
        answered(status=400, body={"error": "invalid_scope"}),
        ("invalid_scope", "ask for a scope that this client may have"),
    ),
    "a client that may not ask": (
        answered(status=400, body={"error": "unauthorized_client"}),
        ("unauthorized_client", "check grant_type"),
    ),
    # The network
    "a misspelt host": (unresolved, ("api.foxy.example could not be resolved", "Name or service", "FOXY_API_URL")),
    "a server that is down": (
        lambda hour: Environment.discover(f"http://{hour.nobody()}"),
        ("could not be reached", "Connection refused", "FOXY_API_URL"),
    ),
    "a server that hangs": (
        lambda hour: hour.away(f"http://{hour.listen()}").get_token(),
        ("/token did not answer in time", "timeout="),
    ),
    "a closed client as http": (closed, ("the client has been closed", "check the client given as http=")),
    "https where there is none": (
        lambda hour: Environment.discover(hour.foxy.url.replace("http:", "https:")),
        ("no TLS connection to 127.0.0.1", "scheme and port"),
    ),
    "a certificate of the company's own": (
        untrusted("requests"),
        ("certificate of 127.0.0.1", "local issuer", "REQUESTS_CA_BUNDLE", "http="),
    ),
    "the same, by httpx": (untrusted("httpx"), ("certificate of 127.0.0.1", "local issuer", "SSL_CERT_FILE", "http=")),
    "a proxy that is down": (behind_proxy, ("proxy 127.0.0.1:", "https_proxy", "Connection refused", "NO_PROXY")),
    # The first token
    "OAuthClient: positional": (
        lambda _: cast("Any", OAuthClient)(ID, SECRET, FOXY),
        ("by name only: redirect_uri=…",),
    ),
    "no redirect URI": (
        lambda _: OAuthClient(ID, SECRET).fetch_token({}, request=None),
        ("redirect_uri", "registered"),
    ),
    "another redirect URI": (other_redirect, ("redirect_uri must be exactly what was registered",)),
    "a list of scopes": (
        lambda hour: hour.client().authorization_request(cast("Any", ["store_full_access"])),
        ("scope takes text such as 'store_full_access'",),
    ),
    "a scope that there is not": (wrong_scope, ("invalid_scope", "confirm that the scope")),
    "an expired code": (expired_code, ("has expired", "begin a new authorization")),
    "a code that was used": (used_code, ("the code was refused", "begin a new authorization")),
    "no code": (lambda hour: hour.authorized(code=None), ("no code", "new authorization")),
    "no state": (lambda hour: hour.authorized(state=None), ("state", "begin a new authorization")),
    "another state": (lambda hour: hour.authorized(state="MadeUp"), ("state", "may be forged")),
    "a lost session": (
        lambda hour: hour.client().fetch_token({"code": "MadeUpCode", "state": "x"}, request=None),
        ("session may also have expired", "begin a new authorization"),
    ),
    "the request as third argument": (
        lambda hour: cast("Any", hour.client().fetch_token)({}, {}),
        ("by name only: request=…",),
    ),
    "the user said no": (denied, ("access_denied", "not possible without access")),
}


@pytest.fixture(scope="module")
def foxy() -> Iterator[Emulator]:
    """Give one Foxy for all mistakes."""
    with Emulator() as foxy:
        yield foxy


@pytest.fixture
def hour(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hour]:
    """Give what a new user has."""
    hour = Hour(foxy, monkeypatch.setenv, tmp_path)
    yield hour
    for listener in hour.listeners:
        listener.close()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_explained(name: str, hour: Hour, caplog: pytest.LogCaptureFixture) -> None:
    """R23, R24: what a new user does wrong is said in words that tell what to do, and without any secret."""
    caplog.set_level(logging.DEBUG)
    mistake, words = MISTAKES[name]
    told = ""
    try:
        mistake(hour)
    except Exception as error:  # noqa: BLE001 - whatever it is, its words count
        told = str(error)
    told += "".join(record.getMessage() for record in caplog.records if record.name == "foxy_auth")

    assert [word for word in words if word not in told] == [], told
    assert find_leaks([*secrets_of(hour.foxy), SECRET, REFRESH, "MadeUpCode"], told) == []
