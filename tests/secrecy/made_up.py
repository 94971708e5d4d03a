"""The made-up secrets of these tests, and the search for them: no variable of a test holds one, so any hit counts."""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from functools import cache
from hashlib import sha512
from urllib.parse import unquote

CLIENT_ID = "made-up-client"
PART = 12  # so many characters of a secret are too many
RUN = re.compile(rf"[!-~]{{{PART},}}")


def _made_up(name: str, length: int) -> str:
    """Return text that looks like a secret, with characters that are percent-encoded in URLs."""
    digests = b"".join(sha512(f"{name} {number}".encode()).digest() for number in range(4))
    return b64encode(digests).decode()[:length]


def _values() -> dict[str, str]:
    client_secret = _made_up("client secret", 44)
    return {
        "client secret": client_secret,
        "basic": b64encode(f"{CLIENT_ID}:{client_secret}".encode()).decode(),
        # SQLAlchemy shortens what has more than 300 characters.
        "access token": _made_up("access token", 200),
        "refresh token": _made_up("refresh token", 200),
        "new access token": _made_up("new access token", 200),
        "new refresh token": _made_up("new refresh token", 200),
        "new client secret": _made_up("new client secret", 44),
        "code": _made_up("code", 40),
        "code verifier": _made_up("code verifier", 64).replace("+", "-").replace("/", "_"),
        "state": _made_up("state", 48),
        "encryption key": urlsafe_b64encode(sha512(b"encryption key").digest()[:32]).decode(),
        "other encryption key": urlsafe_b64encode(sha512(b"other encryption key").digest()[:32]).decode(),
    }


class _Secrets:
    """The secrets by their names, hidden from whoever shows the variables of a frame."""

    __slots__ = ("_names", "_values")

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self._names = {part: name for name, value in values.items() for part in _parts(value)}

    def __call__(self, name: str) -> str:
        return self._values[name]

    def __repr__(self) -> str:
        return "<made-up secrets>"

    def found_in(self, text: str) -> set[str]:
        """Name the secrets of which twelve characters or more stand in *text*, be it percent-encoded once or twice."""
        plain = text.replace("\\", "")
        forms = {plain, unquote(plain), unquote(unquote(plain))}
        return {name for form in forms for run in set(RUN.findall(form)) for name in self._found_in_run(run)}

    @cache  # noqa: B019 - there is one of them, and most runs are words that come again and again
    def _found_in_run(self, run: str) -> frozenset[str]:
        return frozenset(self._names[part] for part in _parts(run) if part in self._names)


def _parts(text: str) -> list[str]:
    return [text[start : start + PART] for start in range(len(text) - PART + 1)]


secret = _Secrets(_values())
