"""Is the full Jacobian as fast as torch.func's, and a batched basin faster than a plain loop?

  python -m benchmarks.geometry [--quick]

One network of three layers (width 4 N, at most 1,024) at N = 64, 256, 784 and 3,072 dimensions.
Jacobian: `geometry.curvature_matrix`, 256 columns at a time, against N vjps one after another in JAX
(jitted) and, where PyTorch is installed, `torch.func.jacfwd` and N vjps of the same network with the same
weights. Basins: `geometry.basin` vmapped over samples against the same jitted return called once a sample,
level and copy. Matrix-free: the top 16 values and a 32-probe trace against the full spectrum. Timed in turns
in one process after one run that compiles; medians. Every contestant's answer is compared with ours.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from memgen_jax import diffusion, geometry, metrics

PROCESS = diffusion.DDPM()
T = 50.0
CHUNK = 256


def weights_of(dim: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    width = min(4 * dim, 1024)
    shapes = [(dim, width), (width, width), (width, dim)]
    return [random.normal(size=s).astype(np.float32) / np.float32(s[0] ** 0.5) for s in shapes]


def network(weights: list[jax.Array]) -> diffusion.Denoiser:
    def apply(x, t):
        for weight in weights[:-1]:
            x = jax.nn.silu(x @ weight)
        return x @ weights[-1]

    return apply


def jacobian_runs(dim: int) -> dict[str, Callable[[], np.ndarray]]:
    """Every way to the same matrix A, as functions without arguments."""
    weights = weights_of(dim)
    denoiser = network([jnp.asarray(w) for w in weights])
    clean = np.linspace(-1, 1, dim, dtype=np.float32)
    mean = float(PROCESS.mean_coefficient(T))
    ours = jax.jit(
        lambda x: geometry.curvature_matrix(x, jnp.float32(T), denoiser, PROCESS, columns_per_chunk=CHUNK)
    )
    row = jax.jit(lambda x, unit: unit - mean * jax.vjp(lambda x: denoiser(x, T), mean * x)[1](unit)[0])
    units = np.eye(dim, dtype=np.float32)
    runs = {
        "ours": lambda: np.asarray(ours(clean)),
        "JAX, N vjps": lambda: np.stack([row(clean, unit) for unit in units]),
    }
    try:
        import torch
    except ImportError:
        return runs
    tensors = [torch.tensor(w) for w in weights]

    def apply(x):
        for weight in tensors[:-1]:
            x = torch.nn.functional.silu(x @ weight)
        return x @ tensors[-1]

    x = torch.tensor(mean * clean)
    eye = torch.eye(dim)

    def n_vjps():
        leaf = x.clone().requires_grad_(True)
        out = apply(leaf)
        rows = [torch.autograd.grad(out, leaf, unit, retain_graph=True)[0] for unit in eye]
        return (eye - mean * torch.stack(rows)).numpy()

    def jacfwd():
        with torch.no_grad():
            return (eye - mean * torch.func.jacfwd(apply)(x)).numpy()

    return runs | {"torch.func.jacfwd": jacfwd, "torch, N vjps": n_vjps}


def basin_runs(dim: int, samples: int, levels: int, copies: int) -> dict[str, Callable[[], np.ndarray]]:
    """How far every copy of every sample comes back from every level: [sample, level, copy]."""
    denoiser = network([jnp.asarray(w) for w in weights_of(dim)])
    clean = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (samples, dim)), jnp.float32)
    times = jnp.asarray(geometry.default_levels(PROCESS, levels))
    keys = jax.random.split(jax.random.key(0), samples)
    batched = jax.jit(
        jax.vmap(lambda k, x: geometry.Basins(denoiser, PROCESS, times, delta=0.5, copies=copies)(k, x))
    )

    @jax.jit
    def one(key, clean, t):
        _, back = geometry.go_and_return(key, clean, t, denoiser, PROCESS)
        return metrics.euclidean(clean, back)

    def loop():
        distance = np.empty((samples, levels, copies), np.float32)
        for sample, key in enumerate(keys):
            noise = jax.random.fold_in(key, 0)  # the same names as `geometry.basin`, so the same answer
            for i, t in enumerate(times):
                level = jax.random.fold_in(noise, i)
                for c in range(copies):
                    distance[sample, i, c] = one(jax.random.fold_in(level, c), clean[sample], t)
        return distance

    return {
        "ours": lambda: np.asarray(batched(keys, clean).distance),
        "loop over samples, levels, copies": loop,
    }


def matrix_free_runs(dim: int) -> dict[str, Callable[[], np.ndarray]]:
    denoiser = network([jnp.asarray(w) for w in weights_of(dim)])
    clean, t, key = jnp.linspace(-1.0, 1.0, dim), jnp.float32(T), jax.random.key(0)

    @jax.jit
    def free(x):
        top = geometry.flat_directions(key, x, t, denoiser, PROCESS, rank=16)
        return top.slopes, geometry.curvature_trace(key, x, t, denoiser, PROCESS).mean

    @jax.jit
    def full(x):
        return geometry.spectrum(x, t, denoiser, PROCESS, columns_per_chunk=CHUNK)

    return {
        "ours": lambda: np.asarray(free(clean)[1]),
        "full spectrum": lambda: np.asarray(full(clean).trace),
    }


def table(title: str, runs: dict[str, Callable[[], np.ndarray]], repetitions: int, per: int = 0) -> float:
    """Prints medians, ratios and differences; returns the seconds of ours. `per`: items for a rate."""
    answers = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repetitions):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    print(title)
    for name, value in median.items():
        apart = np.abs(answers[name] - answers["ours"]).max() / np.abs(answers["ours"]).max()
        rate = f"   {per / value:>8.2f} a second" if per else ""
        print(
            f"  {name:<34} {1e3 * value:>9.1f} ms   ours/it {median['ours'] / value:>6.3f}{rate}"
            f"   relative difference {apart:.0e}",
            flush=True,
        )
    return median["ours"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one repetition")
    quick = parser.parse_args().quick
    print(machine.describe("torch"))
    dims = (64, 256) if quick else (64, 256, 784, 3072)
    samples, levels, copies = (2, 5, 4) if quick else (4, 10, 5)
    setting = f"{samples} samples, {levels} levels, {copies} copies, DDIM-20"
    ours: dict[str, list[float]] = {}
    for dim in dims:
        # The slow contestants take half a minute a time at the largest size.
        repetitions = 1 if quick or dim > 1000 else 5
        for name, title, runs, per in (
            ("Jacobian", f"Jacobian, N = {dim}", jacobian_runs(dim), 0),
            ("basins", f"Basins, N = {dim}: {setting}", basin_runs(dim, samples, levels, copies), samples),
            ("matrix-free", f"Matrix-free, N = {dim} (difference: of the trace)", matrix_free_runs(dim), 0),
        ):
            ours.setdefault(name, []).append(table(title, runs, repetitions, per))
    print(f"Growth of ours, N = {' : '.join(map(str, dims))}")
    for name, seconds in ours.items():
        print(f"  {name:<34} {' : '.join(f'{value / seconds[0]:.1f}' for value in seconds)}")
    print(*machine.kernels(with_torch=True), sep="\n")


if __name__ == "__main__":
    main()
