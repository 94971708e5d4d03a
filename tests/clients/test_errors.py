"""R21 to R24: errors that are the client's too, pickles, secrets, and `http=`."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from clients.drivers import every_library
from clients.grants import find_leaks, make_auth, secrets_of

from foxy_auth import (
    FoxyAuth,
    FoxyAuthError,
    LoginRequiredError,
    StoreError,
    Token,
    TokenRefusedError,
    TokenUnavailableError,
)
from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from clients.drivers import Client, Library

    from foxy_auth.emulator import Emulator

TROUBLES: dict[str, tuple[dict[str, Any], type[FoxyAuthError]]] = {
    "login-required": ({"status": 400, "body": {"error": "invalid_grant"}}, LoginRequiredError),
    "refused": ({"status": 400, "body": {"error": "invalid_client"}}, TokenRefusedError),
    "unavailable": ({"status": 200, "body": "<html>"}, TokenUnavailableError),
}

# --- R22: errors -----------------------------------------------------------------------------------------------------


@every_library
@pytest.mark.parametrize("trouble", TROUBLES)
def test_errors_are_the_clients_too(client: Client, library: Library, foxy: Emulator, trouble: str) -> None:
    """R22, R23: what goes wrong with a token is an error of ours and of the client library; a pickle keeps it so."""
    fault, expected = TROUBLES[trouble]
    token = foxy.grant()
    auth = make_auth(foxy, refresh_token=token.refresh_token)
    foxy.fail(**fault)
    with pytest.raises(library.request_error) as caught:
        client.get(foxy.store_url, auth=auth)
    error: Any = caught.value
    pickled = pickle.dumps(error)
    again = pickle.loads(pickled)  # noqa: S301 - our own

    assert str(error.request.url) == foxy.store_url
    assert isinstance(error, expected)
    assert find_leaks(secrets_of(foxy, token), pickled) == []
    assert (type(again), str(again)) == (type(error), str(error))


@every_library
def test_store_errors_are_the_clients_too(client: Client, library: Library, foxy: Emulator) -> None:
    """R22: so is what goes wrong with the store."""

    class BrokenStore(MemoryStore):
        def load(self) -> Token | None:
            raise OSError

    auth = make_auth(foxy, refresh_token=foxy.grant().refresh_token, store=BrokenStore())
    with pytest.raises(library.request_error, match="the store cannot be read") as caught:
        client.get(foxy.store_url, auth=auth)
    error: Any = caught.value

    assert str(error.request.url) == foxy.store_url
    assert isinstance(error, StoreError)


@every_library
def test_refused_refresh_after_a_401_is_an_error(
    client: Client, library: Library, auth: FoxyAuth, foxy: Emulator
) -> None:
    """R22: where no new token is to be had after a 401, the error that says why is raised instead."""
    foxy.revoke_access_tokens()
    foxy.fail(400, body={"error": "invalid_client", "error_description": "Unknown client"})
    with pytest.raises(library.request_error, match="Unknown client") as caught:
        client.get(foxy.store_url, auth=auth)
    error: Any = caught.value

    assert str(error.request.url) == foxy.store_url
    assert isinstance(error, TokenRefusedError)


def test_network_errors_stay_the_clients_own(client: Client, library: Library, auth: FoxyAuth, foxy: Emulator) -> None:
    """R22: what goes wrong with the request itself is the client's error, and none of ours."""
    foxy.drop(path=foxy.store_url, times=9)
    with pytest.raises(library.request_error) as caught:
        client.get(foxy.store_url, auth=auth)

    assert not isinstance(caught.value, FoxyAuthError)


# --- R21: pickles ----------------------------------------------------------------------------------------------------


@every_library
def test_pickled_response_holds_no_secret(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R21: a response can be pickled, with its history, and no secret goes with it."""
    old = auth.token
    foxy.revoke_access_tokens()
    response = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth)
    pickled = pickle.dumps(response.response)
    again = pickle.loads(pickled)  # noqa: S301 - our own

    assert find_leaks(secrets_of(foxy, old, auth.token), pickled) == []
    assert (again.status_code, again.content) == (response.status, response.body)
    assert tuple(each.status_code for each in again.history) == response.history


@every_library
def test_pickled_redirect_holds_no_secret(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R21: nor does a redirect that is not followed; httpx keeps the request in it that would come next."""
    response = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth, follow_redirects=False)
    pickled = pickle.dumps(response.response)

    assert response.status == 302
    assert find_leaks(secrets_of(foxy, auth.token), pickled) == []


def test_pickled_auth_still_serves(client: Client, foxy: Emulator) -> None:
    """R21: a pickled auth object goes on with the token that it had."""
    again: FoxyAuth = pickle.loads(pickle.dumps(make_auth(foxy)))  # noqa: S301 - our own
    first = client.get(foxy.store_url, auth=again)
    foxy.revoke_access_tokens()

    assert (first.status, client.get(foxy.store_url, auth=again).status, len(foxy.token_calls)) == (200, 200, 1)


# --- R23: secrets ----------------------------------------------------------------------------------------------------


def locals_of_ours(error: BaseException) -> str:
    """Write *error* with the local variables of our frames in its traceback, as error trackers do."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts: list[str] = []
    link: traceback.TracebackException | None = trace
    while link is not None:
        texts += [str(link), *(str(frame.locals) for frame in link.stack if "foxy_auth" in frame.filename)]
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


def echoes(*secrets: str | None) -> list[dict[str, Any]]:
    """List the responses of a token endpoint that repeats *secrets*, which it was sent."""
    said = " ".join(map(str, secrets))
    return [
        {"status": 400, "body": {"error": "invalid_client", "error_description": said}},
        {"status": 400, "body": {"error": said}},
        {"status": 504, "body": {"error": "x", "error_description": said}},
        {"status": 404, "body": {"_embedded": {"fx:errors": [{"message": said}]}}},
        {"status": 200, "body": f"<html>{said}</html>", "content_type": "text/html"},
        {"status": 200, "body": {"access_token": None, "refresh_token": said}},
        {"status": 400, "body": {"error": "invalid_grant", "error_description": said}},
    ]


@every_library
def test_no_secret_is_told(
    client: Client, foxy: Emulator, saved: list[Token], caplog: pytest.LogCaptureFixture
) -> None:
    """R23: no log, error, traceback or text of any object tells a secret, though the endpoint repeats them all."""
    caplog.set_level(logging.DEBUG)
    foxy.rotate_refresh_tokens = True
    first = foxy.grant()
    auth = make_auth(foxy, token=first, on_token=saved.append)
    foxy.revoke_access_tokens()
    response = client.get(f"{foxy.url}/redirect?to={foxy.store_url}", auth=auth).response
    foxy.revoke_access_tokens()
    current = saved[-1]
    secrets = secrets_of(foxy, first, current)
    told: list[object] = [repr(auth), str(auth), repr(vars(auth)), repr(auth.token), str(auth.token), saved]
    for fault in echoes(*secrets_of(foxy), current.refresh_token):
        foxy.fail(**fault)
        with pytest.raises(FoxyAuthError) as caught:
            client.get(foxy.store_url, auth=auth)
        error: Any = caught.value
        told += [repr(error), str(error), error.args, vars(error), locals_of_ours(error)]
    for each in (response, *response.history):
        told += [repr(each), repr(each.request), repr(each.request.headers), each.headers]
    told += [caplog.text, *(vars(record) for record in caplog.records)]

    assert len(foxy.token_calls) == 1 + len(echoes())
    assert find_leaks(secrets, *told) == []


# --- R24: wrong use --------------------------------------------------------------------------------------------------


def test_auth_is_never_falsy(auth: FoxyAuth) -> None:
    """R24: an auth object is true, and no pair, text or mapping, which clients would take for a password."""
    assert bool(auth)
    assert not isinstance(auth, tuple | str | Mapping)


@every_library
def test_client_of_its_own_carries_token_requests(library: Library, foxy: Emulator) -> None:
    """R24: `http=` takes the sync clients, and says of an async one what to give instead."""
    with library.open() as client:
        if library.backend is None:
            auth = make_auth(foxy, http=client.raw)
            foxy.revoke_access_tokens()
            status = client.get(foxy.store_url, auth=auth).status

            assert (status, len(foxy.token_calls)) == (200, 1)
        else:
            with pytest.raises(TypeError, match="synchronous client"):
                make_auth(foxy, http=client.raw)
