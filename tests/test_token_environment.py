"""Which environment a token belongs to: it is neither sent to another one nor replaced by the tokens of that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from foxy_auth import FOXY_IO, PRODUCTION, SANDBOX, Environment, FoxyAuth, StoreError, Token
from foxy_auth.stores import FileStore
from foxy_auth.testing import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from foxy_auth.emulator import Emulator


def auth_of(foxy: Emulator, environment: Environment, store: FileStore | None, token: Token | None = None) -> FoxyAuth:
    """Return an auth object for *environment*, which can get a token from the emulator by itself."""
    refresh_token = None if token else foxy.grant().refresh_token
    return FoxyAuth(
        client_id=foxy.client_id,
        client_secret=foxy.client_secret,
        refresh_token=refresh_token,
        token=token,
        store=store,
        environment=environment,
    )


def test_issued_tokens_say_where(foxy: Emulator, tmp_path: Path) -> None:
    """A token that was issued names its API home, in the record too; it counts in no comparison and no `repr`."""
    store = FileStore(tmp_path / "token.json")
    token = auth_of(foxy, foxy.environment, store).get_token()
    loaded = store.load()

    assert loaded
    assert (token.api, loaded.api, Token.from_dict(token.to_dict()).api) == (foxy.url,) * 3
    assert (replace(token, api=None), TOKEN.to_dict().get("api", "none")) == (token, "none")
    assert foxy.url not in repr(token)
    assert foxy.client.client_credentials().api == foxy.url


def test_a_record_of_another_environment(foxy: Emulator, tmp_path: Path) -> None:
    """R1: The emulator gets no refresh token of a real store, whose record stays; the error says what to do."""
    store = FileStore(tmp_path / "token.json")
    store.save(replace(TOKEN, api="https://somebody:made-up-secret@api.foxycart.com/"))
    with pytest.raises(StoreError, match="give each environment a store of its own") as caught:
        auth_of(foxy, foxy.environment, store).get_token()

    assert "https://api.foxycart.com" in str(caught.value)
    assert "made-up-secret" not in str(caught.value)
    assert (store.load(), foxy.token_calls) == (TOKEN, [])


def test_a_record_of_an_emulator(foxy: Emulator, tmp_path: Path) -> None:
    """A record of an emulator that listened elsewhere is replaced: it is good for nothing any more."""
    store = FileStore(tmp_path / "token.json")
    store.save(replace(TOKEN, api="http://127.0.0.1:9", expires_at=1.0))
    token = auth_of(foxy, foxy.environment, store).get_token()

    assert store.load() == token


@pytest.mark.parametrize(
    ("api", "environment"), [(PRODUCTION.api, FOXY_IO), (FOXY_IO.api, PRODUCTION), (None, SANDBOX)]
)
def test_the_same_environment(foxy: Emulator, tmp_path: Path, api: str | None, environment: Environment) -> None:
    """Both names of production are one environment, and a token of before says nothing."""
    store = FileStore(tmp_path / "token.json")
    token = replace(foxy.grant(), api=api)
    store.save(token)

    assert auth_of(foxy, environment, store).get_token() == token
    assert auth_of(foxy, environment, None, token).get_token() == token


def test_a_token_of_another_environment(foxy: Emulator) -> None:
    """R24: A token of another environment is refused at once."""
    with pytest.raises(ValueError, match="issued by https://api-sandbox"):
        auth_of(foxy, PRODUCTION, None, replace(TOKEN, api=SANDBOX.api))
