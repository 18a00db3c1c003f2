"""Where faiss is installed a search on processors takes its candidates, and says the same, byte by byte."""

import numpy as np
import pytest

from memgen_jax.neighbors import on_processors, search
from tests.neighbors.test_exact_search import adversaries, brute_force, gaussian

faiss = pytest.importorskip("faiss")


@pytest.fixture
def with_and_without(monkeypatch):
    """Both answers of a search, and how often faiss was asked."""
    asked = []

    class Watched:
        def __getattr__(self, name):
            if name == "knn":
                asked.append(name)
            return getattr(faiss, name)

    def both(*arguments, **options):
        answers = []
        for library in (Watched(), None):
            monkeypatch.setattr(on_processors, "_faiss", lambda: library)
            answers.append(search(*arguments, **options))
        return *answers, len(asked)

    return both


@pytest.mark.parametrize("items", [pytest.param(items, id=name) for name, items in adversaries()])
def test_candidates_of_faiss_give_the_same_bytes(items, with_and_without):
    for k in (1, 6):
        for memory in (None, 2**15):  # all references at once, and a few
            there, here, asked = with_and_without(
                items[::3], items, k=k, exclude=np.arange(0, len(items), 3), memory=memory
            )
            assert asked and there.index.tobytes() == here.index.tobytes()
            assert there.distance.tobytes() == here.distance.tobytes()


@pytest.mark.parametrize(
    ("queries", "references", "dim"), [(1, 3, 2), (5, 4000, 3), (1500, 40, 300), (2, 3, 200_000)]
)
def test_sets_of_any_size_get_the_neighbours_of_a_double_loop(queries, references, dim, with_and_without):
    query, reference = gaussian(30, queries, dim), gaussian(31, references, dim)
    found, _, asked = with_and_without(query, reference, k=2)
    assert asked
    np.testing.assert_array_equal(found.index, brute_force(query, reference, 2)[1])


def test_faiss_keeps_the_threads_that_it_had(with_and_without):
    before = faiss.omp_get_max_threads()
    with_and_without(gaussian(32, 50), gaussian(33, 60))
    assert faiss.omp_get_max_threads() == before
