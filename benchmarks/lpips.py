"""LPIPS: how fast images are embedded, against PyTorch's network; and all pairs, against its pair by pair.

    python -m benchmarks.lpips [--quick]

Needs the weights (`memgen fetch-weights`); the comparison needs torch and lpips, and is left out where
they are not installed. Both use the same weights; the distances of the first pairs are compared too.
"""

import argparse
import sys
import time
import types
from typing import Any

import numpy as np

from benchmarks import machine
from memgen_jax import metrics, neighbors
from memgen_jax.metrics.weights import weights_path


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    flags.add_argument("--quick", action="store_true", help="a quarter of the images")
    arguments = flags.parse_args()
    print(machine.describe("torch", "lpips"))
    for side, count in ((32, 2_000), (64, 600)):
        compare(side, count // (4 if arguments.quick else 1))
    print(*machine.kernels(with_torch=True), sep="\n")


def compare(side: int, count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    all_pairs(images[:64])  # compiles
    all_pairs(images)
    start = time.perf_counter()
    embedding = all_pairs(images)
    ours = count**2 / (time.perf_counter() - start)
    print(f"\n{count:,} images of {side}×{side}, nearest other of each among {count**2:,} pairs")
    size = embedding.nbytes / count
    print(
        f"  ours: {ours:14,.0f} pairs/s, embeddings of {embedding.shape[1]:,} numbers, {size / 1e6:.3f} MB each"
    )
    try:
        import torch

        model = pytorch_lpips()
    except ImportError:
        print("  torch and lpips are not installed: no comparison")
        return
    pairs = min(256, count)
    first = torch.from_numpy(np.moveaxis(images[:pairs], -1, 1) / np.float32(127.5) - 1)
    second = first.roll(1, 0)
    seconds = []
    with torch.no_grad():
        for _ in range(3):
            start = time.perf_counter()
            theirs = torch.cat([model(a, b) for a, b in zip(first.split(64), second.split(64), strict=True)])
            seconds.append(time.perf_counter() - start)
    rate = pairs / min(seconds)
    ours_of_those = metrics.lpips_distance(images[:pairs], np.roll(images[:pairs], 1, axis=0))
    print(f"  PyTorch lpips: {rate:5,.0f} pairs/s; ours is {ours / rate:,.0f} times as fast")
    embed(images, model)
    print(
        f"  largest difference over {pairs} pairs: {abs(theirs.flatten().numpy() - ours_of_those).max():.1e}"
    )


def embed(images: np.ndarray, model: Any) -> None:
    """Images a second: ours to vectors, PyTorch's to the scaled and normalised features that they are made of."""
    import lpips
    import torch

    def theirs() -> None:
        with torch.inference_mode():
            for part in torch.from_numpy(images).split(64):
                scaled = model.scaling_layer(part.movedim(-1, 1) / 127.5 - 1)
                for features in model.net(scaled):
                    lpips.normalize_tensor(features)

    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(4):  # the first warms up
        for name, run in (("ours", lambda: metrics.lpips_embedding(images)), ("theirs", theirs)):
            start = time.perf_counter()
            run()
            rates[name].append(len(images) / (time.perf_counter() - start))
    best = {name: max(found[1:]) for name, found in rates.items()}
    print(
        f"  embedded: {best['ours']:,.0f} images/s, PyTorch {best['theirs']:,.0f}; "
        f"ours is {best['ours'] / best['theirs']:.2f} times as fast"
    )


def all_pairs(images: np.ndarray) -> np.ndarray:
    embedding = metrics.lpips_embedding(images)
    neighbors.search(embedding, embedding, exclude_self=True, squared=True)
    return embedding


def pytorch_lpips() -> Any:
    """PyPI's `lpips` (AlexNet) with our weights; torchvision, which it imports for its trunk, is stubbed."""
    import torch

    def alexnet(**_: object) -> Any:
        layers: list[torch.nn.Module] = []
        channels = 3
        for width, kernel, stride, padding, pool in (
            (64, 11, 4, 2, True),
            (192, 5, 1, 2, True),
            (384, 3, 1, 1, False),
            (256, 3, 1, 1, False),
            (256, 3, 1, 1, True),
        ):
            layers += [torch.nn.Conv2d(channels, width, kernel, stride, padding), torch.nn.ReLU(True)]
            layers += [torch.nn.MaxPool2d(3, 2)] if pool else []
            channels = width
        return types.SimpleNamespace(features=torch.nn.Sequential(*layers))

    models: Any = types.ModuleType("torchvision.models")
    vision: Any = types.ModuleType("torchvision")
    models.alexnet, vision.models = alexnet, models
    stubs = {"torchvision": vision, "torchvision.models": models}
    stubs = {name: stub for name, stub in stubs.items() if name not in sys.modules}
    sys.modules |= stubs
    import lpips

    for name in stubs:  # others ask whether there is a torchvision, and there is none
        del sys.modules[name]

    model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    convolutions = [m for m in model.net.modules() if isinstance(m, torch.nn.Conv2d)]
    with np.load(weights_path(), allow_pickle=False) as arrays, torch.no_grad():
        for layer, convolution in enumerate(convolutions):
            kernel = arrays[f"trunk/{layer}/kernel"].transpose(3, 2, 0, 1)
            convolution.weight.copy_(torch.from_numpy(kernel.copy()))
            convolution.bias.copy_(torch.from_numpy(arrays[f"trunk/{layer}/bias"]))
            head = getattr(model, f"lin{layer}").model[-1].weight.flatten().numpy()
            assert (head == arrays[f"head/{layer}"]).all()
    return model


if __name__ == "__main__":
    main()
