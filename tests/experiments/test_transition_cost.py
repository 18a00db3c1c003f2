import importlib

import jax
import pytest
from ml_collections import ConfigDict

from configs import digits
from experiments import transition_cost
from memgen_jax.errors import InputError


@pytest.mark.parametrize(
    "name,members",
    [("mnist", 38), ("fashion_mnist", 38), ("cifar10", 38), ("lsun_church", 38), ("celeba_hq64", 42)],
)
def test_the_papers_members_are_counted_without_the_data(name, members):
    """CelebA-HQ's ends are not known: the seven sizes of the search, less those of the grid, come besides."""
    config = importlib.import_module(f"configs.{name}")
    assert len(transition_cost.make_plan(config.get_config()).members) == members
    assert len(transition_cost.make_plan(config.get_config("small")).members) == 10


def test_a_search_that_is_given_no_ends_cannot_be_counted():
    config = importlib.import_module("configs.celeba_hq64").get_config()
    config.grid_ends = ()
    with pytest.raises(InputError, match="must be two sizes"):
        transition_cost.make_plan(config)


def test_the_stages_of_three_members_on_four_devices_add_up():
    """Sets of 32, 64 and 64 samples are five chunks of 32: two rounds of four places."""
    config = digits.get_config("smoke")
    config.expect = ConfigDict({"num_train": 1437, "item_shape": (8, 8, 1)})
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        share = transition_cost.Share(transition_cost.make_plan(config))
    (cost,) = share.costs.values()
    train, sample, control, compare = share.train(4), share.sample(4), share.control(), share.compare()
    assert train.balance == 3 / 4 and train.flops == 3 * 800 * cost.train_flops
    assert train.disk == 3 * 2 * cost.state_bytes
    assert sample.balance == 160 / (2 * 4 * 32) and sample.disk == 160 * 64
    assert sample.flops == pytest.approx(160 * 20 * cost.forward_flops)
    assert control.flops == pytest.approx(32 * 20 * 4 * 64 * (2 + 16 + 128))
    pairs = 32 * (2 + 32) + 64 * (16 + 64) + 64 * (128 + 64) + 32 * (2 + 16 + 128 + 3 * 32)
    assert compare.flops == 2 * 64 * pairs
