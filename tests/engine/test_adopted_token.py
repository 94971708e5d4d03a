"""A token that was adopted, from the store or from another caller, and is refused too, leads to a token request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clients.drivers import INSTALLED

from foxy_auth import FoxyAuth
from foxy_auth.stores import FileStore, MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from clients.drivers import Library

    from foxy_auth.emulator import Emulator
    from foxy_auth.stores import TokenStore

SENDS = 3  # of one request, at most

libraries = pytest.mark.parametrize("library", [one for one in INSTALLED if one.name != "httpx2"], ids=str)


def make_store(kind: str, folder: Path) -> TokenStore:
    """Make an empty store."""
    return MemoryStore() if kind == "MemoryStore" else FileStore(folder / "token")


def auth_behind(foxy: Emulator, store: TokenStore) -> FoxyAuth:
    """Return an object with an older token than *store*; both tokens are revoked."""
    behind = foxy.grant()
    store.save(foxy.client.refresh_token(behind))
    foxy.revoke_access_tokens()
    foxy.clear_calls()
    return FoxyAuth(
        client_id=foxy.client_id,
        client_secret=foxy.client_secret,
        token=behind,
        store=store,
        environment=foxy.environment,
    )


@libraries
@pytest.mark.parametrize("rotate", [False, True], ids=["kept", "rotated"])
@pytest.mark.parametrize("kind", ["MemoryStore", "FileStore"])
def test_the_stores_token_is_refused_too(
    foxy: Emulator,
    tmp_path: Path,
    library: Library,
    kind: str,
    rotate: bool,  # noqa: FBT001
) -> None:
    """R15: An object whose token is older than its store's, both revoked, makes one token request and gets a 200."""
    foxy.rotate_refresh_tokens = rotate
    store = make_store(kind, tmp_path)
    auth = auth_behind(foxy, store)
    stored = store.load()
    with library.open() as client:
        status = client.get(foxy.store_url, auth=auth).status
    sent = [call.access_token for call in foxy.api_calls]

    assert status == 200
    assert [call.form["refresh_token"] for call in foxy.token_calls] == [stored and stored.refresh_token]
    assert len(sent) <= SENDS
    assert auth.token == store.load()
    assert sent[-1] == (auth.token and auth.token.access_token)


@libraries
def test_every_token_is_refused(foxy: Emulator, library: Library) -> None:
    """R15: If the new token is refused as well, the 401 is returned, after one token request and three sends."""
    auth = auth_behind(foxy, MemoryStore())
    foxy.fail(401, body={"error": "invalid_token"}, times=10, path=foxy.store_url)
    with library.open() as client:
        status = client.get(foxy.store_url, auth=auth).status

    assert status == 401
    assert len(foxy.token_calls) == 1
    assert len(foxy.api_calls) <= SENDS


@libraries
def test_another_callers_token_is_refused_too(foxy: Emulator, library: Library) -> None:
    """R8, R15: A request whose token was replaced meanwhile by another revoked one gets a new token and a 200."""
    auth = FoxyAuth(
        client_id=foxy.client_id, client_secret=foxy.client_secret, token=foxy.grant(), environment=foxy.environment
    )
    with library.open() as client, foxy.hold(foxy.store_url) as latch:
        behind = client.start("GET", foxy.store_url, auth=auth)
        latch.wait_for(1)
        auth.refresh()
        foxy.revoke_access_tokens()
        latch.release()
        status = behind.result(15.0).status

    assert status == 200
    assert len(foxy.token_calls) == 2
    assert len(foxy.api_calls) <= SENDS
