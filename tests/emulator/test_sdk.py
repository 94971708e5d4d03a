"""The provider's own TypeScript SDK, unchanged, against the emulator."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.foreground import Foreground

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
    A program that uses the SDK as the test tells it.

    It returns no statuses, since the SDK sets every status to 200; the emulator records them.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **request: Any) -> dict[str, Any]:
        """Make the SDK send a request and return the response."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the program has no pipes")
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        response: dict[str, Any] = json.loads(line) if line else pytest.fail(f"the SDK died: {self._errors()}")
        return response

    def _errors(self) -> str:
        return "" if self._process.stderr is None else self._process.stderr.read()


def configuration(foxy: Emulator, scope: str) -> dict[str, str | None]:
    """Return the SDK's configuration for a new grant."""
    return {
        "base": f"{foxy.url}/",
        "clientId": foxy.client_id,
        "clientSecret": foxy.client_secret,
        "refreshToken": foxy.grant(scope).refresh_token,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the SDK with npm in a folder of its own."""
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


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[Program]:
    """Run *command*, which starts the program."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        yield Program(process)
        process.communicate(timeout=20)


@pytest.fixture
def program(folder: Path, foxy: Emulator) -> Iterator[Program]:
    """Run the SDK on a grant of the emulator."""
    with running([shutil.which("node") or "node", SCRIPT.name], folder) as program:
        program.ask(configure=configuration(foxy, "store_full_access"))
        yield program


@pytest.fixture
def foxy() -> Iterator[Emulator]:
    """Run an emulator on the system clock, which the SDK reads."""
    with Emulator() as foxy:
        yield foxy


def test_refresh_and_request(foxy: Emulator, program: Program) -> None:
    """The SDK refreshes once, follows links and reads resources."""
    home = program.ask()
    store = program.ask(relations=["fx:store"])

    assert "fx:store" in home["body"]["_links"]
    assert store["body"]["store_name"] == "Example Outfitters"
    assert {recorded.status for recorded in foxy.calls} == {200}
    assert [recorded.form["grant_type"] for recorded in foxy.token_calls] == ["refresh_token"]


@pytest.mark.parametrize(
    "ending", [Emulator.revoke_access_tokens, Emulator.expire_access_tokens], ids=["revoked", "expired"]
)
def test_invalid_token(foxy: Emulator, program: Program, ending: Any) -> None:
    """The SDK handles a revoked or expired token: a 401, one refresh, and the request again."""
    program.ask()
    ending(foxy)
    foxy.clear_calls()

    store = program.ask(relations=["fx:store"])

    assert store["body"]["store_name"] == "Example Outfitters"
    assert [recorded.status for recorded in foxy.calls][:3] == [401, 200, 200]
    assert len(foxy.token_calls) == 1


def test_concurrent_requests(foxy: Emulator, program: Program) -> None:
    """The SDK's concurrent requests share one refresh."""
    program.ask(calls=20)

    assert [recorded.status for recorded in foxy.api_calls] == [200] * 20
    assert len(foxy.token_calls) == 1


def test_revoked_grant(foxy: Emulator, program: Program) -> None:
    """When the grant was revoked, the SDK continues without a token."""
    foxy.revoke_refresh_tokens()

    assert "fx:create_client" in program.ask()["body"]["_links"]
    assert [recorded.status for recorded in foxy.token_calls] == [400]


def test_write(foxy: Emulator, program: Program) -> None:
    """The SDK's writes, JSON with another content type, are understood."""
    program.ask(configure=configuration(foxy, "user_full_access"))

    response = program.ask(relations=["fx:user"], method="patch", body={"phone": "555-0199"})

    assert response["body"]["phone"] == "555-0199"
    assert [(recorded.method, recorded.status) for recorded in foxy.api_calls][-1] == ("PATCH", 200)


@pytest.mark.parametrize(("email", "status"), [("robin@stores.example", 200), ("nobody@stores.example", 404)])
def test_report(foxy: Emulator, program: Program, email: str, status: int) -> None:
    """The SDK follows a link and adds its query."""
    program.ask(relations=["fx:reporting", "fx:reporting_email_exists"], body={"filters": [f"email={email}"]})

    asked = foxy.api_calls[-1]
    assert (asked.path, asked.status) == ("/reporting/email_exists", status)


def test_command(folder: Path, tmp_path: Path) -> None:
    """The SDK uses the lines of `python -m foxy_auth.emulator`; when a token is revoked by curl, it refreshes."""
    control = 'curl --silent --fail -H "Authorization: Bearer $FOXY_EMULATOR_TOKEN" "$FOXY_API_URL/_emulator/'
    with Foreground(tmp_path, "foxy_auth.emulator") as foxy:
        foxy.shell(control + """serve" -d '{"path": "/stores/1/coupons", "content": [{"id": 1}]}'""")
        with running(foxy.command(f"exec node {SCRIPT.name}"), folder) as program:
            program.ask(configure={})
            program.ask()
            foxy.shell(f'{control}clear" -X POST; {control}revoke" -X POST')
            store = program.ask(relations=["fx:store"])
            coupons = program.ask(relations=["fx:store", "fx:coupons"])
        calls = json.loads(foxy.shell(control + 'calls"'))

    assert store["body"]["store_name"] == "Example Outfitters"
    assert coupons["body"]["_embedded"]["fx:coupons"] == [{"id": 1}]
    assert [call["status"] for call in calls][:3] == [401, 200, 200]
    assert [call["path"] for call in calls].count("/token") == 1
