"""What the programs of the manual do besides running the Python of their page."""

from __future__ import annotations

import atexit
import io
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SHELL = "/bin/sh"
CREDENTIALS = {"FOXY_API_CLIENT_ID", "FOXY_API_CLIENT_SECRET", "FOXY_API_REFRESH_TOKEN", "FOXY_API_URL"}


class Printed(io.StringIO):
    """Remembers what the page prints."""

    def write(self, text: str) -> int:
        """Print it, too."""
        sys.__stdout__ and sys.__stdout__.write(text)
        return super().write(text)


printed = sys.stdout = Printed()


def write(name: str, text: str) -> None:
    """Write a file, and see whether Python's own can be compiled."""
    if name.endswith(".py"):
        compile(text, name, "exec")
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, "utf-8")


def run(code: str) -> None:
    """Run a shell block, but for what would install packages: everything is there already."""
    ran = subprocess.run([SHELL, "-eu", "-c", _without_installs(code)], stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(ran.stdout)
    if ran.returncode:
        sys.exit(f"exit status {ran.returncode} of:\n{code}")


def start(code: str) -> None:
    """Start a shell block that serves until it is stopped, and take over the credentials that it exports."""
    server = subprocess.Popen(
        [SHELL, "-eu", "-c", f"exec {_without_installs(code).strip()}"], stdout=subprocess.PIPE, text=True
    )
    atexit.register(_stop, server)
    assert server.stdout
    missing = set(CREDENTIALS)
    while missing:
        line = server.stdout.readline() or sys.exit(f"ended early: {code}")
        if found := re.match(r"export (\w+)=(.*)", line):
            os.environ[found[1]] = found[2].strip("'\"\n")
            missing.discard(found[1])


def _stop(server: subprocess.Popen[str]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.communicate(timeout=10)
    server.kill()


def run_pytest(name_and_options: str, code: str) -> None:
    """Write a test module, and run it with pytest."""
    name, *options = name_and_options.split()
    write(name, code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, name]
    plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    if subprocess.run(command, env=plain, check=False).returncode:
        sys.exit(f"pytest failed: {name}")


def do_not_run(reason: str, language: str, code: str) -> None:
    """Look at a block that cannot run here as closely as possible, and say why it does not run."""
    print(f"not run, because {reason}", file=sys.stderr)  # noqa: T201 - read by whoever looks at the test
    if language == "python":
        compile(code, "block", "exec")
    if language == "sh":
        subprocess.run([SHELL, "-n", "-c", code], check=True)


def check_output(expected: str) -> None:
    """See whether the page has printed just that since the last time; `…` stands for any text in a line."""
    shown = printed.getvalue().strip()
    printed.seek(0)
    printed.truncate()
    pattern = re.escape(expected.strip()).replace("…", ".*")
    if not re.search(rf"(?:\A|\n){pattern}\Z", shown):
        sys.exit(f"the page shows\n{expected}\nbut printed\n{shown}")


def _without_installs(code: str) -> str:
    return "\n".join(line for line in code.splitlines() if not re.match(r"(python3? -m )?pip install ", line))
