"""`--memory` is kept to by the whole program: pictures so large that a usual tile of them would not fit."""

import subprocess
import sys

import numpy as np
import pytest

from memgen_jax.audit import budget

GIGABYTES = 0.8
# Runs the command and prints the most memory that it held, in bytes.
PROGRAM = """
import sys
from memgen_jax import cli
code = cli.main(sys.argv[1:])
# Not ru_maxrss: that of the process which started this one counts in it.
held = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(code, 1024 * int(held.split()[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told in other units")
def test_large_pictures_are_read_and_searched_within_the_limit(tmp_path):
    random = np.random.default_rng(0)
    for name in ("train", "samples"):
        np.save(tmp_path / f"{name}.npy", random.integers(0, 256, (24, 640, 640, 3), dtype=np.uint8))
    line = ["audit", f"--train={tmp_path}/train.npy", f"--samples={tmp_path}/samples.npy", "--metric=l2"]
    line += [f"--out={tmp_path}/out", "--delta-m=1", "--delta-s=1", f"--memory={GIGABYTES}"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *line], capture_output=True, text=True, check=True)
    code, held = map(int, done.stdout.split()[-2:])
    assert code == 0 and "24 images 640×640×3" in done.stdout
    assert held < 1.2 * GIGABYTES * 2**30


def test_a_limit_below_what_the_program_takes_is_said():
    assert budget.warning(None) == budget.warning(1000.0) == ""
    assert "0.01 GB of memory cannot be kept to" in budget.warning(0.01)
    assert budget.of(0.01).tiles >= budget.LEAST // 2
