"""The emulator as a command: for shells and programs in any language."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from support.foreground import Foreground

from foxy_auth.cli import main
from foxy_auth.emulator.__main__ import main as module_main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPTIONS = ["--rotate", "--access-token-lifetime=60", "--redirect-uri=http://127.0.0.1:9/back"]
CURL = 'curl --silent --show-error --max-time 20 -H "Authorization: Bearer $FOXY_EMULATOR_TOKEN"'
REFRESH = (
    'curl --silent -u "$FOXY_API_CLIENT_ID:$FOXY_API_CLIENT_SECRET" $FOXY_API_URL/token '
    '-d grant_type=refresh_token -d "refresh_token=$FOXY_API_REFRESH_TOKEN"'
)


def test_shell(tmp_path: Path) -> None:
    """A shell takes over the lines, uses the credentials, controls the emulator by curl, and ends it by Ctrl-C."""
    with Foreground(tmp_path, "foxy_auth", "emulator", *OPTIONS) as foxy:
        token = json.loads(foxy.shell(REFRESH))
        status = foxy.shell(
            f"{CURL} -X POST $FOXY_API_URL/_emulator/revoke -d tokens=all && {REFRESH} -o /dev/null -w '%{{http_code}}'"
        )
        calls = json.loads(foxy.shell(f"{CURL} $FOXY_API_URL/_emulator/calls"))
        page = foxy.shell('curl -si "$FOXY_API_URL/authorize?response_type=x&client_id=$FOXY_API_CLIENT_ID"')
        ended = foxy.end(signal.SIGINT)

    assert token["expires_in"] == 60
    assert token["refresh_token"] not in foxy.lines
    assert (status, [call["status"] for call in calls]) == ("400", [200, 400])
    assert "Location: http://127.0.0.1:9/back?error=" in page
    assert ended == (0, "")


@pytest.mark.parametrize(
    "run", [lambda options: main(["emulator", *options]), module_main], ids=["foxy-auth", "module"]
)
def test_port_taken(run: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    """R24: a port that is taken ends the command with status 10, and the message says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["--port", port]) == 10

    assert f"port {port} cannot be used: " in capsys.readouterr().err
