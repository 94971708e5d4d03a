"""How much is measured, and against which servers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How much is measured.

    Attributes:
        quick: Whether a first impression will do.

        endpoint: A token endpoint over plain http that takes 100 ms.
    """

    quick: bool
    endpoint: str

    @property
    def repetitions(self) -> int:
        """How often a process is repeated, for much depends on how one happens to lie in memory."""
        return 1 if self.quick else 3

    @property
    def limit(self) -> float:
        """Seconds that one size of a crowd may take."""
        return 30.0 if self.quick else 120.0
