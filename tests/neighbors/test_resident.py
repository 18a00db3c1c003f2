"""Vectors that were made on a device are not sent to it again, and what is found is the same."""

import gc

import jax
import numpy as np
import pytest

from memgen_jax import neighbors
from memgen_jax.metrics import Embedding
from memgen_jax.neighbors import resident
from memgen_jax.neighbors.references import References
from memgen_jax.neighbors.rows import local_mesh


@pytest.fixture
def sent(monkeypatch):
    """Arrays of items that went from the host to the devices, by their shape; processors pass for accelerators."""
    shapes, put = [], jax.device_put

    def counting(value, *arguments, **options):
        if (
            isinstance(value, np.ndarray)
            and value.ndim == 2
            and value.dtype.kind == "f"
            and value.shape[1] == 12
        ):
            shapes.append(value.shape)
        return put(value, *arguments, **options)

    monkeypatch.setattr(resident, "worthwhile", lambda mesh: True)
    monkeypatch.setattr(jax, "device_put", counting)
    yield shapes
    resident.release()


def embedding():
    """The cosine of twelve sums, made by JAX; 50 items at once, so that the last are fewer."""
    mix = np.random.default_rng(1).normal(size=(30, 12)).astype(np.float32)
    return Embedding("sums", jax.jit(lambda x: x @ mix), batch=50)


def items(seed, count):
    return np.random.default_rng(seed).normal(size=(count, 30)).astype(np.float32)


def test_embeddings_stay_on_the_devices_for_every_search_and_count(sent):
    metric, on = embedding(), {"mesh": local_mesh()}  # as where devices are no processors
    samples, train = metric.vectors(items(2, 333)), metric.vectors(items(3, 170))
    found = metric.search(samples, train[:130], k=3, **on)
    among = metric.search(samples, samples, exclude_self=True, **on)
    counts = metric.count_within(samples[100:], train, np.array([2.0, 9.0]))
    assert sent == []
    copies = samples.copy(), train.copy()
    assert np.array_equal(metric.search(copies[0], copies[1][:130], k=3, **on).index, found.index)
    assert np.array_equal(metric.search(copies[0], copies[1][:130], k=3, **on).distance, found.distance)
    assert np.array_equal(metric.search(copies[0], copies[0], exclude_self=True, **on).index, among.index)
    assert np.array_equal(metric.count_within(copies[0][100:], copies[1], np.array([2.0, 9.0])), counts)
    assert len(sent) > 0  # copies are other arrays, which do go there


def test_rows_taken_in_any_order_stay_there_too(sent):
    metric, on = embedding(), {"mesh": local_mesh()}  # as where devices are no processors
    samples, train = metric.vectors(items(2, 40)), metric.vectors(items(3, 90))
    order = np.random.default_rng(4).permutation(90)[:60]
    own = neighbors.taken(train, order)
    np.testing.assert_array_equal(own, train[order])
    found = metric.search(samples, own, **on)
    assert sent == []
    np.testing.assert_array_equal(found.index, metric.search(samples.copy(), train[order], **on).index)
    assert neighbors.taken(train, slice(7)).base is not None  # a view, no copy


def test_the_devices_let_go_of_them_with_the_array_or_when_told(sent):
    made = embedding().vectors(items(2, 60))
    part = made[10:30]
    del made
    gc.collect()
    assert resident._found(part)[1] == 10  # a slice keeps its array
    neighbors.release()
    assert resident._found(part) is None
    made = embedding().vectors(items(2, 60))
    assert len(resident._TWINS) == 1
    del made, part
    gc.collect()
    assert not resident._TWINS


def test_what_has_no_room_or_was_not_made_on_a_device_is_sent(sent, monkeypatch):
    by_numpy = Embedding("numpy", lambda x: x[:, :12])
    vectors = by_numpy.vectors(items(2, 60))
    assert vectors.flags.writeable and resident._found(vectors) is None
    monkeypatch.setattr(resident, "tile_memory", lambda mesh: 4 * 4 * 12 * 100)  # a quarter: 100 rows
    small, large = embedding().vectors(items(2, 100)), embedding().vectors(items(3, 101))
    assert resident._found(small) is not None and resident._found(large) is None
    assert not small.flags.writeable  # so that it stays what is on the devices
    turns = iter(range(9))
    either = Embedding("either", lambda x: jax.numpy.asarray(x) if next(turns) % 2 else x, batch=10)
    assert resident._found(either.vectors(items(4, 20))) is None


def test_on_a_processor_nothing_is_kept_twice():
    vectors = embedding().vectors(items(2, 60))
    assert vectors.flags.writeable and not resident._TWINS


def test_references_of_a_count_go_to_the_devices_once_where_they_fit(sent, monkeypatch):
    queries, references = items(5, 300)[:, :12].copy(), items(6, 260)[:, :12].copy()
    made = []
    tiles = References.tiles

    def watched(self):
        for first, tile in tiles(self):
            made.append((first, id(tile)))
            yield first, tile

    monkeypatch.setattr(References, "tiles", watched)
    neighbors.count_within(queries, references, 3.0, memory=2**16)
    rounds = [first for first, _ in made].count(0)
    assert rounds > 1 and len({tile for _, tile in made}) == len({first for first, _ in made})
    sent.clear()
    made.clear()
    neighbors.count_within(queries, references, 3.0, memory=2**14)  # no room: again for each tile of queries
    rounds = [first for first, _ in made].count(0)
    assert sum(rows for rows, _ in sent) > rounds * len(references)


def test_a_tile_is_counted_while_the_one_before_is_read(monkeypatch):
    from memgen_jax.neighbors import counting

    order = []
    count, add = counting._count, counting._Counter._add
    monkeypatch.setattr(counting, "_count", lambda *a: order.append("begun") or count(*a))
    monkeypatch.setattr(counting._Counter, "_add", lambda *a: order.append("read") or add(*a))
    neighbors.count_within(items(5, 300), items(6, 260), 3.0, memory=2**17)
    assert order[:3] == ["begun", "begun", "read"] and order[-1] == "read"
    assert order.count("begun") == order.count("read") > 2
