"""How Hypothesis plays everywhere: the machine's mood decides no test. And no test may let a secret out."""

from hypothesis import HealthCheck, settings
from instruments.canaries import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]  # a hook: pytest finds it here

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
