"""The libraries that need not be installed: client libraries, and what other parts of the package ask for."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol

# In the order of preference where the caller's own is not known.
LIBRARIES = ("requests", "httpx", "httpx2", "niquests")


class HttpClient(Protocol):
    """
    What `http=` takes: a `requests.Session`, `httpx.Client`, `httpx2.Client` or `niquests.Session`.

    This is for type checkers, which know such a client by its methods, whichever of the libraries are installed.
    `FoxyAuth` itself asks for these classes, or classes derived from them.

    It carries token requests with its proxies, certificates and mounts. An event hook of an httpx client that raises
    for a bad status hides why the token endpoint refused; hooks of a session are passed over. Token requests run in a
    thread of their own, so async programs give a synchronous client too.
    """

    def send(self, request: Any, /, *, stream: bool = ...) -> Any:
        """Send a request of the client's library."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


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


def check_installed(library: str, *, needed_by: str, extra: str) -> None:
    """
    Check that a *library* is installed, which an *extra* of this package brings.

    Raises:
        ModuleNotFoundError: It is not; the message says who needs it, and how to install it.
    """
    if sys.modules.get(library) is None and find_spec(library) is None:
        raise ModuleNotFoundError(f"{needed_by} needs {library}: pip install 'foxy_auth[{extra}]'", name=library)


def library_of(thing: object) -> str | None:
    """Name the client library that *thing*'s class comes from, or is derived from; None if it is none of them."""
    return library_of_class(type(thing))  # type: ignore[arg-type]  # classes are hashable


@cache
def library_of_class(kind: type) -> str | None:
    """Name the client library that a class comes from, or is derived from; None if it is none of them."""
    libraries = (ancestor.__module__.partition(".")[0] for ancestor in kind.__mro__)
    return next((library for library in libraries if library in LIBRARIES), None)
