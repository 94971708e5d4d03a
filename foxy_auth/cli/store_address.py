"""Addresses of stores on the command line, such as `file:token.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from foxy_auth._libraries import check_installed
from foxy_auth.cli.profiles import LOCK_TIMEOUT
from foxy_auth.errors import StoreError

if TYPE_CHECKING:
    from foxy_auth.stores import TokenStore

Kind = Literal["file", "keyring", "redis", "sql"]
EXAMPLES = "file:PATH, keyring:SERVICE/USER, redis://HOST:PORT/0#KEY or sql:sqlite:///PATH#KEY"
DEFAULT_KEY = "foxy"
SQLITE = re.compile("^(?P<scheme>sqlite[^:]*:///)(?P<path>[^:?]+)")
PASSWORD = re.compile("([?&][a-z_]*password=)[^&#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """
    Where the token of a grant is kept.

    Attributes:
        kind: Of the store.

        location: The path, the service, or the URL of the server, which may contain a password.

        key: The user of a keyring, or the key of the record.
    """

    kind: Kind
    location: str = field(repr=False)
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> StoreAddress:
        """
        Read an address.

        Raises:
            ValueError: It is none; the message says what addresses look like.
        """
        kind, colon, location = text.strip().partition(":")
        if kind == "rediss":
            kind = "redis"
        if not colon or kind not in get_args(Kind) or not location:
            message = f"a store is {EXAMPLES}"
            raise ValueError(f"{message}; for a file write file:{text}" if not colon and text else message)
        if kind == "file":
            try:
                return cls("file", str(Path(location).expanduser().absolute()))
            except RuntimeError:
                raise ValueError(f"the home folder in file:{location} is not known; set HOME") from None
        if kind == "keyring":
            service, slash, user = location.rpartition("/")
            if not (slash and service and user):
                raise ValueError("a keyring's store is keyring:SERVICE/USER")
            return cls("keyring", service, user)
        url, _, key = (text.strip() if kind == "redis" else location).partition("#")
        return cls("redis" if kind == "redis" else "sql", SQLITE.sub(_absolute, url), key or DEFAULT_KEY)

    def __str__(self) -> str:
        """Return the address without the password of its URL."""
        match self.kind:
            case "file":
                return f"file:{self.location}"
            case "keyring":
                return f"keyring:{self.location}/{self.key}"
            case "redis":
                return f"{_without_password(self.location)}#{self.key}"
            case "sql":
                return f"sql:{_without_password(self.location)}#{self.key}"

    @property
    def text(self) -> str:
        """The address as `parse` reads it, with its password."""
        prefix = {"file": "file:", "keyring": "keyring:", "redis": "", "sql": "sql:"}[self.kind]
        key = {"file": "", "keyring": f"/{self.key}"}.get(self.kind, f"#{self.key}")
        return f"{prefix}{self.location}{key}"

    def open(self, encryption_key: str | None = None) -> TokenStore:
        """
        Return the store.

        Raises:
            ImportError: The store's extra is not installed.

            StoreError, ValueError: The store cannot be used.
        """
        return _OPEN[self.kind](self, {} if encryption_key is None else {"encryption_key": encryption_key})

    def python(self, encryption_key: str = "") -> list[str]:
        """Return the lines of Python that make the store: imports, and last an expression; the key is one too."""
        key = f", encryption_key={encryption_key}" if encryption_key else ""
        where, name = _quoted(_without_password(self.location)), _quoted(self.key)
        match self.kind:
            case "file":
                place = _quoted(_short(self.location))
                return ["from foxy_auth.stores import FileStore", f"FileStore({place}{key})"]
            case "keyring":
                return ["from foxy_auth.stores import KeyringStore", f"KeyringStore({where}, {name})"]
            case "redis":
                store = f"RedisStore(redis.Redis.from_url({where}), {name}{key})"
                return ["import redis", "from foxy_auth.stores import RedisStore", store]
            case "sql":
                store = f"SQLAlchemyStore(sqlalchemy.create_engine({where}), {name}{key})"
                return ["import sqlalchemy", "from foxy_auth.stores import SQLAlchemyStore", store]


@contextmanager
def locked(store: TokenStore) -> Generator[None]:
    """
    Hold the lock of *store*.

    Raises:
        StoreError: It cannot be had.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(store.lock(LOCK_TIMEOUT))
        except TimeoutError:
            raise StoreError("another program holds the lock of the store; try again") from None
        yield


def _absolute(url: re.Match[str]) -> str:
    """Return a URL of SQLite with its whole path, which is the same from every folder."""
    return f"{url['scheme']}{Path(url['path']).absolute()}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _short(path: str) -> str:
    """Begin *path* with `~` if it is in the user's home folder."""
    with suppress(ValueError, RuntimeError):  # elsewhere, or there is no home
        return str(Path("~") / Path(path).relative_to(Path.home()))
    return path


def _without_password(url: str) -> str:
    url = PASSWORD.sub(r"\1***", url)
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return parts._replace(netloc=f"{name}:***{at}{host}").geturl() if ":" in user else url


def _open_file(address: StoreAddress, options: dict[str, Any]) -> TokenStore:
    from foxy_auth.stores import FileStore

    return FileStore(address.location, **options)


def _open_keyring(address: StoreAddress, options: dict[str, Any]) -> TokenStore:
    from foxy_auth.stores import KeyringStore

    if options:
        raise ValueError("a keyring encrypts by itself: unset FOXY_AUTH_ENCRYPTION_KEY")
    return KeyringStore(address.location, address.key)


def _open_redis(address: StoreAddress, options: dict[str, Any]) -> TokenStore:
    check_installed("redis", needed_by="RedisStore", extra="redis")
    import redis

    from foxy_auth.stores import RedisStore

    connect: Callable[[str], Any] = redis.Redis.from_url  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return RedisStore(lambda: connect(address.location), address.key, **options)


def _open_sql(address: StoreAddress, options: dict[str, Any]) -> TokenStore:
    check_installed("sqlalchemy", needed_by="SQLAlchemyStore", extra="sqlalchemy")
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError

    from foxy_auth.stores import SQLAlchemyStore

    try:
        engine = create_engine(address.location)
    except (ArgumentError, ValueError):  # which may quote the password
        raise ValueError("a SQL store is sql:URL#KEY, such as sql:sqlite:///PATH#KEY") from None
    store = SQLAlchemyStore(engine, address.key, **options)
    store.create_table()
    return store


_OPEN: dict[Kind, Callable[[StoreAddress, dict[str, Any]], TokenStore]] = {
    "file": _open_file,
    "keyring": _open_keyring,
    "redis": _open_redis,
    "sql": _open_sql,
}
