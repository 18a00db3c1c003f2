"""How do time and memory grow as both sets double, three times, and as more members train together?

    python -m benchmarks.growth [--quick] [--stages search,lpips,audit,again,members]

  search    the nearest of 28×28 images in a training set half as large, and among themselves
  lpips     embeddings of 32×32 colour images (needs `memgen fetch-weights`; else left out)
  audit     `memgen audit` by pixels, with thresholds given: reading to page
  again     labels and report alone, from the distances that the audit kept
  members   the demo's MLP, 1 to 8 on each core, trained together

Each measurement runs in a process of its own, twice: the second finds its programs compiled. Time is by the clock;
memory is the process's peak over what it held when its inputs were there. The last column is what a million samples
would take if time went on growing as it did in the last doubling: an extrapolation.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.neighbors import status

SMALLEST = 5_000  # samples; 500 with --quick
MILLION = 1_000_000
STAGES = ("search", "lpips", "audit", "again", "members")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    flags.add_argument("--quick", action="store_true", help="a tenth of the samples and steps")
    flags.add_argument("--stages", default=",".join(STAGES))
    flags.add_argument("--measure", nargs=3, metavar=("STAGE", "COUNT", "FOLDER"), help=argparse.SUPPRESS)
    asked = flags.parse_args()
    if asked.measure:
        stage, count, folder = asked.measure
        print(json.dumps(measure(stage, int(count), Path(folder))))
        return
    part = 10 if asked.quick else 1
    print(machine.describe("scikit-learn"))
    stages = asked.stages.split(",")
    with tempfile.TemporaryDirectory() as folder:
        for stage in stages:
            if stage != "members":
                print(f"\n{stage}: samples, seconds (as many times as before), MB", flush=True)
                tell_growth(stage, [SMALLEST * 2**i // part for i in range(4)], folder)
    if "members" in stages:
        print("\nmembers together, model-steps/s")
        for each in (1, 2, 4, 8):
            print(f"  {each} on each device: {model_steps(each, 2_000 // part):,.0f}", flush=True)


def tell_growth(stage: str, sizes: list[int], folder: str) -> None:
    """One line a size, and what a million samples would take."""
    before = None
    ratio = math.nan
    for count in sizes:
        runs = [in_own_process(stage, count, folder) for _ in range(2)]
        if runs[1] is None:
            print("  left out: the LPIPS weights are not there (memgen fetch-weights)")
            return
        seconds, peak = runs[1]["seconds"], runs[1]["peak_mb"]
        grown = ""
        if before:
            ratio = seconds / before
            grown = f" ({ratio:.2f})"
        print(f"  {count:9,d} {seconds:9.2f}{grown:8s} {peak:9.0f}", flush=True)
        before = seconds
    seconds = before * ratio ** math.log2(MILLION / sizes[-1])
    print(f"  {MILLION:9,d} {seconds:9,.0f} if it goes on so")


def in_own_process(stage: str, count: int, folder: str) -> dict[str, float] | None:
    command = [sys.executable, "-m", "benchmarks.growth", "--measure", stage, str(count), folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(stage: str, count: int, folder: Path) -> dict[str, float] | None:
    """Seconds and peak memory of one stage at one size; None where it cannot run here."""
    from memgen_jax.runs.compilation import keep_compiled_programs

    keep_compiled_programs()
    work = prepare(stage, count, folder)
    if work is None:
        return None
    held = status("VmRSS")
    start = time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - start, "peak_mb": max(0.0, status("VmHWM") - held)}


def prepare(stage: str, count: int, folder: Path) -> Callable[[], object] | None:
    """The stage as a function of nothing, its inputs made."""
    from memgen_jax import audit, metrics, neighbors
    from memgen_jax.errors import InputError

    rng = np.random.default_rng(0)
    if stage == "search":
        samples, train = (rng.standard_normal((n, 784), np.float32) for n in (count, count // 2))
        return lambda: (
            neighbors.search(samples, train),
            neighbors.search(samples, samples, exclude_self=True),
        )
    if stage == "lpips":
        images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
        try:
            metrics.lpips_embedding(images[:1])
        except InputError:
            return None
        return lambda: metrics.lpips_embedding(images)
    files = {"train": folder / f"train{count // 2}.npy", "samples": folder / f"samples{count}.npy"}
    for name, file in files.items():
        if not file.exists():
            np.save(file, rng.integers(0, 256, (count // (2 if name == "train" else 1), 28, 28), np.uint8))
    out = folder / f"audit{count}"
    thresholds = {"delta_m": 5.0, "delta_s": 5.0}
    whole = audit.AuditSettings(
        **{k: os.fspath(v) for k, v in files.items()}, out=os.fspath(out), **thresholds
    )
    if stage == "audit":
        return lambda: audit.run(whole, say=lambda _: None)
    if not (out / "distances.npz").exists():
        audit.run(whole, say=lambda _: None)
    again = audit.AuditSettings(
        distances=os.fspath(out), out=os.fspath(folder / f"again{count}"), **thresholds
    )
    return lambda: audit.run(again, say=lambda _: None)


def model_steps(each: int, num_steps: int) -> float:
    """Model-steps a second of the sweep's own path, in a process of its own."""
    code = f"from benchmarks import ensemble; print(ensemble.jax_times({num_steps}, True, {each})['model-steps'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    machine.start_without_choices()
    main()
