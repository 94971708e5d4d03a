"""The stored record: damage, versions, encryption."""

from __future__ import annotations

import json
import re
import shutil
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
    from collections.abc import Callable, Iterator
    from pathlib import Path

NEWER = replace(TOKEN, access_token="made-up-newer", refresh_token="made-up-newer-refresh")
SECRETS = [TOKEN.access_token, str(TOKEN.refresh_token), NEWER.access_token, str(NEWER.refresh_token)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a record."""
    return tmp_path / "token.json"


@pytest.mark.parametrize(
    "stored",
    [
        TOKEN.to_dict(),  # as `foxy-auth login --output` wrote it, and programs that keep tokens themselves
        {**TOKEN.to_dict(), "obtained_at": None, "expires_in": 7200, "scope": TOKEN.scope.split(), "note": "keep me"},
        {"access_token": TOKEN.access_token, "refresh_token": TOKEN.refresh_token, "expires": "2027-01-15T10:00:00Z"},
    ],
    ids=["to_dict", "requests-oauthlib", "hand-written"],
)
def test_a_token_dict_without_a_version(path: Path, stored: dict[str, Any]) -> None:
    """Every dict that `Token.from_dict` reads is a record; the next save gives it a version, and keeps its fields."""
    path.write_text(json.dumps(stored, indent=2) + "\n")
    store = FileStore(path)
    loaded = store.load()
    store.save(NEWER)

    assert loaded == Token.from_dict(stored)
    assert store.load() == NEWER
    assert json.loads(path.read_text()) == {**stored, **NEWER.to_dict(), "version": 1}
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (2, "of version 2, of a newer foxy_auth; update foxy_auth$"),
        *[(odd, "damaged") for odd in (0, -1, "2", True, None)],
    ],
)
def test_a_record_of_another_version(path: Path, version: Any, message: str) -> None:
    """A record of a later version of this package is an error that says to update; an odd one is damaged."""
    path.write_text(json.dumps({**TOKEN.to_dict(), "version": version}))
    with pytest.raises(StoreError, match=message):
        FileStore(path).load()


def test_a_record_of_another_type_of_token(path: Path) -> None:
    """A record whose token is no bearer token is refused, and the error says why."""
    path.write_text(json.dumps({**TOKEN.to_dict(), "token_type": "mac", "version": 1}))
    with pytest.raises(StoreError, match=r"token_type must be Bearer"):
        FileStore(path).load()


def test_every_damaged_record_is_kept(path: Path) -> None:
    """A save keeps a damaged record, byte for byte, and does not overwrite one that was kept earlier."""
    record = json.dumps({**TOKEN.to_dict(), "version": 1}).encode()
    not_text = [record.replace(text, b"\xff") for text in (b"refresh-token", TOKEN.scope.encode())]
    store = FileStore(path)
    for damaged in (b"{first", *not_text):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="damaged"):
            store.load()
        store.save(TOKEN)

    assert store.load() == TOKEN
    kept = [path.with_name(f"token.json.{number}.damaged").read_bytes() for number in (1, 2, 3)]
    assert kept == [b"{first", *not_text]


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


@pytest.mark.parametrize("stored", [TOKEN.to_dict(), {**TOKEN.to_dict(), "version": 1}], ids=["dict", "record"])
def test_plain_text_is_refused_with_a_key(path: Path, stored: dict[str, Any]) -> None:
    """R28: A record in plain text does not pass for an encrypted one; what the error says encrypts it."""
    path.write_text(json.dumps(stored))
    plain, encrypted = FileStore(path), FileStore(path, encryption_key=Fernet.generate_key())
    with pytest.raises(StoreError, match="is not encrypted, and this store has an encryption_key") as caught:
        encrypted.load()
    [advice] = re.findall(r"encrypt it: (.*), where", str(caught.value))
    exec(advice, {"plain": plain, "encrypted": encrypted})  # noqa: S102 - our own

    assert encrypted.load() == TOKEN
    assert [(one.name, TOKEN.access_token in one.read_text()) for one in path.parent.iterdir()] == [(path.name, False)]


def test_an_encrypted_record_without_its_key(path: Path) -> None:
    """R24: Without a key the error asks for one, with another for the right one; none advises to remove the record."""
    FileStore(path, encryption_key=Fernet.generate_key()).save(TOKEN)
    with pytest.raises(StoreError, match=r"encrypted; give encryption_key=, the key that it was encrypted with$"):
        FileStore(path).load()
    with pytest.raises(StoreError, match=r"give the key that it was encrypted with.*a list") as caught:
        FileStore(path, encryption_key=Fernet.generate_key()).load()

    assert "remove" not in str(caught.value)


def test_a_damaged_record_says_what_removing_it_costs(path: Path) -> None:
    """R24: A record that cannot be read may be all that is left of a grant, and the error says so."""
    path.write_text('{"refresh_token": "made-up"}')
    with pytest.raises(StoreError, match=r"pass .* to FoxyAuth, .*repair it.*gives up its grant") as caught:
        FileStore(path).load()

    assert str(caught.value).startswith(str(path))


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


def test_the_longest_record(path: Path) -> None:
    """A record of 65536 characters is saved and loaded; one more is refused."""
    store = FileStore(path)
    store.save(TOKEN)
    longest = "x" * (65536 - len(path.read_text()) + len(TOKEN.access_token))
    with pytest.raises(StoreError, match="65537 characters"):
        store.save(replace(TOKEN, access_token=f"{longest}x"))
    store.save(replace(TOKEN, access_token=longest))

    loaded = store.load()

    assert (loaded and loaded.access_token, len(path.read_text())) == (longest, 65536)


@pytest.mark.parametrize("key", ["", "short", b"short", [], ["short"], [7], {f"{'A' * 43}="}, 7], ids=repr)
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


# --- the names of encrypted records ----------------------------------------------------------------------------------


@pytest.fixture(params=["file", "files", "redis", "sqlite"])
def shops(
    request: pytest.FixtureRequest, tmp_path: Path, server_url: Callable[[str], str]
) -> Iterator[tuple[TokenStore, TokenStore, Callable[[], object]]]:
    """Give the encrypted stores of two shops, and a function that puts the first one's record in the other's place."""
    key, place = Fernet.generate_key(), f"foxy-{uuid4().hex}"
    if request.param in {"file", "files"}:
        paths = [tmp_path / "token.one.json", tmp_path / "token.other.json"]
        files = [FileStore(path, encryption_key=key) for path in paths]
        if request.param == "file":
            files = [FileStore(tmp_path / "token.json", encryption_key=key).for_key(shop) for shop in ("one", "other")]
        yield files[0], files[1], lambda: shutil.copy(*paths)
    elif request.param == "redis":
        with redis.Redis.from_url(server_url("redis")) as client:
            store = RedisStore(client, place, encryption_key=key)
            yield (
                store.for_key("one"),
                store.for_key("other"),
                lambda: client.set(f"{place}/other", client.get(f"{place}/one")),
            )
    else:
        engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db", poolclass=sqlalchemy.NullPool)
        row = SQLAlchemyStore(engine, "shop", encryption_key=key)
        row.create_table()

        def copy_row() -> None:
            with engine.begin() as connection:
                connection.exec_driver_sql(
                    "UPDATE foxy_auth_tokens SET record = one.record FROM foxy_auth_tokens AS one "
                    "WHERE foxy_auth_tokens.name = 'shop/other' AND one.name = 'shop/one'"
                )

        yield row.for_key("one"), row.for_key("other"), copy_row


def test_the_record_of_another_shop(shops: tuple[TokenStore, TokenStore, Callable[[], object]]) -> None:
    """R23, R28: An encrypted record that stands in the place of another grant's is refused, and says what to do."""
    one, other, put_in_place = shops
    one.save(TOKEN)
    other.save(NEWER)
    put_in_place()
    with pytest.raises(StoreError, match=r"was encrypted as '.*one.*' and not as '.*other.*give it its old name"):
        other.load()
    with other.lock(1.0):
        other.save(NEWER)

    assert (one.load(), other.load()) == (TOKEN, NEWER)


def test_the_record_of_another_shop_is_kept(path: Path) -> None:
    """R28: A save keeps the other shop's record aside, byte for byte, and takes nothing from it."""
    store = FileStore(path, encryption_key=Fernet.generate_key())
    store.for_key("one").save(TOKEN)
    record = path.with_name("token.one.json").read_bytes()
    path.with_name("token.other.json").write_bytes(record)
    store.for_key("other").save(NEWER)

    assert path.with_name("token.other.json.1.damaged").read_bytes() == record


def test_encrypted_records_can_be_moved_together(tmp_path: Path) -> None:
    """R28: A folder of encrypted records, and a table of them, can be moved, and a record can be put back as it was."""
    key = Fernet.generate_key()
    (tmp_path / "old").mkdir()
    FileStore(tmp_path / "old" / "token.json", encryption_key=key).save(TOKEN)
    (tmp_path / "old").rename(tmp_path / "new")
    rows = [
        SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/{name}.db"), table=name, encryption_key=key)
        for name in ("old", "new")
    ]
    rows[0].create_table()
    rows[0].save(TOKEN)
    (tmp_path / "old.db").rename(tmp_path / "new.db")
    with sqlalchemy.create_engine(f"sqlite:///{tmp_path}/new.db", poolclass=sqlalchemy.NullPool).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE old RENAME TO new")

    assert FileStore(tmp_path / "new" / "token.json", encryption_key=key).load() == TOKEN
    assert rows[1].load() == TOKEN


def test_renaming_an_encrypted_record(path: Path) -> None:
    """R28: An encrypted record under another name is an error until it is loaded under the old one and saved again."""
    key, new = Fernet.generate_key(), path.with_name("new.json")
    FileStore(path, encryption_key=key).save(TOKEN)
    path.rename(new)
    with pytest.raises(StoreError, match=r"new\.json: .*was encrypted as 'token\.json' and not as 'new\.json'"):
        FileStore(new, encryption_key=key).load()
    new.rename(path)
    token = FileStore(path, encryption_key=key).load()
    assert token is not None
    FileStore(new, encryption_key=key).save(token)

    assert FileStore(new, encryption_key=key).load() == TOKEN


def test_records_in_plain_text_have_no_name(path: Path) -> None:
    """A record in plain text can be renamed: whoever could put it there could also write it."""
    FileStore(path).save(TOKEN)
    path.rename(path.with_name("new.json"))

    assert set(json.loads(path.with_name("new.json").read_text())) == {*TOKEN.to_dict(), "version"}
    assert FileStore(path.with_name("new.json")).load() == TOKEN


def test_an_encrypted_record_without_a_name(path: Path) -> None:
    """R23, R28: A record that was encrypted without a name is refused: it could be that of any grant."""
    key = Fernet.generate_key()
    record = json.dumps({**TOKEN.to_dict(), "version": 1})
    path.write_bytes(Fernet(key).encrypt(record.encode()))
    path.chmod(0o600)
    with pytest.raises(StoreError, match=r"was encrypted as None and not as 'token\.json'"):
        FileStore(path, encryption_key=key).load()
