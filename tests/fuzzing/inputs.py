"""Inputs for a reader, for hypothesis: a seed with a few edits."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from fuzzing.readers import Reader

# What means something to one of the readers.
TOKENS = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"&", b"=", b"?", b"#", b"%", b"/", b"@", b"\n", b"\0", b" "),
    *(b"null", b"true", b"NaN", b"-1", b"1e999", b"\\ud800", b"%00", b"%ff", b"\xff\xfe", b"\xef\xbb\xbf", b"9" * 400),
    *(b"error", b"code", b"state", b"_links", b"_embedded", b"fx:errors", b"message", b"href", b"localhost", b"[::1]"),
)


def inputs(reader: Reader) -> st.SearchStrategy[bytes]:
    """Return inputs for *reader*."""
    pieces = st.sampled_from(TOKENS) | st.binary(max_size=4)
    edits = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 8), pieces), max_size=6)
    return st.builds(_edited, st.sampled_from(reader.seeds), edits)


def _edited(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Replace some bytes at each place."""
    return reduce(lambda data, edit: data[: edit[0]] + edit[2] + data[edit[0] + edit[1] :], edits, seed)
