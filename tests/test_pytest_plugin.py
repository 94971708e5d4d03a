"""The pytest plugin, as the tests of other people's programs use it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
from support.sources import DEADLINE

import foxy_auth
from foxy_auth import FoxyAuth, TokenUnavailableError, _libraries
from foxy_auth.stores import MemoryStore
from foxy_auth.testing import FoxyClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from foxy_auth import Token
    from foxy_auth.emulator import Emulator

# A program and its tests, as somebody else would write them: some with anyio's plugin.
SHOP = """
import httpx, requests
from foxy_auth import FoxyAuth

def api():
    return FoxyAuth.from_env()

def store_name():
    auth = api()
    home = requests.get(auth.environment.api, auth=auth).json()
    return requests.get(home["_links"]["fx:store"]["href"], auth=auth).json()["store_name"]

async def store_status(auth, url):
    async with httpx.AsyncClient(auth=auth) as client:
        return (await client.get(url)).status_code
"""
TEST_SHOP = """
import pytest, shop

def test_name(foxy_env):
    assert shop.store_name() == "Example Outfitters"

def test_revoked(foxy, foxy_env):
    foxy.revoke_refresh_tokens()
    with pytest.raises(Exception, match="authorize again"):
        shop.store_name()

@pytest.mark.anyio
async def test_a_day_later(foxy, foxy_auth_for, foxy_clock):
    auth = foxy_auth_for("store_full_access")
    foxy_clock.advance(86400)
    assert await shop.store_status(auth, foxy.store_url) == 200
    assert len(foxy.token_calls) == 1

from foxy_auth.testing import StoreContract

class Broken:
    def load(self): return "?"

class TestBroken(StoreContract):
    @pytest.fixture
    def make_store(self):
        return lambda key: Broken()
"""


def test_somebody_elses_program(tmp_path: Path) -> None:
    """The tests of a small program need no more than the names of fixtures; contracts explain what they saw."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "test_shop.py").write_text(TEST_SHOP)
    # Without the other plugins that are installed here, most of which take long to load.
    options = ["-p", "foxy_auth.pytest_plugin", "-p", "anyio", "-p", "no:cacheprovider", "-W", "error"]
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-k", "not TestBroken or test_empty"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "load() must return" in outcome.stdout
    assert "1 failed, 4 passed" in outcome.stdout  # the async one on asyncio and on trio


def test_without_flask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: without the extra, a test that asks for the emulator fails with a sentence that says what to install."""
    for name in [name for name in sys.modules if name.startswith("foxy_auth.emulator")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flask", None)
    monkeypatch.setattr(_libraries, "find_spec", lambda _: None)

    with pytest.raises(pytest.fail.Exception, match=r"Emulator needs flask: pip install 'foxy_auth\[emulator\]'"):
        request.getfixturevalue("foxy")


def test_cost_of_the_plugin() -> None:
    """The plugin loads nothing of the package, nor anything else, before a fixture is asked for."""
    (plugin,) = entry_points(group="pytest11", name="foxy_auth")
    program = f"import pytest, typing, sys, importlib; before = set(sys.modules); import {plugin.value}"
    program += "; print(*sorted(set(sys.modules) - before))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert printed.stdout.split() == ["foxy_auth", "foxy_auth.pytest_plugin"]


def test_program_that_runs_pytest() -> None:
    """A program that has imported the package before it runs pytest is not warned that this was too early."""
    assert "PYTEST_DONT_REWRITE" in str(foxy_auth.__doc__)


def test_foxy_auth_for(foxy: Emulator, foxy_auth_for: Callable[..., FoxyAuth]) -> None:
    """`foxy_auth_for` grants a scope, and passes further options on."""
    received: list[Token] = []
    auth = foxy_auth_for("user_full_access", on_token=received.append, timeout=5.0)

    home = requests.get(foxy.url, auth=auth, timeout=20).json()
    auth.refresh()

    assert "fx:user" in home["_links"]
    assert received == [auth.token]
    assert foxy_auth_for().get_token().store_id == "1"


def test_foxy_env(foxy: Emulator, foxy_env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`foxy_env` is what `from_env` reads, also where a proxy is set; and what another process may be given."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    assert requests.get(foxy.store_url, auth=FoxyAuth.from_env(), timeout=20).status_code == 200
    assert FoxyAuth.from_env(foxy_env).environment == foxy.environment


@pytest.mark.parametrize("get", [requests.get, httpx.get], ids=["requests", "httpx"])
def test_clock(foxy: Emulator, foxy_auth_for: Callable[..., FoxyAuth], get: Any) -> None:
    """The clock moves objects that exist already, on both sides; without it all is as before."""
    auth = foxy_auth_for()
    old = {**auth.headers()}
    with FoxyClock() as clock:
        clock.advance(7200)
        statuses = [get(foxy.store_url, headers=old).status_code, get(foxy.store_url, auth=auth).status_code]
        token = auth.get_token()
        assert (token.expires_at, token.expires_in) == (clock.now + 7200, 7200)

    assert (statuses, len(foxy.token_calls)) == ([401, 200], 1)
    assert get(foxy.store_url, headers=old).status_code == 200


def test_pauses_take_no_time(foxy: Emulator, foxy_auth_for: Callable[..., FoxyAuth], foxy_clock: FoxyClock) -> None:
    """R13: the pauses between token requests move the clock, and so does what the provider asks for."""
    foxy.fail(503, headers={"Retry-After": "20"})
    auth = foxy_auth_for()
    began = foxy_clock.now

    assert auth.refresh().obtained_at == began + 20

    foxy.fail(503, headers={"Retry-After": "100"})
    with pytest.raises(TokenUnavailableError):
        auth.refresh()
    foxy_clock.advance(100)
    assert auth.refresh().obtained_at == began + 120


class FailingStore(MemoryStore):
    """A store that fails once."""

    failures = 1

    def __init__(self) -> None:
        """Have nothing saved."""
        super().__init__()
        self.saved = threading.Event()

    def save(self, token: Token) -> None:
        """Fail at first."""
        self.failures -= 1
        if self.failures >= 0:
            raise OSError
        super().save(token)
        self.saved.set()


def test_timers(foxy_auth_for: Callable[..., FoxyAuth], foxy_clock: FoxyClock) -> None:
    """R19: what could not be saved is saved half a minute later, when the clock is moved."""
    store = FailingStore()
    auth = foxy_auth_for(store=store)
    auth.refresh()
    assert store.load() is None

    foxy_clock.advance(29)
    assert store.failures == 0
    foxy_clock.advance(1)

    assert store.saved.wait(DEADLINE)
    assert store.load() == auth.token


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_no_way_back(foxy_clock: FoxyClock, seconds: float) -> None:
    """R24: time does not go backwards."""
    with pytest.raises(ValueError, match="zero or more"):
        foxy_clock.advance(seconds)
