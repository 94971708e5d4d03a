"""A scene of the demo, and what is found while it plays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, cast

from foxy_auth.cli.demo._stage import Stage


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was looked at.

    Attributes:
        what: What was looked at.

        expected: How it should be.

        seen: How it is.

        as_expected: Whether that is well.
    """

    what: str
    expected: str
    seen: str
    as_expected: bool

    @classmethod
    def same(cls, what: str, *, expected: object, seen: object) -> Self:
        """Expect a certain value."""
        return cls(what, _shown(expected), _shown(seen), expected == seen)

    @classmethod
    def below(cls, what: str, *, limit: float, seen: float) -> Self:
        """Expect a duration shorter than *limit*; both in seconds."""
        return cls(what, f"below {milliseconds(limit)}", milliseconds(seen), seen < limit)

    @classmethod
    def from_on(cls, what: str, *, least: float, seen: float) -> Self:
        """Expect a duration of *least* or longer; both in seconds."""
        return cls(what, f"{milliseconds(least)} or more", milliseconds(seen), seen >= least)


@dataclass(frozen=True, slots=True)
class Part:
    """What the findings that follow are about, where a scene has several parts."""

    title: str


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A small table to show, without a judgement."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Scene:
    """
    A step of the demo.

    Attributes:
        title: A few words.

        story: What is about to happen, in one or two sentences.

        play: Lets it happen, and yields what is found, as soon as it is found.
    """

    title: str
    story: str
    play: Callable[[Stage], Iterator[Finding | Part | Exhibit]]


def milliseconds(seconds: float) -> str:
    """Write a duration for people."""
    return f"{seconds * 1000:,.0f} ms"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " → ".join(map(_shown, cast("list[object]", value))) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)
