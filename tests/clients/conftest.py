"""The fixtures of all clients' tests: a client, and a grant that it uses."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from clients.drivers import MAIN
from clients.grants import make_auth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clients.drivers import Client, Library

    from foxy_auth import FoxyAuth, Token
    from foxy_auth.emulator import Emulator


# Some files need certain libraries; niquests is not installed beside requests.
FILES = {
    "test_http2.py": ["h2"],
    "test_fresh_request.py": ["httpx", "requests", "trio"],
    "test_isinstance.py": ["httpx", "httpx2", "requests"],
    "test_httpx.py": ["httpx", "httpx2", "requests"],
    "test_mocks.py": ["httpx", "httpx2", "pytest_httpx", "pytest_httpx2", "requests_mock", "responses", "respx"],
    "test_niquests.py": ["niquests"],
    "test_requests.py": ["requests"],
}
collect_ignore = [file for file, needed in FILES.items() if not all(map(find_spec, needed))]


@pytest.fixture(params=MAIN, ids=str)
def library(request: pytest.FixtureRequest) -> Library:
    """Give one library after the other."""
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
    """Give an auth object with a fresh token, whose refresh tokens are rotated."""
    foxy.rotate_refresh_tokens = True
    return make_auth(foxy, on_token=saved.append)


@pytest.fixture
def netrc(clean_environment: Path) -> None:
    """Leave a password for the emulator's host in the home folder."""
    file = clean_environment / ".netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n")
    file.chmod(0o600)
