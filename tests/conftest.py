"""What holds for every test: properties are tried with the same examples each time, however slow the machine is.

`GUARD_EXAMPLES=random` looks for new ones.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("random", deadline=None, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("GUARD_EXAMPLES", "same"))
