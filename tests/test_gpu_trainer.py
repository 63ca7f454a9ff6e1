import pytest
from on_devices import for_a_device, on_a_device  # noqa: F401
from test_codegen_trainer import *  # noqa: F403

pytestmark = pytest.mark.usefixtures("for_a_device")
