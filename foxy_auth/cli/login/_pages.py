"""What the browser shows when it comes back."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from importlib.resources import files
from string import Template

from foxy_auth.errors import AuthorizationError
from foxy_auth.token import Token

# The address has lost the code by a redirect already; this is for browsers that show the one before it.
SCRIPT = "history.replaceState(null, '', location.pathname)"
CLOSE = "You may close this window."


def _read(name: str) -> str:
    return files("foxy_auth.cli.login").joinpath(name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


STYLE = _read("page.css")
TEMPLATE = Template(_read("page.html"))
HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": f"default-src 'none'; style-src {_digest(STYLE)}; script-src {_digest(SCRIPT)}; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Page:
    """
    A page.

    Attributes:
        kind: `good`, `bad` or `wait`: the mark above the heading.

        title: The heading.

        lines: Paragraphs; the last one stands apart.

        status: Of HTTP.
    """

    kind: str
    title: str
    lines: tuple[str, ...]
    status: HTTPStatus = HTTPStatus.OK

    def html(self) -> str:
        """Write the page; everything that is filled in is text."""
        *first, last = map(escape, self.lines)
        paragraphs = [*(f"<p>{line}</p>" for line in first), f'<p class="last">{last}</p>']
        return TEMPLATE.substitute(
            title=escape(self.title), kind=self.kind, body="\n  ".join(paragraphs), style=STYLE, script=SCRIPT
        )


WAITING = Page(
    "wait",
    "Waiting for your answer",
    ("The login has begun, but no answer has come in yet.", "Open the address that the terminal shows."),
)
FOREIGN = Page(
    "wait",
    "This answer was not used",
    (
        "It does not belong to the login that is waiting now: perhaps to an older one, in another window.",
        f"Open the address that the terminal shows, and answer there. {CLOSE}",
    ),
    HTTPStatus.BAD_REQUEST,
)
NOWHERE = Page(
    "wait",
    "There is nothing here",
    ("This computer is waiting for a login to Foxy, but not at this address.", CLOSE),
    HTTPStatus.NOT_FOUND,
)
UNCERTAIN = Page("wait", "Still at work", ("Foxy takes long to answer.", f"The terminal tells the outcome. {CLOSE}"))
DENIED = Page(
    "bad",
    "Access was denied",
    (
        "Nothing was connected, and nothing has changed in your Foxy account.",
        f"Should you change your mind, start the login again. {CLOSE}",
    ),
)
FAILED = Page(
    "bad",
    "The login did not succeed",
    ("No token was obtained or kept. The terminal says why, and what to do.", CLOSE),
)


def granted(token: Token) -> Page:
    """Say what was granted, and nothing that is secret."""
    what = f"your Foxy store {token.store_id}" if token.store_id else "your Foxy account"
    return Page("good", "You are logged in", (f"foxy-auth now has access to {what}.", f"All is done. {CLOSE}"))


def page_of(error: BaseException) -> Page:
    """Say how a login ended that brought no token."""
    denied = isinstance(error, AuthorizationError) and error.error == "access_denied"
    return DENIED if denied else FAILED
