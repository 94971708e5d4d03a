"""
What every test stands on: a clean environment, no way out of this machine, nothing left running.

The fixture `foxy`, an emulator of the test's own, is that of `foxy_auth.pytest_plugin`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from support.servers import FROM_ELSEWHERE, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.servers import Server

# Settings of the machine that the clients or the package would obey.
FOREIGN_SETTINGS = {"CURL_CA_BUNDLE", "NETRC", "REQUESTS_CA_BUNDLE", "SSLKEYLOGFILE", "SSL_CERT_DIR", "SSL_CERT_FILE"}
HOMES = ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
# Where an audit event of `socket` names the peer.
NAME_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname"}
CONNECTIONS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
DEADLINE = 15.0  # seconds that a thread may take to end after its test
# Modules whose tests mostly wait: for a program, a server, a browser.
LONGEST = {
    "test_chromium",
    "test_demo",
    "test_leaving",
    "test_login",
    "test_sdk",
    "test_shared_store",
    "test_sqlalchemy",
    "test_start_page",
    "test_tenants",
}
# A skipped test fails the run in CI, unless it is skipped for one of these reasons.
EXPECTED_SKIPS: frozenset[str] = frozenset()

# What was asked of other machines since the last test, from whatever thread.
_ways_out: list[str] = []


class OutsideError(Exception):
    """A test asked for something beyond this machine; no OSError, lest it pass for a connection that failed."""


def _stay_inside(event: str, args: tuple[object, ...]) -> None:
    """Refuse what would leave this machine: an audit hook sees every thread and every library."""
    if event in NAME_LOOKUPS:
        peer = args[0]
    elif event in CONNECTIONS and isinstance(args[1], tuple):  # the addresses of other families are no tuples
        peer = args[1][0]
    else:
        return
    if not _is_loopback(peer):
        _ways_out.append(f"{event} {peer!r}")
        message = f"tests stay on loopback, and this one asked for {peer!r} ({event})"
        raise OutsideError(message)


def _is_loopback(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost"}:
        return True
    try:
        return ip_address(str(name)).is_loopback
    except ValueError:
        return False


sys.addaudithook(_stay_inside)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hide the machine's proxies, certificates, netrc and credentials; give the home folder of the test."""
    for name in os.environ:
        if name in FOREIGN_SETTINGS or name.startswith("FOXY_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    for name in HOMES:
        monkeypatch.setenv(name, str(home))
    return home


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail the test that leaves a thread running, or that tried to reach another machine, in whatever thread."""
    before = set(threading.enumerate())
    _ways_out.clear()
    yield
    deadline = time.monotonic() + DEADLINE
    started = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    if running := [thread.name for thread in started if thread.is_alive()]:
        pytest.fail(f"still running {DEADLINE:g} s after the test: {running}", pytrace=False)
    if _ways_out:
        pytest.fail(f"tests stay on loopback, and this one asked for {_ways_out}", pytrace=False)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """Run a Redis for the tests, which may stop it if they start it again."""
    yield from running("redis")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Run a PostgreSQL for the tests, which may stop it if they start it again."""
    yield from running("postgres")


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[Server]:
    """Run a MariaDB for the tests, which may stop it if they start it again."""
    yield from running("mysql")


@pytest.fixture
def server_url(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Give the URL of a server of a kind: from elsewhere if the environment names one."""
    return lambda name: FROM_ELSEWHERE[name] or request.getfixturevalue(f"{name}_server").url


def pytest_xdist_auto_num_workers() -> int:
    """Run on two processes more than there are processors: many tests wait."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that take longest, so that none of them is left over for one process at the end."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def pytest_configure() -> None:
    """Hear Ctrl-C, and let the programs that tests start hear it, also where a shell runs this in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which skipped tests fail the run."""
    for reason in _unexpected_skips(terminalreporter):
        terminalreporter.write_line(f"In CI every test runs, yet some were skipped: {reason}", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in CI that skipped what it was to test."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and _unexpected_skips(reporter) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unexpected_skips(reporter: pytest.TerminalReporter) -> set[str]:
    if "CI" not in os.environ:
        return set()
    skipped = [report.longrepr for report in reporter.stats.get("skipped", [])]
    reasons = {where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where) for where in skipped}
    return reasons - EXPECTED_SKIPS
