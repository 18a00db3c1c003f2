import weakref

import jax
import numpy as np

from memgen_jax.sweep.mesh import MEMBER, member_mesh, stack_over_members

OVER_MEMBERS = jax.NamedSharding(member_mesh(jax.devices()[:1]), jax.P(MEMBER))


def two_trees():
    return [{"bias": np.full(3, i, np.float32), "kernel": np.full((2, 3), 10 + i, np.int32)} for i in (0, 1)]


def test_trees_are_stacked_along_a_leading_axis():
    stacked = stack_over_members(two_trees(), OVER_MEMBERS)
    np.testing.assert_array_equal(stacked["bias"], [[0, 0, 0], [1, 1, 1]])
    assert stacked["kernel"].shape == (2, 2, 3) and stacked["kernel"].dtype == np.int32


def test_consumed_trees_are_let_go_leaf_by_leaf(monkeypatch):
    """When the kernels are stacked, the biases are no longer in memory."""
    trees = two_trees()
    biases = [weakref.ref(tree["bias"]) for tree in trees]
    alive = []
    stack = np.stack

    def watched(arrays):
        alive.append([bias() is not None for bias in biases])
        return stack(arrays)

    monkeypatch.setattr(np, "stack", watched)
    stacked = stack_over_members(trees, OVER_MEMBERS, consume=True)
    assert trees == [] and alive == [[True, True], [False, False]]
    np.testing.assert_array_equal(stacked["bias"], [[0, 0, 0], [1, 1, 1]])
