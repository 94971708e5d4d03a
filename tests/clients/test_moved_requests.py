"""R1: a request that is given another address after it was signed takes its token there, and that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clients.drivers import INSTALLED, every_library
from clients.grants import aged, make_auth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.drivers import Library

    from foxy_auth import FoxyAuth
    from foxy_auth.emulator import Emulator

MOVED = r"was moved to 127\.0\.0\.1:\d+ after it was signed, and took its token there"


@pytest.fixture(params=[3600.0, -1.0], ids=["fresh", "expired"])
def auth(request: pytest.FixtureRequest, foxy: Emulator) -> FoxyAuth:
    """Give an auth object."""
    return make_auth(foxy, token=aged(foxy.grant(), left=request.param))


@pytest.fixture
def moving(library: Library, foxy: Emulator) -> Iterator[Any]:
    """Give a client that moves requests elsewhere when they are signed already."""

    def moved(url: str) -> str:
        return url.replace(foxy.url, foxy.elsewhere.url)

    def move(request: Any) -> None:
        request.url = library.module.URL(moved(str(request.url)))
        request.headers["Host"] = request.url.netloc.decode()

    with library.open() as client:
        if library.like_requests:

            class Adapter(library.module.adapters.HTTPAdapter):  # type: ignore[misc,name-defined]
                def send(self, request: Any, *args: Any, **options: Any) -> Any:
                    request.url = moved(request.url)
                    return super().send(request, *args, **options)

            client.raw.mount("http://", Adapter())
        elif library.backend:

            async def amove(request: Any) -> None:
                move(request)

            client.raw.event_hooks = {"request": [amove]}
        else:
            client.raw.event_hooks = {"request": [move]}

        yield client


@every_library
def test_a_request_that_is_moved(moving: Any, auth: FoxyAuth, foxy: Emulator) -> None:
    """R1, R24: hooks and adapters that give a signed request another address are told by an error."""
    with pytest.raises(ValueError, match=MOVED):
        moving.get(foxy.store_url, auth=auth)

    assert len(foxy.elsewhere.calls) == 1
    assert foxy.api_calls == []


@every_library
def test_a_request_that_is_moved_within_the_environment(library: Library, moving: Any, foxy: Emulator) -> None:
    """R1: an origin that the environment names may be moved to."""
    environment = foxy.environment.replace(origins=[foxy.elsewhere.url])

    assert moving.get(foxy.store_url, auth=make_auth(foxy, environment=environment)).status == 200


@pytest.mark.parametrize("library", [one for one in INSTALLED if one.like_requests], ids=str, indirect=True)
def test_a_prepared_request_that_is_moved(library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R1, R24: the same holds for a prepared request that is given another address."""
    with library.module.Session() as session:
        prepared = session.prepare_request(library.module.Request("GET", foxy.store_url, auth=auth))
        prepared.url = f"{foxy.elsewhere.url}/spy"
        with pytest.raises(ValueError, match=MOVED):
            session.send(prepared)


@every_library
def test_a_request_that_is_moved_without_its_token(library: Library, foxy: Emulator, moving: Any) -> None:
    """R1: what was not signed is left alone."""
    assert moving.get(foxy.store_url).status == 200
