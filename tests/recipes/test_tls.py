"""The code of proxies-and-tls.md: a Foxy behind an authority of the company's own, which asks for a certificate."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from support.credentials import credentials
from support.manual import MANUAL, blocks_of
from support.recording_proxy import RecordingProxy
from werkzeug.serving import make_server

from foxy_auth import TokenUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from foxy_auth.emulator import Emulator

PROXY = "http://proxy.corp.example:3128"


@pytest.fixture
def api(foxy: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the emulator behind TLS to clients with a certificate; put the page's files into an empty folder."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "corporate-ca.pem")
    certificate = authority.issue_cert("ann@widgets.example")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "client.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server = make_server("127.0.0.1", 0, foxy._recorder, threaded=True, ssl_context=context)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"https://127.0.0.1:{server.port}"
    monkeypatch.chdir(tmp_path)
    for name, value in {**credentials(foxy), "FOXY_API_URL": url}.items():
        monkeypatch.setenv(name, value)
    yield url
    server.shutdown()
    server.server_close()


def client(library: str, proxy: str | None) -> Any:
    """Run the page's block for a client library, with *proxy* in place of the company's; return its client."""
    found = blocks_of((MANUAL / "how-to/proxies-and-tls.md").read_text("utf-8"))
    [code] = [block.code for block in found if block.kind == "tested" and f"import {library}\n" in block.code]
    assert PROXY in code
    names: dict[str, Any] = {}
    exec(code.replace(f'"{PROXY}"', repr(proxy)), names)  # noqa: S102 - our own page
    return names.get("client") or names["session"]


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_certificates(foxy: Emulator, api: str, library: str) -> None:
    """Token requests and others show the certificate that the page names, and trust the company's authority."""
    with client(library, None) as session:
        responses = [session.get(api, timeout=20) for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 200]
    assert [call.path for call in foxy.calls] == ["/token", "/", "/"]


def test_proxy(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Token requests go through the proxy that the page names."""
    monkeypatch.setenv("FOXY_API_URL", "https://foxy.example")
    with RecordingProxy() as proxy, client("requests", proxy.url) as session, pytest.raises(TokenUnavailableError):
        session.get("https://foxy.example/", timeout=20)

    assert proxy.received.startswith(b"CONNECT foxy.example:443 ")
