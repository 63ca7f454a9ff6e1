"""Settings of all tests."""

import os

from hypothesis import settings

# A compile inside an example takes what it takes; CI must say the same thing twice.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
