import pytest

from memgen_jax.errors import InputError
from memgen_jax.sweep.grid import first_sizes, propose_ends

CIFAR10 = {"given": (), "ends": (2_000, 16_000), "total": 50_000, "first": 500}


def test_the_paper_s_grid_holds_the_sizes_it_quotes_and_is_38_long():
    sizes = first_sizes("paper", **CIFAR10)
    assert len(sizes) == 38 and {2, 2_000, 3_931, 7_310, 16_000, 50_000} <= set(sizes)


def test_the_search_doubles_up_to_the_whole_data_set():
    assert first_sizes("coarse", **CIFAR10) == (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 50_000)
    assert first_sizes("auto", **CIFAR10) == first_sizes("coarse", **CIFAR10)


def test_sizes_may_be_written_out_or_given():
    assert first_sizes("(2, 500)", **CIFAR10) == (2, 500)
    assert first_sizes("given", **CIFAR10 | {"given": (3, 4)}) == (3, 4)


@pytest.mark.parametrize("grid", ["papers", "(2, 'x')", "(2", "[2, 3]", "(2.5, 3)"])
def test_another_word_is_a_mistake(grid):
    with pytest.raises(InputError, match="grid="):
        first_sizes(grid, **CIFAR10)


@pytest.mark.parametrize("ends", [(16_000, 2_000), (2_000, 2_000), (2, 16_000), (2_000, 50_000)])
def test_ends_in_the_wrong_order_are_a_mistake(ends):
    with pytest.raises(InputError, match="2 < A < B < 50000"):
        first_sizes("paper", **CIFAR10 | {"ends": ends})


def test_the_proposal_is_where_memorization_stops_being_whole_and_where_it_is_gone():
    sizes = (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 50_000)
    memorized = (1.0, 0.99, 0.95, 0.6, 0.3, 0.04, 0.0, 0.0)
    assert propose_ends(sizes, memorized, 50_000) == (2000, 16_000)


def test_noise_that_lets_the_curve_rise_again_does_not_move_the_proposal_outside_the_fall():
    sizes = (500, 1000, 2000, 4000, 8000, 16_000)
    assert propose_ends(sizes, (1.0, 0.92, 0.94, 0.5, 0.08, 0.09), 20_000) == (2000, 8000)


def test_a_curve_that_does_not_fall_within_the_data_leaves_no_room():
    with pytest.raises(InputError, match="proposes A = 1000 and B = 1000"):
        propose_ends((500, 1000, 2000), (1.0, 0.95, 0.8), 2000)


def test_a_search_that_begins_after_the_fall_takes_its_smallest_size_for_a():
    assert propose_ends((500, 1000, 2000, 4000), (0.3, 0.05, 0.0, 0.0), 4000) == (500, 1000)
