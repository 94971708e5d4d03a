"""Ports for programs that are told where to listen."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from random import SystemRandom

# Below those that systems give to connections, one of which could take the port before the program listens.
FIRST, LAST = 10_000, 32_000
# The tests seed the usual generator alike in all processes, which would choose the same ports.
_random = SystemRandom()


def free_port() -> int:
    """Return a port that is free on both loopback addresses."""
    while True:
        port = _random.randint(FIRST, LAST)
        with ExitStack() as opened:
            try:
                for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
                    opened.enter_context(socket.create_server((host, port), family=family))
            except OSError:
                continue
        return port
