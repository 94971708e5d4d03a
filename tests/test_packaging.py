"""What users get who install the package and follow its manual."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from importlib.metadata import metadata, requires, version
from pathlib import Path
from typing import get_type_hints

import pytest
from packaging.requirements import Requirement
from support.manual import MANUAL, pages

import foxy_auth
from foxy_auth import Environment, FoxyAuth, OAuthClient, Registration, errors
from foxy_auth.cli import OPTIONAL

TOP = Path(__file__).parents[1]
CLIENTS = ["requests", "httpx", "httpx2", "niquests"]
HEAVY = [*CLIENTS, "authlib", "asyncio", "click", "cryptography", "flask", "rich", "trio", "urllib3"]
MAKE_AUTH = 'auth = foxy_auth.FoxyAuth(client_id="id", client_secret="secret", refresh_token="refresh")'


def python(*lines: str) -> str:
    """Run a program in another process and return what it prints; its errors fail the test."""
    program = [sys.executable, "-W", "error", "-c", "\n".join(lines)]
    return subprocess.run(program, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_public_names_exist() -> None:
    """Each public name can be imported, and `dir` lists it."""
    missing = [name for name in foxy_auth.__all__ if not hasattr(foxy_auth, name) or name not in dir(foxy_auth)]

    assert missing == []


def test_public_names_are_complete() -> None:
    """What type checkers see is what is public, and every error class is."""
    tree = ast.parse(inspect.getsource(foxy_auth))
    guarded = [node.body for node in tree.body if isinstance(node, ast.If)]
    seen = {name.name for body in guarded for node in body if isinstance(node, ast.ImportFrom) for name in node.names}
    kinds = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}

    assert set(foxy_auth.__all__) == seen
    assert kinds <= set(foxy_auth.__all__)


def test_public_names_are_type_checked() -> None:
    """Each public name is used in the file for the type checkers."""
    tree = ast.parse((TOP / "tests/typing/api.py").read_text(encoding="utf-8"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

    assert set(foxy_auth.__all__) - used == set()


def test_unknown_name() -> None:
    """A name that does not exist is an `AttributeError`, as everywhere."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        getattr(foxy_auth, "Nothing")  # noqa: B009 - as attribute, type checkers refuse it


def test_version_is_the_changelogs() -> None:
    """The newest entry of the changelog is that of the installed version."""
    headings = re.findall(r"^## \[(.+?)\]", (TOP / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert version("foxy_auth") == headings[0] == foxy_auth.__version__


@pytest.mark.parametrize("kind", [FoxyAuth, OAuthClient, Registration, Environment])
def test_signatures_can_be_evaluated(kind: type) -> None:
    """What reads signatures when the program runs, as containers for dependency injection do, finds the types."""
    methods = [method for name, method in inspect.getmembers(kind, inspect.isroutine) if not name.startswith("_")]
    evaluated = {method.__name__: get_type_hints(method) for method in methods if not method.__name__.endswith("flow")}

    assert get_type_hints(kind.__init__)  # type: ignore[misc]  # of the very class
    assert inspect.signature(kind, eval_str=True).parameters
    assert all("return" in hints for hints in evaluated.values())


def test_help_fits_a_screen() -> None:
    """`help(FoxyAuth)` begins with an example, and no method takes more than 40 lines."""
    methods = [method for _, method in inspect.getmembers(FoxyAuth, inspect.isfunction)]
    lengths = {method.__name__: len(pydoc.render_doc(method).splitlines()) - 2 for method in methods}
    signature = str(inspect.signature(FoxyAuth))

    assert max(lengths.values()) == lengths["__init__"] <= 40
    assert "environment: 'Environment' = PRODUCTION" in signature
    assert "requests.get(auth.environment.api, auth=auth)" in str(FoxyAuth.__doc__)[:300]


def test_the_package_index_shows_links_that_work() -> None:
    """The README as the package index has it, and the project's addresses, lead to files of this version."""
    shown = metadata("foxy_auth")
    urls = dict(line.split(", ") for line in shown.get_all("Project-URL") or [])
    links = [*urls.values(), *re.findall(r"\]\(([^)\s]+)\)", shown["Description"])]
    tree = rf"{re.escape(urls['Source'])}/(?:blob|raw)/v{re.escape(foxy_auth.__version__)}/([^#]+)"
    files = [found[1] for link in links if (found := re.match(tree, link))]

    assert {"Documentation", "Changelog", "Issues", "Source"} <= set(urls)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert len(files) > 5
    assert [file for file in files if not (TOP / file).exists()] == []


def test_import_loads_nothing_heavy() -> None:
    """Importing the package loads no client library, nothing of Authlib, nothing of the extras."""
    assert python("import sys, foxy_auth", f"print(*set({HEAVY}) & set(sys.modules))") == ""


def test_construction_loads_no_authlib() -> None:
    """Authlib and cryptography are loaded with the first token request."""
    loaded = python("import sys, foxy_auth", MAKE_AUTH, "print(*{'authlib', 'cryptography'} & set(sys.modules))")

    assert loaded == ""


def test_no_client_installed() -> None:
    """Without a client library the import works, and `FoxyAuth` says what to install."""
    said = python(
        "import sys",
        f"sys.modules |= dict.fromkeys({CLIENTS})",
        "import foxy_auth",
        "foxy_auth.Token, foxy_auth.PRODUCTION",
        "try:",
        f"    {MAKE_AUTH}",
        "except ImportError as error:",
        "    print(error)",
    )

    assert "pip install 'foxy_auth[requests]'" in said


@pytest.mark.parametrize("client", ["requests", "httpx", "httpx2"])
def test_one_client_installed(client: str) -> None:
    """One client library is enough, whichever it is."""
    others = [name for name in CLIENTS if name != client]
    made = python(
        "import sys", f"sys.modules |= dict.fromkeys({others})", "import foxy_auth", MAKE_AUTH, "print(bool(auth))"
    )

    assert made == "True"


def test_the_extras_that_the_login_needs() -> None:
    """With only the extras that the manual names for it, the login gets as far as waiting for a response."""
    named = re.search(
        r"its login also needs a client library, `\[(.*?)\]`", (MANUAL / "reference/clients.md").read_text()
    )
    assert named
    extras = named[1].split(",")
    needed = [Requirement(line) for line in requires("foxy_auth") or []]
    brought = {one.name for one in needed for extra in extras if one.marker and one.marker.evaluate({"extra": extra})}
    options = "--client-id=x --client-secret=x --redirect-uri=https://yours.example/ --no-browser --timeout=0.1"
    status = python(
        "import sys",
        f"sys.modules |= dict.fromkeys({OPTIONAL.keys() - brought})",
        "from foxy_auth.cli import main",
        f"print(main(['login', *{options.split()}]))",
    )

    assert status.splitlines()[-1] == "9"


def test_the_manual_names_every_method() -> None:
    """The manual names each method of an auth object and of a client, and each function."""
    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    functions = [name for name in foxy_auth.__all__ if inspect.isfunction(getattr(foxy_auth, name))]
    methods = [name for kind in (FoxyAuth, OAuthClient) for name, _ in inspect.getmembers(kind, inspect.isroutine)]
    ours = {name for name in (*functions, *methods) if not name.startswith("_") and not name.endswith("auth_flow")}

    assert sorted(ours - set(re.findall(r"\w+", text))) == []
