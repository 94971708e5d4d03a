"""The rules, which docstrings cite by their numbers."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def cited_in(folder: str) -> set[str]:
    """Return the numbers that the code in *folder* cites, at the beginning of a docstring or in parentheses."""
    citations = re.compile(r'(?:"""|\()((?:R\d+(?:, | to )?)+)[:)]')
    found = (
        citation for file in (ROOT / folder).rglob("*.py") for citation in citations.findall(file.read_text("utf-8"))
    )
    return {number for citation in found for number in re.findall(r"R\d+", citation)}


def test_every_rule_has_a_test() -> None:
    """Each rule is cited by a test, and nothing cites a rule that does not exist."""
    listed = re.findall(r"^- \*\*(R\d+)\*\* ", (ROOT / ".github/RULES.md").read_text("utf-8"), re.MULTILINE)

    assert listed == [f"R{number}" for number in range(1, len(listed) + 1)]
    assert cited_in("foxy_auth") <= cited_in("tests") == set(listed)


def test_the_threat_model_names_tests_that_exist() -> None:
    """Every test and every file of tests that SECURITY.md names is there."""
    text = (ROOT / ".github/SECURITY.md").read_text("utf-8")
    functions = {
        name
        for file in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    named = set(re.findall(r"`(test_\w+)`", text))

    assert len(named) > 40
    assert named <= functions
    assert [file for file in re.findall(r"tests/[\w/]+\.py", text) if not (ROOT / file).exists()] == []
