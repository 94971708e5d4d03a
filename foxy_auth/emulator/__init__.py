"""
Foxy on loopback, for tests and for trying things out.

It serves the API home, the token endpoint, the consent page, registration, users, stores and integrations, records what
arrives, and fails in the ways that a test orders::

    with Emulator() as foxy:
        token = foxy.grant()
        foxy.rotate_refresh_tokens = True
        foxy.expire_access_tokens()
        foxy.fail(503, headers={"Retry-After": "1"})
        ...  # call foxy.store_url
        assert [call.status for call in foxy.token_calls] == [503, 200]

It is written from the provider's own pages, and knows nothing of the code that is tested with it.
"""

from foxy_auth.emulator._face import Emulator
from foxy_auth.emulator._faults import Latch
from foxy_auth.emulator._journal import Call

__all__ = ["Call", "Emulator", "Latch"]
