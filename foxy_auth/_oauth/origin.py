"""Origins: scheme, host and port of an address, which decide who gets the token."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from typing import NamedTuple, Self
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
# An IPv6 address in brackets with an optional port. urlsplit accepts other text around the brackets and ignores it.
# Zone identifiers are refused: they are local to one machine, and parsers disagree about them.
BRACKETED = re.compile(r"\[[0-9A-Fa-f:.]*\](:[0-9]*)?")


class Origin(NamedTuple):
    """Scheme, host and port of an address (RFC 6454, section 4)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self | None:
        """
        Parse the origin of *url*; None if it is not a plain http or https address.

        Addresses that parsers are known to read differently have no origin: those with a backslash, whitespace or a
        control character.
        """
        if not url.isprintable() or "\\" in url or " " in url:
            return None
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        location = parts.netloc.rpartition("@")[2]
        if ("[" in location or "]" in location) and not BRACKETED.fullmatch(location):
            return None
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
        if scheme not in DEFAULT_PORTS or not host:
            return None
        return cls(scheme, host, DEFAULT_PORTS[scheme] if port is None else port)

    @property
    def netloc(self) -> str:
        """Host and port as clients write them: IPv6 in brackets, the scheme's default port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def confidential(self) -> bool:
        """Whether secrets may be sent there: over https, or without leaving the machine."""
        return self.scheme == "https" or self.on_loopback

    @property
    def on_loopback(self) -> bool:
        """Whether it is on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def is_on_loopback(url: str) -> bool:
    """Tell whether *url* leads to this machine."""
    origin = Origin.of(url)
    return origin is not None and origin.on_loopback


def foreign_home(api: str | None, origins: Collection[Origin]) -> str | None:
    """
    Return the origin of the API home *api*, if that is of another environment than the one with *origins*.

    What was issued on this machine, by an emulator, is good for nothing elsewhere, and counts for none.
    """
    home = Origin.of(api) if api else None
    if home is None or home.on_loopback or home in origins:
        return None
    return f"{home.scheme}://{home.netloc}"


def plain_origin(url: str) -> Origin | None:
    """Return the origin of *url* if what is sent there could be read on the way: it is this machine, by plain http."""
    origin = Origin.of(url)
    return origin if origin and origin.scheme == "http" and origin.on_loopback else None
