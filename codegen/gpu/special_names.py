"""THE table of the special functions that a device has.

Apart from their definitions, so that what is refused is known without loading SciPy.
"""

from __future__ import annotations

LIBDEVICE = {"erfcinv": "erfcinv", "erfinv": "erfinv", "gamma": "tgamma"}
"""Those that NVIDIA's library has, and their names there."""

SHARED = ("lambertw", "polygamma", "yn", "zeta")
"""Those that ``codegen.special`` has in the language of kernels."""

OWN = ("digamma", "jn", "loggamma")
"""Those of ``special_functions``."""

DEVICE_SPECIAL = tuple(sorted((*LIBDEVICE, *SHARED, *OWN)))
"""The special functions that a kernel on a device can call, as names of ``special``."""
