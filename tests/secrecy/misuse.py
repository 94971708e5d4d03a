"""Rows: secrets in the wrong place, and authorizations that fail before any token request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import httpx
import redis
import redis.asyncio
import requests
import sqlalchemy
from redis.backoff import NoBackoff
from redis.retry import Retry
from secrecy.made_up import CLIENT_ID, secret
from secrecy.provider import closed_port
from secrecy.world import ECHOES, REDIRECT_URI, Row, World
from support.keyrings import FileKeyring

import foxy_auth
from foxy_auth import AuthorizationError, AuthorizationRequest, Environment, FoxyAuth, OAuthClient, Token
from foxy_auth.stores import FileStore, KeyringStore, MemoryStore, RedisStore, SQLAlchemyStore

WRONG = (TypeError, ValueError)
Wrong = Callable[[], dict[str, Any]]  # no variable of these tests holds a secret, so that any in a frame counts
WITH_NEWLINE = "\n"


def _text() -> Any:
    """Return what is put where something else is expected."""
    return secret("access token")


def _dict() -> Any:
    return {"access_token": secret("access token"), "refresh_token": secret("refresh token")}


def _misuse(name: str, act: Callable[[World], Any], *covers: str) -> Row:
    return Row(f"wrong use of {name}", act, WRONG, covers)


def _of_arguments(name: str, call: Callable[[Wrong], Any], wrong: dict[str, Callable[[], Any]]) -> list[Row]:
    """Pass one wrong argument after the other."""

    def row(argument: str, value: Callable[[], Any]) -> Row:
        parameter = argument.partition(" ")[0]
        return _misuse(f"{name}: {argument}", lambda _: call(lambda: {parameter: value()}), name)

    return [row(argument, value) for argument, value in wrong.items()]


def _auth(wrong: Wrong) -> object:
    return FoxyAuth(
        **{
            "client_id": CLIENT_ID,
            "client_secret": secret("client secret"),
            "refresh_token": secret("refresh token"),
            **wrong(),
        }
    )


def _client(wrong: Wrong) -> object:
    return OAuthClient(**{"client_id": CLIENT_ID, "client_secret": secret("client secret"), **wrong()})


def _token(wrong: Wrong) -> object:
    return Token(**{"access_token": secret("access token"), "refresh_token": secret("refresh token"), **wrong()})


def _token_dict(wrong: Wrong) -> object:
    return Token.from_dict({**_dict(), **wrong()})


def _settings(wrong: Wrong) -> object:
    return FoxyAuth.from_env(
        {
            "FOXY_API_CLIENT_ID": CLIENT_ID,
            "FOXY_API_CLIENT_SECRET": secret("client secret"),
            "FOXY_API_REFRESH_TOKEN": secret("refresh token"),
            **{name: value for name, value in wrong().items() if name.isupper()},
        },
        **{name: value for name, value in wrong().items() if not name.isupper()},
    )


def _client_settings(wrong: Wrong) -> object:
    return OAuthClient.from_env(
        {"FOXY_API_CLIENT_ID": CLIENT_ID, "FOXY_API_CLIENT_SECRET": secret("client secret"), **wrong()}
    )


class _AsyncStore(MemoryStore):
    async def load(self) -> Token:  # type: ignore[override]
        return Token(secret("access token"))


CREDENTIALS: dict[str, Callable[[], Any]] = {
    "client_id": lambda: f"{secret('client secret')}:",
    "client_secret with a newline": lambda: secret("client secret") + WITH_NEWLINE,
    "client_secret as bytes": lambda: secret("client secret").encode(),
    "client_auth_method": _text,
    "api_version": _text,
    "api_version as bytes": lambda: secret("access token").encode(),
    "environment": _text,
    "http": _text,
    "timeout": _text,
    "timeout without end": lambda: float("inf"),
}

ARGUMENTS = [
    *_of_arguments(
        "FoxyAuth",
        _auth,
        {
            **CREDENTIALS,
            "refresh_token with a newline": lambda: secret("refresh token") + WITH_NEWLINE,
            "refresh_token as bytes": lambda: secret("refresh token").encode(),
            "refresh_token as a token": lambda: Token(secret("access token")),
            "token": _text,
            "token as a dict": _dict,
            "token of another grant": lambda: Token("x", refresh_token=secret("new refresh token")),
            "on_token": _text,
            "store": _text,
            "store as a class": lambda: MemoryStore,
            "store with coroutines": _AsyncStore,
            "refresh_token is missing": lambda: None,
            "grant_type": _text,
            "refresh_ahead": _text,
            "leeway": _text,
        },
    ),
    *_of_arguments("OAuthClient", _client, {**CREDENTIALS, "redirect_uri": lambda: secret("client secret").encode()}),
    *_of_arguments(
        "Token",
        _token,
        {
            "access_token with a newline": lambda: secret("access token") + WITH_NEWLINE,
            "access_token as bytes": lambda: secret("access token").encode(),
            "refresh_token as bytes": lambda: secret("refresh token").encode(),
            "refresh_token with a surrogate": lambda: secret("refresh token") + "\ud800",
            "expires_at": _text,
            "obtained_at": lambda: float("nan"),
            "scope": lambda: [secret("code")],
            "token_type": lambda: None,
        },
    ),
    *_of_arguments(
        "Token.from_dict",
        _token_dict,
        {
            "access_token with a newline": lambda: secret("access token") + WITH_NEWLINE,
            "access_token as a list": lambda: [secret("access token")],
            "refresh_token as a number": lambda: 7,
            "expires_at": _text,
            "obtained_at": lambda: [secret("access token")],
            "scope": lambda: 7,
        },
    ),
    *_of_arguments(
        "FoxyAuth.from_env",
        _settings,
        {
            "FOXY_API_CLIENT_SECRET": lambda: f"{secret('client secret')}\n{secret('code')}",
            "FOXY_API_REFRESH_TOKEN": lambda: "",
            "FOXY_API_URL": lambda: f"https://somebody:{secret('client secret')}@example.com",
            "token": _text,
            "http": _text,
        },
    ),
    *_of_arguments(
        "OAuthClient.from_env",
        _client_settings,
        {
            "FOXY_API_CLIENT_SECRET": lambda: f"{secret('client secret')}\n{secret('code')}",
            "FOXY_API_URL": lambda: f"https://somebody:{secret('client secret')}@example.com",
        },
    ),
]


def _verify(world: World, response: Callable[[], Any], **changes: Any) -> Any:
    """Take a response to the kept request, in which some values are other ones."""
    return world.client().fetch_token(response(), request=world.request(**changes))


def _answered(echo: Callable[[str], str] = str, **parameters: str) -> Callable[[], Any]:
    """Return what answers with state and code, and with *parameters*, in which it repeats them."""

    def response() -> dict[str, str]:
        said = f"not {echo(secret('state'))} nor {echo(secret('code'))}"
        told = {name: value or said for name, value in parameters.items()}
        return {"state": secret("state"), "code": secret("code"), **told}

    return response


def _stateless() -> dict[str, str]:
    description = "The state parameter is required"
    return {"code": secret("code"), "error": "invalid_request", "error_description": description}


def _url(*names: str, more: str = "") -> Callable[[], str]:
    """Return what answers with an address that has the secrets *names* in its query."""
    return lambda: f"{REDIRECT_URI}?{httpx.QueryParams({name: secret(name) for name in names})}{more}"


AUTHORIZATIONS: dict[str, Callable[[World], Any]] = {
    "another state": lambda world: _verify(world, lambda: {"code": secret("code"), "state": secret("code verifier")}),
    "no state": lambda world: _verify(world, _url("code")),
    "a lost request": lambda world: world.client().fetch_token(_answered()(), request=None),
    "a request of another client": lambda world: _verify(world, _answered(), client_id="another"),
    "a request of another environment": lambda world: _verify(world, _answered(), token_endpoint="https://example.com"),
    "another issuer": lambda world: _verify(world, _answered(iss="")),
    "a repeated code": lambda world: _verify(world, lambda: {"code": [secret("code")] * 2, "state": secret("state")}),
    "a repeated state": lambda world: _verify(world, _url("code", "state", more="&state=other")),
    "no code": lambda world: _verify(world, _url("state")),
    "a broken code": lambda world: _verify(
        world, lambda: {"code": f"{secret('code')}\ud800", "state": secret("state")}
    ),
    "access denied": lambda world: _verify(world, _url("state", more="&error=access_denied")),
    "a missing state": lambda world: _verify(world, _stateless),
    "state and code as the error": lambda world: _verify(world, _answered(error="")),
    **{
        f"state and code {name}": lambda world, echo=echo: _verify(  # type: ignore[misc]
            world, _answered(echo, error="access_denied", error_description="")
        )
        for name, echo in ECHOES.items()
    },
}
ASYNC_AUTHORIZATIONS: dict[str, Callable[[World], Any]] = {
    "another state": lambda world: world.client().afetch_token(
        {"code": secret("code"), "state": secret("code verifier")}, request=world.request()
    ),
    "wrong use": lambda world: world.client().afetch_token(_bytes(), request=world.request()),
}


def _bytes() -> Any:
    return secret("code").encode()


def _encrypted(make: Callable[[World, Callable[[], Any]], Any], kind: str) -> list[Row]:
    keys: dict[str, Callable[[], Any]] = {
        "half a key": lambda: secret("encryption key")[:-4],
        "a list with half a key": lambda: [secret("encryption key"), secret("other encryption key")[:-4]],
        "a dict": lambda: {secret("encryption key"): 1},
    }

    def row(name: str, key: Callable[[], Any]) -> Row:
        return _misuse(f"{kind}: {name}", lambda world: make(world, key), kind)

    return [row(name, key) for name, key in keys.items()]


def _engine(world: World) -> Any:
    return sqlalchemy.create_engine(f"sqlite:///{world.folder}/never.db")


def _redis() -> Any:
    return redis.Redis()


STORES = [
    *_encrypted(lambda world, key: FileStore(world.folder / "token", encryption_key=key()), "FileStore"),
    *_encrypted(lambda _, key: RedisStore(_redis(), "shop", encryption_key=key()), "RedisStore"),
    *_encrypted(lambda world, key: SQLAlchemyStore(_engine(world), encryption_key=key()), "SQLAlchemyStore"),
    _misuse("FileStore: long name", lambda world: FileStore(world.folder / (_text() + _text()[:50]).replace("/", "x"))),
    _misuse("RedisStore: async client", lambda _: RedisStore(redis.asyncio.Redis(), "shop")),  # type: ignore[arg-type]
    _misuse("RedisStore: key", lambda _: RedisStore(_redis(), f"{_text()}\n")),
    _misuse("RedisStore: endless lease", lambda _: RedisStore(_redis(), "shop", lease=float("inf"))),
    _misuse("SQLAlchemyStore: in memory", lambda _: SQLAlchemyStore(sqlalchemy.create_engine("sqlite://"))),
    _misuse("FileStore: text for a path", lambda _: FileStore(_dict()), "FileStore"),
    _misuse("RedisStore: text for a client", lambda _: RedisStore(_text(), "shop"), "RedisStore"),
    _misuse("RedisStore: lease", lambda _: RedisStore(_redis(), "shop", lease=_text()), "RedisStore"),
    _misuse("SQLAlchemyStore: text for an engine", lambda _: SQLAlchemyStore(_text()), "SQLAlchemyStore"),
    _misuse("KeyringStore: dict for a user", lambda _: KeyringStore("made-up", _dict()), "KeyringStore"),
    _misuse("FileStore.for_key", lambda world: FileStore(world.folder / "a").for_key(_text()), "FileStore.for_key"),
    _misuse("MemoryStore.for_key", lambda world: MemoryStore(world.token()).for_key(_text()), "MemoryStore.for_key"),
    _misuse("RedisStore.for_key", lambda _: RedisStore(_redis(), "shop").for_key(_text() + "\n"), "RedisStore.for_key"),
    _misuse(
        "SQLAlchemyStore.for_key",
        lambda world: SQLAlchemyStore(_engine(world)).for_key(_text() + "\n"),
        "SQLAlchemyStore.for_key",
    ),
    _misuse("KeyringStore.for_key", lambda world: _keyring(world).for_key(_text()), "KeyringStore.for_key"),
]
# Something else than a token to save: whoever wrote that meets an error of Python's.
NO_TOKEN = [
    Row("FileStore.save: a dict", lambda world: FileStore(world.folder / "a").save(_dict()), Exception),
    Row("SQLAlchemyStore.save: a dict", lambda world: SQLAlchemyStore(_engine(world)).save(_dict()), Exception),
    Row("KeyringStore.save: a dict", lambda world: _keyring(world).save(_dict()), Exception),
    Row("RedisStore.save: text", lambda _: RedisStore(_redis_away(), "shop").save(_text()), Exception),
]


def _redis_away() -> Any:
    return redis.Redis(port=closed_port(), retry=Retry(NoBackoff(), 0))


def _keyring(world: World) -> KeyringStore:
    return KeyringStore("made-up", "shop", backend=FileKeyring(world.folder / "k"), lock_path=world.folder / "lock")


def _refused_attribute(name: str, make: Callable[[World], Any]) -> Row:
    """Set an attribute of a value that does not change."""
    attribute = name.rpartition(".")[2]
    return Row(f"wrong use of {name}: set", lambda world: setattr(make(world), attribute, _text()), AttributeError)


def _request(world: World) -> Any:
    return requests.Request("GET", world.api_url)


async def _in_another_library(world: World) -> None:
    flow = world.auth(left=7200.0).async_auth_flow(_request(world))
    await anext(flow)


METHODS = [
    _misuse("refresh", lambda world: world.auth().refresh(_text()), "FoxyAuth.refresh"),
    _misuse("arefresh", lambda world: world.auth().arefresh(_dict()), "FoxyAuth.arefresh"),
    _misuse("for_token", lambda world: world.auth().for_token(_dict()), "FoxyAuth.for_token"),
    _misuse("for_token: on_token", lambda world: world.auth().for_token(world.token(), on_token=_text())),
    _misuse(
        "from_client_credentials",
        lambda _: FoxyAuth.from_client_credentials(_text()),
        "FoxyAuth.from_client_credentials",
    ),
    _misuse(
        "from_client_credentials: token",
        lambda world: FoxyAuth.from_client_credentials(world.client(), token=_text()),
        "FoxyAuth.from_client_credentials",
    ),
    _misuse("__call__", lambda world: world.auth().__call__(7), "FoxyAuth.__call__"),
    _misuse(
        "sync_auth_flow", lambda world: next(world.auth().sync_auth_flow(_request(world))), "FoxyAuth.sync_auth_flow"
    ),
    _misuse("async_auth_flow", _in_another_library, "FoxyAuth.async_auth_flow"),
    _misuse("refresh_token", lambda world: world.client().refresh_token(_text()), "OAuthClient.refresh_token"),
    _misuse("arefresh_token", lambda world: world.client().arefresh_token(_text()), "OAuthClient.arefresh_token"),
    _misuse("refresh_token: unsendable", lambda world: world.client().refresh_token(_dict())),
    _misuse("auth", lambda world: world.client().auth(_text()), "OAuthClient.auth"),
    _misuse("auth: on_token", lambda world: world.client().auth(world.token(), on_token=_text())),
    _misuse("auth: store", lambda world: world.client().auth(world.token(), store=_text())),
    _misuse("fetch_token: bytes", lambda world: _verify(world, _bytes), "OAuthClient.fetch_token"),
    _misuse(
        "fetch_token: half a request",
        lambda world: world.client().fetch_token({}, request={"state": secret("state")}),
        "AuthorizationRequest.from_dict",
    ),
    _misuse(
        "AuthorizationRequest.from_dict: bytes",
        lambda world: AuthorizationRequest.from_dict(world.request(code_verifier=_bytes())),
        "AuthorizationRequest.from_dict",
    ),
    _misuse(
        "AuthorizationRequest: a list",
        lambda world: AuthorizationRequest(**world.request(state=[secret("state")])),
        "AuthorizationRequest",
    ),
    _misuse("fetch_token: state", lambda world: world.client().fetch_token({}, request=_bytes())),
    _misuse(
        "fetch_token: on_token",
        lambda world: world.client().fetch_token({}, request=world.request(), on_token=_text()),
    ),
    _misuse(
        "fetch_token: redirect_uri",
        lambda world: world.client(redirect_uri=None).fetch_token(_answered()(), request=world.request()),
    ),
    _misuse(
        "authorization_request",
        lambda world: world.client().authorization_request(""),
        "OAuthClient.authorization_request",
    ),
    _misuse(
        "Environment", lambda _: Environment(api=f"https://u:{secret('client secret')}@example.com"), "Environment"
    ),
    _misuse("Environment: plain http", lambda _: Environment(api=f"http://{secret('code')[:9]}.com"), "Environment"),
    _misuse("Environment: query", lambda _: Environment(api=f"https://example.com?{secret('code')}"), "Environment"),
    _misuse("Environment: not ASCII", lambda _: Environment(api=f"https://ä.com/{secret('code')}"), "Environment"),
    _refused_attribute("Environment.api", lambda world: world.environment),
    _refused_attribute("Token.access_token", lambda world: world.token()),
    _refused_attribute("AuthorizationRequest.state", lambda world: AuthorizationRequest(**world.request())),
    _misuse("Environment: bytes", lambda _: Environment(api=_bytes()), "Environment"),
    _misuse("replace", lambda world: world.environment.replace(origins=_text()), "Environment.replace"),
    _misuse(
        "discover", lambda _: Environment.discover(f"https://u:{secret('code')}@example.com"), "Environment.discover"
    ),
    _misuse(
        "adiscover", lambda world: Environment.adiscover(world.provider.url, http=_text()), "Environment.adiscover"
    ),
    _misuse("new_client_id: bytes", lambda _: foxy_auth.new_client_id(_bytes()), "new_client_id"),
    _misuse("new_client_id", lambda _: foxy_auth.new_client_id(_text()), "new_client_id"),
    _misuse(
        "Token.__call__", lambda world: httpx.get(world.api_url, auth=cast("Any", world.token())), "Token.__call__"
    ),
    _misuse(
        "OAuthClient.__call__",
        lambda world: httpx.get(world.api_url, auth=cast("Any", world.client())),
        "OAuthClient.__call__",
    ),
    _misuse("expired", lambda world: world.token().expired(_text()), "Token.expired"),
    Row("from_dict: text", lambda _: Token.from_dict(_text()), TypeError, ("Token.from_dict",)),
    Row("from_dict: nothing", lambda _: Token.from_dict({"token": secret("code")}), ValueError, ("Token.from_dict",)),
    Row(
        "refresh_token: none", lambda world: world.client().refresh_token(Token(_text())), foxy_auth.LoginRequiredError
    ),
    Row(
        "get_token: none",
        lambda world: world.auth(token=Token(_text(), expires_at=1.0)).get_token(),
        foxy_auth.LoginRequiredError,
    ),
]

ROWS = [
    *ARGUMENTS,
    *(Row(f"fetch_token: {name}", act, AuthorizationError) for name, act in AUTHORIZATIONS.items()),
    *(
        Row(f"afetch_token: {name}", act, (AuthorizationError, TypeError), ("OAuthClient.afetch_token",))
        for name, act in ASYNC_AUTHORIZATIONS.items()
    ),
    *STORES,
    *NO_TOKEN,
    *METHODS,
]
