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
