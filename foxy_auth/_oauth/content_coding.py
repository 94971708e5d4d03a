"""
Content codings (RFC 9110, section 8.4): bodies are decoded by ourselves, and no further than to a limit.

The client libraries decode what comes, and a few hundred bytes may stand for gigabytes.
"""

from __future__ import annotations

import zlib
from contextlib import suppress

# By names of codings, what zlib may find at the beginning: a header of gzip or zlib; or, as some servers send, none.
HEADERS = (32 + zlib.MAX_WBITS,)
WINDOWS = {"gzip": HEADERS, "x-gzip": HEADERS, "deflate": (*HEADERS, -zlib.MAX_WBITS)}


def decode(body: bytes, coding: str, limit: int) -> bytes:
    """
    Decode *body*.

    Args:
        body: The body, or its beginning.

        coding: The header `Content-Encoding`, or an empty text.

        limit: The most bytes that the decoded body may have.

    Raises:
        ValueError: The body is longer, or not coded as it says; or the coding is another than gzip and deflate, or is
            several.
    """
    name = coding.strip().lower()
    if name not in {"", "identity"}:
        if name not in WINDOWS:
            raise ValueError("its content coding is neither gzip nor deflate")
        body = _inflate(body, WINDOWS[name], limit)
    if len(body) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    return body


def is_stacked(coding: str) -> bool:
    """Tell whether *coding* is several, whose sizes multiply."""
    return "," in coding


def is_unknown(coding: str) -> bool:
    """Tell whether *coding* is one, but none that can be decoded here."""
    return not is_stacked(coding) and coding.strip().lower() not in {"", "identity", *WINDOWS}


def _inflate(body: bytes, windows: tuple[int, ...], limit: int) -> bytes:
    """Decompress all members of *body*, one byte beyond *limit* at most, in the first way that fits the first one."""
    for window in windows:
        decoded, is_decoded = bytearray(), False
        with suppress(zlib.error):  # also of what follows the last member
            while body and len(decoded) <= limit:
                member = zlib.decompressobj(window)
                decoded += member.decompress(body, limit + 1 - len(decoded))
                body, is_decoded = member.unused_data, True
        if is_decoded:
            return bytes(decoded)
    raise ValueError("it is not coded as it says")
