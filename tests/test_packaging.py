"""What users get who install the package and follow its README."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from packaging.requirements import Requirement

import foxy_auth
from foxy_auth import FoxyAuth, OAuthClient, errors
from foxy_auth.cli import OPTIONAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth.emulator import Emulator

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
    """With only the extras that the README names for it, the login gets as far as waiting for a response."""
    named = re.search(r"`foxy-auth login .*?` \(extras? (.*?)\)", (TOP / "README.md").read_text(encoding="utf-8"))
    assert named
    extras = re.findall("`(.*?)`", named[1])
    needed = [Requirement(line) for line in requires("foxy_auth") or []]
    brought = {one.name for one in needed for extra in extras if one.marker and one.marker.evaluate({"extra": extra})}
    options = "--client-id=x --client-secret=x --redirect-uri=https://yours.example/ --json --no-browser --timeout=0.1"
    status = python(
        "import sys",
        f"sys.modules |= dict.fromkeys({OPTIONAL - brought})",
        "from foxy_auth.cli import main",
        f"print(main(['login', *{options.split()}]))",
    )

    assert status == "9"


@pytest.fixture
def reader(foxy: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """Make the emulator the default environment."""
    for kind in (FoxyAuth, OAuthClient):
        monkeypatch.setitem(inspect.unwrap(kind.__init__).__kwdefaults__ or {}, "environment", foxy.environment)
    monkeypatch.chdir(tmp_path)
    yield foxy
    assert foxy.api_calls, "the README's examples call the API"


def test_readme(reader: Emulator) -> None:
    """The README's examples run one after the other, with only credentials and address replaced."""
    text = (TOP / "README.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        source = "\n" * text.count("\n", 0, block.start(1)) + filled_in(block[1], reader)
        code = compile(source, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, names))  # noqa: S307 - our own README
        else:
            exec(code, names)  # noqa: S102 - our own README
    check_first_token(reader, names["begin"], names["callback"])


def test_the_readme_names_every_method() -> None:
    """The README or the recipes name each method of an auth object and of a client, and each function."""
    pages = "".join((TOP / page).read_text(encoding="utf-8") for page in ("README.md", ".github/RECIPES.md"))
    functions = [name for name in foxy_auth.__all__ if inspect.isfunction(getattr(foxy_auth, name))]
    methods = [name for kind in (FoxyAuth, OAuthClient) for name, _ in inspect.getmembers(kind, inspect.isroutine)]
    ours = {name for name in (*functions, *methods) if not name.startswith("_") and not name.endswith("auth_flow")}

    assert sorted(ours - set(re.findall(r"\w+", pages))) == []


def check_first_token(foxy: Emulator, begin: Any, callback: Any) -> None:
    """Get a user's token by the README's two functions for a web application."""
    session: dict[str, str] = {}
    auth = callback(foxy.authorize(begin(session), store=2), session)

    assert session == {}
    assert requests.get(f"{foxy.url}/stores/2", auth=auth, timeout=20).ok


def filled_in(source: str, foxy: Emulator) -> str:
    """Fill in credentials and address."""
    filled = source.replace('"client_…"', repr(foxy.client_id))
    filled = filled.replace('client_secret="…"', f"client_secret={foxy.client_secret!r}")
    filled = filled.replace('"…"', repr(foxy.grant().refresh_token))
    return filled.replace("https://api.foxycart.com", foxy.environment.api)
