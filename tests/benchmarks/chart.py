"""The picture: a panel for each measure, as SVG."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from itertools import groupby
from math import ceil, floor, log10

from benchmarks.readings import Reading, by_measure, rounded

Place = Callable[[float], float]

COLOURS = {
    "FoxyAuth": "#d1242f",
    "FoxyAuth.aget_token": "#ff9b8f",
    "Authlib": "#0969da",
    "requests-oauthlib": "#1b998b",
    "requests-oauth2client": "#e09f3e",
    "google-auth": "#2d6a4f",
    "google-auth, non-blocking": "#95d5b2",
    "httpx-auth": "#8250df",
    "httpx-oauth2": "#7f5539",
    "both requests by hand": "#57606a",
    "two static headers": "#8c959f",
    "two static headers, again": "#8c959f",
}
WIDTH = 460.0  # of a panel
LABELS = 110.0  # of which for what stands left of its axis
GAP = 24.0
CURVE = 190.0  # the height of a panel with curves
TEXT = "font-family='system-ui, sans-serif' font-size='11' fill='#24292f'"


def _scale(values: list[float], start: float, end: float, *, logarithmic: bool) -> tuple[Place, list[float]]:
    """Return where a value is drawn between two places, and the round values to write beside that axis."""
    low, high = min(values), max(values)
    if logarithmic:
        powers = range(floor(log10(low)), max(ceil(log10(high)), floor(log10(low)) + 1) + 1)
        unit = (end - start) / (len(powers) - 1)
        return lambda value: start + (log10(value) - powers[0]) * unit, [10.0**power for power in powers]
    magnitude = 10.0 ** floor(log10(max(high - low, 0.01) / 6))
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor >= (high - low) / 6)
    ticks = [step * number for number in range(floor(low / step), floor(high / step) + 2)]
    return lambda value: start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (end - start), ticks


def draw(readings: list[Reading], caption: str) -> str:
    """Draw *readings* in two columns, with a legend above and *caption* below."""
    found = [reading for reading in readings if reading.median is not None]
    names = [name for name in COLOURS if any(reading.contestant == name for reading in found)]
    shapes = []
    for number, name in enumerate(names):
        x, y = GAP + number % 5 * 185, 20 + number // 5 * 18
        shapes.append(f"{_dot(x, y, COLOURS[name])}{_text(x + 9, y + 4, name)}")
    columns = [20 + len(names) / 5 * 18 + GAP] * 2
    for measure, group in by_measure(found).items():
        column = columns.index(min(columns))
        panel, height = (_curves if group[0].size else _dots)(group)
        place = f"translate({GAP + column * (WIDTH + GAP)} {columns[column]:.0f})"
        shapes.append(f"<g transform='{place}'>{_text(0, 0, measure, 'start', 'bold')}{panel}</g>")
        columns[column] += height + 2 * GAP
    height = max(columns) + 2 * GAP
    shapes += [_text(GAP, height - 38 + 14 * number, line) for number, line in enumerate(caption.split("; "))]
    wide, high = f"{2 * WIDTH + 3 * GAP:.0f}", f"{height:.0f}"
    size = f"viewBox='0 0 {wide} {high}' width='{wide}' height='{high}'"
    background = "<rect width='100%' height='100%' fill='white'/>"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size}>{background}{''.join(shapes)}</svg>\n"


def _dots(readings: list[Reading]) -> tuple[str, float]:
    """Draw a row for each case: medians as dots, quartiles as lines."""
    ends = [end for reading in readings for end in (reading.low, reading.high) if end is not None]
    at, ticks = _scale(ends, LABELS, WIDTH, logarithmic=min(ends) > 0 and max(ends) > 12 * min(ends))
    shapes, y = [], 10.0
    for case, group in groupby(readings, lambda one: one.case):
        top = y
        for reading in group:
            y += 7
            low, middle, high = (at(value or 0) for value in (reading.low, reading.median, reading.high))
            colour = COLOURS[reading.contestant]
            shapes.append(f"<path d='M{low:.1f} {y}H{high:.1f}' stroke='{colour}'/>{_dot(middle, y, colour)}")
        shapes.append(_text(LABELS - 8, (top + y) / 2 + 7, case, "end"))
        y += 8
        shapes.append(f"<path d='M0 {y}H{WIDTH}' stroke='#eaeef2'/>")
    for tick in ticks:
        shapes.append(f"<path d='M{at(tick):.1f} 8V{y}' stroke='#d0d7de' stroke-dasharray='2 3'/>")
        shapes.append(_text(at(tick), y + 14, rounded(tick), "middle"))
    return "".join(shapes), y + 14


def _curves(readings: list[Reading]) -> tuple[str, float]:
    """Draw a line for each contestant, over the size of the crowd."""
    sizes = sorted({reading.size or 1 for reading in readings})
    heights = [max(reading.median or 0, 0.1) for reading in readings]
    across, _ = _scale([float(size) for size in sizes], 50, WIDTH, logarithmic=True)
    up, ticks = _scale(heights, CURVE, 10, logarithmic=True)
    shapes = [_text(across(size), CURVE + 14, f"{size:,}", "middle") for size in sizes]
    for tick in ticks:
        shapes.append(f"<path d='M50 {up(tick):.1f}H{WIDTH}' stroke='#d0d7de'/>")
        shapes.append(_text(44, up(tick) + 4, rounded(tick), "end"))
    for name in {reading.contestant: None for reading in readings}:
        mine = [(one.size or 1, max(one.median or 0, 0.1)) for one in readings if one.contestant == name]
        points = [(across(size), up(height)) for size, height in mine]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        shapes.append(f"<path d='M{path}' stroke='{COLOURS[name]}' stroke-width='2' fill='none'/>")
        shapes += [_dot(x, y, COLOURS[name]) for x, y in points]
    return "".join(shapes), CURVE + 14


def _dot(x: float, y: float, colour: str) -> str:
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>"


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    where = f"x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-weight='{weight}'"
    return f"<text {where} {TEXT}>{escape(text)}</text>"
