"""`foxy-auth demo`."""

from __future__ import annotations

import os

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.exit_status import ExitStatus

WIDEST = 100  # columns


@click.command(epilog=epilog("foxy-auth demo", also=[ExitStatus.INTERRUPTED]))
def demo() -> int:
    """
    Watch FoxyAuth handle tokens.

    Takes a few seconds: starts an emulator of Foxy on this machine and sends real requests to it. You need no account,
    and nothing leaves the machine.
    """
    from rich.console import Console

    from foxy_auth.cli.demo.run import run_scenes
    from foxy_auth.cli.demo.scenes import SCENES
    from foxy_auth.emulator import Emulator

    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    with Emulator() as foxy:
        return ExitStatus.OK if run_scenes(SCENES, foxy=foxy, console=console) else ExitStatus.FAILED
