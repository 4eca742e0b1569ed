"""How much is tried: little and always the same by default, much and at random when asked.

`HYPOTHESIS_PROFILE=thorough`, or `make test-long` for the tests marked so, try new cases each time;
a failure is told in words, with all that it takes to write a test of it.
"""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings

_all: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.generate],  # we make failures simple ourselves: it is quicker
    "database": None,
}
settings.register_profile("quick", max_examples=30, derandomize=True, **_all)
settings.register_profile("thorough", max_examples=600, print_blob=True, **_all)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
