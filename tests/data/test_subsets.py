"""Subsets are nested, and the grids hold the sizes that the paper reports."""

import numpy as np
import pytest

from memgen_jax import data
from memgen_jax.errors import InputError

# Data set: A, B, total, and the sizes that the paper quotes in its histograms and examples.
PAPER = {
    "cifar10": (2_000, 16_000, 50_000, {3931, 7310}),
    "lsun_church": (2_000, 16_000, 126_227, {4896}),
    "fashion_mnist": (4_000, 16_000, 60_000, {7724}),
    "mnist": (4_000, 32_000, 60_000, {21379}),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_grid_has_38_sizes_and_holds_every_size_it_quotes(name):
    a, b, total, quoted = PAPER[name]
    grid = data.paper_grid(a, b, total)
    assert len(grid) == len(set(grid)) == 38
    assert quoted <= set(grid)
    assert {2, a, b, total} <= set(grid)
    assert list(grid) == sorted(grid)


def test_sizes_are_truncated_and_not_rounded():
    # linspace(2000, 16000, 30)[6] is 4896.55, of which the paper shows 4896.
    assert 4896 in data.paper_grid(2_000, 16_000, 126_227)
    assert 4897 not in data.paper_grid(2_000, 16_000, 126_227)


@pytest.mark.parametrize("points", [(500, 400, 1000), (2, 10, 100), (10, 100, 100), (10, 10, 90)])
def test_points_out_of_order_are_refused_with_all_three_numbers(points):
    with pytest.raises(InputError, match=rf"grid_ends=\({points[0]}, {points[1]}\) must be .*{points[2]}"):
        data.paper_grid(*points)


def test_sizes_that_coincide_on_a_small_grid_are_kept_once():
    grid = data.paper_grid(4, 8, 20)
    assert len(set(grid)) == len(grid)
    assert set(range(4, 9)) <= set(grid)


def test_the_coarse_grid_doubles_from_500_and_ends_at_the_total():
    assert data.coarse_grid(1_437) == (500, 1000, 1437)
    assert data.coarse_grid(4_000) == (500, 1000, 2000, 4000)
    assert data.coarse_grid(300) == (300,)
    with pytest.raises(InputError):
        data.coarse_grid(0)


def test_a_permutation_holds_every_index_once_and_depends_on_its_seed_alone():
    order = data.permutation(1000)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, data.permutation(1000, seed=3407))
    assert (order != data.permutation(1000, seed=0)).any()
    assert (order != np.arange(1000)).any()


@pytest.mark.parametrize("wrong", [-1, 2.5, float("nan"), "3", None, True])
def test_a_number_of_items_that_is_none_is_refused(wrong):
    for call in (
        lambda: data.torch_randperm(wrong),
        lambda: data.permutation(wrong),
        lambda: data.torch_randperm(3, wrong),
        lambda: data.subset_order(wrong, "given"),
        lambda: data.circle(wrong),
        lambda: data.circle(3, wrong),
    ):
        with pytest.raises(InputError, match=r"number|at least|in 0"):
            call()


def test_a_number_of_items_may_be_any_whole_number():
    assert data.torch_randperm(np.int64(10)).tolist() == data.torch_randperm(10.0).tolist()
    assert len(data.torch_randperm(0)) == 0
    assert data.coarse_grid(np.int32(20), 5) == (5, 10, 20)
    for total in (float("nan"), float("inf"), 20.5):
        with pytest.raises(InputError):
            data.coarse_grid(total, 5)
        with pytest.raises(InputError):
            data.paper_grid(3, 9, total)


def test_a_seed_that_is_none_is_refused():
    for seed in (-1, (1, -1)):
        with pytest.raises(InputError, match="seed=-1 must be at least 0"):
            data.permutation(3, seed)
