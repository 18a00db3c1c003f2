"""Exact nearest neighbours: our time and memory against faiss, scikit-learn, PyTorch and the bare product.

All get the same float32 arrays, in turns, in one process. The bare product (one matrix product of the same
size in JAX) is what any search by the Gram form must pay. Ours is timed with its own products, and, on a processor
with faiss installed, with the candidates of faiss too. Peers that are not installed are left out.

    python -m benchmarks.neighbors [--quick]
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from memgen_jax import neighbors
from memgen_jax.neighbors import on_processors

SIZES = ((20_000, 5_000, 784), (8_000, 2_000, 5_760))
SMALL = (2_000, 500, 784)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    flags.add_argument("--quick", action="store_true", help="a tenth of the rows, twice each")
    flags.add_argument("--rounds", type=int, default=5)
    arguments = flags.parse_args()
    part, rounds = (10, 2) if arguments.quick else (1, arguments.rounds)

    print(machine.describe("faiss-cpu", "scikit-learn", "torch"))
    print(
        f"on {jax.devices()[0].platform}; best of {rounds} (of half as many where sizes are doubled), in turns;"
    )
    print("times as multiples of the bare product")
    compare(*SMALL, 4 * rounds)
    for queries, references, dim in SIZES:
        once, doubled = (  # both doubled: four times the work, in fewer rounds
            compare(queries * factor // part, references * factor // part, dim, max(2, rounds // factor))
            for factor in (1, 2)
        )
        print("  as both double, times grow by")
        for name, value in once.items():
            print(f"  {name:20s} {doubled[name] / value:8.2f}")
    print("\npeak memory of our search beyond its inputs (MB), 2,000 queries of 784 numbers, budget 256 MB")
    for references in (5_000, 20_000, 80_000, 320_000):
        print(f"  {references // part:7,d} references: {memory(2_000 // part, references // part, 784):6.0f}")


def compare(queries: int, references: int, dim: int, rounds: int) -> dict[str, float]:
    """Prints and returns the best seconds of every way to search."""
    rng = np.random.default_rng(0)
    query = rng.normal(size=(queries, dim)).astype(np.float32)
    reference = rng.normal(size=(references, dim)).astype(np.float32)
    ways = {"bare product": bare_product(query, reference)}
    # At the median of the nearest distances: half of the queries have a neighbour within it.
    radius = float(np.median(neighbors.search(query, reference).distance))
    ways["ours, count within"] = lambda: neighbors.count_within(query, reference, radius)
    for k in (1, 4):
        ways[f"ours, k={k}"] = lambda k=k: without_faiss(query, reference, k)
        if jax.default_backend() == "cpu" and on_processors._faiss() is not None:
            ways[f"ours by faiss, k={k}"] = lambda k=k: neighbors.search(query, reference, k=k)
        for name, peer in PEERS.items():
            try:
                ways[f"{name}, k={k}"] = peer(query, reference, k)
            except ImportError:
                if k == 1:
                    print(f"\n{name} is not installed: left out")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first round compiles and warms up
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    for line in machine.kernels(with_torch=True) if queries == SMALL[0] else ():
        print(line)
    best = {name: min(times[1:]) for name, times in seconds.items()}
    bare = best["bare product"]
    print(f"\n{queries:,} × {dim:,} against {references:,}: bare product {bare:.3f} s")
    for name, value in best.items():
        print(f"  {name:20s} {value:8.3f} s  {value / bare:6.2f}")
    print(
        f"  counting takes {best['ours, count within'] / best['ours, k=1']:.2f} times as long as the search, k = 1"
    )
    return best


def without_faiss(query: np.ndarray, reference: np.ndarray, k: int) -> object:
    with mock.patch.object(on_processors, "_faiss", lambda: None):
        return neighbors.search(query, reference, k=k)


def bare_product(query: np.ndarray, reference: np.ndarray) -> Callable[[], object]:
    """In pieces of 1,000 queries: one huge matrix would take longer, for it does not fit the cache."""
    product = jax.jit(lambda a, b: jnp.matmul(a, b.T, precision="highest"))
    pieces = [jnp.asarray(query[i : i + 1_000]) for i in range(0, len(query), 1_000)]
    against = jnp.asarray(reference)
    return lambda: [product(piece, against).block_until_ready() for piece in pieces]


def faiss_flat(query: np.ndarray, reference: np.ndarray, k: int) -> Callable[[], object]:
    import faiss

    index = faiss.IndexFlatL2(reference.shape[1])
    index.add(reference)
    return lambda: index.search(query, k)


def scikit_learn(query: np.ndarray, reference: np.ndarray, k: int) -> Callable[[], object]:
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference)
    return lambda: finder.kneighbors(query)


def torch_cdist(query: np.ndarray, reference: np.ndarray, k: int) -> Callable[[], object]:
    import torch

    pieces, against = torch.from_numpy(query).split(5_000), torch.from_numpy(reference)
    return lambda: [torch.cdist(piece, against).topk(k, largest=False) for piece in pieces]


PEERS = {"faiss": faiss_flat, "scikit-learn": scikit_learn, "torch": torch_cdist}


def memory(queries: int, references: int, dim: int) -> float:
    """Growth of the process's peak over what it held before the search, in a process of its own."""
    program = f"import benchmarks.neighbors as b; print(b.growth({queries}, {references}, {dim}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def growth(queries: int, references: int, dim: int) -> float:
    rng = np.random.default_rng(0)
    # Made as float32: a copy now would hide the search's peak.
    query = rng.standard_normal((queries, dim), np.float32)
    reference = rng.standard_normal((references, dim), np.float32)
    neighbors.search(query[:100], reference[:200])  # JAX itself, started
    before = status("VmRSS")
    neighbors.search(query, reference, memory=2**28)
    return status("VmHWM") - before


def status(field: str) -> float:
    """Memory of this process in MB: VmRSS now, VmHWM at its peak."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
