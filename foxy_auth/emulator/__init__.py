"""
An emulator of Foxy on loopback, for tests and for trying things out.

It serves the API home, the token endpoint, the consent page, client registration, users, stores and integrations, and
what else you give it. It records the requests that arrive, and fails on request::

    with Emulator() as foxy:
        token = foxy.grant()
        foxy.serve("/stores/1/transactions", [{"id": 1}, {"id": 2}])
        foxy.rotate_refresh_tokens = True
        foxy.expire_access_tokens()
        foxy.fail(503, headers={"Retry-After": "1"})
        ...  # request foxy.store_url
        assert [call.status for call in foxy.token_calls] == [503, 200]

It is written from the provider's own pages, independently of the code that is tested with it.
With pytest, use the fixtures of `foxy_auth.pytest_plugin`; in other languages, run `foxy-auth emulator`.
"""

from foxy_auth._libraries import check_installed

check_installed("flask", needed_by="Emulator", extra="emulator")

# After the check, which says what to do.
from foxy_auth.emulator.emulator import Emulator  # noqa: E402
from foxy_auth.emulator.faults import Latch  # noqa: E402
from foxy_auth.emulator.recorder import Call  # noqa: E402

__all__ = ["Call", "Emulator", "Latch"]
