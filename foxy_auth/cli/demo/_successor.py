"""A successor: a second process that starts from what the first has saved."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator

from foxy_auth.cli.demo._saved import fingerprint
from foxy_auth.cli.demo._scene import Exhibit, Finding, Part, Scene, milliseconds
from foxy_auth.cli.demo._stage import OK, Stage

LONGEST = 20.0  # seconds; a busy machine may take some to start a process
PROGRAM = "foxy_auth.cli.demo._second_process"


def _play(stage: Stage) -> Iterator[Finding | Part | Exhibit]:
    yield Part("what was saved")
    yield from _saved(stage)
    yield Part("the second process")
    yield from _second_process(stage)
    yield _traces(stage)


def _traces(stage: Stage) -> Exhibit:
    rows = [
        (milliseconds(trace.saved_at - stage.started_at), trace.access_token, trace.refresh_token)
        for trace in stage.saved.traces
    ]
    return Exhibit(("on_token, after", "access token", "refresh token"), rows)


def _saved(stage: Stage) -> Iterator[Finding]:
    issued = sum(call.status == OK for call in stage.foxy.token_calls)
    yield Finding.same("tokens issued, and saved", expected=issued, seen=len(stage.saved.traces))
    newest = stage.saved.load()
    yield Finding.same(
        "refresh token at Foxy, and saved",
        expected=fingerprint(stage.foxy.current_refresh_token),
        seen=fingerprint(newest.refresh_token if newest else None),
    )
    if os.name == "posix":
        mode = stat.S_IMODE(stage.saved.path.stat().st_mode)
        yield Finding.same("mode of the file", expected="0600", seen=f"{mode:04o}")


def _second_process(stage: Stage) -> Iterator[Finding]:
    watch = stage.watch()
    ended = subprocess.run(  # noqa: S603 - a program of our own
        [sys.executable, "-m", PROGRAM, stage.foxy.store_url, str(stage.saved.path)],
        env=_environment(stage),
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    yield Finding.same("its exit status", expected=0, seen=ended.returncode)
    if ended.returncode:
        raise RuntimeError(ended.stderr.rstrip().rpartition("\n")[2])
    yield Finding.same("its call is answered", expected=[OK], seen=watch.answers)
    yield Finding.same("its token calls", expected=0, seen=len(watch.token_calls))
    used = [fingerprint(call.access_token) for call in watch.api_calls]
    yield Finding.same(
        "its access token", expected=[trace.access_token for trace in stage.saved.traces[-1:]], seen=used
    )


def _environment(stage: Stage) -> dict[str, str]:
    """Return the variables that `FoxyAuth.from_env` reads, and those of this process that are not Foxy's."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FOXY_")}
    return own | {
        "FOXY_API_CLIENT_ID": stage.foxy.client_id,
        "FOXY_API_CLIENT_SECRET": stage.foxy.client_secret,
        "FOXY_API_URL": stage.foxy.url,
    }


SUCCESSOR = Scene(
    title="What on_token saved, and a second process",
    story=(
        "Every new token was handed to on_token, which keeps the newest in a file. Another process starts from it. "
        "Secrets are shown as fingerprints, the beginning of their SHA-256."
    ),
    play=_play,
)
