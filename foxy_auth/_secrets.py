"""Secrets as values that nothing shows, texts without them, and errors without the frames that hold them (R23)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import wraps
from types import FrameType, FunctionType
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

# So many characters of a secret in a row are hidden; fewer may stand in a text by chance, and tell nothing.
TELLING = 8
LONGEST_TEXT = 10_000  # characters of an error that are looked at; the rest is left out, for it would take long
PLACE = "raised in "  # how a note of ours begins
VARIABLE_ARGUMENTS, VARIABLE_NAMES = 0x04, 0x08  # inspect.CO_VARARGS, inspect.CO_VARKEYWORDS
COROUTINE = 0x80  # inspect.CO_COROUTINE; importing inspect takes longer than all of ours

# With a digit in it this looks like a token: a record that cannot be read, but is quoted, has unknown secrets.
_TOKEN_LIKE = re.compile(r"[\w+/=%~-]{20,}")

# A byte as it is, or percent-encoded, be it twice.
_OCTET = re.compile(rb"%(?:25)*([0-9A-Fa-f]{2})|.", re.DOTALL)


class Secret:
    """A text that only `reveal` shows: no `repr`, no f-string, no traceback with the values of variables."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; only where it is sent, stored or compared."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "[hidden]"


def hide(text: str, secrets: Iterable[Secret]) -> str:
    """Return *text* without what it repeats of *secrets*: whole or in part, percent-encoded or not."""
    octets = text.encode("utf-8", "surrogatepass")
    found = list(_OCTET.finditer(octets))
    plain = _comparable(bytes(int(octet[1], 16) if octet[1] else octet[0][0] for octet in found))
    hidden = bytearray(len(plain))
    for secret in secrets:
        own = _comparable(secret.reveal().encode("utf-8", "surrogatepass"))
        length = min(len(own), TELLING)
        parts = {own[start : start + length] for start in range(len(own) - length + 1)} - {b""}
        for start in range(len(plain) - length + 1):
            if plain[start : start + length] in parts:
                hidden[start : start + length] = b"\1" * length
    shown = b"".join(b"\0" if is_hidden else octet[0] for octet, is_hidden in zip(found, hidden, strict=True))
    return re.sub("\0+", "[hidden]", shown.decode("utf-8", "replace")) if any(hidden) else text


def _comparable(octets: bytes) -> bytes:
    return octets.replace(b"+", b" ")  # as which forms encode it


# --- errors ----------------------------------------------------------------------------------------------------------


class HiddenError(Exception):
    """Stands in for an error whose text repeats a secret."""


def cut(error: E, *, spared: BaseException | None = None) -> E:
    """
    Take the frames from *error* and from all that led to it: their variables may hold secrets.

    An error that was raised outside of this package gets a note that says where. What nobody shows, because an error
    was raised `from None` or from another, is forgotten.

    Args:
        error: The error.

        spared: What the caller was handling before, which stays as it is, and so does what led to it.
    """
    for link in links(error, without=spared):
        _note_places(error=link, on=link)
        link.__traceback__ = None
        if link.__suppress_context__:
            link.__context__ = None
    return error


def links(error: BaseException, *, without: BaseException | None = None) -> Iterator[BaseException]:
    """Yield *error* and all that led to it, each once, but for an error to be left out and what led to that."""
    seen = {id(without)}
    ahead: list[BaseException | None] = [error]
    while ahead:
        link = ahead.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        ahead += [link.__cause__, link.__context__, *_members(link)]


def _members(error: BaseException) -> Iterable[BaseException]:
    return cast("Any", error).exceptions if isinstance(error, BaseExceptionGroup) else ()


def _note_places(*, error: BaseException, on: BaseException) -> None:
    """Note on an error where *error* was raised, if that was outside of this package, and who called that."""
    frames: list[tuple[FrameType, int]] = []
    link = error.__traceback__ if isinstance(error, Exception) else None
    while link is not None:
        frames.append((link.tb_frame, link.tb_lineno))
        link = link.tb_next
    if not frames or _is_ours(frames[-1][0]):
        return
    outermost = next(frame for frame in frames if not _is_ours(frame[0]))
    caller = "" if outermost == frames[-1] else f"; called by {_place(*outermost)}"
    on.add_note(f"{PLACE}{_place(*frames[-1])}{caller}")


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("foxy_auth.")


def _place(frame: FrameType, line: int) -> str:
    return f"{frame.f_code.co_name}, {frame.f_code.co_filename}, line {line}"


def without_secrets(
    error: BaseException,
    secrets: Iterable[Secret] = (),
    *,
    guess: bool = True,
    spared: BaseException | None = None,
) -> BaseException:
    """
    Return an *error* without frames; one that repeats secrets, or was caused by one that does, is replaced.

    Args:
        error: What a store or a callback of the user's has raised.

        secrets: Those that are known.

        guess: Whether what looks like a token is taken for a secret too.

        spared: As for `cut`.
    """
    secrets = tuple(secrets)

    def hidden(text: str) -> str:
        if len(text) > LONGEST_TEXT:
            text = f"{text[:LONGEST_TEXT]}…"
        text = hide(text, secrets)
        return _TOKEN_LIKE.sub(lambda run: "[hidden]" if re.search(r"\d", run[0]) else run[0], text) if guess else text

    chain = list(links(error, without=spared))
    if all(hidden(text) == text for text in map(_all_text, chain)):
        return cut(error, spared=spared)
    stand_in = HiddenError("; caused by ".join(hidden(described(link)) for link in chain))
    for link in chain:
        _note_places(error=link, on=stand_in)
    return stand_in


def failure_of(action: Callable[[], object], secrets: Iterable[Secret]) -> BaseException | None:
    """Do *action*, and return what it raises, without *secrets*: so no frame of whoever reports it holds any."""
    try:
        action()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return without_secrets(error, secrets)
    return None


def described(error: BaseException) -> str:
    """Return the class and the text of *error*."""
    try:
        return str(error) if isinstance(error, HiddenError) else f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - a user's class that has no text
        return f"{type(error).__name__}, which cannot be shown"


def _all_text(error: BaseException) -> str:
    """Return the text of *error*, and its arguments, attributes and notes, but not names of files."""
    text = described(error).replace(str(getattr(error, "filename", "")), "")
    with suppress(Exception):  # of values that have no text
        notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith(PLACE)]
        text += repr((error.args, {**vars(error), "__notes__": notes}))
    return text


# --- entrances -------------------------------------------------------------------------------------------------------


def guarded(function: Callable[P, T]) -> Callable[P, T]:
    """
    Cut the tracebacks of errors that leave the package through *function*.

    Whoever reports errors with the values of variables then reports none of ours, nor the arguments.
    """

    @wraps(function)
    def entrance(*args: P.args, **kwargs: P.kwargs) -> T:
        handled = sys.exception()
        try:
            outcome: Any = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised again
            if isinstance(error, TypeError) and (hint := _naming_hint(function, len(args), kwargs)):
                error.args = (hint,)
            del args, kwargs
            raise cut(error, spared=handled)  # noqa: B904 - the same
        is_context = type(outcome).__name__ == "_GeneratorContextManager"  # which raises when it is entered
        return cast("T", _GuardedContext(outcome)) if is_context else outcome

    @wraps(function)
    async def async_entrance(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()
        try:
            return await cast("Any", function)(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised again
            del args, kwargs
            raise cut(error, spared=handled)  # noqa: B904 - the same

    is_async = cast("FunctionType", function).__code__.co_flags & COROUTINE
    return cast("Callable[P, T]", async_entrance) if is_async else entrance


def _naming_hint(function: Any, given: int, named: Iterable[str]) -> str | None:
    """Say what to do about arguments that *function* does not take, by place or by name; None if it takes them."""
    code, name = function.__code__, function.__qualname__.removesuffix(".__init__")
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    by_name = [f"{each}=…" for each in names[code.co_argcount :]]
    if given > code.co_argcount and by_name and not code.co_flags & VARIABLE_ARGUMENTS:
        hint = f"{name} takes these arguments by name only: {', '.join(by_name)}"
        is_class = name != function.__qualname__
        return f"{hint}; if you passed the class {name} itself, pass an object" if is_class else hint
    unknown = next((each for each in named if each not in names), None)
    if unknown is None or code.co_flags & VARIABLE_NAMES:
        return None
    return f"{name} has no argument {unknown}; it takes {', '.join(names).removeprefix('self, ')}"


class _GuardedContext:
    """A context of `contextmanager` that cuts the tracebacks of what entering or leaving it raises."""

    def __init__(self, context: AbstractContextManager[Any]) -> None:
        self._context = context

    @guarded
    def __enter__(self) -> Any:
        return self._context.__enter__()

    @guarded
    def __exit__(self, *error: object) -> bool | None:
        return self._context.__exit__(*cast("Any", error))


def guarded_class(kind: type[T]) -> type[T]:
    """Guard the constructor and the public methods of a class."""
    members: dict[str, Any] = dict(vars(kind))
    for name, member in members.items():
        function: Any = getattr(member, "__func__", member)  # of a class method or a static one
        if isinstance(function, FunctionType) and (name in {"__init__", "__setattr__"} or not name.startswith("_")):
            guard: Any = guarded(function)
            setattr(kind, name, guard if function is member else type(member)(guard))
    return kind
