"""`foxy-auth login`: its options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.settings import CLIENT_SECRET, Settings, usage_errors, with_settings
from foxy_auth.cli.store_address import StoreAddress
from foxy_auth.cli.terminal import can_ask, echo

if TYPE_CHECKING:
    from foxy_auth.cli.login.flow import Login

EXAMPLES = (
    "foxy-auth login --client-id client_x \\\n  --redirect-uri http://127.0.0.1:8910/callback",
    "foxy-auth login --profile shop --store keyring:foxy/shop",
)
ALSO = (
    ExitStatus.REFUSED,
    ExitStatus.UNAVAILABLE,
    ExitStatus.UNAUTHORIZED,
    ExitStatus.NOT_SAVED,
    ExitStatus.TIMED_OUT,
    ExitStatus.PORT_UNAVAILABLE,
    ExitStatus.INTERRUPTED,
)


@click.command(epilog=epilog(*EXAMPLES, also=ALSO))
@click.option(
    "--redirect-uri",
    "redirect_uris",
    multiple=True,
    metavar="URI",
    help="Exactly as registered, best http://127.0.0.1:PORT/... (RFC 8252). If it is that, [::1] or localhost, the "
    "command receives the response itself; otherwise you paste it. If several are registered, give each: one with "
    "127.0.0.1 is preferred, and sent.  [default: the profile's]",
)
@click.option("--send-redirect-uri", is_flag=True, help="Send the redirect URI, also if you give one only.")
@click.option("--scope", default="store_full_access", show_default=True, metavar="SCOPE", help="The scope to request.")
@click.option("--authorize", metavar="URL", help="The authorization endpoint, if not the usual one of the API.")
@click.option("--no-pkce", is_flag=True, help="Do not bind the code to a verifier (RFC 7636).")
@click.option("--no-browser", is_flag=True, help="Do not open a browser. The response can also be pasted.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400, min_open=True),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the response.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Short for --store file:FILE: only you can read it (mode 0600), and the folder must be yours too.",
)
@click.option(
    "--replace", is_flag=True, help="Do not ask before the token of another store, or another client's profile, goes."
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the token as JSON instead of keeping it; messages go to the standard error.",
)
@partial(with_settings, may_differ=True)
def login(
    settings: Settings,
    *,
    redirect_uris: tuple[str, ...],
    send_redirect_uri: bool,
    scope: str,
    authorize: str | None,
    no_pkce: bool,
    no_browser: bool,
    timeout: float,
    output: Path | None,
    replace: bool,
    as_json: bool,
) -> None:
    """
    Get a token: allow access in the browser.

    Opens Foxy's consent page in a browser, waits until you have allowed or denied access, and keeps the token in a
    store (--store). The client's settings are kept too, under the profile's name, so that the other commands find both.
    """
    from foxy_auth.cli.login import afterwards
    from foxy_auth.cli.login.saving import prepare_saving, print_token

    settings = _chosen(settings, output, authorize, as_json=as_json)
    redirect_uris = redirect_uris or tuple((settings.redirect_uri or "").split())
    was_typed = not settings.client_secret
    with usage_errors():
        prepared, settings = _prepare(
            settings,
            redirect_uris,
            tell=partial(echo, err=as_json),
            scope=scope,
            send_redirect_uri=send_redirect_uri or len(redirect_uris) > 1,
            pkce=not no_pkce,
        )
    if as_json:
        prepared.run(print_token, timeout=timeout, browser=not no_browser)
        echo("Access granted.", err=True)
        return
    keeps_profile = afterwards.may_replace_profile(settings, replace=replace, ask=_ask)
    save = prepare_saving(settings, replace=replace)
    token = prepared.run(save, timeout=timeout, browser=not no_browser)
    afterwards.tell_success(token, settings)
    if keeps_profile:
        afterwards.keep_profile(settings, redirect_uris=redirect_uris, was_typed=was_typed)
    else:
        echo(f"The profile {settings.profile} stays as it was; --profile NAME keeps these settings under another name.")
    afterwards.tell_python(settings)


def _chosen(settings: Settings, output: Path | None, authorize: str | None, *, as_json: bool) -> Settings:
    """Return the settings with the options of the login, checked."""
    source = click.get_current_context().get_parameter_source("store")
    has_store = source is click.core.ParameterSource.COMMANDLINE
    if str(output) == "-":
        raise click.UsageError("To print the token, use --json.")
    if as_json and sys.stdout is None:
        raise click.UsageError("There is no standard output: choose --output FILE.")
    if (output is not None) + as_json + has_store > 1:
        raise click.UsageError("Choose one of --store, --output and --json.")
    if not settings.client_id:
        raise click.UsageError("Which client? Give --client-id, or set FOXY_API_CLIENT_ID.")
    with usage_errors():
        if authorize:
            environment = settings.environment.replace(authorization_endpoint=authorize)
            settings = replaced(settings, environment=environment)
        return replaced(settings, store=StoreAddress.parse(f"file:{output}")) if output else settings


def _prepare(
    settings: Settings, redirect_uris: tuple[str, ...], *, tell: Callable[[str], None], scope: str, **options: bool
) -> tuple[Login, Settings]:
    """Return the login, and the settings with the client secret, for which the user is asked last."""
    from foxy_auth import OAuthClient
    from foxy_auth.cli.login.listener import best_redirect_uri

    if not redirect_uris:
        raise click.UsageError("Give --redirect-uri, exactly as it is registered.")
    redirect_uri = best_redirect_uri(redirect_uris)
    settings = replaced(settings, client_secret=settings.client_secret or _ask_for_secret())
    client = OAuthClient(
        str(settings.client_id),
        str(settings.client_secret),
        redirect_uri=redirect_uri,
        environment=settings.environment,
    )
    from foxy_auth.cli.login.flow import Login

    return Login(client, partial(client.authorization_request, scope, **options), tell=tell), settings


def _ask_for_secret() -> str:
    if not can_ask():
        raise click.UsageError(f"Set the environment variable {CLIENT_SECRET} to the client secret.")
    return str(click.prompt("Client secret (not shown)", hide_input=True, err=True)).strip()


def _ask(question: str) -> bool:
    """Ask the user; where there is no terminal, the answer is no."""
    return can_ask() and click.confirm(question, err=True)
