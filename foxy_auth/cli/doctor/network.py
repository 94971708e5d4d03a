"""The way to Foxy: proxy, DNS, TLS."""

from __future__ import annotations

import os
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies

from foxy_auth._oauth.origin import is_on_loopback
from foxy_auth._outages import Sending, proxy_for
from foxy_auth._transport import CERTIFICATES, tls_context
from foxy_auth.cli.doctor.finding import Finding, Setup, fail, failed, ok, skipped, warn

TIMEOUT = 4.0  # seconds
DAY = 86400
FEW_DAYS = 14
READ_BY_REQUESTS, READ_BY_HTTPX = CERTIFICATES[:2], CERTIFICATES[2:]


def hosts(setup: Setup) -> list[str]:
    """Return an address for each host that is to be reached."""
    environment = setup.settings.environment
    found = {urlsplit(url).netloc: url for url in (environment.token_endpoint, environment.api)}
    return [*found.values()]


def check_proxy(setup: Setup) -> Iterator[Finding]:
    """Tell which proxy is used, and whether it can be reached."""
    for url in hosts(setup):
        variable, place = proxy_for(url)
        if is_on_loopback(url):
            yield ok("proxy", f"none is used for {urlsplit(url).hostname}, which is this machine")
        elif not variable:
            names = sorted(name for name in os.environ if name.lower().endswith("_proxy"))
            others = f" (set, but not for it: {', '.join(names)})" if names else ""
            yield ok("proxy", f"none for {urlsplit(url).hostname}{others}")
        else:
            yield _reached(variable, place, urlsplit(url).hostname)


def check_dns(setup: Setup) -> Iterator[Finding]:
    """Look up the hosts."""
    for url in hosts(setup):
        host = urlsplit(url).hostname or ""
        if proxy_for(url)[0]:
            yield skipped("dns", f"the proxy looks up {host}")
            continue
        try:
            found = socket.getaddrinfo(host, urlsplit(url).port or 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            remedy = "Check FOXY_API_URL or --environment for a slip, then the network and its DNS server."
            yield fail("dns", f"the name {host} cannot be resolved ({reason})", remedy)
        else:
            address = found[0][4][0]
            yield ok("dns", f"{host} is {address}" if address != host else f"not needed for {host}")


def check_tls(setup: Setup) -> Iterator[Finding]:
    """Look at the certificates of the hosts, with the authorities that the client library trusts."""
    named = {name: path for name in CERTIFICATES if (path := os.environ.get(name))}
    for name, path in named.items():
        if not Path(path).exists():
            yield fail("tls", f"{name} names {path}, which does not exist", f"Correct {name}, or unset it.")
    for url in hosts(setup):
        if url.startswith("http:"):
            yield ok("tls", "not needed: it is plain http on this machine")
        elif setup.library is None:
            yield skipped("tls", "there is no client library")
        else:
            yield from _certificate(url, setup.library, named)


def _reached(variable: str, place: str, host: str | None) -> Finding:
    proxy = urlsplit(f"//{place}")
    remedy = f"Correct {variable}, or name {host} in NO_PROXY."
    try:
        with socket.create_connection((proxy.hostname or "", proxy.port or 80), TIMEOUT):
            return ok("proxy", f"{place}, of {variable}, accepts connections")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return fail("proxy", f"{place}, of {variable}, cannot be reached ({reason})", remedy)


def _certificate(url: str, library: str, named: dict[str, str]) -> Iterator[Finding]:
    host = urlsplit(url).hostname or ""
    read = READ_BY_REQUESTS if library in {"requests", "niquests"} else READ_BY_HTTPX
    unread = [name for name in named if name not in read]
    try:
        certificate, version = _handshake(url, tls_context(library))
    except ssl.SSLError as error:
        yield failed("tls", ValueError(_explained(url, library, error)))
        if unread and not set(named) & set(read):
            yield warn("tls", f"{library} does not read {', '.join(unread)}", f"Set {read[0]} to the same file.")
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        yield skipped("tls", f"no connection to {host} ({reason})")
    else:
        trusted = [f"{name}={named[name]}" for name in read if name in named][:1]
        yield _validity(host, certificate, version, f", trusted by {trusted[0]}" if trusted else "")


def _explained(url: str, library: str, error: ssl.SSLError) -> str:
    sending = Sending(url=url, library=library, timeout=TIMEOUT, is_by_users_client=False, hidden=())
    return sending.explain(error, "tls")


def _validity(host: str, certificate: dict[str, Any], version: str, trust: str) -> Finding:
    until = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = int((until - time.time()) / DAY)
    issuer = {name: value for part in certificate.get("issuer", ()) for name, value in part}
    message = (
        f"{host}: {version}, certificate of {issuer.get('organizationName', 'an unnamed authority')}, valid for "
        f"{days} days{trust}"
    )
    if days < FEW_DAYS:
        return warn("tls", message, "Nothing to do yet, unless the certificate is yours: renew it.")
    return ok("tls", message)


def _handshake(url: str, context: ssl.SSLContext) -> tuple[dict[str, Any], str]:
    """Connect, through the proxy if there is one, and return the server's certificate and the version of TLS."""
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 443
    proxy = _proxy(url)
    if proxy is None:
        connection = HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
    else:
        connection = HTTPSConnection(proxy.hostname or "", proxy.port or 80, timeout=TIMEOUT, context=context)
        connection.set_tunnel(host, port, _proxy_authorization(proxy))
    try:
        connection.connect()
        socket: Any = connection.sock
        return socket.getpeercert(), socket.version()
    finally:
        connection.close()


def _proxy(url: str) -> SplitResult | None:
    """Return the proxy, with its password."""
    if not proxy_for(url)[0]:
        return None
    proxies = getproxies()
    return urlsplit(proxies.get(urlsplit(url).scheme) or proxies["all"])


def _proxy_authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(user.encode()).decode()}"}
