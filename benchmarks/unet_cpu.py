"""How fast are small U-Nets trained and sampled on a CPU, against the same network in plain PyTorch?

  python -m benchmarks.unet_cpu [--quick] [--one_core] [--cases digits16 digits32 fashion14]

Contestants do the same work on the same cores: the U-Net of `configs/digits.py:unet`, batch 32, Adam with clipping and
a moving average, and DDIM sampling. Each runs in a process of its own, in turn, several rounds; medians and ratios are
printed. The PyTorch network is given our parameters first and must answer alike, or there is no race.

  sweep        one member on each core, a device of one thread: the sweep's own compiled step
  one device   the same step, one member, XLA's default threads
  PyTorch      eager, fused Adam, all threads (needs `pip install torch`; left out where it is missing)

`--one_core` is for a machine that others share: every contestant has one thread on one core, and its CPU time counts in
place of the clock.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

from benchmarks import machine
from benchmarks.pytorch_step import make_train

BATCH, SAMPLES, SAMPLER_STEPS, MULTIPLIERS, NUM_BLOCKS = 32, 128, 25, (1, 2), 1


# A contestant's clock: of the wall, or of the process.
clock = time.perf_counter


class Case(NamedTuple):
    side: int
    width: int


CASES = {"digits16": Case(8, 16), "digits32": Case(8, 32), "fashion14": Case(14, 32)}


def our_model(case: Case):
    from memgen_jax import models

    return models.unet((case.side, case.side, 1), case.width, MULTIPLIERS, NUM_BLOCKS, attention_sides=())


def random_items(case: Case):
    """uint8 images: what is in them costs nothing."""
    import numpy as np

    shape = (1024, case.side, case.side, 1)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def jax_times(case: Case, num_steps: int, everything: bool) -> dict[str, float]:
    """Model-steps and images a second of the sweep on all cores, or of one member on one device."""
    from memgen_jax.sweep import use_all_cpu_cores

    if everything:
        use_all_cpu_cores()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from memgen_jax import diffusion, sweep, training
    from memgen_jax.sweep import blocks
    from memgen_jax.sweep import step as train
    from memgen_jax.sweep.mesh import stack_over_members

    model, process, item_shape = our_model(case), diffusion.DDPM(), (case.side, case.side, 1)
    settings = sweep.SweepTrainSettings(num_steps=10**6, batch_size=BATCH, prediction="velocity")
    mesh = sweep.member_mesh(jax.devices() if everything else jax.devices()[:1])
    places = mesh.shape["member"]
    members = sweep.make_members(range(500, 500 + places), total=1024, batch_size=BATCH)
    over_members = jax.NamedSharding(mesh, jax.P("member"))
    optimizer = training.make_optimizer(settings)
    state = stack_over_members([train.init_state(m, model, optimizer) for m in members], over_members)
    inputs = jax.device_put(blocks.stack_inputs(members, 1024), over_members)
    items = jax.device_put(random_items(case), jax.NamedSharding(mesh, jax.P()))
    advance = train.make_advance(mesh, model, process, settings, 1)
    for _ in range(3):
        state, loss = advance(state, inputs, items)
    loss.block_until_ready()
    start = clock()
    for _ in range(num_steps):
        state, loss = advance(state, inputs, items)
    loss.block_until_ready()
    training_speed = places * num_steps / (clock() - start)

    step, over = diffusion.make_step("ddim"), jax.P("member")

    def one_step(params, x, times):
        own = jax.tree.map(lambda leaf: leaf[0], params)
        denoiser = diffusion.denoiser_from_network(
            lambda x, t: model.apply_fn(own, x, t), process, "velocity"
        )
        key = jax.random.key(0)
        walk = lambda x: diffusion.advance(key, x, times, 0, step, denoiser, process)  # noqa: E731
        return jax.vmap(walk)(x[0])[None]

    walk = jax.jit(
        jax.shard_map(one_step, mesh=mesh, in_specs=(over, over, jax.P()), out_specs=over, check_vma=False),
        donate_argnums=1,
    )
    times = diffusion.time_grid(process, SAMPLER_STEPS)

    def sample():
        noise = np.random.default_rng(1).normal(size=(places, SAMPLES, *item_shape)).astype(np.float32)
        x = jax.device_put(noise, over_members)
        for i in range(SAMPLER_STEPS):
            x = walk(state.ema, x, jnp.asarray(times[i : i + 2]))
        return np.asarray(x)

    sample()
    start = clock()
    sample()
    return {"model-steps": training_speed, "images": places * SAMPLES / (clock() - start)}


def torch_network(case: Case):
    """The same U-Net as PyTorch modules, under the same names."""
    import torch
    from torch import nn
    from torch.nn import functional

    def norm(channels: int) -> nn.GroupNorm:
        return nn.GroupNorm(math.gcd(32, case.width), channels, eps=1e-6)

    def conv(before: int, after: int, stride: int = 1) -> nn.Conv2d:
        # XLA's "same" padding of a stride of 2 on an even side lies on the far edges alone.
        return nn.Conv2d(before, after, 3, stride, padding=1 if stride == 1 else 0)

    class Block(nn.Module):
        def __init__(self, before: int, after: int):
            super().__init__()
            self.norm_0, self.input = norm(before), conv(before, after)
            self.time, self.norm_1 = nn.Linear(4 * case.width, after), norm(after)
            self.output = conv(after, after)
            self.shortcut = nn.Linear(before, after) if before != after else None

        def forward(self, x, time):
            h = self.input(functional.silu(self.norm_0(x)))
            h = h + self.time(functional.silu(time))[:, :, None, None]
            h = self.output(functional.silu(self.norm_1(h)))
            if self.shortcut is not None:
                x = functional.conv2d(x, self.shortcut.weight[:, :, None, None], self.shortcut.bias)
            return x + h

    class Attention(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            self.norm = norm(channels)
            self.query, self.key, self.value, self.output = (nn.Linear(channels, channels) for _ in range(4))

        def forward(self, x):
            h = self.norm(x).flatten(2).transpose(1, 2)
            h = functional.scaled_dot_product_attention(self.query(h), self.key(h), self.value(h))
            return x + self.output(h).transpose(1, 2).reshape(x.shape)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            wide, narrow = MULTIPLIERS[1] * case.width, case.width
            self.time_0, self.time_1 = nn.Linear(narrow, 4 * narrow), nn.Linear(4 * narrow, 4 * narrow)
            self.input, self.down_0_0 = conv(1, narrow), Block(narrow, narrow)
            self.down_0_half, self.down_1_0 = conv(narrow, narrow, 2), Block(narrow, wide)
            self.middle_0, self.middle_attention, self.middle_1 = (
                Block(wide, wide),
                Attention(wide),
                Block(wide, wide),
            )
            self.up_1_0, self.up_1_1 = Block(2 * wide, wide), Block(wide + narrow, wide)
            self.up_1_double = conv(wide, wide)
            self.up_0_0, self.up_0_1 = Block(wide + narrow, narrow), Block(2 * narrow, narrow)
            self.output_norm, self.output = norm(narrow), conv(narrow, 1)

        def forward(self, x, t):
            half = case.width // 2
            angles = t[:, None] * torch.exp(-math.log(1e4) * torch.arange(half) / (half - 1))
            time = self.time_1(functional.silu(self.time_0(torch.cat([angles.sin(), angles.cos()], 1))))
            skips = [self.input(x)]
            skips.append(self.down_0_0(skips[-1], time))
            skips.append(self.down_0_half(functional.pad(skips[-1], (0, 1, 0, 1))))
            skips.append(self.down_1_0(skips[-1], time))
            h = self.middle_1(self.middle_attention(self.middle_0(skips[-1], time)), time)
            for block in (self.up_1_0, self.up_1_1):
                h = block(torch.cat([h, skips.pop()], 1), time)
            h = self.up_1_double(functional.interpolate(h, scale_factor=2, mode="nearest"))
            for block in (self.up_0_0, self.up_0_1):
                h = block(torch.cat([h, skips.pop()], 1), time)
            return self.output(functional.silu(self.output_norm(h)))

    return Network()


def require_the_same(network, case: Case) -> None:
    """Gives the PyTorch network random parameters of ours, and stops where the two answer differently."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch

    model, rng = our_model(case), np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32),
        jax.eval_shape(model.init_fn, jax.random.key(0)),
    )
    theirs = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *module, part = (entry.key for entry in path)
        axes = {2: (1, 0), 4: (3, 2, 0, 1)}.get(leaf.ndim, (0,))
        theirs[".".join([*module, "bias" if part == "bias" else "weight"])] = torch.from_numpy(
            leaf.transpose(axes).copy()
        )
    network.load_state_dict(theirs)
    x, t = rng.normal(size=(4, case.side, case.side, 1)).astype(np.float32), np.float32([1, 200, 500, 1000])
    ours = jax.jit(jax.vmap(lambda x, t: model.apply_fn(params, x, t)))(jnp.asarray(x), jnp.asarray(t))
    with torch.no_grad():
        answer = network(torch.from_numpy(x.transpose(0, 3, 1, 2)), torch.from_numpy(t)).numpy()
    np.testing.assert_allclose(answer.transpose(0, 2, 3, 1), ours, atol=1e-3 * float(np.abs(ours).max()))


def torch_times(case: Case, num_steps: int) -> dict[str, float]:
    """The same work written in plain PyTorch."""
    import torch

    from memgen_jax import diffusion

    images = torch.tensor(random_items(case).transpose(0, 3, 1, 2))
    alpha_bar = torch.tensor(diffusion.DDPM().log_alpha_bar).exp().float()
    network, average = torch_network(case), torch_network(case)
    require_the_same(network, case)
    require_the_same(average, case)
    train = make_train(network, average, images, alpha_bar, BATCH)

    @torch.no_grad()
    def sample() -> None:
        x = torch.randn(SAMPLES, 1, case.side, case.side)
        times = torch.linspace(1000, 0, SAMPLER_STEPS + 1).round().long().tolist()
        for t, u in itertools.pairwise(times):
            mean, std = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
            velocity = average(x, torch.full((SAMPLES,), float(t)))
            clean, noise = mean * x - std * velocity, std * x + mean * velocity
            x = alpha_bar[u].sqrt() * clean + (1 - alpha_bar[u]).sqrt() * noise

    train(3)
    start = clock()
    train(num_steps)
    training = num_steps / (clock() - start)
    sample()
    start = clock()
    sample()
    return {"model-steps": training, "images": SAMPLES / (clock() - start)}


CONTESTANTS = {
    "sweep": lambda case, steps: jax_times(case, steps, everything=True),
    "one device": lambda case, steps: jax_times(case, steps, everything=False),
    "PyTorch": torch_times,
}


def use_one_core() -> None:
    """This process on one core, with one thread, by its own clock; before JAX or PyTorch is imported."""
    global clock
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ["OMP_NUM_THREADS"] = "1"
    clock = time.process_time


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round of the smallest case")
    parser.add_argument("--cases", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--one_core", action="store_true", help="CPU time of one thread each")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases, num_steps, rounds = (["digits16"], 5, 1) if options.quick else (options.cases, 60, 3)
    if options.contestant:
        if options.one_core:
            use_one_core()
        print(json.dumps(CONTESTANTS[options.contestant](CASES[cases[0]], num_steps)))
        return
    print(machine.describe("torch"), *machine.kernels(with_torch=True), sep="\n")
    where = "one core each, CPU time" if options.one_core else f"{os.cpu_count()} cores"
    print(f"{where}; batch {BATCH}, medians of {rounds} rounds in turn")
    contestants = [name for name in CONTESTANTS if not (options.one_core and name == "one device")]
    for name in cases:
        results: dict[str, list[dict[str, float]]] = {contestant: [] for contestant in contestants}
        for contestant in contestants * rounds:
            command = [sys.executable, "-m", "benchmarks.unet_cpu", "--contestant", contestant]
            command += ["--cases", name, *["--quick"] * options.quick, *["--one_core"] * options.one_core]
            child = subprocess.run(command, capture_output=True, text=True)
            if child.returncode == 0:
                results[contestant].append(json.loads(child.stdout.splitlines()[-1]))
            elif "No module named 'torch'" not in child.stderr:
                raise SystemExit(child.stderr)
        case = CASES[name]
        print(f"{name}: {case.side}×{case.side}, width {case.width}")
        for quantity in ("model-steps", "images"):
            medians = {n: statistics.median(r[quantity] for r in own) for n, own in results.items() if own}
            for contestant, value in medians.items():
                ratio = medians["sweep"] / value
                print(
                    f"{quantity:>12}/s  {contestant:<11} {value:10.1f}   the sweep is {ratio:5.2f} times as fast"
                )
        if not results["PyTorch"]:
            print("PyTorch is not installed: left out.")


if __name__ == "__main__":
    main()
