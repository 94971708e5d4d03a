"""Pages of the manual whose promises need more than that their code runs."""

from __future__ import annotations

import re
import runpy
from typing import TYPE_CHECKING, Any

import pytest
from support.credentials import credentials
from support.manual import MANUAL, blocks_of

from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from foxy_auth.emulator import Emulator

    Run = Callable[[str], str]

HOW_TO, EXAMPLES = MANUAL / "how-to", MANUAL / "examples"
COMMANDS = (["show"], ["add", "Stock report"], ["integrations"])


@pytest.fixture
def run(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give what runs the commands of an example in an empty folder, and returns what it prints."""
    for name, value in credentials(foxy).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(example: str) -> str:
        for arguments in COMMANDS:
            monkeypatch.setattr("sys.argv", [example, *arguments])
            runpy.run_path(str(EXAMPLES / example), run_name="__main__")
        return re.sub("integration [0-9]+ created", "integration created", capsys.readouterr().out)

    return run


def test_the_migrated_client_goes_on(foxy: Emulator, run: Run) -> None:
    """R19: The example does after its migration what it did before, with the same token file and half the code."""
    before, requests_before = run("legacy_client.py"), len(foxy.token_calls)
    after, requests_after = run("migrated_client.py"), len(foxy.token_calls)
    foxy.revoke_access_tokens()
    again = run("migrated_client.py")
    texts = [(EXAMPLES / name).read_text("utf-8") for name in ("legacy_client.py", "migrated_client.py")]
    lengths = [len(text.splitlines()) for text in texts]

    assert before.startswith("Example Outfitters\nintegration created successfully.\n1 ")
    assert after.startswith(before)
    assert again.count("Stock report") == 3
    assert (requests_before, requests_after, len(foxy.token_calls)) == (1, 1, 2)
    assert f"{lengths[0]} lines and {lengths[1]}" in (HOW_TO / "migrate-your-own-code.md").read_text("utf-8")


def test_the_diffs_are_of_the_examples() -> None:
    """What the page replaces stands in the examples, line for line."""
    blocks = blocks_of((HOW_TO / "migrate-your-own-code.md").read_text("utf-8"))
    diffs = [block.code for block in blocks if block.language == "diff"]
    examples = {"-": (EXAMPLES / "legacy_client.py").read_text(), "+": (EXAMPLES / "migrated_client.py").read_text()}

    assert len(diffs) == 3
    for sign, example in examples.items():
        for diff in diffs:
            lines = [line[1:] for line in diff.splitlines() if line.startswith(sign)]
            assert "\n".join(lines) in example


def test_the_web_flow(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """3P: The two functions of first-token.md connect a store, and say so if its owner denies."""
    for name, value in credentials(foxy).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    foxy.redirect_uri = "https://yours.example/foxy/callback"
    names: dict[str, Any] = {}
    for block in blocks_of((HOW_TO / "first-token.md").read_text("utf-8")):
        if block.language == "python":
            exec(block.code, names)  # noqa: S102 - our own page
    session: dict[str, Any] = {}
    said = [
        names["callback"](session, foxy.authorize(names["connect"](session), allow=allow)) for allow in (False, True)
    ]

    assert said == ["Without access to your store, this is not possible.", "Store 1 is connected."]
    assert FileStore("tokens/foxy.json").for_key("1").load()
    assert session == {}
