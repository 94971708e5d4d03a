"""An emulator that runs in a process of its own, and whose lines a shell takes over."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = 5  # lines for the shell
WITHIN = 30.0  # seconds that anything may take


class Foreground:
    """
    The process; a context manager.

    Attributes:
        lines: What it prints for a shell.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        """Start it, by `python -m` with *arguments*, and wait for its lines."""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=pipe, stderr=pipe, text=True)
        assert self._process.stdout is not None
        self.lines = "".join(self._process.stdout.readline() for _ in range(VARIABLES))
        self._file = folder / "foxy.sh"
        self._file.write_text(self.lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.end(signal.SIGKILL)

    def command(self, code: str) -> list[str]:
        """Return how a shell that has taken over the lines runs *code*."""
        return ["/bin/sh", "-euc", f'. "$0"; {code}', str(self._file)]

    def shell(self, code: str) -> str:
        """Run *code* in such a shell; return what it prints."""
        ran = subprocess.run(self.command(code), capture_output=True, text=True, timeout=WITHIN, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def end(self, by: signal.Signals) -> tuple[int, str]:
        """Send it a signal; return its exit status and what it printed last."""
        self._process.send_signal(by)
        rest, _ = self._process.communicate(timeout=WITHIN)
        return self._process.returncode, rest
