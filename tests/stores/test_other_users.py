"""Tokens on a machine that has other users: their files, their links, and what they can read."""

from __future__ import annotations

import codecs
import os
import sqlite3
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from support.file_store_actions import ACTIONS, NEWER, hold_lock
from support.users import NOBODY, needs_root, open_folder

from foxy_auth.errors import StoreError
from foxy_auth.stores import FileStore, SQLAlchemyStore
from foxy_auth.testing import TOKEN, in_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="this system has no file modes"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


def permissions(path: Path) -> int:
    """Return the permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set the umask for a while."""
    former = os.umask(mask)
    try:
        yield
    finally:
        os.umask(former)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that every user can reach."""
    with open_folder() as folder:
        yield folder


def as_nobody(work: Callable[[], object]) -> str:
    """Call *work* in a child that runs as another user; return its result or its error."""

    def work_as_nobody() -> object:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return work()

    codecs.lookup("ascii")  # loads the codec, which nobody may be unable to read
    return in_fork(work_as_nobody)[1]


# --- modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o601, 0o666, 0o777], ids=oct)
@pytest.mark.parametrize("action", ["load", "save", "lock"])
def test_a_record_that_others_can_access(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, action: str, mode: int
) -> None:
    """R27: Whatever is done with a record that other users can access, it is private afterwards, and that is logged."""
    store, path = FileStore(tmp_path / "token.json"), tmp_path / "token.json"
    store.save(TOKEN)
    path.chmod(mode)
    ACTIONS[action](store)

    assert permissions(path) & 0o077 == 0
    assert f"{path} was open to other users (mode {mode:04o})" in caplog.text
    assert [(record.name, record.levelname) for record in caplog.records] == [("foxy_auth", "WARNING")]


@pytest.mark.parametrize("error", [None, PermissionError])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_file_system_without_modes(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    error: type[OSError] | None,
) -> None:
    """Where the file system keeps no modes, as FAT and WSL, the store works, and a warning says so once."""

    def fchmod(*_: object) -> None:
        if error:
            raise error

    path = tmp_path / "token.json"
    FileStore(path).save(TOKEN)
    path.chmod(0o777)
    monkeypatch.setattr(os, "fchmod", fchmod)
    for _ in range(2):
        ACTIONS[action](FileStore(path))

    assert f"{path} is open to other users (mode 0777), and cannot be made private" in caplog.text
    assert len(caplog.records) == 1


def test_a_private_record_is_not_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A record that its owner has made read-only stays so, and nothing is logged."""
    store = FileStore(tmp_path / "token.json")
    store.save(TOKEN)
    (tmp_path / "token.json").chmod(0o400)

    assert (store.load(), permissions(tmp_path / "token.json"), caplog.text) == (TOKEN, 0o400, "")


def test_a_damaged_record_is_kept_private(tmp_path: Path) -> None:
    """R27: A damaged record that others could read is private when it is kept aside; there may be a token in it."""
    path = tmp_path / "token.json"
    path.write_text('{"access_token": "made-up"')
    path.chmod(0o644)
    FileStore(path).save(TOKEN)

    assert {file.name: permissions(file) for file in tmp_path.iterdir()} == {
        "token.json": 0o600,
        "token.json.1.damaged": 0o600,
    }


def test_a_lock_file_that_others_can_access(tmp_path: Path) -> None:
    """R27: A lock file that other users could lock is private afterwards."""
    (tmp_path / "token.json.lock").touch()
    (tmp_path / "token.json.lock").chmod(0o666)
    hold_lock(FileStore(tmp_path / "token.json"))

    assert permissions(tmp_path / "token.json.lock") == 0o600


def test_temporary_files_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R27: A temporary file is private from its first moment, whatever the umask."""
    seen: list[int] = []
    fsync = os.fsync

    def note_fsync(handle: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note_fsync)
    with umask(0):
        FileStore(tmp_path / "token.json").save(TOKEN)

    assert seen[0] == 0o600


def test_a_hard_link_is_private_too(tmp_path: Path) -> None:
    """R27: The mode of a record with another name, such as a backup, is repaired under both; a save changes one."""
    path, backup = tmp_path / "token.json", tmp_path / "backup.json"
    FileStore(path).save(TOKEN)
    path.chmod(0o644)
    backup.hardlink_to(path)
    FileStore(path).save(NEWER)

    assert (FileStore(path).load(), FileStore(backup).load()) == (NEWER, TOKEN)
    assert permissions(path) == permissions(backup) == 0o600


@pytest.mark.parametrize(("mode", "warnings"), [(0o777, 1), (0o1777, 0), (0o775, 0), (0o700, 0)], ids=oct)
def test_a_folder_where_everybody_can_write(
    folder: Path, caplog: pytest.LogCaptureFixture, mode: int, warnings: int
) -> None:
    """A folder in which every user can remove the record is warned of once."""
    folder.chmod(mode)
    for _ in range(2):
        FileStore(folder / "token.json").save(TOKEN)

    assert caplog.text.count(f"can remove the tokens in {folder}") == len(caplog.records) == warnings


# --- other users -----------------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("mode", [0o600, 0o666], ids=oct)
def test_the_record_of_another_user(folder: Path, action: str, mode: int) -> None:
    """R27: A record that another user has put there is refused with advice, and not changed."""
    path = folder / "token.json"
    FileStore(path).save(TOKEN)
    path.chmod(mode)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(StoreError, match=f"{path} belongs to another user, number {NOBODY}.*chown {os.geteuid()}"):
        ACTIONS[action](FileStore(path))

    assert (path.stat().st_uid, permissions(path)) == (NOBODY, mode)
    assert as_nobody(lambda: FileStore(path).load() == TOKEN) == "True"


@needs_root
@pytest.mark.parametrize("action", ACTIONS)
def test_a_record_of_root(folder: Path, action: str) -> None:
    """R27: A record of root that anybody could read is refused by another user too, who could not replace it."""
    FileStore(folder / "token.json").save(TOKEN)
    (folder / "token.json").chmod(0o666)
    folder.chmod(0o777)

    assert "belongs to another user, number 0" in as_nobody(lambda: ACTIONS[action](FileStore(folder / "token.json")))
    assert permissions(folder / "token.json") == 0o666


@needs_root
def test_a_planted_lock_file(folder: Path) -> None:
    """R27: A lock file of another user, who could lock us out for ever, is refused at once."""
    folder.chmod(0o1777)
    as_nobody((folder / "token.json.lock").touch)
    with pytest.raises(StoreError, match=r"token\.json\.lock belongs to another user"):
        hold_lock(FileStore(folder / "token.json"))


@needs_root
def test_a_damaged_record_of_another_user(folder: Path) -> None:
    """R27: What another user has put in the record's place is not kept aside and replaced."""
    folder.chmod(0o1777)
    as_nobody(lambda: (folder / "token.json").write_text("{"))
    with pytest.raises(StoreError, match="belongs to another user"):
        FileStore(folder / "token.json").save(TOKEN)

    assert [path.name for path in folder.iterdir()] == ["token.json"]


PLANTED = {
    "record": ("token.json", "../theirs/token.json"),
    "folder": ("app", "../theirs"),
    "absolute": ("app", "{theirs}"),
    "own link to it": ("app", "../theirs"),
}


@needs_root
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("mode", [0o1777, 0o777], ids=oct)
@pytest.mark.parametrize("way", PLANTED)
def test_a_planted_link(folder: Path, way: str, mode: int, action: str) -> None:
    """R27: A link that another user has planted where everybody can write is not followed, anywhere on the way."""
    shared, theirs = folder / "shared", folder / "theirs"
    name, target = PLANTED[way]
    for path in (shared, theirs):
        path.mkdir()
        path.chmod(mode)
    as_nobody(lambda: (shared / name).symlink_to(target.format(theirs=theirs)))
    path = shared / name if way == "record" else shared / name / "token.json"
    if way == "own link to it":
        (folder / "link.json").symlink_to(path)
        path = folder / "link.json"
    with pytest.raises(StoreError, match=f"{shared / name} belongs to another user"):
        ACTIONS[action](FileStore(path))
    if way == "folder":
        with pytest.raises(StoreError, match="belongs to another user"):
            ACTIONS[action](FileStore(path).for_key("store-1"))

    assert list(theirs.iterdir()) == []


@needs_root
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", ["token.json", "below/token.json", "link.json"])
def test_a_planted_folder(folder: Path, name: str, action: str) -> None:
    """R23, R27: Nothing is kept in a folder that another user has planted: its links may lead to the victim's files."""
    (folder / "victim").write_text("precious")
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)

    def plant() -> None:
        (shared / "app" / "below").mkdir(parents=True)
        for path in (shared / "app" / "token.json", shared / "app" / "below" / "token.json"):
            path.symlink_to(folder / "victim")

    as_nobody(plant)
    (folder / "link.json").symlink_to(shared / "app" / "token.json")
    path = folder / name if name == "link.json" else shared / "app" / name
    with pytest.raises(StoreError, match=f"{shared / 'app'} belongs to another user"):
        ACTIONS[action](FileStore(path))

    assert (folder / "victim").read_text() == "precious"
    assert sorted(path.name for path in folder.iterdir()) == ["link.json", "shared", "victim"]


@needs_root
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", ["token.json", "token.json.lock", ""])
def test_a_link_that_is_planted_later(folder: Path, name: str, action: str) -> None:
    """R27: A link that is planted after the store was made is not followed either: nothing of the victim is changed."""
    (folder / "victim").write_text("precious")
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    store = FileStore(shared / "app" / "token.json")
    if name:
        (shared / "app").mkdir()
        (shared / "app").chmod(0o1777)
    as_nobody(lambda: (shared / "app" / name).symlink_to(folder / "victim" if name else folder))
    if action != "lock" and name == "token.json.lock":
        ACTIONS[action](store)
    else:
        with pytest.raises(StoreError):
            ACTIONS[action](store)

    assert (folder / "victim").read_text() == "precious"
    assert not (folder / "token.json").exists()


@pytest.mark.parametrize("action", ACTIONS)
def test_a_link_instead_of_the_record(tmp_path: Path, action: str) -> None:
    """R27: A link that replaces the record later is neither followed nor replaced, whoever made it."""
    (tmp_path / "victim").write_text("precious")
    store = FileStore(tmp_path / "token.json")
    (tmp_path / "token.json").symlink_to("victim")
    with pytest.raises(StoreError, match="symbolic links"):
        ACTIONS[action](store)

    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "token.json").is_symlink()


@needs_root
def test_links_that_are_followed(folder: Path) -> None:
    """R27: Links of this user, of the folder's owner, and of others where only they can write are followed."""
    (folder / "real").mkdir()
    homes = {
        "own": (0, 0o1777, 0),
        "owner": (NOBODY, 0o1777, NOBODY),
        "theirs": (NOBODY, 0o755, NOBODY),
        "group": (1, 0o775, 2),
    }
    for name, (owner, mode, linker) in homes.items():
        (folder / name).mkdir()
        (folder / name / "link").symlink_to(folder / "real")
        os.chown(folder / name / "link", linker, -1, follow_symlinks=False)
        os.chown(folder / name, owner, -1)
        (folder / name).chmod(mode)
        FileStore(folder / name / "link" / "token.json").for_key(name).save(TOKEN)

    assert sorted(path.name for path in (folder / "real").iterdir()) == [
        "token.group.json",
        "token.own.json",
        "token.owner.json",
        "token.theirs.json",
    ]


# --- SQLite ----------------------------------------------------------------------------------------------------------


def creator() -> sqlite3.Connection:
    """Connect as a program's own function does."""
    return sqlite3.connect("made-up.db")


WAYS_TO_A_NEW_FILE: dict[str, tuple[str, dict[str, Any]]] = {
    "absolute": ("sqlite:///{folder}/made-up.db", {}),
    "relative": ("sqlite:///made-up.db", {}),
    "link": ("sqlite:///link.db", {}),
    "URI": ("sqlite:///file:made-up.db?uri=true", {}),
    "absolute URI": ("sqlite:///file://{folder}/made%2Dup.db?mode=rwc&uri=true", {}),
    "creator": ("sqlite://", {"creator": creator}),
}


@pytest.fixture
def way_to_a_new_file(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> sqlalchemy.Engine:
    """Make an engine for `made-up.db`, which does not exist yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to("made-up.db")
    url, options = WAYS_TO_A_NEW_FILE[request.param]
    url = url.format(folder=tmp_path)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, **options)
    (tmp_path / "elsewhere").mkdir()
    if request.param != "creator":
        monkeypatch.chdir(tmp_path / "elsewhere")
    if "file:made" in url:  # SQLite itself resolves a relative URI, when it connects
        monkeypatch.chdir(tmp_path)
    return engine


def databases(folder: Path) -> dict[str, int]:
    """Return the permissions of the files in *folder*."""
    return {path.name: permissions(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.mark.parametrize("way_to_a_new_file", WAYS_TO_A_NEW_FILE, indirect=True)
@pytest.mark.parametrize("mask", [0o022, 0], ids=oct)
def test_a_new_database_is_private(
    tmp_path: Path, way_to_a_new_file: sqlalchemy.Engine, mask: int, caplog: pytest.LogCaptureFixture
) -> None:
    """R27: A SQLite database that is created for tokens is private, whatever the umask and the way to it."""
    from_the_first: list[dict[str, int]] = []
    sqlalchemy.event.listen(way_to_a_new_file, "connect", lambda *_: from_the_first.append(databases(tmp_path)))
    with umask(mask):
        store = SQLAlchemyStore(way_to_a_new_file)
        store.create_table()
        with store.lock(1.0):
            store.save(TOKEN)

    assert set(databases(tmp_path).values()) == {0o600}
    assert from_the_first[0] == {"made-up.db": 0o644 if way_to_a_new_file.url.database is None else 0o600}
    assert (store.load(), caplog.text) == (TOKEN, "")


def in_wal(connection: Any, _: object) -> None:
    """Use a write-ahead log."""
    connection.execute("PRAGMA journal_mode = WAL")


@pytest.mark.parametrize("is_wal", [True, False], ids=["wal", "journal"])
def test_the_journals_are_private(tmp_path: Path, is_wal: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """R23: What SQLite writes beside the database is private too."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db")
    if is_wal:
        sqlalchemy.event.listen(engine, "connect", in_wal)
    with umask(0o022):
        store = SQLAlchemyStore(engine)
        store.create_table()
        with engine.begin() as connection:
            connection.execute(store.table.insert().values(name="other", record="made-up", version=1))
            seen = databases(tmp_path)
    engine.dispose()

    assert set(seen) >= {"made-up.db", *(["made-up.db-wal", "made-up.db-shm"] if is_wal else ["made-up.db-journal"])}
    assert set(seen.values()) == {0o600}


def test_a_database_that_the_program_creates(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """R27: If the program's own migration creates the database, after the store was made, it is private too."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db", poolclass=sqlalchemy.NullPool)
    with umask(0o022):
        store = SQLAlchemyStore(engine)
        before = databases(tmp_path)
        metadata = sqlalchemy.MetaData()
        store.table.to_metadata(metadata)
        metadata.create_all(engine)
        store.save(TOKEN)

    assert (before, databases(tmp_path), caplog.text) == ({}, {"made-up.db": 0o600}, "")


def test_an_attached_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """R27: If the table is in an attached database, that one is private, and the mode of the main one is not judged."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/main.db", poolclass=sqlalchemy.NullPool)
    with umask(0o022):
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE made_up (id INTEGER)")

        @sqlalchemy.event.listens_for(engine, "connect")
        def attach(connection: Any, _: object) -> None:
            connection.execute(f"ATTACH '{tmp_path}/tokens.db' AS vault")

        store = SQLAlchemyStore(engine, table="vault.tokens")
        store.create_table()
        store.save(TOKEN)

    assert (databases(tmp_path), caplog.text) == ({"main.db": 0o644, "tokens.db": 0o600}, "")


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o640], ids=oct)
def test_a_database_that_others_can_access(tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int) -> None:
    """R27: A database of the program that others can access is not changed, but warned of, once."""
    path = tmp_path / "made-up.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.NullPool)
    SQLAlchemyStore(engine).create_table()
    path.chmod(mode)
    for _ in range(2):
        store = SQLAlchemyStore(engine)
        with store.lock(1.0):
            store.save(TOKEN)
        store.load()

    assert permissions(path) == mode
    assert [(record.name, record.levelname) for record in caplog.records] == [("foxy_auth", "WARNING")]
    assert f"{path} has tokens in it, and is open to other users (mode {mode:04o})" in caplog.text


@needs_root
@pytest.mark.parametrize("name", ["made-up.db", "made-up.db-wal"])
def test_a_database_of_another_user(folder: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """R23, R27: A database, or a log beside it, that another user has planted is warned of, whatever its mode."""
    folder.chmod(0o1777)
    as_nobody(lambda: (folder / name).touch(0o600))
    SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{folder}/made-up.db")).create_table()

    assert f"{folder / name} has tokens in it, and belongs to another user (number {NOBODY})" in caplog.text


def test_an_open_log_beside_a_private_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """R27: A write-ahead log that is still open to others, after the database was made private, is warned of."""
    path = tmp_path / "made-up.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    sqlalchemy.event.listen(engine, "connect", in_wal)
    with umask(0o022), engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE made_up (id INTEGER)")
    path.chmod(0o600)
    SQLAlchemyStore(engine).create_table()
    engine.dispose()

    assert f"{path}-wal has tokens in it" in caplog.text


def test_an_empty_database_that_is_shared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """R27: An empty database that somebody has opened to a group stays so, and is warned of."""
    path = tmp_path / "made-up.db"
    path.touch()
    path.chmod(0o660)
    SQLAlchemyStore(sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.NullPool)).create_table()

    assert permissions(path) == 0o660
    assert f"{path} has tokens in it" in caplog.text


@pytest.mark.parametrize("url", ["sqlite:///no/such/made-up.db", "sqlite:///file:made-up.db?mode=rw&uri=true"])
def test_a_database_that_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A database that SQLite would not create is not created by us."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="OperationalError"):
        SQLAlchemyStore(sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)).create_table()

    assert list(tmp_path.iterdir()) == []


def test_an_engine_is_prepared_once(tmp_path: Path) -> None:
    """Many stores with one engine add one listener to it, and none to its pool."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/made-up.db", poolclass=sqlalchemy.NullPool)
    for number in range(3):
        SQLAlchemyStore(engine, f"store-{number}").create_table()

    assert len(list(engine.dialect.dispatch.do_connect)) == 1
    assert len(list(engine.pool.dispatch.connect)) == len(
        list(sqlalchemy.create_engine(engine.url, poolclass=sqlalchemy.NullPool).pool.dispatch.connect)
    )
