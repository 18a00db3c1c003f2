"""Is our likelihood as fast and as exact as the solver that the paper used?

  python -m benchmarks.likelihood [--quick]

log p(x, t = 0.15) of a 20 x 20 grid on the circle's landscape (K = 9): `diffusion.log_likelihood` (diffrax,
Dormand-Prince 5(4), vmapped and jitted) against `scipy.integrate.solve_ivp` (RK45, the same tolerances),
with all points in one vectorised system and the same jitted velocity and exact divergence. Timed in turns in
one process: with the exact score, where errors are known, and with the circle's network (untrained).
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from benchmarks import machine
from memgen_jax import data, diffusion, memory, models

TIME, TOLERANCE = 0.15, 1e-5
PROCESS = diffusion.VE()


def make_ours(denoiser: diffusion.Denoiser, prior: diffusion.Prior):
    def one(x):
        return diffusion.log_likelihood(
            x, TIME, denoiser, PROCESS, prior, rtol=TOLERANCE, atol=TOLERANCE
        ).log_density

    run = jax.jit(jax.vmap(one))
    return lambda points: np.asarray(run(points))


def make_scipy(denoiser: diffusion.Denoiser, prior: diffusion.Prior):
    """One system of 3 n equations, as in Song et al. 2021 and Pham et al. 2025, App. B."""

    def velocity(x, t):
        score = PROCESS.score_from_denoised(denoiser(x, t), x, t)
        return PROCESS.drift(x, t) - 0.5 * PROCESS.diffusion(t) ** 2 * score

    @jax.jit
    @jax.vmap
    def slope(x, t):
        return velocity(x, t), jnp.trace(jax.jacfwd(velocity)(x, t))

    log_prior = jax.jit(jax.vmap(prior))

    def run(points):
        count = len(points)

        def flat(t, state):
            x = state[: 2 * count].reshape(count, 2).astype(np.float32)
            velocities, traces = slope(x, np.full(count, t, np.float32))
            return np.concatenate([np.asarray(velocities).ravel(), np.asarray(traces)])

        start = np.concatenate([points.ravel(), np.zeros(count)])
        end = solve_ivp(flat, (TIME, 1.0), start, method="RK45", rtol=TOLERANCE, atol=TOLERANCE).y[:, -1]
        return np.asarray(log_prior(end[: 2 * count].reshape(count, 2).astype(np.float32))) + end[2 * count :]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    repetitions = 3 if parser.parse_args().quick else 15
    print(machine.describe("scipy"), *machine.kernels(), sep="\n")
    axis = np.linspace(-1.8, 1.8, 20)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    patterns = jnp.asarray(data.circle(num_train=9, num_held_out=1).train)
    exact = jax.vmap(lambda x: memory.log_density(x, patterns, TIME, PROCESS))(points)
    model = models.mlp((2,), width=128, num_blocks=4, time_features="log_fourier", time_in_blocks=False)
    params = model.init_fn(jax.random.key(0))

    def prior(x):
        return memory.log_density(x, patterns, PROCESS.t_max, PROCESS)

    denoisers = {
        "exact score, K = 9": memory.exact_denoiser(patterns, PROCESS),
        "network, 4 x 128": lambda x, t: model.apply_fn(params, x, t),
    }
    print(f"{'400 points':>20}  {'ours':>10}  {'solve_ivp':>10}  {'ratio':>6}  largest errors")
    for name, denoiser in denoisers.items():
        runs = {"ours": make_ours(denoiser, prior), "scipy": make_scipy(denoiser, prior)}
        answers = {which: run(points) for which, run in runs.items()}  # compiles
        seconds: dict[str, list[float]] = {which: [] for which in runs}
        for _ in range(repetitions):
            for which, run in runs.items():
                begin = time.perf_counter()
                run(points)
                seconds[which].append(time.perf_counter() - begin)
        ours, scipy = (float(np.median(seconds[which])) for which in ("ours", "scipy"))
        if name.startswith("exact"):
            errors = "  ".join(f"{np.abs(answers[which] - exact).max():.1e}" for which in runs)
        else:
            errors = f"{np.abs(answers['ours'] - answers['scipy']).max():.1e} apart"
        print(f"{name:>20}  {ours * 1e3:>7.0f} ms  {scipy * 1e3:>7.0f} ms  {ours / scipy:>6.2f}  {errors}")


if __name__ == "__main__":
    main()
