"""Keyring backends for tests."""

from __future__ import annotations

import json
from pathlib import Path

from filelock import FileLock
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError


class FileKeyring(KeyringBackend):
    """Keeps secrets in a file, so that all processes of a user share them, as with a real keyring."""

    priority = 1

    def __init__(self, path: Path | None = None) -> None:
        """Keep them at *path*."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path or Path("keyring.json")

    def secrets(self) -> dict[str, str]:
        """Return all secrets, by service and user."""
        try:
            secrets: dict[str, str] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return secrets

    def get_password(self, service: str, username: str) -> str | None:
        """Return a secret."""
        with FileLock(f"{self.path}.lock"):
            return self.secrets().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store a secret."""
        with FileLock(f"{self.path}.lock"):
            secrets = {**self.secrets(), f"{service} {username}": password}
            self.path.write_text(json.dumps(secrets), encoding="utf-8")

    def delete_password(self, service: str, username: str) -> None:
        """Remove a secret; raise an error if there is none, as the others do."""
        with FileLock(f"{self.path}.lock"):
            secrets = self.secrets()
            if secrets.pop(f"{service} {username}", None) is None:
                raise PasswordDeleteError
            self.path.write_text(json.dumps(secrets), encoding="utf-8")


class PlaintextKeyring(FileKeyring):
    """Has the name and the scheme of the one that keyrings.alt falls back to."""

    scheme = "no encyption"  # sic


class BrokenKeyring(KeyringBackend):
    """Raises the same error whatever is asked of it."""

    priority = 1

    def __init__(self, error: Exception) -> None:
        """Raise *error*."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:  # noqa: D102
        raise self.error

    def set_password(self, service: str, username: str, password: str) -> None:  # noqa: D102
        raise self.error
