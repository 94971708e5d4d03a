"""Programs whose tests move time by freezegun or time-machine."""

from __future__ import annotations

import threading
import time
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

import freezegun
import httpx
import pytest
import requests
import time_machine
from support.sources import DEADLINE

from foxy_auth import FoxyAuth, StoreError, Token
from foxy_auth.emulator import Emulator
from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = "2031-05-04 12:00:00+00:00"
STOPPED = [
    pytest.param(lambda: freezegun.freeze_time(NOON), id="freezegun"),
    pytest.param(lambda: time_machine.travel(NOON, tick=False), id="time-machine"),
]


def move(clock: Any, seconds: float) -> None:
    """Move time, by the method that either library has."""
    (clock.tick if hasattr(clock, "tick") else clock.shift)(seconds)


def auth_for(foxy: Emulator, **options: Any) -> FoxyAuth:
    """Return an auth object with a new grant."""
    return FoxyAuth(
        client_id=foxy.client_id,
        client_secret=foxy.client_secret,
        token=foxy.grant(),
        environment=foxy.environment,
        **options,
    )


@pytest.mark.parametrize("get", [requests.get, httpx.get], ids=["requests", "httpx"])
@pytest.mark.parametrize("stop", STOPPED)
def test_an_expired_token(stop: Callable[[], Any], get: Any) -> None:
    """R5: moving time past the expiry makes the client refresh, and the emulator refuse the expired token."""
    with Emulator() as foxy, stop() as clock:
        auth = auth_for(foxy)
        old = {"Authorization": f"Bearer {foxy.live_access_tokens[0]}", "FOXY-API-VERSION": "1"}
        statuses = [get(foxy.store_url, auth=auth).status_code]
        move(clock, 7200.0)
        statuses += [get(foxy.store_url, headers=old).status_code, get(foxy.store_url, auth=auth).status_code]

        assert statuses == [200, 401, 200]
        assert [call.arrived_at for call in foxy.token_calls] == [time.time()]
        assert auth.get_token().expires_at == time.time() + 7200.0


class HangingStore(MemoryStore):
    """A store that cannot be read until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.freed = threading.Event()

    def load(self) -> Token | None:
        """Hang."""
        self.freed.wait(DEADLINE)
        return None


def test_waits_end(foxy: Emulator) -> None:
    """A store that hangs is given up also while freezegun has stopped the clocks of Python."""
    store = HangingStore()
    with freezegun.freeze_time(NOON):
        auth = auth_for(foxy, store=store, timeout=0.1)
        with pytest.raises(StoreError):
            auth.refresh()
        store.freed.set()


def test_imported_while_time_stands_still() -> None:
    """Deadlines go by real time, also if freezegun had stopped time when the package was imported."""
    with freezegun.freeze_time(NOON):
        spec = find_spec("foxy_auth._time")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        before = module.monotonic()
        while module.monotonic() == before:
            pass

        assert time.monotonic() == time.monotonic()
