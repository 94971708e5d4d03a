"""What `on_token` saves: the newest token in a file, the earlier ones as fingerprints."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from foxy_auth.token import Token


def fingerprint(secret: str | None) -> str:
    """Return what tells secrets apart and gives none of them away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8] if secret else "none"


@dataclass(frozen=True, slots=True)
class Trace:
    """
    What is left of a token that was saved.

    Attributes:
        saved_at: Seconds since the epoch.

        access_token: Its fingerprint.

        refresh_token: Its fingerprint.
    """

    saved_at: float
    access_token: str
    refresh_token: str


class SavedTokens:
    """
    Keep the newest token in a file that only its owner may read.

    Attributes:
        path: The file.

        traces: One for each token that was saved, in that order.
    """

    def __init__(self, path: Path) -> None:
        """Save to *path*."""
        self.path = path
        self.traces: list[Trace] = []

    def save(self, token: Token) -> None:
        """Write *token* beside the old one and put it in its place, so that the file is whole at any moment."""
        new = self.path.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib cannot open with a mode
            json.dump(token.to_dict(), file)
        new.replace(self.path)
        self.traces.append(Trace(time.time(), fingerprint(token.access_token), fingerprint(token.refresh_token)))

    def load(self) -> Token | None:
        """Read the newest token; None before the first."""
        if not self.path.exists():
            return None
        return Token.from_dict(json.loads(self.path.read_text(encoding="ascii")))
