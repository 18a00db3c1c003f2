import collections
import shutil

import numpy as np
import pytest

from memgen_jax import audit, metrics
from memgen_jax.audit import budget, foretelling
from memgen_jax.audit.foretelling import Counts
from memgen_jax.errors import InputError

SETTINGS = audit.AuditSettings(train="a", samples="b", out="c")
DISK = collections.namedtuple("DISK", "free")


def test_the_distances_foretold_are_those_that_are_computed(monkeypatch):
    asked = []

    def counting(metric, orbit, queries, items, rows, **options):
        asked.append(len(queries) * len(rows))
        return search(metric, orbit, queries, items, rows, **options)

    search = metrics.least_search
    monkeypatch.setattr(metrics, "least_search", counting)
    rng = np.random.default_rng(0)
    for counts in (Counts(60, 40), Counts(60, 40, 30), Counts(50, 90, 20)):
        asked.clear()
        train, samples, unseen = (rng.normal(size=(count, 3)).astype(np.float32) for count in counts)
        audit.audit_arrays(train, samples, unseen if counts.holdout else None, delta_m=0.1, delta_s=0.1)
        assert sum(asked) == counts.pairs(SETTINGS), counts


def test_versions_multiply_the_distances_and_the_check_for_duplicates_can_be_spared():
    twice = audit.AuditSettings(train="a", samples="b", out="c", up_to="flip", skip_duplicates_check=True)
    assert Counts(1000, 100).pairs(SETTINGS) == 1000**2 + 1000 * 100 + 100**2
    assert Counts(1000, 100).pairs(twice) == 2 * (1000 * 100 + 100**2)


def test_vectors_without_room_on_the_disk_are_refused_before_any_is_made(monkeypatch):
    pictures = np.zeros((400, 256, 256, 3), np.uint8)
    metric = metrics.make_metric("lpips", pictures.shape[1:])
    own = 4 * metric.num_features(pictures.shape[1:])
    monkeypatch.setattr(budget, "of", lambda memory: budget.Budget(0, 2 * 300 * own, None))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: DISK(free=10**8))
    with pytest.raises(
        InputError, match=r"600 items of 256×256×3 take 0\.7 GB in files, for LPIPS makes 1\.7 MB"
    ):
        foretelling.foretell(SETTINGS, metric, Counts(400, 200), pictures, print)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: DISK(free=10**10))
    room = foretelling.require_room(SETTINGS, metric, Counts(400, 200), pictures.shape[1:])
    assert room == 400 * own  # the other 200 fit in memory
    assert not foretelling.require_room(
        SETTINGS, metrics.make_metric("l2", (8, 8, 1)), Counts(9, 9), (8, 8, 1)
    )


def test_what_takes_long_is_told_with_its_time_and_what_is_quick_is_not(monkeypatch):
    said = []
    monkeypatch.setattr(foretelling, "_speeds", lambda: (1e9, 1e9))
    items = np.zeros((1, 64, 64, 3), np.uint8)
    metric = metrics.make_metric("l2", items.shape[1:])
    foretelling.foretell(SETTINGS, metric, Counts(100, 100), items, said.append)
    assert not said
    foretelling.foretell(SETTINGS, metric, Counts(50_000, 10_000), items, said.append)
    assert "3,100,000,000 distances between vectors of 12,288 numbers" in said[0] and " h " in said[0]


@pytest.mark.parametrize(("start", "one", "asked"), [(0.02, 1e-4, [8, 256]), (0.02, 0.1, [8])])
def test_starting_is_not_taken_for_the_time_of_a_picture(monkeypatch, start, one, asked):
    """Small pictures take less than a call does: eight of them would tell the call's time."""
    tried = []

    class Trial(metrics.Lpips):
        def vectors(self, items, progress=None):
            tried.append(len(items))
            return start + one * len(items)

    monkeypatch.setattr(foretelling, "_timed", lambda call: call())
    pictures = np.zeros((300, 32, 32, 3), np.uint8)
    seconds = foretelling._embedding_seconds(Trial(), Counts(50_000, 10_000), pictures)
    assert tried == asked and seconds == pytest.approx((start / asked[-1] + one) * 60_000)
