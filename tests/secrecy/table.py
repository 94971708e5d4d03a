"""The table: every way in which something fails."""

from __future__ import annotations

from secrecy import misuse, registering, saving, token_requests

ROWS = [*token_requests.ROWS, *saving.ROWS, *registering.ROWS, *misuse.ROWS]
