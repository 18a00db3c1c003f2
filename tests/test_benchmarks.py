"""A benchmark's surroundings favour nobody."""

import os
import subprocess
import sys

from benchmarks import machine


def test_a_benchmark_starts_again_without_variables_that_choose_a_contestants_kernels():
    chosen = {
        "OPENBLAS_CORETYPE": "Prescott",
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.onset", "--help"],
        env=os.environ | chosen,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first = done.stderr.splitlines()[0]
    assert all(name in first for name in chosen)
    assert done.stdout.startswith("usage:")


def test_what_the_reader_chose_stays():
    for name in ("JAX_PLATFORMS", "MEMGEN_JAX_CACHE", "CUDA_VISIBLE_DEVICES", "HOME", "PYTHONPATH"):
        assert not machine.CHOOSING.fullmatch(name)


def test_a_table_names_the_processor_and_the_kernel_of_each_blas():
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))  # loads NumPy's
    assert "cores" in machine.describe("numpy") and "numpy " in machine.describe("numpy")
    assert any("numpy" in line and "threads" in line for line in machine.kernels())
