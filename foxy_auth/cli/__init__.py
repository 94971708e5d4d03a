"""The command line, `foxy-auth`: one module or package per command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

# What is not installed with the package, and the extras that bring it with what the command needs besides. Any other
# module that cannot be imported is a bug, and raises.
COMMANDS, EMULATOR = "cli,requests", "cli,emulator,requests"
OPTIONAL = {
    **dict.fromkeys(["click", "filelock", "platformdirs", "requests", "rich", "tomlkit"], COMMANDS),
    **dict.fromkeys(["flask", "jinja2", "werkzeug"], EMULATOR),
    **{store: f"cli,requests,{store}" for store in ("keyring", "redis", "sqlalchemy")},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line and return the exit status.

    Args:
        arguments: The words after the program's name; `sys.argv[1:]` by default.
    """
    from foxy_auth.cli.exit_status import ExitStatus

    try:
        from foxy_auth.cli.commands import run

        return run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return ExitStatus.INTERRUPTED
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OPTIONAL:
            raise
        extras = OPTIONAL[missing]
        sys.stderr.write(f"foxy-auth needs {missing}, which is not installed: pip install 'foxy_auth[{extras}]'\n")
        return ExitStatus.USAGE
