"""Where Foxy is: its addresses, and which requests may carry its token."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from foxy_auth._libraries import HttpClient
from foxy_auth._oauth.origin import Origin
from foxy_auth._secrets import guarded_class


# No dataclass, because these take longer to import than all the rest that FoxyAuth needs at first.
@guarded_class
class Environment:
    """
    The addresses of one installation of Foxy: an immutable value.

    `PRODUCTION`, `FOXY_IO` and `SANDBOX` are made already; `Environment(api=…)` is any other.

    Attributes:
        api: The API home.

        token_endpoint: Where tokens are issued.

        authorization_endpoint: Where users grant access.

        origins: The origins whose requests carry the token.

        issuer: How the authorization endpoint calls itself in its responses (RFC 9207); None if unknown.

        prefixes: How ordinary addresses of these origins begin, up to the slash that ends the host and port.

        netlocs: The origins as httpx shows them: scheme, and the bytes of host and port.

    Raises:
        TypeError, ValueError: An address is not text, not plain, or neither https nor on loopback.
    """

    api: str
    token_endpoint: str
    authorization_endpoint: str
    origins: frozenset[Origin]
    issuer: str | None
    prefixes: tuple[str, ...]
    netlocs: frozenset[tuple[str, bytes]]

    def __init__(
        self,
        *,
        api: str,
        token_endpoint: str | None = None,
        authorization_endpoint: str | None = None,
        origins: Collection[str] | frozenset[Origin] = (),
        issuer: str | None = None,
    ) -> None:
        """
        Describe an installation.

        Args:
            api: The API home, such as `https://api.foxycart.com`.

            token_endpoint: Where tokens are issued; by default `/token` below the API home.

            authorization_endpoint: Where users grant access; by default `/authorize` below the API home.

            origins: Further addresses of the same API, whose requests carry the token too.

            issuer: How the authorization endpoint calls itself in its responses (`iss`, RFC 9207), to the letter. By
                default, as the provider documents no name, any address of an endpoint or of the API.
        """
        home = _checked_origin("api", api)
        if "?" in api or "#" in api:
            raise ValueError("Environment.api takes an address without '?' and '#', because paths are appended to it")
        if isinstance(origins, str) or not isinstance(origins, Collection):
            raise TypeError(f"Environment.origins takes a collection of addresses, not one {type(origins).__name__}")
        token_endpoint = f"{api.rstrip('/')}/token" if token_endpoint is None else token_endpoint
        if authorization_endpoint is None:
            authorization_endpoint = f"{api.rstrip('/')}/authorize"
        _checked_origin("token_endpoint", token_endpoint)
        _checked_origin("authorization_endpoint", authorization_endpoint)
        if issuer is not None:
            _checked_origin("issuer", issuer)
        own = frozenset({home, *(_checked_origin("origins", origin) for origin in origins)})
        self.__dict__.update(
            api=api,
            token_endpoint=token_endpoint,
            authorization_endpoint=authorization_endpoint,
            origins=own,
            issuer=issuer,
            prefixes=tuple(f"{origin.scheme}://{origin.netloc}/" for origin in sorted(own)),
            netlocs=frozenset((origin.scheme, origin.netloc.encode()) for origin in own),
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an Environment does not change; make another by its method replace")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Environment) and self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((*self._arguments().values(),))

    def __repr__(self) -> str:
        """Name one of the provider's environments; show how another is made."""
        names = (name for name, known in KNOWN.items() if known == self)
        arguments = ", ".join(f"{name}={value!r}" for name, value in arguments_of(self).items())
        return next(names, f"Environment({arguments})")

    def _arguments(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in {"prefixes", "netlocs"}}

    def replace(self, **changes: Any) -> Environment:
        """Return an environment with other arguments, where *changes* names any."""
        return Environment(**{**self._arguments(), **changes})

    __replace__ = replace  # for `copy.replace`

    @classmethod
    def discover(cls, api: str, *, http: HttpClient | None = None, timeout: float = 10.0) -> Environment:
        """
        Ask the API home at *api* where tokens are issued (its link `fx:token`).

        The request is anonymous, because the API home refuses an expired token.

        Args:
            api: The API home.

            http: As for `FoxyAuth`.

            timeout: Seconds for each wait on the network; the request takes three times as long at most.

        Raises:
            TypeError, ValueError: *api* is not an address to which secrets may be sent.

            TokenUnavailableError: There is no API home, or its link leads to another origin.
        """
        from foxy_auth._arguments import check_seconds
        from foxy_auth._engine.concurrency import send_in_thread
        from foxy_auth._libraries import installed_library
        from foxy_auth._oauth.hal import link, read_resource, resource_request
        from foxy_auth._transport import check_client
        from foxy_auth.errors import RegistrationError, TokenUnavailableError

        environment = known_environment(api)
        check_seconds("timeout", timeout, least=0.001)
        check_client(http)
        request = resource_request(environment.api, api_version="1")
        try:
            home = read_resource(send_in_thread(request, through=http or installed_library(), timeout=timeout))
        except RegistrationError as error:
            raise TokenUnavailableError(f"{environment.api} is not an API home: {error}") from None
        endpoint = link(home, "fx:token", base=environment.api)
        if endpoint is None:
            message = f"{environment.api} is not an API home: it has no link fx:token; check the address"
            raise TokenUnavailableError(message)
        # The client secret is sent to this address.
        if not environment.covers(endpoint) or "@" in urlsplit(endpoint).netloc:
            message = f"{environment.api} links to a token endpoint of another origin; secrets are not sent there"
            raise TokenUnavailableError(message)
        return environment.replace(token_endpoint=endpoint)

    @classmethod
    async def adiscover(cls, api: str, *, http: HttpClient | None = None, timeout: float = 10.0) -> Environment:  # noqa: ASYNC109 - for the network
        """Async version of `discover`."""
        from foxy_auth._engine.concurrency import in_thread

        return await in_thread(lambda: cls.discover(api, http=http, timeout=timeout))

    def covers(self, url: str) -> bool:
        """Tell whether a request to *url* may carry this environment's token."""
        return Origin.of(url) in self.origins

    def is_issuer(self, name: str) -> bool:
        """Tell whether this environment may call itself *name* in an authorization response (`iss`, RFC 9207)."""
        if self.issuer is not None:
            return name == self.issuer
        known = [environment for environment in (PRODUCTION, FOXY_IO) if environment.origins == self.origins]
        addresses = [url for one in (self, *known) for url in (one.token_endpoint, one.authorization_endpoint)]
        plain = not set(name) & set("?#@")
        return plain and Origin.of(name) in self.origins.union(filter(None, map(Origin.of, addresses)))


def check_environment(value: object) -> None:
    """Raise `TypeError` if *value* is not an `Environment`."""
    if isinstance(value, Environment):
        return
    hint = "PRODUCTION, SANDBOX, FOXY_IO or Environment(api=…)"
    if isinstance(value, str):
        name = value.strip().upper()
        of_text = "Environment(api=…) of that address" if "/" in name else hint
        hint = f"{name} (from foxy_auth import {name})" if name in KNOWN else of_text
    what = f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__
    raise TypeError(f"environment takes {hint}, not {what}")


def arguments_of(environment: Environment) -> dict[str, Any]:
    """Return the arguments that make *environment*, as JSON values, without those that follow from the API home."""
    plain = Environment(api=environment.api)
    further = sorted(f"{origin.scheme}://{origin.netloc}" for origin in environment.origins - plain.origins)
    given = {name: getattr(environment, name) for name in ("token_endpoint", "authorization_endpoint", "issuer")}
    changed = {name: value for name, value in given.items() if value != getattr(plain, name)}
    return {"api": environment.api, **changed, **({"origins": further} if further else {})}


def environment_from(arguments: Mapping[str, Any]) -> Environment:
    """
    Make an environment of what `arguments_of` returned.

    Raises:
        TypeError, ValueError: They make none.
    """
    if not isinstance(arguments, Mapping) or "api" not in arguments:
        raise TypeError("environment takes a mapping with the field api, the API home")
    names = ("api", "token_endpoint", "authorization_endpoint", "origins", "issuer")
    return Environment(**{name: arguments[name] for name in names if name in arguments})


def _checked_origin(name: str, url: object) -> Origin:
    if name == "origins" and isinstance(url, Origin) and url.confidential:  # from `replace`
        return url
    if not isinstance(url, str):
        kind = type(url).__name__
        raise TypeError(f"Environment.{name} must be an address such as 'https://api.foxycart.com', not {kind}")
    origin = Origin.of(url)
    if origin is None or "@" in urlsplit(url).netloc:
        raise ValueError(f"Environment.{name} must be a plain address such as 'https://api.foxycart.com'")
    if not origin.confidential:
        raise ValueError(f"Environment.{name} must be https, because secrets are sent there (http only on loopback)")
    if not origin.host.isascii():
        raise ValueError(f"Environment.{name} takes the host in ASCII (xn--…), as clients send it")
    return origin


# Both names of production serve the same API and data, and links may lead from one to the other.
PRODUCTION = Environment(
    api="https://api.foxycart.com",
    authorization_endpoint="https://my.foxycart.com/authorize",
    origins=("https://api.foxy.io",),
)
FOXY_IO = Environment(
    api="https://api.foxy.io",
    authorization_endpoint="https://auth.foxy.io/authorize",
    origins=("https://api.foxycart.com",),
)
SANDBOX = Environment(
    api="https://api-sandbox.foxycart.com",
    authorization_endpoint="https://my-sandbox.foxycart.com/authorize",
)


# All of the provider's, by their names here.
KNOWN = {"PRODUCTION": PRODUCTION, "FOXY_IO": FOXY_IO, "SANDBOX": SANDBOX}


def known_environment(api: str) -> Environment:
    """Return the environment whose API home is *api*, which is one of the provider's or a new one."""
    given = Environment(api=api)
    if urlsplit(api).path.strip("/"):
        return given
    known = {Origin.of(environment.api): environment for environment in KNOWN.values()}
    return known.get(Origin.of(api), given)
