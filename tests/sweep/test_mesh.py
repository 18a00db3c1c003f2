import os
import weakref

import jax
import numpy as np
import pytest

from memgen_jax.sweep.mesh import MEMBER, member_mesh, stack_over_members, use_all_cpu_cores

OVER_MEMBERS = jax.NamedSharding(member_mesh(jax.devices()[:1]), jax.P(MEMBER))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, ""),
        ({"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"}, " --xla_cpu_use_fusion_emitters=false"),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, None),
        ({"JAX_NUM_CPU_DEVICES": "3"}, None),
    ],
)
def test_each_core_is_a_device_unless_the_user_chose_a_number(given, kept, monkeypatch):
    for name in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3, 4}, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    use_all_cpu_cores()
    flags = os.environ.get("XLA_FLAGS", "")
    if kept is None:
        assert flags == given.get("XLA_FLAGS", "")
    else:
        assert flags.startswith("--xla_force_host_platform_device_count=5 ") and flags.endswith(
            "threads=1" + kept
        )


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
