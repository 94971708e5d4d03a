"""The demo: it shows what is, it fits the screen, it keeps secrets, and it can fail."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from foxy_auth import Environment
from foxy_auth.cli import demo, main
from foxy_auth.cli.demo import SCENES, Exhibit, Finding, Part, Scene, Stage, perform
from foxy_auth.cli.demo._timeline import timeline
from foxy_auth.emulator import Call, Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_CALLS, CROWD, AHEAD, REVOKED, FOREIGN, SUCCESSOR = SCENES
LONGEST = 15.0  # seconds


class Played:
    """A demo that ran in a process of its own, writing to a pipe."""

    def __init__(self, **variables: str) -> None:
        """Run it with these environment variables."""
        started_at = time.monotonic()
        self.ended = subprocess.run(
            [sys.executable, "-W", "error", "-m", "foxy_auth", "demo"],
            capture_output=True,
            env=os.environ | variables,
            timeout=60,
            check=False,
        )
        self.took = time.monotonic() - started_at
        self.text = self.ended.stdout.decode()


@pytest.fixture(scope="module")
def played() -> Played:
    """Run the demo once, for all who only look at it."""
    return Played(PYTHONIOENCODING="utf-8", COLUMNS="80")


def screen(*, width: int = 80, encoding: str = "utf-8") -> Console:
    """Give a console that writes into memory."""
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding), width=width, highlight=False)


def shown(console: Console) -> str:
    """Give what *console* was written."""
    assert isinstance(console.file, io.TextIOWrapper)
    assert isinstance(console.file.buffer, io.BytesIO)
    console.file.flush()
    return console.file.buffer.getvalue().decode(console.file.encoding)


def a_scene(*items: Finding | Part | Exhibit, error: Exception | None = None, title: str = "A title") -> Scene:
    """Give a scene that yields *items* and then raises *error*."""

    def play(_: Stage) -> Iterator[Finding | Part | Exhibit]:
        yield from items
        if error:
            raise error

    return Scene(title, "A story.", play)


# --- as it is run ----------------------------------------------------------------------------------------------------


def test_succeeds(played: Played) -> None:
    """The demo ends with exit status 0 and says nothing on the error stream."""
    assert (played.ended.returncode, played.ended.stderr) == (0, b"")


def test_every_scene_is_good(played: Played) -> None:
    """Each scene is in the summary, with a tick and with all of its findings as expected."""
    for number, scene in enumerate(SCENES, 1):
        assert re.search(rf"^  ✓ {number}  {re.escape(scene.title)} +(\d+) of \1 ", played.text, re.MULTILINE)
    assert "✗" not in played.text
    assert f"All {len(SCENES)} scenes went as expected" in played.text


def test_is_quick(played: Played) -> None:
    """The demo takes a few seconds."""
    assert played.took < LONGEST


def test_fits_the_screen(played: Played) -> None:
    """Piped, the demo is plain text of 80 columns."""
    assert max(map(len, played.text.splitlines())) <= 80
    assert "\x1b" not in played.text


def test_ascii() -> None:
    """Where the encoding knows no signs, the demo draws with letters, and nothing is left that cannot be written."""
    played = Played(LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert played.ended.returncode == 0
    assert played.ended.stdout.isascii()
    assert "?" not in played.text
    assert "  + Foxy answers                         401 -> 200          401 -> 200" in played.text


@pytest.mark.parametrize("width", [50, 80, 120])
def test_marks_stay_visible(foxy: Emulator, width: int) -> None:
    """However narrow the screen, each finding has its mark, and no line is too long."""
    console = screen(width=width)
    perform([FIRST_CALLS], foxy=foxy, console=console)
    lines = shown(console).splitlines()

    assert sum(line.startswith("  ✓") for line in lines) == 5 + 1
    assert max(map(len, lines)) <= width


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_on_screen(foxy: Emulator) -> None:
    """Neither the client's secret nor any token that ever was is printed, whole or in part."""
    console = screen()
    went_well = perform(SCENES, foxy=foxy, console=console)
    secrets = {foxy.client_secret, str(foxy.current_refresh_token), *foxy.live_access_tokens}
    secrets |= {call.access_token for call in foxy.calls if call.access_token}
    secrets |= {call.form["refresh_token"] for call in foxy.token_calls}
    secrets |= {call.headers["Authorization"].partition(" ")[2] for call in foxy.token_calls}
    text = shown(console)

    assert went_well
    assert len(secrets) > 12
    assert [secret for secret in secrets if secret[:12] in text or secret[-12:] in text] == []


def test_saved_file_is_gone(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder with the saved token is removed in the end."""
    paths = []
    save = demo.Stage.auth

    def remember(stage: Stage) -> object:
        paths.append(stage.saved.path)
        return save(stage)

    monkeypatch.setattr(Stage, "auth", remember)
    perform([FIRST_CALLS, REVOKED], foxy=foxy, console=screen())

    assert [path.parent.exists() for path in paths] == [False]


# --- when something is not as expected -------------------------------------------------------------------------------


def test_finding_otherwise(foxy: Emulator) -> None:
    """One finding that is not as expected marks its scene and fails the demo; the others are told as they are."""
    good, bad = Finding.same("one", expected=1, seen=1), Finding.same("two", expected=2, seen=3)
    console = screen()
    went_well = perform([a_scene(good), a_scene(good, bad)], foxy=foxy, console=console)
    text = shown(console)

    assert not went_well
    assert "  ✗ two                                  2                   3" in text
    assert re.search(r"^  ✓ 1  A title +1 of 1 ", text, re.MULTILINE)
    assert re.search(r"^  ✗ 2  A title +1 of 2 ", text, re.MULTILINE)
    assert "Scene 2 of 2 went otherwise than expected." in text


def test_error_ends_one_scene_only(foxy: Emulator) -> None:
    """A scene that raises is marked and its error shown; the next one plays."""
    good = Finding.same("one", expected=1, seen=1)
    console = screen()
    went_well = perform([a_scene(error=OSError("[no] such [bold]luck")), a_scene(good)], foxy=foxy, console=console)
    text = shown(console)

    assert not went_well
    assert "OSError: [no] such [bold]luck" in text
    assert re.search(r"^  ✓ 2  A title +1 of 1 ", text, re.MULTILINE)
    assert "Scene 1 of 2 went otherwise than expected." in text


def test_scene_without_findings(foxy: Emulator) -> None:
    """A scene that finds nothing has shown nothing."""
    assert not perform([a_scene(Part("nothing"))], foxy=foxy, console=screen())


def test_refused_client(foxy: Emulator) -> None:
    """A fault of one scene is not the next one's."""
    foxy.fail(400, body={"error": "invalid_client"})
    console = screen()
    perform([FIRST_CALLS, REVOKED], foxy=foxy, console=console)
    text = shown(console)

    assert "TokenRefusedError: the token endpoint refuses (invalid_client)" in text
    assert re.search(r"^  ✗ 1  ", text, re.MULTILINE)
    assert re.search(r"^  ✓ 2  ", text, re.MULTILINE)


def test_lost_grant(foxy: Emulator) -> None:
    """A scene that costs the grant does not cost the scenes after it theirs."""

    def lose(stage: Stage) -> Iterator[Finding]:
        stage.foxy.revoke_refresh_tokens()
        yield Finding.same("one", expected=1, seen=1)

    assert perform([Scene("A title", "A story.", lose), REVOKED], foxy=foxy, console=screen())


def test_stray_token_is_seen(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """If our headers did go to another origin, the demo would show it."""
    monkeypatch.setattr(Environment, "covers", lambda *_: True)
    console = screen()

    assert not perform([FOREIGN], foxy=foxy, console=console)
    assert re.search(r"✗ our headers, there +nothing +Authorization", shown(console))


def test_empty_retry_is_seen(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a spent generator were sent again, as nothing, the demo would show it."""
    monkeypatch.setattr("foxy_auth._clients.requests._rewound", lambda *_: True)
    console = screen()

    assert not perform([REVOKED], foxy=foxy, console=console)
    assert re.search(r"✗ the caller sees +401 invalid_token +200", shown(console))


def test_second_process_fails(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the second process cannot start, the demo tells its last words."""
    monkeypatch.setattr("foxy_auth.cli.demo._successor.PROGRAM", "foxy_auth.no_such_program")
    console = screen(width=200)

    assert not perform([FIRST_CALLS, SUCCESSOR], foxy=foxy, console=console)
    assert re.search(r"✗ its exit status +0 +1", shown(console))
    assert "No module named foxy_auth.no_such_program" in " ".join(shown(console).split())


def test_terminal(foxy: Emulator) -> None:
    """On a terminal, colours tell good from bad, and the cursor that was hidden comes back."""
    console = screen()
    console = Console(file=console.file, width=80, force_terminal=True, color_system="standard", _environ={})
    perform([FIRST_CALLS], foxy=foxy, console=console)
    text = shown(console)

    assert "\x1b[1;32m✓\x1b[0m" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


def test_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`foxy-auth demo` ends with exit status 1 if a scene went otherwise, and names it."""

    class Refusing(Emulator):
        def start(self) -> None:
            super().start()
            self.fail(400, body={"error": "invalid_client"})

    monkeypatch.setattr("foxy_auth.emulator.Emulator", Refusing)
    monkeypatch.setattr(demo, "SCENES", [FIRST_CALLS])

    assert main(["demo"]) == 1
    assert "Scene 1 of 1 went otherwise than expected." in capsys.readouterr().out


# --- around it -------------------------------------------------------------------------------------------------------


def test_proxy_of_the_machine(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not asked, and the environment is as before in the end."""
    monkeypatch.setenv("HTTP_PROXY", foxy.elsewhere.url)
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    went_well = perform([FIRST_CALLS], foxy=foxy, console=screen())

    assert went_well
    assert os.environ["NO_PROXY"] == "intranet.example"
    assert "no_proxy" not in os.environ or os.name == "nt"


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (Finding.same("what", expected=50, seen=50), ("50", "50", True)),
        (Finding.same("what", expected=1000, seen=999), ("1,000", "999", False)),
        (Finding.same("what", expected=[401, 200], seen=[401]), ("401 → 200", "401", False)),
        (Finding.same("what", expected=[], seen=[None]), ("nothing", "none", False)),
        (Finding.same("what", expected=True, seen=False), ("yes", "no", False)),
        (Finding.below("what", limit=0.5, seen=0.0123), ("below 500 ms", "12 ms", True)),
        (Finding.below("what", limit=0.5, seen=1.5), ("below 500 ms", "1,500 ms", False)),
        (Finding.from_on("what", least=1, seen=1.001), ("1,000 ms or more", "1,001 ms", True)),
        (Finding.from_on("what", least=1, seen=0), ("1,000 ms or more", "0 ms", False)),
    ],
)
def test_findings(finding: Finding, expected: tuple[str, str, bool]) -> None:
    """A finding judges what was seen and writes it for people."""
    assert (finding.expected, finding.seen, finding.as_expected) == expected


def test_timeline() -> None:
    """Calls of one kind share a lane; a long one is a line, a short one a point, one without an answer a point too."""

    def call(method: str, path: str, begin: float, end: float | None, status: int | None = 200) -> Call:
        return Call(
            method=method,
            path=path,
            query="",
            headers={"User-Agent": "python-httpx/0.28.1"},
            status=status,
            arrived_at=1000 + begin,
            answered_at=None if end is None else 1000 + end,
        )

    console = screen(width=51, encoding="ascii")
    calls = [
        call("GET", "/stores/1", 0.0, 0.01),
        call("POST", "/token", 0.21, 0.79),
        call("GET", "/stores/1", 0.55, 0.56),
        call("GET", "/", 1.0, None, None),
    ]
    console.print(timeline(calls))

    assert [line.rstrip() for line in shown(console).splitlines()] == [
        "client     call               from to ms",
        "httpx  2 x GET /stores/1 200     0   560 -    -",
        "httpx      POST /token   200   210   790   ======",
        "httpx      GET /         -   1,000 1,000          -",
    ]
