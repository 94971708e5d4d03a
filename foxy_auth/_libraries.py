"""The client libraries that are served, by their names."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

# In the order of preference where the caller's own is not known.
LIBRARIES = ("requests", "httpx", "httpx2", "niquests")


def installed_library() -> str:
    """
    Name a client library that is installed.

    Raises:
        ImportError: None is.
    """
    for library in LIBRARIES:
        if find_spec(library) is not None:
            return library
    message = (
        "foxy_auth needs an HTTP client and none is installed: "
        "pip install 'foxy_auth[requests]', 'foxy_auth[httpx]', 'foxy_auth[httpx2]' or niquests"
    )
    raise ImportError(message)


def library_of(thing: object) -> str | None:
    """Name the client library that *thing*'s class comes from, or is derived from; None if it is none of them."""
    return library_of_class(type(thing))  # type: ignore[arg-type]  # classes are hashable


@cache
def library_of_class(kind: type) -> str | None:
    """Name the client library that a class comes from, or is derived from; None if it is none of them."""
    libraries = (ancestor.__module__.partition(".")[0] for ancestor in kind.__mro__)
    return next((library for library in libraries if library in LIBRARIES), None)
