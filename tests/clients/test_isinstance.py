"""`FoxyAuth` is an `Auth` of each client library that is loaded, and otherwise an ordinary class."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Precedes every program.
PREAMBLE = """
import sys

CLIENTS = {"httpx", "httpx2", "requests", "niquests"}


def loaded(*more):
    return sorted((CLIENTS | set(more)) & set(sys.modules))


def make_auth(cls=None, **options):
    import time
    from foxy_auth import FoxyAuth, Token

    now = time.time()
    token = Token("FakeToken", refresh_token="FakeRefresh", expires_at=now + 7200.0, obtained_at=now)
    return (cls or FoxyAuth)(client_id="client_Fake", client_secret="FakeSecret", token=token, **options)


def header_through(module, auth):
    def answer(request):
        return module.Response(200, text=request.headers["Authorization"])

    with module.Client(transport=module.MockTransport(answer), auth=auth) as client:
        return client.get("https://api.foxycart.com/").text

"""


def run(code: str) -> list[str]:
    """Run *code* in a new interpreter; return the lines that it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60.0,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.splitlines()


IMPORTS = {
    "import": (
        """
from foxy_auth import FoxyAuth
print(loaded())
""",
        ["[]"],
    ),
    "import, with what a refresh needs": (
        """
from foxy_auth import FoxyAuth
print(loaded("authlib", "cryptography"))
""",
        ["[]"],
    ),
    "import after requests": (
        """
import requests
from foxy_auth import FoxyAuth
print(loaded())
""",
        ["['requests']"],
    ),
    "object": (
        """
auth = make_auth()
repr(auth), auth.token, auth.get_token(), auth.headers()
print(loaded())
""",
        ["[]"],
    ),
}


@pytest.mark.parametrize(("code", "printed"), list(IMPORTS.values()), ids=list(IMPORTS))
def test_no_client_library_is_imported(code: str, printed: list[str]) -> None:
    """Neither the import nor an object with a fresh token loads a client library that the program does not use."""
    assert run(code) == printed


AUTHS = {
    "httpx later": (
        """
auth = make_auth()
import httpx
print(isinstance(auth, httpx.Auth), header_through(httpx, auth))
""",
        ["True Bearer FakeToken"],
    ),
    "httpx before": (
        """
import httpx
auth = make_auth()
print(isinstance(auth, httpx.Auth), header_through(httpx, auth))
""",
        ["True Bearer FakeToken"],
    ),
    "httpx2 later": (
        """
auth = make_auth()
import httpx2
print(isinstance(auth, httpx2.Auth), header_through(httpx2, auth))
""",
        ["True Bearer FakeToken"],
    ),
    "both later, one after the other": (
        """
auth = make_auth()
import httpx
print(isinstance(auth, httpx.Auth), header_through(httpx, auth))
import httpx2
print(isinstance(auth, httpx2.Auth), header_through(httpx2, auth))
print(isinstance(auth, httpx.Auth), header_through(httpx, auth), httpx.Auth is httpx2.Auth)
""",
        ["True Bearer FakeToken", "True Bearer FakeToken", "True Bearer FakeToken False"],
    ),
    "httpx2 under the name of httpx": (
        """
auth = make_auth()
import httpx2
httpx2.alias_httpx()
import httpx
print(httpx is httpx2)
print(isinstance(auth, httpx.Auth), header_through(httpx, auth))
""",
        ["True", "True Bearer FakeToken"],
    ),
    "a subclass": (
        """
from foxy_auth import FoxyAuth

class Shop(FoxyAuth):
    pass

auth = make_auth(Shop)
import httpx, httpx2
print(isinstance(auth, httpx.Auth), isinstance(auth, httpx2.Auth), isinstance(auth, Shop), isinstance(auth, FoxyAuth))
print(header_through(httpx, auth))
""",
        ["True True True True", "Bearer FakeToken"],
    ),
    "httpx under way, or replaced by a mock": (
        """
from types import ModuleType
from unittest.mock import MagicMock

import httpx2

auth = make_auth()
for stand_in in (ModuleType("httpx"), MagicMock()):
    sys.modules["httpx"] = stand_in
    print(isinstance(auth, httpx2.Auth), isinstance(auth, str), header_through(httpx2, auth))
""",
        ["True False Bearer FakeToken"] * 2,
    ),
    "no instance of other classes": (
        """
from foxy_auth import FoxyAuth, OAuthClient

class Shop(FoxyAuth):
    pass

auth = make_auth()
import httpx
print(isinstance(auth, Shop), isinstance(auth, httpx.BasicAuth), isinstance(auth, OAuthClient))
print(isinstance(OAuthClient("client_Fake", "FakeSecret"), httpx.Auth))
""",
        ["False False False", "False"],
    ),
}


@pytest.mark.parametrize(("code", "printed"), list(AUTHS.values()), ids=list(AUTHS))
def test_isinstance(code: str, printed: list[str]) -> None:
    """The object is an instance of a client library's `Auth`, whichever was imported first."""
    assert run(code) == printed


# Before each program: the client libraries are imported before the package, or after it.
ORDERS = {
    "libraries before": "import httpx, httpx2\nfrom foxy_auth import FoxyAuth\n",
    "libraries later": "from foxy_auth import FoxyAuth\nFoxyAuth\nimport httpx, httpx2\n",
}
CLASSES = {
    "type": (
        """
auth = make_auth()
print(type(auth) is FoxyAuth, type(auth).__name__, FoxyAuth.__module__)
""",
        ["True FoxyAuth foxy_auth.auth"],
    ),
    "pickle and copies": (
        """
import copy, pickle

auth = make_auth()
isinstance(auth, httpx.Auth)
for again in (pickle.loads(pickle.dumps(auth)), copy.copy(auth), copy.deepcopy(auth)):
    print(type(again) is FoxyAuth, again.token == auth.token, isinstance(again, httpx.Auth))
""",
        ["True True True"] * 3,
    ),
    "subclass": (
        """
import copy, pickle
from foxy_auth import Token

class Shop(FoxyAuth):
    def __init__(self, name, token):
        super().__init__(client_id="client_Fake", client_secret="FakeSecret", token=token)
        self.name = name

    def headers(self):
        return {**super().headers(), "X-Shop": self.name}

auth = Shop("fox", Token("FakeToken", refresh_token="FakeRefresh"))
for again in (auth, pickle.loads(pickle.dumps(auth)), copy.copy(auth), copy.deepcopy(auth)):
    print(type(again) is Shop, again.headers()["X-Shop"], isinstance(again, httpx.Auth), isinstance(again, FoxyAuth))
""",
        ["True fox True True"] * 4,
    ),
    "subclasses with a say in being derived from": (
        """
made = []

class Meta(type):
    def __new__(meta, name, bases, members, *, region):
        made.append(name)
        return super().__new__(meta, name, bases, members)

    def __init__(cls, name, bases, members, *, region):
        super().__init__(name, bases, members)

class Shop(FoxyAuth, metaclass=Meta, region="eu"):
    pass

class Seller(FoxyAuth):
    def __init_subclass__(cls, **options):
        raise TypeError("nobody derives from this")

for kind in (Shop, Seller):
    auth = make_auth(kind)
    print(isinstance(auth, httpx.Auth), isinstance(auth, kind), isinstance(auth, str), header_through(httpx, auth))
print(made)
""",
        ["True True False Bearer FakeToken"] * 2 + ["['Shop']"],
    ),
    "subclasses with pickling of their own": (
        """
import copy, pickle, threading

class Slots(FoxyAuth):
    __slots__ = ("name",)

class Locked(FoxyAuth):
    def __init__(self, **options):
        super().__init__(**options)
        self.name, self.lock = "fox", threading.Lock()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "lock"}

class Reduced(FoxyAuth):
    def __reduce__(self):
        return restore, ()

def restore():
    auth = make_auth(Reduced)
    auth.name = "fox"
    return auth

for kind in (Slots, Locked, Reduced):
    auth = make_auth(kind)
    auth.name = "fox"
    for again in (pickle.loads(pickle.dumps(auth)), copy.copy(auth), copy.deepcopy(auth)):
        print(type(again) is kind, again.name, again.token is not None)
""",
        ["True fox True"] * 9,
    ),
    "an object of the same class": (
        """
import pickle

auth = make_auth(make_auth().__class__)
print(type(auth) is FoxyAuth, type(pickle.loads(pickle.dumps(auth))) is FoxyAuth, isinstance(auth, httpx.Auth))
""",
        ["True True True"],
    ),
    "singledispatch": (
        """
import functools

class Shop(FoxyAuth):
    pass

@functools.singledispatch
def name_of(thing):
    return "something"

@name_of.register
def _(thing: FoxyAuth):
    return "FoxyAuth"

@name_of.register
def _(thing: Shop):
    return "Shop"

print(name_of(make_auth()), name_of(make_auth(Shop)), name_of(None))
""",
        ["FoxyAuth Shop something"],
    ),
    "singledispatch for the library's class": (
        """
import functools

@functools.singledispatch
def name_of(thing):
    return "something"

@name_of.register
def _(thing: httpx.Auth):
    return "Auth"

print(name_of(make_auth()), name_of(httpx.BasicAuth("user", "password")))
""",
        ["Auth Auth"],
    ),
    "match": (
        """
match make_auth():
    case FoxyAuth(token=token):
        print(token.access_token)
""",
        ["FakeToken"],
    ),
}


@pytest.mark.parametrize("order", list(ORDERS.values()), ids=list(ORDERS))
@pytest.mark.parametrize(("code", "printed"), list(CLASSES.values()), ids=list(CLASSES))
def test_a_class_like_any_other(order: str, code: str, printed: list[str]) -> None:
    """R21: Pickles, copies, subclasses and what depends on the class work as for any other object."""
    assert run(order + code) == printed
