"""What is measured: a value, medians and spread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import quantiles
from typing import Self


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What one contestant reached in one case.

    Attributes:
        measure: What was measured, with its unit.

        case: In which of its cases: a client library, say.

        contestant: Whose value it is.

        median: The median of all trials; None if they did not end in time.

        low: The first quartile.

        high: The third quartile.

        size: How many tenants, callers or processes there were, for curves.

        note: What else there is to say.
    """

    measure: str
    case: str
    contestant: str
    median: float | None = None
    low: float | None = None
    high: float | None = None
    size: int | None = None
    note: str = ""

    @classmethod
    def of(
        cls, measure: str, case: str, name: str, trials: Iterable[float], *, size: int | None = None, note: str = ""
    ) -> Self:
        """Summarize the *trials* of the contestant of this *name*; none are those that failed or took too long."""
        values = list(trials)
        if not values:
            return cls(measure, case, name, size=size, note=note or "no result in time")
        low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(measure, case, name, middle, low, high, size, note)


def rounded(value: float) -> str:
    """Write *value* with three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def by_measure(readings: Iterable[Reading]) -> dict[str, list[Reading]]:
    """Group *readings* by what was measured, in the order in which that was first done; smaller sizes come first."""
    groups: dict[str, list[Reading]] = {}
    for reading in sorted(readings, key=lambda reading: reading.size or 0):
        groups.setdefault(reading.measure, []).append(reading)
    return groups
