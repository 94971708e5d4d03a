"""A browser without a screen: it follows redirects, keeps cookies, reads forms and presses buttons."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests

DEADLINE = 30.0  # seconds to wait for a response


class Browser:
    """A browser; use it as a context manager."""

    def __init__(self) -> None:
        """Start without cookies."""
        self._session = requests.Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def open(self, url: str) -> requests.Response:
        """Open *url* and follow redirects."""
        return self._session.get(url, timeout=DEADLINE)

    def press(self, page: requests.Response, **button: str) -> requests.Response:
        """Submit the first form of *page* with the button of that name and value, and follow redirects."""
        response = self._submit(page, button)
        return self.open(urljoin(response.url, response.headers["Location"])) if response.is_redirect else response

    def decide(self, url: str, decision: str = "allow") -> str:
        """Open a consent page, press a button, and return where the provider redirects the browser."""
        page = self.open(url)
        assert page.ok, page.text
        response = self._submit(page, {"decision": decision})
        assert response.is_redirect, response.text
        return urljoin(page.url, response.headers["Location"])

    def _submit(self, page: requests.Response, fields: dict[str, str]) -> requests.Response:
        form = Form(page.text)
        target = urljoin(page.url, form.action)
        if form.method == "get":
            return self._session.get(target, params={**form.fields, **fields}, allow_redirects=False, timeout=DEADLINE)
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
        return self._session.post(
            target,
            data={**form.fields, **fields},
            headers={"Origin": origin, "Referer": page.url},
            allow_redirects=False,
            timeout=DEADLINE,
        )


class Form(HTMLParser):
    """
    The first form of a page.

    Attributes:
        action: The URL that it is submitted to.

        method: The method, in lower case.

        fields: The fields that are submitted without a button: hidden ones, and what is checked.
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
        """Read a tag."""
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
