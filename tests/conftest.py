"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A busy machine is no finding: what has to be fast is timed where a test says so.
settings.register_profile("unlatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unlatch")
