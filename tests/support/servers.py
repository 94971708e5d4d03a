"""Real servers for the tests of stores: Redis, PostgreSQL and MariaDB, each on a free port and in its own folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, ClassVar

import pytest
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 30.0  # seconds that a server may take to start or to stop
# URLs of servers to use instead; tests that stop a server start one of their own all the same.
FROM_ELSEWHERE = {name: os.environ.get(f"FOXY_AUTH_TEST_{name.upper()}_URL") for name in ("redis", "postgres", "mysql")}


# Kills a server when its tests have ended, even by a kill: that closes their end of the pipe.
WATCH = """
import os, shutil, signal, sys
sys.stdin.read()
pid = int(sys.argv[1])
children = open(f"/proc/{pid}/task/{pid}/children").read().split() if os.path.exists("/proc") else []
for process in (*map(int, children), pid):
    os.kill(process, signal.SIGCONT)
os.kill(pid, signal.SIGKILL)
shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


class Server:
    """A server that a test may stop, freeze and start again; its data survives that."""

    package: ClassVar[str]
    program: ClassVar[str]
    account: ClassVar[str]  # PostgreSQL and MariaDB refuse to run as root
    ending: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        """Find the program, or skip the test."""
        found = shutil.which(self.program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") or next(
            map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{self.program}"), reverse=True)), None
        )
        if found is None:
            pytest.skip(f"{self.program} is not installed: apt-get install {self.package}")
        self.found = found
        self.folder = Path(mkdtemp(prefix=f"foxy-auth-{self.program}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._as: dict[str, str] = {}
        if os.geteuid() == 0 and (account := _account(self.account)):
            shutil.chown(self.folder, account)
            self._as = {"user": account, "group": pwd.getpwnam(account).pw_gid}  # type: ignore[dict-item]

    @property
    def url(self) -> str:
        """Its URL."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Create its files, before the first start."""

    def arguments(self) -> list[str]:
        """Return the arguments of its program."""
        raise NotImplementedError

    def run(self, *command: str) -> None:
        """Run another program of the server."""
        ran = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **self._as,  # type: ignore[call-overload]
        )
        assert ran.returncode == 0, ran.stderr

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.found, *self.arguments()],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                **self._as,  # type: ignore[call-overload]
            )
        watch = [sys.executable, "-c", WATCH, str(self._process.pid), str(self.folder)]
        self._watch = subprocess.Popen(watch, stdin=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + DEADLINE
        while not self.answers():
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, (self.folder / "log").read_text()
            time.sleep(0.02)

    def answers(self) -> bool:
        """Tell whether it accepts clients."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stop it regularly, if it is running."""
        if self._process is not None:
            if self._watch is not None:
                self._watch.kill()
                self._watch.communicate()
            self.send(self.ending)
            self._process.wait(DEADLINE)
            self._process = None

    def freeze(self) -> None:
        """Suspend it, like a machine that is overloaded or cut off."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        self.send(signal.SIGCONT)

    def remove(self) -> None:
        """Stop it, and remove its files."""
        if self._process is not None:
            self.thaw()
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Server):
    """Redis, which writes its data to disk."""

    package = "redis-server"
    program = "redis-server"
    account = "redis"

    @property
    def url(self) -> str:
        """The URL for redis-py, with short timeouts."""
        return f"redis://127.0.0.1:{self.port}/0?socket_timeout=2&socket_connect_timeout=2"

    def arguments(self) -> list[str]:
        """Write everything to disk at once."""
        return [
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
        ]

    def answers(self) -> bool:
        """Ask it: it accepts connections before it has read its data."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
        except OSError:
            return False


class Postgres(Server):
    """PostgreSQL."""

    package = "postgresql"
    program = "postgres"
    account = "postgres"
    ending: ClassVar[signal.Signals] = signal.SIGINT  # does not wait for its clients to leave

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy."""
        return f"postgresql+psycopg://foxy@127.0.0.1:{self.port}/postgres?connect_timeout=2"

    def prepare(self) -> None:
        """Create its files."""
        initdb = str(Path(self.found).resolve().with_name("initdb"))
        self.run(initdb, "--pgdata", "data", "--username", "foxy", "--auth", "trust", "--no-sync", "--encoding", "UTF8")

    def arguments(self) -> list[str]:
        """Listen on the port only, and be fast."""
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        return ["-D", "data", *(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))]

    def answers(self) -> bool:
        """Ask it: it accepts connections while it is still starting."""
        import psycopg

        try:
            psycopg.connect(f"postgresql://foxy@127.0.0.1:{self.port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def send(self, number: signal.Signals) -> None:
        """Suspend and resume the processes that serve clients too."""
        super().send(number)
        if number in {signal.SIGSTOP, signal.SIGCONT}:
            assert self._process is not None
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
            for child in children.split():
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(int(child), number)


class MariaDB(Server):
    """MariaDB."""

    package = "mariadb-server"
    program = "mariadbd"
    account = "mysql"

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy; without TLS, for which PyMySQL would load certificates each time."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/mysql?connect_timeout=2&ssl_disabled=true"

    def prepare(self) -> None:
        """Create its files."""
        install = shutil.which("mariadb-install-db") or "mariadb-install-db"
        self.run(
            install,
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--tmpdir={self.folder}",  # in a common one, a server removes the files of another
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        )

    def arguments(self) -> list[str]:
        """Listen on the port only, and be fast."""
        return [
            *("--no-defaults", f"--datadir={self.folder}/data", f"--socket={self.folder}/socket"),
            f"--tmpdir={self.folder}",
            *("--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--performance-schema=OFF"),
        ]


KINDS: dict[str, type[Server]] = {"redis": Redis, "postgres": Postgres, "mysql": MariaDB}


def running(name: str) -> Iterator[Server]:
    """Run a server of a kind for the time of a fixture, which yields from this."""
    server = KINDS[name]()
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.remove()


def _account(name: str) -> str | None:
    for account in (name, "nobody"):
        try:
            return pwd.getpwnam(account).pw_name
        except KeyError:
            continue
    return None
