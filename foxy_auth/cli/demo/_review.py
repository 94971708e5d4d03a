"""How a scene went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foxy_auth.cli.demo._scene import Finding, Scene


@dataclass(frozen=True, slots=True)
class Review:
    """
    How a scene went.

    Attributes:
        number: From 1 on.

        scene: The scene.

        findings: What was found; an error that ended the scene is the last.

        took: Seconds.
    """

    number: int
    scene: Scene
    findings: Sequence[Finding]
    took: float

    @property
    def as_expected(self) -> bool:
        """Whether the scene found anything, and all of it as expected."""
        return bool(self.findings) and all(finding.as_expected for finding in self.findings)
