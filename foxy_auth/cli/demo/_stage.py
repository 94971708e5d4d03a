"""What the scenes play on: the emulator, one grant, and the tokens saved so far."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from foxy_auth.auth import FoxyAuth
from foxy_auth.cli.demo._saved import SavedTokens
from foxy_auth.emulator import Call, Emulator
from foxy_auth.token import Token

LIFE = 7200.0  # seconds; what Foxy gives an access token
OK, UNAUTHORIZED = 200, 401
PATIENCE = 10.0  # seconds that a request of the demo may take


class Stage:
    """
    Hand the grant from scene to scene: each starts from what `on_token` saved in those before.

    Attributes:
        foxy: The emulator.

        saved: What `on_token` saves.

        started_at: When the demo began, in seconds since the epoch.
    """

    def __init__(self, foxy: Emulator, folder: Path) -> None:
        """Let somebody authorize the demo; tokens are saved in *folder*."""
        self.foxy = foxy
        self.saved = SavedTokens(folder / "token.json")
        self.started_at = time.time()
        self._granted = foxy.grant()

    def auth(self) -> FoxyAuth:
        """Return an object that starts from the newest token, as a program does that was started again."""
        return self._auth(self._newest())

    def auth_with(self, *, left: float) -> FoxyAuth:
        """Do the same after a long pause: the token has *left* seconds to live, or expired that long ago."""
        expires_at = time.time() + left
        return self._auth(replace(self._newest(), expires_at=expires_at, obtained_at=expires_at - LIFE))

    def auth_from_refresh_token(self) -> FoxyAuth:
        """Return an object that has no access token yet."""
        return self._auth(self._newest().refresh_token)

    def watch(self) -> Watch:
        """Begin to watch what arrives."""
        return Watch(self.foxy)

    def _newest(self) -> Token:
        """Return the newest token; a new grant's, if a scene that went wrong has cost the old one."""
        token = self.saved.load() or self._granted
        if token.refresh_token != self.foxy.current_refresh_token:
            token = self._granted = self.foxy.grant()
        return token

    def _auth(self, start: Token | str | None) -> FoxyAuth:
        return FoxyAuth(
            client_id=self.foxy.client_id,
            client_secret=self.foxy.client_secret,
            token=start if isinstance(start, Token) else None,
            refresh_token=start if isinstance(start, str) else None,
            on_token=self.saved.save,
            environment=self.foxy.environment,
        )


class Watch:
    """What has arrived since the watch began, at the emulator and elsewhere."""

    def __init__(self, foxy: Emulator) -> None:
        """Begin."""
        self._foxy = foxy
        self._api_calls_before = len(foxy.api_calls)
        self._token_calls_before = len(foxy.token_calls)
        self._foreign_calls_before = len(foxy.elsewhere.calls)

    @property
    def api_calls(self) -> list[Call]:
        """The requests to the API."""
        return self._foxy.api_calls[self._api_calls_before :]

    @property
    def token_calls(self) -> list[Call]:
        """The requests to the token endpoint."""
        return self._foxy.token_calls[self._token_calls_before :]

    @property
    def foreign_calls(self) -> list[Call]:
        """The requests to the other origin."""
        return self._foxy.elsewhere.calls[self._foreign_calls_before :]

    @property
    def calls(self) -> list[Call]:
        """All of them, by the time of their arrival."""
        return sorted([*self.api_calls, *self.token_calls, *self.foreign_calls], key=lambda call: call.arrived_at)

    @property
    def answers(self) -> list[int | None]:
        """The status of each answer of the API."""
        return [call.status for call in self.api_calls]
