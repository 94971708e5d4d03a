"""A store in Redis: for many machines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from foxy_auth._events import logger
from foxy_auth._libraries import check_installed
from foxy_auth._secrets import Secret, guarded_class
from foxy_auth.stores._compare_and_set import ClientFactory, CompareAndSetStore, Stored, stored_record
from foxy_auth.stores._records import LARGEST_RECORD, EncryptionKey, Records

if TYPE_CHECKING:
    import redis

LEASE = 15.0  # seconds
POLL_INTERVAL = 0.02  # seconds

# KEYS[1]: the record's key; ARGV[1]: what was read there, empty for nothing; ARGV[2]: what replaces it.
COMPARE_AND_SET = """
if (redis.call('get', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2])
return 1
"""


@guarded_class
class RedisStore(CompareAndSetStore):
    """
    Keeps the token under a key in Redis, without an expiry.

    The lock is redis-py's, under the same key with `:lock` appended. It has a random owner, who alone can release it,
    and a lease that is renewed while it is held. When its holder is killed, the lock is free after one lease. A holder
    that lost the lease, for instance because its machine slept, cannot overwrite what others have saved since.

    Give the client a `socket_timeout`, so that a server that hangs is noticed.
    """

    def __init__(
        self,
        client: redis.Redis | Callable[[], redis.Redis],
        key: str,
        *,
        lease: float = LEASE,
        encryption_key: EncryptionKey | None = None,
    ) -> None:
        """
        Keep the record under *key*.

        Args:
            client: A `redis.Redis`, or a function that makes one. Only with a function can the store be pickled.

            key: Where the record is; a different one for each grant.

            lease: Seconds after which the lock is free if its holder has died.

            encryption_key: Encrypts the record: a Fernet key, or a list, of which the first encrypts and all decrypt.

        Raises:
            TypeError, ValueError: An argument is not what it should be.

            ImportError: The package redis is not installed.
        """
        check_installed("redis", needed_by="RedisStore", extra="redis")
        super().__init__(key, Records(encryption_key))
        if not 0.1 <= lease < inf:  # noqa: PLR2004 - excludes nan too
            raise ValueError("lease takes seconds, at least 0.1")
        self._client = ClientFactory(client, _check_client)
        self._lease = lease

    def __str__(self) -> str:
        """Name the key, and the server once there is a client."""
        settings = getattr(getattr(self._client.made, "connection_pool", None), "connection_kwargs", {})
        server = settings.get("path") or (settings.get("host") and f"{settings['host']}:{settings.get('port', 6379)}")
        return f"Redis key {self._key!r}" + (f" at {server}" if server else "")

    def _read(self) -> Stored | None:
        client = self._client.get()
        value = client.getrange(self._key, 0, LARGEST_RECORD)  # enough to see that a record is too long
        if not value and not client.exists(self._key):
            return None
        record = stored_record(value)
        return Stored(record, record)

    def _write(self, record: Secret, seen: Stored | None) -> Stored | None:
        replaced = seen.record.reveal().encode("utf-8", errors="surrogateescape") if seen else ""
        done = self._client.get().eval(COMPARE_AND_SET, 1, self._key, replaced, record.reveal())
        return Stored(record, record) if done else None

    def _delete(self) -> None:
        self._client.get().delete(self._key)

    def _put_aside(self) -> None:
        self._client.get().rename(self._key, f"{self._key}:damaged")

    def _acquire(self, timeout: float) -> Callable[[], object]:
        settings = {"timeout": self._lease, "sleep": POLL_INTERVAL, "blocking_timeout": timeout, "thread_local": False}
        lock = self._client.get().lock(f"{self._key}:lock", **settings)
        if not lock.acquire():
            raise TimeoutError(f"{self._key}:lock in Redis is held by another process")
        released = Event()
        with suppress(RuntimeError):  # no thread can be started: one lease has to be enough
            Thread(target=self._renew_lease, args=(lock, released), name="foxy-auth-lease", daemon=True).start()

        def release() -> None:
            released.set()
            lock.release()

        return release

    def _renew_lease(self, lock: Any, released: Event) -> None:
        from redis.exceptions import LockError

        while not released.wait(self._lease / 3):
            try:
                lock.reacquire()
            except LockError:
                if not released.is_set():
                    logger.warning("the lease of %s ran out while it was held", f"{self._key}:lock")
                return
            except Exception as error:  # noqa: BLE001 - Redis may be back before the lease runs out
                logger.debug("the lease of %s was not renewed (%s)", f"{self._key}:lock", type(error).__name__)


def _check_client(client: Any) -> Any:
    kinds = type(client).__mro__
    if any(kind.__module__.startswith("redis.asyncio") for kind in kinds):
        raise TypeError("RedisStore takes a redis.Redis, not one of redis.asyncio: stores work in threads")
    is_pipeline = any(kind.__name__.endswith("Pipeline") for kind in kinds)  # whose methods return no results
    if is_pipeline or not all(hasattr(client, name) for name in ("getrange", "eval", "lock")):
        raise TypeError(f"RedisStore takes a redis.Redis, or a function that makes one, not {type(client).__name__}")
    return client
