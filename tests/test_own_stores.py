"""The stores in the manual fulfil the contract, and the contract finds faulty stores."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from support.manual import MANUAL, blocks_of
from support.sources import auth_for, expired

from foxy_auth.testing import SharedStoreContract, StoreContract
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers import Server

    from foxy_auth.emulator import Emulator
    from foxy_auth.testing import MakeStore

PAGE = MANUAL / "how-to/write-a-store.md"
# The app that has the manual's models.
APP = """
import django
from django.conf import settings

if not settings.configured:
    settings.configure()  # unless other tests of this process have done so
database = {{"HOST": "127.0.0.1", "PORT": {port}, "USER": "foxy", "NAME": "postgres"}}
database["ENGINE"] = "django.db.backends.postgresql"
settings.INSTALLED_APPS, settings.DATABASES, settings.USE_TZ = ["foxy_shop"], {{"default": database}}, True
django.setup()
"""
# Stores that a reader of the manual may have written.
MY_STORE = """
from foxy_auth.stores import FileStore

def MyStore(folder, key):
    return FileStore(folder / "tokens.json").for_key(key)
"""
MY_WRONG_STORE = """
from foxy_auth.stores import FileStore

class Keeping(FileStore):
    def delete(self):
        pass

def MyStore(folder, key):
    return Keeping(folder / f"{key}.json")
"""


def recipe(contents: str) -> str:
    """Return the code block of the page that has *contents* in it."""
    [found] = [
        block.code
        for block in blocks_of(PAGE.read_text("utf-8"))
        if block.language == "python" and contents in block.code
    ]
    return found


class TestDictStore(StoreContract):
    """The manual's store in a dict."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Run the code block."""
        names: dict[str, Any] = {}
        exec(recipe("class DictStore"), names)  # noqa: S102 - our own page
        tokens: dict[str, Any] = {}
        return lambda key: names["DictStore"](tokens, key)

    def test_refresh(self, make_store: MakeStore, foxy: Emulator) -> None:
        """R19: An auth object with this store refreshes its token, and saves the new one."""
        store = make_store("one")
        auth = auth_for(foxy, expired(foxy), store=store)

        assert auth.get_token() == store.load()


class Overwriting:
    """A faulty store: while it saves, its file is empty for a moment."""

    def __init__(self, path: Path) -> None:
        """Keep the token at *path*."""
        self.path = path

    def load(self) -> Token | None:
        """Read the file."""
        return Token.from_dict(json.loads(self.path.read_text())) if self.path.exists() else None

    def save(self, token: Token) -> None:
        """Write the file."""
        self.path.write_text(json.dumps(token.to_dict()))


class Deleting(Overwriting):
    """A faulty store: while it saves, it has no token for a moment."""

    def save(self, token: Token) -> None:
        """Delete the former token first."""
        self.path.unlink(missing_ok=True)
        super().save(token)


class Caching(Overwriting):
    """A faulty store: it does not load what others have saved since it loaded first."""

    cached: Token | None = None

    def load(self) -> Token | None:
        """Read the file once."""
        self.cached = self.cached or super().load()
        return self.cached


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (Overwriting, StoreContract.test_save_is_atomic),
        (Deleting, StoreContract.test_save_is_atomic),
        (Caching, StoreContract.test_saved_tokens_are_seen_at_once),
    ],
)
def test_faulty_stores(tmp_path: Path, faulty: type[Overwriting], test: Any) -> None:
    """The contract finds faults that show only while several parts of a program use the store."""
    with pytest.raises((AssertionError, OSError, ValueError)):
        test(StoreContract(), lambda key: faulty(tmp_path / key))


class Right:
    """A store without a fault; the others have one each."""

    tokens: ClassVar[dict[str, Token]] = {}
    locks: ClassVar[dict[str, threading.Lock]] = {}

    def __init__(self, key: str) -> None:
        """Keep the token under *key*, in a place of this class's own."""
        self.key = f"{type(self).__name__} {key}"

    def load(self) -> Token | None:
        """Return the token."""
        return self.tokens.get(self.key)

    def save(self, token: Token) -> None:
        """Replace the token."""
        self.tokens[self.key] = token

    def delete(self) -> None:
        """Remove the token."""
        self.tokens.pop(self.key, None)

    @contextmanager
    def lock(self, timeout: float) -> Iterator[Any]:
        """Exclude the others."""
        if not self.locks.setdefault(self.key, threading.Lock()).acquire(timeout=timeout):
            raise TimeoutError
        try:
            yield
        finally:
            self.locks[self.key].release()


class Forgetful(Right):
    """Forgets a field."""

    def save(self, token: Token) -> None:
        """Save half of it."""
        super().save(replace(token, refresh_token=None))


class Open(Right):
    """Has a lock that excludes nobody."""

    def lock(self, timeout: float) -> Any:
        """Do nothing."""
        return nullcontext()


class Plain(Right):
    """Has a lock that is no context."""

    def lock(self, timeout: float) -> Any:
        """Lock for ever."""
        self.locks.setdefault(self.key, threading.Lock()).acquire(timeout=timeout)


class Undecorated(Right):
    """Has a lock that lacks its decorator."""

    def lock(self, timeout: float) -> Any:
        """Yield, which makes a generator of it."""
        yield


class Lockless(Right):
    """Has no lock."""

    lock: Any = None


class Stuck(Right):
    """Has a lock that stays locked after an error."""

    @contextmanager
    def lock(self, timeout: float) -> Iterator[Any]:
        """Release it only if all goes well."""
        if not self.locks.setdefault(self.key, threading.Lock()).acquire(timeout=timeout):
            raise TimeoutError
        yield
        self.locks[self.key].release()


class Patient(Right):
    """Has a lock that waits as long as it takes."""

    @contextmanager
    def lock(self, timeout: float) -> Iterator[Any]:
        """Ignore the timeout."""
        with super().lock(100.0):
            yield


class Keeping(Right):
    """Deletes nothing."""

    def delete(self) -> None:
        """Do nothing."""


# What the contract says about each.
SENTENCES: dict[tuple[type[Right], str], str] = {
    (
        Forgetful,
        "test_all_fields",
    ): "load() must return the token that was saved, with all its fields: refresh_token is "
    "None instead of 'made-up-refresh-token'",
    (Open, "test_timeout_of_the_lock"): "lock() must exclude others, and two held it at the same time",
    (Open, "test_threads_exclude_each_other"): "lock() must exclude other threads, and 4 held it at the same time",
    (
        Plain,
        "test_load_and_save_with_the_lock",
    ): "Plain.lock() must return a context that holds the lock, as a function "
    "with @contextmanager and one `yield` does, and returned NoneType",
    (Undecorated, "test_keys_are_independent"): "Undecorated.lock() must return a context that holds the lock, as a "
    "function with @contextmanager and one `yield` does, and returned generator",
    (Lockless, "test_protocol"): "Lockless has no method lock; see TokenStore",
    (Lockless, "test_a_waiting_thread_gets_the_lock"): "Lockless has no method lock; see TokenStore",
    (
        Stuck,
        "test_the_lock_is_released_after_an_error",
    ): "the lock must be free again after an error within it; release it in `finally`",
    (Patient, "test_timeout_of_the_lock"): "lock(0.2) must raise TimeoutError after 0.2 seconds, and waits for longer",
    (Keeping, "test_delete"): "load() must return None after delete(), and returned a Token with the access token "
    "'made-up-access-token'",
}


@pytest.mark.parametrize(("wrong", "test"), SENTENCES)
def test_what_the_contract_says(monkeypatch: pytest.MonkeyPatch, wrong: type[Right], test: str) -> None:
    """R24: The contract says in a sentence what a store must do, and what a wrong one did instead."""
    monkeypatch.setattr("foxy_auth.testing.SLACK", 0.1)
    monkeypatch.setattr(Right, "tokens", {})
    monkeypatch.setattr(Right, "locks", {})
    contract = getattr(StoreContract(), test)

    def argument(kind: type[Right]) -> Any:
        return kind if "make_store" in inspect.signature(contract).parameters else kind("one")

    contract(argument(Right))
    with pytest.raises(AssertionError) as caught:
        contract(argument(wrong))

    assert str(caught.value).partition("\n")[0] == SENTENCES[wrong, test]


@pytest.fixture(scope="module")
def models(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Make an app with the manual's models, and its table."""
    folder = tmp_path_factory.mktemp("django")
    (folder / "foxy_shop").mkdir()
    (folder / "foxy_shop" / "__init__.py").write_text(APP.format(port=postgres_server.port))
    (folder / "foxy_shop" / "models.py").write_text(recipe("class DjangoStore"))
    sys.path.insert(0, str(folder))
    try:
        models = importlib.import_module("foxy_shop.models")
        with models.connection.schema_editor() as editor:
            editor.create_model(models.FoxyToken)
        yield models
        with models.connection.schema_editor() as editor:
            editor.delete_model(models.FoxyToken)
    finally:
        sys.path.remove(str(folder))


class TestDjangoStore(SharedStoreContract):
    """The manual's store in a Django model."""

    @pytest.fixture
    def make_store(self, models: Any) -> Iterator[MakeStore]:
        """Begin with an empty table."""
        models.FoxyToken.objects.all().delete()
        models.connection.close()
        yield models.DjangoStore
        models.connection.close()

    def test_refresh(self, make_store: MakeStore, foxy: Emulator) -> None:
        """R19: An auth object with this store refreshes its token, and saves the new one, in one transaction."""
        store = make_store("one")
        auth = auth_for(foxy, expired(foxy), store=store)

        assert auth.get_token() == store.load()


def run_the_contract(folder: Path, my_store: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the manual's test of a reader's own store as it is shown."""
    (folder / "my_store.py").write_text(my_store)
    (folder / "test_my_store.py").write_text(recipe("class TestMyStore"))
    command = [sys.executable, "-m", "pytest", "-q", "test_my_store.py", *arguments]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # starts sooner
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=80)


def test_how_a_failure_is_shown(tmp_path: Path) -> None:
    """R24: Who runs the contract on a wrong store sees the line of the test, and the sentence below it."""
    ended = run_the_contract(tmp_path, MY_WRONG_STORE, "-k", "test_delete_is")
    sentence = "load() must return None after delete(), and returned a Token with the access token 'made-up-one.1'"

    assert ended.returncode == 1
    assert re.search(
        rf"^>       _expect_nothing.*\nE       AssertionError: {re.escape(sentence)}$", ended.stdout, re.MULTILINE
    )
    assert "__tracebackhide__" not in ended.stdout


def test_the_contract_in_the_manual(tmp_path: Path) -> None:
    """The manual's test of a reader's own store runs as it is shown."""
    ended = run_the_contract(tmp_path, MY_STORE)

    assert ended.returncode == 0, ended.stdout
    assert re.search(r"^[0-9]{2} passed", ended.stdout, re.MULTILINE), ended.stdout
