"""A client of the emulator whose token the command line keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from foxy_auth.cli.profiles import token_path
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from foxy_auth.emulator import Emulator


@pytest.fixture
def variables(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables of the emulator's client."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FOXY_API_CLIENT_ID", foxy.client_id)
    monkeypatch.setenv("FOXY_API_CLIENT_SECRET", foxy.client_secret)
    monkeypatch.setenv("FOXY_API_URL", foxy.url)


@pytest.fixture
def store(foxy: Emulator, variables: None) -> FileStore:
    """Give the store that is used by default, with a token of the emulator."""
    store = FileStore(token_path("default", foxy.client_id))
    store.save(foxy.grant())
    return store
