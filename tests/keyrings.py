"""Keyring backends for tests: one that keeps values, and several that are of no use."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from keyring.backend import KeyringBackend

if TYPE_CHECKING:
    from collections.abc import Callable


class KeptKeyring(KeyringBackend):
    """Keeps secrets in a file, like a keyring that all processes of a user reach."""

    priority = 1

    def __init__(self, path: Path | None = None) -> None:
        """Keep them at *path*."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path or Path("keyring.json")

    def secrets(self) -> dict[str, str]:
        """Return all secrets, by service and user."""
        try:
            kept: dict[str, str] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return kept

    def get_password(self, service: str, username: str) -> str | None:
        """Look one up."""
        with FileLock(f"{self.path}.lock"):
            return self.secrets().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep one."""
        with FileLock(f"{self.path}.lock"):
            secrets = {**self.secrets(), f"{service} {username}": password}
            self.path.write_text(json.dumps(secrets), encoding="utf-8")


class PlaintextKeyring(KeptKeyring):
    """Is called like the one that keyrings.alt falls back to."""

    scheme = "no encyption"  # sic


class BrokenKeyring(KeyringBackend):
    """Does to every call what the test wants."""

    priority = 1

    def __init__(self, deed: Callable[[], object]) -> None:
        """Do *deed*."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.deed = deed

    def get_password(self, service: str, username: str) -> str | None:  # noqa: D102
        self.deed()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:  # noqa: D102
        self.deed()


class LockedKeyring(BrokenKeyring):
    """Waits for somebody to unlock it."""

    def __init__(self) -> None:
        """Wait."""
        self.unlocked = threading.Event()
        super().__init__(lambda: self.unlocked.wait(10))
