"""`python -m foxy_auth.emulator`: what `foxy-auth emulator` does, for those who have no more than the emulator."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING

from foxy_auth.emulator.foreground import serve

if TYPE_CHECKING:
    from collections.abc import Sequence

_PORT_UNAVAILABLE = 10  # as in the table of the command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator with *arguments*, by default those of the program, and return the exit status."""
    parser = ArgumentParser(
        "python -m foxy_auth.emulator",
        description="Run an emulator of Foxy on this machine until Ctrl-C. Prints the export lines of its credentials.",
    )
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; a free port by default")
    parser.add_argument("--redirect-uri", default="", metavar="URI", help="the redirect URI of the client")
    parser.add_argument("--rotate", action="store_true", help="replace the refresh token with each use")
    parser.add_argument("--access-token-lifetime", type=float, default=7200.0, metavar="SECONDS", help="default: 7200")
    options = parser.parse_args(arguments)
    try:
        serve(**vars(options))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Error: port {options.port} cannot be used: {error}; choose another one with --port\n")
        return _PORT_UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
