"""Other users of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

NOBODY = 65534
needs_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can play other users of this machine"
)


def run_as_nobody(script: str, *arguments: object) -> int:
    """Run a shell script as the user `nobody`, in a process of its own; return its exit status."""
    command = ["/bin/sh", "-c", script, "attacker", *map(str, arguments)]
    return subprocess.run(
        command, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", timeout=30, check=False, capture_output=True
    ).returncode


@contextmanager
def acting_as_nobody() -> Generator[None]:
    """Let this process act with the rights of the user `nobody`."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def open_folder(mode: int = 0o755) -> Generator[Path]:
    """Make a folder that other users can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(mode)
        yield folder
