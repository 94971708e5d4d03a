"""Print the demo, to a terminal or as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.padding import Padding
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from foxy_auth.cli.demo.scene import Check, Heading, Recording, Scene
from foxy_auth.emulator import Call

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

VALUE_WIDTH = 20  # characters
LEFT, RIGHT = Column(no_wrap=True), Column(no_wrap=True, justify="right")


class Result(NamedTuple):
    """The result of a scene that took *duration* seconds."""

    number: int
    scene: Scene
    items: Sequence[Check | Heading]
    duration: float

    @property
    def checks(self) -> list[Check]:
        """The checks without the headings."""
        return [item for item in self.items if isinstance(item, Check)]

    @property
    def passed(self) -> bool:
        """Whether there were checks and all of them passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)


class Screen:
    """Print to a console."""

    def __init__(self, console: Console) -> None:
        """Print to *console*."""
        self._console = console

    def print_introduction(self, url: str) -> None:
        """Print what the demo is."""
        self._console.print()
        self._print(Text("foxy_auth demo", "bold"))
        text = (
            f"These are real requests to an emulator of Foxy at {url}. Each refresh token can be used only once; "
            "using one twice would revoke the whole grant, so a mistake would show."
        )
        self._print(Text(text, "dim"))

    def print_scene(self, number: int, scene: Scene) -> None:
        """Print the title and the text of a scene."""
        self._console.print()
        title = Text.assemble((f"{number}  ", "bold cyan"), (scene.title, "bold"))
        self._console.print(Rule(title, align="left", style="cyan"))
        self._print(Text(scene.text))

    def print_checks(self, items: Sequence[Check | Heading], failure: str) -> None:
        """Print the checks of a scene, and the error that ended it early."""
        width = min(VALUE_WIDTH, self._console.width // 4)
        table = _grid(Column(), Column(ratio=1), Column(width=width), Column(width=width))
        table.add_row("", "", "expected", "seen", style="dim")
        for item in items:
            if isinstance(item, Heading):
                table.add_row("", Text(item.text, "cyan"))
                continue
            seen = Text(item.seen, "green" if item.passed else "bold red")
            table.add_row(_mark(passed=item.passed), item.what, Text(item.expected, "dim"), seen)
        self._console.print()
        self._print(table)
        if failure:
            self._print(Text(failure, "red"))

    def print_timeline(self, requests: Sequence[Call]) -> None:
        """Print when each request arrived and was answered, in milliseconds since the first."""
        if requests:
            self._console.print()
            self._print(make_timeline(requests), margin=4)

    def print_summary(self, results: Sequence[Result], recording: Recording) -> None:
        """Print a line for each scene, and the number of requests in the whole demo."""
        self._console.print()
        self._console.print(Rule(style="cyan"))
        table = _grid(Column(), Column(ratio=1), RIGHT, RIGHT)
        for result in results:
            passed = sum(check.passed for check in result.checks)
            score = Text(f"{passed} of {len(result.checks)}", "" if result.passed else "bold red")
            title = f"{result.number}  {result.scene.title}"
            table.add_row(_mark(passed=result.passed), title, score, Text(f"{result.duration:.1f} s", "dim"))
        self._print(table)
        self._console.print()
        self._print(_verdict(results))
        api_requests, token_requests = len(recording.api_requests), len(recording.token_requests)
        self._print(Text(f"API requests: {api_requests}, token requests: {token_requests}.", "dim"))

    def print_skipped(self, scenes: Sequence[Scene]) -> None:
        """Say which scenes were left out, and what they need."""
        for library in sorted({scene.needs for scene in scenes}):
            titles = "; ".join(scene.title for scene in scenes if scene.needs == library)
            self._print(Text(f"Not shown without {library}: {titles}. To see them:"))
            self._print(Text(f"pip install 'foxy_auth[{library}]'"), margin=4)

    def _print(self, thing: RenderableType, *, margin: int = 2) -> None:
        self._console.print(Padding(thing, (0, 0, 0, margin)))


class Bar:
    """Draw intervals of time, each from *start* to *end*, as wide as there is room: a line, or a dot if it is short."""

    def __init__(self, spans: Sequence[tuple[float, float]], *, start: float, end: float, style: str) -> None:
        """Draw *spans* between *start* and *end*."""
        self._spans = spans
        self._start = start
        self._duration = max(end - start, 1e-6)
        self._style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the intervals."""
        width = options.max_width
        marks = [" "] * width
        for span in self._spans:
            first, last = (min(int((at - self._start) / self._duration * width), width - 1) for at in span)
            if last > first:
                marks[first : last + 1] = "━" * (last + 1 - first)
            elif marks[first] == " ":
                marks[first] = "•"
        yield Text("".join(marks), style=self._style, no_wrap=True)


def make_timeline(requests: Sequence[Call]) -> Table:
    """Draw *requests*, with a row for those of one client to one resource with one status."""
    rows: dict[tuple[str, str, int | None], list[tuple[float, float]]] = {}
    for call in requests:
        client = call.headers.get("User-Agent", "?").partition("/")[0].removeprefix("python-")
        answered_at = call.arrived_at if call.answered_at is None else call.answered_at
        spans = rows.setdefault((client, f"{call.method} {call.path}", call.status), [])
        spans.append((call.arrived_at, answered_at))
    start = min(first for spans in rows.values() for first, _ in spans)
    end = max(last for spans in rows.values() for _, last in spans)

    table = _grid(LEFT, RIGHT, LEFT, LEFT, RIGHT, RIGHT, Column(ratio=1))
    table.add_row("client", "", "request", "", "from", "to ms", style="dim")
    for (client, what, status), spans in rows.items():
        times = [f"{(at - start) * 1000:,.0f}" for at in (spans[0][0], max(last for _, last in spans))]
        count = f"{len(spans)} x" if len(spans) > 1 else ""
        style = "yellow" if what.endswith("/token") else "cyan" if status and status < 400 else "red"  # noqa: PLR2004 - HTTP
        bar = Bar(spans, start=start, end=end, style=style)
        table.add_row(client, count, what, Text(str(status or "-"), style), *times, bar)
    return table


def _grid(*columns: Column) -> Table:
    """Return a table without lines."""
    return Table.grid(*(column.copy() for column in columns), padding=(0, 1, 0, 0), expand=True)


def _mark(*, passed: bool) -> Text:
    return Text("✓", "bold green") if passed else Text("✗", "bold red")


def _verdict(results: Sequence[Result]) -> Text:
    failed = [str(result.number) for result in results if not result.passed]
    if failed:
        scenes = "scene" if len(failed) == 1 else "scenes"
        return Text(f"Not as expected: {scenes} {', '.join(failed)} of {len(results)}.", "bold red")
    duration = sum(result.duration for result in results)
    return Text(f"All {len(results)} scenes went as expected, in {duration:.1f} s.", "bold green")
