"""`foxy-auth register`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from foxy_auth.cli.asking import Field, complete, field_options
from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.profiles import DEFAULT
from foxy_auth.cli.settings import PLACES, PROFILE, Settings, read_by, read_profile_name, usage_errors
from foxy_auth.cli.store_address import StoreAddress
from foxy_auth.cli.terminal import as_json, echo, print_json, print_rows, quiet, warnings_shown
from foxy_auth.environment import PRODUCTION, Environment

FIELDS = (
    Field("redirect_uri", "Redirect URI, where users return"),
    Field("project_name", "Project name"),
    Field("company_name", "Company name"),
    Field("contact_name", "Contact person"),
    Field("contact_email", "Contact email"),
    Field("contact_phone", "Contact phone"),
    Field("client_id", "A client id of your own, for good", is_required=False, own_option="--new-client-id"),
    Field("project_description", "What the integration does", is_required=False),
    Field("company_url", "Company website", is_required=False),
    Field("company_logo", "Address of the company's logo", is_required=False),
    Field("javascript_origin_uri", "The origin of an integration in the browser", is_required=False),
)
EXAMPLES = (
    "foxy-auth register --profile acme",
    "foxy-auth register --profile acme --project-name Sync \\\n  --redirect-uri http://127.0.0.1:8910/callback ...",
)
ALSO = (ExitStatus.UNAVAILABLE, ExitStatus.NOT_CREATED, ExitStatus.NOT_SAVED, ExitStatus.INTERRUPTED)


def _with_places(command: Any) -> Any:
    for option in reversed(PLACES):
        command = option(command)
    return command


@click.command(epilog=epilog(*EXAMPLES, also=ALSO))
@field_options(FIELDS)
@click.option(
    "--client-id-prefix",
    metavar="TEXT",
    help="Make an id of this and 30 random characters, as Foxy recommends for an integration that is installed many "
    "times.",
)
@click.option(
    "--profile",
    envvar=PROFILE,
    show_envvar=True,
    default=DEFAULT,
    show_default=True,
    metavar="NAME",
    callback=read_by(read_profile_name),
    help="The name of the new profile, which keeps the client's id and secret.",
)
@as_json
@quiet
@_with_places
@warnings_shown()
def register(
    *,
    profile: str | None,
    store: StoreAddress | None,
    environment: Environment | None,
    encryption_key: str | None,
    client_id_prefix: str | None,
    as_json: bool,
    quiet: bool,
    **given: str | None,
) -> None:
    """
    Register an OAuth client with Foxy.

    On a terminal you are asked for what is missing. The client's id and secret are kept in the profile, and its first
    token in the store, before anything is printed. A profile that exists is not replaced.
    """
    from foxy_auth.cli.issued import check_is_new, check_store, keep, safekeeping
    from foxy_auth.registration import new_client_id, register_client

    settings = Settings(
        profile=profile or DEFAULT,
        environment=environment or PRODUCTION,
        store=store,
        encryption_key=encryption_key,
    )
    check_is_new(settings.profile)
    if settings.store:  # the default is a file of the new client
        check_store(settings)
    fields = complete(FIELDS, given)
    with usage_errors():
        if client_id_prefix:
            fields.setdefault("client_id", new_client_id(client_id_prefix))
        with safekeeping() as draft:
            made = register_client(**fields, environment=settings.environment, on_token=draft.write_token)
            draft.write(made.to_dict())
            settings = replace(
                settings,
                client_id=made.client.client_id,
                client_secret=made.client.client_secret,
                redirect_uri=fields["redirect_uri"],
            )
            keep(settings, made.token)
    if as_json:
        print_json({**made.to_dict(), "profile": settings.profile, "kept_in": str(settings.place)})
    elif not quiet:
        _tell(settings, made.url)


def _tell(settings: Settings, url: str | None) -> None:
    from foxy_auth.cli.profiles import profiles_path

    option = "" if settings.profile == DEFAULT else f" --profile {settings.profile}"
    echo(f"Registered the client {settings.client_id}.")
    print_rows(
        {
            "Address": url or "not told",
            "Id, secret": f"in {profiles_path()}, profile {settings.profile}",
            "Token": f"in {settings.place}",
        }
    )
    echo(f"\nNext, for a store that exists: foxy-auth login{option}\nOr for a new user: foxy-auth create user{option}")
