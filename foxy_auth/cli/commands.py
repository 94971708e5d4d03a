"""The group of all commands. What a command needs is imported when it runs."""

from __future__ import annotations

from collections.abc import Sequence

import click

from foxy_auth.cli.demo.command import demo
from foxy_auth.cli.exit_status import ExitStatus, exit_status_help
from foxy_auth.cli.login.command import login
from foxy_auth.cli.terminal import echo, replace_unencodable
from foxy_auth.errors import FoxyAuthError


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=exit_status_help())
@click.version_option(package_name="foxy_auth", message="%(prog)s %(version)s", help="Show the version and exit.")
def commands() -> None:
    """OAuth for the Foxy API."""


commands.add_command(demo)
commands.add_command(login)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name and return the exit status."""
    replace_unencodable()
    try:
        return int(commands.main(arguments, prog_name="foxy-auth", standalone_mode=False) or 0)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FoxyAuthError as error:
        echo(f"Error: {error}", err=True)
        return ExitStatus.of(error)
