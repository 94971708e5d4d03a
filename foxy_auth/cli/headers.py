"""`foxy-auth headers`."""

from __future__ import annotations

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.settings import Settings, with_settings
from foxy_auth.cli.terminal import as_json, no_note, note_secret, print_json

CURL = "foxy-auth headers |\n  curl -H @- https://api.foxycart.com/"


@click.command(epilog=epilog(CURL, "foxy-auth headers --json"))
@as_json
@no_note
@with_settings
def headers(settings: Settings, *, as_json: bool, quiet: bool) -> None:
    """
    Print the headers of a request to Foxy.

    A header a line, as curl reads them, so that the token is on no command line. They are good for one request: the
    token is refreshed first if it expires within a minute.
    """
    with settings.auth() as auth:
        found = auth.headers()
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name}: {value}")
    if not quiet:
        note_secret()
