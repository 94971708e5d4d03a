"""What a scene consists of, and what it works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Self, cast

from foxy_auth import FoxyAuth, Token
from foxy_auth.emulator import Call, Emulator
from foxy_auth.stores import FileStore

TOKEN_LIFETIME = 7200.0  # seconds


class Check(NamedTuple):
    """
    A check, with both values as text.

    Attributes:
        what: What was checked.

        expected: What it should be.

        seen: What it was.

        passed: Whether that is all right.
    """

    what: str
    expected: str
    seen: str
    passed: bool

    @classmethod
    def equal(cls, what: str, expected: object, seen: object) -> Self:
        """Expect a value."""
        return cls(what, _as_text(expected), _as_text(seen), expected == seen)


class Heading(NamedTuple):
    """The heading of the checks that follow, in a scene with several parts."""

    text: str


class Scene(NamedTuple):
    """
    A scene of the demo.

    Attributes:
        title: A few words.

        text: What is about to happen, in one to three sentences.

        play: Makes it happen and yields the checks.

        needs: The client library that it needs besides requests, if any.
    """

    title: str
    text: str
    play: Callable[[Session], Iterator[Check | Heading]]
    needs: str = ""

    @property
    def can_be_played(self) -> bool:
        """Whether that client library is installed."""
        return not self.needs or find_spec(self.needs) is not None


class Recording:
    """The requests that have arrived since the recording began, at the emulator and at the other origin."""

    def __init__(self, foxy: Emulator) -> None:
        """Begin to record."""
        self._foxy = foxy
        self._skip = len(foxy.calls)
        self._skip_foreign = len(foxy.elsewhere.calls)

    @property
    def token_requests(self) -> list[Call]:
        """The requests to the token endpoint."""
        return [call for call in self._foxy.calls[self._skip :] if call.path == "/token"]

    @property
    def api_requests(self) -> list[Call]:
        """The other requests to the emulator."""
        return [call for call in self._foxy.calls[self._skip :] if call.path != "/token"]

    @property
    def foreign_requests(self) -> list[Call]:
        """The requests to the other origin."""
        return self._foxy.elsewhere.calls[self._skip_foreign :]

    @property
    def statuses(self) -> list[int | None]:
        """The status of each response of the API."""
        return [call.status for call in self.api_requests]

    @property
    def requests(self) -> list[Call]:
        """All requests, in the order of their arrival."""
        requests = [*self._foxy.calls[self._skip :], *self.foreign_requests]
        return sorted(requests, key=lambda call: call.arrived_at)


class Session:
    """
    A grant that passes from scene to scene: each starts from the token that the earlier ones have saved.

    Attributes:
        foxy: The emulator.

        store: Where `on_token` saves the newest token.

        path: The file of that store.

        saved: Every token that was saved.
    """

    def __init__(self, foxy: Emulator, folder: Path) -> None:
        """Authorize the demo; tokens are saved in *folder*."""
        self.foxy = foxy
        self.path: Path = folder / "token.json"
        self.store: FileStore = FileStore(self.path)
        self.saved: list[Token] = []
        self._granted = foxy.grant()

    def auth(self, *, expires_in: float | None = None) -> FoxyAuth:
        """Return an auth object with the newest token; *expires_in* seconds moves its expiry."""
        token = self._newest_token()
        if expires_in is not None:
            expires_at = time.time() + expires_in
            token = replace(token, expires_at=expires_at, obtained_at=expires_at - TOKEN_LIFETIME)
        return self._make_auth(token=token)

    def auth_without_access_token(self) -> FoxyAuth:
        """Return an auth object that has only a refresh token."""
        return self._make_auth(refresh_token=self._newest_token().refresh_token)

    def record(self) -> Recording:
        """Record the requests that arrive from now on."""
        return Recording(self.foxy)

    def _newest_token(self) -> Token:
        """Return the newest token, or one of a new grant if a failed scene has lost the old one."""
        token = self.saved[-1] if self.saved else self._granted
        if token.refresh_token != self.foxy.current_refresh_token:
            token = self._granted = self.foxy.grant()
        return token

    def _make_auth(self, *, token: Token | None = None, refresh_token: str | None = None) -> FoxyAuth:
        return FoxyAuth(
            client_id=self.foxy.client_id,
            client_secret=self.foxy.client_secret,
            token=token,
            refresh_token=refresh_token,
            on_token=self._save,
            environment=self.foxy.environment,
        )

    def _save(self, token: Token) -> None:
        self.store.save(token)
        self.saved.append(token)


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return " → ".join(map(_as_text, cast("list[object]", value))) or "none"
    return f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)
