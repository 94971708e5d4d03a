"""Bodies of a few kilobytes that stand for many megabytes, and what they may cost."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = bytes(2**20)
MOST_MEMORY = 24 * 2**20  # bytes that a bomb may cost here, where the server is counted too; 64 MiB are promised


def packed(blocks: int, window: int) -> bytes:
    """Return that many blocks of zeros, compressed; they are compressed once, and repeated."""
    packer = zlib.compressobj(9, wbits=window)
    first = packer.compress(BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (blocks - 1)


BOMBS = {
    "gzip": packed(40, 31),
    "x-gzip": packed(40, 31),
    "deflate": packed(40, 15),
    "Deflate": packed(40, -15),
    "gzip, gzip": gzip.compress(packed(128, 31)),
    "deflate,gzip": gzip.compress(packed(128, 15)),
    "gzip, gzip, gzip": gzip.compress(gzip.compress(packed(128, 31))),
}


@contextmanager
def little_memory() -> Iterator[None]:
    """Fail if what is done within takes much memory."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY
