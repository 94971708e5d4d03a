"""Our errors as members of a client library's own hierarchy, so that legacy `except` clauses keep working (R22)."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from foxy_auth._secrets import cut
from foxy_auth.errors import FoxyAuthError, Outage

# What the users of a library catch when a request cannot be made, and where its errors are.
BASES = {
    "requests": ("requests.exceptions", "RequestException"),
    "niquests": ("niquests.exceptions", "RequestException"),
    "httpx": ("httpx", "RequestError"),
    "httpx2": ("httpx2", "RequestError"),
}
# What they catch where no response came, which decorators retry: in requests and niquests, and in httpx and httpx2.
OUTAGES: dict[Outage, tuple[str, str]] = {
    "connect": ("ConnectionError", "ConnectError"),
    "connection": ("ConnectionError", "ReadError"),
    "connect_timeout": ("ConnectTimeout", "ConnectTimeout"),
    "read_timeout": ("ReadTimeout", "ReadTimeout"),
    "timeout": ("Timeout", "TimeoutException"),
    "proxy": ("ProxyError", "ProxyError"),
    "tls": ("SSLError", "ConnectError"),
}


@contextmanager
def client_errors(library: str, request: object) -> Generator[None]:
    """
    Let a `FoxyAuthError` pass as an error of *library* too.

    Args:
        library: The name of the client library that makes the request.

        request: Its request, which the error carries as `request` like any of the library's own.
    """
    handled = sys.exception()
    try:
        yield
    except FoxyAuthError as error:
        own = _rebuilt(type(error), library, error.args, vars(cut(error, spared=handled)))
        own.request = request
        raise own from error.__cause__


@cache
def _merged(kind: type[Any], library: str, outage: Outage | None) -> type[Any]:
    module, name = BASES[library]
    if outage is not None:
        name = OUTAGES[outage][name == "RequestError"]
    base: type[Exception] = getattr(import_module(module), name)

    def reduce(error: FoxyAuthError) -> tuple[Any, ...]:
        """Pickle without the request, in which the token stands."""
        state = {name: value for name, value in vars(error).items() if name not in {"request", "_request"}}
        return _rebuilt, (kind, library, error.args, state)

    members = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": reduce}
    return type(kind.__name__, (kind, base), members)


def _rebuilt(kind: type[FoxyAuthError], library: str, args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    merged = _merged(kind, library, state.get("outage"))  # type: ignore[arg-type]  # a class is hashable, whatever typeshed's cache says
    error: Any = merged.__new__(merged, *args)
    error.args = args
    error.request = error.response = None
    error.__dict__.update(state)
    return error
