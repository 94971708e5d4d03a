"""Environment variables, the profile, and the client's credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches

from foxy_auth._arguments import check_credential, check_not_swapped
from foxy_auth.cli.doctor.finding import Finding, Setup, fail, failed, ok, sentence, skipped, warn
from foxy_auth.cli.profiles import load_profile, profiles_path
from foxy_auth.cli.settings import (
    API_URL,
    CLIENT_ID,
    CLIENT_SECRET,
    ENCRYPTION_KEY,
    PREFIXES,
    PROFILE,
    REFRESH_TOKEN,
    STORE,
    environment_name,
)
from foxy_auth.errors import StoreError

VARIABLES = (CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, API_URL, STORE, PROFILE, ENCRYPTION_KEY)


def check_variables(_: Setup) -> Iterator[Finding]:
    """Tell which variables are set, and which of them look wrong; no values."""
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
    for name, value in sorted(own.items()):
        if name not in VARIABLES:
            near = get_close_matches(name, VARIABLES, 1)
            remedy = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(VARIABLES)}."
            yield warn("variables", f"{name} is set, and nothing reads it", remedy)
        elif not value.strip():
            yield warn("variables", f"{name} is empty", f"Set it, or unset it: unset {name}.")
        elif value != value.strip():
            end = "a newline" if value.endswith("\n") else "whitespace"
            where = "begins" if value == value.rstrip() else "ends"
            yield warn(
                "variables", f"{name} {where} with {end}", "Set it again without; printf '%s' writes no newline."
            )
        elif len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            yield warn("variables", f"{name} has quotation marks around its value", "Set it without them.")
    known = [name for name in VARIABLES if name in own]
    yield ok("variables", f"set: {', '.join(known)}" if known else "none is set")


def check_profile(setup: Setup) -> Iterator[Finding]:
    """Tell which profile is used, and whether it agrees with the rest."""
    settings = setup.settings
    if setup.problem:
        yield failed("profile", ValueError(setup.problem), "Correct the setting, or choose another profile")
        return
    try:
        found = load_profile(settings.profile)
    except StoreError as error:
        yield failed("profile", error)
        return
    name, api = environment_name(settings.environment), settings.environment.api
    where = name if name == api else f"{name} ({api})"
    if found and not settings.is_profile_used:
        yield warn(
            "profile",
            f"the profile {settings.profile} is of another client than {CLIENT_ID}, and is not used",
            f"Unset {CLIENT_ID} if you mean the profile, or choose another one with --profile.",
        )
    elif found:
        yield ok("profile", f"{settings.profile}, in {profiles_path()}; the environment is {where}")
    else:
        yield ok("profile", f"none is used; the environment is {where}")


def check_credentials(setup: Setup) -> Iterator[Finding]:
    """Tell whether the client's id and secret are there, and well-formed."""
    if setup.problem:
        yield skipped("credentials", str(setup.obstacle))
        return
    values = {"client_id": setup.settings.client_id, "client_secret": setup.settings.client_secret}
    missing = [name for name, value in values.items() if not value]
    if len(missing) == len(values):
        yield fail(
            "credentials",
            "there is no client",
            f"Run foxy-auth login or foxy-auth register, choose a profile, or set {CLIENT_ID} and {CLIENT_SECRET}.",
        )
    elif missing:
        variable = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}[missing[0]]
        yield fail("credentials", f"the {missing[0]} is missing", f"Set {variable}, or choose a profile that has it.")
    else:
        yield from _malformed({name: str(value) for name, value in values.items()})


def _malformed(values: dict[str, str]) -> Iterator[Finding]:
    try:
        for name, value in values.items():
            check_credential(name, value)
        check_not_swapped(values["client_id"], values["client_secret"])
    except ValueError as error:
        yield fail("credentials", str(error), sentence("copy both again from Foxy's admin"))
    else:
        yield ok("credentials", "id and secret are there, and well-formed")
