"""The signs on the screen, for terminals that know them and for those that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What is drawn with."""

    good: str
    bad: str
    bar: str
    dot: str
    rule: str
    arrow: str
    spinner: str


RICH = Glyphs(good="✓", bad="✗", bar="━", dot="•", rule="─", arrow="→", spinner="dots")
PLAIN = Glyphs(good="+", bad="X", bar="=", dot="-", rule="-", arrow="->", spinner="line")


def glyphs_for(console: Console) -> Glyphs:
    """Return the signs that *console* can print."""
    return PLAIN if console.options.ascii_only else RICH
