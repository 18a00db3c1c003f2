"""How fast is the paper's U-Net trained on one device, and do several members at once help?

  python -m benchmarks.unet_step [--config=cifar10|lsun_church|mnist] [--widths 32 64 128] [--members 1 2 4 8]
  python -m benchmarks.unet_step --quick          a tiny network, to see that it runs

Trains with the sweep's own compiled step at the paper's batch, in bfloat16 activations, and prints for every
width and `members_per_step`: model-steps and images a second, their ratio to one member at a time in the same
run, the FLOP/s that this is (counted by `sweep.model_cost`), its share of the device's bfloat16 peak where
that is known, and the device's peak memory so far. `--dry_run --flops_per_second=…` asks for such a FLOP/s.
"""

import argparse
import importlib
import time

CONFIGS = ("cifar10", "lsun_church", "mnist", "fashion_mnist", "celeba_hq64")


def measure(plan, width: int, members_per_step: int, dtype: str, calls: int, steps: int) -> dict[str, float]:
    """Seconds per call of `steps` steps, after one that compiles; and what the device says of its memory."""
    import dataclasses

    import jax
    import numpy as np

    from memgen_jax import sweep
    from memgen_jax.sweep.blocks import stack_inputs
    from memgen_jax.sweep.mesh import stack_over_members
    from memgen_jax.sweep.step import init_state, make_advance
    from memgen_jax.training import make_optimizer

    settings = dataclasses.replace(plan.settings.train, members_per_step=members_per_step, num_steps=10**6)
    model = dataclasses.replace(plan.settings.model, width=width, dtype=dtype).build(plan.item_shape)
    mesh = sweep.member_mesh(jax.local_devices()[:1])
    sizes = range(1000, 1000 + members_per_step)
    members = sweep.make_members(sizes, total=2000, batch_size=settings.batch_size)
    over_members = jax.NamedSharding(mesh, jax.P("member"))
    optimizer = make_optimizer(settings)
    state = stack_over_members([init_state(m, model, optimizer) for m in members], over_members)
    inputs = jax.device_put(stack_inputs(members), over_members)
    rng = np.random.default_rng(0)
    items = rng.integers(0, 256, (2000, *plan.item_shape), dtype=np.uint8)
    items = jax.device_put(items, jax.NamedSharding(mesh, jax.P()))
    advance = make_advance(mesh, model, plan.process, settings, steps)
    state, loss = advance(state, inputs, items)
    loss.block_until_ready()
    start = time.perf_counter()
    for _ in range(calls):
        state, loss = advance(state, inputs, items)
    loss.block_until_ready()
    seconds = (time.perf_counter() - start) / (calls * steps)
    cost = sweep.model_cost(model, plan.process, settings, plan.item_shape, is_image=True)
    memory = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", float("nan"))
    return {
        "seconds": seconds / members_per_step,
        "flops": members_per_step * cost.train_flops / seconds,
        "memory": memory,
        "batch": settings.batch_size,
    }


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
    parser.add_argument(
        "--quick", action="store_true", help="a tiny network: width 8 and 16, batch 8, one call"
    )
    given = parser.parse_args()

    import jax

    from memgen_jax import runs, sweep
    from memgen_jax.programs.transition.cost import make_plan

    config = importlib.import_module(f"configs.{given.config}").get_config()
    if given.quick:
        config.train.batch_size = 8
        config.model.update({"multipliers": (1, 2), "num_blocks": 1})
        given.widths, given.members, given.calls, given.steps = [8, 16], [1, 2], 1, 1
    plan = make_plan(config)
    peak = sweep.peak_flops(jax.local_devices()[:1])
    kind = jax.local_devices()[0].device_kind
    print(f"{given.config}, batch {plan.settings.train.batch_size}, {given.dtype}, {kind}")
    rows = []
    for width in given.widths:
        alone = None
        for count in given.members:
            found = measure(plan, width, count, given.dtype, given.calls, given.steps)
            alone = alone or found["seconds"]
            rows.append(
                (
                    str(width),
                    str(count),
                    f"{1 / found['seconds']:,.2f}",
                    f"{found['batch'] / found['seconds']:,.0f}",
                    f"{alone / found['seconds']:.2f}×",
                    f"{found['flops']:.2e}",
                    f"{found['flops'] / peak:.1%}" if peak else "unknown",
                    f"{found['memory'] / 1e9:.2f} GB",
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
    )
    print(runs.table(header, rows))


if __name__ == "__main__":
    main()
