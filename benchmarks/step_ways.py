"""Which way of taking a training step is the fastest on a processor: members together, in sequence or one by one?

python -m benchmarks.step_ways [--quick] [--cases mlp unet]

The sweep's own compiled step, of the digits' MLP and of their U-Net at width 32, with as many steps in a call as the
program takes there. Each way is CPU time on one core, the least of some rounds in turn; `first call` is what compiling
takes. `loop` has the 32 rounds of `epoch_index` as a loop inside the step, in place of one after another.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from typing import NamedTuple


class Way(NamedTuple):
    """Members of one program, whether one after another in it, and rounds of `epoch_index` in a loop's body."""

    members: int = 1
    in_sequence: bool = False
    unroll: int = 32


WAYS = {
    "one by one": Way(),
    "one by one, loop": Way(unroll=1),
    "2 together": Way(2),
    "2 in sequence": Way(2, True),
    "4 together": Way(4),
    "4 in sequence": Way(4, True),
}


def make_call(variant: str, way: Way) -> tuple[Callable[[], None], float, int]:
    """One call of the compiled step, the CPU seconds of the first, and the model-steps that each takes."""
    import jax
    import numpy as np

    from configs import digits
    from memgen_jax import sweep
    from memgen_jax.programs.transition.cost import make_plan
    from memgen_jax.sweep import order, step
    from memgen_jax.sweep.blocks import stack_inputs
    from memgen_jax.sweep.mesh import stack_over_members
    from memgen_jax.training import make_optimizer

    plan = make_plan(digits.get_config(variant))
    settings = dataclasses.replace(
        plan.settings.train,
        members_per_step=way.members,
        members_in_sequence=way.in_sequence,
        num_steps=10**6,
    )
    model, mesh = plan.model, sweep.member_mesh(jax.local_devices()[:1])
    members = sweep.make_members(range(500, 500 + way.members), total=1437, batch_size=settings.batch_size)
    over_members = jax.NamedSharding(mesh, jax.P("member"))
    optimizer = make_optimizer(settings)
    states = [step.init_state(m, model, optimizer) for m in members]
    inputs = jax.device_put(stack_inputs(members, 1437), over_members)
    items = np.random.default_rng(0).integers(0, 256, (1437, *plan.item_shape), dtype=np.uint8)
    place = [stack_over_members(states, over_members)]
    count = sweep.steps_per_call(settings.steps_per_call, model)
    order._UNROLL = way.unroll
    step.make_advance.cache_clear()
    advance = step.make_advance(mesh, model, plan.process, settings, count)

    def call() -> None:
        place[0], loss = advance(place[0], inputs, items)
        loss.block_until_ready()

    start = time.process_time()
    call()
    return call, time.process_time() - start, count * way.members


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", choices=("mlp", "unet"), nargs="+", default=["mlp", "unet"])
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one short round of the MLP")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # before JAX counts the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    from benchmarks import machine
    from memgen_jax import runs

    machine.compile_anew()
    print(machine.describe())
    for case in ["mlp"] if given.quick else given.cases:
        calls = {name: make_call(case, WAYS[name]) for name in given.ways}
        least = dict.fromkeys(calls, float("inf"))
        for _ in range(1 if given.quick else given.rounds):
            for name, (call, _, steps) in calls.items():
                start = time.process_time()
                repeats = 1 if given.quick else max(1, 24 // steps)
                for _ in range(repeats):
                    call()
                least[name] = min(least[name], (time.process_time() - start) / (steps * repeats))
        alone = least[given.ways[0]]
        rows = [
            (name, f"{1000 * least[name]:.2f} ms", f"{least[name] / alone:.2f}", f"{first:.1f} s")
            for name, (_, first, _) in calls.items()
        ]
        print(f"digits:{case}")
        print(runs.table(("way", "a model-step", f"of {given.ways[0]}", "first call"), rows))


if __name__ == "__main__":
    main()
