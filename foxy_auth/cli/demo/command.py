"""`foxy-auth demo`."""

from __future__ import annotations

import logging
import os

import click

from foxy_auth.cli.exit_status import ExitStatus

WIDEST = 100  # columns


@click.command()
def demo() -> int:
    """
    Watch FoxyAuth handle tokens, in a few seconds.

    Starts an emulator of Foxy on this machine and sends real requests to it. You need no account, and nothing leaves
    the machine. The exit status is 0 if everything went as expected, else 1.
    """
    from rich.console import Console

    from foxy_auth.cli.demo.run import run_scenes
    from foxy_auth.cli.demo.scenes import SCENES
    from foxy_auth.emulator import Emulator

    logging.getLogger("foxy_auth").addHandler(logging.NullHandler())  # the scenes show what fails
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    with Emulator() as foxy:
        return ExitStatus.OK if run_scenes(SCENES, foxy=foxy, console=console) else ExitStatus.FAILED
