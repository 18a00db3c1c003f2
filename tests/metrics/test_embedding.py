"""A metric of one's own owns its scale, its name and what reports call it."""

import numpy as np
import pytest

from memgen_jax import metrics
from memgen_jax.errors import InputError

COSINE = """
import numpy as np
from memgen_jax import metrics

def cosine(item_shape, add=0.0):
    def unit(items):
        flat = items.reshape(len(items), -1).astype(np.float32) + np.float32(add)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return metrics.Embedding("cosine", unit, squared=True, factor=0.5, phrase="1 - cosine of pixels")

def fails(item_shape):
    raise ValueError("no.\\nmore")

def nothing(item_shape):
    return None

def broken(item_shape):
    return metrics.Embedding("broken", lambda items: np.full((len(items), 2), np.nan))

def pooled(item_shape):
    return metrics.Embedding("pooled", lambda items: items.mean(axis=0))

def misses(item_shape):
    return metrics.Embedding("misses", lambda items: {}["weights"])

def longer(item_shape):
    lengths = iter((3, 4))
    return metrics.Embedding("longer", lambda items: np.ones((len(items), next(lengths))), batch=2)
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(COSINE)
    return tmp_path / "mine.py"


def test_the_cosine_distance_is_found_exactly_in_its_own_scale(file):
    rng = np.random.default_rng(0)
    first, second = (rng.integers(1, 256, (n, 4, 4, 1), dtype=np.uint8) for n in (20, 30))
    metric = metrics.make_metric(f"{file}:cosine", (4, 4, 1))
    assert (metric.name, metric.short, metric.phrase) == ("cosine", "cosine", "1 - cosine of pixels")
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (first, second))
    cosine = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(metric.nearest(first, second), (1 - cosine).min(axis=1), atol=1e-6)


def test_arguments_of_a_users_metric_stand_in_brackets(file):
    metric = metrics.make_metric(f"{file}:cosine(add=1.0)", (2, 2, 1))
    np.testing.assert_allclose(metric.vectors(np.zeros((1, 2, 2, 1), np.uint8)), 0.5)
    with pytest.raises(InputError, match="no argument power; there are add"):
        metrics.make_metric(f"{file}:cosine(power=2)", (2, 2, 1))


def test_a_users_metric_that_is_none_or_makes_no_vectors_is_refused(file):
    items = np.zeros((3, 2, 2, 1), np.uint8)
    with pytest.raises(InputError, match=r"gives a NoneType.*memgen_jax\.metrics\.Metric"):
        metrics.make_metric(f"{file}:nothing", (2, 2, 1))
    with pytest.raises(InputError, match=r"fails does not work \(ValueError: no\)"):
        metrics.make_metric(f"{file}:fails", (2, 2, 1))
    with pytest.raises(InputError, match="NaN or infinity"):
        metrics.make_metric(f"{file}:broken", (2, 2, 1)).vectors(items)
    with pytest.raises(InputError, match="one vector of each"):
        metrics.make_metric(f"{file}:pooled", (2, 2, 1)).vectors(items)
    with pytest.raises(InputError, match=r"metric misses does not work .KeyError: 'weights'"):
        metrics.make_metric(f"{file}:misses", (2, 2, 1)).vectors(items)
    with pytest.raises(InputError, match="longer makes vectors of 3 and of 4 numbers"):
        metrics.make_metric(f"{file}:longer", (2, 2, 1)).vectors(items)


def test_the_code_of_a_users_metric_can_be_told_and_ours_has_none(file):
    first = metrics.metric_code(f"{file}:cosine(add=1.0)")
    file.write_text(COSINE + "\nOTHER = 1\n")
    assert len(first) == 64 and metrics.metric_code(f"{file}:cosine") != first
    assert metrics.metric_code("l2") == ""
