"""The settings of all commands: an option counts before an environment variable, that before the profile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from foxy_auth._oauth import URL_VARIABLE, VARIABLES
from foxy_auth.cli.profiles import DEFAULT, NAME, Profile, load_profile, profile_names, profiles_path, token_path
from foxy_auth.cli.store_address import EXAMPLES, StoreAddress
from foxy_auth.cli.terminal import warnings_shown
from foxy_auth.environment import FOXY_IO, PRODUCTION, SANDBOX, Environment, known_environment

if TYPE_CHECKING:
    from foxy_auth.auth import FoxyAuth
    from foxy_auth.stores import TokenStore

CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = (VARIABLES[name] for name in ("client_id", "client_secret", "refresh_token"))
API_URL = URL_VARIABLE
STORE = "FOXY_AUTH_STORE"
PROFILE = "FOXY_AUTH_PROFILE"
ENCRYPTION_KEY = "FOXY_AUTH_ENCRYPTION_KEY"
# All of them, for those who must not inherit them.
PREFIXES = ("FOXY_API_", "FOXY_AUTH_")

ENVIRONMENTS = {"production": PRODUCTION, "foxy.io": FOXY_IO, "sandbox": SANDBOX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    What the options, the environment variables and the profile say together.

    Attributes:
        profile: The name of the profile.

        is_profile_used: Whether there is such a profile, and it is of this client.

        client_id: The client's id.

        client_secret: The client's secret.

        refresh_token: The first refresh token, of the environment variable; the store's counts before it.

        redirect_uri: The registered redirect URI, if the profile has one.

        environment: Where Foxy is.

        store: Where the token is kept.

        encryption_key: Of the store.
    """

    profile: str = DEFAULT
    is_profile_used: bool = False
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    redirect_uri: str | None = None
    environment: Environment = PRODUCTION
    store: StoreAddress | None = None
    encryption_key: str | None = field(default=None, repr=False)

    @property
    def place(self) -> StoreAddress:
        """The store's address: the chosen one, or a file of the profile's."""
        if self.store is None and self.client_id is None:
            raise click.UsageError(
                f"Which client? {self._no_profile}Log in with foxy-auth login, choose a profile (--profile), or set "
                f"{CLIENT_ID} or --store."
            )
        return self.store or StoreAddress("file", str(token_path(self.profile, self.client_id or "")))

    @property
    def _no_profile(self) -> str:
        """What to say first if a profile was named that there is not."""
        if self.is_profile_used or self.profile == DEFAULT:
            return ""
        return f"There is no profile {self.profile} (there is: {', '.join(profile_names()) or 'none'}). "

    def open_store(self) -> TokenStore:
        """Return the store."""
        with usage_errors():
            return self.place.open(self.encryption_key)

    def auth(self, **options: Any) -> FoxyAuth:
        """Return the auth object of the client, over the store."""
        from foxy_auth.auth import FoxyAuth

        values = {CLIENT_ID: self.client_id, CLIENT_SECRET: self.client_secret}
        if missing := [name for name, value in values.items() if not value]:
            raise click.UsageError(
                f"{self._no_profile}Set {' and '.join(missing)}, or choose a profile that has "
                f"{'it' if len(missing) == 1 else 'them'} (--profile)."
            )
        store = self.open_store()
        with usage_errors():
            return FoxyAuth(
                client_id=str(self.client_id),
                client_secret=str(self.client_secret),
                refresh_token=self.refresh_token,
                environment=self.environment,
                store=store,
                **options,
            )


class usage_errors:  # noqa: N801 - a context manager
    """Turn the `ValueError`s and `ImportError`s of the package into errors of usage."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ImportError | ValueError):
            raise click.UsageError(f"{error}.") from None


def with_settings(command: Callable[..., Any], *, may_differ: bool = False) -> Callable[..., Any]:
    """
    Give *command* the options that all commands share, and their `Settings` as its first argument.

    Args:
        command: The function of the command.

        may_differ: Whether the profile may be of another client, and then is not used.
    """

    @wraps(command)
    def run(
        *,
        profile: str | None,
        client_id: str | None,
        client_secret: str | None,
        environment: Environment | None,
        store: StoreAddress | None,
        refresh_token: str | None,
        encryption_key: str | None,
        **options: Any,
    ) -> Any:
        given = Settings(
            client_id=client_id,
            client_secret=client_secret,
            refresh_token=refresh_token,
            environment=environment or PRODUCTION,
            store=store,
            encryption_key=encryption_key,
        )
        chosen = profile or DEFAULT
        with usage_errors():
            found = load_profile(chosen)
            difference = _difference(given, found, has_environment=environment is not None)
            if found is None or (difference and (may_differ or (client_id and not profile))):
                settings = replace(given, profile=chosen)
            elif difference:
                raise ValueError(f"the profile {chosen} is of {difference}; choose another one (--profile)")
            else:
                settings = _merged(given, found, chosen)
        with warnings_shown():
            return command(settings, **options)

    for option in reversed(OPTIONS):
        run = option(run)
    return run


def _difference(given: Settings, profile: Profile | None, *, has_environment: bool) -> str:
    """Return what makes *profile* another one's, so that nothing of it may be used; "" if nothing does."""
    if profile is None:
        return ""
    if given.client_id and profile.client_id and given.client_id != profile.client_id:
        return f"another client, {profile.client_id}"
    if has_environment and given.environment != _environment(profile):
        return f"another environment, {environment_name(_environment(profile))}"
    return ""


def _environment(profile: Profile) -> Environment:
    with _of_profile("environment"):
        return read_environment(profile.environment) if profile.environment else PRODUCTION


def _store(profile: Profile) -> StoreAddress | None:
    with _of_profile("store"):
        return StoreAddress.parse(profile.store) if profile.store else None


@contextmanager
def _of_profile(field: str) -> Generator[None]:
    """Say that a `ValueError` is of a *field* of the profile, not of an option."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"the {field} of the profile in {profiles_path()}: {error}") from None


def _merged(given: Settings, profile: Profile, name: str) -> Settings:
    """Return the settings with those of the profile where nothing else was *given*."""
    return replace(
        given,
        profile=name,
        is_profile_used=True,
        client_id=given.client_id or profile.client_id,
        client_secret=given.client_secret or profile.client_secret,
        redirect_uri=profile.redirect_uri,
        environment=_environment(profile),
        store=given.store or _store(profile),
    )


# --- the options -----------------------------------------------------------------------------------------------------


def read_environment(text: str) -> Environment:
    """Return the environment of that name or API home; `ValueError` if it is neither."""
    if text in ENVIRONMENTS:
        return ENVIRONMENTS[text]
    if "/" not in text:
        raise ValueError(f"an environment is {', '.join(ENVIRONMENTS)} or the URL of an API home, not {text!r}")
    return known_environment(text)


def environment_name(environment: Environment) -> str:
    """Return what `read_environment` reads."""
    return next((name for name, known in ENVIRONMENTS.items() if known == environment), environment.api)


def read_profile_name(text: str) -> str:
    """Return *text*; `ValueError` if it cannot be the name of a profile."""
    if not NAME.fullmatch(text):
        raise ValueError("the name of a profile takes letters, digits, '-' and '_'")
    return text


def read_by(reader: Callable[[str], Any]) -> Callable[..., Any]:
    """Return a callback for an option whose text *reader* reads; without text the option is None."""

    def read(context: click.Context, option: click.Parameter, text: str | None) -> Any:
        try:
            return reader(text.strip()) if text and text.strip() else None
        except ValueError as error:
            raise click.BadParameter(f"{error}.", context, option) from None

    return read


def _completed_from(names: Callable[[], Iterable[str]]) -> Callable[..., list[str]]:
    """Return a function by which shells complete an option from *names*."""

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
        return [name for name in names() if name.startswith(begun)]

    return complete


PROFILE_OPTION = click.option(
    "--profile",
    envvar=PROFILE,
    show_envvar=True,
    metavar="NAME",
    callback=read_by(read_profile_name),
    shell_complete=_completed_from(profile_names),
    help=f"The settings to use, by the name under which login kept them.  [default: {DEFAULT}]",
)
PLACES: list[Callable[[Any], Any]] = [
    click.option(
        "--store",
        envvar=STORE,
        show_envvar=True,
        metavar="ADDRESS",
        callback=read_by(StoreAddress.parse),
        help=f"Where the token is kept: {EXAMPLES}.",
    ),
    click.option(
        "--environment",
        envvar=API_URL,
        show_envvar=True,
        metavar="NAME|URL",
        callback=read_by(read_environment),
        shell_complete=_completed_from(lambda: ENVIRONMENTS),
        help="Where Foxy is: production, foxy.io, sandbox, or the API home's URL.",
    ),
    # Secrets have no place on a command line, which other users can see: these are for their variables.
    click.option("--encryption-key", envvar=ENCRYPTION_KEY, hidden=True, callback=read_by(str)),
]
OPTIONS: list[Callable[[Any], Any]] = [
    PROFILE_OPTION,
    *PLACES,
    click.option(
        "--client-id", envvar=CLIENT_ID, show_envvar=True, metavar="ID", callback=read_by(str), help="The client id."
    ),
    click.option("--client-secret", envvar=CLIENT_SECRET, hidden=True, callback=read_by(str)),
    click.option("--refresh-token", envvar=REFRESH_TOKEN, hidden=True, callback=read_by(str)),
]
