"""
The code on the pages of the README and the manual, as programs.

A page is read as Markdown, and its code blocks as the steps of one program, in order; each block of the README is a
program of its own. The line numbers of a program are those of its page, so a traceback names the line to look at. How
authors mark what cannot simply run, CONTRIBUTING.md says ("The manual").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement

TOP = Path(__file__).parents[2]
README = TOP / "README.md"
MANUAL = TOP / ".github/manual"
EXECUTED = {"python", "sh"}
# What is shown and not executed: output, configuration, other languages, Python as it should not be (`py`).
SHOWN = {"text", "toml", "ini", "json", "yaml", "diff", "php", "ts", "http", "py", "dockerfile", "nginx"}
SERVERS = {"redis", "postgres", "mysql"}
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>(?!server:).+?) -->\n)?^```(?P<language>\S*)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_INSTALL = re.compile(r"pip install ((?:-\S+ )*(?:'[^']+'|[\w.-]+)(?: (?:'[^']+'|[\w.-]+))*)")
_STEPS = {
    ("", "sh"): "run",
    ("background", "sh"): "start",
    ("pytest", "python"): "run_pytest",
    ("file", "any"): "write",
    ("output", "any"): "check_output",
    ("not run", "any"): "do_not_run",
}
_KEPT = {"coverage", "foxy_auth", "pip", "setuptools"}  # what is there whatever a page names


@dataclass(frozen=True)
class Block:
    """
    A code block.

    Attributes:
        mark: The HTML comment in the line before it, such as `file: app.py`; may be empty.

        language: What stands behind the opening fence.

        code: Its lines.

        line: The number of its first line, that of the fence being one less.

        start: Where it begins in the page's text.
    """

    mark: str
    language: str
    code: str
    line: int
    start: int

    @property
    def kind(self) -> str:
        """The first part of the mark."""
        return self.mark.partition(":")[0].strip()

    @property
    def value(self) -> str:
        """The second part of the mark."""
        return self.mark.partition(":")[2].strip()


@dataclass(frozen=True)
class Program:
    """
    What runs in one fresh interpreter, in an empty folder.

    Attributes:
        name: The page's, with the line for a block of the README.

        page: Where it stands.

        source: The code.

        installed: What the page tells its reader to install, as requirements.

        servers: Which servers it needs.
    """

    name: str
    page: Path
    source: str
    installed: frozenset[str]
    servers: frozenset[str]


def pages() -> list[Path]:
    """Return the pages of the manual."""
    return sorted(MANUAL.rglob("*.md"))


def blocks_of(text: str) -> list[Block]:
    """Return the code blocks of a page."""
    return [
        Block(
            found["mark"] or "",
            found["language"],
            found["code"],
            text.count("\n", 0, found.start("code")) + 1,
            found.start(),
        )
        for found in _BLOCK.finditer(text)
    ]


def programs() -> list[Program]:
    """Return what is to run: a program for each page of the manual and for each block of the README."""
    text = README.read_text("utf-8")
    executed = [block for block in blocks_of(text) if block.language in EXECUTED]
    of_readme = [
        Program(
            f"README.md:{block.line}",
            README,
            _source([block]),
            frozenset(
                _requirements([last for last in _INSTALL.findall(text, 0, block.start) if "foxy_auth" in last][-1:])
            ),
            _servers(text),
        )
        for block in executed
        if block.kind not in {"demo", "tests"}  # .ci/run runs these
    ]
    return of_readme + [program for page in pages() if (program := _program(page))]


def _program(page: Path) -> Program | None:
    text = page.read_text("utf-8")
    steps = [block for block in blocks_of(text) if block.language in EXECUTED or block.kind in {"file", "output"}]
    if not any(block.language in EXECUTED for block in steps):
        return None
    installed = frozenset(_requirements(_INSTALL.findall(text)))
    return Program(str(page.relative_to(MANUAL)), page, _source(steps), installed, _servers(text))


def _requirements(found: list[str]) -> list[str]:
    return [word.strip("'") for words in found for word in words.split() if not word.startswith(("-", "'."))]


def _servers(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"^<!-- server: (\w+) -->$", text, re.MULTILINE))


def _source(blocks: list[Block]) -> str:
    """Put each step on the lines that it has on the page."""
    lines = [""] * (blocks[-1].line + blocks[-1].code.count("\n") + 1)
    for block in blocks:
        if block.language == "python" and not block.mark:
            code = block.code.splitlines()
            lines[block.line - 1 : block.line - 1 + len(code)] = code
        else:
            lines[block.line - 2] = _step(block)
    if any(line.startswith("page_steps.") for line in lines):
        lines[0] = "import page_steps"
    return "\n".join(lines)


def _step(block: Block) -> str:
    """Return the call of what does a step that is not simply Python."""
    if block.kind == "tested":
        return f"# {block.value} does"
    try:
        function = _STEPS[block.kind, block.language if block.kind in {"", "pytest", "background"} else "any"]
    except KeyError:
        raise ValueError(f"line {block.line}: no mark {block.mark!r} for {block.language}, see CONTRIBUTING") from None
    given = [block.value] if block.value else []
    given += [block.language] if block.kind == "not run" else []
    return f"page_steps.{function}({', '.join(map(repr, [*given, block.code]))})"


def absent_modules(installed: frozenset[str]) -> set[str]:
    """Return the modules that somebody lacks who has installed nothing but these requirements."""
    here = _closure(["foxy_auth[all,test]", "niquests"])
    wanted = _closure(["foxy_auth", *installed])
    return {name.replace("-", "_") for name in here - wanted - _KEPT}


def _closure(requirements: list[str]) -> set[str]:
    """Return the names of the distributions that these requirements bring, as far as they are installed here."""
    seen: set[tuple[str, str]] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        one = todo.pop()
        for extra in {"", *one.extras}:
            name = re.sub("[-_.]+", "-", one.name).lower().replace("foxy-auth", "foxy_auth")
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                needed = [Requirement(text) for text in requires(name) or []]
            except PackageNotFoundError:
                continue
            todo += [each for each in needed if not each.marker or each.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}
