"""A benchmark's surroundings favour nobody."""

import os
import subprocess
import sys

from benchmarks import machine


def test_a_benchmark_starts_again_without_variables_that_choose_a_contestants_kernels():
    chosen = {
        "OPENBLAS_CORETYPE": "Prescott",
        "OMP_NUM_THREADS": "1",
        "FAISS_OPT_LEVEL": "generic",
        "NPY_DISABLE_CPU_FEATURES": "AVX2",
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


def test_the_study_of_intervals_counts_how_often_they_hold_the_mean_over_sets():
    import numpy as np

    from benchmarks import interval_coverage
    from memgen_jax import phases
    from memgen_jax.programs.transition import estimates

    random, thresholds = np.random.default_rng(0), phases.Thresholds(1.0, 1.0, "given")
    sets = []
    for _ in range(60):  # three in ten are copies, the others new: memorized is binomial, nothing repeats
        labels = np.where(random.random(100) < 0.3, phases.MEMORIZED, phases.GENERALIZED)
        none = [{thresholds.delta_s: np.zeros(100, int)}]
        sets.append(estimates.Group(None, 16, lambda _: thresholds, [labels], none))
    rows = {(row["table"], row["estimate"]): row for row in interval_coverage.share_rows(sets)}
    memorized = rows["fractions.csv", "memorized"]
    assert abs(memorized["truth"] - 0.3) < 0.03 and memorized["coverage"] >= 0.85
    assert memorized["standard_deviation"] == np.std([np.mean(s.labels[0] == 0) for s in sets], ddof=1)
    assert rows["fractions.csv", "spurious"]["truth"] == 0
    assert rows["repeats.csv", "generalized"]["num_sets"] == 60
