import jax
import numpy as np
import pytest

from memgen_jax import neighbors
from memgen_jax.errors import InputError


def by_hand(queries, references, radius, exclude_self=False, squared=False, scale=1.0):
    difference = queries.reshape(len(queries), 1, -1).astype(np.float64) - references.reshape(
        1, len(references), -1
    ).astype(np.float64)
    square = (difference**2).sum(-1)
    distance = square * scale**2 if squared else np.sqrt(square) * scale
    inside = distance.astype(np.float32)[..., None] <= np.atleast_1d(radius)
    if exclude_self:
        inside[np.arange(len(queries)), np.arange(len(queries))] = False
    return inside.sum(1)


@pytest.mark.parametrize("memory", [2**29, 2**18], ids=["one tile", "many tiles"])
@pytest.mark.parametrize("squared", [False, True])
def test_counts_are_those_of_all_pairs(memory, squared):
    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(333, 20)), rng.normal(size=(1017, 20))
    queries, references = queries.astype(np.float32), references.astype(np.float32)
    radii = np.array([0.0, 2.0, 4.5, 6.0, 100.0]) ** (2 if squared else 1)
    counts = neighbors.count_within(queries, references, radii, squared=squared, memory=memory)
    np.testing.assert_array_equal(counts, by_hand(queries, references, radii, squared=squared))
    assert counts[:, 0].sum() == 0 and (counts[:, -1] == 1017).all()


def test_a_radius_that_is_a_distance_counts_it_and_the_item_itself_is_left_out():
    """Whole pixels tie by the hundred, and every threshold of ours is one of the distances."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 3, (300, 4, 4, 1), dtype=np.uint8)
    images[7] = images[3]
    found = neighbors.search(images, images, k=5, exclude_self=True, scale=1 / 127.5)
    radii = np.unique(found.distance.ravel())[[0, 1, 2, -1]].astype(np.float64)
    counts = neighbors.count_within(images, images, radii, exclude_self=True, scale=1 / 127.5)
    np.testing.assert_array_equal(counts, by_hand(images, images, radii, True, scale=1 / 127.5))
    assert counts[7, 0] >= 1  # its duplicate, at distance 0


def test_counts_agree_with_the_nearest_distances():
    rng = np.random.default_rng(2)
    items = (rng.normal(size=(500, 12)) + 1e3).astype(np.float32)  # far from the origin
    nearest = neighbors.search(items, items, exclude_self=True).distance[:, 0]
    for radius in np.quantile(nearest, [0.1, 0.5, 0.9]):
        counts = neighbors.count_within(items, items, float(radius), exclude_self=True)
        np.testing.assert_array_equal(counts > 0, nearest <= radius)


def test_one_radius_gives_one_number_an_item_and_embeddings_in_float16_are_taken():
    items = np.random.default_rng(3).normal(size=(50, 8)).astype(np.float16)
    counts = neighbors.count_within(items, items[:20], 3.0)
    np.testing.assert_array_equal(
        counts, by_hand(items.astype(np.float32), items[:20].astype(np.float32), 3.0)[:, 0]
    )
    assert counts.shape == (50,)


@pytest.mark.parametrize("radius", [-1.0, float("nan"), float("inf")])
def test_a_radius_that_is_no_distance_is_refused(radius):
    with pytest.raises(InputError, match="finite distance"):
        neighbors.count_within(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32), radius)


def test_items_that_are_not_finite_are_named():
    items = np.zeros((4, 2), np.float32)
    items[2, 1] = np.nan
    with pytest.raises(InputError, match="item 2 of queries"):
        neighbors.count_within(items, np.zeros((3, 2), np.float32), 1.0)
    assert jax.local_device_count() >= 1


def test_every_query_may_have_a_radius_of_its_own():
    random = np.random.default_rng(5)
    queries, references = (random.standard_normal((count, 3)).astype(np.float32) for count in (70, 90))
    radius = random.uniform(0.2, 2.0, (70, 2))
    distance = np.linalg.norm(queries[:, None] - references[None], axis=-1)
    expected = (distance[..., None] <= radius[:, None]).sum(1)
    np.testing.assert_array_equal(neighbors.count_within(queries, references, radius), expected)
    with pytest.raises(InputError, match="a row for each query"):
        neighbors.count_within(queries, references, radius[:60])


def test_radii_whose_square_no_float32_holds_count_as_what_they_are():
    items = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1e18]], np.float32)
    radii = np.array([4.0, 6.0, 1e19, 2e19, 1e38, 1e200])
    counts = neighbors.count_within(items, items, radii, exclude_self=True)
    np.testing.assert_array_equal(counts, [[0, 1, 2, 2, 2, 2], [0, 1, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2]])
    squares = neighbors.count_within(items, items, [25.5, 1e38, 1e60], exclude_self=True, squared=True)
    np.testing.assert_array_equal(squares, [[1, 2, 2], [1, 2, 2], [0, 2, 2]])
    far = np.array([[-1.5e19], [1.5e19]], np.float32)  # apart by more than such a radius may be cut to
    with pytest.raises(InputError, match="overflow float32"):
        neighbors.count_within(far, far, 1e38)
