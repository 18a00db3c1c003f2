import numpy as np
import pytest

from memgen_jax.statistics.dip import dip, dip_test

BEND = np.r_[np.linspace(0, 1, 7) ** 2, 3 + np.linspace(0, 1, 9) ** 3]
TWO = np.sin(np.arange(200) * 1.7) + (np.arange(200) % 2) * 3


# From the R package `diptest` (Maechler) through its Python port, version 0.12.
@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (BEND, 0.14583333333333331),
        (TWO, 0.08335251707389674),
        (np.arange(30.0) ** 1.5, 0.016666666666666666),
    ],
)
def test_the_dip_equals_the_reference_implementation(sample, expected):
    assert dip(sample) == pytest.approx(expected, abs=1e-12)
    assert dip(-3 * sample[::-1] + 1) == pytest.approx(expected, abs=1e-9)


def test_two_equal_atoms_have_the_largest_dip_there_is():
    assert dip(np.repeat([0.0, 1.0], 50)) == pytest.approx(0.25)


def test_one_mode_is_seldom_rejected_and_two_always():
    rng = np.random.default_rng(0)
    p_values = [dip_test(rng.uniform(size=200))[1] for _ in range(60)]
    assert sum(p < 0.05 for p in p_values) <= 8  # binomial(60, 0.05) is above 8 once in 4,000
    assert dip_test(np.r_[rng.normal(0, 1, 300), rng.normal(6, 1, 300)])[1] <= 0.001
