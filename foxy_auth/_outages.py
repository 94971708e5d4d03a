"""
Why no response came: what kind of outage an error of a client library tells of, and what to do about it.

The libraries name the same things differently, wrap each other's errors, and bury the reason; so all that led to an
error is looked at.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from foxy_auth._oauth.messages import clean
from foxy_auth._oauth.origin import Origin
from foxy_auth._secrets import Secret, links
from foxy_auth.errors import Outage

# By the names of classes, in all libraries; the narrower ones first.
KINDS: tuple[tuple[Outage, set[str]], ...] = (
    ("connect_timeout", {"ConnectTimeout"}),
    ("read_timeout", {"ReadTimeout", "ReadTimeoutError"}),
    ("timeout", {"Timeout", "TimeoutException", "TimeoutError"}),
    ("proxy", {"ProxyError"}),
    ("connection", {"ConnectionError", "NetworkError", "ProtocolError"}),
)
HANDSHAKE_ERRORS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # the connection broke off
# X509_V_ERR_… of OpenSSL: what a certificate can lack beside trust.
NOT_YET_VALID, EXPIRED, OTHER_HOST, OTHER_ADDRESS = 9, 10, 62, 64
BUNDLES = {"requests": "REQUESTS_CA_BUNDLE", "niquests": "REQUESTS_CA_BUNDLE"}  # all others: SSL_CERT_FILE
USERINFO = re.compile(r"//[^/\s]*@")
CHECK_ADDRESS = "check the address, FOXY_API_URL or environment="


def outage_of(error: BaseException, *, is_unsent: bool) -> Outage | None:
    """Tell what kind of outage *error* is; None if it is none."""
    if _tls_error(error):
        return "tls"
    for link in links(error):
        names = {kind.__name__ for kind in type(link).__mro__}
        for outage, own in KINDS:
            if names & own:
                return "connect" if outage == "connection" and is_unsent else outage
    return None


@dataclass(frozen=True, slots=True)
class Sending:
    """
    A request that brought no response.

    Attributes:
        url: Where it was to go.

        library: The client library that was to send it.

        timeout: Seconds for each wait on the network.

        is_by_users_client: Whether its client was given as `http`, whose settings are its own.

        hidden: What no message may repeat.
    """

    url: str
    library: str
    timeout: float
    is_by_users_client: bool
    hidden: Iterable[Secret]

    @property
    def host(self) -> str:
        origin = Origin.of(self.url)
        return clean(origin.host, self.hidden) if origin else "the server"

    def explain(self, error: BaseException, outage: Outage | None) -> str:
        """Say what *error* was, in its own words, and what to do."""
        words, url = clean(_words(error), self.hidden), clean(self.url, self.hidden)
        if outage == "tls":
            return self._explain_tls(error, words)
        if outage in {"proxy", "connect", "connect_timeout"} and (by_proxy := self._explain_proxy(error, words)):
            return by_proxy
        if any(isinstance(link, socket.gaierror) for link in links(error)):
            return f"the host {self.host} could not be resolved ({words}); {CHECK_ADDRESS}, and the network"
        if outage in {"connect_timeout", "read_timeout", "timeout"}:
            reason = f"{type(error).__name__}, timeout={self.timeout:g}"
            return f"{url} did not answer in time ({reason}); try later, or allow a longer timeout="
        if outage == "connect":
            further = ", and the client given as http=" if self.is_by_users_client else ""
            return f"{url} could not be reached ({words}); {CHECK_ADDRESS}{further}, or try later"
        remedy = "check the client given as http=, or try later" if self.is_by_users_client else "try later"
        return f"{url} could not be reached or did not answer ({type(error).__name__}: {words}); {remedy}"

    def _explain_tls(self, error: BaseException, words: str) -> str:
        code = getattr(_tls_error(error), "verify_code", None)
        if code in {EXPIRED, NOT_YET_VALID}:
            remedy = "check the clock of this machine; if it is right, the server needs a new certificate"
        elif code in {OTHER_HOST, OTHER_ADDRESS}:
            remedy = CHECK_ADDRESS
        elif code is None:
            remedy = f"{CHECK_ADDRESS}, its scheme and port, and the proxy if there is one"
        elif self.is_by_users_client:
            remedy = "let the client given as http= trust the authority that has issued it"
        else:
            variable = BUNDLES.get(self.library, "SSL_CERT_FILE")
            remedy = (
                f"name the file of the authority that has issued it in the environment variable {variable}, "
                "or give http= a client that trusts it"
            )
        if code is None:
            return f"there is no TLS connection to {self.host} ({words}); {remedy}"
        return f"the certificate of {self.host} is not accepted ({words}); {remedy}"

    def _explain_proxy(self, error: BaseException, words: str) -> str | None:
        if self.is_by_users_client:
            is_named = any(type(link).__name__ == "ProxyError" for link in links(error))
            return f"the proxy of the client given as http= failed ({words}); correct it there" if is_named else None
        variable, proxy = proxy_for(self.url)
        remedy = f"correct it, or name {self.host} in NO_PROXY"
        named = f"the proxy {clean(proxy, self.hidden)}, which {variable} names, failed"
        return f"{named} ({words}); {remedy}" if proxy else None


def _tls_error(error: BaseException) -> BaseException | None:
    errors = [link for link in links(error) if isinstance(link, ssl.SSLError)]
    reasons: list[Any] = [reason for link in links(error) for reason in link.args if isinstance(reason, ssl.SSLError)]
    found = [one for one in (*errors, *reasons) if not isinstance(one, HANDSHAKE_ERRORS)]
    return next(iter(found), None)


def _words(error: BaseException) -> str:
    """Return what the innermost error says, which the libraries repeat at length; without the password of a proxy."""
    reason = getattr(_tls_error(error), "verify_message", "")
    said = [text for link in links(error) if (text := getattr(link, "strerror", None) or _only_text(link))]
    words = reason or next(reversed(said), "") or str(error) or type(error).__name__
    return USERINFO.sub("//", words).rstrip(".")


def _only_text(error: BaseException) -> str:
    return error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else ""


def proxy_for(url: str) -> tuple[str, str]:
    """Name the variable that has a proxy for *url*, and the proxy without its password; empty without one."""
    from urllib.request import getproxies, proxy_bypass

    origin = Origin.of(url)
    if origin is None or origin.on_loopback or proxy_bypass(origin.host):
        return "", ""
    proxies = getproxies()
    address = proxies.get(origin.scheme) or proxies.get("all", "")
    if not address:
        return "", ""
    names = [name for prefix in (origin.scheme, "all") for name in (f"{prefix}_proxy", f"{prefix}_proxy".upper())]
    variable = next((name for name in names if os.environ.get(name)), "the system")
    return variable, address.rpartition("@")[2].rpartition("://")[2].partition("/")[0]
