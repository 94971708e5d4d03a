"""Python, this package and the client libraries."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from foxy_auth._libraries import LIBRARIES
from foxy_auth.cli.doctor.finding import Finding, Setup, fail, ok

INSTALL = "pip install 'foxy_auth[requests]'"


def check_python(_: Setup) -> Iterator[Finding]:
    """Tell which Python runs where."""
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield ok("python", f"{platform.python_implementation()} {platform.python_version()} on {system}")


def check_package(_: Setup) -> Iterator[Finding]:
    """Tell the versions of this package and of what it needs."""
    needed = ", ".join(f"{name} {_version(name)}" for name in ("Authlib", "cryptography"))
    yield ok("foxy_auth", f"{_version('foxy_auth')}, with {needed}")


def check_clients(setup: Setup) -> Iterator[Finding]:
    """Tell which client libraries are installed, and whether each can be imported."""
    installed = [name for name in LIBRARIES if find_spec(name) is not None]
    for name in installed:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever an installation lacks
            yield fail("clients", f"{name} cannot be imported ({error})", f"Install it again: pip install -U {name}.")
    if not installed:
        yield fail("clients", "no client library is installed", f"Install one: {INSTALL}.")
        return
    names = ", ".join(f"{name} {_version(name)}" for name in installed)
    yield ok("clients", f"{names}; the command line uses {setup.library}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a folder on the path, say
        return "of unknown version"
