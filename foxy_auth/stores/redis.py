"""A store in Redis: the one for many machines."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from foxy_auth.errors import StoreError
from foxy_auth.stores._conditional import ConditionalStore
from foxy_auth.stores._records import LARGEST_RECORD, Key, Records, check_key

if TYPE_CHECKING:
    import redis

LEASE = 15.0
POLL = 0.02  # seconds from one try to get the lock to the next

logger = logging.getLogger("foxy_auth")

# KEYS[1] the record; ARGV[1] what is thought to be there, empty for nothing; ARGV[2] what is to be there.
_REPLACE = """
if (redis.call('get', KEYS[1]) or '') ~= ARGV[1] then
    return 0
end
redis.call('set', KEYS[1], ARGV[2])
return 1
"""
# What a pool of redis-py makes anew for itself, and cannot be pickled.
_OF_THE_POOL = {"himport_registry", "maint_notifications_pool_handler"}


class RedisStore(ConditionalStore):
    """
    Keeps the token under a key in Redis, for as long as it is not deleted there.

    The lock is redis-py's own, under the same key and `:lock`: a random owner, released only by that one, and a lease
    that is renewed while it is held. A holder that is killed keeps the others out for one lease at most.
    A holder that lost its lease, because its machine slept say, cannot replace what others have written since.

    Give the client a `socket_timeout`, so that a server that hangs is noticed.
    """

    def __init__(
        self,
        client: redis.Redis | Callable[[], redis.Redis],
        key: str,
        *,
        lease: float = LEASE,
        encryption_key: Key | None = None,
    ) -> None:
        """
        Keep the record under *key*.

        Args:
            client: A `redis.Redis`, as your program has set it up; or a function that makes one, so that the store can
                be pickled whatever the client.

            key: Where the record is; another for each grant.

            lease: Seconds after which a lock is free whose holder has died.

            encryption_key: Encrypts the record: a Fernet key, or several, of which the first encrypts and all decrypt.

        Raises:
            TypeError, ValueError: An argument is not what it should be.
        """
        super().__init__(Records(encryption_key))
        if not callable(client):
            _check_client(client)
        if not isinstance(key, str) or not key:
            raise ValueError("key takes the name of a Redis key, such as 'foxy:token'")
        if not 0.1 <= lease < inf:  # noqa: PLR2004 - and no nan either
            raise ValueError("lease takes seconds, from 0.1 on")
        self._client: Any = _Once(client) if callable(client) else client
        self._key = key
        self._lease = lease

    def for_key(self, key: str) -> RedisStore:
        """Return the store of another grant, under this one's key, a slash and *key*."""
        other = RedisStore.__new__(RedisStore)
        other.__setstate__({**vars(self), "_key": f"{self._key}/{check_key(key)}", "_seen": {}})
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Take the client's settings along instead of its connections."""
        client = self._client
        return {**super().__getstate__(), "_client": client if callable(client) else _Once(_settings(client).remade)}

    @property
    def _redis(self) -> Any:
        return self._client() if callable(self._client) else self._client

    @property
    def _place(self) -> str:
        return f"Redis key {self._key!r}"

    def _read(self) -> bytes | str | None:
        record = self._redis.getrange(self._key, 0, LARGEST_RECORD)  # a longer one is none of ours
        return record if record or self._redis.exists(self._key) else None

    def _text(self, seen: bytes | str | None) -> str | None:
        return seen.decode("utf-8", errors="surrogateescape") if isinstance(seen, bytes) else seen

    def _write(self, record: str, seen: bytes | str | None) -> str | None:
        return record if self._redis.eval(_REPLACE, 1, self._key, seen or "", record) else None

    def _put_aside(self, seen: bytes | str | None) -> None:  # noqa: ARG002 - however long it is
        self._redis.rename(self._key, f"{self._key}:damaged")

    @contextmanager
    def _guarded(self, timeout: float) -> Generator[None]:
        with self._reported("locked"):
            lock = self._redis.lock(
                f"{self._key}:lock", timeout=self._lease, sleep=POLL, blocking_timeout=timeout, thread_local=False
            )
            won = lock.acquire()
        if not won:
            raise TimeoutError(f"{self._key}:lock in Redis is held by another")
        pid, released = os.getpid(), Event()
        with suppress(RuntimeError):  # the interpreter is ending, or out of threads: one lease has to do
            Thread(target=self._renew, args=(lock, released), name="foxy-auth-lease", daemon=True).start()
        try:
            yield
        finally:
            released.set()
            if os.getpid() == pid:  # a forked child has no lock to release
                self._release(lock)

    def _renew(self, lock: Any, released: Event) -> None:
        from redis.exceptions import LockError

        while not released.wait(self._lease / 3):
            try:
                lock.reacquire()
            except LockError:
                if not released.is_set():
                    logger.warning("the lease of %s:lock ran out while it was held", self._place)
                return
            except Exception as error:  # noqa: BLE001 - Redis is down: it may be back before the lease runs out
                logger.debug("the lease of %s:lock was not renewed (%s)", self._place, type(error).__name__)

    def _release(self, lock: Any) -> None:
        """Release the lock; what cannot be released runs out by itself, and is no reason to fail what was done."""
        try:
            lock.release()
        except Exception as error:  # noqa: BLE001
            logger.warning("%s:lock was not released (%s)", self._place, type(error).__name__)


class _Once:
    """Calls a function once in a process, whichever thread and store of a grant comes first; a pickle calls it anew."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._made: Any = None
        self._locks = {os.getpid(): Lock()}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Once, (self._function,)

    def __call__(self) -> Any:
        with self._locks.setdefault(os.getpid(), Lock()):  # a forked child has one of its own
            if self._made is None:
                self._made = _made_by(self._function)
            return self._made


def _made_by(make: Callable[[], Any]) -> Any:
    client = make()
    try:
        _check_client(client)
    except TypeError as error:
        raise StoreError(str(error)) from None
    return client


def _check_client(client: Any) -> None:
    kinds = type(client).__mro__
    if any(kind.__module__.startswith("redis.asyncio") for kind in kinds):
        raise TypeError("RedisStore takes a redis.Redis, not one of redis.asyncio: stores work in threads of their own")
    usable = all(hasattr(client, name) for name in ("getrange", "eval", "lock"))
    if not usable or any(kind.__name__.endswith("Pipeline") for kind in kinds):  # which answers later
        raise TypeError(f"RedisStore takes a redis.Redis, or a function that makes one, not {type(client).__name__}")


@dataclass(frozen=True)
class _Settings:
    """What a client of another process is made of."""

    client: Any
    pool: Any
    connection_class: Any
    keywords: dict[str, Any] = field(repr=False)

    def remade(self) -> Any:
        return self.client(connection_pool=self.pool(connection_class=self.connection_class, **self.keywords))


def _settings(client: Any) -> _Settings:
    """Return the settings of *client*; `TypeError` if it is one that they do not tell all about."""
    settings = None
    try:
        pool: Any = client.connection_pool
        keywords: dict[str, Any] = {
            name: value
            for name, value in pool.connection_kwargs.items()
            if name not in _OF_THE_POOL and not name.startswith("orig_") and type(value) is not object  # a default
        }
        settings = _Settings(type(client), type(pool), pool.connection_class, keywords)
        whole = type(pool).__module__ == "redis.connection" and bool(pickle.dumps(settings))
    except Exception:  # noqa: BLE001 - whatever keeps it from being pickled
        whole = False
    if settings is None or not whole:
        raise TypeError(f"this {type(client).__name__} cannot be pickled; give RedisStore a function that makes it")
    return settings
