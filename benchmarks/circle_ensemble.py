"""Does it pay to train the circle's six networks together?

  python -m benchmarks.circle_ensemble [--quick]

Milliseconds per model-step of three contestants that do the same work: network, batch, loss, Adam, clipping
and moving average of configs/circle.py. Each runs in a process of its own, in turn, several rounds.

  together     one vmapped program of all six, spread over the CPU's cores as single-threaded devices
  one by one   the same step compiled for one network, XLA's default threads; of the six that would follow each
               other the last two are timed, since K is an argument and all cost the same
  PyTorch      one network in a plain eager loop, all threads (left out where torch is missing)
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time

from benchmarks import machine

SIZES = (2, 4, 9, 1000, 10_000, 60_000)


def jax_milliseconds(steps: int, together: bool) -> float:
    if together:
        from memgen_jax.sweep import use_all_cpu_cores

        use_all_cpu_cores()
    import jax

    from configs.circle import get_config
    from memgen_jax.programs.circle.settings import CircleRun
    from memgen_jax.programs.circle.training import start_ensemble

    run = CircleRun(get_config())
    groups = [SIZES] if together else [(size,) for size in SIZES[-2:]]
    seconds = []
    for sizes in groups:
        state, advance = start_ensemble(sizes, run.train, run.model, run.process, run.settings.train)
        state, losses = advance(state, 0, steps)  # compiles
        jax.block_until_ready(losses)
        for _ in range(3):
            begin = time.perf_counter()
            state, losses = advance(state, 0, steps)
            jax.block_until_ready(losses)
            seconds.append((time.perf_counter() - begin) / (steps * len(sizes)))
    return 1e3 * statistics.median(seconds)


def torch_milliseconds(steps: int) -> float:
    import numpy as np
    import torch

    torch.manual_seed(0)
    width, blocks, features, batch = 128, 4, 64, 256
    frequency = torch.from_numpy(np.random.default_rng(0).normal(scale=0.2, size=features // 2)).float()
    swish = torch.nn.functional.silu

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.input = torch.nn.Linear(2 + features, width)
            self.inner = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(2 * blocks))
            self.output = torch.nn.Linear(width, 2)

        def forward(self, x, t):
            angle = torch.log(t)[:, None] * (2 * torch.pi * frequency)
            h = self.input(torch.cat([x, angle.sin(), angle.cos()], -1))
            for first, second in zip(self.inner[::2], self.inner[1::2], strict=True):
                h = h + second(swish(first(swish(h))))
            return self.output(swish(h))

    net = Net()
    average = [parameter.detach().clone() for parameter in net.parameters()]
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    angle = 2 * torch.pi * torch.rand(SIZES[-1])
    train = torch.stack([angle.cos(), angle.sin()], -1)

    def step():
        clean = train[torch.randint(0, len(train), (batch,))]
        logarithmic = torch.exp(np.log(1e-5) * torch.rand(batch))
        t = torch.where(torch.rand(batch) < 0.5, torch.rand(batch).clamp(min=1e-5), logarithmic)
        denoised = net(clean + t.sqrt()[:, None] * torch.randn(batch, 2), t)
        loss = (((denoised - clean) ** 2).mean(-1) / (t + 0.01)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(net.parameters()), 0.01)

    for _ in range(10):
        step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return 1e3 * (time.perf_counter() - begin) / steps


CONTESTANTS = {
    "together": lambda steps: jax_milliseconds(steps, together=True),
    "one by one": lambda steps: jax_milliseconds(steps, together=False),
    "PyTorch": torch_milliseconds,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round of few steps")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    steps, rounds = (20, 1) if arguments.quick else (100, 5)
    if arguments.contestant:
        print(CONTESTANTS[arguments.contestant](steps))
        return
    print(machine.describe("torch"), *machine.kernels(with_torch=True), sep="\n")
    names = [n for n in CONTESTANTS if n != "PyTorch" or importlib.util.find_spec("torch")]
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            command = [sys.executable, "-m", "benchmarks.circle_ensemble", "--contestant", name]
            command += ["--quick"] * arguments.quick
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            times[name].append(float(answer.stdout.split()[-1]))
    reference = statistics.median(times["together"])
    print(f"{'':>12}  {'ms per model-step':>17}  {'range':>13}  relative to together")
    for name, values in times.items():
        middle = statistics.median(values)
        spread = f"{min(values):.2f} – {max(values):.2f}"
        print(f"{name:>12}  {middle:>17.2f}  {spread:>13}  {middle / reference:>6.2f}")
    if "PyTorch" not in names:
        print("torch is not installed: PyTorch is left out.")


if __name__ == "__main__":
    main()
