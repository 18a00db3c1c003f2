import numpy as np
import pytest

from memgen_jax import data
from memgen_jax.errors import InputError


def test_vectors_in_units_of_their_spread_are_centred_and_keep_their_proportions(tmp_path):
    points = np.random.default_rng(0).normal([300.0, -7.0], [40.0, 4.0], (500, 2))
    np.save(tmp_path / "points.npy", points.astype(np.float32))
    found = data.load(str(tmp_path / "points.npy"), scale="spread", num_held_out=100)
    every = np.concatenate([found.train, found.held_out])
    np.testing.assert_allclose(every.mean(axis=0), 0, atol=1e-4)
    assert np.mean(every**2) == pytest.approx(1, rel=1e-4)  # over both coordinates together
    assert every[:, 0].std() / every[:, 1].std() == pytest.approx(
        points[:, 0].std() / points[:, 1].std(), rel=1e-3
    )
    assert found.value_range == (every.min(), every.max())
    spread = np.sqrt(np.mean((points - points.mean(axis=0)) ** 2))
    assert float(found.note.rpartition(" ")[2]) == pytest.approx(spread, rel=1e-4)


def test_images_have_no_other_units():
    images = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 1)).astype(np.uint8)
    with pytest.raises(InputError, match="applies to vectors"):
        data.load("images", arrays=(images,), scale="spread")
    with pytest.raises(InputError, match="spread, or nothing"):
        data.load("images", arrays=(images,), scale="unit")


def test_items_set_aside_later_are_those_set_aside_at_once():
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
    at_once = data.load("images", arrays=(images,), num_held_out=10)
    later = data.set_aside(data.load("images", arrays=(images,)), 10)
    np.testing.assert_array_equal(later.train, at_once.train)
    np.testing.assert_array_equal(later.held_out, at_once.held_out)
    with pytest.raises(InputError, match="10 held-out items already"):
        data.set_aside(at_once, 5)
