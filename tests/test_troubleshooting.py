"""The page help/troubleshooting.md: what it quotes is what the package, or the provider, says."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from support.manual import MANUAL

PACKAGE = Path(__file__).parents[1] / "foxy_auth"
PAGE = MANUAL / "help/troubleshooting.md"
ELSEWHERE = {"TooManyRedirects"}  # what client libraries say


@cache
def said() -> str:
    """Return all text that the code contains, the emulator's too, whose messages are the provider's."""
    trees = [ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")]
    texts = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Constant)]
    return "\n".join(filter(None, map(text_of, texts)))


def text_of(node: ast.AST) -> str:
    """Return what a literal says, with an ellipsis for each value."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value.replace("%s", "…") if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def quoted() -> list[str]:
    """Return the messages in the first column of the page's tables."""
    rows = re.findall(r"^\| (?!---|message|what you see)(.+?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    return [message for row in rows for message in re.findall("`(.+?)`", row)]


@pytest.mark.parametrize("message", quoted())
def test_quoted_messages_exist(message: str) -> None:
    """Each part of a quoted message stands in the code, in that order if it is of one text."""
    parts = [part.strip() for part in message.split("…") if len(part.strip()) > 3]

    assert parts
    assert message in ELSEWHERE | {"Authorization"} or [part for part in parts if part not in said()] == []


def test_many_messages_are_explained() -> None:
    """The page is found, and its tables are read."""
    assert len(quoted()) > 70
