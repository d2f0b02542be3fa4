"""How long Hypothesis searches: briefly in the suite, for long with HYPOTHESIS_PROFILE=thorough."""

import os

from hypothesis import HealthCheck, settings

#: What a thorough search does of what a quick one does.
THOROUGH = 20
# A machine that drives a database is slow to start and to shrink, and Hypothesis would call that ill.
_PATIENT = [
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
]

settings.register_profile("quick", deadline=None, print_blob=True)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=100 * THOROUGH)


def load_profile() -> None:
    """Search as HYPOTHESIS_PROFILE says: `quick`, unless it says `thorough`."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def effort(examples: int, *, steps: int = 50) -> settings:
    """So many examples in the suite, of so many steps where a machine is driven; many times as many at length."""
    thorough = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
    return settings(
        max_examples=examples * (THOROUGH if thorough else 1),
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=_PATIENT,
    )
