"""Start the user's browser."""

from __future__ import annotations

import subprocess
import sys
from threading import Thread

from foxy_auth.cli.login._answers import Happenings, Notice

# In a process of its own: some browsers end only when they are closed, and some are talkative.
# Isolated, lest a file `webbrowser.py` in the current folder be run.
PROGRAM = ["-I", "-c", "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"]


def open_browser(url: str, happenings: Happenings) -> None:
    """Try to open *url*, and report if it does not go; that it went, nobody can be sure of."""
    Thread(target=_open, args=(url, happenings), name="foxy-auth-browser", daemon=True).start()


def _open(url: str, happenings: Happenings) -> None:
    silence = subprocess.DEVNULL
    try:
        ended = subprocess.run(  # noqa: S603 - Python itself, with a URL of ours
            [sys.executable, *PROGRAM, url],
            stdin=silence,
            stdout=silence,
            stderr=silence,
            start_new_session=True,  # so that Ctrl-C does not end the browser
            check=False,
        )
    except OSError:
        happenings.put(Notice.NO_BROWSER)
        return
    if ended.returncode:
        happenings.put(Notice.NO_BROWSER)
