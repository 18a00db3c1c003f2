"""How much do larger tiles help the search for neighbours on an accelerator, and how far is it from the product?

  python -m benchmarks.search_tiles [--quick] [--ways own bfloat16 16GiB 512MiB]

200,000 queries of 3,490 numbers against 50,000, the size of the paper's largest CIFAR10 set, at several memory
budgets and at what the search chooses by itself. Indices must not depend on it.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from memgen_jax import neighbors

WAYS = {
    "own": {},
    "bfloat16": {"dtype": "bfloat16"},
    "16GiB": {"memory": 2**34},
    "512MiB": {"memory": 2**29},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the rows")
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    given = parser.parse_args()
    machine.compile_anew()
    part = 100 if given.quick else 1
    rng = np.random.default_rng(0)
    query = rng.standard_normal((200_000 // part, 3490), np.float32)
    reference = rng.standard_normal((50_000 // part, 3490), np.float32)
    print(f"{len(query):,} × {query.shape[1]:,} against {len(reference):,} on {jax.devices()[0].device_kind}")
    bare = bare_product(query, reference)
    print(f"  bare product, all on the device: {bare:.2f} s")
    sent = send(query)
    print(f"  sending the queries alone:       {sent:.2f} s")
    first = None
    for name in given.ways:
        times = []
        for _ in range(2):  # the first call compiles
            start = time.perf_counter()
            found = neighbors.search(query, reference, **WAYS[name])
            times.append(time.perf_counter() - start)
        first = found.index if first is None else first
        same = "same indices" if (found.index == first).all() else "OTHER INDICES"
        print(
            f"  {name:<9} {times[0]:6.2f} s with compilation, {times[1]:6.2f} s again = {times[1] / bare:5.2f} bare "
            f"products; {same}"
        )


def bare_product(query: np.ndarray, reference: np.ndarray) -> float:
    product = jax.jit(lambda a, b: jnp.matmul(a, b.T, precision="highest").min(axis=1))
    pieces = [jax.device_put(query[i : i + 10_000]) for i in range(0, len(query), 10_000)]
    against = jax.device_put(reference)
    product(pieces[0], against).block_until_ready()
    start = time.perf_counter()
    for done in [product(piece, against) for piece in pieces]:
        done.block_until_ready()
    return time.perf_counter() - start


def send(query: np.ndarray) -> float:
    start = time.perf_counter()
    for first in range(0, len(query), 10_000):
        jax.device_put(query[first : first + 10_000]).block_until_ready()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
