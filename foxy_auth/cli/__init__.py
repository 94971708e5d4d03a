"""The command line, `foxy-auth`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

# What the extras bring; any other module that cannot be found is a defect of ours, and shown as one.
OPTIONAL = frozenset({"click", "flask", "httpx", "httpx2", "requests", "rich", "werkzeug"})


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line and return the exit status.

    Args:
        arguments: What follows the program's name; by default what it was started with.
    """
    from foxy_auth.cli._statuses import Status

    try:
        from foxy_auth.cli._commands import run

        return run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return Status.INTERRUPTED
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OPTIONAL:
            raise
        sys.stderr.write(f"foxy-auth needs {missing}, which is not installed: pip install 'foxy_auth[all]'\n")
        return Status.USAGE
