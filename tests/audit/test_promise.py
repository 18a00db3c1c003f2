"""The audit's promise: of honest samples, 1% are called copies and 1% repeats, whatever the sizes; or it says so."""

import numpy as np
import pytest

from memgen_jax import audit_arrays, load


def shares(num_train: int, num_samples: int, num_held_out: int, splits: int) -> tuple[np.ndarray, list[str]]:
    """Of real digits in all three places, over random splits: mean share of copies and repeats; the last sentences."""
    digits = load("digits")
    items = np.concatenate([digits.train, digits.held_out])
    found, sentences = [], []
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(items))
        train, samples, held_out = np.split(
            items[order[: num_train + num_samples + num_held_out]], [num_train, num_train + num_samples]
        )
        audit = audit_arrays(train, samples, holdout=held_out)
        found.append([np.mean(audit.labels == label) for label in (0, 1)])
        sentences = audit.sentences
    return np.mean(found, axis=0), list(sentences)


@pytest.mark.parametrize("sizes", [(600, 300, 800), (900, 400, 450)])
def test_honest_data_are_called_copies_and_repeats_at_the_rate_that_was_asked(sizes):
    copies, repeats = shares(*sizes, splits=40)[0]
    assert 0.005 <= copies <= 0.015 and 0.005 <= repeats <= 0.015


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes",
    [(300, 150, 120), (300, 120, 200), (600, 500, 300), (400, 600, 200), (200, 300, 100), (150, 99, 99)],
)
def test_the_rates_are_kept_at_any_sizes_small_ones_too(sizes):
    copies, repeats = shares(*sizes, splits=150)[0]
    assert 0.005 <= copies <= 0.015 and 0.005 <= repeats <= 0.015


def test_where_samples_outnumber_the_real_items_the_promise_is_taken_back():
    sentences = shares(400, 950, 400, splits=1)[1]
    assert any("more samples (950) than real items to calibrate repeats on" in said for said in sentences)
