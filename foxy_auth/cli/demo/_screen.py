"""What the audience sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from foxy_auth.cli.demo._glyphs import glyphs_for
from foxy_auth.cli.demo._review import Review
from foxy_auth.cli.demo._scene import Exhibit, Finding, Part, Scene
from foxy_auth.cli.demo._timeline import timeline
from foxy_auth.emulator import Call

if TYPE_CHECKING:
    from rich.console import Console

MARGIN = 2  # columns on the left
USUAL = 80  # columns of a terminal; what stands in columns takes no more
WIDEST = 100  # columns, beyond which lines are hard to read


class Screen:
    """Print the demo to a terminal or, as plain text, to a file."""

    def __init__(self, console: Console) -> None:
        """Print to *console*."""
        self._console = console
        self._glyphs = glyphs_for(console)
        self._width = min(console.width, WIDEST)

    def announce(self, title: str, story: str) -> None:
        """Open the demo."""
        self._console.print()
        self._print(Text(title, "bold"))
        self._print(Text(story, "dim"))

    def open(self, number: int, scene: Scene) -> None:
        """Open a scene."""
        title = Text.assemble((f"{number}  ", "bold cyan"), (scene.title, "bold"), " ")
        title.append(self._glyphs.rule * (self._width - MARGIN - title.cell_len), "cyan")
        self._console.print()
        self._print(title, margin=0)
        self._print(Text(scene.story))
        self._console.print()
        self._print_row(*(Text(word, "dim") for word in ("", "", "expected", "seen")))

    def playing(self) -> AbstractContextManager[object]:
        """Show that something is going on; in a file, nothing."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            return nullcontext()
        return self._console.status("", spinner=self._glyphs.spinner, spinner_style="cyan")

    def show(self, item: Finding | Part | Exhibit) -> None:
        """Print what a scene yields."""
        match item:
            case Finding():
                self._print_finding(item)
            case Part(title):
                self._print(Text(title, "cyan"))
            case Exhibit():
                self._print_exhibit(item)

    def fail(self, error: Exception) -> Finding:
        """Print what ended a scene early, and return it as a finding."""
        finding = Finding("the scene plays to its end", "yes", "no", as_expected=False)
        self._print_finding(finding)
        self._print(Text(f"{type(error).__name__}: {error}", "red"), margin=MARGIN + 2)
        return finding

    def draw(self, calls: Sequence[Call]) -> None:
        """Print the timeline of a scene."""
        if calls:
            self._console.print()
            self._print(timeline(calls), margin=MARGIN + 2)

    def close(self, reviews: Sequence[Review], *, token_calls: int, other_calls: int) -> None:
        """Print the summary, with the numbers of requests in the whole demo."""
        self._console.print()
        self._print(Text(self._glyphs.rule * (self._width - MARGIN), "cyan"), margin=0)
        for review in reviews:
            self._print_review(review)
        self._console.print()
        self._print(_verdict(reviews))
        self._print(Text(f"Requests to the API: {other_calls}, token calls: {token_calls}.", "dim"))

    def _print_finding(self, finding: Finding) -> None:
        good = finding.as_expected
        self._print_row(
            self._mark(as_expected=good),
            Text(finding.what),
            Text(self._arrows(finding.expected), "dim"),
            Text(self._arrows(finding.seen), "green" if good else "bold red"),
        )

    def _print_row(self, *cells: Text) -> None:
        row = Table.grid(padding=(0, 1, 0, 0))
        room = min(self._width, USUAL) - MARGIN - 4  # the mark, and a blank behind each column but the last
        value = (room + 2) // 4
        for width in (1, room - 2 * value, value, value):
            row.add_column(width=width, overflow="fold")
        row.add_row(*cells)
        self._print(row)

    def _print_exhibit(self, exhibit: Exhibit) -> None:
        table = Table.grid(padding=(0, 3, 0, 0))
        table.add_column(justify="right")
        for cells, style in ((exhibit.headings, "dim"), *((row, "") for row in exhibit.rows)):
            table.add_row(*(Text(cell, style) for cell in cells))
        self._console.print()
        self._print(table, margin=MARGIN + 2)

    def _print_review(self, review: Review) -> None:
        good = sum(finding.as_expected for finding in review.findings)
        row = Table.grid(padding=(0, 1, 0, 0))
        score, took = 8, 6
        row.add_column(width=1)
        row.add_column(width=min(self._width, USUAL) - MARGIN - 4 - score - took)
        row.add_column(width=score, justify="right")
        row.add_column(width=took, justify="right")
        row.add_row(
            self._mark(as_expected=review.as_expected),
            Text(f"{review.number}  {review.scene.title}"),
            Text(f"{good} of {len(review.findings)}", "" if review.as_expected else "bold red"),
            Text(f"{review.took:.1f} s", "dim"),
        )
        self._print(row)

    def _mark(self, *, as_expected: bool) -> Text:
        return Text(self._glyphs.good, "bold green") if as_expected else Text(self._glyphs.bad, "bold red")

    def _arrows(self, text: str) -> str:
        return text.replace("→", self._glyphs.arrow)

    def _print(self, thing: Text | Table, *, margin: int = MARGIN) -> None:
        self._console.print(Padding(thing, (0, 0, 0, margin)), width=self._width)


def _verdict(reviews: Sequence[Review]) -> Text:
    took = sum(review.took for review in reviews)
    failed = [str(review.number) for review in reviews if not review.as_expected]
    if failed:
        scenes = "Scene" if len(failed) == 1 else "Scenes"
        return Text(f"{scenes} {', '.join(failed)} of {len(reviews)} went otherwise than expected.", "bold red")
    return Text(f"All {len(reviews)} scenes went as expected, in {took:.1f} s.", "bold green")
