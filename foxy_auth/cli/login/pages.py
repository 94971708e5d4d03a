"""The pages that the browser shows when it returns from Foxy."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from foxy_auth.errors import AuthorizationError
from foxy_auth.token import Token

FOLDER = files("foxy_auth.cli.login")
TEMPLATE = Template(FOLDER.joinpath("page.html").read_text(encoding="utf-8"))
STYLE = FOLDER.joinpath("page.css").read_text(encoding="utf-8")
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
CLOSE = "You can close this window."


class Page(NamedTuple):
    """
    A page.

    Attributes:
        kind: `good`, `bad` or `wait`, which choose the mark above the heading.

        title: The heading.

        text: What has happened.

        advice: What to do now.
    """

    kind: str
    title: str
    text: str
    advice: str = CLOSE

    def html(self) -> str:
        """Return the page as HTML; the fields are escaped."""
        return TEMPLATE.substitute(
            kind=self.kind, title=escape(self.title), text=escape(self.text), advice=escape(self.advice), style=STYLE
        )


WAITING = Page(
    "wait", "Waiting for Foxy", "There is no response from Foxy yet.", "Open the address shown in the terminal."
)
NOT_USED = Page(
    "wait",
    "This response was not used",
    "It does not belong to the current login. It may come from an earlier one, or from another window.",
    f"Open the address shown in the terminal and try again. {CLOSE}",
)
USED = Page(
    "bad",
    "This address was used already",
    "Another browser, or another user of this computer, has opened it before. To be safe, the login was stopped.",
    f"Start the login again; the terminal says how. {CLOSE}",
)
QUESTION = Page("wait", "One question is left", "Access was granted.", "Answer the question in the terminal.")
DENIED = Page(
    "bad",
    "Access was denied",
    "Nothing was connected, and nothing has changed in your Foxy account.",
    f"If you change your mind, start the login again. {CLOSE}",
)
FAILED = Page("bad", "The login failed", "There is no token. The terminal shows why, and what to do.")


def success_page(token: Token) -> Page:
    """Say what was granted."""
    what = f"your Foxy store {token.store_id}" if token.store_id else "your Foxy account"
    return Page("good", "You are logged in", f"foxy-auth now has access to {what}.")


def failure_page(error: BaseException) -> Page:
    """Say how a login ended without a token."""
    denied = isinstance(error, AuthorizationError) and error.error == "access_denied"
    return DENIED if denied else FAILED
