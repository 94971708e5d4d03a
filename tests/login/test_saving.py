"""Where `foxy-auth login` keeps the token: in folders that other users share, own or replace, and in other stores."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest
from login.process import login
from support.users import NOBODY, needs_root, open_folder, run_as_nobody

from foxy_auth import StoreError, Token
from foxy_auth.cli.login.saving import prepare_saving
from foxy_auth.cli.private_path import check_private_path
from foxy_auth.cli.settings import Settings
from foxy_auth.cli.store_address import StoreAddress
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth.cli.login.saving import Save
    from foxy_auth.emulator import Emulator

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no owners and modes of this kind")
TOKEN = Token("made-up-access", refresh_token="made-up-refresh", expires_at=1_800_000_000.0, scope="a store_id_7")
STORE_1 = Token("old-access", refresh_token="old-refresh", scope="store_full_access store_id_1")
STICKY = 0o1777


def prepare(file: Path, *, replace: bool = False) -> Save:
    """Prepare to save a token in *file*, as the login does."""
    return prepare_saving(Settings(store=StoreAddress("file", str(file))), replace=replace)


def kept(error: object) -> Path:
    """Return the file in which an error says that the new token is."""
    found = re.search(r"the new token is in file:(\S+) \(give that to --store\)", str(error))
    assert found, error
    return Path(found[1])


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that other users can reach."""
    with open_folder() as folder:
        yield folder


def refused(file: Path) -> str:
    """Return why a token is not written to *file*; nothing is left of the attempt."""
    before = sorted(file.parent.glob("*"))
    with pytest.raises(StoreError) as caught:
        prepare(file)
    assert sorted(file.parent.glob("*")) == before
    return str(caught.value)


# --- before the login ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o770, 0o2775, 0o722])
@pytest.mark.parametrize("below", [".", "below/it"])
@needs_root
def test_writable_folder(folder: Path, mode: int, below: str) -> None:
    """R26: A folder in which others can write is refused, and so is what lies below it: they could replace it."""
    (folder / below).mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)

    assert refused(folder / below / "token.json").startswith(f"other users can write to {folder}, ")


@needs_root
@pytest.mark.parametrize("below", [".", "below/it"])
def test_foreign_folder(foxy: Emulator, folder: Path, below: str) -> None:
    """R26: A folder of another user is refused before the user is sent to Foxy, and so is what lies below it."""
    (folder / below).mkdir(parents=True, exist_ok=True)
    os.chown(folder, NOBODY, NOBODY)
    with login(foxy, "--output", str(folder / below / "token.json")) as running:
        status = running.end()

    assert (status, running.out) == (8, "")
    assert running.err.startswith(f"Error: {folder} belongs to another user, who could replace the token; choose")
    assert "or --json" in running.err


def test_unsafe_folder_without_root(folder: Path) -> None:
    """R26: Folders that others can write to are refused to every user."""
    folder.chmod(0o777)

    assert "other users can write to" in refused(folder / "token.json")


@needs_root
def test_links_in_sticky_folders(folder: Path) -> None:
    """R26: In a folder like /tmp no symbolic link is followed, whoever made it, neither of the file nor of a folder."""
    folder.chmod(STICKY)
    own = folder / "own"
    own.mkdir()
    (folder / "ours").symlink_to(own)
    assert run_as_nobody('ln -s "$1/own/token" "$1/token.json" && ln -s own "$1/link"', folder) == 0

    for name in (
        "token.json",
        "link/token.json",
        "ours/token.json",
        "own/../link/token.json",
        "ours/x/../../token.json",
    ):
        assert "is a symbolic link in a folder that others can write to" in refused(folder / name), name


@needs_root
def test_foreign_file_in_sticky_folder(folder: Path) -> None:
    """R26: In a folder like /tmp a file of another user is not replaced, not even by root."""
    folder.chmod(STICKY)
    assert run_as_nobody('echo mine > "$1/token.json"', folder) == 0

    assert "token.json belongs to another user" in refused(folder / "token.json")


def test_own_links(folder: Path) -> None:
    """Symbolic links in folders of our own are followed, of the file and of folders, and stay."""
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    (folder / "real" / "token.json").symlink_to(folder / "elsewhere.json")
    prepare(folder / "link" / ".." / "link" / "token.json")(TOKEN, lambda _: False)

    assert FileStore(folder / "elsewhere.json").load() == TOKEN
    assert (folder / "real" / "token.json").is_symlink()


def test_circle(folder: Path) -> None:
    """Symbolic links in a circle are an error, not a hang."""
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")

    assert "in a circle" in refused(folder / "a" / "token.json")


@pytest.mark.parametrize(
    ("group", "members", "others", "safe"),
    [
        ("robin", [], [], True),
        ("robin", ["robin"], [], True),
        ("robin", ["robin", "eve"], [], False),
        ("robin", [], ["eve"], False),
        ("staff", [], [], False),
    ],
)
def test_own_group(
    folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, members: list[str], others: list[str], *, safe: bool
) -> None:
    """A folder may be writable for the group that distributions make for each user, if nobody else is in it."""
    import grp
    import pwd

    users = [
        pwd.struct_passwd([name, "x", number, folder.stat().st_gid, "", "/", "/bin/sh"])
        for number, name in enumerate(["robin", *others], start=1000)
    ]
    monkeypatch.setattr(pwd, "getpwuid", lambda _: users[0])
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    monkeypatch.setattr(grp, "getgrgid", lambda number: grp.struct_group([group, "x", number, members]))
    folder.chmod(0o775)

    if safe:
        check_private_path(folder / "token.json")
    else:
        assert "other users can write" in refused(folder / "token.json")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows access control lists as attributes")
def test_access_control_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R26: A folder in which an access control list lets another user write is refused, whosever its group is."""
    monkeypatch.setattr("foxy_auth.cli.private_path._is_own_group", lambda _: True)
    # acl(5): rwx for the owner, for one more user, and as the mask; nothing for the rest.
    entries = [(0x01, 7, -1), (0x02, 7, NOBODY), (0x04, 0, -1), (0x10, 7, -1), (0x20, 0, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(folder, "system.posix_acl_access", packed)
    except OSError:
        pytest.skip("this file system has no access control lists")
    if os.geteuid() == 0:
        assert run_as_nobody('touch "$1/theirs"', folder) == 0

    assert "other users can write" in refused(folder / "token.json")


# --- while the login waits -------------------------------------------------------------------------------------------


@needs_root
def test_attacks_in_sticky_folder(foxy: Emulator, folder: Path) -> None:
    """R26: In a folder like /tmp others cannot lead the token elsewhere; it is kept, and told where."""
    folder.chmod(STICKY)
    file, loot = folder / "token.json", folder / "loot"
    with login(foxy, "--output", str(file), "--no-browser") as running:
        callback = running.authorize(foxy)
        assert run_as_nobody('touch "$2" && chmod 666 "$2" && ln -s "$2" "$1"', file, loot) == 0
        running.open(callback)
        status = running.end()

    assert status == 8
    assert "is a symbolic link in a folder that others can write to" in running.err
    assert loot.read_text() == ""
    assert getattr(FileStore(kept(running.err)).load(), "store_id", "") == "1"
    assert stat.S_IMODE(kept(running.err).stat().st_mode) == 0o600


@needs_root
def test_target_of_another_user(folder: Path) -> None:
    """R26: If somebody else has made a file of that name meanwhile, it stays, and the token is kept elsewhere."""
    folder.chmod(STICKY)
    target = folder / "token.json"
    save = prepare(target)
    assert run_as_nobody('echo mine > "$1"', target) == 0
    with pytest.raises(StoreError, match="belongs to another user") as caught:
        save(TOKEN, lambda _: True)

    assert (target.read_text(), FileStore(kept(caught.value)).load()) == ("mine\n", TOKEN)
    assert stat.S_IMODE(kept(caught.value).stat().st_mode) == 0o600


@needs_root
@pytest.mark.parametrize("attack", ['mkdir "$1"', 'mkdir "$1" && chmod 777 "$1"', 'mkdir "$3" && ln -s "$3" "$1"'])
def test_folder_replaced(folder: Path, attack: str) -> None:
    """R26: If somebody replaces the folder meanwhile, nothing goes there, and the token is kept elsewhere."""
    own, moved, loot = folder / "own", folder / "moved", folder / "loot"
    own.mkdir()
    save = prepare(own / "token.json")
    folder.chmod(0o777)  # by mistake, after the check
    assert run_as_nobody(f'mv "$1" "$2" && {attack}', own, moved, loot) == 0
    with pytest.raises(StoreError, match=r"other users can write|another user") as caught:
        save(TOKEN, lambda _: True)

    assert list(own.iterdir()) == []
    assert FileStore(kept(caught.value)).load() == TOKEN


# --- a token that cannot be saved ------------------------------------------------------------------------------------


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R26: If the disk is full, the old token stays, and the new one is kept in the user's data folder."""
    file = tmp_path / "token.json"
    FileStore(file).save(STORE_1)
    save, sync, failures = prepare(file), os.fsync, [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]

    def fail_first(descriptor: int) -> None:
        while failures:
            raise failures.pop()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_first)
    with pytest.raises(StoreError, match="No space left on device") as caught:
        save(TOKEN, lambda _: True)

    assert FileStore(file).load() == STORE_1
    assert kept(caught.value).parent == platformdirs.user_data_path("foxy-auth", appauthor=False)
    assert FileStore(kept(caught.value)).load() == TOKEN


def test_interrupted_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R26: If the user answers the question by Ctrl-C, the new token is kept too."""
    file = tmp_path / "token.json"
    FileStore(file).save(STORE_1)

    def interrupt(_: str) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(file)(TOKEN, interrupt)

    assert FileStore(kept(capsys.readouterr().err.replace("\n", " "))).load() == TOKEN


def test_store_that_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R26: What was saved is read back, and a store that has something else is an error."""
    monkeypatch.setenv("COLUMNS", "500")
    save, write = prepare(tmp_path / "token.json"), FileStore.save
    written: list[Token] = []

    def lose_first(self: FileStore, token: Token) -> None:
        written.append(token)
        if len(written) > 1:
            write(self, token)

    monkeypatch.setattr(FileStore, "save", lose_first)
    with pytest.raises(StoreError, match="does not hold what was saved") as caught:
        save(TOKEN, lambda _: True)

    assert FileStore(kept(caught.value)).load() == TOKEN


def test_no_regular_file() -> None:
    """A device is not replaced by a file."""
    with pytest.raises(StoreError, match="is not a regular file"):
        check_private_path(Path(os.devnull))


# --- the token of another store --------------------------------------------------------------------------------------


def run_login(foxy: Emulator, file: Path, *options: str, answers: tuple[str, ...] = ()) -> tuple[int, str]:
    """Log in to store 2 and answer questions, on a terminal if there are answers; return the status and the errors."""
    terminal = bool(answers)
    stdin = subprocess.PIPE if terminal else subprocess.DEVNULL
    with login(foxy, "--output", str(file), "--no-browser", *options, terminal=terminal, stdin=stdin) as running:
        running.open(foxy.authorize(running.url, store=2))
        if terminal:
            running.read_until("Type yes or no")
            running.paste(*answers)
        return running.end(), running.err


def test_other_store(foxy: Emulator, tmp_path: Path) -> None:
    """R26: Without a terminal the token of another store is not replaced, and the new one is kept."""
    file = tmp_path / "token.json"
    file.write_text(json.dumps(STORE_1.to_dict()))  # as earlier versions wrote it
    file.chmod(0o600)
    status, error = run_login(foxy, file)

    assert status == 8
    assert "holds the token of store 1, and the new token is of store 2, so it was not replaced" in error
    assert "--replace" in error
    assert FileStore(file).load() == STORE_1
    assert getattr(FileStore(kept(error)).load(), "store_id", "") == "2"


def test_other_environment(tmp_path: Path) -> None:
    """R26: The token of another environment is not replaced unasked, though its store has the same number."""
    file = tmp_path / "token.json"
    old = TOKEN.to_dict() | {"api": "https://api-sandbox.foxycart.com"}
    FileStore(file).save(Token.from_dict(old))
    with pytest.raises(StoreError, match=r"store 7 at https://api-sandbox\.foxycart\.com.* so it was not replaced"):
        prepare(file)(TOKEN, lambda _: False)

    assert FileStore(file).load() == TOKEN


@pytest.mark.parametrize(
    ("old", "replace"),
    [(STORE_1.to_dict(), True), (TOKEN.to_dict() | {"scope": "coupons_read store_id_7"}, False), ("old", False)],
)
def test_replaced_without_question(tmp_path: Path, old: object, *, replace: bool) -> None:
    """R26: A token of the same store is replaced, and so is what is no token, or what `--replace` allows to."""
    file = tmp_path / "token.json"
    file.write_text(json.dumps(old))
    file.chmod(0o600)
    prepare(file, replace=replace)(TOKEN, pytest.fail)

    assert FileStore(file).load() == TOKEN


@pytest.mark.parametrize(("answers", "store"), [(("what?", "", "yes"), "2"), (("no",), "1")])
def test_question(foxy: Emulator, tmp_path: Path, answers: tuple[str, ...], store: str) -> None:
    """R26: On a terminal the command asks before it replaces the token of another store."""
    file = tmp_path / "token.json"
    FileStore(file).save(STORE_1)
    status, _ = run_login(foxy, file, answers=answers)

    assert status == (0 if store == "2" else 8)
    assert getattr(FileStore(file).load(), "store_id", "") == store
