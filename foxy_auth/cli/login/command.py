"""`foxy-auth login`: its options."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foxy_auth.cli.exit_status import ExitStatus, exit_status_help
from foxy_auth.cli.terminal import echo

if TYPE_CHECKING:
    from foxy_auth import Environment, OAuthClient

SECRET_VARIABLE = "FOXY_API_CLIENT_SECRET"  # noqa: S105 - a name


@click.command(epilog=exit_status_help(ExitStatus.FAILED, ExitStatus.LOGIN_REQUIRED, ExitStatus.NOT_CREATED))
@click.option(
    "--client-id", envvar="FOXY_API_CLIENT_ID", show_envvar=True, required=True, metavar="ID", help="The client id."
)
@click.option(
    "--client-secret",
    envvar=SECRET_VARIABLE,
    show_envvar=True,
    metavar="SECRET",
    help="Better not used: other users can see command lines, and your shell saves them. Set the variable, or leave it "
    "out and you are asked.",
)
@click.option(
    "--redirect-uri",
    "redirect_uris",
    required=True,
    multiple=True,
    metavar="URI",
    help="Exactly as registered, best http://127.0.0.1:PORT/... (RFC 8252). If it is that, [::1] or localhost, the "
    "command receives the response itself; otherwise you paste it. If several are registered, give each: one with "
    "127.0.0.1 is preferred, and sent.",
)
@click.option("--send-redirect-uri", is_flag=True, help="Send the redirect URI, also if you give one only.")
@click.option("--scope", default="store_full_access", show_default=True, metavar="SCOPE", help="The scope to request.")
@click.option("--api", envvar="FOXY_API_URL", show_envvar=True, metavar="URL", help="The API home, if not Foxy's own.")
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
    help="Write the token to this file as JSON, readable only by you (mode 0600); the folder must be yours too.",
)
@click.option("--replace", is_flag=True, help="Do not ask before FILE loses the token of another store.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the token as JSON to the standard output; messages go to stderr."
)
def login(
    *,
    client_id: str,
    client_secret: str | None,
    redirect_uris: tuple[str, ...],
    send_redirect_uri: bool,
    scope: str,
    api: str | None,
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

    Opens Foxy's consent page in a browser, waits until you have allowed or denied access, and saves the token to a file
    (--output) or prints it (--json).
    """
    if (output is None and not as_json) or str(output) == "-":
        raise click.UsageError("Choose where the token goes: --output FILE or --json.")
    if as_json and sys.stdout is None:
        raise click.UsageError("There is no standard output: choose --output FILE.")
    tell = partial(echo, err=as_json)
    try:
        environment = _make_environment(api, authorize)
        client = _make_client(client_id, client_secret, redirect_uris, environment)
        from foxy_auth.cli.login.flow import Login

        new_request = partial(
            client.authorization_request,
            scope,
            send_redirect_uri=send_redirect_uri or len(redirect_uris) > 1,
            pkce=not no_pkce,
        )
        prepared = Login(client, new_request, tell=tell)
    except ModuleNotFoundError:
        raise  # a missing client library is a plain ImportError
    except (ImportError, ValueError) as error:
        raise click.UsageError(f"{error}.") from None

    from foxy_auth.cli.login.output import describe, saving

    with saving(output, as_json=as_json, replace=replace) as save:
        token = prepared.run(save, timeout=timeout, browser=not no_browser)
    tell(describe(token, place=str(output or "standard output")))


def _make_client(
    client_id: str, secret: str | None, redirect_uris: tuple[str, ...], environment: Environment
) -> OAuthClient:
    from foxy_auth import OAuthClient
    from foxy_auth.cli.login.listener import best_redirect_uri

    redirect_uri = best_redirect_uri(redirect_uris)  # before the user is asked for the secret
    secret = (secret or "").strip() or _ask_for_secret()
    return OAuthClient(client_id.strip(), secret, redirect_uri=redirect_uri, environment=environment)


def _ask_for_secret() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"Set the environment variable {SECRET_VARIABLE} to the client secret.")
    return str(click.prompt("Client secret (not shown)", hide_input=True, err=True)).strip()


def _make_environment(api: str | None, authorize: str | None) -> Environment:
    from foxy_auth.environment import PRODUCTION, known_environment

    environment = known_environment(api.strip()) if api else PRODUCTION
    return environment.replace(authorization_endpoint=authorize) if authorize else environment
