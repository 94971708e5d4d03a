"""
Fixtures for tests of programs that use this package; pytest finds them by itself.

`foxy` is an emulator of Foxy, `foxy_auth_for` makes auth objects for it, `foxy_env` puts its credentials into the
environment, and `foxy_clock` moves the time of client and emulator. The fixtures need the extra `emulator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

# Every run of pytest imports this module: it loads nothing before a fixture is asked for.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from foxy_auth import FoxyAuth
    from foxy_auth.emulator import Emulator
    from foxy_auth.testing import FoxyClock

pytest.register_assert_rewrite("foxy_auth.testing")


@pytest.fixture
def foxy() -> Iterator[Emulator]:
    """An emulator of Foxy for this test alone, on a free port of this machine."""
    try:
        from foxy_auth.emulator import Emulator
    except ModuleNotFoundError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with Emulator() as foxy:
        yield foxy


@pytest.fixture
def foxy_auth_for(foxy: Emulator) -> Callable[..., FoxyAuth]:
    """A function that takes a scope and returns a `FoxyAuth` with a new grant; further options are passed on."""
    from foxy_auth import FoxyAuth

    def auth_for(scope: str = "store_full_access", **options: Any) -> FoxyAuth:
        arguments: dict[str, Any] = {
            "client_id": foxy.client_id,
            "client_secret": foxy.client_secret,
            "environment": foxy.environment,
            "token": foxy.grant(scope),
        }
        return FoxyAuth(**{**arguments, **options})

    return auth_for


@pytest.fixture
def foxy_env(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The environment variables that `FoxyAuth.from_env()` reads, with a new grant; they are set for this test."""
    variables = foxy.variables()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):  # a proxy does not lead to this machine
        monkeypatch.setenv(name, "127.0.0.1", prepend=",")
    return variables


@pytest.fixture
def foxy_clock() -> Iterator[FoxyClock]:
    """A clock that stands still until the test moves it: `foxy_clock.advance(7200)`; no other clock is touched."""
    from foxy_auth.testing import FoxyClock

    with FoxyClock() as clock:
        yield clock
