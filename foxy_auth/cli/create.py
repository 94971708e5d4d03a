"""`foxy-auth create user` and `foxy-auth create store`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from foxy_auth.cli.asking import Field, complete, field_options
from foxy_auth.cli.command_help import OF_TOKENS, epilog
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.fields import read_fields
from foxy_auth.cli.settings import Settings, read_by, read_profile_name, usage_errors, with_settings
from foxy_auth.cli.store_address import StoreAddress
from foxy_auth.cli.terminal import as_json, echo, print_json, print_rows, quiet

SAVE_AS = Field("save_as", "A name for the new profile, which keeps the new token")
USER = (
    Field("first_name", "First name"),
    Field("last_name", "Last name"),
    Field("email", "Email address, the login"),
    SAVE_AS,
    Field("phone", "Phone number", is_required=False),
    Field("affiliate_id", "The number of an affiliate; it cannot be changed later", is_required=False),
    *(
        Field(f"is_{role}", f"The user is a {role.replace('_', ' ')}", is_required=False, is_flag=True)
        for role in ("programmer", "front_end_developer", "designer", "merchant")
    ),
    Field("captcha_code", "The header h-captcha-code, if Foxy requires it", is_required=False),
)
STORE = (
    Field("store_name", "The store's name"),
    Field("store_domain", "Its subdomain of Foxy's domain, or a full domain"),
    Field("store_url", "The address of the shop's website"),
    Field("store_email", "The sender of its emails"),
    Field("postal_code", "Its postal code"),
    Field("region", "Its region, the two-letter code where there is one"),
    Field("country", "Its country, the two-letter code"),
    SAVE_AS,
)
ALSO = (*OF_TOKENS, ExitStatus.NOT_CREATED)


@click.group()
def create() -> None:
    """Create a user or a store."""


def _shared(command: Any) -> Any:
    """Give *command* the options of both."""
    save_store = click.option(
        "--save-store",
        metavar="ADDRESS",
        callback=read_by(StoreAddress.parse),
        help="Where the new token is kept, as --store takes it.  [default: a file of the new profile]",
    )
    return save_store(as_json(quiet(with_settings(command))))


@create.command(epilog=epilog("foxy-auth create user --profile acme --save-as robin", also=ALSO))
@field_options(USER)
@_shared
def user(settings: Settings, **options: Any) -> None:
    """
    Create a Foxy user, and keep its token.

    This takes the token of a client (scope client_full_access), such as register has kept. On a terminal you are asked
    for what is missing. The user's token goes into a profile of its own, before anything is printed.
    """
    from foxy_auth.registration import create_user

    _create("user", create_user, USER, settings, **options)


@create.command(epilog=epilog("foxy-auth create store --profile robin --save-as shop", also=ALSO))
@field_options(STORE)
@click.option(
    "--field",
    "-f",
    "further",
    multiple=True,
    metavar="NAME=VALUE",
    callback=read_fields,
    help="Another field of the API, such as timezone=Europe/Berlin; NAME:=JSON for what is no text. Repeatable.",
)
@_shared
def store(settings: Settings, *, further: dict[str, Any], **options: Any) -> None:
    """
    Create a store, and keep its token.

    This takes the token of the user that the store is for (scope user_full_access), such as create user has kept. On a
    terminal you are asked for what is missing. The store's token goes into a profile of its own, before anything is
    printed.
    """
    from foxy_auth.registration import create_store

    _create("store", create_store, STORE, settings, further=further, **options)


def _create(
    what: str,
    function: Callable[..., Any],
    fields: Sequence[Field],
    settings: Settings,
    *,
    save_store: StoreAddress | None,
    as_json: bool,
    quiet: bool,
    further: dict[str, Any] | None = None,
    **given: Any,
) -> None:
    from foxy_auth.cli.issued import check_is_new, check_store, keep, safekeeping

    if given["save_as"]:
        _check_name(given["save_as"])
        check_is_new(given["save_as"])
    settings.auth()  # fails before anybody is asked
    sent = {**complete(fields, given), **(further or {})}
    name = _check_name(sent.pop("save_as"))
    check_is_new(name)
    new = replace(settings, profile=name, store=save_store)
    check_store(new)
    with usage_errors(), settings.auth() as auth, safekeeping() as draft:
        made = function(auth, **sent, on_token=draft.write_token)
        draft.write_token(made.token, made.url)
        keep(new, made.token)
    if as_json:
        print_json({"url": made.url, "token": made.token.to_dict(), "profile": name, "kept_in": str(new.place)})
    elif not quiet:
        echo(f"Created the {what}.")
        print_rows({"Address": made.url or "not told", "Token": f"in {new.place}", "Profile": name})
        echo(f"\nNext: foxy-auth {'create store' if what == 'user' else 'request fx:store'} --profile {name}")


def _check_name(name: str) -> str:
    try:
        return read_profile_name(name)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
