"""The README, the manual and the project's other pages: what they link to exists, and their picture is up to date."""

from __future__ import annotations

import inspect
import logging
import re
from pathlib import Path
from typing import get_args

import pytest
from manual import timeline
from support.manual import MANUAL, README, TOP, pages

import foxy_auth
from foxy_auth._clients.errors import OUTAGES
from foxy_auth._events import LEVELS, EventName

LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
PAGES = [README, TOP / "CHANGELOG.md", *sorted((TOP / ".github").glob("*.md")), *pages()]
NAMES = [str(page.relative_to(TOP)) for page in PAGES]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as code hosts make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links(name: str) -> None:
    """Every relative link of the page leads to a file that is there, and every anchor to a heading."""
    page = TOP / name
    missing = []
    for path, anchor in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{path}#{anchor}")

    assert missing == []


def test_every_page_is_in_the_index() -> None:
    """The index, from which the site's navigation is made, names each page of the manual."""
    index = MANUAL / "index.md"
    listed = {(MANUAL / path).resolve() for path, _ in LINK.findall(index.read_text("utf-8"))}

    assert [str(page) for page in pages() if page.resolve() not in listed | {index.resolve()}] == []


def test_the_api_is_complete() -> None:
    """The reference names each public name, and has the docstrings of each class and function but the async twins."""
    text = "".join(page.read_text("utf-8") for page in (MANUAL / "reference").glob("api*.md"))
    shown = set(re.findall(r"^<!-- api: foxy_auth\.(\w+)", text, re.MULTILINE))
    documented = {
        name
        for name in foxy_auth.__all__
        if (inspect.isclass(getattr(foxy_auth, name)) or inspect.isfunction(getattr(foxy_auth, name)))
        and name[1:] not in foxy_auth.__all__
        and name != "TokenStore"  # among the stores
    }

    assert documented - shown == set()
    assert {name for name in foxy_auth.__all__ if name not in text} == set()


def test_the_tables_are_complete() -> None:
    """The reference has each event with its level, and each error of a client library that ours can be."""
    listed = re.findall(
        r"^\| `(\w+)` \| ([A-Z]+) \|", (MANUAL / "reference/events.md").read_text("utf-8"), re.MULTILINE
    )
    errors = (MANUAL / "reference/errors.md").read_text("utf-8")

    assert {name for name, _ in listed} == set(get_args(EventName))
    assert {name: getattr(logging, level) for name, level in reversed(listed) if name in LEVELS} == LEVELS
    assert {name for names in OUTAGES.values() for name in names if f"`{name}`" not in errors} == set()


def test_the_picture_is_what_the_code_draws() -> None:
    """The life of a token is drawn from the package's own numbers."""
    assert timeline.PICTURE.read_text("utf-8") == timeline.draw(), "run python tests/manual/timeline.py"
