"""The demo: its checks can fail, it fits the terminal, and it shows no secrets."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import pytest
from rich.console import Console

from foxy_auth.cli import main
from foxy_auth.cli.demo import scenes
from foxy_auth.cli.demo.run import run_scenes
from foxy_auth.cli.demo.scene import Check, Heading, Scene, Session
from foxy_auth.cli.demo.scenes import SCENES
from foxy_auth.cli.demo.screen import make_timeline
from foxy_auth.emulator import Call, Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

CLIENT_LIBRARIES, STAMPEDE, BACKGROUND_REFRESH, REVOKED_TOKEN, OTHER_ORIGIN, SECOND_PROCESS = SCENES
GOOD = Check.equal("one", 1, 1)
BAD = Check.equal("two", 2, 3)


def run_demo(**variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the demo in a process with these environment variables, writing to a pipe."""
    command = [sys.executable, "-W", "error", "-m", "foxy_auth", "demo"]
    return subprocess.run(command, capture_output=True, env=os.environ | variables, timeout=60, check=False)


def make_console(width: int = 80, **options: Any) -> Console:
    """Make a console that writes to memory."""
    return Console(file=io.StringIO(), width=width, highlight=False, **options)


def text_of(console: Console) -> str:
    """Return what was written to a console of `make_console`."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def scene_of(*items: Check | Heading, error: Exception | None = None) -> Scene:
    """Make a scene that yields *items* and then raises *error*."""

    def play(_: Session) -> Iterator[Check | Heading]:
        yield from items
        if error:
            raise error

    return Scene("A title", "A text.", play)


# --- as it is --------------------------------------------------------------------------------------------------------


def test_demo() -> None:
    """All checks of all scenes pass, in plain text of 80 columns, without a warning."""
    ended = run_demo(PYTHONIOENCODING="utf-8", COLUMNS="80")
    text = ended.stdout.decode()

    assert (ended.returncode, ended.stderr) == (0, b"")
    for number, scene in enumerate(SCENES, 1):
        assert re.search(rf"^  ✓ {number}  {re.escape(scene.title)} +(\d+) of \1 ", text, re.MULTILINE)
    assert f"All {len(SCENES)} scenes went as expected" in text
    assert "✗" not in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_ascii() -> None:
    """Where the encoding lacks the characters, the demo is printed in ASCII."""
    ended = run_demo(LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0", COLUMNS="80")
    text = ended.stdout.decode("ascii")

    assert ended.returncode == 0
    assert re.search(r"^  \+ Foxy responds +401 > 200 +401 > 200", text, re.MULTILINE)
    assert "?" not in text


def test_secrets(foxy: Emulator) -> None:
    """R23: neither the client secret nor any token is printed, whole or in part."""
    console = make_console()
    passed = run_scenes(SCENES, foxy=foxy, console=console)
    secrets = {foxy.client_secret, str(foxy.current_refresh_token), *foxy.live_access_tokens}
    secrets |= {call.access_token for call in foxy.calls if call.access_token}
    secrets |= {call.form["refresh_token"] for call in foxy.token_calls}
    secrets |= {call.headers["Authorization"].partition(" ")[2] for call in foxy.token_calls}
    text = text_of(console)

    assert passed
    assert len(secrets) > 12
    assert [secret for secret in secrets if secret[:12] in text or secret[-12:] in text] == []


def test_narrow_terminal(foxy: Emulator) -> None:
    """On a narrow terminal each check keeps its mark, and no line is too long."""
    console = make_console(50)
    run_scenes([CLIENT_LIBRARIES], foxy=foxy, console=console)
    lines = text_of(console).splitlines()

    assert sum(line.startswith("  ✓") for line in lines) == 6 + 1
    assert max(map(len, lines)) <= 50


def test_missing_client_library(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """R24: a scene whose client library is not installed is left out, and the demo says what to install."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    console = make_console()
    passed = run_scenes([scene_of(GOOD), STAMPEDE], foxy=foxy, console=console)

    assert passed
    assert "Not shown without httpx: 50 requests at once with an expired token." in text_of(console)
    assert "pip install 'foxy_auth[httpx]'" in text_of(console)


def test_colours(foxy: Emulator) -> None:
    """On a terminal, colours show which checks passed."""
    console = make_console(force_terminal=True, color_system="standard", _environ={})
    run_scenes([scene_of(GOOD, BAD)], foxy=foxy, console=console)

    assert "\x1b[1;32m✓\x1b[0m" in text_of(console)
    assert "\x1b[1;31m✗\x1b[0m" in text_of(console)


def test_file_is_removed(foxy: Emulator) -> None:
    """The folder with the saved token is removed at the end."""
    paths: list[Path] = []

    def play(session: Session) -> Iterator[Check]:
        with session.auth() as auth:
            auth.refresh()
        paths.append(session.path)
        yield Check.equal("saved", expected=True, seen=session.path.exists())

    assert run_scenes([Scene("A title", "A text.", play)], foxy=foxy, console=make_console())
    assert [path.parent.exists() for path in paths] == [False]


# --- when something is not as expected -------------------------------------------------------------------------------


def test_failed_check(foxy: Emulator) -> None:
    """A failed check marks its scene and fails the demo."""
    console = make_console()
    passed = run_scenes([scene_of(GOOD), scene_of(GOOD, BAD)], foxy=foxy, console=console)
    text = text_of(console)

    assert not passed
    assert re.search(r"^  ✗ two +2 +3 *$", text, re.MULTILINE)
    assert re.search(r"^  ✓ 1  A title +1 of 1 ", text, re.MULTILINE)
    assert re.search(r"^  ✗ 2  A title +1 of 2 ", text, re.MULTILINE)
    assert "Not as expected: scene 2 of 2." in text


def test_error(foxy: Emulator) -> None:
    """An error fails its scene and is shown; the next scene runs."""
    console = make_console()
    scenes = [scene_of(GOOD, error=OSError("[no] such [bold]luck")), scene_of(GOOD)]
    passed = run_scenes(scenes, foxy=foxy, console=console)
    text = text_of(console)

    assert not passed
    assert "OSError: [no] such [bold]luck" in text
    assert re.search(r"^  ✗ 1  A title +1 of 2 ", text, re.MULTILINE)
    assert re.search(r"^  ✓ 2  A title +1 of 1 ", text, re.MULTILINE)


def test_no_checks(foxy: Emulator) -> None:
    """A scene without checks fails: it has shown nothing."""
    assert not run_scenes([scene_of(Heading("nothing"))], foxy=foxy, console=make_console())


def test_fault_stays_in_its_scene(foxy: Emulator) -> None:
    """A fault that one scene has left over does not disturb the next one."""
    foxy.fail(400, body={"error": "invalid_client"}, times=5)
    console = make_console()
    run_scenes([CLIENT_LIBRARIES, REVOKED_TOKEN], foxy=foxy, console=console)

    assert "TokenRefusedError: " in text_of(console)
    assert "Not as expected: scene 1 of 2." in text_of(console)


def test_lost_grant(foxy: Emulator) -> None:
    """A scene that loses the grant does not fail the scenes after it."""

    def lose(session: Session) -> Iterator[Check]:
        session.foxy.revoke_refresh_tokens()
        yield GOOD

    assert run_scenes([Scene("A title", "A text.", lose), REVOKED_TOKEN], foxy=foxy, console=make_console())


class NaiveAuth:
    """An auth object that does what the demo says ours does not: it sends the token everywhere, and never refreshes."""

    def __init__(self, token: str) -> None:
        """Send *token*."""
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request of requests."""
        request.headers.update({"Authorization": f"Bearer {self._token}", "FOXY-API-VERSION": "1"})
        return request


@pytest.mark.parametrize(
    ("scene", "failed"),
    [
        (OTHER_ORIGIN, r"✗ our headers sent there +none +Authorization"),
        (REVOKED_TOKEN, r"✗ Foxy responds +401 → 200 +401 "),
    ],
)
def test_defects_show(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, scene: Scene, failed: str) -> None:
    """R1: if a token were sent to another origin, or a 401 not answered by a refresh, the demo would show it."""
    monkeypatch.setattr(Session, "auth", lambda session: NaiveAuth(session.foxy.grant().access_token))
    console = make_console()

    assert not run_scenes([scene], foxy=foxy, console=console)
    assert re.search(failed, text_of(console))


def test_second_process_fails(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the second process fails, the demo shows its error."""
    monkeypatch.setattr(scenes, "SECOND_PROCESS", [sys.executable, "-m", "foxy_auth.no_such_program"])
    console = make_console(200)

    assert not run_scenes([CLIENT_LIBRARIES, SECOND_PROCESS], foxy=foxy, console=console)
    assert "No module named foxy_auth.no_such_program" in text_of(console)


def test_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`foxy-auth demo` ends with status 1 if a check failed."""
    monkeypatch.setattr(scenes, "SCENES", [scene_of(BAD)])

    assert main(["demo"]) == 1
    assert "Not as expected: scene 1 of 1." in capsys.readouterr().out


# --- the timeline ----------------------------------------------------------------------------------------------------


def call(method: str, path: str, arrived_at: float, answered_at: float | None, status: int | None = 200) -> Call:
    """Make a request of httpx; times are seconds since the first."""
    return Call(
        method=method,
        path=path,
        query="",
        headers={"User-Agent": "python-httpx/0.28.1"},
        status=status,
        arrived_at=1000 + arrived_at,
        answered_at=None if answered_at is None else 1000 + answered_at,
    )


def test_timeline() -> None:
    """Similar requests share a row; a long one is a line, a short one or one without a response is a dot."""
    console = make_console(54)
    calls = [
        call("GET", "/stores/1", 0.0, 0.01),
        call("POST", "/token", 0.21, 0.79),
        call("GET", "/stores/1", 0.55, 0.56),
        call("GET", "/", 1.0, None, None),
    ]
    console.print(make_timeline(calls))

    assert [line.rstrip() for line in text_of(console).splitlines()] == [
        "client     request            from to ms",
        "httpx  2 x GET /stores/1 200     0   560 •      •",
        "httpx      POST /token   200   210   790   ━━━━━━━━━",
        "httpx      GET /         -   1,000 1,000             •",
    ]
