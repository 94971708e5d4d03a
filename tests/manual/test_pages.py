"""The README and the manual: every code block runs as it is printed, with only what its page installs."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.manual import EXECUTED, MANUAL, README, SERVERS, SHOWN, Program, absent_modules, blocks_of, pages, programs
from support.servers import FROM_ELSEWHERE

from foxy_auth.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FRESH = Path(__file__).parent / "fresh"
PROGRAMS = {program.name: program for program in programs()}
AT_ONCE = 4  # programs, on two processors: each waits a little for its emulator
Outcomes = dict[str, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Run the programs that were asked for, several at a time."""
    here = [
        item for item in request.session.items if isinstance(item, pytest.Function) and item.module is request.module
    ]
    asked = [str(item.callspec.params["name"]) for item in here if "outcomes" in item.fixturenames]
    folders = [tmp_path_factory.mktemp("page") for _ in asked]
    needed = sorted({server for name in asked for server in PROGRAMS[name].servers})
    urls = {server: FROM_ELSEWHERE[server] or request.getfixturevalue(f"{server}_server").url for server in needed}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ran = pool.map(lambda name, folder: run_program(PROGRAMS[name], folder, urls), asked, folders)
        return dict(zip(asked, ran, strict=True))


def run_program(program: Program, folder: Path, urls: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run *program* as its reader would: in an empty folder, with the credentials of a Foxy in the environment."""
    (folder / "home").mkdir()
    (folder / "empty").mkdir()
    (folder / "empty" / "page.py").write_text(program.source, "utf-8")
    with Emulator() as foxy:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("FOXY_", "XDG_", "PYTEST_"))},
            **{f"{name.upper()}_URL": url for name, url in urls.items()},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(FRESH),
            "HOME": str(folder / "home"),
            "FOXY_TEST_ABSENT": " ".join(absent_modules(program.installed)),
            "FOXY_API_CLIENT_ID": foxy.client_id,
            "FOXY_API_CLIENT_SECRET": foxy.client_secret,
            "FOXY_API_REFRESH_TOKEN": str(foxy.grant().refresh_token),
            "FOXY_API_URL": foxy.url,
        }
        command = [sys.executable, "-W", "error", "page.py"]
        return subprocess.run(
            command, cwd=folder / "empty", env=environment, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.mark.timeout(240)  # the first one runs all pages
@pytest.mark.parametrize("name", PROGRAMS)
def test_code(outcomes: Outcomes, name: str) -> None:
    """The code of the page runs, in a fresh interpreter and an empty folder."""
    outcome = outcomes[name]
    print(outcome.stdout, outcome.stderr)  # noqa: T201 - pytest shows it if the test fails, or with -rA

    assert outcome.returncode == 0, f"page.py is {PROGRAMS[name].page}, with its line numbers\n{outcome.stderr}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_installs(name: str) -> None:
    """The page says what to install before it shows code."""
    assert PROGRAMS[name].installed or "foxy_auth" not in PROGRAMS[name].source, (
        f"name the extras: pip install 'foxy_auth[requests,file]' in {name}"
    )
    assert PROGRAMS[name].servers <= SERVERS


@pytest.mark.parametrize("page", [README, *pages()], ids=lambda page: str(page.relative_to(page.parents[1])))
def test_languages(page: Path) -> None:
    """No code block escapes: it is executed, or is of a language that is only shown."""
    unknown = [block for block in blocks_of(page.read_text("utf-8")) if block.language not in EXECUTED | SHOWN]

    assert unknown == []


def test_tested_elsewhere() -> None:
    """A block that another test runs names a file of tests, which reads the page."""
    for page in pages():
        for block in blocks_of(page.read_text("utf-8")):
            if block.kind == "tested":
                assert page.name in (MANUAL.parents[1] / block.value).read_text("utf-8"), block


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Give what runs a page of the test's own, which installs requests."""

    def run(text: str) -> subprocess.CompletedProcess[str]:
        from support.manual import _source

        program = Program("made up", README, _source(blocks_of(text)), frozenset({"foxy_auth[requests]"}), frozenset())
        return run_program(program, tmp_path, {})

    return run


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nimport filelock\n```\n", "No module named 'filelock'"),
        ("```python\nx = 1\n```\nand\n```python\nassert x == 2\n```\n", 'page.py", line 6'),
        ("```python\nprint(1)\n```\n<!-- output -->\n```text\n2\n```\n", "the page shows"),
        ("\n```sh\nfalse\n```\n", "exit status 1"),
        ("```python\nimport requests; requests.get('http://foxy.example')\n```\n", "its code runs on loopback"),
    ],
)
def test_a_wrong_page_fails(
    fresh: Callable[[str], subprocess.CompletedProcess[str]], text: str, complaint: str
) -> None:
    """What a reader would stumble over fails: a missing extra, a wrong assertion, other output, a way out."""
    outcome = fresh(text)

    assert outcome.returncode != 0
    assert complaint in outcome.stderr
