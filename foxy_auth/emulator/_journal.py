"""The journal of what arrived, and what was answered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Lock


class HeaderFields(Mapping[str, str]):
    """The headers of a request; names are compared without case (RFC 9110, section 5.1)."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        """Copy *fields*."""
        self._fields = {name.lower(): value for name, value in fields.items()}

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    A request as it arrived.

    Attributes:
        method: As it stood in the request line.

        path: Decoded, without the query.

        query: As it was sent, without the question mark.

        headers: By name, without regard to case.

        body_length: Bytes of the body as far as it was read; framing is not counted.

        body_sha256: Their SHA-256 as hexadecimal digits.

        form: The fields of a form sent to the token endpoint; empty elsewhere.

        status: As answered; None while the request is under way, and for ever if it got no answer.

        access_token: What followed `Bearer` in the Authorization header; None if nothing did.

        arrived_at: By the emulator's clock.

        answered_at: When the answer stood, by the emulator's clock; None where `status` is.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body_length: int = 0
    body_sha256: str = ""
    form: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    status: int | None = None
    access_token: str | None = field(default=None, repr=False)
    arrived_at: float = 0.0
    answered_at: float | None = None


class Journal:
    """Keep calls in the order of their arrival; any thread may write and read."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = Lock()
        self._numbers = count()
        self._calls: dict[int, Call] = {}

    def open(self, call: Call) -> int:
        """Enter a call that has arrived and return its number."""
        with self._lock:
            number = next(self._numbers)
            self._calls[number] = call
            return number

    def note(
        self, number: int, *, body_length: int, body_sha256: str, status: int | None, answered_at: float | None
    ) -> None:
        """Add what became of a call; one that was cleared meanwhile stays away."""
        with self._lock:
            call = self._calls.get(number)
            if call is not None:
                self._calls[number] = replace(
                    call, body_length=body_length, body_sha256=body_sha256, status=status, answered_at=answered_at
                )

    def calls(self) -> list[Call]:
        """Return the calls so far."""
        with self._lock:
            return list(self._calls.values())

    def clear(self) -> None:
        """Forget the calls so far."""
        with self._lock:
            self._calls.clear()
