"""How well does an audit find planted copies and repeats in Fashion-MNIST?

60,000 training images against 11,500 samples: the 10,000 test images (new), 1,000 copies of training
images, 250 of each kind (identical, shifted by one pixel, with noise, through JPEG), and 500 repeats of
test images with a little noise. Precision and recall per kind, for several ways to set the thresholds.

    python -m benchmarks.planted_audit --out=runs/planted [--lpips] [--quick]

With --altered instead: which metric finds which altered copy, see `planted_alterations`.

    python -m benchmarks.planted_audit --altered [--lpips] [--encoder=FILE] [--quick]

The data are four files like those of MNIST, from Debian's package dataset-fashion-mnist (or --data=FOLDER).
"""

import argparse
import io
import time
from pathlib import Path

import numpy as np

from benchmarks import planted_alterations
from memgen_jax import audit, metrics, neighbors, phases
from memgen_jax.data import read

COPIES = ("identical", "shifted", "noisy", "jpeg")
HELD_OUT = 5_000  # training images set aside, in the last rows of the table, to calibrate with


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    flags.add_argument("--data", default="/usr/share/datasets/fashion-mnist", metavar="FOLDER")
    flags.add_argument("--out", default="runs/planted", metavar="DIR")
    flags.add_argument("--quick", action="store_true", help="a tenth of everything")
    flags.add_argument(
        "--lpips",
        action="store_true",
        help="LPIPS too (needs `memgen fetch-weights`; --altered also `… stlpips`)",
    )
    flags.add_argument("--altered", action="store_true", help="which metric finds which altered copy")
    flags.add_argument(
        "--encoder", metavar="FILE", help="with --altered: an .onnx or TorchScript network too"
    )
    arguments = flags.parse_args()
    if arguments.altered:
        planted_alterations.table(arguments.data, arguments.lpips, arguments.encoder, arguments.quick)
        return
    part = 10 if arguments.quick else 1
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)

    train, test = (items.values[: len(items.values) // part] for items in read(f"idx:{arguments.data}"))
    samples, kind = plant(train, test, 250 // part, 500 // part)
    np.savez(out / "train.npz", images=train)
    np.savez(out / "samples.npz", images=samples)

    start = time.perf_counter()
    found = audit.run(
        audit.AuditSettings(
            train=str(out / "train.npz"),
            samples=str(out / "samples.npz"),
            out=str(out / "audit"),
            thresholds="fashion_mnist",
        )
    )
    print(f"audit: {time.perf_counter() - start:.0f} s\n")
    to_train, among = found.distances.train[:, 0], found.distances.synthetic
    heading(kind)
    score("L2, paper: 4.5, 2.5", kind, to_train, among, 4.5, 2.5)
    for name, distance in (("training set", to_train), ("samples", among)):
        one = phases.valley(distance)
        print(
            f"  valley, {name}: {one.threshold} (dip {one.dip:.4f}, p = {one.p_value:.3f}, "
            f"interval {one.low} – {one.high})"
        )

    seen, unseen = np.split(train, [len(train) - HELD_OUT // part])
    pixels = [seen, unseen, samples]
    calibrated("L2", kind, [x.reshape(len(x), -1) for x in pixels], 1 / 127.5, False, part)
    if arguments.lpips:
        calibrated("LPIPS", kind, [metrics.lpips_embedding(x) for x in pixels], 1.0, True, part)


def calibrated(
    metric: str, kind: np.ndarray, vectors: list[np.ndarray], scale: float, squared: bool, part: int
) -> None:
    """Held-out calibration, with the last training images set aside, and the ratio rule."""
    seen, unseen, samples = vectors
    options = {"scale": scale, "squared": squared}
    unseen = neighbors.search(unseen, seen, **options).distance[:, 0]
    real = neighbors.search(seen[: len(samples)], seen[: len(samples)], exclude_self=True, **options)
    near = neighbors.search(samples, seen, k=2, **options).distance
    among = neighbors.search(samples, samples, exclude_self=True, **options).distance[:, 0]
    for rate in (0.01,) if part > 1 else (0.01, 0.001):
        rule = phases.held_out(unseen, real.distance[:, 0], rate)
        name = f"{metric}, held-out {100 * rate:g}%: {rule.delta_m:.3g}, {rule.delta_s:.3g}"
        score(name, kind, near[:, 0], among, rule.delta_m, rule.delta_s)
    first, second = np.sqrt(near).T if squared else near.T
    copies = phases.copies_by_ratio(first, second)
    nowhere = np.full(len(kind), np.inf)
    score(f"{metric}, ratio 1/3", kind, np.where(copies, 0.0, np.inf), nowhere, 0.0, 0.0)


def plant(train: np.ndarray, test: np.ndarray, copies: int, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """The samples, and what each is: "new", a kind of copy, or "repeat" (both of a pair)."""
    rng = np.random.default_rng(0)
    # Copies come from the part that stays in the training set when some of it is set aside.
    rows = rng.permutation(len(train) * 9 // 10)[: 4 * copies].reshape(4, copies)
    identical, shifted, noisy, jpeg = (train[some] for some in rows)
    places = rng.permutation(len(test))[:repeats]
    samples = [test, identical, shift(shifted), noise(rng, noisy, 8), through_jpeg(jpeg)]
    samples.append(noise(rng, test[places], 4))
    kind = np.repeat(["new", *COPIES, "repeat"], [len(part) for part in samples])
    kind[places] = "repeat"
    return np.concatenate(samples), kind


def shift(images: np.ndarray) -> np.ndarray:
    """By one pixel to the right; the margin is empty in nearly all of these images."""
    return np.roll(images, 1, axis=2)


def noise(rng: np.random.Generator, images: np.ndarray, levels: float) -> np.ndarray:
    """Gaussian noise of so many of the 256 grey levels."""
    return np.clip(np.round(images + rng.normal(0, levels, images.shape)), 0, 255).astype(np.uint8)


def through_jpeg(images: np.ndarray, quality: int = 75) -> np.ndarray:
    from PIL import Image

    out = np.empty_like(images)
    for place, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image[..., 0]).save(file, "JPEG", quality=quality)
        out[place, ..., 0] = np.asarray(Image.open(file))
    return out


def heading(kind: np.ndarray) -> None:
    print("recall, in percent: share of a planted kind that gets the right label;")
    print("precision: share of a label that was planted so; false alarms: of the new images, called copies")
    print(
        f"{'rule':36s}",
        *(f"{name:>9s}" for name in (*COPIES, "repeat")),
        "  precision: copies  repeats",
        "  false alarms",
    )
    print(f"{'(number planted)':36s}", *(f"{(kind == name).sum():9d}" for name in (*COPIES, "repeat")))


def score(
    rule: str, kind: np.ndarray, to_train: np.ndarray, among: np.ndarray, delta_m: float, delta_s: float
) -> None:
    labels = phases.classify(to_train, among, delta_m, delta_s)
    copied, repeated = labels == phases.MEMORIZED, labels == phases.SPURIOUS
    recall = [copied[kind == name].mean() for name in COPIES] + [repeated[kind == "repeat"].mean()]
    planted = np.isin(kind, COPIES)
    precision = planted[copied].mean(), (kind[repeated] == "repeat").mean() if repeated.any() else np.nan
    false = copied[kind == "new"].mean()
    print(
        f"{rule:36s}",
        *(f"{100 * value:9.1f}" for value in recall),
        f"{100 * precision[0]:19.1f} {100 * precision[1]:8.1f} {100 * false:14.2f}",
    )


if __name__ == "__main__":
    main()
