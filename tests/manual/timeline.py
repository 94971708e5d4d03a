"""
Draw the life of a token, from the package's own numbers: `python tests/manual/timeline.py`.

The picture is that of explanation/refresh-and-401.md, and a test compares it with what this draws.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from foxy_auth._engine.freshness import Freshness, Windows
from foxy_auth.auth import LEEWAY, REFRESH_AHEAD
from foxy_auth.token import Token

PICTURE = Path(__file__).parents[2] / ".github/manual/explanation/token-life.svg"
LIFE = 7200.0  # seconds, as Foxy issues access tokens
WIDTH, ROW, TOP = 600, 84, 34
BAR, WORDS = 118, 150  # where the bar and the words begin
COLOURS = {
    Freshness.FRESH: "#2da44e",
    Freshness.STALE: "#d4a72c",
    Freshness.DUE: "#e16f24",
    Freshness.EXPIRED: "#cf222e",
}
DEEDS = {
    Freshness.FRESH: ("Requests are signed and sent at once.",),
    Freshness.STALE: (
        "Requests are sent at once. The first one starts the",
        "refresh, in the background. Nobody waits.",
    ),
    Freshness.DUE: ("Requests wait for the refresh, and share one.", "If it fails, the token still serves."),
    Freshness.EXPIRED: ("Requests wait for the refresh, and share one.", "If it fails, they raise an error."),
}
STYLE = """
text { font: 15px system-ui, sans-serif; fill: #1f2328 }
.name { font-weight: 600 } .time { font-size: 14px; text-anchor: end }
.note { font: 13px system-ui, sans-serif; fill: #59636e }
.ground { fill: #ffffff; stroke: #d1d9e0 } line { stroke: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .note { fill: #9198a1 } .ground { fill: #0d1117; stroke: #3d444d } line { stroke: #9198a1 }
}
"""


def draw() -> str:
    """Return the picture as SVG: time runs downwards, and not to scale."""
    schedule = Windows(REFRESH_AHEAD, LEEWAY).schedule(Token("made-up", obtained_at=0.0, expires_at=LIFE))
    latest = Windows(REFRESH_AHEAD, LEEWAY).schedule(Token("made-up", obtained_at=0.0, expires_at=LIFE), jitter=1.0)
    instants = [0.0, schedule.stale_at, schedule.due_at, schedule.expires_at]
    notes = [
        "once it is issued",
        f"refresh_ahead; up to {_clock(latest.stale_at)}, at random",
        "leeway",
        "once its two hours are over",
    ]
    shapes = []
    for number, (instant, note) in enumerate(zip(instants, notes, strict=True)):
        freshness, y = schedule.freshness(instant), TOP + ROW * number
        shapes += [
            f"<rect x='{BAR}' y='{y}' width='14' height='{ROW}' fill='{COLOURS[freshness]}'/>",
            f"<line x1='{BAR - 8}' x2='{BAR + 14}' y1='{y}' y2='{y}'/>",
            _text(BAR - 14, y + 5, _clock(instant), "time"),
            _text(WORDS, y + 25, freshness.name.lower(), "name", note),
            *(_text(WORDS, y + 46 + 19 * line, deed) for line, deed in enumerate(DEEDS[freshness])),
        ]
    end = TOP + ROW * len(instants)
    shapes += [
        _text(BAR - 14, end + 34, "at any time", "time"),
        f"<circle cx='{BAR + 7}' cy='{end + 29}' r='7' fill='{COLOURS[Freshness.EXPIRED]}'/>",
        _text(WORDS, end + 34, "401", "name"),
        _text(WORDS, end + 54, "The token is refreshed, and the request is sent again."),
    ]
    size = f"viewBox='0 0 {WIDTH} {end + 74}' width='{WIDTH}' height='{end + 74}'"
    ground = "<rect class='ground' x='0.5' y='0.5' width='99.8%' height='99.8%' rx='8'/>"
    title = "<title>The life of a token: fresh, stale, due, expired</title>"
    drawn = "\n".join(shapes)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' {size}>{title}\n<style>{STYLE}</style>\n{ground}\n{drawn}\n</svg>\n"
    )


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"


def _text(x: int, y: int, words: str, name: str = "deed", note: str = "") -> str:
    beside = f"<tspan class='note' dx='10'>{escape(note)}</tspan>" if note else ""
    return f"<text class='{name}' x='{x}' y='{y}'>{escape(words)}{beside}</text>"


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
