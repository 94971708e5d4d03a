"""`foxy-auth status`."""

from __future__ import annotations

from typing import NamedTuple

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.settings import Settings, with_settings
from foxy_auth.cli.terminal import as_json, echo, print_json, print_rows, quiet
from foxy_auth.cli.token_facts import account_name, as_rows, settings_rows, token_json
from foxy_auth.errors import FoxyAuthError, RegistrationError, StoreError, TokenUnavailableError
from foxy_auth.token import Token

TIMEOUT = 10.0  # seconds


@click.command(epilog=epilog("foxy-auth status", "foxy-auth status --check --json"))
@click.option("--check", is_flag=True, help="Ask Foxy whether it accepts the token, which is refreshed if necessary.")
@as_json
@quiet
@with_settings
def status(settings: Settings, *, check: bool, as_json: bool, quiet: bool) -> int:
    """
    Show whose token is kept, and until when.

    Without --check nothing is sent. The token itself is not shown.
    """
    store = settings.open_store()
    token = store.load()
    answer = _ask_foxy(settings) if check and _is_usable(token, settings) else None
    if answer:
        token = store.load()
    if as_json:
        accepted = {"accepted": answer.accepted} if answer else {}
        print_json(token_json(token, settings) | accepted)
    elif not quiet:
        echo(_headline(token, settings))
        print_rows(as_rows(token) | settings_rows(settings) | ({"Foxy": answer.text} if answer else {}))
    return _exit_status(token, settings) if answer is None else answer.exit_status


class _Answer(NamedTuple):
    """What Foxy says about the token; *accepted* is None if there was no answer."""

    accepted: bool | None
    text: str
    exit_status: ExitStatus


def _ask_foxy(settings: Settings) -> _Answer:
    from foxy_auth._engine.concurrency import send_in_thread
    from foxy_auth._libraries import installed_library
    from foxy_auth._oauth.hal import read_resource, resource_request

    request = resource_request(settings.environment.api, api_version="1")
    try:
        with settings.auth() as auth:
            auth.get_token()
            read_resource(send_in_thread(request, through=installed_library(), timeout=TIMEOUT, auth=auth))
    except RegistrationError as error:
        return _Answer(accepted=False, text=f"refuses the token: {error}", exit_status=ExitStatus.REFUSED)
    except (StoreError, TokenUnavailableError) as error:
        return _Answer(accepted=None, text=f"not asked: {error}", exit_status=ExitStatus.of(error))
    except FoxyAuthError as error:
        return _Answer(accepted=False, text=f"refuses the grant: {error}", exit_status=ExitStatus.of(error))
    return _Answer(accepted=True, text="accepts the token", exit_status=ExitStatus.OK)


def _headline(token: Token | None, settings: Settings) -> str:
    if token is None:
        way = (
            "the refresh token of FOXY_API_REFRESH_TOKEN gets one" if settings.refresh_token else "run foxy-auth login"
        )
        return f"There is no token: {way}."
    if not _is_usable(token, settings):
        return f"The token of {account_name(token)} has expired: run foxy-auth login."
    return f"Logged in to {account_name(token)}."


def _exit_status(token: Token | None, settings: Settings) -> ExitStatus:
    return ExitStatus.OK if _is_usable(token, settings) else ExitStatus.LOGIN_REQUIRED


def _is_usable(token: Token | None, settings: Settings) -> bool:
    """Tell whether there is a token that has not expired, or a refresh token to get the next one."""
    if token is None:
        return settings.refresh_token is not None
    return token.refresh_token is not None or token.expires_in is None or token.expires_in > 0
