"""Settings for property-based tests: as many examples as are needed, however slow the machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For a property with few kinds of input."""

WIDE_PROPERTY = settings(PROPERTY, max_examples=300)
"""For a property with many."""
