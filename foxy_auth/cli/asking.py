"""The fields of what is to be created: an option each, and a question for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from foxy_auth.cli.terminal import can_ask


@dataclass(frozen=True, slots=True)
class Field:
    """
    A field.

    Attributes:
        name: As the API calls it.

        help: What it is, as a phrase.

        is_required: Whether the API requires it.

        is_flag: Whether it is true or left out.

        own_option: Its option, if that is not its name.
    """

    name: str
    help: str
    is_required: bool = True
    is_flag: bool = False
    own_option: str = ""

    @property
    def option(self) -> str:
        """The option by which it is given."""
        return self.own_option or f"--{self.name.replace('_', '-')}"


def field_options(fields: Sequence[Field]) -> Callable[[Any], Any]:
    """Give a command an option for each of *fields*, in their order."""

    def decorate(command: Any) -> Any:
        for field in reversed(fields):
            text = f"{field.help}{'' if field.is_required else ' (optional)'}."
            shape: dict[str, Any] = {"is_flag": True, "default": None} if field.is_flag else {"metavar": "TEXT"}
            command = click.option(field.option, field.name, help=text, **shape)(command)
        return command

    return decorate


def complete(fields: Sequence[Field], given: dict[str, Any]) -> dict[str, Any]:
    """
    Ask for those of *fields* that are required and not *given*, and return all that there are.

    Raises:
        click.UsageError: There is no terminal to ask at.
    """
    missing = [field for field in fields if field.is_required and not given[field.name]]
    if missing and not can_ask():
        raise click.UsageError(f"Missing {', '.join(field.option for field in missing)}.")
    answers = {field.name: click.prompt(field.help, err=True).strip() for field in missing}
    return {name: value for name, value in {**given, **answers}.items() if value is not None}
