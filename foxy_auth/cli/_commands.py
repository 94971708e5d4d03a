"""The commands; what a command does is loaded when it is called."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import click

from foxy_auth.cli._statuses import Status, status_of, table
from foxy_auth.cli.login import login
from foxy_auth.errors import FoxyAuthError

PROGRAM = "foxy-auth"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name and return the exit status."""
    _print_anything()
    try:
        return int(commands.main(arguments, prog_name=PROGRAM, standalone_mode=False) or 0)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FoxyAuthError as error:
        click.echo(f"Error: {error}", err=True)
        return status_of(error)


def _print_anything() -> None:
    """Let what the terminal's encoding lacks be printed as a question mark, and not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's call
    if not wanted:
        return
    try:
        click.echo(f"{PROGRAM} {version('foxy_auth')}")
    except PackageNotFoundError:
        click.echo(f"{PROGRAM}, from a folder where it is not installed")
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=table())
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def commands() -> None:
    """OAuth for the Foxy API."""


@commands.command()
def demo() -> int:
    """
    Watch the life of a grant, in a few seconds.

    Starts an emulator of Foxy on this machine and sends real requests to it; no account is needed, and nothing leaves
    the machine. Exits with 0 if everything went as expected, else with 1.
    """
    from rich.console import Console

    from foxy_auth.cli.demo import SCENES, perform
    from foxy_auth.emulator import Emulator

    # What goes wrong is shown in its scene; warnings of the log would tear the picture.
    logging.getLogger("foxy_auth").addHandler(logging.NullHandler())
    with Emulator() as foxy:
        return Status.DONE if perform(SCENES, foxy=foxy, console=Console(highlight=False)) else Status.FAILED


commands.add_command(login)
