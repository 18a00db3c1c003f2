"""Devices: which there are, and how members and data lie on them."""

import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from memgen_jax.annotations import Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.cores import available_cores
from memgen_jax.errors import InputError

PyTree = Any
MEMBER, DATA = "member", "data"


def use_all_cpu_cores() -> None:
    """Makes every CPU core a device of one thread, where nothing faster is at hand.

    Members are independent, so two single-threaded devices beat one device with two threads (2.3 times for
    a small U-Net on two cores). Has to run before JAX starts its backend, and leaves everything alone where
    the user has chosen a number of devices, in `XLA_FLAGS` or `JAX_NUM_CPU_DEVICES`; other flags of the user's stay
    and come last. Accelerators are not affected.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" in given or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    os.environ["XLA_FLAGS"] = (
        f"--xla_force_host_platform_device_count={available_cores()} "
        f"--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 {given}"
    ).rstrip()


def use_deterministic_kernels() -> None:
    """Has XLA choose, on a GPU, kernels that give the same bytes each time, by rule and not by timing them.

    Has to run before JAX starts its backend. Other devices are deterministic as they are.
    """
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()


@takes_arrays
def member_mesh(devices: Some[Sequence[jax.Device]] | None = None, data_parallel: int = 1) -> Mesh:
    """A (member, data) mesh over this process's devices.

    Processes share nothing but the workdir (each trains its own share of the members), so a mesh never
    spans hosts: `data_parallel` devices of one host work on one member's batch.

    Raises:
      InputError: no devices, or such as cannot be divided into groups of `data_parallel`.
    """
    devices = list(jax.local_devices() if devices is None else devices)
    if data_parallel < 1 or len(devices) % data_parallel:
        allowed = f"a divisor of the number of devices of this process, {len(devices)}"
        raise InputError.setting("train.data_parallel", data_parallel, allowed)
    return jax.make_mesh(
        (len(devices) // data_parallel, data_parallel),
        (MEMBER, DATA),
        axis_types=(jax.sharding.AxisType.Auto,) * 2,
        devices=devices,
    )


def stack_over_members(trees: list[PyTree], sharding: NamedSharding, consume: bool = False) -> PyTree:
    """Stacks one tree of host arrays per member along a leading axis, laid out by `sharding`.

    Every device receives its own members only; nothing but one stacked slice exists besides.

    Args:
      consume: empties the list and lets every leaf go as soon as it is stacked. Where host and device are one
        memory, the trees then never lie there twice.
    """
    structure = jax.tree.structure(trees[0])
    leaves = [jax.tree.leaves(tree) for tree in trees]
    if consume:
        trees.clear()
    stacked = []
    for place in range(len(leaves[0])):
        stacked.append(_stack([own[place] for own in leaves], sharding))
        if consume:
            for own in leaves:
                own[place] = None
    return jax.tree.unflatten(structure, stacked)


def _stack(leaves: list, sharding: NamedSharding) -> jax.Array:
    def own(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None
        return np.stack([np.asarray(leaf) for leaf in leaves[index[0]]])

    return jax.make_array_from_callback((len(leaves), *np.shape(leaves[0])), sharding, own)
