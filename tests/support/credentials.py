"""What a program needs to find the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foxy_auth.emulator import Emulator


def credentials(foxy: Emulator) -> dict[str, str]:
    """Return what Foxy's admin shows under "Get Token", as environment variables, and where Foxy is."""
    return {
        "FOXY_API_CLIENT_ID": foxy.client_id,
        "FOXY_API_CLIENT_SECRET": foxy.client_secret,
        "FOXY_API_REFRESH_TOKEN": str(foxy.grant().refresh_token),
        "FOXY_API_URL": foxy.url,
    }
