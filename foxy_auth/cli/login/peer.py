"""Who is at the other end of a connection from this machine."""

from __future__ import annotations

import sys
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from socket import socket

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")  # Linux


def user_of(connection: socket) -> int | None:
    """
    Return the id of the user whose program is at the other end of *connection*; None if the system does not tell.

    Raises:
        OSError: That end was closed, and so belongs to nobody.
    """
    rows = [row.split() for table in TABLES for row in _read(table)]
    # After the tables were read: these fail if the connection has been reset, and then its rows may be gone.
    client_end, server_end = _in_table(*connection.getpeername()[:2]), _in_table(*connection.getsockname()[:2])
    for _, local, remote, _, _, _, _, user, _, inode, *_ in rows:
        # An IPv4 address is the end of its IPv6 form.
        if local.endswith(client_end) and remote.endswith(server_end):
            if inode == "0":
                raise ConnectionAbortedError("the other end was closed")
            return int(user)
    return None


def _read(table: str) -> list[str]:
    """Return the rows of a table; none if the system does not have it."""
    with suppress(OSError):
        return Path(table).read_text(encoding="ascii").splitlines()[1:]
    return []


def _in_table(host: str, port: int) -> str:
    """Return an address as the tables show it: words of 32 bits in the order of the machine."""
    packed = ip_address(host).packed
    words = (int.from_bytes(packed[start : start + 4], sys.byteorder) for start in range(0, len(packed), 4))
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"
