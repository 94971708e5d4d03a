"""How properties are tested: by as many examples as are needed, however slow the machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For a law with a small world."""

WIDE_LAW = settings(LAW, max_examples=300)
"""For a law with a large one."""
