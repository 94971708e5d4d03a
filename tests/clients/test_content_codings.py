"""R15, R17: a coded 401 is read as far as that costs little, and the caller can read it as always."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from clients.drivers import INSTALLED, every_library
from support.bombs import BOMBS, little_memory

if TYPE_CHECKING:
    from clients.drivers import Client, Library

    from foxy_auth import FoxyAuth
    from foxy_auth.emulator import Emulator

NOT_ALLOWED = json.dumps({"error": "insufficient_scope", "error_description": "not for this store"}).encode()
OTHER_CAUSE = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
two_bombs = pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])


def refuse(foxy: Emulator, coding: str, body: bytes, **headers: str) -> None:
    """Answer the next request with a coded 401."""
    foxy.fail(401, body=body, headers={"Content-Encoding": coding, **headers}, path=foxy.store_url)


@pytest.fixture(autouse=True)
def loaded(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """Load what is loaded once: it does not count."""
    foxy.revoke_access_tokens()
    assert client.get(foxy.store_url, auth=auth).status == 200


@every_library
@two_bombs
def test_a_bomb_leads_to_a_retry(client: Client, auth: FoxyAuth, foxy: Emulator, coding: str) -> None:
    """R15, R17: a 401 of a few kilobytes that stand for many megabytes costs little, and blames the token."""
    for _ in range(2):
        refuse(foxy, coding, BOMBS[coding])
        with little_memory():
            assert client.get(foxy.store_url, auth=auth).status == 200


@every_library
@two_bombs
def test_a_bomb_costs_little_if_nobody_reads_it(client: Client, auth: FoxyAuth, foxy: Emulator, coding: str) -> None:
    """R17: such a 401 costs a caller little who streams, whether it is retried or returned."""
    refuse(foxy, coding, BOMBS[coding], **OTHER_CAUSE)
    refuse(foxy, coding, BOMBS[coding])
    statuses = []
    with little_memory():
        for _ in range(2):
            with client.stream("GET", foxy.store_url, auth=auth) as stream:
                statuses.append(stream.status)

    assert statuses == [401, 200]


@pytest.mark.parametrize("coding", list(BOMBS))
def test_a_bomb_is_returned_as_it_came(client: Client, auth: FoxyAuth, foxy: Emulator, coding: str) -> None:
    """R17: where such a 401 is returned, the caller gets its body undecoded."""
    refuse(foxy, coding, BOMBS[coding], **OTHER_CAUSE)
    with little_memory():
        response = client.get(foxy.store_url, auth=auth)

    assert (response.status, "content-encoding" in response.headers) == (401, False)
    assert response.body == BOMBS[coding]


@every_library
def test_a_stacked_bomb_after_the_retry_is_returned_as_it_came(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: a stacked coding is undone in no 401, also if the retry is refused like that."""
    for _ in range(2):
        refuse(foxy, "gzip, gzip", BOMBS["gzip, gzip"])
    with little_memory():
        response = client.get(foxy.store_url, auth=auth)

    assert (response.status, response.body) == (401, BOMBS["gzip, gzip"])


@every_library
def test_a_bomb_of_several_members_is_returned_as_it_came(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: the members of gzip count together (RFC 1952, section 2.2), for some libraries decode them all."""
    body = gzip.compress(b"{}") + BOMBS["gzip"]
    refuse(foxy, "gzip", body, **OTHER_CAUSE)
    with little_memory():
        response = client.get(foxy.store_url, auth=auth)

    assert (response.status, response.body) == (401, body)


@every_library
def test_a_cause_in_several_members_is_read(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R15: as in one; what is no gzip after them is ignored, as the libraries do."""
    before = len(foxy.token_calls)
    refuse(foxy, "gzip", gzip.compress(NOT_ALLOWED[:9]) + gzip.compress(NOT_ALLOWED[9:]) + b"and more")

    assert client.get(foxy.store_url, auth=auth).status == 401
    assert len(foxy.token_calls) == before


@every_library
@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
def test_the_cause_in_a_coded_401_is_read(client: Client, auth: FoxyAuth, foxy: Emulator, coding: str) -> None:
    """R15: a coded 401 that names another cause than the token is returned, and the caller reads it as always."""
    packed = {"gzip": gzip.compress(NOT_ALLOWED), "deflate": zlib.compress(NOT_ALLOWED)}.get(coding, NOT_ALLOWED)
    before = len(foxy.token_calls)
    refuse(foxy, coding, packed)
    response = client.get(foxy.store_url, auth=auth)
    refuse(foxy, coding, packed)
    with client.stream("GET", foxy.store_url, auth=auth) as stream:
        pieces = b"".join(stream.pieces)

    assert (response.status, response.body, response.headers["content-encoding"]) == (401, NOT_ALLOWED, coding)
    assert (stream.status, pieces, len(foxy.token_calls)) == (401, NOT_ALLOWED, before)


@every_library
def test_what_only_the_client_can_decode_is_left_to_it(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: a 401 in a coding that we do not know is returned as it came; here the client does not know it either."""
    refuse(foxy, "compress", b"compressed", **OTHER_CAUSE)
    response = client.get(foxy.store_url, auth=auth)

    assert (response.status, response.body) == (401, b"compressed")
    assert response.headers["content-encoding"] == "compress"


@every_library
def test_what_is_history_is_not_decoded(client: Client, auth: FoxyAuth, foxy: Emulator, library: Library) -> None:
    """R17: httpx reads a refused response; if we do not know how long it becomes, it does not decode it."""
    refuse(foxy, "compress", b"compressed")
    response = client.get(foxy.store_url, auth=auth)
    [refused] = response.response.history

    assert (response.status, refused.status_code, refused.content) == (200, 401, b"compressed")
    assert ("Content-Encoding" in refused.headers) == library.like_requests


@every_library
def test_a_long_401_can_be_read(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: a 401 that becomes longer than what we look at, but not enormous, is decoded for the caller."""
    refuse(foxy, "gzip", gzip.compress(bytes(10**6)), **OTHER_CAUSE)

    assert client.get(foxy.store_url, auth=auth).body == bytes(10**6)


@pytest.mark.parametrize("library", [one for one in INSTALLED if one.like_requests], ids=str, indirect=True)
def test_the_raw_response_can_be_read(client: Client, auth: FoxyAuth, foxy: Emulator) -> None:
    """R17: callers who read `response.raw`, as requests has it, do so after a 401 too."""
    refuse(foxy, "gzip", gzip.compress(NOT_ALLOWED))
    response: Any = client.raw.get(foxy.store_url, auth=auth, stream=True)
    response.raw.decode_content = True

    assert (response.raw.status, response.raw.read()) == (401, NOT_ALLOWED)
