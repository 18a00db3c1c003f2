import numpy as np
import pytest

from memgen_jax import onset
from memgen_jax.errors import InputError
from memgen_jax.onset import Fall

SIZES = np.geomspace(2, 2000, 31)


def knee(place: float, power: float = 1.5) -> np.ndarray:
    """log of 1 / (1 + (n / place)^power)."""
    return -np.log1p((SIZES / place) ** power)


@pytest.mark.parametrize("power", [1.0, 3.0])
@pytest.mark.parametrize("place", [10.0, 60.0])
def test_a_knee_is_found_where_its_slope_is_half_the_steepest(place, power):
    """-d log E / d log n of 1 / (1 + x^p) is p x^p / (1 + x^p), with x = n / place."""
    fall = onset.onset_of_fall(SIZES, knee(place, power)[:, None])
    end = (np.sqrt(SIZES[-1] * SIZES[-2]) / place) ** power
    half = 0.5 * end / (1 + end)
    assert fall.num_train == pytest.approx(place * (half / (1 - half)) ** (1 / power), rel=0.03)
    assert fall.low is fall.high is None and not fall.at_most


def test_the_interval_covers_the_onset_of_the_mean():
    """Over 200 experiments of 20 repetitions each, the interval holds the noiseless onset in about 95%."""
    rng, wanted = np.random.default_rng(0), onset.onset_of_fall(SIZES, knee(30.0)[:, None]).num_train
    held = 0
    for trial in range(200):
        noisy = knee(30.0)[:, None] + 0.02 * rng.normal(size=(len(SIZES), 20))
        fall = onset.onset_of_fall(SIZES, noisy, resamples=200, seed=trial)
        held += fall.low <= wanted <= fall.high
    assert 0.88 <= held / 200 <= 1


def test_an_error_that_falls_from_the_start_may_have_its_onset_below():
    fall = onset.onset_of_fall([2, 8, 32], -np.log([[2.0], [8.0], [32.0]]))
    assert fall.at_most and fall.num_train == pytest.approx(4)


def test_an_error_that_is_infinite_falls_where_it_becomes_finite():
    log_error = np.array([[np.inf, np.inf], [np.inf, np.inf], [1.0, 1.1], [0.9, 0.8]])
    fall = onset.onset_of_fall([8, 16, 17, 30], log_error)
    assert fall.num_train == pytest.approx(np.sqrt(16 * 17)) and [fall.low, fall.high] == pytest.approx(
        [16, 17]
    )


def test_an_error_that_never_falls_has_no_onset():
    for log_error in ([[0.0], [0.5], [1.0]], [[1.0], [np.inf], [np.inf]]):
        fall = onset.onset_of_fall([2, 4, 8], np.array(log_error))
        assert fall == Fall(None, None, None, False)
        assert onset.scenario(fall, (2.0, 4.0)) is None


def test_the_window_is_where_p_rises_from_five_to_ninety_five_percent():
    sizes = [1, 10, 100]
    signs = np.stack([-np.ones(10), np.r_[np.ones(5), -np.ones(5)], np.ones(10)])
    first, last = onset.turn_window(sizes, signs)
    assert first == pytest.approx(10**0.1) and last == pytest.approx(10**1.9)
    assert onset.turn_window(sizes, -signs[::-1] * 0 + 1.0) == (None, None)


@pytest.mark.parametrize(("begins", "wanted"), [(5.0, "b"), (20.0, "c"), (60.0, "a")])
def test_the_scenario_tells_whether_the_error_fell_before_while_or_after_the_model_turned(begins, wanted):
    fall = Fall(begins, None, None, False)
    assert onset.scenario(fall, (10.0, 40.0)) == wanted
    assert onset.scenario(fall, (None, 40.0)) is None


def test_sizes_must_ascend_and_match():
    for sizes, rows in (([4, 2], 2), ([2, 4], 3), ([2], 1)):
        with pytest.raises(InputError, match="ascend"):
            onset.onset_of_fall(sizes, np.zeros((rows, 1)))
