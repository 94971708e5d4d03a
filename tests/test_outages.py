"""Why no response came: the cause's own words, and what to do."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests
import urllib3

from foxy_auth._outages import EXPIRED, OTHER_HOST, Sending, outage_of
from foxy_auth._secrets import Secret

if TYPE_CHECKING:
    from foxy_auth.errors import Outage

URL = "https://api.foxy.example/token"
SECRET = "MadeUpSecretMadeUp"
UNKNOWN_AUTHORITY = 20  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY


def untrusted(code: int, words: str) -> httpx.ConnectError:
    """Return how httpx tells of a certificate."""
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code, cause.verify_message = code, words
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.__cause__ = cause
    return error


def unresolved() -> requests.ConnectionError:
    """Return how requests tells of an unknown host."""
    error = requests.ConnectionError("Max retries exceeded")
    error.__context__ = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return error


OUTAGES: list[tuple[BaseException, Outage | None, bool, tuple[str, ...]]] = [
    (untrusted(UNKNOWN_AUTHORITY, "self-signed certificate"), "tls", False, ("self-signed", "SSL_CERT_FILE", "http=")),
    (untrusted(UNKNOWN_AUTHORITY, "self-signed certificate"), "tls", True, ("let the client given as http= trust",)),
    (untrusted(EXPIRED, "certificate has expired"), "tls", False, ("has expired", "check the clock")),
    (untrusted(OTHER_HOST, "Hostname mismatch."), "tls", False, ("Hostname mismatch)", "FOXY_API_URL")),
    (ssl.SSLError(1, "wrong version number"), "tls", False, ("no TLS connection to api.foxy.example", "wrong version")),
    (ssl.SSLEOFError(8, "EOF occurred"), None, False, ("did not answer (SSLEOFError: EOF occurred)",)),
    (unresolved(), "connect", False, ("the host api.foxy.example could not be resolved (Name or service not known)",)),
    (httpx.ProxyError("407 Proxy Authentication Required"), "proxy", True, ("the proxy of the client given as http=",)),
    (httpx.ConnectError("refused"), "connect", True, ("could not be reached (refused)", "the client given as http=")),
    (httpx.ConnectTimeout("timed out"), "connect_timeout", False, ("in time (ConnectTimeout, timeout=5)", "timeout=")),
    (requests.ReadTimeout(), "read_timeout", False, ("in time (ReadTimeout, timeout=5)",)),
    (httpx.PoolTimeout("pool"), "timeout", False, ("in time (PoolTimeout",)),
    (TimeoutError("timed out"), "timeout", False, ("in time (TimeoutError",)),
    (ConnectionResetError(104, "Connection reset by peer"), "connect", False, ("Connection reset by peer",)),
    (urllib3.exceptions.ProtocolError("broken"), "connect", False, ("broken",)),
    (ValueError("wrong: http://u:MadeUp@h:99999"), None, False, ("(ValueError: wrong: http://h:99999)",)),
    (RuntimeError(), None, False, ("did not answer (RuntimeError: RuntimeError); try later",)),
    (RuntimeError(f"sent {SECRET}\x1b[2J"), None, False, ("sent [hidden] [2J",)),
]


@pytest.mark.parametrize(("error", "outage", "is_by_users_client", "words"), OUTAGES)
def test_outages(error: BaseException, outage: Outage | None, is_by_users_client: bool, words: tuple[str, ...]) -> None:  # noqa: FBT001 - a column of the table
    """R22, R23: an error is told in its own words, without secrets and control characters, and with a remedy."""
    found = outage_of(error, is_unsent=True)
    message = Sending(URL, "httpx", 5.0, is_by_users_client, (Secret(SECRET),)).explain(error, found)

    assert found == outage
    assert [word for word in words if word not in message] == [], message
    assert message.isprintable()


PROXIES = {
    "https_proxy": "http://somebody:MadeUpPassword@proxy.example:3128/",
    "HTTPS_PROXY": "proxy.example:3128",
    "ALL_PROXY": "http://proxy.example:3128",
}


@pytest.mark.parametrize("variable", PROXIES)
def test_a_proxy_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R23: a proxy of the environment is named with its variable and without its password."""
    monkeypatch.setenv(variable, PROXIES[variable])
    sending: Any = Sending(URL, "httpx", 5.0, is_by_users_client=False, hidden=())
    message = sending.explain(httpx.ConnectError("refused"), "connect")
    monkeypatch.setenv("NO_PROXY", "api.foxy.example")
    without = sending.explain(httpx.ConnectError("refused"), "connect")

    assert message == (
        f"the proxy proxy.example:3128, which {variable} names, failed (refused); "
        f"correct it, or name api.foxy.example in NO_PROXY"
    )
    assert "proxy" not in without
