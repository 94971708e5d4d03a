"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from foxy_auth.cli.settings import Settings


class Verdict(StrEnum):
    """How it stands with what was checked."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What a check has found.

    Attributes:
        check: The name of the check.

        verdict: How it stands.

        message: What was found, as a phrase without a full stop.

        remedy: What to do, in one sentence.
    """

    check: str
    verdict: Verdict
    message: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """
    What is checked.

    Attributes:
        settings: What the other commands would use.

        problem: Why they would not use it, if they refuse.

        library: The client library that they use; None if none is installed.

        is_environment_known: Whether there is an address to ask.
    """

    settings: Settings
    problem: str | None
    library: str | None
    is_environment_known: bool = True

    @property
    def obstacle(self) -> str | None:
        """Why nothing can be asked in the name of the client."""
        if self.problem:
            return "the settings cannot be used, see Profile"
        if not (self.settings.client_id and self.settings.client_secret):
            return "there is no client, see Credentials"
        return None if self.library else "there is no client library"


Check = Callable[[Setup], Iterator[Finding]]


def ok(check: str, message: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, message)


def skipped(check: str, reason: str) -> Finding:
    """Return that there was nothing to check, and why."""
    return Finding(check, Verdict.SKIPPED, f"not checked: {reason}")


def warn(check: str, message: str, remedy: str) -> Finding:
    """Return what may be wrong."""
    return Finding(check, Verdict.WARN, message, remedy)


def fail(check: str, message: str, remedy: str) -> Finding:
    """Return what is wrong."""
    return Finding(check, Verdict.FAIL, message, remedy)


def failed(check: str, error: Exception, remedy: str = "Repair it") -> Finding:
    """Return what is wrong from an error of this package, which says what to do after its last semicolon."""
    message, found, advice = str(error).rstrip(".").rpartition("; ")
    return fail(check, message, sentence(advice)) if found else fail(check, advice, sentence(remedy))


def sentence(text: str) -> str:
    """Return *text* with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
