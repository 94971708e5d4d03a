"""What the programs of the manual load first: only what the page installs is there, and no way out of this machine."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

LOOPBACK = {"127.0.0.1", "::1", "localhost", "", None}
ABSENT = set(os.environ.get("FOXY_TEST_ABSENT", "").split())


class Installed(PathFinder):
    """Finds what the page tells its reader to install, and nothing else that happens to be here."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Pass over what is absent."""
        if fullname.partition(".")[0] in ABSENT:
            return None
        return super().find_spec(fullname, path, target)


def stay_inside(event: str, args: tuple[Any, ...]) -> None:
    """Refuse what would leave this machine."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    if (host.decode() if isinstance(host, bytes) else host) not in LOOPBACK:
        raise RuntimeError(f"a page asked for {host!r}: its code runs on loopback")


sys.meta_path[:] = [Installed if finder is PathFinder else finder for finder in sys.meta_path]
sys.addaudithook(stay_inside)
