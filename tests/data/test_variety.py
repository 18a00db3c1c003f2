import numpy as np
import pytest

from memgen_jax import data
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


def test_held_out_items_that_are_training_items_are_left_out_and_counted():
    random = np.random.default_rng(0)
    train, held_out = (random.integers(0, 256, (count, 4, 4, 1)).astype(np.uint8) for count in (40, 39))
    dataset = data.Dataset("blobs", train, held_out, note="read")
    assert data.without_seen(dataset) is dataset
    shared = held_out.copy()
    shared[[3, 30]] = train[7]
    found = data.without_seen(data.Dataset("blobs", train, shared, note="read"))
    np.testing.assert_array_equal(found.held_out, np.delete(held_out, [3, 30], axis=0))
    assert found.note == "read; 2 of 39 held-out items left out, which are training items too"
    with pytest.raises(InputError, match="every one of the 5 held-out items of blobs is a training item too"):
        data.without_seen(data.Dataset("blobs", train, train[:5]))
    nothing = data.Dataset("blobs", train, train[:0])
    assert data.without_seen(nothing) is nothing


def test_data_all_the_same_are_told_as_such_though_their_held_out_items_are_training_items_too():
    with pytest.raises(InputError, match="all 5 training items of mine are the same"):
        data.without_seen(data.Dataset("mine", SAME, SAME[:3]))
