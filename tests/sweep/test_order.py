import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from memgen_jax.sweep.order import epoch_index

pytestmark = pytest.mark.usefixtures("quick_compilation")


def stream(key, start, stop, num_train):
    count = stop - start
    length = 256 if count <= 256 else 8192  # two are compiled, not one of each test
    return np.asarray(indices(key, start + jnp.arange(length), jnp.int32(num_train)))[:count]


@jax.jit
def indices(key, positions, num_train):
    return jax.vmap(epoch_index, (None, 0, None))(key, positions, num_train)


@jax.jit
def of_keys(keys, place, num_train):
    return jax.vmap(epoch_index, (0, None, None))(keys, place, num_train)


@pytest.mark.parametrize("num_train", [1, 2, 3, 7, 64, 1437])
def test_every_epoch_holds_every_item_once(key, num_train):
    items = stream(key, 0, 3 * num_train, num_train).reshape(3, num_train)
    np.testing.assert_array_equal(np.sort(items, axis=1), np.tile(np.arange(num_train), (3, 1)))


def test_epochs_and_keys_differ(key):
    first, second = stream(key, 0, 200, 100).reshape(2, 100)
    other = stream(jax.random.key(1), 0, 100, 100)
    assert (first != second).mean() > 0.9
    assert (first != other).mean() > 0.9


def test_a_position_does_not_depend_on_what_was_asked_before(key):
    np.testing.assert_array_equal(stream(key, 0, 50, 13)[20:30], stream(key, 20, 30, 13))


def test_items_are_uniform_at_every_place_of_the_epoch():
    """Over many keys, the item at a fixed place follows the uniform distribution (chi-square)."""
    keys = jax.random.split(jax.random.key(5), 4000)
    for place in (0, 5, 9):
        items = np.asarray(of_keys(keys, jnp.int32(place), jnp.int32(10)))
        assert stats.chisquare(np.bincount(items, minlength=10)).pvalue > 1e-3


def test_pairs_of_places_are_uniform_over_ordered_pairs():
    keys = jax.random.split(jax.random.key(6), 6000)
    first, second = (np.asarray(of_keys(keys, jnp.int32(place), jnp.int32(6))) for place in (0, 1))
    counts = np.bincount(6 * first + second, minlength=36)
    assert (counts[::7] == 0).all()  # an item never takes both places
    assert stats.chisquare(np.delete(counts, np.arange(0, 36, 7))).pvalue > 1e-3
