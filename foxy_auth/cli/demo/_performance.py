"""The performance: scene after scene."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from foxy_auth.cli.demo._review import Review
from foxy_auth.cli.demo._scene import Finding, Scene
from foxy_auth.cli.demo._screen import Screen
from foxy_auth.cli.demo._stage import Stage
from foxy_auth.emulator import Emulator

if TYPE_CHECKING:
    from rich.console import Console

HOST = "127.0.0.1"


def perform(scenes: Sequence[Scene], *, foxy: Emulator, console: Console) -> bool:
    """
    Play *scenes* and print what is expected and seen; tell whether everything went as expected.

    Args:
        scenes: What to play.

        foxy: A running emulator; its refresh tokens become good for one use each.

        console: Where to print.
    """
    foxy.rotate_refresh_tokens = True  # whoever uses one twice loses the grant, so that a mistake shows
    screen = Screen(console)
    screen.announce(
        "foxy_auth: the life of a grant",
        f"Real requests to an emulator of Foxy at {foxy.url}. Each refresh token is good once: using one twice would "
        f"cost the whole grant, so no mistake stays hidden.",
    )
    with TemporaryDirectory(prefix="foxy-auth-demo-") as folder, _without_proxy():
        stage = Stage(foxy, Path(folder))
        watch = stage.watch()
        reviews = [_played(number, scene, stage, screen) for number, scene in enumerate(scenes, 1)]
    screen.close(reviews, token_calls=len(watch.token_calls), other_calls=len(watch.api_calls))
    return all(review.as_expected for review in reviews)


def _played(number: int, scene: Scene, stage: Stage, screen: Screen) -> Review:
    """Play one scene; an error ends that scene only."""
    screen.open(number, scene)
    watch, started_at = stage.watch(), time.perf_counter()
    findings: list[Finding] = []
    with screen.playing():
        try:
            for item in scene.play(stage):
                screen.show(item)
                if isinstance(item, Finding):
                    findings.append(item)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown, and the demo goes on
            findings.append(screen.fail(error))
    took = time.perf_counter() - started_at
    stage.foxy.clear_faults()
    screen.draw(watch.calls)
    return Review(number, scene, findings, took)


@contextmanager
def _without_proxy() -> Generator[None]:
    """Let no proxy of the machine come between the demo and the emulator."""
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    os.environ.update(dict.fromkeys(before, HOST))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
