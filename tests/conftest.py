"""Settings shared by all tests: how many examples properties try."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The machine may be busy: no deadlines. The quick profile tries the same examples every time, so that a run tells of
# the change at hand; HYPOTHESIS_PROFILE=thorough looks for new ones, other ones each time.
usual = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=25, derandomize=True, **usual)
settings.register_profile("thorough", max_examples=500, **usual)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
