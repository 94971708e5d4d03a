"""The file that `foxy-auth login` writes, in folders that other users share, own or replace."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from login.process import login
from support.users import NOBODY, acting_as_nobody, needs_root, open_folder, run_as_nobody

from foxy_auth import StoreError, Token
from foxy_auth.cli.login.output import saving
from foxy_auth.cli.login.token_file import token_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth.emulator import Emulator

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no owners and modes of this kind")
TOKEN = Token("made-up-access", refresh_token="made-up-refresh", expires_at=1_800_000_000.0, scope="a store_id_7")
STICKY = 0o1777


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that other users can reach."""
    with open_folder() as folder:
        yield folder


def refused(file: Path) -> str:
    """Return why a token is not written to *file*; nothing is left of the attempt."""
    before = sorted(file.parent.glob("*"))
    with pytest.raises(StoreError) as caught, token_file(file):
        pass
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
    with token_file(folder / "link" / ".." / "link" / "token.json") as file:
        file.write(TOKEN)
        file.replace()

    assert json.loads((folder / "elsewhere.json").read_text()) == TOKEN.to_dict()
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
        with token_file(folder / "token.json") as file:
            file.write(TOKEN)
    else:
        assert "other users can write" in refused(folder / "token.json")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows access control lists as attributes")
def test_access_control_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R26: A folder in which an access control list lets another user write is refused, whosever its group is."""
    monkeypatch.setattr("foxy_auth.cli.login.token_file._is_own_group", lambda _: True)
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
    """R26: In a folder like /tmp others can neither read nor replace draft and token, nor lead the token elsewhere."""
    folder.chmod(STICKY)
    file, loot = folder / "token.json", folder / "loot"
    with login(foxy, "--output", str(file), "--no-browser") as running:
        callback = running.authorize(foxy)
        (draft,) = folder.iterdir()
        attacks = ['cat "$1"', 'mv "$1" "$2"', 'ln "$1" "$2"', 'rm -f "$1"', 'echo x > "$1"']
        assert [run_as_nobody(attack, draft, loot) != 0 for attack in attacks] == [True] * len(attacks)
        assert run_as_nobody('touch "$2" && chmod 666 "$2" && ln -s "$2" "$1"', file, loot) == 0
        running.open(callback)
        status = running.end()

    assert status == 0
    assert (loot.read_text(), file.is_symlink(), stat.S_IMODE(file.stat().st_mode)) == ("", False, 0o600)
    assert Token.from_dict(json.loads(file.read_text())).store_id == "1"
    assert run_as_nobody('cat "$1"', file) != 0
    assert sorted(folder.iterdir()) == [loot, file]


@needs_root
def test_target_of_another_user(folder: Path) -> None:
    """R26: If somebody else has made a file of that name meanwhile, the token stays in the draft."""
    folder.chmod(STICKY)
    target = folder / "token.json"
    with acting_as_nobody(), token_file(target) as file:
        os.seteuid(0)
        target.write_text("root's")
        os.seteuid(NOBODY)
        file.write(TOKEN)
        with pytest.raises(StoreError, match=f"the token is in {file.draft}"):
            file.replace()

    assert (target.read_text(), json.loads(file.draft.read_text())) == ("root's", TOKEN.to_dict())
    assert stat.S_IMODE(file.draft.stat().st_mode) == 0o600


@needs_root
@pytest.mark.parametrize(
    "attack",
    [
        'mv "$1" "$2" && echo attacker > "$1" && chmod 666 "$1"',
        'rm -f "$1" && ln -s "$2" "$1" && touch "$2" && chmod 666 "$2"',
        'rm -f "$1"',
    ],
)
def test_draft_replaced(folder: Path, attack: str) -> None:
    """R26: A draft that somebody has replaced is noticed, and the token is written to nothing that others can read."""
    target, loot = folder / "token.json", folder / "loot"
    with token_file(target) as file:
        folder.chmod(0o777)  # by mistake, after the check
        assert run_as_nobody(attack, file.draft, loot) == 0
        with pytest.raises(StoreError, match=r"was replaced|cannot write"):
            file.write(TOKEN)

    assert not target.exists()
    assert [path for path in folder.iterdir() if "made-up" in path.read_text()] == []


@needs_root
@pytest.mark.parametrize("attack", ['mkdir "$1"', 'mkdir "$1" && chmod 777 "$1"', 'mkdir "$3" && ln -s "$3" "$1"'])
def test_folder_replaced(foxy: Emulator, folder: Path, attack: str) -> None:
    """R26: If somebody replaces the folder, the token goes to the one that was checked, and the command says so."""
    own, moved, loot = folder / "own", folder / "moved", folder / "loot"
    own.mkdir()
    with login(foxy, "--output", str(own / "token.json"), "--no-browser") as running:
        callback = running.authorize(foxy)
        folder.chmod(0o777)  # by mistake, after the check
        assert run_as_nobody(f'mv "$1" "$2" && {attack}', own, moved, loot) == 0
        page = running.open(callback)
        status = running.end()

    assert status == 8
    assert "the token was saved, but" in running.err
    assert "<h1>The login failed</h1>" in page.text
    assert list(own.iterdir()) == []
    assert stat.S_IMODE((moved / "token.json").stat().st_mode) == 0o600


def test_descriptors(folder: Path) -> None:
    """No descriptor is left open, whatever happens."""
    descriptors = Path("/dev/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(3):
        with token_file(folder / "token.json") as file:
            file.write(TOKEN)
            file.replace()
        with token_file(folder / "token.json"):
            pass
        refused(folder / "missing" / "token.json")

    assert len(list(descriptors.iterdir())) == before


# --- the token of another store --------------------------------------------------------------------------------------

STORE_1 = Token("old-access", refresh_token="old-refresh", scope="store_full_access store_id_1")


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
    """R26: Without a terminal the token of another store is not replaced, and the new one is kept beside it."""
    file = tmp_path / "token.json"
    file.write_text(json.dumps(STORE_1.to_dict()))
    status, error = run_login(foxy, file)

    (draft,) = set(tmp_path.iterdir()) - {file}
    assert status == 8
    assert "holds the token of store 1, and the new token is of store 2, so it was not replaced" in error
    assert str(draft) in error
    assert "--replace" in error
    assert json.loads(file.read_text()) == STORE_1.to_dict()
    assert Token.from_dict(json.loads(draft.read_text())).store_id == "2"
    assert stat.S_IMODE(draft.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("old", "options"),
    [
        (STORE_1.to_dict(), ["--replace"]),
        (STORE_1.to_dict() | {"scope": "coupons_read store_id_2"}, []),
        ({"access_token": 1}, []),
        ("old", []),
    ],
)
def test_replaced_without_question(foxy: Emulator, tmp_path: Path, old: object, options: list[str]) -> None:
    """R26: A token of the same store is replaced, and so is what is no token, or what `--replace` allows to."""
    file = tmp_path / "token.json"
    file.write_text(json.dumps(old))
    status, _ = run_login(foxy, file, *options)

    assert status == 0
    assert Token.from_dict(json.loads(file.read_text())).store_id == "2"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("answers", "store"), [(("what?", "", "yes"), "2"), (("no",), "1")])
def test_question(foxy: Emulator, tmp_path: Path, answers: tuple[str, ...], store: str) -> None:
    """R26: On a terminal the command asks before it replaces the token of another store."""
    file = tmp_path / "token.json"
    file.write_text(json.dumps(STORE_1.to_dict()))
    status, _ = run_login(foxy, file, answers=answers)

    assert status == (0 if store == "2" else 8)
    assert Token.from_dict(json.loads(file.read_text())).store_id == store
    assert len(list(tmp_path.iterdir())) == (1 if store == "2" else 2)


def test_printed_anyway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json` too, a token that could not be written to the file is still printed."""
    file = tmp_path / "token.json"
    file.write_text(json.dumps(STORE_1.to_dict()))
    with pytest.raises(StoreError), saving(file, as_json=True) as save:
        save(TOKEN, lambda _: False)

    assert json.loads(capsys.readouterr().out) == TOKEN.to_dict()
