"""The four readings of the kernel width."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from memgen_jax.errors import InputError
from memgen_jax.onset import KERNEL_WIDTHS, kernel_width, mixing_time


@pytest.mark.parametrize("dim", [1, 2])
def test_silverman_width_nearly_minimizes_the_exact_mean_squared_error(dim):
    """E∫(ρ̂ - ρ)² of n Gaussian points is closed form; its minimum over ε is what Eq. 11 approximates."""
    num_points, sigma = 5000, 1.7

    def error(width):
        def overlap(variance):
            return (2 * math.pi * variance) ** (-dim / 2)

        same = overlap(2 * width**2) / num_points
        other = (1 - 1 / num_points) * overlap(2 * (width**2 + sigma**2))
        return same + other - 2 * overlap(width**2 + 2 * sigma**2) + overlap(2 * sigma**2)

    best = minimize_scalar(error, bounds=(0.01, 2), method="bounded").x
    assert kernel_width("silverman", num_points, dim, sigma) == pytest.approx(best, rel=0.05)


def test_exact_width_is_the_unshrunk_kernel_of_the_process_at_the_mixing_time():
    time = mixing_time(50, 16, 0.7)
    unshrunk = math.sqrt(-math.expm1(-2 * time)) / math.exp(-time)
    assert kernel_width("exact", 50, 16, 0.7) == pytest.approx(unshrunk, rel=1e-12)
    assert kernel_width("mixing_time", 50, 16, 0.7) ** 2 == pytest.approx(2 * time, rel=1e-12)


def test_all_but_silverman_agree_where_log_n_is_far_above_half_the_dimension():
    widths = [kernel_width(name, 10**9, 2, 1.0) for name in ("leading", "mixing_time", "exact")]
    np.testing.assert_allclose(widths, widths[0], rtol=1e-6)
    ratio = kernel_width("exact", 100, 100) / kernel_width("leading", 100, 100)
    assert ratio > 3  # and not at the sizes of the paper's figures


@pytest.mark.parametrize("name", KERNEL_WIDTHS)
def test_widths_scale_with_the_data_and_fall_with_their_number(name):
    if name != "mixing_time":  # 2 t_M is a time, and linear in σ² only when small
        assert kernel_width(name, 30, 5, 3.0) == pytest.approx(3 * kernel_width(name, 30, 5))
    assert kernel_width(name, 31, 5) < kernel_width(name, 30, 5)


@pytest.mark.parametrize(
    ("name", "num_points", "dim", "sigma", "names_it"),
    [
        ("scott", 10, 2, 1.0, "scott"),
        ("leading", 1, 2, 1.0, "num_train=1"),
        ("leading", 10, 0, 1.0, "dim=0"),
        ("leading", 10, 2, 0.0, "sigma=0"),
        ("leading", 10, 2, math.nan, "sigma=nan"),
    ],
)
def test_what_cannot_be_a_width_is_refused_in_one_sentence(name, num_points, dim, sigma, names_it):
    with pytest.raises(InputError, match=names_it):
        kernel_width(name, num_points, dim, sigma)


def test_leading_width_of_one_coordinate_is_sigma_over_n():
    """Eq. 24 takes ε = σ/n for densities of single pixels."""
    assert kernel_width("leading", 40, 1, 0.1) == pytest.approx(0.1 / 40)
