"""The onset paper's linear model: our simulations per second against a straightforward NumPy/SciPy version.

Both take the same draws, in turns, in one process, and must agree on H² and Δ. The straightforward one
is what a reader of the paper writes down: `pinv`, `slogdet` and `solve` for H², `multivariate_normal` for the
cross terms and SciPy's `pdist` for the pairs of the original set (held as a whole: 400 MB at N = 10,000).

    python -m benchmarks.onset [--quick]
"""

import argparse
import math
import statistics
import time

import jax
import numpy as np
from scipy.spatial.distance import pdist
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from benchmarks import machine
from memgen_jax import onset
from memgen_jax.onset.simulations import draw

SIZES = (16, 64, 512)
BLOCK = 4


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    flags.add_argument("--quick", action="store_true", help="smaller N, two rounds")
    arguments = flags.parse_args()
    rounds = 2 if arguments.quick else 3
    print(machine.describe("numpy", "scipy"), *machine.kernels(), sep="\n")
    print(f"on {jax.devices()[0].platform}; n = {SIZES}, median of {rounds} rounds in turns")
    print(f"{'d':>4} {'N':>7} {'ours, sim/s':>12} {'NumPy, sim/s':>13} {'ours / NumPy':>13}")
    for dim in (16, 100):
        for num_original in (1000, 2000, 4000) if arguments.quick else (2500, 5000, 10_000):
            compare(onset.LinearModel(dim=dim, num_original=num_original), rounds)


def compare(model: onset.LinearModel, rounds: int) -> None:
    ours: list[float] = []
    plain: list[float] = []
    for number in range(-1, rounds):  # round -1 compiles
        numbers = range(BLOCK * (number + 1), BLOCK * (number + 2))
        start = time.perf_counter()
        found = onset.simulate(model, SIZES, numbers, together=BLOCK)
        middle = time.perf_counter()
        expected = [straightforward(model, SIZES, simulation) for simulation in numbers]
        end = time.perf_counter()
        for i, size in enumerate(SIZES):
            h2, log_ratio = zip(*(row[i] for row in expected), strict=True)
            np.testing.assert_allclose(found[size].squared_hellinger[:, 0], h2, rtol=1e-6)
            np.testing.assert_allclose(found[size].log_ratio[:, 0, 0], log_ratio, rtol=1e-6, atol=1e-9)
        if number >= 0:
            ours.append(BLOCK / (middle - start))
            plain.append(BLOCK / (end - middle))
    mine, theirs = statistics.median(ours), statistics.median(plain)
    print(f"{model.dim:4d} {model.num_original:7,d} {mine:12.2f} {theirs:13.2f} {mine / theirs:13.2f}")


def straightforward(
    model: onset.LinearModel, sizes: tuple[int, ...], simulation: int
) -> list[tuple[float, float]]:
    """(H², log([TT + 2·OG] / [OO + 2·TG])) for every n of one simulation, written as the paper has it."""
    original, train, noise = draw(model, simulation, max(sizes))
    shrink, spread = math.exp(-model.final_time), -math.expm1(-2 * model.final_time) * model.noise_scale
    dim, identity = model.dim, np.eye(model.dim)

    def log_pairs(points, width):
        count = len(points)
        total = count + 2 * np.exp(-pdist(points, "sqeuclidean") / (4 * width**2)).sum()
        return math.log(total) - 2 * math.log(count) - dim / 2 * math.log(4 * math.pi * width**2)

    def log_cross(points, width, mean, covariance):
        density = multivariate_normal(mean, covariance + width**2 * identity)
        return logsumexp(density.logpdf(points)) - math.log(len(points))

    wide = onset.kernel_width("silverman", model.num_original, dim, model.sigma)
    log_oo = log_pairs(original, wide)
    results = []
    for size in sizes:
        y = train[:size]
        x = shrink * y + math.sqrt(spread) * noise[:size]
        xc, yc = x - x.mean(0), y - y.mean(0)
        theta = (np.linalg.pinv(xc, rcond=1e-10) @ yc).T
        mean = y.mean(0) + theta @ (shrink * y.mean(0) - x.mean(0))
        covariance = (shrink**2 * (yc**2).sum() / (size * dim) + spread) * theta @ theta.T
        h2 = 1.0
        if size > dim:
            both, apart = covariance + model.sigma**2 * identity, mean - model.mean
            log_overlap = 0.25 * (np.linalg.slogdet(covariance)[1] + 2 * dim * math.log(model.sigma))
            log_overlap -= 0.5 * np.linalg.slogdet(both / 2)[1] + 0.25 * apart @ np.linalg.solve(both, apart)
            h2 = -math.expm1(log_overlap)
        narrow = onset.kernel_width("silverman", size, dim, model.sigma)
        tt, tg = log_pairs(y, narrow), log_cross(y, narrow, mean, covariance)
        og = log_cross(original, wide, mean, covariance)
        log_ratio = np.logaddexp(tt, og + math.log(2)) - np.logaddexp(log_oo, tg + math.log(2))
        results.append((h2, float(log_ratio)))
    return results


if __name__ == "__main__":
    main()
