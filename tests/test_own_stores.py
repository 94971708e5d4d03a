"""The stores in the README fulfil the contract, and the contract finds faulty stores."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.sources import auth_for, expired

from foxy_auth.testing import SharedStoreContract, StoreContract
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers import Server

    from foxy_auth.emulator import Emulator
    from foxy_auth.testing import MakeStore

README = Path(__file__).parents[1] / "README.md"
# The app that has the README's models.
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
# A store that a reader of the README may have written.
MY_STORE = """
from foxy_auth.stores import FileStore

def MyStore(folder, key):
    return FileStore(folder / "tokens.json").for_key(key)
"""


def recipe(name: str) -> str:
    """Return the README's code block *name*."""
    found = re.search(
        rf"^<!-- store: {name} -->\n```py\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found, f"README.md has no code block {name}"
    return found[1]


class TestDictStore(StoreContract):
    """The README's store in a dict."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Run the code block."""
        names: dict[str, Any] = {}
        exec(recipe("dict"), names)  # noqa: S102 - our own README
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


@pytest.fixture(scope="module")
def models(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Make an app with the README's models, and its table."""
    folder = tmp_path_factory.mktemp("django")
    (folder / "foxy_shop").mkdir()
    (folder / "foxy_shop" / "__init__.py").write_text(APP.format(port=postgres_server.port))
    (folder / "foxy_shop" / "models.py").write_text(recipe("Django"))
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
    """The README's store in a Django model."""

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


def test_the_contract_in_the_readme(tmp_path: Path) -> None:
    """The README's test of a reader's own store runs as it is shown."""
    (tmp_path / "my_store.py").write_text(MY_STORE)
    (tmp_path / "test_my_store.py").write_text(recipe("contract"))
    command = [sys.executable, "-m", "pytest", "-q", "test_my_store.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # starts sooner
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=80
    )

    assert ended.returncode == 0, ended.stdout
    assert re.search(r"^[0-9]{2} passed", ended.stdout, re.MULTILINE), ended.stdout
