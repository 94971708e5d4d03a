"""
An emulator of Foxy on loopback, for tests and for trying things out.

It serves the API home, the token endpoint, the consent page, client registration, users, stores and integrations. It
records the requests that arrive, and fails on request::

    with Emulator() as foxy:
        token = foxy.grant()
        foxy.rotate_refresh_tokens = True
        foxy.expire_access_tokens()
        foxy.fail(503, headers={"Retry-After": "1"})
        ...  # request foxy.store_url
        assert [call.status for call in foxy.token_calls] == [503, 200]

It is written from the provider's own pages, independently of the code that is tested with it.
"""

from foxy_auth.emulator.emulator import Emulator
from foxy_auth.emulator.faults import Latch
from foxy_auth.emulator.recorder import Call

__all__ = ["Call", "Emulator", "Latch"]
