"""What holds for every test: hypothesis measures no time, for a busy machine is no fault of a parser."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "anywhere", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anywhere")
