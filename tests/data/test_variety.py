import numpy as np
import pytest

from memgen_jax import data, phases
from memgen_jax.errors import InputError

SAME = np.full((5, 4, 4, 1), 7, np.uint8)
DIFFERENT = np.arange(80, dtype=np.uint8).reshape(5, 4, 4, 1)


def test_items_that_are_all_the_same_are_refused_by_what_they_are():
    with pytest.raises(InputError, match="all 5 training items of mine are the same"):
        data.require_variety(SAME, DIFFERENT, "mine")
    with pytest.raises(InputError, match="all 5 held-out items of mine are the same"):
        data.require_variety(DIFFERENT, SAME, "mine")


def test_different_items_no_held_out_items_and_one_item_pass():
    data.require_variety(DIFFERENT, DIFFERENT[:0], "mine")
    data.require_variety(DIFFERENT[:1], SAME[:1], "mine")
    data.require_variety(np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 2.0]], np.float32), SAME[:0], "mine")


@pytest.mark.parametrize("copies", [0, 1, 2])
def test_held_out_items_that_are_training_items_are_refused_where_the_threshold_would_be_zero(copies):
    random = np.random.default_rng(0)
    train, held_out = (random.integers(0, 256, (count, 4, 4, 1)).astype(np.uint8) for count in (40, 39))
    held_out[:copies] = train[7]
    distance = np.abs(held_out[:, None].astype(int) - train[None]).sum((2, 3, 4)).min(1)
    threshold = phases.held_out(distance.astype(np.float64), np.ones(40), 0.05).delta_m  # of the second
    if threshold > 0:
        data.require_novelty(train, held_out, 0.05, "blobs")
    else:
        with pytest.raises(InputError, match="2 of 39 held-out items of blobs are training items too"):
            data.require_novelty(train, held_out, 0.05, "blobs")
    assert (threshold == 0) == (copies == 2)
