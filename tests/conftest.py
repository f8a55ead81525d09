"""For all tests: a busy machine is no reason to fail, so hypothesis does not judge how long things take."""

from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
