"""`foxy-auth doctor`: its options."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from foxy_auth.cli.command_help import epilog
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.settings import API_URL, CLIENT_ID, Settings, read_environment, with_settings
from foxy_auth.cli.terminal import as_json, print_json
from foxy_auth.errors import FoxyAuthError

if TYPE_CHECKING:
    from foxy_auth.cli.doctor.finding import Setup


@click.command(
    epilog=epilog("foxy-auth doctor", "foxy-auth doctor --profile shop --json", also=[ExitStatus.INTERRUPTED])
)
@click.option("--profile", metavar="NAME", help="The profile to look at.")
@click.option("--store", metavar="ADDRESS", help="The store to look at.")
@click.option("--environment", metavar="NAME|URL", help="The environment to ask.")
@click.option("--client-id", metavar="ID", help="The client to look at.")
@as_json
@click.option("--quiet", "-q", is_flag=True, help="Print only what is wrong.")
def doctor(*, as_json: bool, quiet: bool, **options: str | None) -> int:
    """
    Find out what is wrong, and what to do.

    Looks at the installation, the settings, the store, the network, the clock, and what Foxy says to the client and to
    the access token. No token is changed, and no refresh token is spent. It takes at most 15 seconds.

    --json prints the same for a bug report: no secrets, no client id, no name of your home folder.
    """
    from foxy_auth.cli.doctor import report
    from foxy_auth.cli.doctor.checks import findings
    from foxy_auth.cli.doctor.finding import Finding, Verdict

    found: list[Finding] = []
    setup = _setup(options)
    for finding in findings(setup):
        found.append(finding)
        if not as_json and not (quiet and finding.verdict in {Verdict.OK, Verdict.SKIPPED}):
            report.print_finding(finding)
    if as_json:
        print_json(report.as_json(found, setup.settings))
    elif not quiet:
        report.print_sum(found)
    return ExitStatus.FAILED if any(finding.verdict is Verdict.FAIL for finding in found) else ExitStatus.OK


@click.command()
@with_settings
def _settings(settings: Settings) -> Settings:
    return settings


def _setup(options: dict[str, str | None]) -> Setup:
    """Return the settings as the other commands find them, or what there is of them."""
    from foxy_auth._libraries import installed_library
    from foxy_auth.cli.doctor.finding import Setup

    library = None
    with suppress(ImportError):
        library = installed_library()
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value]
    try:
        settings: Any = _settings.main(arguments, standalone_mode=False)
    except (click.ClickException, FoxyAuthError) as error:
        problem = error.format_message() if isinstance(error, click.ClickException) else str(error)
        settings, is_known = _what_there_is(options)
        return Setup(settings, problem, library, is_known)
    return Setup(settings, None, library)


def _what_there_is(options: dict[str, str | None]) -> tuple[Settings, bool]:
    """Return the client and the environment, if they can be read, and whether that can."""
    settings = Settings(client_id=os.environ.get(CLIENT_ID))
    given = (options["environment"] or os.environ.get(API_URL, "")).strip()
    try:
        return replace(settings, environment=read_environment(given)) if given else settings, True
    except ValueError:
        return settings, False
