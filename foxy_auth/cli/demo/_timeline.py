"""The timeline: who called what when, as the emulator saw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from foxy_auth.cli.demo._glyphs import glyphs_for
from foxy_auth.emulator import Call

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

SHORTEST_BAR = 10  # characters
SHORTEST = 1e-6  # seconds; so that even an answer in no time leaves a mark
REFUSALS = 400  # the status from which on an answer is one
TOKEN_PATH = "/token"  # noqa: S105 - a path


@dataclass(slots=True)
class Lane:
    """Calls of one kind; each span is from arrival to answer, in seconds since the epoch."""

    who: str
    what: str
    status: int | None
    spans: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    @property
    def style(self) -> str:
        """The colour: token calls stand out, and so do refusals."""
        if self.what.endswith(TOKEN_PATH):
            return "yellow"
        return "cyan" if self.status is not None and self.status < REFUSALS else "red"


@dataclass(frozen=True, slots=True)
class Bar:
    """The spans of a lane, drawn from *begin* to *end* in whatever width there is."""

    lane: Lane
    begin: float
    end: float

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(SHORTEST_BAR, SHORTEST_BAR)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = glyphs_for(console)
        shares = self._shares(options.max_width)
        marks = [glyphs.bar if share >= 1 / 2 else glyphs.dot if share > 0 else " " for share in shares]
        yield Text("".join(marks), style=self.lane.style, no_wrap=True)

    def _shares(self, width: int) -> list[float]:
        """Tell of each character's time how much the calls take up; a short call counts where it begins."""
        step = max(self.end - self.begin, SHORTEST) / width
        shares = [0.0] * width
        for begin, end in self.lane.spans:
            first = min(int((begin - self.begin) / step), width - 1)
            if end - begin <= step:
                shares[first] += (end - begin) / step
                continue
            for column in range(first, width):
                left = self.begin + column * step
                shares[column] += max(min(end, left + step) - max(begin, left), 0) / step
        return shares


def lanes_of(calls: Sequence[Call]) -> list[Lane]:
    """Sort *calls* into lanes, by the first of each."""
    lanes: dict[tuple[str, str, int | None], Lane] = {}
    for call in calls:
        key = (_who(call), f"{call.method} {call.path}", call.status)
        answered_at = call.arrived_at if call.answered_at is None else call.answered_at
        span = (call.arrived_at, max(answered_at, call.arrived_at + SHORTEST))
        lanes.setdefault(key, Lane(*key)).spans.append(span)
    return list(lanes.values())


def timeline(calls: Sequence[Call]) -> Table:
    """Draw *calls*; their times are milliseconds since the first."""
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    for justify in ("left", "right", "left", "left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_column(ratio=1)  # the bars take the room that is left
    table.add_row("client", "", "call", "", "from", "to ms", style="dim")
    lanes = lanes_of(calls)
    begin = min(first for lane in lanes for first, _ in lane.spans)
    end = max(last for lane in lanes for _, last in lane.spans)
    for lane in lanes:
        first, last = lane.spans[0][0], max(last for _, last in lane.spans)
        count = f"{len(lane.spans)} x" if len(lane.spans) > 1 else ""
        bar = Bar(lane, begin, end)
        status = Text(str(lane.status or "-"), lane.style)
        table.add_row(lane.who, count, lane.what, status, _ms(first - begin), _ms(last - begin), bar)
    return table


def _who(call: Call) -> str:
    """Name the client by how it names itself: `python-httpx/0.28.1` is httpx."""
    return call.headers.get("User-Agent", "?").partition("/")[0].removeprefix("python-")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"
