"""What happens while the login waits, and which answers are its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from hmac import compare_digest
from queue import SimpleQueue
from urllib.parse import parse_qsl

ANSWERS = {"code", "error"}


class Verdict(Enum):
    """What a query is to the login that waits."""

    NOTHING = auto()  # no answer at all
    FOREIGN = auto()  # an answer to somebody else's request, or a forged one
    INCOMPLETE = auto()  # has the state of the request, but neither code nor error
    GOOD = auto()


class Notice(Enum):
    """What happens beside answers."""

    FOREIGN = auto()  # the browser brought a foreign answer
    NO_BROWSER = auto()  # no browser could be started
    INPUT_ENDED = auto()  # nothing more can be pasted


@dataclass(frozen=True, slots=True)
class Answer:
    """The query with which the browser came back; its state is right."""

    query: str


@dataclass(frozen=True, slots=True)
class Pasted:
    """A line of the input."""

    line: str


Happening = Answer | Pasted | Notice
Happenings = SimpleQueue[Happening]


def judge(query: str, *, state: str) -> Verdict:
    """Say what *query* is to the login whose request had *state*."""
    fields = parse_qsl(query, keep_blank_values=True)
    names = {name for name, _ in fields}
    states = [value for name, value in fields if name == "state"]
    if not names & {*ANSWERS, "state"}:
        return Verdict.NOTHING
    if len(states) != 1 or not compare_digest(states[0].encode(), state.encode()):
        return Verdict.FOREIGN
    return Verdict.GOOD if names & ANSWERS else Verdict.INCOMPLETE
