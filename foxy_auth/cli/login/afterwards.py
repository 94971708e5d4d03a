"""What the login says and keeps when there is a token: the grant, the profile, and how to use them in Python."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from foxy_auth.cli.profiles import Profile, load_profile, save_profile
from foxy_auth.cli.settings import (
    API_URL,
    CLIENT_ID,
    CLIENT_SECRET,
    ENCRYPTION_KEY,
    Settings,
    environment_name,
)
from foxy_auth.cli.terminal import echo, print_rows
from foxy_auth.cli.token_facts import account_name, as_rows
from foxy_auth.environment import PRODUCTION
from foxy_auth.token import Token


def may_replace_profile(settings: Settings, *, replace: bool, ask: Callable[[str], bool]) -> bool:
    """Tell whether the settings may be saved as the profile, which may be of another client; ask the user if so."""
    current = load_profile(settings.profile)
    if current is None or settings.is_profile_used or replace:
        return True
    return ask(
        f"The profile {settings.profile} is of {current.client_id or 'no client'} in "
        f"{current.environment or 'production'}. Replace it?"
    )


def tell_success(token: Token, settings: Settings) -> None:
    """Say what was granted, and where it is kept."""
    echo(f"Access granted to {account_name(token)}.")
    print_rows({**as_rows(token), "Kept in": str(settings.place)})


def keep_profile(settings: Settings, *, redirect_uris: tuple[str, ...], was_typed: bool) -> None:
    """Save the settings under the profile's name, and say so; the secret only if the user has typed it."""
    known = load_profile(settings.profile) if settings.is_profile_used else None
    keeps_secret = was_typed or (known is not None and known.client_secret == settings.client_secret)
    profile = Profile(
        client_id=settings.client_id,
        client_secret=settings.client_secret if keeps_secret else None,
        redirect_uri=" ".join(redirect_uris),
        environment=environment_name(settings.environment),
        store=settings.place.text,
    )
    path = save_profile(settings.profile, profile)
    secret = "with the client secret" if keeps_secret else f"without the client secret, which stays in {CLIENT_SECRET}"
    echo(f"Saved the settings as the profile {settings.profile} in {path}, {secret}.")


def tell_python(settings: Settings) -> None:
    """Print the lines of Python that use the token, and what they need from the environment."""
    wanted = {CLIENT_ID: settings.client_id, CLIENT_SECRET: settings.client_secret}
    if settings.environment != PRODUCTION:
        wanted[API_URL] = settings.environment.api
    missing = [
        name if name == CLIENT_SECRET else f"{name}={value}"
        for name, value in wanted.items()
        if not os.environ.get(name)
    ]
    echo(f"\nIn Python{f', with {_list(missing)} in the environment' if missing else ''}:")
    lines = "\n".join(python_lines(settings))
    click.echo(f"\n{lines}")  # not wrapped, so that it can be pasted
    if ":***@" in lines:
        echo("\n*** stands for the password.")


def python_lines(settings: Settings) -> list[str]:
    """Return the lines of Python that use the token."""
    key = f'os.environ["{ENCRYPTION_KEY}"]' if settings.encryption_key else ""
    *imports, store = settings.place.python(key)
    imports += ["import os"] * bool(key) + ["from foxy_auth import FoxyAuth"]
    return [*sorted(imports, key=_import_order), f"auth = FoxyAuth.from_env(store={store})"]


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


def _list(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
