"""The stores of one's own that the README shows keep what a store promises."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sources import auth_for, expired

from foxy_auth.testing import StoreContract
from foxy_auth.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

    from foxy_auth.emulator import Emulator
    from foxy_auth.testing import MakeStore

README = Path(__file__).parents[1] / "README.md"
# An app of its own that holds the README's models.
APP = """
import django
from django.conf import settings

if not settings.configured:
    settings.configure()  # other tests of this process may have done so
database = {{"HOST": "127.0.0.1", "PORT": {port}, "USER": "foxy", "NAME": "postgres"}}
database["ENGINE"] = "django.db.backends.postgresql"
settings.INSTALLED_APPS, settings.DATABASES, settings.USE_TZ = ["foxy_shop"], {{"default": database}}, True
django.setup()
"""
# What a reader's own store could be.
MY_STORE = """
from foxy_auth.stores import FileStore

def MyStore(folder, key):
    return FileStore(folder / "tokens.json").for_key(key)
"""


def recipe(name: str) -> str:
    """Return what the README shows for a store of one's own."""
    found = re.search(
        rf"^<!-- store: {name} -->\n```py\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found, f"README.md shows no store for {name}"
    return found[1]


class TestDictStore(StoreContract):
    """In a dict."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Run the recipe."""
        names: dict[str, Any] = {}
        exec(recipe("dict"), names)  # noqa: S102 - our own README
        tokens: dict[str, Any] = {}
        return lambda key: names["DictStore"](tokens, key)

    def test_it_serves(self, make_store: MakeStore, foxy: Emulator) -> None:
        """An object over it refreshes, and keeps what it got."""
        store = make_store("one")
        auth = auth_for(foxy, expired(foxy), store=store)

        assert auth.get_token() == store.load()


class Overwriting:
    """Keeps a promise for as long as nobody looks: its file is empty for a moment."""

    def __init__(self, path: Path) -> None:
        """Keep the token at *path*."""
        self.path = path

    def load(self) -> Token | None:
        """Read the file."""
        return Token.from_dict(json.loads(self.path.read_text())) if self.path.exists() else None

    def save(self, token: Token) -> None:
        """Write over the former token."""
        self.path.write_text(json.dumps(token.to_dict()))


class Deleting(Overwriting):
    """Has nothing for a moment."""

    def save(self, token: Token) -> None:
        """Delete the former token first."""
        self.path.unlink(missing_ok=True)
        super().save(token)


class Remembering(Overwriting):
    """Never hears of what others have saved since."""

    seen: Token | None = None

    def load(self) -> Token | None:
        """Read the file once."""
        self.seen = self.seen or super().load()
        return self.seen


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Overwriting, StoreContract.test_a_token_is_there_whole_or_not_at_all),
        (Deleting, StoreContract.test_a_token_is_there_whole_or_not_at_all),
        (Remembering, StoreContract.test_all_parts_of_a_program_see_the_same),
    ],
)
def test_a_store_that_breaks_its_promise(tmp_path: Path, broken: type[Overwriting], promise: Any) -> None:
    """The contract finds out what goes wrong only while several parts of a program use the store."""
    with pytest.raises((AssertionError, OSError, ValueError)):
        promise(StoreContract(), lambda key: broken(tmp_path / key))


@pytest.fixture(scope="module")
def models(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Make an app of the recipe, and its table."""
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


class TestDjangoStore(StoreContract):
    """In a Django model."""

    shared = True

    @pytest.fixture
    def make_store(self, models: Any) -> Iterator[MakeStore]:
        """Begin with an empty table."""
        models.FoxyToken.objects.all().delete()
        models.connection.close()
        yield models.DjangoStore
        models.connection.close()

    def test_it_serves(self, make_store: MakeStore, foxy: Emulator) -> None:
        """An object over it refreshes, and keeps what it got, in one transaction that waits for no other thread."""
        store = make_store("one")
        auth = auth_for(foxy, expired(foxy), store=store)

        assert auth.get_token() == store.load()


def test_the_contract_as_its_reader_has_it(tmp_path: Path) -> None:
    """Written to a file, the README's test of a store of one's own runs, and judges it."""
    (tmp_path / "my_store.py").write_text(MY_STORE)
    (tmp_path / "test_my_store.py").write_text(recipe("contract"))
    command = [sys.executable, "-m", "pytest", "-q", "test_my_store.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=80)

    assert ended.returncode == 0, ended.stdout
    assert re.search(r"^[0-9]{2} passed", ended.stdout, re.MULTILINE), ended.stdout
