"""`foxy-auth login`: its options, and what it says in the end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foxy_auth.cli._statuses import Status, table

if TYPE_CHECKING:
    from foxy_auth.client import OAuthClient
    from foxy_auth.environment import Environment
    from foxy_auth.token import Token

SECRET_VARIABLE = "FOXY_API_CLIENT_SECRET"  # noqa: S105 - a name


@click.command(epilog=table(Status.FAILED, Status.LOGIN_REQUIRED, Status.UNREGISTERED))
@click.option(
    "--client-id", envvar="FOXY_API_CLIENT_ID", show_envvar=True, required=True, metavar="ID", help="The client's id."
)
@click.option(
    "--client-secret",
    envvar=SECRET_VARIABLE,
    show_envvar=True,
    metavar="SECRET",
    help="Not here, please: other users of this machine can read command lines, and your shell remembers them. Set "
    "the variable, or leave it out and be asked.",
)
@click.option(
    "--redirect-uri",
    required=True,
    metavar="URI",
    help="Exactly as it was registered. At http://localhost:PORT/..., 127.0.0.1 or [::1] this command takes the "
    "answer itself; from anywhere else you paste it.",
)
@click.option(
    "--send-redirect-uri",
    is_flag=True,
    help="Name the redirect URI in the address, too: needed where several are registered.",
)
@click.option("--scope", default="store_full_access", show_default=True, metavar="SCOPE", help="What to ask for.")
@click.option("--api", envvar="FOXY_API_URL", show_envvar=True, metavar="URL", help="The API home, if not Foxy's own.")
@click.option("--authorize", metavar="URL", help="The authorization endpoint, if it is not the usual one of the API.")
@click.option("--no-browser", is_flag=True, help="Start no browser; the answer can be pasted, too.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86400, min_open=True),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the answer.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the token to this file, as JSON, for its owner alone (mode 0600).",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the token as JSON, and nothing else: all talk is on stderr."
)
def login(
    *,
    client_id: str,
    client_secret: str | None,
    redirect_uri: str,
    send_redirect_uri: bool,
    scope: str,
    api: str | None,
    authorize: str | None,
    no_browser: bool,
    timeout: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """
    Get a token: grant access in the browser.

    Prints an address, opens it in a browser, waits until you have allowed or denied access there, and keeps the token
    where --output or --json says.
    """
    from foxy_auth.cli.login._login import Login

    if (output is None and not as_json) or str(output) == "-":
        raise click.UsageError("Choose where the token goes: --output FILE or --json.")
    if as_json and sys.stdout is None:
        raise click.UsageError("There is no standard output: choose --output FILE.")
    with _wrong_use():
        client = _client(client_id, client_secret, redirect_uri, _environment(api, authorize))
        request = client.authorization_request(scope, send_redirect_uri=send_redirect_uri)
    talk = partial(click.echo, err=as_json)
    with _keeping(output, as_json=as_json) as keep:
        token = Login(client, request, redirect_uri, talk=talk, keep=keep).run(timeout=timeout, browser=not no_browser)
    talk(_report(token, output))


@contextmanager
def _wrong_use() -> Generator[None]:
    """Tell what is wrong with an option, or missing, as click tells what is."""
    try:
        yield
    except ModuleNotFoundError:
        raise  # not for want of a client library, which is an ImportError of ours
    except (ImportError, TypeError, ValueError) as error:
        raise click.UsageError(f"{error}.") from None


def _client(client_id: str, secret: str | None, redirect_uri: str, environment: Environment) -> OAuthClient:
    """Make the client, after what needs no question to the user has been checked."""
    from foxy_auth.cli.login._landing import check_redirect_uri
    from foxy_auth.client import OAuthClient

    check_redirect_uri(redirect_uri)
    return OAuthClient(client_id.strip(), _secret(secret), redirect_uri=redirect_uri, environment=environment)


def _environment(api: str | None, authorize: str | None) -> Environment:
    from foxy_auth.environment import PRODUCTION, Environment, known_environment

    known = known_environment(api.strip()) if api else PRODUCTION
    if not authorize:
        return known
    return Environment(api=known.api, token_endpoint=known.token_endpoint, authorization_endpoint=authorize)


def _secret(given: str | None) -> str:
    if given and given.strip():
        return given.strip()
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"Set the environment variable {SECRET_VARIABLE} to the client's secret.")
    return str(click.prompt("Client secret (not shown)", hide_input=True, err=True)).strip()


@contextmanager
def _keeping(output: Path | None, *, as_json: bool) -> Generator[Callable[[Token], None]]:
    """Prepare the places where the token goes."""
    from foxy_auth.cli.login._keeping import token_file

    with token_file(output) if output else nullcontext() as write:

        def keep(token: Token) -> None:
            if write:
                write(token)
            if as_json:
                _print(token)

        yield keep


def _print(token: Token) -> None:
    from foxy_auth.errors import StoreError

    try:
        click.echo(json.dumps(token.to_dict()))
    except OSError as error:
        # What is left in the buffer would fail once more when the interpreter ends, and change the exit status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StoreError(f"the token could not be printed: {error.strerror}") from error


def _report(token: Token, output: Path | None) -> str:
    """Say what was obtained and where it is, and nothing that is secret."""
    from foxy_auth.cli.login._report import report

    return report(token, place="standard output" if output is None else str(output))
