"""Where the redirect URI sends the browser, if that is a place where this machine can listen."""

from __future__ import annotations

import re
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, AddressFamily
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from foxy_auth.environment import DEFAULT_PORTS, Origin

APP_SCHEME = re.compile("[a-z][a-z0-9+.-]*", re.IGNORECASE)


class Landing(NamedTuple):
    """Host, port and path of a redirect URI on loopback."""

    host: str
    port: int
    path: str

    @classmethod
    def of(cls, redirect_uri: str) -> Self | None:
        """Read *redirect_uri*; None if it does not lead to plain http on loopback."""
        origin = Origin.of(redirect_uri)
        if origin is None or origin.scheme != "http" or not origin.confidential or not origin.port:
            return None
        path = unquote(urlsplit(redirect_uri).path)
        return cls(origin.host, origin.port, f"/{path.lstrip('/')}")

    @property
    def addresses(self) -> list[tuple[AddressFamily, str]]:
        """Where a browser may look for the host: a name has an address in both families."""
        if self.host == "localhost":
            return [(AF_INET, "127.0.0.1"), (AF_INET6, "::1")]
        return [(AF_INET6 if ip_address(self.host).version == 6 else AF_INET, self.host)]  # noqa: PLR2004 - IPv6


def check_redirect_uri(redirect_uri: str) -> None:
    """
    Refuse what cannot be a redirect URI.

    Raises:
        ValueError: The message says what to give instead.
    """
    if "#" in redirect_uri or not (Origin.of(redirect_uri) or _leads_to_app(redirect_uri)):
        raise ValueError(
            "the redirect URI must be a whole address without a fragment, exactly as it was registered, "
            "such as http://localhost:8910/callback"
        )


def _leads_to_app(redirect_uri: str) -> bool:
    """Tell whether an app of the user's machine gets the answer (RFC 8252, section 7.1)."""
    scheme, _, rest = redirect_uri.partition(":")
    return (
        scheme.lower() not in DEFAULT_PORTS
        and (rest.startswith("//") or "." in scheme)
        and APP_SCHEME.fullmatch(scheme) is not None
    )
