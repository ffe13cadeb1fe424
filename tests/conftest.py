"""Settings shared by all tests: how many examples properties try."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The machine may be busy: no deadlines, and a quick profile by default. HYPOTHESIS_PROFILE=thorough tries more.
settings.register_profile("quick", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
