"""What was found, for people and for bug reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any

import click

from foxy_auth._secrets import Secret, hide
from foxy_auth.cli.doctor.finding import Finding, Verdict
from foxy_auth.cli.profiles import load_profile, profile_names
from foxy_auth.cli.settings import Settings
from foxy_auth.cli.terminal import fill
from foxy_auth.errors import StoreError

MARKS: dict[Verdict, tuple[str, str | None]] = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARN: ("!", "yellow"),
    Verdict.FAIL: ("✗", "red"),
    Verdict.SKIPPED: ("-", None),
}
WIDEST = 100  # columns
INDENT = 18


def print_finding(finding: Finding) -> None:
    """Print a mark, the check, what it has found and what to do."""
    mark, colour = MARKS[finding.verdict]
    label = finding.check if finding.check == "foxy_auth" else _label(finding.check)
    text = _fill(finding.message, f"  {label:<{INDENT - 2}}")
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    styled = click.style(mark, fg=colour) if colour and not is_plain else mark
    click.echo(styled + text[1:])
    if finding.remedy:
        click.echo(_fill(finding.remedy, f"{'→ ':>{INDENT}}"))


def print_sum(found: Sequence[Finding]) -> None:
    """Print how many problems there are."""
    problems = _count(found, Verdict.FAIL, "problem")
    warnings = _count(found, Verdict.WARN, "warning")
    click.echo(f"\n{' and '.join(filter(None, [problems, warnings])) or 'Nothing is wrong'}.")


def as_json(found: Sequence[Finding], settings: Settings) -> dict[str, Any]:
    """Return the same for a bug report: without secrets, the client's id, and the name of the user's folder."""
    shareable = partial(_shareable, settings=settings)
    return {
        "foxy_auth": version("foxy_auth"),
        "ok": all(finding.verdict is not Verdict.FAIL for finding in found),
        "findings": [
            {
                "check": finding.check.replace(" ", "_"),
                "status": str(finding.verdict),
                "message": shareable(finding.message),
                "remedy": finding.remedy and shareable(finding.remedy),
            }
            for finding in found
        ],
    }


def _label(check: str) -> str:
    return check.upper() if check in {"api", "dns", "tls"} else check.capitalize()


def _count(found: Sequence[Finding], verdict: Verdict, word: str) -> str:
    number = sum(finding.verdict is verdict for finding in found)
    return f"{number} {word}{'s' if number > 1 else ''}" if number else ""


def _fill(text: str, first: str) -> str:
    return fill(text, first, " " * INDENT, widest=WIDEST)


def _shareable(text: str, settings: Settings) -> str:
    for client_id in _client_ids(settings):
        text = text.replace(client_id, "CLIENT_ID")
    home = os.path.expanduser("~")  # noqa: PTH111 - as it is if there is none
    text = text.replace(home, "~") if len(home) > 1 else text
    secrets = (settings.client_secret, settings.refresh_token, settings.encryption_key)
    return hide(text, [Secret(secret) for secret in secrets if secret])


def _client_ids(settings: Settings) -> set[str]:
    found = {settings.client_id}
    for name in profile_names():
        with suppress(StoreError):
            profile = load_profile(name)
            found.add(profile.client_id if profile else None)
    return {client_id for client_id in found if client_id}
