"""The contract's fixtures: every client, and a grant that it uses."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from clients.drivers import LIBRARIES
from clients.grants import make_auth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.drivers import Client, Library

    from foxy_auth import FoxyAuth, Token
    from foxy_auth.emulator import Emulator


# Files that are about certain libraries are for where these are installed: niquests is not, beside requests.
FILES = {
    "test_httpx.py": ["httpx", "httpx2", "requests"],
    "test_mocks.py": ["httpx", "httpx2", "pytest_httpx", "pytest_httpx2", "requests_mock", "responses", "respx"],
    "test_niquests.py": ["niquests"],
    "test_requests.py": ["requests"],
}
collect_ignore = [file for file, needed in FILES.items() if not all(map(find_spec, needed))]


@pytest.fixture(params=LIBRARIES, ids=str)
def library(request: pytest.FixtureRequest) -> Library:
    """Give each library, in each of its colours."""
    library: Library = request.param
    return library


@pytest.fixture
def client(library: Library, foxy: Emulator) -> Iterator[Client]:
    """Give an open client; it closes before the emulator does."""
    with library.open() as client:
        yield client


@pytest.fixture
def saved() -> list[Token]:
    """Collect what `on_token` is given."""
    return []


@pytest.fixture
def auth(foxy: Emulator, saved: list[Token]) -> FoxyAuth:
    """Give an auth object with a fresh token, whose refresh tokens serve once."""
    foxy.rotate_refresh_tokens = True
    return make_auth(foxy, on_token=saved.append)
