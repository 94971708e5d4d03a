"""What the user pastes."""

from __future__ import annotations

import os
import sys
from threading import Thread

from foxy_auth.cli.login._answers import Happenings, Notice, Pasted

# Terminals put these around what is pasted, if a program before this one has asked for it.
BRACKETS = ("\x1b[200~", "\x1b[201~")


def read_lines(happenings: Happenings) -> None:
    """Report the lines of the standard input, terminal or pipe, as they come."""
    Thread(target=_read, args=(happenings,), name="foxy-auth-input", daemon=True).start()


def _read(happenings: Happenings) -> None:
    # Not through sys.stdin: Python cannot end while a thread waits in there.
    line = b""
    while chunk := _chunk():
        *lines, line = (line + chunk).split(b"\n")
        for each in lines:
            happenings.put(Pasted(_tidy(each)))
    happenings.put(Pasted(_tidy(line)))
    happenings.put(Notice.INPUT_ENDED)


def _chunk() -> bytes:
    try:
        return os.read(sys.stdin.fileno(), 65536)
    except (AttributeError, OSError, ValueError):  # there is no input, or it was closed
        return b""


def _tidy(line: bytes) -> str:
    text = line.decode(errors="replace")
    for bracket in BRACKETS:
        text = text.replace(bracket, "")
    return text.strip().strip("\"'<>")
