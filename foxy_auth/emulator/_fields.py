"""Read the fields that a request sends, and say what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flask import abort, request

from foxy_auth.emulator._hal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field that a resource takes; `limit` is its greatest length in characters."""

    name: str
    required: bool = True
    limit: int = 200
    email: bool = False

    def faults(self, value: str) -> list[str]:
        """Say what is wrong with *value*, in the wording seen in recordings of the provider."""
        if not value:
            blank = [f"{self.name} can't be blank", f"{self.name} is too short (minimum is 1 characters)"]
            return blank if self.required else []
        too_long = [f"{self.name} is too long (maximum is {self.limit} characters)"] if len(value) > self.limit else []
        malformed = self.email and not _EMAIL.fullmatch(value)
        return too_long + ([f"{self.name} is not a valid email address."] if malformed else [])


def read_fields() -> dict[str, str]:
    """Read the fields of the current request as text: a form, or else a JSON object, whatever it is called."""
    if request.mimetype in _FORMS:
        return request.form.to_dict()
    content: Any = request.get_json(force=True, silent=True) if request.get_data() else {}
    if not isinstance(content, dict):
        abort(refuse(400, "The JSON that was sent is not an object, or no JSON at all."))
    return {str(name): _text(value) for name, value in cast("dict[str, Any]", content).items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    # JSON can name half of a surrogate pair, which is no character and cannot be written.
    return "" if value is None else str(value).encode(errors="replace").decode()


def checked_fields(fields: Mapping[str, str], expected: Iterable[Field], *further: str) -> dict[str, str]:
    """
    Return the *expected* ones of *fields*, or refuse with one message per wrong field.

    *further* are messages about what only the caller can know; empty ones do not count.
    """
    taken = {field.name: fields.get(field.name, "").strip() for field in expected}
    messages = [", ".join(field.faults(taken[field.name])) for field in expected]
    wrong = [message for message in (*messages, *further) if message]
    if wrong:
        abort(refuse(400, *wrong))
    return taken
