"""`foxy-auth logout`."""

from __future__ import annotations

import time

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.profiles import remove_profile
from foxy_auth.cli.settings import Settings, with_settings
from foxy_auth.cli.store_address import locked
from foxy_auth.cli.terminal import as_json, can_ask, echo, print_json, quiet
from foxy_auth.cli.times import expiry
from foxy_auth.cli.token_facts import account_name, settings_json
from foxy_auth.errors import StoreError
from foxy_auth.stores import TokenStore
from foxy_auth.token import Token


@click.command(
    epilog=epilog(
        "foxy-auth logout",
        "foxy-auth logout --profile shop --forget --yes",
        also=[ExitStatus.NOT_SAVED, ExitStatus.INTERRUPTED],
    )
)
@click.option("--forget", is_flag=True, help="Remove the profile too: the client's settings, and its secret.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@as_json
@quiet
@with_settings
def logout(settings: Settings, *, forget: bool, yes: bool, as_json: bool, quiet: bool) -> int:
    """
    Remove the token from where it is kept.

    Foxy documents no way to revoke a token: whoever has a copy can use it until it expires. To withdraw the access
    itself, delete the integration before you log out: its address is among those that "foxy-auth request fx:store
    fx:integrations" shows.
    """
    store = settings.open_store()
    token, what = _look(store)
    if what and not yes and not _ask(f"Remove {what} from {settings.place}?"):
        echo("Nothing was removed.", err=True)
        return ExitStatus.FAILED
    if what:
        with locked(store):
            store.delete()
    has_profile = forget and settings.is_profile_used
    if has_profile:
        remove_profile(settings.profile)
    if as_json:
        print_json({"removed": bool(what), "forgotten": has_profile, **settings_json(settings)})
    elif not quiet:
        _tell(settings, what, token, has_profile=has_profile)
    return ExitStatus.OK


def _look(store: TokenStore) -> tuple[Token | None, str]:
    """Return the token, and what there is to remove; "" if there is nothing."""
    try:
        token = store.load()
    except StoreError:
        return None, "the record, which cannot be read,"
    return token, f"the token of {account_name(token)}" if token else ""


def _ask(question: str) -> bool:
    if not can_ask():
        raise click.UsageError("There is no terminal to ask on: give --yes.")
    return click.confirm(question, err=True)


def _tell(settings: Settings, what: str, token: Token | None, *, has_profile: bool) -> None:
    echo(f"Removed {what} from {settings.place}." if what else f"There was no token in {settings.place}.")
    if has_profile:
        echo(f"Removed the profile {settings.profile}.")
    if token:
        echo(
            f"Foxy documents no way to revoke a token. A copy of this one {expiry(token, now=time.time())}; a copy of "
            "its refresh token stays good until the integration is deleted at Foxy."
        )
