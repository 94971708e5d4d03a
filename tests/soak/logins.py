"""The logins: the first of each tenant, and another whenever a grant is gone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

from soak.plan import NAMES, TIMEOUT

if TYPE_CHECKING:
    from soak.provider import Provider

LOOK = 0.2  # seconds from one look for lost grants to the next


class Logins:
    """Logs tenants in; a context manager, which goes on in a thread of its own."""

    def __init__(self, provider: Provider, stores: dict[str, Any]) -> None:
        """Save the first token of each tenant."""
        self._provider, self._stores = provider, stores
        self._ending = Event()
        self._thread = Thread(target=self._run)
        stores["sqlite"].create_table()
        for tenant in NAMES:
            self._store(tenant).save(provider.grant(tenant))

    def _store(self, tenant: str) -> Any:
        kind, key = tenant.split("/")
        return self._stores[kind].for_key(key)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            while not self._ending.wait(LOOK):
                list(pool.map(self._log_in, self._provider.without_grant))

    def _log_in(self, tenant: str) -> None:
        store = self._store(tenant)
        with suppress(Exception), store.lock(TIMEOUT):  # the store may be down: another look comes
            store.save(self._provider.grant(tenant))
            self._provider.end_outage(tenant)
