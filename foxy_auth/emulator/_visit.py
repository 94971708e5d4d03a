"""Visit the consent page as a user's browser does, without a browser."""

from __future__ import annotations

from html.parser import HTMLParser
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from werkzeug.test import Client

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _Form(HTMLParser):
    """Collect what a form sends if nobody touches it."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, kind = given.get("name"), given.get("type")
        if tag == "input" and name and (kind == "hidden" or "checked" in given):
            self.fields[name] = given.get("value") or ""


def decide(application: WSGIApplication, url: str, *, allow: bool, store: int | None) -> str:
    """
    Open the page at *url*, pick *store* or leave the choice as it is, press a button; return where the browser is sent.

    A request that is refused before the user is asked sends the browser on at once.

    Raises:
        ValueError: The page shows an error, or does not take the decision.
    """
    parts, browser = urlsplit(url), Client(application)
    origin = f"{parts.scheme}://{parts.netloc}"
    page = browser.get(parts.path, query_string=parts.query, base_url=origin)
    if page.status_code == HTTPStatus.OK:
        form = _Form()
        form.feed(page.text)
        chosen = {} if store is None else {"store": str(store)}
        decision = {"decision": "allow" if allow else "deny"}
        page = browser.post(parts.path, data={**form.fields, **chosen, **decision}, base_url=origin)
    if page.status_code != HTTPStatus.FOUND:
        raise ValueError(f"the authorization endpoint answers {page.status_code}: {page.text}")
    return page.location
