"""The body of a request, counted while it is read."""

from __future__ import annotations

import hashlib
import io
from typing import IO, TYPE_CHECKING

from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

_DRAIN_LIMIT = 256 * 1024 * 1024  # bytes of an unwanted body that are read before the answer
_BLOCK = 65_536


class CountedBody(io.RawIOBase):
    """Pass a request's body on and keep count of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        """Count what is read from *stream*."""
        super().__init__()
        self._stream = stream
        self._digest = hashlib.sha256()
        self.length = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was read, as hexadecimal digits."""
        return self._digest.hexdigest()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read once; 0 bytes are the end."""
        room = memoryview(buffer)
        block = self._stream.read(len(room))
        room[: len(block)] = block
        self._digest.update(block)
        self.length += len(block)
        return len(block)

    def read_up_to(self, limit: int) -> bytes:
        """Read all there is, or about *limit* bytes; a client that goes away in mid-body has sent all it will."""
        return b"".join(self._blocks(limit))

    def drain(self) -> None:
        """
        Read what the application left, up to a bound.

        A client that is still sending reads no answer, and closing on it would make its kernel throw the answer away.
        """
        for _ in self._blocks(_DRAIN_LIMIT):
            pass

    def _blocks(self, limit: int) -> Iterator[bytes]:
        limit += self.length
        try:
            while self.length < limit and (block := self.read(_BLOCK)):
                yield block
        except (OSError, HTTPException):
            return
