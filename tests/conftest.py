"""Settings of the whole test run: one thread a worker, and property tests that are the same every time."""

import os

# Before torch is imported: two workers of two threads each would fight for two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import HealthCheck, settings

# Timings never decide a test, so there is no deadline; the same examples each time, so a red test stays red.
settings.register_profile("slm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slm")
