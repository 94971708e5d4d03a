"""`foxy-auth emulator`."""

from __future__ import annotations

import errno

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.exit_status import ExitStatus, PortUnavailableError

EXAMPLE = """\
foxy-auth emulator > foxy.sh &
. ./foxy.sh
curl -X POST \\
  -H "Authorization: Bearer $FOXY_EMULATOR_TOKEN" \\
  $FOXY_API_URL/_emulator/revoke"""
OF_PORTS = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM}


@click.command(epilog=epilog(EXAMPLE, also=[ExitStatus.PORT_UNAVAILABLE]))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen on 127.0.0.1; 0 is a free one.")
@click.option("--redirect-uri", default="", metavar="URI", help="The redirect URI of the client.")
@click.option("--rotate", is_flag=True, help="Replace the refresh token with each use.")
@click.option(
    "--access-token-lifetime",
    type=click.FloatRange(0, min_open=True),
    default=7200.0,
    show_default=True,
    metavar="SECONDS",
    help="How long new access tokens are valid.",
)
def emulator(port: int, redirect_uri: str, rotate: bool, access_token_lifetime: float) -> int:  # noqa: FBT001 - a flag
    """
    Run an emulator of Foxy until Ctrl-C.

    For programs in any language. Prints lines for a shell: `export FOXY_API_…` with its credentials and address, and
    FOXY_EMULATOR_TOKEN, which opens the paths below /_emulator. GET /_emulator says what can be done there.
    """
    from foxy_auth.emulator.foreground import serve

    try:
        serve(port=port, redirect_uri=redirect_uri, rotate=rotate, access_token_lifetime=access_token_lifetime)
    except OSError as error:
        if error.errno not in OF_PORTS:
            raise
        message = f"port {port} cannot be used: {error.strerror}; choose another one with --port"
        raise PortUnavailableError(message) from error
    return ExitStatus.OK
