"""What happens while the login waits, and which answers are its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from hmac import compare_digest
from queue import SimpleQueue
from urllib.parse import parse_qsl

from foxy_auth._oauth.authorization import ACTIONS

ANSWERS = {"code", "error"}


class Verdict(Enum):
    """What a query is to the login that waits."""

    NOTHING = auto()  # no answer at all
    STATELESS = auto()  # an answer without a state: a part of one, or anybody's
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


@dataclass(frozen=True, slots=True)
class Stateless:
    """The browser brought an answer without a state; *error* is what it says in the provider's words, if it does."""

    error: str


Happening = Answer | Pasted | Stateless | Notice
Happenings = SimpleQueue[Happening]


def judge(query: str, *, state: str) -> Verdict:
    """Say what *query* is to the login whose request had *state*."""
    fields = parse_qsl(query, keep_blank_values=True)
    names = {name for name, _ in fields}
    states = [value for name, value in fields if name == "state"]
    if not names & {*ANSWERS, "state"}:
        return Verdict.NOTHING
    if not states:
        return Verdict.STATELESS
    if len(states) != 1 or not compare_digest(states[0].encode(), state.encode()):
        return Verdict.FOREIGN
    return Verdict.GOOD if names & ANSWERS else Verdict.INCOMPLETE


def stateless(query: str) -> Stateless:
    """Read an answer that anybody may have sent: of its text, only an error of the provider's own table is repeated."""
    fields = dict(parse_qsl(query))
    row = fields.get("error", ""), fields.get("error_description", "")
    return Stateless(": ".join(row) if row in ACTIONS else "")
