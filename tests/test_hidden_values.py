"""Secrets as values, texts and errors without them."""

from __future__ import annotations

import json
import pickle
import traceback
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, quote_plus

import pytest
import rich.console
import rich.pretty
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from foxy_auth import OAuthClient, StoreError, Token
from foxy_auth._oauth.messages import AuthorizationHeader
from foxy_auth._secrets import HiddenError, Secret, cut, guarded, guarded_class, hide, links, without_secrets
from foxy_auth.stores import FileStore

TEXT = "fake+secret/value=0123456789 \u00fc"
SECRET = Secret(TEXT)


def twice(text: str) -> str:
    """Percent-encode *text* twice."""
    return quote(quote(text, safe=""), safe="")


ENCODINGS = {
    "plain": str,
    "quote": partial(quote, safe=""),
    "quote, lower case": lambda text: quote(text, safe="").lower(),
    "quote_plus": quote_plus,
    "twice": twice,
    "every character": lambda text: "".join(f"%{octet:02x}" for octet in text.encode()),
}


def test_a_secret_is_shown_by_reveal_alone() -> None:
    """R23: Neither text, format nor pretty printing shows a secret; it stays one in a pickle."""
    console = rich.console.Console(record=True, width=200)
    console.print(rich.pretty.Pretty({"secret": SECRET}, max_string=10))
    shown = f"{SECRET} {SECRET!r} {SECRET!s} {[SECRET]} {console.export_text()}"

    assert "fake" not in shown
    assert shown.count("[hidden]") == 5
    assert SECRET.reveal() == TEXT
    assert pickle.loads(pickle.dumps(SECRET)) == SECRET  # noqa: S301 - our own
    assert {SECRET, Secret(TEXT)} == {SECRET}
    assert SECRET != TEXT


def test_a_part_of_the_authorization_header_is_hidden_too() -> None:
    """R23: Tools that shorten long texts show nothing of the header."""
    header = AuthorizationHeader("Bearer fake-access-token")

    assert "fake" not in repr(header[:20])
    assert "fake" not in repr(header.encode()[:20])


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_a_text_repeats_no_secret_however_it_is_encoded(encode: Any) -> None:
    """R23: A secret is hidden whether it is percent-encoded or not."""
    assert hide(f"refused: {encode(TEXT)}!", [SECRET]) == "refused: [hidden]!"


@PROPERTY
@given(start=st.integers(0, 20), length=st.integers(8, 31), encode=st.sampled_from(list(ENCODINGS.values())))
def test_a_text_repeats_no_part_of_a_secret(start: int, length: int, encode: Any) -> None:
    """R23: Eight characters of a secret in a row are hidden, as in a text that quotes its beginning and its end."""
    part = TEXT[start : start + length]
    text = hide(f"({encode(part)}| truncated)", [SECRET])

    assert text == "([hidden]| truncated)"


@PROPERTY
@given(text=st.text(), secret=st.text(min_size=1))
def test_hiding_changes_nothing_else(text: str, secret: str) -> None:
    """A text without the secret stays as it is, whatever characters it has."""
    hidden = hide(text, [Secret(secret)])

    assert hidden == text or "[hidden]" in hidden
    assert secret not in hidden or secret in "[hidden]"


def test_a_short_secret_is_hidden_whole() -> None:
    """R23: A secret of fewer than eight characters is hidden where it stands as a whole, and an empty one nowhere."""
    assert hide("abcdef", [Secret("cd"), Secret("")]) == "ab[hidden]ef"


# --- errors ----------------------------------------------------------------------------------------------------------


def failing(secret: str) -> None:
    """Raise an error with a cause, a context and members, in frames that hold *secret*."""
    local = secret
    try:
        try:
            dict[str, str]()["context"]
        except KeyError:
            raise ExceptionGroup("group", [ValueError("member")])  # noqa: B904 - with a context
    except ExceptionGroup as error:
        raise OSError("outer") from error if local else None


def rendered(error: BaseException) -> str:
    """Return the traceback of *error* with the values of all variables, without the frames of this test."""
    lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    return "".join(lines)


def test_all_that_led_to_an_error_loses_its_frames() -> None:
    """R23: Cutting reaches causes, contexts and the members of groups, and notes where each was raised."""
    with pytest.raises(OSError, match="outer") as caught:
        failing(TEXT)
    assert TEXT in rendered(caught.value)
    error = cut(caught.value)

    assert [type(link).__name__ for link in links(error)] == ["OSError", "ExceptionGroup", "ValueError", "KeyError"]
    assert all(link.__traceback__ is None for link in links(error))
    assert TEXT not in rendered(error)
    assert f"raised in failing, {__file__}, line " in rendered(error)


def test_a_note_tells_where_the_users_code_failed() -> None:
    """A bug in a store shows where the store called what has raised, and not only where that was."""
    with pytest.raises(ValueError, match="property name") as caught:
        json.loads("{no")

    note = rendered(cut(caught.value))
    assert f"raised in raw_decode, {json.decoder.__file__}, line " in note
    assert f"; called by test_a_note_tells_where_the_users_code_failed, {__file__}, line " in note


def test_an_error_that_was_being_handled_keeps_its_frames() -> None:
    """Wrong use of the package in an `except` clause takes nothing from the error that is handled there."""
    try:
        failing(TEXT)
    except OSError as error:
        handled = error
        with pytest.raises(ValueError, match=r"Token\.access_token") as ours:
            Token("")

    assert "__notes__" not in vars(handled)
    assert 'dict[str, str]()["context"]' in rendered(handled)
    assert ours.value.__context__ is handled


def test_an_error_that_was_being_handled_stays_behind_that_of_a_store(tmp_path: Path) -> None:
    """As above, for a store that cannot save what is to be kept in an `except` clause."""
    (tmp_path / "file").touch()
    try:
        failing(TEXT)
    except OSError as error:
        handled = error
        with pytest.raises(StoreError):
            FileStore(tmp_path / "file" / "token").save(Token("access"))

    assert "__notes__" not in vars(handled)
    assert 'dict[str, str]()["context"]' in rendered(handled)


async def test_an_error_that_was_being_handled_in_a_coroutine_keeps_its_frames() -> None:
    """As above, for async methods."""
    try:
        failing(TEXT)
    except OSError as error:
        handled = error
        with pytest.raises(TypeError):
            await OAuthClient("id", "secret").arefresh_token(cast("Any", None))

    assert "__notes__" not in vars(handled)
    assert 'dict[str, str]()["context"]' in rendered(handled)


def test_a_chain_that_leads_back_to_itself_ends() -> None:
    """A cause of a cause may be the error itself."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__context__ = second, first

    assert list(links(cut(first))) == [first, second]


def test_an_error_whose_text_repeats_a_secret_is_replaced() -> None:
    """R23: What stands in for it says what it was, and has nothing behind it."""
    error = OSError("disk full")
    error.__cause__ = KeyError(TEXT)
    stand_in = without_secrets(error, [SECRET])

    assert isinstance(stand_in, HiddenError)
    assert str(stand_in) == "OSError: disk full; caused by KeyError: '[hidden]'"
    assert stand_in.__cause__ is None
    with pytest.raises(OSError, match="outer") as caught:
        failing(TEXT)
    caught.value.args = (TEXT,)
    assert f"raised in failing, {__file__}, line " in rendered(without_secrets(caught.value, [SECRET]))
    assert without_secrets(ValueError("harmless"), [SECRET]).args == ("harmless",)


def test_the_place_where_an_error_was_raised_is_no_secret() -> None:
    """An error that was cut before is kept, although the path of a library looks like a token: it has digits."""
    path = "/opt/python3.11/site-packages/keyring/made_up.py"
    with pytest.raises(OSError, match="made up") as caught:
        exec(compile("raise OSError('made up')", path, "exec"), {})  # noqa: S102 - the only code in that path
    error = cut(caught.value)

    assert without_secrets(error) is error
    assert "python3.11" in rendered(error)


def test_an_error_without_a_text_is_kept() -> None:
    """An error of a user's class whose `str` fails does not hide the failure that it reports."""

    class UntoldError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    error = UntoldError()

    assert without_secrets(error, [SECRET]) is error


@guarded_class
class Guarded:
    """What a public class does with a secret."""

    def __init__(self, secret: str) -> None:
        """Refuse *secret*."""
        if secret:
            failing(secret)

    def sync(self, secret: str) -> None:
        """Fail."""
        failing(secret)

    async def asynchronous(self, secret: str) -> None:
        """Fail."""
        failing(secret)

    @classmethod
    def of_class(cls, secret: str) -> None:
        """Fail."""
        failing(secret)

    @staticmethod
    def static(secret: str) -> None:
        """Fail."""
        failing(secret)


@pytest.mark.parametrize("name", ["sync", "of_class", "static"])
def test_an_error_leaves_a_guarded_class_without_its_arguments(name: str) -> None:
    """R23: Neither the frames of a public method nor those of its entrance show what it was called with."""
    with pytest.raises(OSError, match="outer") as caught:
        getattr(Guarded(""), name)(TEXT)

    shown = rendered(caught.value.with_traceback(caught.value.__traceback__.tb_next))  # type: ignore[union-attr]
    assert "in entrance" in shown
    assert TEXT not in shown


def test_a_constructor_shows_no_arguments() -> None:
    """R23: As above, for wrong use."""
    with pytest.raises(OSError, match="outer") as caught:
        Guarded(TEXT)

    assert TEXT not in rendered(caught.value.with_traceback(caught.value.__traceback__.tb_next))  # type: ignore[union-attr]


async def test_an_error_leaves_a_coroutine_without_its_arguments() -> None:
    """R23: As above, for async methods."""
    with pytest.raises(OSError, match="outer") as caught:
        await Guarded("").asynchronous(TEXT)

    assert TEXT not in rendered(caught.value.with_traceback(caught.value.__traceback__.tb_next))  # type: ignore[union-attr]


def test_a_guard_changes_no_signature() -> None:
    """`help`, editors and type checkers see the function as it was written."""

    def function(first: int, *, second: str = "") -> str:
        """Do it."""
        return second * first

    assert guarded(function)(2, second="a") == "aa"
    assert guarded(function).__doc__ == "Do it."
