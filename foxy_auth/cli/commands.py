"""The group of all commands. What a command needs is imported when it runs."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.completion import VARIABLE, completion
from foxy_auth.cli.create import create
from foxy_auth.cli.demo.command import demo
from foxy_auth.cli.doctor.command import doctor
from foxy_auth.cli.emulator import emulator
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.headers import headers
from foxy_auth.cli.login.command import login
from foxy_auth.cli.logout import logout
from foxy_auth.cli.refresh import refresh
from foxy_auth.cli.register import register
from foxy_auth.cli.request.command import request
from foxy_auth.cli.status import status
from foxy_auth.cli.terminal import discard_output, echo, replace_unencodable
from foxy_auth.cli.token import token
from foxy_auth.errors import FoxyAuthError, LoginRequiredError

EXAMPLES = (
    "foxy-auth login --client-id client_x \\\n  --redirect-uri http://127.0.0.1:8910/callback",
    "foxy-auth status",
    "foxy-auth headers |\n  curl -H @- https://api.foxycart.com/",
)


# What a write to the standard output fails with when a disk, a quota or a file is full. click knows closed pipes.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=epilog(*EXAMPLES, also=ExitStatus))
@click.version_option(package_name="foxy_auth", message="%(prog)s %(version)s", help="Show the version and exit.")
def commands() -> None:
    """
    OAuth for the Foxy API.

    Each setting is taken from its option, else from its environment variable, else from the profile that login has
    kept.
    """


COMMANDS = (
    completion,
    create,
    demo,
    doctor,
    emulator,
    headers,
    login,
    logout,
    refresh,
    register,
    request,
    status,
    token,
)
for _command in COMMANDS:
    commands.add_command(_command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name and return the exit status."""
    replace_unencodable()
    try:
        ended = commands.main(arguments, prog_name="foxy-auth", complete_var=VARIABLE, standalone_mode=False)
        return int(ended or 0)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except FoxyAuthError as error:
        echo(f"Error: {error}", err=True)
        if isinstance(error, LoginRequiredError):
            echo("Run foxy-auth login to get a new token.", err=True)
        return ExitStatus.of(error)
    except OSError as error:
        if error.errno not in FULL:
            raise
        discard_output()
        echo(f"Error: the output could not be written: {error.strerror}", err=True)
        return ExitStatus.FAILED


def _show(error: click.ClickException) -> None:
    """Print an error of usage as click does, but wrapped."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context:
        echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.", err=True)
        click.echo(err=True)
    echo(f"Error: {error.format_message()}", err=True)
