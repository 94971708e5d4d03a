"""`Token`: what it accepts, what it tells, and what it hides."""

from __future__ import annotations

import copy
import json
import pickle
import time
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from foxy_auth.token import Token

ACCESS = "fakeAccess0123456789abcdef0123456789abcd"
REFRESH = "fakeRefresh0123456789abcdef0123456789abc"

# What users of Authlib store (its `OAuth2Token`), and users of requests-oauthlib (oauthlib's `OAuth2Token`).
AUTHLIB = {
    "access_token": ACCESS,
    "expires_in": 7200,
    "token_type": "Bearer",
    "scope": "store_full_access store_id_3200",
    "refresh_token": REFRESH,
    "expires_at": 1_800_007_200,
}
REQUESTS_OAUTHLIB = {
    "access_token": ACCESS,
    "expires_in": 7200,
    "token_type": "Bearer",
    "scope": ["store_full_access", "store_id_3200"],
    "refresh_token": REFRESH,
    "expires_at": 1_800_007_200.25,
}
BARE = {"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 7200}

instants = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**12), 10**12)
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60)
tokens = st.builds(
    Token,
    visible,
    refresh_token=st.none() | visible,
    expires_at=instants,
    obtained_at=instants,
    scope=st.lists(visible, max_size=4).map(" ".join),
    token_type=st.sampled_from(["Bearer", "bearer"]),
)


# --- round trips ---------------------------------------------------------------------------------------------------


@PROPERTY
@given(tokens)
def test_a_token_survives_json_pickle_and_copy(token: Token) -> None:
    """R21: a token is the same after JSON, a pickle and a deep copy."""
    assert token == Token.from_dict(json.loads(json.dumps(token.to_dict())))
    assert token == pickle.loads(pickle.dumps(token)) == copy.deepcopy(token)  # noqa: S301 - our own pickle


def test_the_dict_names_every_field() -> None:
    """The dict has the names of the attributes, so that other programs can read it."""
    token = Token(ACCESS, refresh_token=REFRESH, expires_at=2.5, obtained_at=1.5, scope="a b")

    assert token.to_dict() == {
        "access_token": ACCESS,
        "refresh_token": REFRESH,
        "expires_at": 2.5,
        "obtained_at": 1.5,
        "scope": "a b",
        "token_type": "Bearer",
    }


@pytest.mark.parametrize(
    ("stored", "expires_at"),
    [
        pytest.param(AUTHLIB, 1_800_007_200, id="authlib"),
        pytest.param(REQUESTS_OAUTHLIB, 1_800_007_200.25, id="requests-oauthlib"),
        pytest.param({**AUTHLIB, "expires_at": "1800007200"}, 1_800_007_200, id="an instant as text"),
        pytest.param({**AUTHLIB, "expires_at": None}, None, id="no instant"),
        pytest.param({**AUTHLIB, "expires_at": "2027-01-15T10:00:00Z"}, 1_800_007_200, id="ISO 8601"),
        pytest.param({**AUTHLIB, "expires_at": "2027-01-15 11:00:00.25+01:00"}, 1_800_007_200.25, id="time zone"),
        pytest.param({**AUTHLIB, "expires_at": "2027-01-15T10:00:00"}, 1_800_007_200, id="no time zone"),
        pytest.param({**AUTHLIB, "expires": "2020-01-01T00:00:00Z"}, 1_800_007_200, id="expires_at takes precedence"),
        pytest.param({**BARE, "expires": "2027-01-15T10:00:00+00:00"}, 1_800_007_200, id="expires as ISO 8601"),
        pytest.param({**BARE, "expires_at": None, "expires": 1_800_007_200}, None, id="what we have saved over it"),
        pytest.param({**BARE, "expires": 1_800_007_200}, 1_800_007_200, id="expires as an instant"),
        pytest.param({**BARE, "expires": "7200"}, None, id="expires as a lifetime"),
        pytest.param({**BARE, "access_token_expires": 1_800_007_200}, 1_800_007_200, id="PHP client"),
        pytest.param({**BARE, "access_token_expires": 7200}, None, id="the provider's response"),
        pytest.param({**AUTHLIB, "id_token": "x", "user": {"id": 1}, "scope": None}, 1_800_007_200, id="more fields"),
    ],
)
def test_reads_what_others_have_stored(stored: dict[str, Any], expires_at: float | None) -> None:
    """`from_dict` reads what others store, the expiry as they write it, and ignores unknown fields."""
    token = Token.from_dict(stored)

    assert (token.access_token, token.refresh_token, token.expires_at) == (ACCESS, REFRESH, expires_at)


@pytest.mark.parametrize("absent", [{}, {"refresh_token": None}, {"refresh_token": ""}], ids=repr)
def test_a_grant_without_a_refresh_token(absent: dict[str, Any]) -> None:
    """A refresh token that is missing, None or empty is None."""
    assert Token.from_dict({"access_token": ACCESS, **absent}).refresh_token is None


@pytest.mark.parametrize("stored", [AUTHLIB, REQUESTS_OAUTHLIB], ids=["authlib", "requests-oauthlib"])
def test_reads_scopes_as_text_or_list(stored: dict[str, Any]) -> None:
    """A stored scope may be text or a list."""
    assert Token.from_dict(stored).scopes == {"store_full_access", "store_id_3200"}


def test_a_stored_lifetime_is_ignored() -> None:
    """R4: a stored `expires_in` began at an unknown moment, so the expiry is unknown."""
    token = Token.from_dict({"access_token": ACCESS, "expires_in": 7200})

    assert token.expires_at is None
    assert token.life is None


# --- what it tells -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "scopes", "store_id"),
    [
        pytest.param("", set(), None, id="none"),
        pytest.param("store_full_access store_id_3200", {"store_full_access", "store_id_3200"}, "3200", id="a store"),
        pytest.param(
            "store_id_3200 store_full_access", {"store_full_access", "store_id_3200"}, "3200", id="other order"
        ),
        pytest.param("  user_full_access\tx ", {"user_full_access", "x"}, None, id="whitespace of any kind"),
        pytest.param("client_full_access", {"client_full_access"}, None, id="a client"),
        pytest.param("a a", {"a"}, None, id="twice"),
        pytest.param("store_id_", {"store_id_"}, None, id="a store without a number"),
        pytest.param("store_id_\u0663", {"store_id_\u0663"}, None, id="a number of another script"),
        pytest.param("store_id_\x1b]0;x\x07 store_id_7", {"store_id_\x1b]0;x\x07", "store_id_7"}, "7", id="no number"),
    ],
)
def test_tells_scopes_and_store(scope: str, scopes: set[str], store_id: str | None) -> None:
    """TERM: a token has scopes, in any order, one of which may name its store."""
    token = Token(ACCESS, scope=scope)

    assert token.scopes == scopes
    assert token.store_id == store_id


def test_tells_its_life_and_expiry() -> None:
    """R4: a token is expired from the instant of its expiry on, and never if that is unknown."""
    token = Token(ACCESS, obtained_at=100.0, expires_at=160.0)

    assert token.life == 60.0
    assert [token.expired(now) for now in (159.999, 160.0, 161.0)] == [False, True, True]
    assert not Token(ACCESS).expired(10.0**12)


def test_tells_how_long_it_is_good() -> None:
    """R4: `expires_in` is the seconds that are left, below zero after the expiry, and None if that is unknown."""
    left = Token(ACCESS, expires_at=time.time() + 7200).expires_in
    gone = Token(ACCESS, expires_at=time.time() - 60).expires_in

    assert left is not None
    assert gone is not None
    assert 7190 < left <= 7200
    assert -70 < gone <= -60
    assert Token(ACCESS).expires_in is None


def test_a_token_is_a_value() -> None:
    """R8: tokens compare by value and cannot be changed."""
    token = Token(ACCESS, refresh_token=REFRESH)

    assert token == Token(ACCESS, refresh_token=REFRESH) != replace(token, refresh_token="fakeOther")
    assert len({token, Token(ACCESS, refresh_token=REFRESH)}) == 1
    with pytest.raises(FrozenInstanceError):
        token.access_token = "other"  # type: ignore[misc]


# --- what it hides ---------------------------------------------------------------------------------------


def test_secrets_are_in_no_text() -> None:
    """R23: neither `repr` nor `str` nor a format contains a secret."""
    token = Token(ACCESS, refresh_token=REFRESH, expires_at=2.5, obtained_at=1.5, scope="a")
    shown = "Token(expires_at=2.5, obtained_at=1.5, scope='a', token_type='Bearer')"

    assert {repr(token), str(token), f"{token}", format(token)} == {shown}


# --- what it refuses -----------------------------------------------------------------------------------------------

SECRET = "fake-secret-that-must-not-show"


@pytest.mark.parametrize(
    ("fields", "kind", "named"),
    [
        pytest.param({"access_token": ""}, ValueError, "access_token", id="empty"),
        pytest.param({"access_token": None}, TypeError, "access_token", id="None"),
        pytest.param({"access_token": 5}, TypeError, "access_token", id="a number"),
        pytest.param({"access_token": SECRET.encode()}, TypeError, "access_token", id="bytes"),
        pytest.param({"access_token": f"{SECRET} {SECRET}"}, ValueError, "access_token", id="a space"),
        pytest.param({"access_token": f"{SECRET}\n"}, ValueError, "access_token", id="a newline"),
        pytest.param({"access_token": f"{SECRET}\r\nX: y"}, ValueError, "access_token", id="an injected header"),
        pytest.param({"access_token": f"{SECRET}é"}, ValueError, "access_token", id="not ASCII"),
        pytest.param({"refresh_token": SECRET.encode()}, TypeError, "refresh_token", id="refresh token as bytes"),
        pytest.param({"refresh_token": [SECRET]}, TypeError, "refresh_token", id="refresh token as a list"),
        pytest.param({"refresh_token": []}, TypeError, "refresh_token", id="refresh token as an empty list"),
        pytest.param({"refresh_token": False}, TypeError, "refresh_token", id="refresh token as a boolean"),
        pytest.param({"refresh_token": 0}, TypeError, "refresh_token", id="refresh token as zero"),
        pytest.param({"refresh_token": f"{SECRET}\ud800"}, ValueError, "refresh_token", id="lone surrogate"),
        pytest.param({"expires_at": "soon"}, ValueError, "expires_at", id="expiry as a word"),
        pytest.param({"expires": SECRET}, ValueError, "^expires must .*ISO 8601", id="another expiry as a word"),
        pytest.param({"expires": "Fri, 15 Jan 2027 10:00:00 GMT"}, ValueError, "expires", id="expiry of a cookie"),
        pytest.param({"expires": ["2027-01-15"]}, TypeError, "expires_at", id="another expiry as a list"),
        pytest.param({"expires_at": True}, TypeError, "expires_at", id="expiry as a boolean"),
        pytest.param({"expires_at": float("nan")}, ValueError, "expires_at", id="expiry not a number"),
        pytest.param({"expires_at": "inf"}, ValueError, "expires_at", id="expiry infinite"),
        pytest.param({"expires_at": 10**400}, ValueError, "expires_at", id="expiry beyond every float"),
        pytest.param({"obtained_at": [1]}, TypeError, "obtained_at", id="issue as a list"),
        pytest.param({"token_type": 7}, TypeError, "token_type", id="type as a number"),
        pytest.param({"token_type": SECRET}, ValueError, "token_type", id="another type"),
        pytest.param({"token_type": "Bearer mac"}, ValueError, "token_type", id="two types"),
    ],
)
def test_refuses_bad_fields(fields: dict[str, Any], kind: type[Exception], named: str) -> None:
    """R23, R24: the error about a bad field names it without its value."""
    with pytest.raises(kind, match=named) as caught:
        Token.from_dict({"access_token": ACCESS, **fields})

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        pytest.param({}, ValueError, id="no access token"),
        pytest.param([("access_token", ACCESS)], TypeError, id="pairs"),
        pytest.param(ACCESS, TypeError, id="text"),
        pytest.param(None, TypeError, id="nothing"),
    ],
)
def test_refuses_fields_of_something_else(fields: Any, kind: type[Exception]) -> None:
    """R24: anything but a mapping with an access token is refused."""
    with pytest.raises(kind):
        Token.from_dict(fields)


def test_a_refresh_token_alone() -> None:
    """R24: A dict without an access token that has a refresh token says where that goes."""
    with pytest.raises(ValueError, match="access_token; pass a refresh token alone to FoxyAuth, as refresh_token="):
        Token.from_dict({"refresh_token": REFRESH, "access_token_expires": 7200})


def test_takes_options_by_name_only() -> None:
    """R24: a second positional argument is refused."""
    with pytest.raises(TypeError):
        Token(ACCESS, REFRESH)  # type: ignore[call-arg]


@PROPERTY
@given(
    st.dictionaries(
        st.sampled_from([*AUTHLIB, "obtained_at", "expires", "access_token_expires"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers() | st.text()),
    )
)
def test_any_fields_give_a_token_or_a_plain_refusal(fields: dict[str, Any]) -> None:
    """R24: whatever a stored dict contains, `from_dict` returns a token or raises TypeError or ValueError."""
    try:
        token = Token.from_dict(fields)
    except (TypeError, ValueError):
        return

    assert token == Token.from_dict(token.to_dict())
