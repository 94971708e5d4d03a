"""
The site of the manual, for Sphinx: `bash .ci/manual FOLDER` builds it.

The pages are plain Markdown. What a site needs beyond that is made here from what they say anyway: the navigation from
the lists of the index, names of files from the marks of code blocks, the API from `<!-- api: NAME -->`.
"""

from __future__ import annotations

import re
import tomllib
from os.path import relpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from foxy_auth import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

TOP = Path(__file__).parents[2]
HERE = PurePosixPath(".github/manual")
# Pages of the repository that are part of the site, and where.
PROJECT = {
    PurePosixPath("CHANGELOG.md"): PurePosixPath("project/changelog.md"),
    PurePosixPath(".github/CONTRIBUTING.md"): PurePosixPath("project/contributing.md"),
    PurePosixPath(".github/RULES.md"): PurePosixPath("project/rules.md"),
    PurePosixPath(".github/SECURITY.md"): PurePosixPath("project/security.md"),
}
METADATA = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["metadata"]["hooks"]["custom"]

project = html_title = "foxy_auth"
release = version = __version__
copyright = "foxy_auth contributors"  # noqa: A001 - Sphinx's name for it
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["conf.py", "examples"]
myst_heading_anchors = 4  # as code hosts make them
default_role = "py:obj"  # a name in a docstring is a link where it can be
html_theme = "furo"
html_theme_options = {"light_css_variables": {"font-stack": "system-ui, sans-serif"}}
html_static_path = html_css_files = ["site.css"]
html_copy_source = html_show_sphinx = False
pygments_style, pygments_dark_style = "tango", "github-dark"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
napoleon_use_ivar = True
python_maximum_signature_line_length = 80
suppress_warnings = ["ref.python"]  # some names of the package are exported from several places

_API = re.compile(r"^<!-- api: (?P<name>\S+)(?P<no_members> no-members)? -->$", re.MULTILINE)
_FILE = re.compile(r"^<!-- (?:file|pytest): (?P<name>\S+).*? -->\n```(?P<language>\w+)$", re.MULTILINE)
_LINK = re.compile(r"(?P<words>!?\[[^\]]*\])\((?P<path>[^)#:\s]+)?(?P<anchor>#[^)\s]*)?\)")


def setup(app: Sphinx) -> None:
    """Let pages be adapted as they are read."""
    app.connect("source-read", adapt)
    app.connect("autodoc-skip-member", is_machinery)
    app.connect("autodoc-process-docstring", show_examples, priority=400)  # before napoleon reads it


def adapt(_app: Sphinx, page: str, source: list[str]) -> None:
    """Make the page *page*, without `.md`, one of the site."""
    path = PurePosixPath(f"{page}.md")
    original = next((original for original, copy in PROJECT.items() if copy == path), HERE / path)
    text = _LINK.sub(lambda link: _relinked(link, original, path), source[0])
    if page == "index":
        text += _navigation(source[0])
    text = _FILE.sub(r"```{code-block} \g<language>\n:caption: \g<name>\n", text)
    source[0] = _API.sub(_documented, text)


def is_machinery(_app: Sphinx, _what: str, name: str, member: object, *_: object) -> bool | None:
    """Leave out what classes and protocols have and nobody calls."""
    return name == "__new__" or getattr(member, "__name__", "").startswith("_no_init") or None


def show_examples(_app: Sphinx, _what: str, _name: str, _of: object, _options: object, lines: list[str]) -> None:
    """Show code in a docstring as code."""
    inside = False
    made = []
    for line in lines:
        if line.startswith("```"):
            inside = not inside
            made += [".. code-block:: python", ""] if inside else [""]
        else:
            made.append(f"   {line}" if inside else line)
    lines[:] = made


def _relinked(link: re.Match[str], original: PurePosixPath, path: PurePosixPath) -> str:
    """Let a link lead to the same page on the site, or to the file in the repository."""
    if not link["path"]:
        return link[0]
    target = PurePosixPath(relpath(original.parent / link["path"], "."))
    if target in PROJECT:
        there = PROJECT[target]
    elif target.is_relative_to(HERE) and target.suffix in {".md", ".svg"}:
        there = target.relative_to(HERE)
    elif target.suffix == ".svg":
        there = PurePosixPath("project", target.name)
    else:
        return f"{link['words']}({METADATA['repository']}/blob/v{version}/{target})"
    return f"{link['words']}({relpath(there, path.parent)}{link['anchor'] or ''})"


def _navigation(index: str) -> str:
    """Return the navigation: the sections of the index with the pages that they list."""
    made = ""
    for section in index.split("\n## ")[1:]:
        caption = section.partition("\n")[0]
        links = re.findall(r"\[([^\]]+)\]\(([^)#:\s]+\.md)\)", section)
        pages = "\n".join(f"{words[0].upper()}{words[1:]} <{_place(link).with_suffix('')}>" for words, link in links)
        made += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"
    return made


def _place(link: str) -> PurePosixPath:
    target = PurePosixPath(relpath(HERE / link, "."))
    return PROJECT[target] if target in PROJECT else target.relative_to(HERE)


def _documented(mark: re.Match[str]) -> str:
    """Return what documents a public name."""
    kind = "class" if mark["name"].rpartition(".")[2][0].isupper() else "function"
    options = [] if kind == "function" or mark["no_members"] else [":members:", ":inherited-members: Exception,tuple"]
    return "\n   ".join([f"```{{eval-rst}}\n.. auto{kind}:: {mark['name']}", *options]) + "\n```\n"
