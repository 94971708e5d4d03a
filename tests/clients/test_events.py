"""Events: what happens to a grant is one record each of the logger `foxy_auth`, with promised names and fields."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

import pytest
import requests
from clients.drivers import every_library
from clients.grants import aged, make_auth
from support.sources import FakeClock

from foxy_auth import FOXY_IO, PRODUCTION, SANDBOX, FoxyAuth, Token, TokenUnavailableError, _events
from foxy_auth._engine.delivery import Delivery
from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.drivers import Client

    from foxy_auth.emulator import Emulator


class Counting(logging.Handler):
    """Counts events, as programs do that export them."""

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    @property
    def counts(self) -> Counter[str]:
        """How often each event has happened."""
        return Counter(record.foxy_event for record in self.records)

    def fields(self, event: str) -> dict[str, Any]:
        """Return the fields of the last such event, without its name."""
        record = [record for record in self.records if record.foxy_event == event][-1]
        return {name: value for name, value in vars(record).items() if name.startswith("foxy_") and value != event}


@pytest.fixture
def events() -> Iterator[Counting]:
    """Listen as a program does."""
    logger, counting = logging.getLogger("foxy_auth"), Counting()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(counting)
    yield counting
    logger.removeHandler(counting)
    logger.setLevel(level)


@every_library
def test_life_of_a_token(client: Client, foxy: Emulator, events: Counting) -> None:
    """Each client records a refresh, its save and delivery, a retry after a 401, and what passes unsigned."""
    token = aged(foxy.grant("store_full_access store_id_7"), left=-1.0)
    auth = make_auth(foxy, token=token, store=MemoryStore(), on_token=lambda _: None)
    client.get(foxy.store_url, auth=auth)
    first = events.counts
    foxy.revoke_access_tokens()
    client.get(foxy.store_url, auth=auth)
    client.get(foxy.elsewhere.url, auth=auth)
    auth.flush()

    assert first == {"refreshed": 1, "saved": 1, "delivered": 1}
    assert events.counts == {"refreshed": 2, "saved": 2, "delivered": 2, "retried": 1, "unsigned": 1}
    common = {"foxy_environment": foxy.url, "foxy_store_id": events.fields("saved")["foxy_store_id"]}
    seconds = events.fields("refreshed").pop("foxy_seconds")
    assert 0.0 < seconds < 5.0
    assert events.fields("refreshed") == {**common, "foxy_seconds": seconds}
    assert events.fields("saved") == events.fields("delivered") == common
    assert events.fields("retried") == {**common, "foxy_status": 200}
    assert events.fields("unsigned") == {"foxy_environment": foxy.url, "foxy_origin": foxy.elsewhere.url}


def test_adopted_token(foxy: Emulator, events: Counting) -> None:
    """A token that another has saved is adopted, and none is said to be new."""
    token, store = aged(foxy.grant(), left=-1.0), MemoryStore()
    make_auth(foxy, token=token, store=store).get_token()
    other = make_auth(foxy, token=token, store=store)
    events.records.clear()
    other.get_token()

    assert events.counts == {"adopted": 1}
    assert [record.levelname for record in events.records] == ["INFO"]
    assert "new access token" not in events.records[0].getMessage()


def test_failed_refresh(foxy: Emulator, events: Counting) -> None:
    """A refresh that fails tells which error it was, how long it took, and how often it was tried."""
    foxy.fail(503, times=3)
    clock = FakeClock()
    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token, clock=clock)
    with pytest.raises(TokenUnavailableError):
        auth.get_token()

    assert events.counts == {"repeating": 2, "refresh_failed": 1}
    error = {"foxy_environment": foxy.url, "foxy_error": "TokenUnavailableError"}
    assert events.fields("repeating") == {**error, "foxy_attempts": 2}
    assert events.fields("refresh_failed") == {**error, "foxy_store_id": None, "foxy_seconds": sum(clock.sleeps)}


def test_failed_save_and_delivery(foxy: Emulator, events: Counting) -> None:
    """What the store or the callback does not take is told with the class of the error, and so is what is lost."""

    class Full(MemoryStore):
        def save(self, token: Token) -> None:
            raise OSError(28, "No space left on device")

    def refuse(_: Token) -> None:
        raise KeyError

    delivery = Delivery(refuse, timeout=1.0, environment=foxy.url)
    delivery.expect(foxy.grant())
    delivery.run()
    delivery.record_loss()
    auth = make_auth(foxy, token=aged(foxy.grant(), left=-1.0), store=Full())
    auth.get_token()
    auth._source._renewal.saving.reset()  # type: ignore[union-attr]  # lest it be tried again
    delivery.reset()

    assert events.counts == {"undelivered": 1, "lost": 1, "refreshed": 1, "unsaved": 1}
    assert (events.fields("undelivered")["foxy_error"], events.fields("unsaved")["foxy_error"]) == (
        "KeyError",
        "OSError",
    )


def test_a_filter_that_raises(foxy: Emulator, events: Counting, capsys: pytest.CaptureFixture[str]) -> None:
    """R19: A program's own mistake in its logging is shown, as `logging` shows others, and no token is lost by it."""
    events.addFilter(lambda record: bool(vars(record)["no_such_field"]))
    store, delivered = MemoryStore(), list[Token]()
    auth = make_auth(foxy, token=aged(foxy.grant(), left=-1.0), store=store, on_token=delivered.append)

    assert [auth.get_token()] == [store.load()] == delivered
    assert capsys.readouterr().err.count("KeyError: 'no_such_field'") == 3  # refreshed, saved, delivered


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        pytest.param("https://api-sandbox.foxycart.com/stores/1?key=MadeUp", "environment=SANDBOX", id="sandbox"),
        pytest.param("http://api.foxycart.com/", "write https", id="http"),
        pytest.param("https://api.foxycart.com.evil.example/", None, id="foreign"),
        pytest.param("https://mystore.foxycart.com/cart", None, id="the store's own host"),
    ],
)
def test_unsigned_requests(url: str, advice: str | None, events: Counting) -> None:
    """A request that probably was to be signed is warned of once for each object; others are told at DEBUG."""
    options: Any = {"client_id": "client_Fake", "client_secret": "FakeSecret", "refresh_token": "FakeRefresh"}
    one, other = FoxyAuth(**options), FoxyAuth(**options, environment=FOXY_IO)
    for auth in (one, one, other):
        requests.Request("GET", url, auth=auth).prepare()
    levels = [record.levelname for record in events.records]

    assert levels == (["WARNING", "DEBUG", "WARNING"] if advice else ["DEBUG"] * 3)
    assert all("MadeUp" not in record.getMessage() for record in events.records)
    assert all((advice or "") in record.getMessage() for record in events.records)
    assert {PRODUCTION.api, FOXY_IO.api} == {record.foxy_environment for record in events.records}


def test_production_with_an_auth_of_the_sandbox(events: Counting) -> None:
    """It is told the other way round too."""
    auth = FoxyAuth(client_id="client_Fake", client_secret="F", refresh_token="F", environment=SANDBOX)
    requests.Request("GET", "https://api.foxy.io/", auth=auth).prepare()

    assert "environment=PRODUCTION" in events.records[0].getMessage()


def test_table_of_events() -> None:
    """The table that programs are written by names each event, with its level."""
    rows = re.findall(r"^\| `([a-z_]+)` \| ([A-Z]+) \|", _events.__doc__ or "", re.MULTILINE)
    levels = {
        (name, logging.getLevelName(_events.LEVELS.get(name, logging.INFO))) for name in get_args(_events.EventName)
    }

    assert set(rows) == levels | {("unsigned", "WARNING")}


PROGRAM = """
import sys, requests
from foxy_auth import Environment, FoxyAuth, Token
from time import time

token = Token("FakeToken", refresh_token="FakeRefresh", expires_at=time() + 90.0, obtained_at=time() - 7000.0)
environment = Environment(api="http://127.0.0.1:9", origins=["https://api.foxycart.com"])
auth = FoxyAuth(client_id="client_Fake", client_secret="F", token=token, environment=environment, timeout=0.05)
auth.headers()  # which refreshes in the background, in vain
requests.Request("GET", "http://api.foxycart.com", auth=auth).prepare()
auth.close()
"""


def test_silence_without_logging() -> None:
    """In a program that configures no logging, a failed refresh in the background writes nothing."""
    outcome = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=60.0, check=False)

    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, b"", b"")
