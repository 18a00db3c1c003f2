import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from memgen_jax import statistics
from memgen_jax.errors import InputError


def test_auth_pct_by_hand():
    own = np.array([1.0, 2.0])  # the nearest other training item of each training item
    distance, index = np.array([0.5, 1.5, 1.5, 2.5]), np.array([0, 0, 1, 1])
    assert statistics.auth_pct(distance, index, own) == 0.5


def test_data_copying_is_the_z_score_of_the_mann_whitney_test():
    rng = np.random.default_rng(0)
    unseen, samples = rng.normal(1.0, 1.0, 300), rng.normal(0.5, 1.0, 200)
    z = statistics.data_copying(unseen, samples)
    test = mannwhitneyu(samples, unseen, method="asymptotic", use_continuity=False)
    assert z < -3
    from scipy.special import ndtr

    assert 2 * ndtr(z) == pytest.approx(test.pvalue, rel=1e-6)


def test_data_copying_is_centred_for_samples_like_unseen_items_and_positive_far_off():
    rng = np.random.default_rng(1)
    scores = [statistics.data_copying(*rng.normal(size=(2, 50))) for _ in range(200)]
    assert abs(np.mean(scores)) < 0.25 and np.std(scores) == pytest.approx(1, abs=0.2)
    assert statistics.data_copying(rng.normal(size=50), 9 + rng.normal(size=50)) > 5
    with pytest.raises(InputError):
        statistics.data_copying(np.ones(1), np.ones(5))
