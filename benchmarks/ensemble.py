"""How fast does a sweep train and sample, against the same network in plain PyTorch and one by one in JAX?

  python -m benchmarks.ensemble [--quick] [--members N] [--contestants …]

Contestants do the same work: the demo's network, batch and optimiser (Adam, clipping, moving average),
and DDIM sampling. Each runs in a process of its own, in turn, several rounds; medians and ratios are printed.

  ensemble     the sweep's own path: every CPU core a device of one thread (or every accelerator)
  one by one   the same compiled step on one device with XLA's default threads
  PyTorch      eager, fused Adam, all threads (needs `pip install torch`; left out where it is missing)
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks import machine
from benchmarks.pytorch_step import make_train

WIDTH, NUM_BLOCKS, BATCH, SAMPLES, SAMPLER_STEPS = 256, 3, 128, 1024, 50


def jax_times(num_steps: int, everything: bool, each: int = 1) -> dict[str, float]:
    """Model-steps and images per second of the sweep on all devices, or on the first alone.

    Args:
      each: members that a device trains together.
    """
    from memgen_jax.sweep import use_all_cpu_cores

    if everything:
        use_all_cpu_cores()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from memgen_jax import data, diffusion, models, sweep, training
    from memgen_jax.sweep import blocks
    from memgen_jax.sweep import step as train
    from memgen_jax.sweep.mesh import stack_over_members

    digits = data.load("digits")
    model = models.mlp(digits.item_shape, WIDTH, NUM_BLOCKS, time_in_blocks=False)
    process = diffusion.DDPM()
    settings = sweep.SweepTrainSettings(
        num_steps=num_steps, batch_size=BATCH, prediction="velocity", warmup_steps=1, members_per_step=each
    )
    mesh = sweep.member_mesh(jax.devices() if everything else jax.devices()[:1])
    places, count = mesh.shape["member"], mesh.shape["member"] * each
    members = sweep.make_members(range(1000, 1000 + count), total=1437, batch_size=BATCH)
    over_members = jax.NamedSharding(mesh, jax.P("member"))
    optimizer = training.make_optimizer(settings)
    state = stack_over_members([train.init_state(m, model, optimizer) for m in members], over_members)
    inputs = jax.device_put(blocks.stack_inputs(members, len(digits.train)), over_members)
    items = jax.device_put(digits.train, jax.NamedSharding(mesh, jax.P()))
    advance = train.make_advance(mesh, model, process, settings, 100)
    state, loss = advance(state, inputs, items)
    loss.block_until_ready()
    start = time.perf_counter()
    for _ in range(num_steps // 100):
        state, loss = advance(state, inputs, items)
    loss.block_until_ready()
    training = count * num_steps / (time.perf_counter() - start)

    step = diffusion.make_step("ddim")
    times = jnp.asarray(diffusion.time_grid(process, SAMPLER_STEPS))

    def draw(params, keys):
        def network(x, t):
            return model.apply_fn(params, x, t)

        denoiser = diffusion.denoiser_from_network(network, process, "velocity")

        def one(key):
            x = diffusion.draw_prior(key, digits.item_shape, process)
            return diffusion.advance(key, x, times, 0, step, denoiser, process)

        return jax.vmap(one)(keys)

    over = jax.P("member")
    sharded = jax.jit(
        jax.shard_map(
            lambda params, keys: draw(jax.tree.map(lambda leaf: leaf[0], params), keys[0])[None],
            mesh=mesh, in_specs=(over, over), out_specs=over, check_vma=False,
        )
    )  # fmt: skip
    keys = jax.device_put(jax.random.split(jax.random.key(0), (places, SAMPLES)), over_members)
    first = jax.device_put(jax.tree.map(lambda leaf: leaf[::each], state.ema), over_members)
    np.asarray(sharded(first, keys))
    start = time.perf_counter()
    np.asarray(sharded(first, keys))
    return {"model-steps": training, "images": places * SAMPLES / (time.perf_counter() - start)}


def torch_times(num_steps: int) -> dict[str, float]:
    """The same work written in plain PyTorch."""
    import math

    import torch

    from memgen_jax import data, diffusion

    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.tensor(data.load("digits").train.reshape(-1, 64), device=device)
    alpha_bar = torch.tensor(diffusion.DDPM().log_alpha_bar, device=device).exp().float()

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.enter = torch.nn.Linear(64 + 64, WIDTH)
            self.blocks = torch.nn.ModuleList(
                torch.nn.ModuleList((torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)))
                for _ in range(NUM_BLOCKS)
            )
            self.leave = torch.nn.Linear(WIDTH, 64)

        def forward(self, x, t):
            frequencies = torch.exp(-math.log(1e4) * torch.arange(32, device=x.device) / 31)
            angles = t[:, None] * frequencies
            h = self.enter(torch.cat([x, angles.sin(), angles.cos()], 1))
            for first, second in self.blocks:
                h = h + second(torch.nn.functional.silu(first(torch.nn.functional.silu(h))))
            return self.leave(torch.nn.functional.silu(h))

    network, average = Network().to(device), Network().to(device)
    advance = make_train(network, average, images, alpha_bar, BATCH)

    def train(steps):
        advance(steps)
        if device == "cuda":
            torch.cuda.synchronize()

    @torch.no_grad()
    def sample():
        x = torch.randn(SAMPLES, 64, device=device)
        times = torch.linspace(1000, 0, SAMPLER_STEPS + 1).round().long().tolist()
        for t, u in itertools.pairwise(times):
            mean, std = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
            velocity = average(x, torch.full((SAMPLES,), float(t), device=device))
            clean, noise = mean * x - std * velocity, std * x + mean * velocity
            x = alpha_bar[u].sqrt() * clean + (1 - alpha_bar[u]).sqrt() * noise
        return x.cpu()

    train(20)
    start = time.perf_counter()
    train(num_steps)
    training = num_steps / (time.perf_counter() - start)
    sample()
    start = time.perf_counter()
    sample()
    return {"model-steps": training, "images": SAMPLES / (time.perf_counter() - start)}


CONTESTANTS = {
    "ensemble": lambda steps, members: jax_times(steps, everything=True, each=members),
    "one by one": lambda steps, members: jax_times(steps, everything=False),
    "PyTorch": lambda steps, members: torch_times(steps),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--members", type=int, default=1, help="that a device trains together (ensemble)")
    parser.add_argument("--contestants", choices=CONTESTANTS, nargs="+", default=list(CONTESTANTS))
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    num_steps, rounds = (100, 1) if options.quick else (500, 3)
    if options.contestant:
        print(json.dumps(CONTESTANTS[options.contestant](num_steps, options.members)))
        return
    print(machine.describe("torch"), *machine.kernels(with_torch=True), sep="\n")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in options.contestants}
    for _ in range(rounds):
        for name, own in results.items():
            command = [sys.executable, "-m", "benchmarks.ensemble", "--contestant", name]
            command += ["--members", str(options.members), *["--quick"] * options.quick]
            child = subprocess.run(command, capture_output=True, text=True)
            if child.returncode == 0:
                own.append(json.loads(child.stdout.splitlines()[-1]))
            elif "No module named 'torch'" not in child.stderr:
                raise SystemExit(child.stderr)
    import jax

    where = f"{os.cpu_count()} CPU cores" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    print(f"{where}; MLP of width {WIDTH}, batch {BATCH}; medians of {rounds} rounds")
    for quantity in ("model-steps", "images"):
        medians = {n: statistics.median(r[quantity] for r in own) for n, own in results.items() if own}
        for name, value in medians.items():
            ratio = medians[options.contestants[0]] / value
            compared = f"{options.contestants[0]} is {ratio:5.2f} times as fast"
            print(f"{quantity:>12}/s  {name:<11} {value:10.1f}   {compared}")
    if not results.get("PyTorch", True):
        print("PyTorch is not installed: left out.")


if __name__ == "__main__":
    main()
