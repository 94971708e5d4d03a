"""`foxy-auth doctor`: set-ups that are broken, each in its own way."""

from __future__ import annotations

import json
import os
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import trustme

from foxy_auth.cli import main
from foxy_auth.cli.doctor import provider
from foxy_auth.cli.doctor.checks import findings
from foxy_auth.cli.doctor.finding import Setup
from foxy_auth.cli.profiles import Profile, save_profile, token_path
from foxy_auth.cli.settings import Settings
from foxy_auth.environment import Environment
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth.emulator import Emulator

Capture = pytest.CaptureFixture[str]
Found = dict[str, list[dict[str, str]]]


@pytest.fixture
def diagnose(store: FileStore, capsys: Capture) -> Callable[..., tuple[int, Found, str]]:
    """Give a function that runs the doctor, and returns the exit status, the findings by check, and all of the JSON."""

    def run(*arguments: str) -> tuple[int, Found, str]:
        status = main(["doctor", "--json", *arguments])
        printed = capsys.readouterr()
        assert printed.err == ""
        found: Found = {}
        for finding in json.loads(printed.out)["findings"]:
            found.setdefault(finding["check"], []).append(finding)
        return status, found, printed.out

    return run


# --- a set-up that works ---------------------------------------------------------------------------------------------


def test_healthy(foxy: Emulator, store: FileStore, diagnose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """R31: nothing is wrong, nothing is spent, and what is shown has no secret, no client id and no home folder."""
    monkeypatch.setenv("FOXY_API_REFRESH_TOKEN", "made-up-refresh-token")
    foxy.rotate_refresh_tokens = True
    token, before = store.load(), foxy.live_access_tokens
    status, found, text = diagnose()
    verdicts = {finding["status"] for one in found.values() for finding in one}

    assert (status, verdicts) == (0, {"ok"})
    assert found.keys() == {
        *("python", "foxy_auth", "clients", "variables", "profile", "credentials", "proxy", "dns", "tls", "api"),
        *("clock", "token_endpoint", "store", "permissions", "lock", "grant"),
    }
    assert token
    assert (store.load(), foxy.live_access_tokens) == (token, before)
    assert foxy.current_refresh_token == token.refresh_token
    private = (foxy.client_id, foxy.client_secret, token.access_token, str(token.refresh_token), "made-up-refresh")
    assert [one for one in (*private, str(Path.home())) if one in text] == []


def test_report(foxy: Emulator, store: FileStore, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report fits 60 columns, has no colour in a pipe, and with --quiet tells only what is wrong."""
    whole = (main(["doctor"]), capsys.readouterr().out)
    monkeypatch.setenv("FOXY_API_CLIENT_SECRET", "wrong")
    quiet = (main(["doctor", "-q"]), capsys.readouterr().out)

    assert (whole[0], quiet[0]) == (0, 1)
    assert whole[1].endswith("\n\nNothing is wrong.\n")
    assert [line for line in whole[1].splitlines() if len(line) > 60 and "/" not in line] == []
    assert "\x1b" not in whole[1]
    assert quiet[1].startswith("✗ Token endpoint  refuses the client")
    assert "\n                → Copy id and secret again" in quiet[1]


# --- set-ups that do not ---------------------------------------------------------------------------------------------


def _fast_clock(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(provider, "time", SimpleNamespace(time=lambda: time.time() + 3600))


def _wrong_secret(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FOXY_API_CLIENT_SECRET", "wrong")


def _unknown_name(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FOXY_API_URL", "https://nowhere.invalid")
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host == "nowhere.invalid":  # no test asks a name server
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **options)

    patch.setattr(socket, "getaddrinfo", getaddrinfo)


def _dead_proxy(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FOXY_API_URL", "https://foxy.example")
    patch.setenv("HTTPS_PROXY", "http://user:made-up-password@127.0.0.1:9")


def _revoked_grant(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    foxy.revoke_access_tokens()
    foxy.revoke_refresh_tokens()


def _open_folder(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    token_path("default", foxy.client_id).parent.chmod(0o777)


def _open_file(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    token_path("default", foxy.client_id).chmod(0o644)


def _listed_folder(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    token_path("default", foxy.client_id).parent.chmod(0o755)


def _damaged_record(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    token_path("default", foxy.client_id).write_text("{")


def _dead_redis(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FOXY_AUTH_STORE", "redis://:made-up-password@127.0.0.1:9/0#foxy")


def _newline(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FOXY_API_CLIENT_SECRET", f"{foxy.client_secret}\n")


def _slip(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FOXY_API_CLIENT_SECRETS", "x")


def _no_secret(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.delenv("FOXY_API_CLIENT_SECRET")


def _other_profile(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    save_profile("shop", Profile(client_id="client_other", client_secret="x"))
    patch.setenv("FOXY_AUTH_PROFILE", "shop")


def _no_address(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FOXY_API_URL", "api.example/foxy")


def _no_bundle(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")


def _no_home(foxy: Emulator, patch: pytest.MonkeyPatch) -> None:
    foxy.fail(200, body="<html>", content_type="text/html", path="/", times=2)


Break = Callable[["Emulator", pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    "case",
    [
        (_fast_clock, "clock", "fail", "1 hour ahead of the server's"),
        (_wrong_secret, "token_endpoint", "fail", "refuses the client"),
        (_unknown_name, "dns", "fail", "nowhere.invalid cannot be resolved (Name or service not known)"),
        (_dead_proxy, "proxy", "fail", "127.0.0.1:9, of HTTPS_PROXY, cannot be reached"),
        (_revoked_grant, "grant", "fail", "access was probably revoked"),
        (_open_folder, "permissions", "fail", "other users can write to"),
        (_open_file, "permissions", "warn", "other users could read"),
        (_listed_folder, "permissions", "ok", "others can list its folder"),
        (_damaged_record, "store", "fail", "~/foxy-auth/default.CLIENT_ID.json"),
        (_dead_redis, "store", "fail", "127.0.0.1:9"),
        (_newline, "variables", "warn", "FOXY_API_CLIENT_SECRET ends with a newline"),
        (_slip, "variables", "warn", "nothing reads it"),
        (_no_secret, "credentials", "fail", "the client_secret is missing"),
        (_other_profile, "profile", "fail", "the profile shop is of another client, CLIENT_ID"),
        (_no_address, "profile", "fail", "FOXY_API_URL"),
        (_no_bundle, "tls", "fail", "REQUESTS_CA_BUNDLE names /nowhere/ca.pem"),
        (_no_home, "api", "fail", "no API home"),
    ],
    ids=lambda case: case[0].__name__,
)
def test_broken(
    foxy: Emulator, diagnose: Any, monkeypatch: pytest.MonkeyPatch, case: tuple[Break, str, str, str]
) -> None:
    """R24: each broken set-up is recognized, with what to do, and without secrets."""
    break_it, check, status, words = case
    break_it(foxy, monkeypatch)
    ended, found, text = diagnose()
    finding = next(one for one in found[check] if words in one["message"])

    assert finding["status"] == status
    assert (finding["remedy"] is None) == (status == "ok")
    assert ended == (status == "fail")
    assert [one for one in (foxy.client_secret, "made-up-password") if one in text] == []


class Quiet(BaseHTTPRequestHandler):
    """Responds to everything that it has no idea, and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Log nothing."""


@pytest.fixture
def tls_server() -> Iterator[tuple[str, trustme.CA]]:
    """Give the address of a server over TLS, and the authority of its certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "foxy.example").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", authority
        server.shutdown()
        thread.join()


def test_unknown_authority(tls_server: tuple[str, trustme.CA], diagnose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of an unknown authority is told, and with which variable it becomes known."""
    url, authority = tls_server
    monkeypatch.setenv("FOXY_API_URL", url)
    with authority.cert_pem.tempfile() as path:
        monkeypatch.setenv("SSL_CERT_FILE", path)  # which requests does not read
        _, untrusted, _ = diagnose()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)
        _, trusted, _ = diagnose()

    assert [one["status"] for one in untrusted["tls"]] == ["fail", "warn"]
    assert "the certificate of 127.0.0.1 is not accepted" in untrusted["tls"][0]["message"]
    assert "REQUESTS_CA_BUNDLE" in untrusted["tls"][0]["remedy"]
    assert untrusted["tls"][1]["message"] == "requests does not read SSL_CERT_FILE"
    assert trusted["tls"][0]["message"].startswith("127.0.0.1: TLSv1.3, certificate of")
    assert "trusted by REQUESTS_CA_BUNDLE=" in trusted["tls"][0]["message"]


class Tunnel(BaseRequestHandler):
    """A proxy that leads every CONNECT to one server on this machine, and keeps what it was told."""

    port: ClassVar[int]
    told: ClassVar[list[bytes]]

    def handle(self) -> None:
        """Pass on everything in both directions."""
        client = self.request
        if not (head := client.recv(4096)):  # somebody looks whether there is a proxy
            return
        self.told.append(head)
        with socket.create_connection(("127.0.0.1", self.port)) as server, suppress(OSError):
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            while True:
                for one in select.select([client, server], [], [])[0]:
                    if not (data := one.recv(65536)):
                        return
                    (server if one is client else client).sendall(data)


def test_tunnel(tls_server: tuple[str, trustme.CA], diagnose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """R23: behind a proxy that wants a password, the certificate is looked at through it, and the password not told."""
    url, authority = tls_server
    Tunnel.port, Tunnel.told = int(url.rpartition(":")[2]), []
    with ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy, authority.cert_pem.tempfile() as path:
        thread = Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("FOXY_API_URL", "https://foxy.example")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:made-up-password@127.0.0.1:{proxy.server_address[1]}")
        _, found, text = diagnose()
        proxy.shutdown()
        thread.join()

    assert found["tls"][0]["message"].startswith("foxy.example: TLSv1.3, certificate of")
    assert (found["proxy"][0]["status"], found["dns"][0]["status"]) == ("ok", "skipped")
    assert all(b"Proxy-Authorization: Basic dXNlcjptYWRlLXVwLXBhc3N3b3Jk" in head for head in Tunnel.told)
    assert "made-up-password" not in text


def test_missing_packages(foxy: Emulator, store: FileStore) -> None:
    """What is not installed is a finding, and keeps nothing else from being checked."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['filelock', 'requests', 'httpx', 'httpx2'])); "
        "from foxy_auth.cli import main; sys.exit(main(['doctor', '--json']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    found = {one["check"]: one for one in json.loads(ended.stdout)["findings"]}

    assert (ended.returncode, ended.stderr) == (1, "")
    assert found["clients"]["message"] == "no client library is installed"
    assert found["store"]["message"] == "FileStore needs filelock: pip install 'foxy_auth[file]'"
    assert (found["dns"]["status"], found["api"]["status"]) == ("ok", "skipped")


@pytest.mark.usefixtures("store")
def test_unwritable_folder(diagnose: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """R24: a folder that is missing and cannot be made is a problem before a token is lost for it."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    status, found, _ = diagnose("--store", f"file:{tmp_path}/missing/token.json")

    assert (status, found["lock"][0]["status"]) == (1, "fail")
    assert f"Make {tmp_path} writable" in found["lock"][0]["remedy"]


def test_silence() -> None:
    """Where nothing answers, the doctor ends in time, and says which checks did not."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        found = [*findings(Setup(Settings(environment=Environment(api=url)), None, "requests"), limit=0.5)]
        elapsed = time.monotonic() - began

    assert elapsed < 3
    assert [one.message for one in found if one.check == "api"] == ["there was no answer in time"]


def test_broken_check(monkeypatch: pytest.MonkeyPatch, diagnose: Any) -> None:
    """A check that fails itself is a finding, and the others go on."""
    monkeypatch.setattr(os, "uname", None)
    monkeypatch.setattr("foxy_auth.cli.doctor.installation.platform", None)
    status, found, _ = diagnose()

    assert (status, found["python"][0]["status"], found["api"][0]["status"]) == (0, "warn", "ok")
