"""Where Foxy is: its addresses, and which requests may carry its token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple, Self
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
# An IPv6 address and what may stand around it; urlsplit passes over anything else there, and would read the host from
# it. The zone of an address, which only one machine knows, is read in different ways, and by browsers not at all.
BRACKETED = re.compile(r"\[[0-9A-Fa-f:.]*\](:[0-9]*)?")


class Origin(NamedTuple):
    """Scheme, host and port of an address (RFC 6454, section 4)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self | None:
        """
        Read the origin of *url*; None if it is no plain http or https address.

        The address is parsed, never compared by its beginning, and one that parsers are known to read in different ways
        (a backslash, blanks, control characters) has no origin.
        """
        if not url.isprintable() or "\\" in url or " " in url:
            return None
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        place = parts.netloc.rpartition("@")[2]
        if ("[" in place or "]" in place) and not BRACKETED.fullmatch(place):
            return None
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
        if scheme not in DEFAULT_PORTS or not host:
            return None
        return cls(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)

    @property
    def confidential(self) -> bool:
        """Whether a secret may travel there: over https, or without leaving the machine."""
        return self.scheme == "https" or _is_loopback(self.host)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, init=False)
class Environment:
    """
    The addresses of one installation of Foxy.

    Attributes:
        api: The API home.

        token_endpoint: Where tokens are issued; by default the API home's `/token`.

        authorization_endpoint: Where users grant access; by default the API home's `/authorize`.

        origins: The origins whose requests carry the token.

    Raises:
        TypeError, ValueError: An address is not text, not plain, or neither https nor on loopback.
    """

    api: str
    token_endpoint: str
    authorization_endpoint: str
    origins: frozenset[Origin]

    def __init__(
        self,
        *,
        api: str,
        token_endpoint: str | None = None,
        authorization_endpoint: str | None = None,
        origins: tuple[str, ...] | list[str] | set[str] | frozenset[str] | frozenset[Origin] = (),
    ) -> None:
        """
        Describe an installation.

        Args:
            api: The API home, such as `https://api.foxycart.com`.

            token_endpoint: Where tokens are issued, if it is not the API home's `/token`.

            authorization_endpoint: Where users grant access, if it is not the API home's `/authorize`.

            origins: Further addresses of the same API whose requests carry the token too.
        """
        home = _checked("api", api)
        if "?" in api or "#" in api:
            raise ValueError("Environment.api takes an address without '?' and '#': other addresses are built upon it")
        if isinstance(origins, str):
            raise TypeError("Environment.origins takes a collection of addresses, not one text")
        stem = api.rstrip("/")
        token_endpoint = f"{stem}/token" if token_endpoint is None else token_endpoint
        authorization_endpoint = f"{stem}/authorize" if authorization_endpoint is None else authorization_endpoint
        _checked("token_endpoint", token_endpoint)
        _checked("authorization_endpoint", authorization_endpoint)
        set_field = object.__setattr__  # the way of frozen dataclasses
        set_field(self, "api", api)
        set_field(self, "token_endpoint", token_endpoint)
        set_field(self, "authorization_endpoint", authorization_endpoint)
        set_field(self, "origins", frozenset({home, *(_checked("origins", origin) for origin in origins)}))

    @classmethod
    def discover(cls, api: str, *, http: object | None = None, timeout: float = 10.0) -> Environment:
        """
        Ask the API home at *api* where tokens are issued (its link `fx:token`).

        The call is anonymous: an expired token would be refused.

        Args:
            api: The API home.

            http: As for `FoxyAuth`.

            timeout: Seconds for each wait on the network; the call takes three times as long at most.

        Raises:
            TypeError, ValueError: *api* is no address that secrets may be sent to.

            TokenUnavailableError: There is no such API home, or its link leads to a foreign origin.
        """
        from foxy_auth._discovery import discover

        return discover(known_environment(api), http=http, timeout=timeout)

    @classmethod
    async def adiscover(cls, api: str, *, http: object | None = None, timeout: float = 10.0) -> Environment:  # noqa: ASYNC109 - it is the call's, in its thread
        """Do what `discover` does, without blocking the event loop, be it asyncio's or trio's."""
        from foxy_auth._discovery import adiscover

        return await adiscover(known_environment(api), http=http, timeout=timeout)

    def covers(self, url: str) -> bool:
        """Tell whether a request to *url* may carry this environment's token."""
        return Origin.of(url) in self.origins


def check_environment(thing: object) -> None:
    """Refuse what is no `Environment`."""
    if not isinstance(thing, Environment):
        raise TypeError(f"environment takes PRODUCTION or Environment(api=…), not {type(thing).__name__}")


def _checked(name: str, url: object) -> Origin:
    if name == "origins" and isinstance(url, Origin) and url.confidential:  # as `dataclasses.replace` hands them over
        return url
    if not isinstance(url, str):
        raise TypeError(
            f"Environment.{name} must be an address such as 'https://api.foxycart.com', not {type(url).__name__}"
        )
    origin = Origin.of(url)
    if origin is None or "@" in urlsplit(url).netloc:
        raise ValueError(f"Environment.{name} must be a plain address such as 'https://api.foxycart.com'")
    if not origin.confidential:
        raise ValueError(
            f"Environment.{name} must be https, because secrets travel there (plain http only on loopback)"
        )
    if not origin.host.isascii():
        raise ValueError(f"Environment.{name} takes a host in ASCII (xn--…), for that is what clients send")
    return origin


# The two names of production serve the same API and data, so that links from one may lead to the other.
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


def known_environment(api: str) -> Environment:
    """Return the environment whose API home is *api*: one of the provider's, if it is one of theirs."""
    given = Environment(api=api)
    if urlsplit(api).path.strip("/"):
        return given
    known = {Origin.of(environment.api): environment for environment in (PRODUCTION, FOXY_IO, SANDBOX)}
    return known.get(Origin.of(api), given)
