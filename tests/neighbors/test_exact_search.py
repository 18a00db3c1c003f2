"""Every answer is compared with a double loop in float64, bit by bit where order is concerned."""

import importlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgen_jax import cores
from memgen_jax.errors import InputError
from memgen_jax.neighbors import on_processors, search, tiles
from memgen_jax.neighbors.on_devices import OnDevices
from memgen_jax.neighbors.rows import local_mesh, place_of_references, rows_per_tile
from memgen_jax.neighbors.tiles import BLOCK, SCORES_ON_CPU

pytestmark = pytest.mark.usefixtures("quick_compilation")


# On processors the search is BLAS's by default; with a mesh it takes the way that accelerators take.
everywhere = pytest.mark.parametrize("on", ["processors", "devices"])


def mesh_of(on):
    return local_mesh() if on == "devices" else None


def brute_force(queries, references, k, exclude_self=False):
    queries = np.asarray(queries, np.float64).reshape(len(queries), -1)
    references = np.asarray(references, np.float64).reshape(len(references), -1)
    square = np.stack([((query - references) ** 2).sum(1) for query in queries])
    if exclude_self:
        np.fill_diagonal(square, np.inf)
    index = np.argsort(square, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(square, index, 1)), index


def gaussian(seed, count, dim=12):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def adversaries():
    """Sets on which a search by the Gram form errs unless it proves what it says."""
    rng = np.random.default_rng(21)
    cloud = gaussian(22, 300, 40)
    yield "one item repeated, and others", np.repeat(cloud[:30], rng.integers(1, 14, 30), axis=0)
    yield "far from the origin", cloud + np.float32(3e4)
    yield "differences near the rounding of the numbers", np.float32(7) + cloud * np.float32(3e-6)
    yield "one far off", np.concatenate([cloud, cloud[:1] * np.float32(1e6)])
    yield "many equal distances", np.concatenate([np.eye(90, dtype=np.float32)] * 3)
    yield "levels", rng.integers(0, 2, (400, 9), dtype=np.uint8)
    yield "halves", cloud.astype(np.float16)


@everywhere
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize(("queries", "references"), [(1, 5), (300, 200), (130, 1500), (77, 4)])
def test_neighbours_equal_a_double_loop_where_sizes_do_not_divide_the_tile(on, queries, references, k):
    query, reference = gaussian(0, queries), gaussian(1, references)
    found = search(query, reference, k=k, memory=2**17, mesh=mesh_of(on))
    distance, index = brute_force(query, reference, k)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-6)


@everywhere
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    levels=st.integers(1, 4),
    count=st.integers(2, 90),
    k=st.integers(1, 5),
    dtype=st.sampled_from(["uint8", "float16", "float32"]),
)
def test_ties_go_to_the_lower_index_however_many_items_tie(on, seed, levels, count, k, dtype):
    items = np.random.default_rng(seed).integers(0, levels, (count, 3)).astype(dtype)
    k = min(k, count - 1)
    for exclude_self in (False, True):
        found = search(items, items, k=k, exclude_self=exclude_self, memory=2**15, mesh=mesh_of(on))
        distance, index = brute_force(items, items, k, exclude_self)
        np.testing.assert_array_equal(found.index, index)
        np.testing.assert_allclose(found.distance, distance, rtol=1e-6)


@everywhere
def test_an_identical_item_is_at_distance_exactly_zero_far_from_the_origin(on):
    items = gaussian(2, 400, dim=50) + np.float32(1e3)
    found = search(items, items, mesh=mesh_of(on))
    assert (found.distance == 0).all()
    np.testing.assert_array_equal(found.index[:, 0], np.arange(400))


def test_self_search_ignores_the_sample_itself_not_its_duplicate():
    items = gaussian(3, 100)
    items[70] = items[20]
    found = search(items, items, exclude_self=True)
    assert found.index[70, 0] == 20 and found.index[20, 0] == 70
    assert found.distance[70, 0] == 0
    assert (found.distance[np.delete(np.arange(100), [20, 70])] > 0).all()


@everywhere
def test_a_collapsed_set_is_answered_though_every_item_ties_with_every_other(on):
    items = np.repeat(gaussian(4, 3), [1, 1000, 500], axis=0)
    found = search(items, items, k=2, exclude_self=True, mesh=mesh_of(on))
    distance, index = brute_force(items, items, 2, exclude_self=True)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-6)


@everywhere
def test_the_nearer_of_two_items_is_found_where_the_gram_form_cannot_tell_them_apart(on):
    query = np.full((1, 2000), 1.0, np.float32)
    references = np.repeat(query, 40, axis=0) + 5
    references[:, 0] += np.linspace(1e-4, 2e-4, 40)[::-1]
    found = search(query, references, k=3, mesh=mesh_of(on))
    np.testing.assert_array_equal(found.index, [[39, 38, 37]])


@pytest.mark.parametrize("k", [1, 5])
def test_no_result_depends_on_memory_batch_or_the_precision_of_the_search(k):
    query, reference = gaussian(5, 200, 40), gaussian(6, 150, 40)
    whole = search(query, reference, k=k)
    for memory in (2**14, 2**17):
        for dtype, on in (("float32", "processors"), ("float32", "devices"), ("bfloat16", "devices")):
            part = search(query, reference, k=k, memory=memory, dtype=dtype, mesh=mesh_of(on))
            np.testing.assert_array_equal(part.distance, whole.distance)
            np.testing.assert_array_equal(part.index, whole.index)
    halves = [search(query[:73], reference, k=k), search(query[73:], reference, k=k)]
    np.testing.assert_array_equal(np.concatenate([half.distance for half in halves]), whole.distance)


@everywhere
@pytest.mark.parametrize("k", [1, 3])
def test_queries_that_are_compared_in_pieces_get_the_neighbours_of_a_double_loop(on, k):
    query, reference = gaussian(16, 2500, 3), gaussian(17, 2100, 3)
    assert 4 * len(query) * len(reference) > SCORES_ON_CPU
    found = search(query, reference, k=k, mesh=mesh_of(on))
    distance, index = brute_force(query, reference, k)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-6)


def test_neighbours_follow_a_permutation_of_the_references():
    query, reference = gaussian(7, 60), gaussian(8, 90)
    order = np.random.default_rng(0).permutation(90)
    found, permuted = search(query, reference, k=3), search(query, reference[order], k=3)
    np.testing.assert_array_equal(order[permuted.index], found.index)
    np.testing.assert_array_equal(permuted.distance, found.distance)


def test_uint8_images_give_the_distance_of_the_decoded_images():
    rng = np.random.default_rng(9)
    query, reference = (rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8) for n in (30, 50))
    levels = search(query, reference, k=2, scale=1 / 127.5)
    decoded = [(x.astype(np.float64) / 127.5 - 1).astype(np.float32) for x in (query, reference)]
    found = search(*decoded, k=2)
    np.testing.assert_array_equal(levels.index, found.index)
    np.testing.assert_allclose(levels.distance, found.distance, rtol=1e-6)


def test_squared_distances_are_the_squares():
    query, reference = jnp.asarray(gaussian(10, 20)), jnp.asarray(gaussian(11, 30))
    np.testing.assert_allclose(
        search(query, reference, squared=True).distance,
        search(query, reference).distance ** 2,
        rtol=1e-6,
    )


def test_the_search_is_proven_at_once_on_ordinary_data():
    """The second search is for ties; were the error bound far too wide, all would land there."""
    query, reference = gaussian(12, 400, 784), gaussian(13, 900, 784)
    reference[7] *= 1e6  # nor may one item far off put all others in doubt
    finder = OnDevices(reference, 2**22, jnp.dtype("float32"), local_mesh())
    assert finder(query, np.full(400, -1), 1, 1)[2].mean() > 0.99
    finder = on_processors.OnProcessors(reference, 2**22)
    assert finder(query, np.full(400, -1), 1, 1)[2].mean() > 0.99
    np.testing.assert_array_equal(search(query, reference).index, brute_force(query, reference, 1)[1])


def test_more_devices_give_the_same_bits_whether_each_has_all_references_or_its_share():
    program = """
import sys, numpy as np, jax
from memgen_jax.neighbors import count_within, references, rows, search
items = np.random.default_rng(0).normal(size=(333, 30)).astype(np.float32)
items[300:310] = items[5]  # equal items, in the shares of different devices
places = set()
def place(*arguments):
    places.add(rows.place_of_references(*arguments))
    return rows.place_of_references(*arguments)
references.place_of_references = place
for k, self_search in ((1, False), (3, False), (1, True)):
    found = [search(items, items if self_search else items[:100], k=k, exclude_self=self_search,
             memory=2**15, mesh=jax.sharding.Mesh(np.array(jax.devices()[:n]), "query"))
             for n in (1, 3, 8)]
    for other in found[1:]:
        assert (found[0].index == other.index).all() and (found[0].distance == other.distance).all()
radii = np.unique(search(items, items, k=4, exclude_self=True, memory=2**15).distance)[[0, 5, 500]].astype(float)
counts = [count_within(items, items, radii, exclude_self=True, memory=2**15,
          mesh=jax.sharding.Mesh(np.array(jax.devices()[:n]), "query")) for n in (1, 3, 8)]
assert (counts[0] == counts[1]).all() and (counts[0] == counts[2]).all() and counts[0].sum() > 500
print(jax.device_count(), *sorted(places))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
            "JAX_PLATFORMS": "cpu",
            "PATH": "",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip() == "8 sent spread", done.stderr


def test_references_stay_on_a_device_or_spread_over_several_where_they_fit():
    # The paper's LSUN-Church by LPIPS: 10.5 GB in float32, and 42 GB.
    lsun, samples, dim = 126_227, 504_908, 20_762
    half_of_80 = 40 * 10**9
    assert place_of_references(50_000, 3_490, half_of_80, 8) == "each"
    assert place_of_references(lsun, dim, half_of_80, 1) == "sent"
    assert place_of_references(lsun, dim, half_of_80, 2) == "spread"
    assert place_of_references(samples, dim, half_of_80, 4) == "sent"
    assert place_of_references(samples, dim, half_of_80, 8) == "spread"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"queries": np.zeros((0, 3)), "references": np.zeros((2, 3))}, "queries is empty"),
        ({"queries": np.zeros((2, 3)), "references": np.zeros((2, 4))}, "3 numbers"),
        ({"queries": np.zeros((2, 3)), "references": np.zeros((2, 3)), "k": 3}, "between 1 and 2"),
        (
            {"queries": np.zeros((2, 3)), "references": np.zeros((2, 3)), "k": 2, "exclude_self": True},
            "between 1 and 1",
        ),
        (
            {"queries": np.zeros((1, 3)), "references": np.zeros((2, 3)), "exclude_self": True},
            "same array",
        ),
        (
            {"queries": np.zeros((2, 3)), "references": np.array([[0, 0, 0], [0, np.nan, 0]])},
            "item 1 of references",
        ),
        (
            {"queries": np.array([[0, 0, np.inf]]), "references": np.zeros((2, 3))},
            "item 0 of queries",
        ),
        ({"queries": np.full((1, 3), 1e30), "references": np.zeros((2, 3))}, "overflow"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_sentence(arguments, words):
    with pytest.raises(InputError, match=words):
        search(**{k: v.astype(np.float32) if hasattr(v, "shape") else v for k, v in arguments.items()})


def test_jax_arrays_and_numpy_arrays_give_the_same_neighbours_and_stay_as_they_are():
    query, reference = gaussian(14, 128, 16), gaussian(15, 256, 16)
    on_device = jnp.asarray(query), jnp.asarray(reference)
    found = search(query, reference)
    for _ in range(2):  # tiles are centred in place: never in the caller's memory
        other = search(*on_device)
        np.testing.assert_array_equal(found.distance, other.distance)
    np.testing.assert_array_equal(on_device[0], gaussian(14, 128, 16))
    np.testing.assert_array_equal(on_device[1], gaussian(15, 256, 16))
    np.testing.assert_array_equal(query, gaussian(14, 128, 16))
    assert isinstance(other.distance, np.ndarray) and not isinstance(other.distance, jax.Array)


def test_rounding_to_bfloat16_is_counted_in_every_compiled_form():
    """XLA may take a cast there and back for nothing; then the search would trust scores of unrounded items."""
    items = np.random.default_rng(0).normal(size=(64, 33)).astype(np.float32)
    made = tiles.prepare(jnp.asarray(items), jnp.zeros(33), 64, jnp.dtype(jnp.bfloat16))
    rounded = np.asarray(made.item, np.float32)
    np.testing.assert_allclose(made.error, np.linalg.norm(items - rounded, axis=1), rtol=1e-5)
    np.testing.assert_allclose(made.norm, (rounded**2).sum(1), rtol=1e-6)
    assert made.error.min() > 0
    text = (
        jax.jit(lambda x: tiles.prepare(x, jnp.zeros(33), 64, jnp.dtype(jnp.bfloat16))).lower(items).as_text()
    )
    assert "reduce_precision" in text


def test_some_rows_of_a_set_find_what_they_find_in_a_search_of_all():
    rng = np.random.default_rng(5)
    items = rng.integers(0, 3, (90, 4)).astype(np.float32)  # many ties and duplicates
    whole = search(items, items, k=3, exclude_self=True)
    rows = np.array([80, 3, 41])
    some = search(items[rows], items, k=3, exclude=rows)
    assert (some.index == whole.index[rows]).all() and (some.distance == whole.distance[rows]).all()
    none = search(items[rows], items, exclude=np.full(3, -1))
    assert (none.distance == 0).all() and (none.index[:, 0] <= rows).all()
    with pytest.raises(InputError, match="exclude must name a row of the references"):
        search(items, items, exclude=np.full(90, 90))


@pytest.mark.parametrize("count", [1, 100, 128, 129, 500, 700, 1024, 1025, 5_000])
def test_tiles_hold_every_row_and_few_others(count):
    """What is padding is multiplied too: 500 rows in a tile of 1,024 took twice as long as in one of 512."""
    tile = rows_per_tile(count, 4096, BLOCK)
    tiles_needed = -(-count // tile)
    assert tile % BLOCK == 0 and count <= tile * tiles_needed <= max(1.5 * count, 128)


@pytest.mark.parametrize("items", [pytest.param(items, id=name) for name, items in adversaries()])
def test_processors_and_devices_give_the_same_bytes(items, monkeypatch):
    queries, rows = items[::3], np.arange(0, len(items), 3)
    monkeypatch.setattr(on_processors, "REFERENCES", 128)  # several products a piece
    monkeypatch.setattr(on_processors, "_faiss", lambda: None)  # whose candidates have tests of their own
    for k in (1, 6):
        there = search(queries, items, k=k, exclude=rows, mesh=mesh_of("devices"))
        for memory in (None, 2**15):  # all references at once, and a few
            found = search(queries, items, k=k, exclude=rows, memory=memory)
            assert found.index.tobytes() == there.index.tobytes()
            assert found.distance.tobytes() == there.distance.tobytes()
    _, index = brute_force(items, items, 6, exclude_self=True)
    if items.dtype == np.uint8 or items.max() < 10:  # where float64 itself can tell
        np.testing.assert_array_equal(found.index, index[::3])


def test_what_processors_leave_out_is_never_below_the_bound():
    scores = gaussian(23, 50, 300)
    kept = tiles.nothing_kept(50, 5)
    for first in (0, 100, 200):
        on_processors.pick(kept, scores[:, first : first + 100].copy(), first)
    order = np.argsort(scores, axis=1)
    np.testing.assert_array_equal(np.sort(kept.index, axis=1), np.sort(order[:, :5], axis=1))
    np.testing.assert_array_equal(kept.score, np.take_along_axis(scores, kept.index, axis=1))
    sixth = np.take_along_axis(scores, order[:, 5:6], axis=1)[:, 0]
    assert (kept.bound <= sixth).all() and (kept.bound >= kept.score.max(axis=1)).all()


def test_a_search_on_processors_leaves_blas_its_threads():
    pool = cores._libraries()
    with pool.limit(limits=2, user_api="blas"):  # not one, as a search has
        before = [library.num_threads for library in pool.lib_controllers]
        if 2 not in before:
            pytest.skip("no BLAS whose threads can be counted")
        search(gaussian(24, 100), gaussian(25, 50))
        with pytest.raises(InputError):
            search(np.full((2000, 3), np.nan, np.float32), gaussian(25, 50, 3))
        assert [library.num_threads for library in pool.lib_controllers] == before


def test_blas_has_its_threads_again_when_the_last_of_several_leaves():
    pool = cores._libraries()

    def threads():
        return [library.num_threads for library in pool.lib_controllers if library.user_api == "blas"]

    with pool.limit(limits=2, user_api="blas"):
        before = threads()
        if 2 not in before:
            pytest.skip("no BLAS whose threads can be counted")
        first, second = cores.one_thread_each(), cores.one_thread_each()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert set(threads()) == {1}
        second.__exit__(None, None, None)
        assert threads() == before


@everywhere
def test_the_item_that_holds_no_number_is_named_by_its_row_in_the_whole_set(on):
    items = gaussian(26, 2200, 3)
    items[2150, 1] = np.nan
    with pytest.raises(InputError, match="item 2150 of queries"):
        search(items, gaussian(27, 70, 3), memory=2**17, mesh=mesh_of(on))


def test_a_folder_called_faiss_is_not_taken_for_the_library(tmp_path, monkeypatch):
    (tmp_path / "faiss").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setitem(sys.modules, "faiss", importlib.import_module("faiss"))
    assert on_processors._faiss.__wrapped__() is None
