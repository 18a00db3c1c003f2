import os
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.whole
def test_everything_that_needs_several_devices_in_a_process_with_eight_of_them():
    here = pathlib.Path(__file__).parent
    flags = "--xla_force_host_platform_device_count=8 --xla_cpu_multi_thread_eigen=false"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(here / "on_eight_devices.py")],
        env=os.environ | {"XLA_FLAGS": flags},
        cwd=here.parent.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
