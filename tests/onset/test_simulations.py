"""The linear model simulated: the paper's claims under the readings where they hold."""

import dataclasses
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from benchmarks.onset import straightforward
from memgen_jax.errors import InputError
from memgen_jax.onset import COVARIANCES, KERNEL_WIDTHS, LinearModel, simulate, simulations
from memgen_jax.onset.simulations import draw

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = LinearModel(dim=3, num_original=200, kernel_widths=("silverman", "leading"))


def probability(outcome, width=0, covariance=0):
    signs = np.sign(outcome.log_ratio[:, covariance, width])
    return np.mean((1 + signs) / 2)


def test_threads_decompose_matrices_one_at_a_time(monkeypatch):
    """Side by side, batched decompositions can hang XLA's CPU."""
    running, most, counter = [], [], threading.Lock()
    fit = simulations._fit

    def watched(*arguments):
        with counter:
            running.append(1)
            most.append(len(running))
        time.sleep(0.02)
        fitted = fit(*arguments)
        with counter:
            running.pop()
        return fitted

    monkeypatch.setattr(simulations, "_fit", watched)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda first: simulate(SMALL, (4,), range(first, first + 2)), range(0, 8, 2)))
    assert len(most) == 4 and max(most) == 1


def test_a_simulation_is_the_same_alone_and_among_others():
    several = simulate(SMALL, (4, 9), range(4), together=4)[9]
    alone = simulate(SMALL, (9,), range(3, 4))[9]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[3:4], b, rtol=1e-9), several, alone)


def test_original_and_training_sets_share_points_only_when_nested():
    independent = draw(SMALL, 0, 20)
    assert not np.isin(independent.train, independent.original).any()
    nested = draw(dataclasses.replace(SMALL, nested=True), 0, 20)
    np.testing.assert_array_equal(nested.train, nested.original[:20])
    np.testing.assert_array_equal(nested.original, independent.original)


def test_nested_with_all_points_gives_a_difference_of_exactly_zero():
    model = dataclasses.replace(SMALL, nested=True, covariances=COVARIANCES)
    outcome = simulate(model, (200,), range(4))[200]
    assert np.all(outcome.log_ratio == 0)
    np.testing.assert_array_equal(outcome.log_e_tg, outcome.log_e_og)


def test_distances_diverge_while_points_are_no_more_than_dimensions():
    outcomes = simulate(SMALL, (3, 4), range(4))
    assert np.all(np.isposinf(outcomes[3].log_e_tg)) and np.all(outcomes[3].squared_hellinger == 1)
    assert np.all(np.isfinite(outcomes[4].log_e_tg)) and np.all(outcomes[4].squared_hellinger < 1)
    assert np.all(np.isfinite(outcomes[3].log_ratio))


def test_the_sign_of_the_ratio_is_that_of_the_two_distances():
    outcome = simulate(SMALL, (9,), range(8), together=4)[9]
    difference = outcome.log_e_tg - outcome.log_e_og
    clear = np.abs(difference) > 1e-9
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(np.sign(outcome.log_ratio)[clear], np.sign(difference)[clear])


def test_every_simulation_is_that_of_the_formulas_in_plain_numpy_and_scipy():
    """At n = 12 and d = 16 Δ has either sign; in float32 the logarithms at n = 8 would be off by 0.2 to 0.6."""
    model, sizes = LinearModel(num_original=300), (8, 12, 64)
    found = simulate(model, sizes, range(6))
    plain = np.array([straightforward(model, sizes, simulation) for simulation in range(6)])
    for i, size in enumerate(sizes):
        assert found[size].log_ratio.dtype == np.float64
        np.testing.assert_allclose(found[size].squared_hellinger[:, 0], plain[:, i, 0], rtol=1e-9)
        np.testing.assert_allclose(found[size].log_ratio[:, 0, 0], plain[:, i, 1], rtol=1e-9, atol=1e-11)
    assert {-1, 1} == set(np.sign(plain[:, 1, 1]))


def test_at_sixteen_dimensions_four_points_are_copied_and_sixty_four_are_not():
    """P = 0 at n = 4 and P = 1 at n = 64: none and all of 200 simulations at N = 10⁴."""
    outcomes = simulate(LinearModel(num_original=4000), (4, 64), range(8))
    assert probability(outcomes[4]) == 0 and probability(outcomes[64]) == 1


def test_hellinger_at_four_times_the_dimension_is_the_reference():
    """n = 64, d = 16: 0.683 ± 0.005 (standard error) from 150 simulations of another program.

    A plain NumPy version with `lstsq` and `slogdet` gave 0.6909 ± 0.0010 from 4,000.
    """
    model = LinearModel(num_original=100)  # H² knows nothing of N
    outcome = simulate(model, (64,), range(200), together=50)[64]
    values = outcome.squared_hellinger[:, 0]
    error = values.std(ddof=1) / np.sqrt(200)
    assert abs(values.mean() - 0.683) < 3 * np.hypot(0.005, error)
    assert abs(values.mean() - 0.6909) < 4 * error
    assert error < 0.006


def test_independent_sets_of_equal_size_are_even():
    """P → ½ at n = N because neither set is preferred; 120 simulations, 4 standard errors."""
    model = LinearModel(dim=4, num_original=150)
    outcome = simulate(model, (150,), range(120), together=60)[150]
    assert abs(probability(outcome) - 0.5) < 4 * 0.5 / np.sqrt(120)


@pytest.mark.slow
def test_hellinger_follows_the_reference_values_at_sixteen_dimensions():
    reference = {17: 0.990, 20: 0.969, 24: 0.945, 32: 0.896, 64: 0.683, 512: 0.411, 2000: 0.379}
    outcomes = simulate(LinearModel(num_original=500), (16, *reference), range(150), together=50)
    assert np.all(outcomes[16].squared_hellinger == 1)
    for size, expected in reference.items():
        values = outcomes[size].squared_hellinger[:, 0]
        error = np.hypot(0.003, values.std(ddof=1) / np.sqrt(150))  # theirs was 0.001-0.005
        assert values.mean() == pytest.approx(expected, abs=4 * error), size


# P(Δ>0) at N = 10⁴ from 100-200 simulations with standard errors up to 0.05 (d, covariance, width); those with
# three digits from 6,000 (n = 12) and 300 (n = 1,000) of a plain NumPy program that takes the expectation of OO.
READINGS = {
    (16, "derived", "silverman"): {4: 0, 8: 0, 10: 0.11, 12: 0.667, 14: 0.99, 16: 1, 64: 1},
    (16, "derived", "leading"): {4: 0, 16: 0, 24: 0.18, 28: 0.66, 32: 0.93, 64: 1},
    (16, "printed", "leading"): {4: 0.31, 8: 0.68, 12: 0.65, 16: 0, 20: 0.10, 24: 0.84, 28: 0.99},
    (16, "derived", "exact"): {4: 1, 8: 1, 16: 0},
    (100, "derived", "silverman"): {40: 0, 50: 0.31, 60: 1},
    (100, "derived", "leading"): {60: 0, 1000: 0.760},
}


@pytest.mark.slow
@pytest.mark.parametrize("dim", [16, 100])
def test_every_reading_gives_the_probabilities_that_were_measured_for_it(dim):
    num_simulations = 40
    mine = {name: row for name, row in READINGS.items() if name[0] == dim}
    sizes = tuple(sorted({size for row in mine.values() for size in row}))
    model = LinearModel(dim=dim, kernel_widths=KERNEL_WIDTHS, covariances=COVARIANCES)
    outcomes = simulate(model, sizes, range(num_simulations), together=4)
    for (_, covariance, width), row in mine.items():
        for size, expected in row.items():
            value = probability(outcomes[size], KERNEL_WIDTHS.index(width), COVARIANCES.index(covariance))
            error = np.hypot(0.05, np.sqrt(max(expected * (1 - expected), 0.01) / num_simulations))
            assert abs(value - expected) < 3 * error, (covariance, width, size, value)


@pytest.mark.slow
def test_the_probability_falls_to_one_half_as_n_nears_the_original_number():
    """d = 16, N = 1000: 0.87, 0.72, 0.53 at n = 300, 600, 1000 when the original set is redrawn."""
    outcomes = simulate(LinearModel(num_original=1000), (300, 600, 1000), range(150), together=25)
    for size, expected in {300: 0.87, 600: 0.72, 1000: 0.53}.items():
        assert abs(probability(outcomes[size]) - expected) < 0.17, size


@pytest.mark.parametrize(
    ("change", "num_train", "names_it"),
    [
        ({"dim": 0}, (4,), "dim=0"),
        ({"sigma": 0.0}, (4,), "sigma=0"),
        ({"sigma": -1.0}, (4,), "sigma=-1"),
        ({"num_original": 1}, (4,), "num_original=1"),
        ({"final_time": 0.0}, (4,), "final_time"),
        ({"noise_scale": math.inf}, (4,), "noise_scale"),
        ({"mean": math.nan}, (4,), "mean=nan"),
        ({"seed": -1}, (4,), "seed=-1"),
        ({"noise_scale": -1.0}, (4,), "noise_scale"),
        ({"kernel_widths": ("wide",)}, (4,), "wide"),
        ({"covariances": ("both",)}, (4,), "both"),
        ({}, (1,), "num_train=1"),
        ({}, (), "nothing to simulate"),
        ({"nested": True}, (201,), "num_train=201"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_sentence(change, num_train, names_it):
    with pytest.raises(InputError, match=names_it):
        simulate(dataclasses.replace(SMALL, **change), num_train, range(2))
