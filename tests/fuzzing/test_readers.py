"""The readers of what comes from outside give a value or a documented error, in bounded time and memory."""

from __future__ import annotations

import tracemalloc
from time import process_time
from typing import TYPE_CHECKING

import pytest
from fuzzing.command import NAMES
from fuzzing.inputs import inputs
from fuzzing.readers import READERS
from hypothesis import given, settings
from hypothesis import strategies as st
from support.properties import PROPERTY

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

LONG = 2**16  # bytes; the longest of most readers
SECONDS = 2.0  # of the processor, for such an input
MEMORY_PER_BYTE = 50  # bytes, for such an input; the narrowest JSON objects in each other take 37
# What a long input is made of.
UNITS = (
    *(b"[", b'{"a":', b"\\ud800", b"9", b"[],", b'{"":{}},', b'a",'),
    *(b"&code=", b"%25", b"=,", b" ", b" error=", b"?/", b"@"),
)


def test_names() -> None:
    """The command offers every reader."""
    assert set(NAMES) == set(READERS)


@pytest.mark.parametrize("name", NAMES)
@settings(PROPERTY, max_examples=50)
@given(data=st.data())
def test_odd_input(name: str, data: DataObject) -> None:
    """Whatever comes is read, or is a documented error."""
    READERS[name].read(data.draw(inputs(READERS[name])))


@pytest.mark.parametrize("name", NAMES)
@settings(PROPERTY, max_examples=10)
@given(data=st.data())
def test_long_input(name: str, data: DataObject) -> None:
    """A long input takes neither long nor much memory, whatever it repeats and wherever."""
    reader = READERS[name]
    seed, unit = data.draw(st.sampled_from(reader.seeds)), data.draw(st.sampled_from(UNITS))
    place = data.draw(st.integers(0, len(seed)))
    long = seed[:place] + unit * ((min(LONG, reader.limit) - len(seed)) // len(unit)) + seed[place:]

    tracemalloc.start()
    try:
        begun = process_time()
        reader.read(long)
        seconds = process_time() - begun
        _, memory = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seconds < SECONDS
    assert memory < MEMORY_PER_BYTE * LONG


def test_limits() -> None:
    """No input is so long that reading it takes 64 MiB."""
    assert max(reader.limit for reader in READERS.values()) * MEMORY_PER_BYTE < 2**26
