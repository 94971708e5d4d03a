"""`MemoryStore`."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

import pytest

from foxy_auth.stores import MemoryStore
from foxy_auth.testing import TOKEN, MakeStore, StoreContract, in_fork

NEWER = replace(TOKEN, access_token="made-up-newer")


class TestContract(StoreContract):
    """What every store must do."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Make the stores of one store's keys."""
        return MemoryStore().for_key


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_copies_are_independent() -> None:
    """R21: A forked child and a pickle have a copy, whose lock is free although the original's is held."""
    store = MemoryStore(TOKEN)

    def save(copy: MemoryStore) -> bool:
        with copy.lock(1.0):
            copy.save(NEWER)
        return copy.load() == NEWER

    with store.lock(1.0):
        forked = in_fork(lambda: save(store))
        pickled = save(pickle.loads(pickle.dumps(store)))  # noqa: S301 - our own

    assert (forked, pickled, store.load()) == ((0, "True"), True, TOKEN)
