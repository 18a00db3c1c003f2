"""How fast is the paper's U-Net trained on one device, and do several members at once help?

  python -m benchmarks.unet_step [--config=cifar10|lsun_church|mnist] [--widths 32 64 128] [--members 1 2 4 8]
                                 [--in_sequence] [--profile]
  python -m benchmarks.unet_step --quick          a tiny network, to see that it runs

Trains with the sweep's own compiled step at the paper's batch, in bfloat16 activations, and prints for every
width and `members_per_step`: model-steps and images a second, their ratio to one member at a time in the same
run, the FLOP/s that this is (counted by `sweep.model_cost`), its share of the device's bfloat16 peak where
that is known, the device's peak memory so far, and how long the first call took, compiled anew.
`--dry_run --flops_per_second=…` asks for such a FLOP/s.
`--in_sequence` adds several members one after another in one program; `--profile` the kernels that take longest.
"""

import argparse
import collections
import importlib
import pathlib
import re
import tempfile
import time
from typing import NamedTuple

CONFIGS = ("cifar10", "lsun_church", "mnist", "fashion_mnist", "celeba_hq64")


class Case(NamedTuple):
    """What is trained, and for how long: `calls` calls of `steps` steps after one that compiles."""

    width: int
    members: int
    in_sequence: bool
    dtype: str
    calls: int
    steps: int


def measure(plan, case: Case, profile: bool = False) -> dict[str, float]:
    """Seconds and FLOP/s of one model-step, and what the device says of its memory."""
    import dataclasses

    import jax
    import numpy as np

    from memgen_jax import sweep
    from memgen_jax.sweep.blocks import stack_inputs
    from memgen_jax.sweep.mesh import stack_over_members
    from memgen_jax.sweep.step import init_state, make_advance
    from memgen_jax.training import make_optimizer

    settings = dataclasses.replace(
        plan.settings.train,
        members_per_step=case.members,
        members_in_sequence=case.in_sequence,
        num_steps=10**6,
    )
    model = dataclasses.replace(plan.settings.model, width=case.width, dtype=case.dtype).build(
        plan.item_shape
    )
    mesh = sweep.member_mesh(jax.local_devices()[:1])
    sizes = range(1000, 1000 + case.members)
    members = sweep.make_members(sizes, total=2000, batch_size=settings.batch_size)
    over_members = jax.NamedSharding(mesh, jax.P("member"))
    optimizer = make_optimizer(settings)
    state = stack_over_members([init_state(m, model, optimizer) for m in members], over_members)
    inputs = jax.device_put(stack_inputs(members, 2000), over_members)
    rng = np.random.default_rng(0)
    items = rng.integers(0, 256, (2000, *plan.item_shape), dtype=np.uint8)
    items = jax.device_put(items, jax.NamedSharding(mesh, jax.P()))
    advance = make_advance(mesh, model, plan.process, settings, case.steps)
    start = time.perf_counter()
    state, loss = advance(state, inputs, items)
    loss.block_until_ready()
    compiling = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(case.calls):
        state, loss = advance(state, inputs, items)
    loss.block_until_ready()
    seconds = (time.perf_counter() - start) / (case.calls * case.steps)
    if profile:
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                state, loss = advance(state, inputs, items)
                loss.block_until_ready()
            print_kernels(folder, case.steps)
    cost = sweep.model_cost(model, plan.process, settings, plan.item_shape, is_image=True)
    memory = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", float("nan"))
    return {
        "seconds": seconds / case.members,
        "flops": case.members * cost.train_flops / seconds,
        "compiling": compiling,
        "memory": memory,
        "batch": settings.batch_size,
    }


def print_kernels(folder: str, steps: int, most: int = 25) -> None:
    """Prints what a device was busy with in a trace, longest first: the name's stem, its share, its calls."""
    import jax

    (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
    seconds, calls = collections.Counter(), collections.Counter()
    for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
        if not plane.name.startswith("/device:"):
            continue
        for line in plane.lines:
            if not line.name.startswith("Stream"):
                continue
            for event in line.events:
                name = re.sub(r"(_\d+)+$|\.\d+", "", event.name)[:90]
                seconds[name] += event.duration_ns / 1e9
                calls[name] += 1
    total = sum(seconds.values())
    print(f"kernels: {1000 * total / steps:.2f} ms a step in {sum(calls.values()) / steps:,.0f} launches")
    for name, own in seconds.most_common(most):
        print(f"  {own / total:6.1%} {1000 * own / steps:8.3f} ms {calls[name] / steps:7.1f} a step  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", choices=CONFIGS, default="cifar10")
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--calls", type=int, default=5, help="timed calls")
    parser.add_argument("--steps", type=int, default=10, help="steps in a call (1 is best for a CPU)")
    parser.add_argument("--in_sequence", action="store_true", help="several members also one after another")
    parser.add_argument("--profile", action="store_true", help="print the kernels that take longest")
    parser.add_argument("--quick", action="store_true", help="a tiny network: width 8, batch 2, one call")
    given = parser.parse_args()

    import jax

    from benchmarks import machine
    from memgen_jax import runs, sweep
    from memgen_jax.programs.transition.cost import make_plan

    machine.compile_anew()
    config = importlib.import_module(f"configs.{given.config}").get_config()
    if given.quick:
        config.model.update({"multipliers": (1, 2), "num_blocks": 1})
        config.train.batch_size = 2
        given.widths, given.calls, given.steps = [8], 1, 1
    plan = make_plan(config)
    peak = sweep.peak_flops(jax.local_devices()[:1])
    kind = jax.local_devices()[0].device_kind
    print(f"{given.config}, batch {plan.settings.train.batch_size}, {given.dtype}, {kind}")
    rows = []
    for width in given.widths:
        alone = None
        ways = [(count, False) for count in given.members]
        ways += [(count, True) for count in given.members if count > 1 and given.in_sequence]
        for count, in_sequence in ways:
            case = Case(width, count, in_sequence, given.dtype, given.calls, given.steps)
            found = measure(plan, case, given.profile)
            alone = alone or found["seconds"]
            rows.append(
                (
                    str(width),
                    f"{count} in sequence" if in_sequence else str(count),
                    f"{1 / found['seconds']:,.2f}",
                    f"{found['batch'] / found['seconds']:,.0f}",
                    f"{alone / found['seconds']:.2f}×",
                    f"{found['flops']:.2e}",
                    f"{found['flops'] / peak:.1%}" if peak else "unknown",
                    f"{found['memory'] / 1e9:.2f} GB",
                    f"{found['compiling']:.0f} s",
                )
            )
    header = (
        "width",
        "members_per_step",
        "model-steps/s",
        "images/s",
        "ratio",
        "FLOP/s",
        "of peak",
        "peak memory",
        "first call",
    )
    print(runs.table(header, rows))


if __name__ == "__main__":
    main()
