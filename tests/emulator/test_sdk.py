"""The provider's own TypeScript SDK, unchanged, against the emulator."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from foxy_auth.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

SDK = "@foxy.io/sdk@1.16.2"
SCRIPT = Path(__file__).with_name("sdk.cjs")
MISSING = "the provider's SDK needs Node.js and npm: install node 18 or newer (Debian: apt-get install nodejs npm)"

# The first test waits for the download.
pytestmark = pytest.mark.timeout(300)


class Program:
    """
    A program of the SDK's that takes its orders from the test.

    It tells no statuses, for the SDK gives every answer the status 200: those are in the emulator's journal.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **request: Any) -> dict[str, Any]:
        """Let it make a request and return what it got."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the program has no pipes")
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        answered: dict[str, Any] = json.loads(line) if line else pytest.fail(f"the SDK died: {self._errors()}")
        return answered

    def _errors(self) -> str:
        return "" if self._process.stderr is None else self._process.stderr.read()


def configuration(foxy: Emulator, scope: str) -> dict[str, str | None]:
    """Make the SDK's configuration for a new grant."""
    return {
        "base": f"{foxy.url}/",
        "clientId": foxy.client_id,
        "clientSecret": foxy.client_secret,
        "refreshToken": foxy.grant(scope).refresh_token,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the SDK into a folder of its own, as the machine's npm does it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "package.json").write_text("{}")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", SDK]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    if installed.returncode:
        pytest.skip(f"npm cannot install {SDK}, connect it to its registry: {installed.stderr[-300:]}")
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.fixture
def program(folder: Path, foxy: Emulator) -> Iterator[Program]:
    """Run the SDK on a grant of the emulator."""
    node = shutil.which("node") or "node"
    pipe = subprocess.PIPE
    command = [node, SCRIPT.name]
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        program = Program(process)
        program.ask(configure=configuration(foxy, "store_full_access"))
        yield program
        process.communicate(timeout=20)


@pytest.fixture
def foxy() -> Iterator[Emulator]:
    """Give an emulator on the machine's clock, which is the one that the SDK reads."""
    with Emulator() as foxy:
        yield foxy


def test_refreshing_and_calling(foxy: Emulator, program: Program) -> None:
    """The SDK refreshes once, follows links and reads resources."""
    home = program.ask()
    store = program.ask(relations=["fx:store"])

    assert "fx:store" in home["body"]["_links"]
    assert store["body"]["store_name"] == "Example Outfitters"
    assert {arrived.status for arrived in foxy.calls} == {200}
    assert [arrived.form["grant_type"] for arrived in foxy.token_calls] == ["refresh_token"]


@pytest.mark.parametrize(
    "ending", [Emulator.revoke_access_tokens, Emulator.expire_access_tokens], ids=["revoked", "expired"]
)
def test_surviving(foxy: Emulator, program: Program, ending: Any) -> None:
    """The SDK survives a token that the server has ended: a 401, one refresh, and the request again."""
    program.ask()
    ending(foxy)
    foxy.clear_calls()

    store = program.ask(relations=["fx:store"])

    assert store["body"]["store_name"] == "Example Outfitters"
    assert [arrived.status for arrived in foxy.calls][:3] == [401, 200, 200]
    assert len(foxy.token_calls) == 1


def test_many_at_once(foxy: Emulator, program: Program) -> None:
    """The SDK's concurrent requests share one refresh."""
    program.ask(calls=20)

    assert [arrived.status for arrived in foxy.api_calls] == [200] * 20
    assert len(foxy.token_calls) == 1


def test_refused(foxy: Emulator, program: Program) -> None:
    """Where the grant is gone, the SDK goes on without a token, and is refused on what is protected."""
    foxy.revoke_refresh_tokens()

    assert "fx:create_client" in program.ask()["body"]["_links"]
    assert [arrived.status for arrived in foxy.token_calls] == [400]


def test_writing(foxy: Emulator, program: Program) -> None:
    """The SDK's writes, JSON under another name, are understood."""
    program.ask(configure=configuration(foxy, "user_full_access"))

    answered = program.ask(relations=["fx:user"], method="patch", body={"phone": "555-0199"})

    assert answered["body"]["phone"] == "555-0199"
    assert [(arrived.method, arrived.status) for arrived in foxy.api_calls][-1] == ("PATCH", 200)


@pytest.mark.parametrize(("email", "status"), [("robin@stores.example", 200), ("nobody@stores.example", 404)])
def test_asking_for_a_report(foxy: Emulator, program: Program, email: str, status: int) -> None:
    """The SDK follows a link and adds its query: whether an address is taken."""
    program.ask(relations=["fx:reporting", "fx:reporting_email_exists"], body={"filters": [f"email={email}"]})

    asked = foxy.api_calls[-1]
    assert (asked.path, asked.status) == ("/reporting/email_exists", status)
