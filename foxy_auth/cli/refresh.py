"""`foxy-auth refresh`."""

from __future__ import annotations

import time

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.settings import Settings, with_settings
from foxy_auth.cli.terminal import as_json, echo, print_json, quiet
from foxy_auth.cli.times import expiry
from foxy_auth.cli.token_facts import token_json


@click.command(epilog=epilog("foxy-auth refresh", "foxy-auth refresh --profile shop --json"))
@as_json
@quiet
@with_settings
def refresh(settings: Settings, *, as_json: bool, quiet: bool) -> None:
    """
    Get a new access token now.

    Programs that use FoxyAuth need no such command: they refresh by themselves.
    """
    former = settings.open_store().load()
    with settings.auth() as auth:
        token = auth.refresh(former)
    if as_json:
        print_json(token_json(token, settings))
    elif not quiet:
        echo(f"There is a new access token; it {expiry(token, now=time.time())}.")
