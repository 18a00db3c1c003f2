"""What does it cost to close over the training set instead of passing it to the compiled program?

  python -m benchmarks.control [--quick]

The exact score of N patterns draws samples in both ways, each in a process of its own; printed are the size of
the program's text, the time to compile and to run it, the peak memory of host and device, and whether the
samples agree. The sweep passes the set as an argument.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

SIZES = {False: (50_000, 3072), True: (2_000, 256)}
SAMPLES, STEPS = 64, 20


def measure(closed_over: bool, quick: bool) -> dict[str, float]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from memgen_jax import diffusion, memory

    count, dim = SIZES[quick]
    rng = np.random.default_rng(0)
    patterns = jax.device_put(
        rng.integers(0, 256, (count, dim), dtype=np.uint8).astype(np.float32) / 127.5 - 1
    )
    process, step = diffusion.DDPM(), diffusion.make_step("ddim")
    times = jnp.asarray(diffusion.time_grid(process, STEPS))

    def draw(keys, patterns):
        denoiser = memory.exact_denoiser(patterns, process)

        def one(key):
            x = diffusion.draw_prior(key, (dim,), process)
            return diffusion.advance(key, x, times, 0, step, denoiser, process)

        return jax.vmap(one)(keys)

    keys = jax.random.split(jax.random.key(0), SAMPLES)
    program = jax.jit(lambda keys: draw(keys, patterns)) if closed_over else jax.jit(draw)
    arguments = (keys,) if closed_over else (keys, patterns)
    start = time.perf_counter()
    lowered = program.lower(*arguments)
    text = len(lowered.as_text("stablehlo"))
    lowering = time.perf_counter() - start
    compiled = lowered.compile()
    compiling = time.perf_counter() - start - lowering
    samples = np.asarray(compiled(*arguments))
    start = time.perf_counter()
    np.asarray(compiled(*arguments))
    running = time.perf_counter() - start
    peak = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", float("nan"))
    return {
        "text": text / 1e6,
        "lowering": lowering,
        "compiling": compiling,
        "running": running,
        "host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "device": peak / 1e9,
        "sum": float(np.abs(samples).astype(np.float64).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few small patterns")
    parser.add_argument("--way", choices=("constant", "argument"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given.way == "constant", given.quick)))
        return
    count, dim = SIZES[given.quick]
    print(f"{SAMPLES} samples in {STEPS} steps of the exact score of {count:,} patterns of {dim:,} numbers")
    sums = []
    for way in ("argument", "constant"):
        command = [sys.executable, "-m", "benchmarks.control", "--way", way, *["--quick"] * given.quick]
        try:
            environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
            child = subprocess.run(command, capture_output=True, text=True, timeout=150, env=environment)
        except subprocess.TimeoutExpired:
            print(f"{way:>9}: not done in 150 s")
            continue
        if child.returncode:
            print(f"{way:>9}: failed: {child.stderr.strip().splitlines()[-1][:200]}")
            continue
        found = json.loads(child.stdout.splitlines()[-1])
        sums.append(found["sum"])
        print(
            f"{way:>9}: program {found['text']:,.2f} MB of text, lowered in {found['lowering']:.1f} s, compiled in "
            f"{found['compiling']:.1f} s, run in {found['running']:.2f} s; peak {found['host']:.1f} GB on the host, "
            f"{found['device']:.1f} GB on the device"
        )
    if len(sums) == 2:
        print(f"sums of all samples differ by {abs(sums[0] / sums[1] - 1):.1e} of their value")


if __name__ == "__main__":
    main()
