"""`FileStore`."""

from __future__ import annotations

import codecs
import os
import resource
import shutil
import signal
import stat
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet
from support.file_store_actions import ACTIONS, NEWER

from foxy_auth.errors import StoreError
from foxy_auth.stores import FileStore
from foxy_auth.testing import TOKEN, MakeStore, RecordContract, SharedStoreContract, in_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


class TestContract(SharedStoreContract, RecordContract):
    """What every shared store with readable records must do."""

    errors = StoreError

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        """Use a folder that does not exist yet."""
        return lambda key: FileStore(tmp_path / "new" / "token.json").for_key(key)

    @pytest.fixture
    def read_record(self, tmp_path: Path) -> Callable[[str], str]:
        """Read the file."""
        return lambda key: (tmp_path / "new" / f"token.{key}.json").read_text("utf-8")

    @pytest.fixture
    def write_record(self, tmp_path: Path) -> Callable[[str, str], object]:
        """Write the file."""
        (tmp_path / "new").mkdir()
        return lambda key, record: (tmp_path / "new" / f"token.{key}.json").write_text(record, "utf-8")


class TestEncryptedContract(SharedStoreContract):
    """What every shared store must do, with encryption."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        """Use one encryption key for all."""
        encryption_key = Fernet.generate_key()
        return lambda key: FileStore(tmp_path / "token", encryption_key=encryption_key).for_key(key)


def permissions(path: Path) -> int:
    """Return the permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_private(tmp_path: Path) -> None:
    """R23: A file, its lock and the folders created for them are accessible to their owner only, whatever the umask."""
    umask = os.umask(0)
    folder = tmp_path / "above" / "new"
    try:
        store = FileStore(folder / "token.json")
        with store.lock(1.0):
            store.save(TOKEN)
            store.save(NEWER)
    finally:
        os.umask(umask)
    files = sorted(folder.iterdir())

    assert [(path.name, permissions(path)) for path in files] == [("token.json", 0o600), ("token.json.lock", 0o600)]
    assert permissions(folder) == permissions(folder.parent) == 0o700


def test_a_record_is_on_the_disk_before_it_replaces_the_former(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R19: The new record is synced, then it replaces the former in one step, then the folder is synced."""
    steps: list[str] = []
    store = FileStore(tmp_path / "token.json")
    store.save(TOKEN)
    fsync, rename = os.fsync, os.replace

    def note_fsync(handle: int) -> None:
        steps.append(f"fsync, and the store holds {getattr(store.load(), 'access_token', None)}")
        fsync(handle)

    def note_replace(source: str, target: str) -> None:
        steps.append("replace")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    store.save(NEWER)

    assert steps == [
        f"fsync, and the store holds {TOKEN.access_token}",
        "replace",
        f"fsync, and the store holds {NEWER.access_token}",
    ]


def test_temporary_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    """R23: A temporary file whose writer was killed is removed by the next save, once nobody can be writing it."""
    store = FileStore(tmp_path / "token.json")
    old, new, other = (tmp_path / name for name in (".token.json.a.new", ".token.json.b.new", ".other.json.a.new"))
    for path in (old, new, other):
        path.write_text("made up")
    for path in (old, other):
        os.utime(path, (1, 1))
    store.save(TOKEN)

    assert [path.exists() for path in (old, new, other)] == [False, True, True]


def test_relative_paths_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is resolved once, whatever folder the program changes to; a link is followed, not replaced."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.json").symlink_to(tmp_path / "other" / "token.json")
    store = FileStore("link.json")
    monkeypatch.chdir(tmp_path / "other")
    store.save(TOKEN)

    assert (tmp_path / "link.json").is_symlink()
    assert FileStore(tmp_path / "link.json").load() == TOKEN


def test_what_delete_leaves(tmp_path: Path) -> None:
    """R23: The record goes, and what a killed writer left of it; the lock, a damaged record and other files stay."""
    store = FileStore(tmp_path / "token.json")
    (tmp_path / "token.json").write_text("{damaged")
    with store.lock(1.0):
        store.save(TOKEN)
    FileStore(tmp_path / "other.json").save(TOKEN)
    (tmp_path / ".token.json.a.new").write_text("made up")
    os.utime(tmp_path / ".token.json.a.new", (1, 1))
    store.delete()

    assert {path.name for path in tmp_path.iterdir()} == {"other.json", "token.json.1.damaged", "token.json.lock"}


# --- what cannot be written ------------------------------------------------------------------------------------------


def without_privileges(work: Callable[[], object]) -> str:
    """Call *work* in a child that has no rights of root; return its error."""

    def work_as_nobody() -> object:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work()

    return error_of(work_as_nobody)


def on_a_full_disk(work: Callable[[], object]) -> str:
    """Call *work* in a child that can write 50 bytes to a file; return its error."""

    def work_with_a_limit() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
        return work()

    return error_of(work_with_a_limit)


def error_of(work: Callable[[], object]) -> str:
    """Call *work* in a forked child; return the error, or "done"."""
    codecs.lookup("ascii")  # loads the codec, which nobody may be unable to read
    status, text = in_fork(work)
    return text if status else "done"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that every user can reach, with a stored token and a lock file."""
    folder = Path(mkdtemp(prefix="foxy-auth-"))
    folder.chmod(0o755)
    store = FileStore(folder / "token.json")
    with store.lock(1.0):
        store.save(TOKEN)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def modes(folder: Path, mode: int, *, token: int, lock: int, owner: int = NOBODY) -> Iterator[FileStore]:
    """Change the permissions and, as root, the owner of the files in a folder for a while."""
    files, me = {folder / "token.json": token, folder / "token.json.lock": lock}, os.geteuid()
    for file, permissions in files.items():
        os.chown(file, owner if me == 0 else me, -1)
        file.chmod(permissions)
    folder.chmod(mode)
    yield FileStore(folder / "token.json")
    folder.chmod(0o755)
    for file in files:
        os.chown(file, me, -1)
        file.chmod(0o600)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_file_without_permissions(folder: Path, action: str) -> None:
    """A file that cannot be read, written or locked is an error that names it, and is not changed."""
    with modes(folder, 0o555, token=0, lock=0) as store:
        error = without_privileges(lambda: ACTIONS[action](store))

    assert error.startswith("StoreError")
    assert str(folder / "token.json") in error
    assert "repair" in error
    assert store.load() == TOKEN


def test_a_read_only_folder_can_be_loaded_from(folder: Path) -> None:
    """A token in a folder without write permission can be loaded, but not saved, deleted or locked."""
    with modes(folder, 0o555, token=0o444, lock=0o444) as store:
        outcomes = [without_privileges(lambda run=run: run(store)) for run in ACTIONS.values()]  # type: ignore[misc]

    assert [outcome.partition("(")[0] for outcome in outcomes] == ["done", *["StoreError"] * 3]
    assert store.load() == TOKEN


@pytest.mark.parametrize("mode", [0o555, 0o1777], ids=oct)
@pytest.mark.parametrize("action", ["lock", "save"])
def test_no_lock_where_nothing_can_be_saved(folder: Path, action: str, mode: int) -> None:
    """R11: Who could not save the new token does not get the lock, and so does not spend the refresh token."""
    with modes(folder, mode, token=0o444, lock=0o666) as store:
        error = without_privileges(lambda: ACTIONS[action](store))

    assert f"{folder / 'token.json'} cannot be written" in error
    assert store.load() == TOKEN


@pytest.mark.parametrize("action", ["lock", "save"])
def test_a_full_disk(tmp_path: Path, action: str) -> None:
    """R11: On a full disk nobody gets the lock; the former record is intact, and no temporary file is left."""
    store = FileStore(tmp_path / "token.json")
    with store.lock(1.0):
        store.save(TOKEN)
    error = on_a_full_disk(lambda: ACTIONS[action](store))

    assert error.startswith("StoreError")
    assert "File too large" in error
    assert store.load() == TOKEN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["token.json", "token.json.lock"]


def test_a_full_disk_and_a_damaged_record(tmp_path: Path) -> None:
    """A damaged record keeps its name until the new one is on the disk."""
    store = FileStore(tmp_path / "token.json")
    (tmp_path / "token.json").write_text("{")
    error = on_a_full_disk(lambda: store.save(TOKEN))

    assert error.startswith("StoreError")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"token.json": "{"}


# --- what is not a record --------------------------------------------------------------------------------------------


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file of 100 MB is refused without being read into memory."""
    path = tmp_path / "token.json"
    with path.open("wb") as file:
        file.write(b"[" * 1000)
        file.truncate(100_000_000)
    limit = resource.RLIMIT_DATA

    def load_with_little_memory() -> object:
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
        resource.setrlimit(limit, (used + 50_000_000, resource.RLIM_INFINITY))
        return FileStore(path).load()

    status, error = in_fork(load_with_little_memory)

    assert (status, path.stat().st_size) == (1, 100_000_000)
    assert "longer than" in error


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda path: path.write_bytes(b"\xff" * 100), lambda path: path.symlink_to(path)],
    ids=["folder", "pipe", "bytes", "link to itself"],
)
def test_other_things_than_a_record(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A folder, a pipe (which is not waited for), bytes that are not text or a link to itself are errors."""
    make(tmp_path / "token.json")
    with pytest.raises(StoreError, match=r"token\.json"):
        FileStore(tmp_path / "token.json").load()


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """A save does not replace what is not a file."""
    os.mkfifo(tmp_path / "token.json")
    with pytest.raises(StoreError, match="is not a regular file"):
        FileStore(tmp_path / "token.json").save(TOKEN)

    assert (tmp_path / "token.json").is_fifo()


def test_long_names(tmp_path: Path) -> None:
    """R24: A name that leaves no room for temporary files is refused at once; the longest that is accepted works."""
    longest = FileStore(tmp_path / "token").for_key("x" * 234)
    with longest.lock(1.0):
        longest.save(TOKEN)
    next(tmp_path.glob("token.x*x")).write_text("{")
    longest.save(NEWER)
    with pytest.raises(ValueError, match="240 bytes"):
        FileStore(tmp_path / "token").for_key("x" * 235)
    with pytest.raises(ValueError, match="240 bytes"):
        FileStore(tmp_path / ("ü" * 121))

    assert longest.load() == NEWER


def test_the_name_contains_the_key(tmp_path: Path) -> None:
    """Each key has its own file, with the suffix of the first."""
    FileStore(tmp_path / "token.json").for_key("store-123").save(TOKEN)

    assert [path.name for path in tmp_path.iterdir()] == ["token.store-123.json"]
