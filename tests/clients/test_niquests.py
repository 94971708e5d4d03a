"""What only niquests can get wrong; it replaces urllib3 under requests, and so is tested in its own environment."""

from __future__ import annotations

import asyncio
import pickle
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from clients.grants import make_auth

if TYPE_CHECKING:
    from foxy_auth import FoxyAuth
    from foxy_auth.emulator import Emulator

niquests: Any = import_module("niquests")  # so that the types are checked where it is not installed, too


@pytest.mark.parametrize("attached", [False, True], ids=["call", "session"])
def test_async_session_is_refused(auth: FoxyAuth, foxy: Emulator, *, attached: bool) -> None:
    """R24: niquests' async session, which would be blocked and its 401s missed, is refused before anything is sent."""

    async def get() -> None:
        async with niquests.AsyncSession() as session:
            session.auth = auth if attached else None
            await session.get(foxy.store_url, **({} if attached else {"auth": auth}))

    with pytest.raises(TypeError, match=r"AsyncSession needs an async auth object.*httpx\.AsyncClient"):
        asyncio.run(get())

    assert foxy.calls == []


def test_session_in_a_thread_beside_a_loop(auth: FoxyAuth, foxy: Emulator) -> None:
    """A sync session in a thread of an async program is not refused."""
    foxy.revoke_access_tokens()

    async def get() -> int:
        with niquests.Session() as session:
            response = await asyncio.to_thread(session.get, foxy.store_url, auth=auth)
            return int(response.status_code)

    assert (asyncio.run(get()), len(foxy.token_calls)) == (200, 1)


def test_multiplexed_requests_are_retried(auth: FoxyAuth, foxy: Emulator) -> None:
    """R8: requests whose responses are gathered later lead to one refresh and a retry each, as others do."""
    foxy.revoke_access_tokens()
    with niquests.Session(multiplexed=True) as session:
        responses = [session.get(foxy.store_url, auth=auth) for _ in range(3)]
        session.gather()
        statuses = [response.status_code for response in responses]

    assert (statuses, len(foxy.token_calls)) == ([200] * 3, 1)


def test_hook_is_called_once(auth: FoxyAuth, foxy: Emulator) -> None:
    """R7: a failed refresh is one token request, though niquests calls hooks that raise a TypeError twice."""
    foxy.revoke_access_tokens()
    foxy.fail(400, body={"error": "invalid_client"}, times=2)
    with niquests.Session() as session, pytest.raises(niquests.RequestException):
        session.get(foxy.store_url, auth=auth)

    assert len(foxy.token_calls) == 1


def test_users_hooks_see_the_response_to_the_retry(auth: FoxyAuth, foxy: Emulator) -> None:
    """R18: a user's hook sees the response to the retry."""
    seen: list[int] = []
    foxy.revoke_access_tokens()
    with niquests.Session() as session:
        hooks = {"response": lambda response, **_: seen.append(response.status_code)}
        session.get(foxy.store_url, auth=auth, hooks=hooks)

    assert seen == [200]


def test_pickled_session_still_serves(foxy: Emulator) -> None:
    """R21: a session with an auth object can be pickled."""
    with niquests.Session() as session:
        session.auth = make_auth(foxy)
        pickled = pickle.dumps(session)
    with pickle.loads(pickled) as again:  # noqa: S301 - our own
        foxy.revoke_access_tokens()
        status = again.get(foxy.store_url).status_code

    assert status == 200
