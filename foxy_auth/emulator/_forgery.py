"""Tell a decision made on our page from one forged by another site."""

from __future__ import annotations

import hashlib
import hmac
from secrets import token_bytes, token_urlsafe
from typing import TYPE_CHECKING

from flask import request

if TYPE_CHECKING:
    from flask import Response

_COOKIE = "foxy_session"


class Forgery:
    """Tie a form to the browser that it was shown to: its token is made from that browser's cookie."""

    def __init__(self) -> None:
        """Take a key of our own."""
        self._key = token_bytes(32)

    def session(self) -> str:
        """Return the current browser's session, a new one if it has none."""
        return request.cookies.get(_COOKIE) or token_urlsafe(32)

    def token(self, session: str) -> str:
        """Make the token for a form shown in *session*."""
        return hmac.new(self._key, session.encode(), hashlib.sha256).hexdigest()

    def remember(self, answer: Response, session: str) -> None:
        """Let the browser keep *session*; another site's form does not bring it along."""
        answer.set_cookie(_COOKIE, session, httponly=True, samesite="Lax", path="/authorize")

    def genuine(self) -> bool:
        """Tell whether the current request sends the form that its browser was shown."""
        expected = self.token(request.cookies.get(_COOKIE, ""))
        return _COOKIE in request.cookies and hmac.compare_digest(expected, request.form.get("form_token", ""))
