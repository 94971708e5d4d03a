"""Read and validate the fields of a request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flask import abort, request

from foxy_auth.emulator.hal import error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a resource; `limit` is its greatest length in characters."""

    name: str
    required: bool = True
    limit: int = 200
    email: bool = False

    def validate(self, value: str) -> str:
        """Return what is wrong with *value* in the provider's recorded wording, or an empty string."""
        if not value:
            blank = f"{self.name} can't be blank, {self.name} is too short (minimum is 1 characters)"
            return blank if self.required else ""
        if len(value) > self.limit:
            return f"{self.name} is too long (maximum is {self.limit} characters)"
        return f"{self.name} is not a valid email address." if self.email and not _EMAIL.fullmatch(value) else ""


def read_fields() -> dict[str, str]:
    """Read the fields of the current request as text: a form, or else a JSON object of any content type."""
    if request.form:
        return request.form.to_dict()
    content: Any = request.get_json(force=True, silent=True) if request.get_data() else {}
    if not isinstance(content, dict):
        abort(error(400, "The request body is not a JSON object."))
    return {str(name): _text(value) for name, value in cast("dict[str, Any]", content).items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    # JSON can contain lone surrogates, which cannot be encoded.
    return "" if value is None else str(value).encode(errors="replace").decode()


def validate(fields: Mapping[str, str], expected: Iterable[Field], *further: str) -> dict[str, str]:
    """
    Return the *expected* fields, or abort with one message per wrong field.

    *further* are messages about what only the caller can check; empty ones are ignored.
    """
    taken = {field.name: fields.get(field.name, "").strip() for field in expected}
    messages = [*(field.validate(taken[field.name]) for field in expected), *further]
    if wrong := [message for message in messages if message]:
        abort(error(400, *wrong))
    return taken
