"""LPIPS against numbers from PyPI's `lpips` 0.1.4 (PyTorch 2.13), and against its own definition.

What needs the weights is left out where they have not been fetched; the same formula with random weights,
against PyTorch's convolutions, is tested everywhere.
"""

import resource

import jax
import numpy as np
import pytest

from memgen_jax import metrics
from memgen_jax.errors import InputError
from memgen_jax.metrics import lpips as module
from memgen_jax.metrics import lpips_distance, lpips_embedding
from memgen_jax.metrics.lpips import LAYERS, SCALE, SHIFT
from memgen_jax.metrics.weights import Head
from memgen_jax.neighbors import search

needs_weights = pytest.mark.skipif(
    not metrics.weights_path().is_file(), reason="no LPIPS weights; run `memgen fetch-weights`"
)

# Three pairs a row; 28 pixels resized to 32 by interpolation on both sides.
REFERENCE = {
    ("random", 28): (0.099887066, 0.050886706, 0.075794399),
    ("random", 32): (0.081394918, 0.057654340, 0.058735855),
    ("random", 64): (0.138819531, 0.110296808, 0.105888382),
    ("random", 128): (0.184626698, 0.176988065, 0.154333621),
    ("random", 256): (0.202125862, 0.209775597, 0.197293609),
    ("real", 28): (0.366196841, 0.393944949, 0.688837111),
    ("real", 32): (0.363506258, 0.413369715, 0.685573339),
    ("real", 64): (0.570750117, 0.755978107, 0.910387874),
    ("real", 128): (0.808206320, 0.802992821, 0.931383133),
    ("real", 256): (0.880976140, 0.866564512, 1.078991771),
}


def pairs(kind, side):
    """Two stacks of three images: noise, or places in the two photographs of scikit-learn."""
    if kind == "random":
        return np.random.default_rng(side).integers(0, 256, (2, 3, side, side, 3), dtype=np.uint8)
    from sklearn.datasets import load_sample_images

    places = ((20, 30), (120, 200), (150, 330))
    return np.stack(
        [
            [photo[top : top + side, left : left + side] for top, left in places]
            for photo in load_sample_images().images
        ]
    )


@needs_weights
@pytest.mark.parametrize(("kind", "side"), list(REFERENCE))
def test_lpips_equals_the_pytorch_package(kind, side):
    found = lpips_distance(*pairs(kind, side), resize="bilinear")
    np.testing.assert_allclose(found, REFERENCE[kind, side], atol=1e-5)


def random_weights():
    """He-normal kernels, small biases, heads of which about half the channels weigh nothing."""
    rng = np.random.default_rng(0)
    trunk, heads, channels = {}, [], 3
    for layer, (width, kernel, _, _) in enumerate(LAYERS):
        shape = (kernel, kernel, channels, width)
        deviation = (2 / (kernel * kernel * channels)) ** 0.5
        trunk[f"Conv_{layer}"] = {
            "kernel": rng.normal(0, deviation, shape).astype(np.float32),
            "bias": rng.normal(0, 0.1, width).astype(np.float32),
        }
        weight = rng.uniform(-1, 1, width).astype(np.float32)
        channel = np.flatnonzero(weight > 0)
        heads.append(Head(weight[channel], channel))
        channels = width
    return {"trunk": trunk, "heads": heads}


def pytorch_formula(weights, images, resize):
    """LPIPS of two stacks of uint8 images as Zhang et al. 2018 write it, in PyTorch; never as an embedding."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = torch.from_numpy(np.moveaxis(np.concatenate(images), -1, 1).copy()) / np.float32(127.5) - 1
    if x.shape[-1] < 32:
        x = functional.interpolate(x, size=(32, 32), mode=resize.replace("_", "-"))
    x = (x - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[:, None, None]
    total = torch.zeros(len(images[0]))
    for layer, (_, _, stride, padding) in enumerate(LAYERS):
        if layer in (1, 2):
            x = functional.max_pool2d(x, 3, 2)
        stored = weights["trunk"][f"Conv_{layer}"]
        kernel = torch.from_numpy(stored["kernel"].transpose(3, 2, 0, 1).copy())
        x = functional.conv2d(x, kernel, torch.from_numpy(stored["bias"]), stride, padding).relu()
        unit = x / ((x**2).sum(1, keepdim=True).sqrt() + 1e-10)
        first, second = unit.chunk(2)
        head = torch.zeros(x.shape[1])
        head[weights["heads"][layer].channel] = torch.from_numpy(weights["heads"][layer].weight)
        total += ((first - second) ** 2 * head[:, None, None]).sum(1).mean((1, 2))
    return total.numpy()


# `pytorch_formula` in PyTorch 2.13. Nearest-exact is how the code of Pham et al. 2025 resizes (torchvision's).
WITH_RANDOM_WEIGHTS = {
    ("random", 28, "bilinear"): (0.429928482, 0.448005021, 0.469035298),
    ("random", 28, "nearest_exact"): (0.491209418, 0.481923103, 0.494344026),
    ("random", 64, "nearest_exact"): (0.512553453, 0.482832313, 0.502423525),
    ("real", 28, "bilinear"): (1.155085683, 0.808792531, 0.709896863),
    ("real", 28, "nearest_exact"): (1.154313684, 0.787638843, 0.713194489),
    ("real", 32, "bilinear"): (1.157723308, 0.776158929, 0.673561394),
    ("real", 32, "nearest_exact"): (1.157723308, 0.776158929, 0.673561394),
}


@pytest.mark.parametrize(("kind", "side", "resize"), list(WITH_RANDOM_WEIGHTS))
def test_the_formula_with_random_weights_equals_pytorchs(kind, side, resize):
    embed = jax.jit(jax.vmap(lambda image: metrics.embed_picture(random_weights(), image, resize)))
    first, second = (np.asarray(embed(stack)) for stack in pairs(kind, side))
    found = ((first - second) ** 2).sum(1)
    np.testing.assert_allclose(found, WITH_RANDOM_WEIGHTS[kind, side, resize], atol=1e-5)


@pytest.mark.parametrize(("kind", "side", "resize"), list(WITH_RANDOM_WEIGHTS))
def test_the_numbers_for_random_weights_are_pytorchs_where_that_is_installed(kind, side, resize):
    expected = pytorch_formula(random_weights(), pairs(kind, side), resize)
    np.testing.assert_allclose(WITH_RANDOM_WEIGHTS[kind, side, resize], expected, atol=1e-6)


def test_the_resize_of_the_papers_code_is_the_default_and_the_other_has_a_name(monkeypatch):
    monkeypatch.setattr(module, "load_weights", random_weights)
    images = pairs("real", 28)
    by_name = {name: metrics.make_metric(name, (28, 28, 3)) for name in ("lpips", "lpips_bilinear")}
    for name, resize in (("lpips", "nearest_exact"), ("lpips_bilinear", "bilinear")):
        first, second = (by_name[name].vectors(stack) for stack in images)
        expected = WITH_RANDOM_WEIGHTS["real", 28, resize]
        np.testing.assert_allclose(((first - second) ** 2).sum(1), expected, atol=1e-5)
        between = by_name[name].between(lambda picture: picture)
        one, other = (jax.numpy.asarray(stack[0]) for stack in images)
        np.testing.assert_allclose(between(one, other), expected[0], atol=1e-5)
    with pytest.raises(InputError, match="resize='cubic' must be one of nearest_exact, bilinear"):
        lpips_embedding(images[0], resize="cubic")


@needs_weights
def test_all_pairs_through_embeddings_equal_the_pairs_one_by_one():
    first, second = pairs("real", 32)
    found = search(lpips_embedding(first), lpips_embedding(second), k=3, squared=True)
    for row in range(3):
        one_by_one = lpips_distance(first[[row] * 3], second[found.index[row]])
        np.testing.assert_allclose(found.distance[row], one_by_one, atol=1e-5)


@needs_weights
def test_the_search_in_bfloat16_gives_the_same_neighbours():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    embedding = lpips_embedding(images)
    exact = search(embedding, embedding, k=2, exclude_self=True, squared=True)
    rounded = search(embedding, embedding, k=2, exclude_self=True, squared=True, dtype="bfloat16")
    np.testing.assert_array_equal(rounded.index, exact.index)
    np.testing.assert_array_equal(rounded.distance, exact.distance)


@needs_weights
def test_an_image_is_at_distance_zero_of_itself_as_uint8_as_float_and_as_grey():
    images = pairs("real", 32)[0]
    decoded = (images / 127.5 - 1).astype(np.float32)
    assert lpips_distance(images, decoded).max() < 1e-6
    grey = images[..., :1]
    tripled = np.repeat(grey, 3, axis=-1)
    np.testing.assert_allclose(lpips_embedding(grey), lpips_embedding(tripled), atol=1e-6)


@needs_weights
def test_the_embedding_does_not_depend_on_the_batch_and_may_lie_in_a_file(monkeypatch):
    images = pairs("random", 32)[0]
    whole = lpips_embedding(images)
    assert whole.shape == (3, 3_490)
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    in_file = lpips_embedding(images, batch=1)
    assert isinstance(in_file, np.memmap)
    np.testing.assert_allclose(in_file, whole, atol=1e-6)


@needs_weights
def test_batches_made_beside_each_other_are_those_made_alone(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (39, 32, 32, 3), dtype=np.uint8)
    beside = lpips_embedding(images, batch=4)
    monkeypatch.setattr(module, "MOST_AT_ONCE", 1)
    np.testing.assert_array_equal(lpips_embedding(images, batch=4), beside)
    np.testing.assert_allclose(lpips_embedding(images, memory=2**20), beside, atol=1e-6)


def test_embeddings_that_find_no_room_on_the_disk_are_refused_before_they_are_made():
    room = module.make_room((3, 1000), np.dtype("float16"), 0)
    room[2] = 7
    np.testing.assert_array_equal(room.sum(axis=1), [0, 0, 7000])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"3 items of 1000 take 0.0 GB, .* no room in .* TMPDIR"):
            module.make_room((3, 1000), np.dtype("float16"), 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((2, 27, 40, 3), np.uint8, "at least 28 pixels"),
        ((2, 32, 32, 4), np.uint8, "1 or 3 channels"),
        ((0, 32, 32, 3), np.uint8, "no image"),
    ],
)
def test_images_that_lpips_cannot_see_are_refused(shape, dtype, words):
    with pytest.raises(InputError, match=words):
        lpips_embedding(np.zeros(shape, dtype))


def test_floats_outside_the_stated_range_are_refused():
    with pytest.raises(InputError, match=r"\[-1, 1\]"):
        lpips_embedding(np.full((1, 32, 32, 3), 255.0, np.float32))


@needs_weights
@pytest.mark.parametrize(("kind", "side"), list(REFERENCE))
def test_lpips_equals_the_pytorch_package_where_that_is_installed(kind, side):
    torch = pytest.importorskip("torch")
    benchmark = pytest.importorskip("benchmarks.lpips")
    first, second = pairs(kind, side)
    images = [torch.from_numpy(np.moveaxis(x, -1, 1) / np.float32(127.5) - 1) for x in (first, second)]
    if side < 32:
        images = [torch.nn.functional.interpolate(x, size=(32, 32), mode="bilinear") for x in images]
    try:
        model = benchmark.pytorch_lpips()
    except ImportError:
        pytest.skip("lpips is not installed")
    with torch.no_grad():
        expected = model(*images).flatten().numpy()
    np.testing.assert_allclose(lpips_distance(first, second, resize="bilinear"), expected, atol=1e-5)
