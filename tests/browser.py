"""A user at a browser without a screen: follows links and redirects, keeps cookies, reads forms, presses buttons."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests

PATIENCE = 30.0  # seconds for an answer


class Browser:
    """A browser; a context manager."""

    def __init__(self) -> None:
        """Open a window without cookies."""
        self._session = requests.Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def open(self, url: str) -> requests.Response:
        """Go to an address, and on from there as far as redirects lead."""
        return self._session.get(url, timeout=PATIENCE)

    def press(self, page: requests.Response, **button: str) -> requests.Response:
        """Send the first form of *page* by the button of that name and value; follow what comes."""
        return self._follow(self._submit(page, button))

    def decide(self, url: str, decision: str = "allow") -> str:
        """Open a consent page, press a button, and return the address that the provider sends the browser to."""
        page = self.open(url)
        assert page.ok, page.text
        answer = self._submit(page, {"decision": decision})
        assert answer.is_redirect, answer.text
        return urljoin(page.url, answer.headers["Location"])

    def _submit(self, page: requests.Response, fields: dict[str, str]) -> requests.Response:
        form = Form(page.text)
        target = urljoin(page.url, form.action)
        if form.method == "get":
            return self._session.get(target, params={**form.fields, **fields}, allow_redirects=False, timeout=PATIENCE)
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
        return self._session.post(
            target,
            data={**form.fields, **fields},
            headers={"Origin": origin, "Referer": page.url},
            allow_redirects=False,
            timeout=PATIENCE,
        )

    def _follow(self, answer: requests.Response) -> requests.Response:
        return self.open(urljoin(answer.url, answer.headers["Location"])) if answer.is_redirect else answer


class Form(HTMLParser):
    """
    The first form of a page.

    Attributes:
        action: Where it is sent.

        method: How it is sent, in lower case.

        fields: What is sent without a button: hidden fields, and what is chosen already.
    """

    def __init__(self, page: str) -> None:
        """Read *page*."""
        super().__init__()
        self.action, self.method = "", "get"
        self.fields: dict[str, str] = {}
        self._forms = 0
        self.feed(page)
        assert self._forms, f"no form in {page}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag in."""
        attributes = dict(attrs)
        if tag == "form":
            self._forms += 1
            if self._forms == 1:
                self.action = attributes.get("action") or ""
                self.method = (attributes.get("method") or "get").lower()
        elif tag == "input" and self._forms == 1:
            chosen = attributes.get("type") not in {"radio", "checkbox"} or "checked" in attributes
            if chosen and (name := attributes.get("name")):
                self.fields[name] = attributes.get("value") or ""
