"""`foxy-auth token`."""

from __future__ import annotations

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.settings import Settings, with_settings
from foxy_auth.cli.terminal import as_json, no_note, note_secret, print_json
from foxy_auth.cli.token_facts import seconds


@click.command(epilog=epilog("TOKEN=$(foxy-auth token)", "foxy-auth token --json"))
@as_json
@no_note
@with_settings
def token(settings: Settings, *, as_json: bool, quiet: bool) -> None:
    """
    Print the access token.

    It is refreshed first if it expires within a minute. Keep it out of command lines, which other users can see:
    foxy-auth headers shows a way.
    """
    with settings.auth() as auth:
        found = auth.get_token()
    if as_json:
        expires_at = seconds(found.expires_at)
        print_json({"access_token": found.access_token, "expires_at": expires_at, "token_type": found.token_type})
        return
    click.echo(found.access_token)
    if not quiet:
        note_secret()
