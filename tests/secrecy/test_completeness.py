"""The table of error paths has all that is public."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from secrecy.table import ROWS

import foxy_auth
import foxy_auth.stores

# What is called by `with`, by client libraries and by Python.
SPECIAL = {"__call__", "__enter__", "__exit__", "__aenter__", "__aexit__"}
EXEMPT = {
    "AuthMethod": "a type",
    "AuthorizationRequest.to_dict": "raises nothing",
    "Created": "a value that only this package makes",
    "Environment.covers": "raises nothing, whatever the text",
    "Environment.is_issuer": "raises nothing, whatever the text",
    "GrantType": "a type",
    "HttpClient": "a protocol",
    "HttpClient.close": "a protocol",
    "HttpClient.send": "a protocol",
    "MemoryStore": "raises nothing, whatever it is given",
    "MemoryStore.delete": "raises nothing",
    "MemoryStore.load": "raises nothing",
    "MemoryStore.save": "raises nothing",
    "Registration": "a value that only this package makes",
    "Registration.to_dict": "raises nothing",
    "Token.to_dict": "raises nothing",
    "TokenStore": "a protocol",
    "TokenStore.delete": "a protocol",
    "TokenStore.load": "a protocol",
    "TokenStore.lock": "a protocol",
    "TokenStore.save": "a protocol",
}


def _public() -> Iterator[str]:
    for module in (foxy_auth, foxy_auth.stores):
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing) and not (isinstance(thing, type) and issubclass(thing, BaseException)):
                yield from _callables(name, thing)


def _callables(name: str, thing: Any) -> Iterator[str]:
    yield name
    for member in dir(thing) if isinstance(thing, type) else ():
        value = inspect.getattr_static(thing, member)
        if (member in SPECIAL or not member.startswith("_")) and callable(getattr(value, "__func__", value)):
            yield f"{name}.{member}"


def test_every_public_callable_has_a_row() -> None:
    """R23: whoever adds a public function adds a row for each way in which it can fail."""
    covered = {name for row in ROWS for name in row.covers}
    public = set(_public())

    assert sorted(public - covered - set(EXEMPT)) == []
    assert sorted((covered | set(EXEMPT)) - public) == []
    assert sorted(covered & set(EXEMPT)) == []
