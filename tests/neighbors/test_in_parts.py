import numpy as np
import pytest

from memgen_jax import neighbors
from memgen_jax.data import room
from memgen_jax.errors import InputError
from memgen_jax.mapped import let_go
from memgen_jax.neighbors import exact_search, in_parts

RNG = np.random.default_rng(3)
MEMORY = 2**21  # of which a quarter holds 13 items of 10,000 numbers
LONG = {
    "uint8": RNG.integers(0, 256, (90, 10_000)).astype(np.uint8),
    "float32": RNG.normal(size=(90, 10_000)).astype(np.float32),
    "far from the origin": (1e4 + RNG.normal(size=(90, 10_000))).astype(np.float32),
}


@pytest.fixture
def used(monkeypatch):
    calls = []

    class Watched(in_parts.InParts):
        def __call__(self, *args, **kwargs):
            calls.append(len(args[0]))
            return super().__call__(*args, **kwargs)

    monkeypatch.setattr(exact_search, "InParts", Watched)
    return calls


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("rows", [1024, 32])
def test_few_long_items_have_the_neighbours_that_they_have_with_room_for_all(
    used, monkeypatch, tmp_path, name, k, rows
):
    monkeypatch.setattr(in_parts, "ROWS", rows)  # one tile, or several
    np.save(tmp_path / "items.npy", LONG[name])
    items = np.load(tmp_path / "items.npy", mmap_mode="r")
    found = neighbors.search(items, items, k=k, exclude_self=True, memory=MEMORY)
    assert used
    wanted = neighbors.search(LONG[name], LONG[name], k=k, exclude_self=True, memory=2**30)
    assert (found.index == wanted.index).all() and (found.distance == wanted.distance).all()


def test_copies_of_long_items_are_at_distance_0_and_ties_go_to_the_lower_index(used):
    items = np.concatenate([LONG["uint8"], LONG["uint8"][:70]])
    found = neighbors.search(items[90:], items, k=2, memory=MEMORY)
    assert used and (found.distance == 0).all()
    assert (found.index == np.stack([np.arange(70), np.arange(90, 160)], 1)).all()
    same = np.repeat(LONG["float32"][:1], 80, axis=0)
    found = neighbors.search(same, same, k=2, exclude_self=True, memory=MEMORY)
    assert (
        (found.distance == 0).all()
        and found.index[0].tolist() == [1, 2]
        and found.index[5].tolist() == [0, 1]
    )


def test_a_long_item_with_nan_is_named(used):
    items = LONG["float32"].copy()
    items[41, 9_999] = np.nan
    with pytest.raises(InputError, match="item 41 of references holds NaN"):
        neighbors.search(LONG["float32"], items, memory=MEMORY)
    assert used


def test_short_items_and_room_for_all_go_another_way(used):
    neighbors.search(LONG["uint8"], LONG["uint8"])
    neighbors.search(LONG["uint8"][:, :100], LONG["uint8"][:, :100], memory=MEMORY)
    assert not used


def test_a_file_of_long_items_is_let_go_while_it_is_read(used, tmp_path):
    shape = (40, 2**21)  # 320 MiB
    items = np.memmap(tmp_path / "items", np.float32, "w+", shape=shape)
    for row in items:
        row[:] = RNG.random(len(row), dtype=np.float32)
    let_go(items)
    held = room.most_held_by(lambda: neighbors.search(items, items, exclude_self=True, memory=2**25))
    assert used and held < items.nbytes // 2
