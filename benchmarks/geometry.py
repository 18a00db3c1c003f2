"""Is the full Jacobian as fast as torch.func's, and a batched basin faster than a plain loop?

  python -m benchmarks.geometry [--quick]

Jacobian: the curvature matrix of one network (3 layers, width 4 N up to 1,024) by
`geometry.curvature_matrix`, against N vjps one after another in JAX (jitted) and, where PyTorch is installed,
`torch.func.jacfwd` and N vjps of the same network with the same weights. Ours takes 256 columns at a time.
Basins: `geometry.basin` vmapped over samples against the same jitted return called once a sample, level and
copy. Matrix-free: the top 16 values and a 32-probe trace against the full spectrum. Timed in turns in one
process; medians.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax import data, diffusion, geometry, memory

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


def basin_runs(samples: int, levels: int, copies: int) -> dict[str, Callable[[], np.ndarray]]:
    """Critical times of digits under the exact score of 64 patterns."""
    digits = data.load("digits")
    patterns = jnp.asarray(data.decode(digits.train[data.permutation(digits.num_train)[:64]]))
    denoiser = memory.exact_denoiser(patterns, PROCESS)
    times = jnp.asarray(geometry.default_levels(PROCESS, levels))
    keys = jax.random.split(jax.random.key(0), samples)
    batched = jax.jit(
        jax.vmap(lambda k, x: geometry.basin(k, x, times, denoiser, PROCESS, delta=0.5, copies=copies))
    )

    @jax.jit
    def one(key, clean, t):
        _, back = geometry.go_and_return(key, clean, t, denoiser, PROCESS)
        return geometry.basins.l2(clean, back)

    def loop():
        critical = []
        for key, clean in zip(keys, patterns[:samples], strict=True):
            noise = jax.random.fold_in(key, 0)  # the same names as `geometry.basin`, so the same answer
            held = []
            for i, t in enumerate(times):
                level = jax.random.fold_in(noise, i)
                back = [float(one(jax.random.fold_in(level, c), clean, t)) <= 0.5 for c in range(copies)]
                held.append(np.mean(back) >= 0.9)
            critical.append(times[np.argmin([*held, False]) - 1] if held[0] else 0.0)
        return np.asarray(critical)

    return {
        "ours": lambda: np.asarray(batched(keys, patterns[:samples]).critical_time),
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


def measure(runs: dict[str, Callable[[], np.ndarray]], repetitions: int) -> dict[str, float]:
    """Median seconds of each, in turns after one run that compiles."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repetitions):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def table(title: str, runs: dict[str, Callable[[], np.ndarray]], repetitions: int) -> None:
    answers = {name: run() for name, run in runs.items()}
    seconds = measure(runs, repetitions)
    print(title)
    for name, value in seconds.items():
        apart = np.abs(answers[name] - answers["ours"]).max()
        ratio = seconds["ours"] / value
        print(f"  {name:<34} {1e3 * value:>9.1f} ms   ours/it {ratio:>6.3f}   largest difference {apart:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer repetitions")
    quick = parser.parse_args().quick
    repetitions = 3 if quick else 7
    for dim in (64, 256) if quick else (64, 256, 1024, 3072):
        table(f"Jacobian, N = {dim}", jacobian_runs(dim), repetitions if dim < 3000 else 3)
    samples, levels, copies = (2, 5, 4) if quick else (8, 20, 10)
    title = f"Basins of {samples} digits, {levels} levels, {copies} copies, DDIM-20"
    table(title, basin_runs(samples, levels, copies), 3)
    for dim in (256,) if quick else (256, 1024):
        table(
            f"Matrix-free against full spectrum, N = {dim} (the difference is the trace's error)",
            matrix_free_runs(dim),
            3,
        )


if __name__ == "__main__":
    main()
