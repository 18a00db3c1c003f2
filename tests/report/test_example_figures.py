import numpy as np
import pytest

from memgen_jax.report import example_figures as figures
from memgen_jax.report import style

RANDOM = np.random.default_rng(0)


def target(side=8, channels=1, in_train=4, in_synthetic=4):
    def images(*shape):
        return RANDOM.integers(0, 256, (*shape, side, side, channels)).astype(np.uint8)

    return figures.Target(
        images(),
        images(in_train),
        np.sort(RANDOM.uniform(0.1, 9, in_train)),
        images(in_synthetic),
        np.sort(RANDOM.uniform(0.1, 9, in_synthetic)),
    )


def test_neighbours_in_s_stand_above_those_in_the_synthetic_set_and_nearest_comes_first():
    shown = target()
    (axes,) = figures.examples({"spurious": [shown]}).axes
    sample, *neighbors = axes.images
    np.testing.assert_array_equal(sample.get_array(), style.as_pixels(shown.image))
    expected = [*shown.train_images, *shown.synthetic_images]
    for artist, image in zip(neighbors, expected, strict=True):
        np.testing.assert_array_equal(artist.get_array(), style.as_pixels(image))
    places = np.array([artist.get_extent() for artist in neighbors])
    left, bottom = places[:, 0].reshape(2, 4), places[:, 2].reshape(2, 4)
    assert (np.diff(left, axis=1) >= 1).all()  # side by side
    low, high = axes.get_ylim()
    assert low > high and (bottom[0] < bottom[1]).all()  # the axis points down


def test_images_fill_a_square_without_smoothing_and_keep_their_shape():
    wide = np.zeros((4, 8, 3), np.uint8)
    shown = figures.Target(wide, wide[None], np.array([1.0]), wide[None], np.array([1.0]))
    figure = figures.examples({"memorized": [shown]})
    (axes,) = figure.axes
    for artist in axes.images:
        left, right, bottom, top = artist.get_extent()
        assert right - left == pytest.approx(1.0) and bottom - top == pytest.approx(0.5)
        assert artist.get_interpolation() == "nearest"
    box = axes.get_position()
    across = box.width * figure.get_figwidth() / np.ptp(axes.get_xlim())
    down = box.height * figure.get_figheight() / np.ptp(axes.get_ylim())
    assert across == pytest.approx(down)


def test_a_small_training_set_shows_fewer_neighbours():
    (axes,) = figures.examples({"memorized": [target(in_train=2)]}).axes
    assert len(axes.images) == 1 + 2 + 4


def test_phases_stand_in_columns_with_their_size_and_an_empty_one_says_so():
    groups = {"memorized": [target(64, 3), target(64, 3)], "spurious": [], "generalized": [target()]}
    figure = figures.examples(groups, {"memorized": 64, "generalized": 1437})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["memorized, K = 64", "spurious", "generalized, K = 1,437"]
    assert [len(axes.images) for axes in figure.axes] == [18, 0, 9]
    assert [text.get_text() for text in figure.axes[1].texts] == ["no such sample"]


@pytest.mark.parametrize(
    "distance, text",
    [(0.0312, "0.031"), (0.2, "0.20"), (2.75, "2.8"), (12.3, "12"), (0.0, "0"), (104.0, "104")],
)
def test_distances_are_written_short(distance, text):
    image = np.zeros((8, 8, 1), np.uint8)
    none, nothing = np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0)
    (axes,) = figures.examples(
        {"memorized": [figures.Target(image, image[None], np.array([distance]), none, nothing)]}
    ).axes
    assert text in [item.get_text() for item in axes.texts]
