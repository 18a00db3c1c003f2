import jax
import numpy as np
import pytest

from memgen_jax.data import paper_grid
from memgen_jax.errors import InputError
from memgen_jax.sweep import Purpose, make_members, take_shard


def test_the_batch_is_never_larger_than_the_training_set_unless_repeated():
    members = make_members((2, 200), total=200, batch_size=128)
    assert [m.batch_size for m in members] == [2, 128]
    repeated = make_members((2, 200), total=200, batch_size=128, repeat_small=True)
    assert [m.batch_size for m in repeated] == [128, 128]


def test_names_are_zero_padded_and_tell_seeds_apart_only_where_there_are_several():
    assert [m.name for m in make_members((9, 10), total=10, batch_size=1)] == [
        "num_train=000009",
        "num_train=000010",
    ]
    names = [m.name for m in make_members((9,), total=10, batch_size=1, seeds=(0, 1), widths=(32, 64))]
    assert len(set(names)) == 4 and "num_train=000009,width=032,seed=1" in names


def test_every_purpose_size_seed_and_width_has_a_key_of_its_own():
    members = make_members((2, 3), total=10, batch_size=1, seeds=(0, 1), widths=(32, 64))
    keys = {tuple(jax.random.key_data(m.key(p)).tolist()) for m in members for p in Purpose}
    assert len(keys) == len(members) * len(Purpose)


def test_shards_partition_the_members():
    members = make_members(range(1, 12), total=20, batch_size=4)
    shards = [take_shard(members, i, 3) for i in range(3)]
    assert sorted(m for shard in shards for m in shard) == list(members)
    assert np.ptp([len(shard) for shard in shards]) <= 1


def test_shards_have_about_the_same_samples_to_draw():
    """The paper's grid for LSUN-Church on 4 processes: no share is a third above the mean."""
    members = make_members(paper_grid(2_000, 16_000, 126_227), total=126_227, batch_size=64)
    work = [sum(m.num_train for m in take_shard(members, i, 4)) for i in range(4)]
    plain = [sum(m.num_train for m in members[i::4]) for i in range(4)]
    assert max(work) < 1.3 * np.mean(work) and np.ptp(work) < np.ptp(plain)


def test_a_member_at_an_earlier_step_draws_the_same_noise_under_another_name():
    (member,) = make_members((9,), total=10, batch_size=1)
    early = member.at(40)
    assert early.name == "num_train=000009,step=0000040"
    same = jax.random.key_data(early.key(Purpose.SAMPLE)) == jax.random.key_data(member.key(Purpose.SAMPLE))
    assert same.all()


@pytest.mark.parametrize("sizes", [(0,), (11,), ()])
def test_sizes_outside_the_data_are_a_mistake(sizes):
    with pytest.raises(InputError, match="num_train"):
        make_members(sizes, total=10, batch_size=4)


@pytest.mark.parametrize("index,count", [(3, 3), (-1, 2), (0, 0)])
def test_a_shard_out_of_range_is_a_mistake(index, count):
    with pytest.raises(InputError, match="shard"):
        take_shard(make_members((2,), total=10, batch_size=4), index, count)


def test_seeds_with_subsets_of_their_own_share_no_order_but_seed_0_keeps_the_sweeps():
    nested = make_members((8,), seeds=(0, 1, 2), total=100, batch_size=4)
    own = make_members((8,), seeds=(0, 1, 2), total=100, batch_size=4, own_subsets=True)
    assert all((member.items(100) == np.arange(8)).all() for member in (*nested, own[0]))
    sets = [frozenset(member.items(100).tolist()) for member in own]
    assert len(set(sets)) == 3 and all(len(items) == 8 for items in sets)
    assert all((np.sort(member.order(100)) == np.arange(100)).all() for member in own)
    larger = make_members((50,), seeds=(2,), total=100, batch_size=4, own_subsets=True)[0]
    assert (larger.items(100)[:8] == own[2].items(100)).all()  # nested within a seed
