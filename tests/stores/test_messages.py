"""What stores say when something is missing or wrong: who needs what, and what to do."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import redis
import sqlalchemy
from redis.backoff import NoBackoff
from redis.retry import Retry
from secrecy.provider import closed_port
from support.keyrings import FileKeyring
from support.sources import auth_for

from foxy_auth.errors import LoginRequiredError, StoreError
from foxy_auth.stores import FileStore, KeyringStore, MemoryStore, RedisStore, SQLAlchemyStore
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from foxy_auth.emulator import Emulator

ENGINE = sqlalchemy.create_engine("sqlite:///made-up.db")

# --- missing libraries -----------------------------------------------------------------------------------------------

NEEDS: dict[tuple[str, str], Callable[[], Any]] = {
    ("FileStore", "filelock"): lambda: FileStore("token.json"),
    ("KeyringStore", "keyring"): lambda: KeyringStore("made-up", "ann", backend=FileKeyring()),
    ("KeyringStore", "filelock"): lambda: KeyringStore("made-up", "ann", backend=FileKeyring()),
    ("RedisStore", "redis"): lambda: RedisStore(object, "foxy"),  # type: ignore[arg-type]
    ("SQLAlchemyStore", "sqlalchemy"): lambda: SQLAlchemyStore(object),  # type: ignore[arg-type]
    ("SQLAlchemyStore", "filelock"): lambda: SQLAlchemyStore(ENGINE),
}


@pytest.mark.parametrize(("store", "library"), NEEDS)
def test_a_missing_library(monkeypatch: pytest.MonkeyPatch, store: str, library: str) -> None:
    """R24: A store whose library is not installed says so when it is made, and which extra brings the library."""
    extra = store.removesuffix("Store").lower()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError) as caught:
        NEEDS[store, library]()

    assert str(caught.value) == f"{store} needs {library}: pip install 'foxy_auth[{extra}]'"
    assert caught.value.name == library


def test_contracts_without_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: Whoever imports the contracts where pytest is not installed reads how to install it."""
    monkeypatch.delitem(sys.modules, "foxy_auth.testing", raising=False)
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(ModuleNotFoundError, match=r"^foxy_auth\.testing needs pytest: pip install pytest$"):
        import_module("foxy_auth.testing")


def test_a_library_that_only_a_factory_shows_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: A store over SQLite whose engine is made later says then what is missing, in an error of the store."""
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(StoreError, match=r"^SQLAlchemyStore needs filelock: pip install"):
        SQLAlchemyStore(lambda: ENGINE).load()


# --- where the token was looked for ----------------------------------------------------------------------------------


class OwnStore(MemoryStore):
    """A store of the user's."""


def test_an_empty_store_names_itself(foxy: Emulator, tmp_path: Path) -> None:
    """R24: Where there is neither a record nor a refresh token, the error names the store, and what to do."""
    database = f"sqlite:///{tmp_path}/made-up.db"
    row = SQLAlchemyStore(sqlalchemy.create_engine(database))
    row.create_table()
    keyring = KeyringStore("made-up", "ann", backend=FileKeyring(tmp_path / "keyring.json"))
    names = {
        FileStore(tmp_path / "token.json"): f"FileStore ({tmp_path}/token.json)",
        keyring: "KeyringStore (the keyring entry of 'ann' at 'made-up')",
        row: f"SQLAlchemyStore (row 'default' of table foxy_auth_tokens in {tmp_path}/made-up.db)",
        OwnStore(): "OwnStore",
    }
    for store, name in names.items():
        with pytest.raises(LoginRequiredError) as caught:
            auth_for(foxy, None, store=store).get_token()
        assert str(caught.value).startswith(f"{name} is empty, and there is no refresh token; authorize and save")


def test_a_stored_token_without_refresh_token(foxy: Emulator) -> None:
    """R24: A stored token that cannot be refreshed is named together with its store."""
    with pytest.raises(LoginRequiredError, match=r"^the token in MemoryStore cannot be refreshed"):
        auth_for(foxy, None, store=MemoryStore(Token("made-up", expires_at=1.0))).get_token()


@pytest.mark.parametrize("way", ["client", "function", "socket"])
def test_a_redis_that_is_down(tmp_path: Path, way: str) -> None:
    """R23, R24: The error names host and port, or the socket, however the client was made, and no password."""
    port = closed_port()
    options: dict[str, Any] = {"password": "made-up-password", "retry": Retry(NoBackoff(), 0)}
    options |= {"unix_socket_path": f"{tmp_path}/redis"} if way == "socket" else {"host": "127.0.0.1", "port": port}
    store = RedisStore((lambda: redis.Redis(**options)) if way == "function" else redis.Redis(**options), "foxy")
    with pytest.raises(StoreError) as caught:
        store.load()

    server = f"{tmp_path}/redis" if way == "socket" else f"127.0.0.1:{port}"
    assert str(caught.value) == f"Redis key 'foxy' at {server} cannot be read (ConnectionError); check the server"


def test_a_database_that_is_down() -> None:
    """R23, R24: The error names host, port and database, and no password."""
    port = closed_port()
    url = f"postgresql+psycopg://ann:made-up-password@127.0.0.1:{port}/shop"
    with pytest.raises(StoreError) as caught:
        SQLAlchemyStore(sqlalchemy.create_engine(url)).load()

    assert str(caught.value).startswith(f"row 'default' of table foxy_auth_tokens in 127.0.0.1:{port}/shop cannot be")
