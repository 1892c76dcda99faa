"""Hypothesis profiles: ``default``, and ``thorough`` with ten times the examples."""

from hypothesis import HealthCheck, settings

EXAMPLES = 60

settings.register_profile(
    "default",
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", parent=settings.get_profile("default"), max_examples=10 * EXAMPLES
)
settings.load_profile("default")
