"""Distances up to a mirror, a shift, a turn, a brightness, against every version by brute force."""

import numpy as np
import pytest

from memgen_jax import audit, load, metrics
from memgen_jax.errors import InputError
from memgen_jax.metrics.orbit import shifted, tilted


def brute_force(first, versions):
    """[item, other] least L2 in [-1, 1] over all the versions that the others are given in."""
    apart = [
        np.linalg.norm((first[:, None].astype(float) - b[None]).reshape(len(first), len(b), -1), axis=2)
        for b in versions
    ]
    return np.min(apart, axis=0) / 127.5


def test_the_versions_are_all_combinations_and_the_first_is_the_image():
    images = load("digits").train[:5]
    orbit = metrics.parse_orbit("flip, shift=1,rotate,brightness=0.2")
    versions = list(orbit.versions(images))
    assert len(versions) == len(orbit) == 2 * 9 * 4 * 5
    np.testing.assert_array_equal(versions[0], images)
    for wanted in (images[:, :, ::-1], np.rot90(images, 1, (1, 2)), shifted(images, 1, -1)):
        assert any(np.array_equal(wanted, version) for version in versions)


def test_a_shift_moves_by_pixels_and_repeats_the_edge():
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(shifted(image, 1, 0)[0, ..., 0], [[0, 1, 2], [0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(shifted(image, 0, -1)[0, ..., 0], [[1, 2, 2], [4, 5, 5], [7, 8, 8]])


@pytest.mark.parametrize(("angle", "part"), [(0.0, 0.8), (5.0, 1.0), (-30.0, 0.6)])
def test_a_slope_that_is_turned_and_zoomed_is_a_slope_turned_and_zoomed(angle, part):
    """Bicubic interpolation leaves linear functions as they are, so the values are known; away from the edges."""
    side = 24
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    image = (120.5 + 3 * x + 2 * y).astype(np.uint8)[None, ..., None]
    turn = np.deg2rad(angle)
    from_x, from_y = (
        part * (np.cos(turn) * x - np.sin(turn) * y),
        part * (np.sin(turn) * x + np.cos(turn) * y),
    )
    expected = 120.5 + 3 * from_x + 2 * from_y
    inside = np.maximum(abs(from_x), abs(from_y)) < side / 2 - 3
    made = tilted(image, angle, part)[0, ..., 0].astype(float)
    assert inside.sum() > 200 and np.abs(made - expected)[inside].max() <= 1


def test_a_turn_by_90_degrees_and_a_tilt_by_90_are_the_same():
    images = load("digits").train[:3]
    np.testing.assert_array_equal(tilted(images, 90, 1.0), np.rot90(images, 1, (1, 2)))


@pytest.mark.parametrize(
    ("text", "count"), [("tilt", 5), ("tilt=6", 7), ("zoom", 3), ("zoom=0.93", 3), ("tilt,zoom", 15)]
)
def test_tilts_and_zooms_go_in_steps_to_what_is_asked(text, count):
    assert len(metrics.parse_orbit(text)) == count


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("up_to", ["flip", "shift=1", "flip,rotate,brightness=0.1"])
def test_the_nearest_by_the_least_distance_are_found_exactly(up_to, k):
    images = load("digits").train
    first, second = images[:40], images[40:160]
    metric, orbit = metrics.make_metric("l2", (8, 8, 1)), metrics.parse_orbit(up_to)
    found = metrics.least_search(metric, orbit, metric.vectors(first), second, metric.vectors(second), k=k)
    expected = brute_force(first, list(orbit.versions(second)))
    np.testing.assert_allclose(found.distance, np.sort(expected, axis=1)[:, :k], rtol=1e-6)
    np.testing.assert_array_equal(found.index, np.argsort(expected, axis=1, kind="stable")[:, :k])


def test_an_item_is_no_neighbour_of_itself_in_any_version():
    images = load("digits").train[:50]
    metric, orbit = metrics.make_metric("l2", (8, 8, 1)), metrics.parse_orbit("flip")
    rows = metric.vectors(images)
    found = metrics.least_search(metric, orbit, rows, images, rows, exclude_self=True)
    expected = brute_force(images, list(orbit.versions(images)))
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_allclose(found.distance[:, 0], expected.min(axis=1), rtol=1e-6)


ALTERED = {
    "flip": lambda x: x[:, :, ::-1],
    "shift=2": lambda x: shifted(x, -2, 1),
    "rotate": lambda x: np.rot90(x, 3, (1, 2)),
    "brightness": lambda x: (x * 0.8).round().astype(np.uint8),
}


@pytest.mark.parametrize("up_to", list(ALTERED))
def test_copies_altered_in_that_way_are_found_and_honest_samples_keep_the_promised_rate(up_to):
    data = load("digits")
    train, unseen = data.train[:700], data.train[700:1100]
    honest, planted = np.concatenate([data.train[1100:], data.held_out]), ALTERED[up_to](train[:100])
    samples = np.concatenate([planted, honest])
    result = audit.audit_arrays(train, samples, unseen, up_to=up_to, skip_duplicates_check=True)
    found = result.labels == 0
    assert found[:100].mean() >= 0.9
    assert found[100:].mean() <= 0.03  # 1% asked, of about 700, and the chance of the calibration
    plain = audit.audit_arrays(train, samples, unseen, skip_duplicates_check=True)
    assert (plain.labels == 0)[:100].mean() < 0.9


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mirror", "'mirror' is not one of flip"),
        ("", "'' is not one of"),
        ("shift", "'shift' is not one of"),
        ("shift=0", "1 pixel or more"),
        ("shift=-1", "is not one of"),
        ("flip,flip", "names flip twice"),
        ("brightness=2", "must be in"),
        ("zoom=1.2", "must be in 0.5..0.95"),
        ("tilt=90", "must be in 0.5..45.0"),
    ],
)
def test_what_is_no_version_is_said(text, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        metrics.parse_orbit(text)
    assert caught.value.field == "up_to"


def test_items_that_have_no_such_versions_are_refused():
    for text, shape, sentence in (
        ("flip", (7,), "these items are vectors"),
        ("rotate", (8, 6, 1), "needs square images"),
        ("shift=4", (8, 8, 1), "half of 8×8 images"),
    ):
        with pytest.raises(InputError, match=sentence):
            metrics.parse_orbit(text).require_shape(shape)
    with pytest.raises(InputError, match="makes all distances smaller"):
        audit.audit_arrays(*[np.zeros((3, 28, 28, 1), np.uint8)] * 2, up_to="flip", thresholds="mnist")


@pytest.mark.parametrize("k", [1, 3])
def test_versions_made_a_few_references_at_a_time_give_the_same_neighbours(k):
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 6, 1), dtype=np.uint8)
    metric, orbit = metrics.make_metric("l2", (6, 6, 1)), metrics.parse_orbit("flip,shift=1")
    rows = metric.vectors(images)
    whole, few = (
        metrics.least_search(metric, orbit, rows, images, rows, k=k, exclude_self=True, memory=memory)
        for memory in (None, 8 * 7 * images[0].nbytes)
    )
    np.testing.assert_array_equal(few.index, whole.index)
    np.testing.assert_array_equal(few.distance, whole.distance)
