"""What users write, for the type checkers; never run. Every public name is used here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, assert_type

import httpx
import httpx2
import pytest
import redis
import requests
import sqlalchemy

from foxy_auth import (
    CLIENT_FULL_ACCESS,
    FOXY_IO,
    PRODUCTION,
    SANDBOX,
    STORE_FULL_ACCESS,
    USER_FULL_ACCESS,
    AuthMethod,
    AuthorizationError,
    AuthorizationRequest,
    Created,
    Environment,
    FoxyAuth,
    FoxyAuthError,
    GrantType,
    HttpClient,
    LoginRequiredError,
    OAuthClient,
    Registration,
    RegistrationError,
    StoreError,
    Token,
    TokenRefusedError,
    TokenUnavailableError,
    acreate_integration,
    acreate_store,
    acreate_user,
    aregister_client,
    create_integration,
    create_store,
    create_user,
    new_client_id,
    register_client,
)
from foxy_auth.emulator import Call, Emulator, Latch
from foxy_auth.stores import FileStore, KeyringStore, MemoryStore, RedisStore, SQLAlchemyStore, TokenStore
from foxy_auth.testing import FoxyClock, SharedStoreContract, StoreContract


def keep(token: Token) -> None:
    """Save a token."""
    assert_type(token.access_token, str)
    assert_type(token.refresh_token, str | None)
    assert_type(token.expires_at, float | None)
    assert_type(token.obtained_at, float | None)
    assert_type(token.scopes, frozenset[str])
    assert_type(token.store_id, str | None)
    assert_type(token.expires_in, float | None)
    assert_type(Token.from_dict(token.to_dict()), Token)


async def keep_async(token: Token) -> None:
    """Save a token in async code."""
    keep(token)


class OwnAuth(FoxyAuth):
    """A subclass."""


def auth_of_ones_own(
    store: TokenStore,
    http: HttpClient | None = None,
    *,
    client_auth_method: AuthMethod = "client_secret_basic",
    grant_type: GrantType = "refresh_token",
) -> FoxyAuth:
    """Wrap the constructor, with the types of its arguments."""
    return FoxyAuth.from_env(store=store, http=http, client_auth_method=client_auth_method, grant_type=grant_type)


class OwnSession(requests.Session):
    """A session, as CacheControl and requests-cache have it."""


def token_clients(store: TokenStore, session: OwnSession) -> None:
    """Pass every client that can make token requests."""
    auth_of_ones_own(store)
    clients: list[HttpClient] = [requests.Session(), session, httpx.Client(), httpx2.Client()]
    for http in clients:
        auth_of_ones_own(store, http)
        OAuthClient("id", "secret", http=http)
        Environment.discover("https://api.foxycart.com", http=http)


def construction(session: requests.Session, client: httpx.Client) -> None:
    """Make auth objects from credentials, a token, the process's environment."""
    FoxyAuth(client_id="id", client_secret="secret", refresh_token="refresh", on_token=keep)
    FoxyAuth(
        client_id="id", client_secret="secret", token=Token(access_token="access"), on_token=keep_async, http=session
    )
    FoxyAuth(
        client_id="id",
        client_secret="secret",
        refresh_token="refresh",
        environment=Environment(
            api="http://127.0.0.1:8000", token_endpoint="http://127.0.0.1:8000/token", issuer="http://127.0.0.1:8000"
        ),
        api_version="1",
        http=client,
        timeout=5,
        refresh_ahead=600.0,
        leeway=30,
    )
    assert_type(FoxyAuth.from_env(), FoxyAuth)
    assert_type(OwnAuth.from_env(), OwnAuth)
    assert_type(OAuthClient.from_env(redirect_uri="https://x.example", http=client), OAuthClient)
    assert_type(OwnAuth.from_env().for_token(Token("access")), FoxyAuth)
    for environment in (PRODUCTION, FOXY_IO, SANDBOX):
        assert_type(environment, Environment)


def stores(client: redis.Redis, engine: sqlalchemy.Engine) -> None:
    """Save the token where other processes find it too."""
    kept: list[TokenStore] = [
        MemoryStore(),
        FileStore("token.json", encryption_key=[b"new", b"old"]).for_key("store-123"),
        KeyringStore("program", "ann", lock_path="lock", limit=1000).for_key("store-123"),
        RedisStore(client, "foxy", lease=5, encryption_key="key").for_key("store-123"),
        RedisStore(redis.Redis, "foxy"),
        SQLAlchemyStore(engine, "store-123", table="shop.tokens", encryption_key=b"key").for_key("store-124"),
        SQLAlchemyStore(lambda: engine),
    ]
    for store in kept:
        with store.lock(1.0):
            assert_type(store.load(), Token | None)
            store.save(Token("access"))
            store.delete()
        FoxyAuth(client_id="id", client_secret="secret", store=store)
    table = SQLAlchemyStore(engine)
    table.create_table()
    assert_type(table.table, sqlalchemy.Table)


class OwnStore:
    """Save the token in one's own way."""

    def load(self) -> Token | None:
        """Read it."""

    def save(self, token: Token) -> None:
        """Write it."""

    def delete(self) -> None:
        """Remove it."""

    def lock(self, timeout: float) -> AbstractContextManager[object]:
        """Exclude the others."""
        return nullcontext()


class OwnStorePasses(SharedStoreContract):
    """Test it."""

    freed_within = 5

    @pytest.fixture
    def make_store(self) -> Callable[[str], OwnStore]:
        """Make it."""
        return lambda _: OwnStore()


class OwnStoreOfOneProcessPasses(StoreContract):
    """Test one that processes do not share."""


def own_store() -> TokenStore:
    """Pass it where a store is expected."""
    return OwnStore()


def sync_clients(auth: FoxyAuth) -> None:
    """Pass one object to every sync client that takes one, for one request or for all."""
    requests.get("https://api.foxycart.com/", auth=auth, timeout=10)
    session = requests.Session()
    session.auth = auth
    session.post("https://api.foxycart.com/", auth=auth)
    assert_type(auth(requests.PreparedRequest()), requests.PreparedRequest)
    httpx.get("https://api.foxycart.com/", auth=auth)
    client = httpx.Client(auth=auth)
    client.auth = auth
    client.get("https://api.foxycart.com/", auth=auth)
    httpx2.get("https://api.foxycart.com/", auth=auth)
    client2 = httpx2.Client(auth=auth)
    client2.auth = auth
    client2.get("https://api.foxycart.com/", auth=auth)


async def async_clients(auth: FoxyAuth) -> None:
    """Pass it to every async one."""
    client = httpx.AsyncClient(auth=auth)
    client.auth = auth
    await client.get("https://api.foxycart.com/", auth=auth)
    client2 = httpx2.AsyncClient(auth=auth)
    client2.auth = auth
    await client2.get("https://api.foxycart.com/", auth=auth)


async def tokens(auth: FoxyAuth) -> None:
    """Ask for tokens and headers without a client."""
    assert_type(auth.token, Token | None)
    assert_type(auth.get_token(), Token)
    assert_type(await auth.aget_token(), Token)
    assert_type(auth.refresh(), Token)
    assert_type(await auth.arefresh(), Token)
    assert_type(auth.headers(), dict[str, str])
    assert_type(await auth.aheaders(), dict[str, str])
    auth.flush()
    await auth.aflush()
    with auth as same:
        assert_type(same, FoxyAuth)
    async with auth as same:
        assert_type(same, FoxyAuth)
    auth.close()
    await auth.aclose()
    auth.logout()
    await auth.alogout()


async def flows(callback: str, query: dict[str, list[str]]) -> None:
    """Go through the flows that bring the first token."""
    client = OAuthClient(
        "id",
        "secret",
        redirect_uri="https://shop.example/callback",
        environment=SANDBOX,
        client_auth_method="client_secret_post",
        http=requests.Session(),
        timeout=5,
    )
    request = client.authorization_request(STORE_FULL_ACCESS, pkce=False)
    assert_type(request, AuthorizationRequest)
    assert_type(request.url, str)
    assert_type(request.state, str)
    assert_type(request.code_verifier, str | None)
    assert_type(request.client_id, str)
    assert_type(request.redirect_uri, str | None)
    assert_type((request.authorization_endpoint, request.token_endpoint), tuple[str, str])
    assert_type(request.to_dict(), dict[str, str | None])
    assert_type(AuthorizationRequest.from_dict(request.to_dict()), AuthorizationRequest)
    session: dict[str, Any] = {"foxy": request.to_dict()}
    try:
        token = client.fetch_token(callback, request=session.pop("foxy", None))
    except AuthorizationError as error:
        assert_type(error.error, str)
        assert_type(error.description, str | None)
        token = await client.afetch_token(query, request=request)
    assert_type(token, Token)
    assert_type(client.refresh_token(token), Token)
    assert_type(await client.arefresh_token(token), Token)
    assert_type(client.client_credentials(), Token)
    assert_type(await client.aclient_credentials(CLIENT_FULL_ACCESS), Token)
    assert_type(client.auth(token, on_token=keep), FoxyAuth)
    assert_type(FoxyAuth.from_client_credentials(client, on_token=keep), FoxyAuth)
    client.authorization_request(f"{USER_FULL_ACCESS} {STORE_FULL_ACCESS}", send_redirect_uri=True)


async def registration() -> None:
    """Register a client, and create a user, a store and an integration, each by the token of the one before."""
    registration = register_client(
        client_id=new_client_id("widgetsco"),
        redirect_uri="https://shop.example/callback",
        project_name="Widgets",
        company_name="Widgets & Co",
        contact_name="Ann",
        contact_email="ann@example.com",
        contact_phone="1",
        on_token=keep,
        environment=Environment.discover("https://api.foxycart.com"),
    )
    assert_type(registration, Registration)
    assert_type(registration.client, OAuthClient)
    assert_type(registration.url, str | None)
    assert_type(registration.to_dict(), dict[str, Any])
    kept = Registration.from_dict(registration.to_dict(), on_token=keep, store=MemoryStore(), http=httpx.Client())
    assert_type(kept, Registration)
    user = create_user(registration.auth, first_name="Ann", last_name="Lee", email="ann@example.com", on_token=keep)
    assert_type(user, Created)
    assert_type(user.token, Token)
    assert_type(user.auth, FoxyAuth)
    store = create_store(
        user.auth,
        store_name="Shop",
        store_domain="shop",
        store_url="https://shop.example",
        store_email="ann@shop.example",
        postal_code="55401",
        region="MN",
        country="US",
        timezone="America/Chicago",
    )
    try:
        assert_type(create_integration(store.auth, project_name="Widgets", on_token=keep_async), Registration)
    except RegistrationError as error:
        assert_type(error.messages, tuple[str, ...])
        assert_type(error.status, int)


async def registration_without_blocking(auth: FoxyAuth) -> None:
    """Do the same on an event loop."""
    registration = await aregister_client(
        environment=await Environment.adiscover("https://api.foxycart.com"),
        redirect_uri="https://shop.example/callback",
        project_name="Widgets",
        company_name="Widgets & Co",
        contact_name="Ann",
        contact_email="ann@example.com",
        contact_phone="1",
    )
    assert_type(registration, Registration)
    user = await acreate_user(registration.auth, first_name="Ann", last_name="Lee", email="ann@example.com")
    assert_type(user, Created)
    store = await acreate_store(
        user.auth,
        store_name="Shop",
        store_domain="shop",
        store_url="https://shop.example",
        store_email="ann@shop.example",
        postal_code="55401",
        region="MN",
        country="US",
    )
    assert_type(store, Created)
    assert_type(await acreate_integration(auth, project_name="Widgets"), Registration)


def errors(auth: FoxyAuth) -> None:
    """Tell the errors apart."""
    try:
        auth.refresh()
    except LoginRequiredError as error:
        assert_type(error.error, str | None)
        assert_type(error.description, str | None)
    except TokenRefusedError as error:
        assert_type(error.error, str)
        assert_type(error.status, int)
    except TokenUnavailableError as error:
        assert_type(error.retry_after, float | None)
    except (StoreError, FoxyAuthError):
        raise


def emulator() -> None:
    """Run a Foxy on loopback."""
    with FoxyClock() as clock, Emulator(control_token="FakeControlToken") as foxy:
        clock.advance(7200)
        assert_type(clock.now, float)
        foxy.serve("/stores/1/transactions", [{"id": 1}, {"id": 2}])
        foxy.serve("/stores/1/transactions", lambda request: {"method": request.method}, rel="fx:orders", limit=5)
        assert_type(foxy.variables("user_full_access"), dict[str, str])
        assert_type(foxy, Emulator)
        assert_type(foxy.environment, Environment)
        assert_type(foxy.grant("store_full_access"), Token)
        assert_type(foxy.calls, list[Call])
        assert_type(foxy.hold(), Latch)
