"""Run the scenes, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from foxy_auth.cli.demo.scene import Check, Heading, Scene, Session
from foxy_auth.cli.demo.screen import Result, Screen
from foxy_auth.emulator import Emulator

if TYPE_CHECKING:
    from rich.console import Console


def run_scenes(scenes: Sequence[Scene], *, foxy: Emulator, console: Console) -> bool:
    """
    Run *scenes*, print what they check, and return whether all checks passed.

    Args:
        scenes: What to run.

        foxy: A running emulator. Its refresh tokens are rotated from now on.

        console: Where to print.
    """
    foxy.rotate_refresh_tokens = True  # a client that sends one twice loses the grant, so mistakes show
    screen = Screen(console)
    with TemporaryDirectory(prefix="foxy-auth-demo-") as folder:
        session = Session(foxy, Path(folder))
        screen.print_introduction(foxy.url)
        recording = session.record()
        playable = [scene for scene in scenes if scene.can_be_played]
        results = [_run_scene(number, scene, session, screen) for number, scene in enumerate(playable, 1)]
    screen.print_summary(results, recording)
    screen.print_skipped([scene for scene in scenes if not scene.can_be_played])
    return all(result.passed for result in results)


def _run_scene(number: int, scene: Scene, session: Session, screen: Screen) -> Result:
    """Run one scene; an error ends that scene only."""
    screen.print_scene(number, scene)
    recording, started_at = session.record(), time.perf_counter()
    items: list[Check | Heading] = []
    failure = ""
    try:
        for item in scene.play(session):
            items.append(item)  # noqa: PERF402 - keeps what there is when an error comes
    except Exception as error:  # noqa: BLE001 - any error is shown, and the demo continues
        failure = f"{type(error).__name__}: {error}"
        items.append(Check("the scene runs to its end", "yes", "no", passed=False))
    result = Result(number, scene, items, time.perf_counter() - started_at)
    session.foxy.clear_faults()
    screen.print_checks(items, failure)
    screen.print_timeline(recording.requests)
    return result
