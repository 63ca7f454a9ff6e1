"""All golden runs with ``target="cuda"``."""

import pytest
from on_devices import for_a_device, on_a_device, with_target_cuda  # noqa: F401
from test_golden import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("for_a_device")
