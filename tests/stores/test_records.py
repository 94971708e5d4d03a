"""The stored record: damage, versions, encryption."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis
import sqlalchemy
from cryptography.fernet import Fernet

from foxy_auth.errors import StoreError
from foxy_auth.stores import FileStore, RedisStore, SQLAlchemyStore, TokenStore
from foxy_auth.testing import TOKEN
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEWER = replace(TOKEN, access_token="made-up-newer", refresh_token="made-up-newer-refresh")
SECRETS = [TOKEN.access_token, str(TOKEN.refresh_token), NEWER.access_token, str(NEWER.refresh_token)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a record."""
    return tmp_path / "token.json"


def test_a_record_of_a_newer_version(path: Path) -> None:
    """A record of a later version of this package is an error that says to update."""
    path.write_text(json.dumps({**TOKEN.to_dict(), "version": 2}))
    with pytest.raises(StoreError, match="update foxy_auth"):
        FileStore(path).load()


def test_every_damaged_record_is_kept(path: Path) -> None:
    """A save keeps a damaged record, byte for byte, and does not overwrite one that was kept earlier."""
    not_text = json.dumps({**TOKEN.to_dict(), "version": 1}).encode().replace(b"refresh-token", b"refresh\xfftoken")
    store = FileStore(path)
    for damaged in (b"{first", not_text):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="damaged"):
            store.load()
        store.save(TOKEN)

    assert store.load() == TOKEN
    assert [path.with_name(f"token.json.{number}.damaged").read_bytes() for number in (1, 2)] == [b"{first", not_text]


def test_a_damaged_record_in_redis_is_kept(server_url: Callable[[str], str]) -> None:
    """A damaged record in Redis is kept byte for byte, even if it is not UTF-8."""
    place, damaged = f"foxy-{uuid4().hex}", b'{"version": 1, "access_token": "made-up\xff"}'
    with redis.Redis.from_url(server_url("redis")) as client:
        client.set(place, damaged)
        store = RedisStore(client, place)
        with pytest.raises(StoreError, match="damaged"):
            store.load()
        store.save(TOKEN)

        assert (store.load(), client.get(f"{place}:damaged")) == (TOKEN, damaged)


def test_encrypted_records_show_nothing(tmp_path: Path, server_url: Callable[[str], str]) -> None:
    """R23: With an encryption key, neither file nor row nor Redis key contains anything of the token."""
    key, place = Fernet.generate_key(), f"foxy-{uuid4().hex}"
    row = SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db"), encryption_key=key)
    row.create_table()
    with redis.Redis.from_url(server_url("redis")) as client:
        stores: list[TokenStore] = [
            FileStore(tmp_path / "token.json", encryption_key=key),
            row,
            RedisStore(client, place, encryption_key=key),
        ]
        for store in stores:
            store.save(TOKEN)
            store.save(NEWER)
        loaded = [store.load() for store in stores]
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + client.get(place)

    assert loaded == [NEWER] * 3
    assert not any(word.encode() in stored for word in [*SECRETS, "access_token", "store_full_access", str(key)])


def test_encryption_keys_can_be_replaced(path: Path) -> None:
    """Of several keys the first encrypts and all decrypt; the record is refused and left alone with any other."""
    old, new = Fernet.generate_key(), Fernet.generate_key()
    FileStore(path, encryption_key=old).save(TOKEN)
    both = FileStore(path, encryption_key=[new, old])
    loaded = both.load()
    both.save(NEWER)
    for other in (FileStore(path, encryption_key=old), FileStore(path)):
        with pytest.raises(StoreError):
            other.load()

    assert (loaded, FileStore(path, encryption_key=new).load()) == (TOKEN, NEWER)


def test_plain_text_is_refused_with_a_key(path: Path) -> None:
    """A record that somebody has stored in plain text does not pass for an encrypted one."""
    FileStore(path).save(TOKEN)
    with pytest.raises(StoreError, match="cannot be decrypted with this key, or is not encrypted"):
        FileStore(path, encryption_key=Fernet.generate_key()).load()


@pytest.mark.parametrize(
    ("key", "short", "long"),
    [(None, 65_000, 66_000), (Fernet.generate_key(), 48_000, 50_000)],
    ids=["plain", "encrypted"],
)
def test_what_is_saved_can_be_loaded(path: Path, key: bytes | None, short: int, long: int) -> None:
    """A token whose record would be too long to be loaded is refused, and the former record is still there."""
    store = FileStore(path, encryption_key=key)
    store.save(Token("x" * short))
    with pytest.raises(StoreError, match="limit is 65536"):
        store.save(Token("x" * long))

    assert store.load() == Token("x" * short)


@pytest.mark.parametrize("key", ["", "short", b"short", [], ["short"], {"short"}, 7], ids=repr)
def test_invalid_encryption_keys(path: Path, key: Any) -> None:
    """R24: What is not a key, or a set of keys without an order, is refused at once, by an error without the key."""
    with pytest.raises(ValueError, match=r"Fernet\.generate_key") as caught:
        FileStore(path, encryption_key=key)

    assert "short" not in str(caught.value)


def test_key_names_the_record_only(path: Path) -> None:
    """R24: `key` is the name of a record in every store, so a file's encryption key is not accepted under this name."""
    with pytest.raises(TypeError, match="key"):
        FileStore(path, key=Fernet.generate_key())  # type: ignore[call-arg]


@pytest.mark.parametrize("key", ["", ".hidden", "../other", "a/b", "lock", "a.damaged", "a b", "ä", None, 7], ids=repr)
def test_unsafe_keys(path: Path, key: Any) -> None:
    """R24: A key that could name another file, or the lock, is refused at once."""
    with pytest.raises(ValueError, match="store-123"):
        FileStore(path).for_key(key)
