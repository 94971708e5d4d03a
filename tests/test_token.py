"""The token: what it takes, what it tells, and what it keeps to itself."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import LAW

from foxy_auth.token import Token

ACCESS = "fakeAccess0123456789abcdef0123456789abcd"
REFRESH = "fakeRefresh0123456789abcdef0123456789abc"

# What users of Authlib keep (its `OAuth2Token`), and users of requests-oauthlib (oauthlib's `OAuth2Token`).
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


@LAW
@given(tokens)
def test_a_token_survives_json(token: Token) -> None:
    """A token comes back from `to_dict`, JSON and `from_dict` as it went."""
    again = Token.from_dict(json.loads(json.dumps(token.to_dict())))

    assert token == again


@LAW
@given(tokens)
def test_a_token_survives_pickle_and_copy(token: Token) -> None:
    """R21: A token comes back from a pickle and from a deep copy as it went."""
    assert token == pickle.loads(pickle.dumps(token)) == copy.deepcopy(token)  # noqa: S301 - our own pickle


def test_the_dict_names_every_field() -> None:
    """What is stored has the names of the attributes, so that other programs can read it."""
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
        pytest.param({**AUTHLIB, "id_token": "x", "user": {"id": 1}, "scope": None}, 1_800_007_200, id="more fields"),
    ],
)
def test_reads_what_others_have_stored(stored: dict[str, Any], expires_at: float | None) -> None:
    """`from_dict` reads the dicts of Authlib and requests-oauthlib, and ignores what it does not know."""
    token = Token.from_dict(stored)

    assert (token.access_token, token.refresh_token, token.expires_at) == (ACCESS, REFRESH, expires_at)


@pytest.mark.parametrize("absent", [{}, {"refresh_token": None}, {"refresh_token": ""}], ids=repr)
def test_a_grant_without_a_refresh_token(absent: dict[str, Any]) -> None:
    """A refresh token that is missing, None or empty is none; anything else that is no text is refused."""
    assert Token.from_dict({"access_token": ACCESS, **absent}).refresh_token is None


@pytest.mark.parametrize("stored", [AUTHLIB, REQUESTS_OAUTHLIB], ids=["authlib", "requests-oauthlib"])
def test_reads_scopes_as_text_or_list(stored: dict[str, Any]) -> None:
    """A stored scope means the same as text and as a list."""
    assert Token.from_dict(stored).scopes == {"store_full_access", "store_id_3200"}


def test_a_stored_lifetime_is_ignored() -> None:
    """R4: A stored `expires_in` counts from an unknown moment and makes no old token look new."""
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
        pytest.param("  user_full_access\tx ", {"user_full_access", "x"}, None, id="blanks of any kind"),
        pytest.param("client_full_access", {"client_full_access"}, None, id="a client"),
        pytest.param("a a", {"a"}, None, id="twice"),
        pytest.param("store_id_", {"store_id_"}, None, id="a store without a number"),
        pytest.param("store_id_\u0663", {"store_id_\u0663"}, None, id="a number of another script"),
        pytest.param("store_id_\x1b]0;x\x07 store_id_7", {"store_id_\x1b]0;x\x07", "store_id_7"}, "7", id="no number"),
    ],
)
def test_tells_scopes_and_store(scope: str, scopes: set[str], store_id: str | None) -> None:
    """The scopes are a set, and the store's number is read from among them."""
    token = Token(ACCESS, scope=scope)

    assert token.scopes == scopes
    assert token.store_id == store_id


def test_tells_its_life_and_expiry() -> None:
    """A token is expired from the very instant of its expiry on, and never without one."""
    token = Token(ACCESS, obtained_at=100.0, expires_at=160.0)

    assert token.life == 60.0
    assert [token.expired(now) for now in (159.999, 160.0, 161.0)] == [False, True, True]
    assert not Token(ACCESS).expired(10.0**12)


def test_a_token_is_a_value() -> None:
    """Tokens compare by value and cannot be changed, so that a new one is told from an old one."""
    token = Token(ACCESS, refresh_token=REFRESH)

    assert token == Token(ACCESS, refresh_token=REFRESH) != replace(token, refresh_token="fakeOther")
    assert len({token, Token(ACCESS, refresh_token=REFRESH)}) == 1
    with pytest.raises(FrozenInstanceError):
        token.access_token = "other"  # type: ignore[misc]


# --- what it keeps to itself ---------------------------------------------------------------------------------------


@LAW
@given(tokens)
def test_secrets_are_in_no_text(token: Token) -> None:
    """R23: Neither `repr` nor `str` nor a format contains a secret, unless another field says the same."""
    open_fields = {
        name: value for name, value in asdict(token).items() if name not in {"access_token", "refresh_token"}
    }
    expected = f"Token({', '.join(f'{name}={value!r}' for name, value in _in_order(open_fields))})"

    assert {repr(token), str(token), f"{token}", format(token)} == {expected}


def _in_order(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, fields[name]) for name in ("expires_at", "obtained_at", "scope", "token_type")]


# --- what it refuses -----------------------------------------------------------------------------------------------

SECRET = "fake-secret-that-must-not-show"


@pytest.mark.parametrize(
    ("fields", "kind", "named"),
    [
        pytest.param({"access_token": ""}, ValueError, "access_token", id="empty"),
        pytest.param({"access_token": None}, TypeError, "access_token", id="None"),
        pytest.param({"access_token": 5}, TypeError, "access_token", id="a number"),
        pytest.param({"access_token": SECRET.encode()}, TypeError, "access_token", id="bytes"),
        pytest.param({"access_token": f"{SECRET} {SECRET}"}, ValueError, "access_token", id="a blank"),
        pytest.param({"access_token": f"{SECRET}\n"}, ValueError, "access_token", id="a newline"),
        pytest.param({"access_token": f"{SECRET}\r\nX: y"}, ValueError, "access_token", id="a header smuggled in"),
        pytest.param({"access_token": f"{SECRET}é"}, ValueError, "access_token", id="not ASCII"),
        pytest.param({"refresh_token": SECRET.encode()}, TypeError, "refresh_token", id="refresh token as bytes"),
        pytest.param({"refresh_token": [SECRET]}, TypeError, "refresh_token", id="refresh token as a list"),
        pytest.param({"refresh_token": []}, TypeError, "refresh_token", id="refresh token as an empty list"),
        pytest.param({"refresh_token": False}, TypeError, "refresh_token", id="refresh token as a truth"),
        pytest.param({"refresh_token": 0}, TypeError, "refresh_token", id="refresh token as zero"),
        pytest.param({"refresh_token": f"{SECRET}\ud800"}, ValueError, "refresh_token", id="half a character"),
        pytest.param({"expires_at": "soon"}, ValueError, "expires_at", id="expiry as a word"),
        pytest.param({"expires_at": True}, TypeError, "expires_at", id="expiry as a truth"),
        pytest.param({"expires_at": float("nan")}, ValueError, "expires_at", id="expiry not a number"),
        pytest.param({"expires_at": "inf"}, ValueError, "expires_at", id="expiry endless"),
        pytest.param({"obtained_at": [1]}, TypeError, "obtained_at", id="issue as a list"),
        pytest.param({"token_type": 7}, TypeError, "token_type", id="type as a number"),
    ],
)
def test_refuses_bad_fields(fields: dict[str, Any], kind: type[Exception], named: str) -> None:
    """R24, R23: A bad field is refused at once, by its name and without its value."""
    with pytest.raises(kind, match=named) as caught:
        Token.from_dict({"access_token": ACCESS, **fields})

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        pytest.param({}, ValueError, id="no access token"),
        pytest.param({"refresh_token": REFRESH}, ValueError, id="a refresh token alone"),
        pytest.param([("access_token", ACCESS)], TypeError, id="pairs"),
        pytest.param(ACCESS, TypeError, id="text"),
        pytest.param(None, TypeError, id="nothing"),
    ],
)
def test_refuses_what_is_no_token(fields: Any, kind: type[Exception]) -> None:
    """R24: What is no mapping with an access token is refused."""
    with pytest.raises(kind):
        Token.from_dict(fields)


def test_takes_options_by_name_only() -> None:
    """R24: A refresh token given in second place is refused instead of taken for something else."""
    with pytest.raises(TypeError):
        Token(ACCESS, REFRESH)  # type: ignore[call-arg]


@LAW
@given(
    st.dictionaries(
        st.sampled_from([*AUTHLIB, "obtained_at"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers() | st.text()),
    )
)
def test_any_fields_give_a_token_or_a_plain_refusal(fields: dict[str, Any]) -> None:
    """R24: Whatever a stored dict contains, `from_dict` gives a token or a TypeError or ValueError."""
    try:
        token = Token.from_dict(fields)
    except (TypeError, ValueError):
        return

    assert token == Token.from_dict(token.to_dict())
