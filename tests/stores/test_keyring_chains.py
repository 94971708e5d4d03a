"""`KeyringStore` with the package keyring as it is installed: its chain, its plug-ins, and those of keyrings.alt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.programs import needs_fork

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_fork

# Plug-ins of which a test installs some.
PLUGINS = """
from keyring.backend import KeyringBackend
from keyring.errors import PasswordSetError

class Secrets(KeyringBackend):
    priority = 5
    def __init__(self):
        super().__init__()
        self.secrets = {}
    def get_password(self, service, username):
        return self.secrets.get(username)
    def set_password(self, service, username, password):
        self.secrets[username] = password

class First(Secrets):
    priority = 9

class Last(Secrets):
    priority = 0.1

class ReadOnly(Secrets):
    priority = 9
    def set_password(self, service, username, password):
        raise NotImplementedError

class Unusable(ReadOnly):
    priority = 9
    def get_password(self, service, username):
        raise NotImplementedError

class Locked(Secrets):
    priority = 9
    def set_password(self, service, username, password):
        raise PasswordSetError("made up")

class Fading(Secrets):
    priority = 5
"""
DERIVED = """
from keyrings.alt.file import PlaintextKeyring

class Derived(PlaintextKeyring):
    priority = 5
"""
WRAPPING = """
from keyring.backend import KeyringBackend
from keyrings.alt.file import PlaintextKeyring
from keyrings.alt.multi import MultipartKeyringWrapper

class Parts(MultipartKeyringWrapper):
    priority = 5
    def __init__(self):
        super().__init__(PlaintextKeyring())

class Wrapper(KeyringBackend):
    priority = 6
    inner = MultipartKeyringWrapper(PlaintextKeyring())
    def get_password(self, *names):
        return self.inner.get_password(*names)
    def set_password(self, *names):
        self.inner.set_password(*names)
"""
PROGRAM = """
import keyring
from foxy_auth import Token
from foxy_auth.errors import StoreError
from foxy_auth.stores import KeyringStore

try:
    store = KeyringStore("made-up-program", "ann")
    for kind in keyring.backend.get_all_keyring():
        if type(kind).__name__ == "Fading":
            type(kind).priority = 0
    store.save(Token("made-up-token"))
    found = "loaded from" if store.load() == Token("made-up-token") else "lost, though in"
    backends = [*keyring.backend.get_all_keyring(), keyring.get_keyring()]
    print(found, *[type(one).__name__ for one in backends if getattr(one, "secrets", None)])
except StoreError as error:
    print(error)
"""


class Case(NamedTuple):
    """
    What is installed, and what comes of it.

    Attributes:
        plugins: The plug-ins that the package keyring finds beside those of keyrings.alt.

        outcome: A part of what the program prints.
    """

    plugins: str
    outcome: str
    code: str = PLUGINS
    environment: str = ""
    program: str = PROGRAM


NO_OTHER = "stores secrets in plain text"
NOBODY_STORES = "no keyring that encrypts stores the keyring entry of 'ann'"
CASES = {
    "plain text alone": Case("", f"the only keyring, PlaintextKeyring, {NO_OTHER}"),
    "read-only": Case("ReadOnly", NOBODY_STORES),
    "unusable": Case("Unusable", NOBODY_STORES),
    "two that store nothing": Case("ReadOnly Unusable", NOBODY_STORES),
    "unusable, and one after plain text": Case("Unusable Last", "loaded from Last"),
    "read-only, and two": Case("ReadOnly Secrets Last", "loaded from Secrets"),
    "two": Case("First Secrets", "loaded from First"),
    "locked": Case("Locked", "cannot be written (PasswordSetError)"),
    "locked, and another": Case("Locked Last", "cannot be written (PasswordSetError)"),
    "gone after the store was made": Case("Fading", f"the only keyring, PlaintextKeyring, {NO_OTHER}"),
    "gone, and read-only": Case("Fading ReadOnly", NOBODY_STORES),
    "gone, and another": Case("Fading Last", "loaded from Last"),
    "derived": Case("Derived", f"the only keyring, Derived, {NO_OTHER}", DERIVED),
    "wrapped by keyrings.alt": Case("Parts", f"the only keyring, Parts, {NO_OTHER}", WRAPPING),
    "wrapped twice": Case("Wrapper", f"the only keyring, Wrapper, {NO_OTHER}", WRAPPING),
    "named plain text": Case("Last", "the only keyring", environment="keyrings.alt.file.PlaintextKeyring"),
    "named fail": Case("Last", "there is no usable keyring", environment="keyring.backends.fail.Keyring"),
    "named null": Case("Last", "there is no usable keyring", environment="keyring.backends.null.Keyring"),
    "named chain": Case("ReadOnly", NOBODY_STORES, environment="keyring.backends.chainer.ChainerBackend"),
    "named other": Case("ReadOnly", "loaded from Last", environment="plugins.Last"),
}
# Forks for each case, whose folder its arguments name.
RUNNER = """
import ctypes.util, os, sys, traceback
ctypes.util.find_library = lambda name: None  # the keyring of macOS is not looked for, which takes long
import filelock, keyring, foxy_auth.stores.keyring

for folder in sys.argv[1:]:
    if os.fork() == 0:
        os.chdir(folder)
        sys.path.insert(0, folder)
        os.environ["HOME"] = os.path.join(folder, "home")
        with open("environment") as file:
            if name := file.read():
                os.environ["PYTHON_KEYRING_BACKEND"] = name
        os.dup2(os.open("output", os.O_CREAT | os.O_WRONLY), 1)
        try:
            with open("program") as file:
                exec(file.read())
        except BaseException:
            print(traceback.format_exc())
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


def prepare(folder: Path, case: Case) -> None:
    """Install the plug-ins of a case in *folder*."""
    (folder / "home").mkdir(parents=True)
    (folder / "program").write_text(case.program)
    (folder / "environment").write_text(case.environment)
    names = [line.split("(")[0].removeprefix("class ") for line in case.code.splitlines() if line.startswith("class ")]
    # The package keyring uses every backend in the modules of its entry points that has a priority.
    others = "".join(f"\n{name}.priority = 0" for name in names if name not in case.plugins.split())
    (folder / "plugins.py").write_text(case.code + others)
    (folder / "plugins-1.dist-info").mkdir()
    (folder / "plugins-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1\n")
    (folder / "plugins-1.dist-info" / "entry_points.txt").write_text("[keyring.backends]\nplugins = plugins\n")


# Which backends of keyrings.alt are used. `x(y)` is x that wraps y.
JUDGED = {
    "Gnome.Keyring": True,  # the login keyring of the desktop
    "Google.DocsKeyring": True,  # encrypted by what its user passes
    "Google.DocsKeyring(NullCrypter)": False,
    "Google.KeyczarDocsKeyring": True,
    "Windows.EncryptedKeyring": True,  # by CryptProtectData, for the user
    "Windows.RegistryKeyring": True,  # likewise
    "file.EncryptedKeyring": True,  # by a password, which it asks for
    "file.PlaintextKeyring": False,
    "multi.MultipartKeyringWrapper": True,  # depends on what it wraps
    "multi.MultipartKeyringWrapper(ChainerBackend)": False,
    "multi.MultipartKeyringWrapper(EncryptedKeyring)": True,
    "multi.MultipartKeyringWrapper(PlaintextKeyring)": False,
}
JUDGE = """
import importlib, json, pkgutil
import keyring.backend, keyring.backends.chainer, keyrings.alt
from foxy_auth.errors import StoreError
from foxy_auth.stores import KeyringStore

made = {}
for module in pkgutil.iter_modules(keyrings.alt.__path__):
    if module.name == "_win_crypto":
        continue  # has no backend, and cannot be imported elsewhere
    for kind in vars(importlib.import_module(f"keyrings.alt.{module.name}")).values():
        if isinstance(kind, type) and issubclass(kind, keyring.backend.KeyringBackend):
            if kind.__module__ == f"keyrings.alt.{module.name}" and not kind.__abstractmethods__:
                made[f"{module.name}.{kind.__name__}"] = kind.__new__(kind)  # not all can be made here
google, wrapper = made["Google.DocsKeyring"], type(made["multi.MultipartKeyringWrapper"])
made["Google.DocsKeyring(NullCrypter)"] = type(google).__new__(type(google))
made["Google.DocsKeyring(NullCrypter)"].crypter = keyring.backend.NullCrypter()
for inner in (keyring.backends.chainer.ChainerBackend(), made["file.EncryptedKeyring"], made["file.PlaintextKeyring"]):
    made[f"multi.MultipartKeyringWrapper({type(inner).__name__})"] = wrapper(inner)

def is_used(backend):
    try:
        return bool(KeyringStore("made-up-program", "ann", backend=backend))
    except StoreError as error:
        assert "plain text" in str(error), error
        return False

print(json.dumps({name: is_used(backend) for name, backend in made.items()}))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run all cases, each in a process of its own, and give their folders."""
    cases = {**CASES, "judge": Case("ReadOnly", "", program=JUDGE)}
    folders = {name: tmp_path_factory.mktemp("case") for name in cases}
    for name, case in cases.items():
        prepare(folders[name], case)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBUS_", "PYTHON", "XDG_"))}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", RUNNER, *map(str, folders.values())], env=environment, check=True)
    return folders


@pytest.mark.parametrize("name", CASES)
def test_chains(folders: dict[str, Path], name: str) -> None:
    """R27: Beside a keyring in plain text, also in disguise, only the others are used; nothing is written to a file."""
    assert CASES[name].outcome in (folders[name] / "output").read_text()
    assert list((folders[name] / "home").rglob("*")) == []


def test_every_keyring_of_keyrings_alt(folders: dict[str, Path]) -> None:
    """R27: Each backend of keyrings.alt is judged, and those that do not encrypt are refused."""
    assert json.loads((folders["judge"] / "output").read_text()) == JUDGED
