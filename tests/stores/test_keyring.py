"""`KeyringStore`."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from support.keyrings import BrokenKeyring, FileKeyring, PlaintextKeyring

from foxy_auth.errors import StoreError
from foxy_auth.stores import KeyringStore
from foxy_auth.testing import TOKEN, MakeStore, RecordContract, SharedStoreContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVICE = "made-up-program"
FAIL: Any = fail.Keyring()  # type: ignore[no-untyped-call]
NULL: Any = null.Keyring()  # type: ignore[no-untyped-call]


@pytest.fixture
def backend(tmp_path: Path) -> FileKeyring:
    """Give a keyring of the test's own."""
    return FileKeyring(tmp_path / "keyring.json")


class TestContract(SharedStoreContract, RecordContract):
    """What every shared store with readable records must do."""

    errors = StoreError

    @pytest.fixture
    def make_store(self, backend: FileKeyring) -> MakeStore:
        """Use the default lock file."""
        return lambda key: KeyringStore(SERVICE, "ann", backend=backend).for_key(key)

    @pytest.fixture
    def read_record(self, backend: FileKeyring) -> Callable[[str], str]:
        """Get the password."""
        return lambda key: str(backend.get_password(SERVICE, f"ann/{key}"))

    @pytest.fixture
    def write_record(self, backend: FileKeyring) -> Callable[[str, str], object]:
        """Set the password."""
        return lambda key, record: backend.set_password(SERVICE, f"ann/{key}", record)


def chain(*backends: Any) -> Any:
    """Make a backend that tries others in turn."""
    return type("Chain", (chainer.ChainerBackend,), {"backends": [*backends]})()


@pytest.mark.parametrize(
    ("unusable", "message"),
    [
        pytest.param(FAIL, "no usable keyring", id="fail"),
        pytest.param(NULL, "no usable keyring", id="null"),
        pytest.param(chain(), "no usable keyring", id="empty chain"),
        pytest.param(chain(FAIL, PlaintextKeyring()), "plain text", id="chain"),
        pytest.param(chain(chain(FAIL), chain(NULL, PlaintextKeyring())), "plain text", id="nested chain"),
        pytest.param(type("Silent", (null.Keyring,), {})(), "no usable keyring", id="derived from null"),
        pytest.param(PlaintextKeyring(), "plain text", id="plain text"),
    ],
)
def test_unusable_keyrings(monkeypatch: pytest.MonkeyPatch, unusable: Any, message: str) -> None:
    """R24: Where there is no keyring, or only one that does not encrypt, that is an error at once."""
    monkeypatch.setattr("keyring.get_keyring", lambda: unusable)
    with pytest.raises(StoreError, match=f"{message}.*FileStore"):
        KeyringStore(SERVICE, "ann")


@pytest.mark.parametrize("names", [("", "ann"), (SERVICE, ""), (SERVICE, None)])
def test_invalid_names(backend: FileKeyring, names: Any) -> None:
    """R24: Program and user must have names."""
    with pytest.raises(ValueError, match="two names"):
        KeyringStore(*names, backend=backend)


def test_the_keyring_of_the_machine(monkeypatch: pytest.MonkeyPatch, backend: FileKeyring) -> None:
    """By default the backend is the one that the package keyring chooses, which may be the first usable of a chain."""
    for chosen in (backend, chain(FAIL, backend, PlaintextKeyring())):
        monkeypatch.setattr("keyring.get_keyring", lambda chosen=chosen: chosen)
        KeyringStore(SERVICE, "ann")
    monkeypatch.setattr("keyring.get_keyring", lambda: backend)
    KeyringStore(SERVICE, "ann").save(TOKEN)

    assert list(backend.secrets()) == ["made-up-program ann"]


def test_delete_reaches_every_keyring(tmp_path: Path) -> None:
    """No older token comes to light in another keyring of a chain; a keyring that cannot remove one is an error."""
    old, new = (FileKeyring(tmp_path / name) for name in ("old", "new"))
    KeyringStore(SERVICE, "ann", backend=old).save(TOKEN)
    store = KeyringStore(SERVICE, "ann", backend=chain(FAIL, new, old))
    store.save(replace(TOKEN, access_token="made-up-newer"))
    store.delete()
    assert (store.load(), old.secrets(), new.secrets()) == (None, {}, {})

    keeping = type("Keeping", (FileKeyring,), {"delete_password": KeyringBackend.delete_password})(tmp_path / "old")
    store = KeyringStore(SERVICE, "ann", backend=chain(new, keeping))
    store.delete()
    old.set_password(SERVICE, "ann", "made up")
    with pytest.raises(StoreError, match="cannot be removed"):
        store.delete()


def test_windows_stores_1280_characters(tmp_path: Path) -> None:
    """A record that is too long for Windows is refused before anything is written."""
    windows = type("Windows", (FileKeyring,), {"__module__": "keyring.backends.Windows"})(tmp_path / "keyring.json")
    store = KeyringStore(SERVICE, "ann", backend=windows)
    store.save(replace(TOKEN, access_token="x"))
    room = 1280 - len(str(windows.get_password(SERVICE, "ann")))
    longest = replace(TOKEN, access_token="x" * (room + 1))
    store.save(longest)
    with pytest.raises(StoreError, match=r"takes 1281 characters of 1280.*FileStore"):
        store.save(replace(TOKEN, access_token="x" * (room + 2)))

    assert store.load() == longest


def test_a_limit_for_other_keyrings(backend: FileKeyring) -> None:
    """The longest record can be set for any keyring."""
    with pytest.raises(StoreError, match="of 100"):
        KeyringStore(SERVICE, "ann", backend=backend, limit=100).save(TOKEN)


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyError, TimeoutError, type("error", (Exception,), {})])
def test_any_error_of_a_keyring(error: type[Exception]) -> None:
    """R23: Whatever a backend raises, such as `pywintypes.error`, is a `StoreError` without the text of the cause."""
    store = KeyringStore(SERVICE, "ann", backend=BrokenKeyring(error(TOKEN.access_token)))
    for action in (store.load, lambda: store.save(TOKEN)):
        with pytest.raises(StoreError, match=f"{error.__name__}.*unlock") as caught:
            action()
        assert isinstance(caught.value.__cause__, error)
        assert TOKEN.access_token not in str(caught.value)


def permissions(path: Path) -> int:
    """Return the permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def test_the_lock_file_is_private(tmp_path: Path, backend: FileKeyring, clean_environment: Path) -> None:
    """The lock file is accessible to the user only, in the folder for programs' state or at `lock_path`."""
    for lock_path in (None, tmp_path / "own" / "lock"):
        with KeyringStore(SERVICE, "ann", backend=backend, lock_path=lock_path).lock(1.0):
            pass
    [path] = clean_environment.rglob("keyring-*.lock")

    assert (permissions(path), permissions(path.parent), path.parent.name) == (0o600, 0o700, "foxy_auth")
    assert permissions(tmp_path / "own" / "lock") == 0o600


def test_cron_and_desktop_share_the_lock(tmp_path: Path, backend: FileKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """R11: A program that cron starts, without the settings of a desktop, uses the same lock as one of the desktop."""
    store = KeyringStore(SERVICE, "ann", backend=backend)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with store.lock(1.0):
        monkeypatch.delenv("XDG_STATE_HOME")
        with pytest.raises(TimeoutError), store.lock(0.0):
            pass


def test_each_key_has_its_own_lock(tmp_path: Path, backend: FileKeyring) -> None:
    """The locks of different keys are independent, also with `lock_path`."""
    store = KeyringStore(SERVICE, "ann", backend=backend, lock_path=tmp_path / "lock")
    with store.lock(0.0), store.for_key("one").lock(0.0), store.for_key("other").lock(0.0):
        names = sorted(path.name for path in tmp_path.glob("lock*"))
        with pytest.raises(TimeoutError), store.for_key("one").lock(0.0):
            pass

    assert names == ["lock", "lock.one", "lock.other"]
