"""Which device is this, and what do its plainest limits measure: one product, one copy.

python -m benchmarks.card
"""

import importlib.metadata
import os
import time

import jax
import jax.numpy as jnp

from memgen_jax.sweep import peak_flops


def main() -> None:
    device = jax.local_devices()[0]
    print(
        f"{len(jax.local_devices())} × {device.device_kind} ({device.platform}), {os.cpu_count()} CPU cores"
    )
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))
    limit = (device.memory_stats() or {}).get("bytes_limit")
    print("memory for JAX:", f"{limit / 1e9:.1f} GB" if limit else "not told")
    side = 8192 if device.platform != "cpu" else 1024
    peak = peak_flops([device])
    for dtype, precision in (("bfloat16", "default"), ("float32", "default"), ("float32", "highest")):
        speed = product_speed(side, dtype, precision)
        share = f", {speed / peak:.0%} of the bfloat16 peak" if peak else ""
        print(f"{side}³ product, {dtype}, precision {precision}: {speed:.3g} FLOP/s{share}")
    x = jnp.ones(2**28 if device.platform != "cpu" else 2**24, jnp.float32)
    seconds = best(jax.jit(lambda x: x + 1), x)
    print(f"copying memory: {2 * x.nbytes / seconds / 1e9:,.0f} GB/s read and written")


def product_speed(side: int, dtype: str, precision: str) -> float:
    a, b = (jax.random.normal(jax.random.key(i), (side, side), dtype) for i in range(2))
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
    return 2 * side**3 / best(product, a, b)


def best(function, *arguments) -> float:
    """Seconds of the fastest of a few calls, after one that compiles."""
    function(*arguments).block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function(*arguments).block_until_ready()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
