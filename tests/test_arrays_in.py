import numpy as np
import pytest

import memgen_jax
from memgen_jax import diffusion, memory, neighbors, onset, phases, statistics
from memgen_jax.arrays_in import as_array
from memgen_jax.errors import InputError
from memgen_jax.neighbors import scales

TRAIN, OTHER = [0.2, 5.0, 5.0], [4.0, 0.1, 4.0]
EXPECTED = [phases.MEMORIZED, phases.SPURIOUS, phases.GENERALIZED]


class Tensor:
    """A torch tensor as far as it is looked at: on the CPU it gives its numbers once detached."""

    def __init__(self, values, device="cpu"):
        self._values, self.device = (
            np.asarray(values),
            type("Device", (), {"type": device, "__str__": lambda s: device})(),
        )

    def detach(self):
        return self

    def numpy(self):
        return self._values

    def __array__(self, *arguments, **options):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


@pytest.mark.parametrize(
    "kind", [list, tuple, np.array, lambda x: np.array(x)[:, None], lambda x: [[v] for v in x], Tensor]
)
def test_one_number_a_sample_may_come_as_a_list_a_column_or_a_tensor(kind):
    assert phases.classify(kind(TRAIN), kind(OTHER), 1.0, 0.5).tolist() == EXPECTED


def test_pandas_columns_are_taken():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"near": TRAIN, "other": OTHER})
    assert phases.classify(frame["near"], frame["other"], 1.0, 0.5).tolist() == EXPECTED
    assert phases.classify(frame[["near"]], frame["other"], 1.0, 0.5).tolist() == EXPECTED


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([["a"], ["b"]], "not an array of numbers"),
        ([[1.0], [1.0, 2.0]], "cannot be read as an array"),
        (Tensor(TRAIN, "cuda:0"), r"is a tensor on cuda:0: give train_distance\.cpu\(\)"),
        (np.ones((3, 4)), r"has shape \(3, 4\), and \[sample\] is wanted"),
        ({"a": 1}, "not an array of numbers"),
    ],
)
def test_what_is_no_array_is_refused_by_the_arguments_name(value, words):
    with pytest.raises(InputError, match=f"train_distance .*{words}|train_distance {words}"):
        phases.classify(value, OTHER, 1.0, 0.5)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], "is empty"),
        ([0, 3], "holds 3"),
        ([-1], "holds -1"),
        ([0.5], "whole"),
        ([0, float("nan")], "whole"),
    ],
)
def test_labels_that_are_none_are_refused(labels, words):
    with pytest.raises(InputError, match=words):
        phases.fractions(labels, 4, 1.0, 1.0)


def test_the_inner_list_of_one_replicate_may_be_left_out():
    labels = [np.zeros(20, int), np.full(20, 2)]
    found = phases.critical_sizes([4, 16], labels, resamples=10)
    assert found == phases.critical_sizes([4, 16], [[one] for one in labels], resamples=10)
    assert found == phases.critical_sizes(
        np.array([[4], [16]]), [own.tolist() for own in labels], resamples=10
    )


@pytest.mark.parametrize(
    ("labels", "words"),
    [([[], [0]], "labels.0. holds no labels"), ([[[0, 7]], [0]], "holds 7"), ([[0]], "2 sizes")],
)
def test_labels_of_sizes_are_checked_one_by_one(labels, words):
    with pytest.raises(InputError, match=words):
        phases.critical_sizes([4, 16], labels)


def test_pixels_beside_floats_are_refused_wherever_items_meet():
    pixels = np.arange(32, dtype=np.uint8).reshape(4, 8) * 8
    floats = pixels.astype(np.float32) / 127.5 - 1
    for meet in (
        lambda: neighbors.search(floats, pixels),
        lambda: neighbors.search(pixels, floats),
        lambda: neighbors.count_within(floats, pixels, 1.0),
        lambda: onset.compare(floats, pixels, floats),
        lambda: memgen_jax.audit_sets({2: pixels}, floats),
    ):
        with pytest.raises(InputError, match=r"uint8|vectors must be floats"):
            meet()


def test_search_takes_lists():
    found = memgen_jax.search([[3.0, 3.0]], [[0, 0], [3, 4]])
    assert found.index.tolist() == [[1]] and found.distance.tolist() == [[1.0]]


def test_an_array_passes_untouched():
    array = np.arange(3.0)
    assert as_array("x", array) is array


def test_functions_and_sequences_of_arrays_are_left_as_they_are():
    real = np.arange(1.0, 400.0)
    found = phases.held_out_rate(list(real), lambda items: real[items], len(real), len(real), 0.01)
    assert found.delta_m > 0


class Unreadable(Tensor):
    """One of a type that NumPy lacks."""

    def numpy(self):
        raise TypeError("Got unsupported ScalarType BFloat16")


def test_masked_numbers_and_tensors_that_numpy_cannot_hold_are_refused():
    masked = np.ma.masked_array(TRAIN, [True, False, False])
    with pytest.raises(InputError, match="train_distance has masked numbers"):
        phases.classify(masked, OTHER, 1.0, 0.5)
    assert phases.classify(np.ma.masked_array(TRAIN), OTHER, 1.0, 0.5).tolist() == EXPECTED
    with pytest.raises(InputError, match=r"train_distance cannot be read as an array .*BFloat16"):
        phases.classify(Unreadable(TRAIN), OTHER, 1.0, 0.5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: phases.classify(TRAIN, OTHER, "1.0", 0.5), "delta_m='1.0' is not a number"),
        (lambda: phases.classify(TRAIN, OTHER, np.ones(2), 0.5), "delta_m=.* is not a number"),
        (lambda: phases.classify(TRAIN, OTHER, None, 0.5), "delta_m=None is not a number"),
        (lambda: phases.classify(None, OTHER, 1.0, 0.5), "train_distance is None"),
        (lambda: phases.held_out(TRAIN, OTHER, "1%"), "false_positive_rate='1%' is not a number"),
        (lambda: neighbors.search(np.eye(3), np.eye(3), k=1.5), r"k=1\.5 is not a whole number"),
    ],
)
def test_what_is_no_number_is_refused_by_the_arguments_name(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_data_are_loaded_by_a_path_too(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    assert memgen_jax.load(tmp_path / "a.npy").train.shape == (3, 3)


DIGITS = memgen_jax.load("digits")


@pytest.mark.parametrize(
    "kind",
    [
        lambda items: items.tolist(),
        lambda items: items[..., 0],
        lambda items: Tensor(np.moveaxis(items, -1, 1) / np.float32(255)),
        lambda items: items.astype(np.int64),
    ],
)
def test_images_at_hand_are_taken_as_those_in_files_are(kind):
    train, samples = DIGITS.train[:40], DIGITS.train[:20]
    found = memgen_jax.audit_arrays(kind(train), kind(samples), delta_m=0.1, delta_s=0.1)
    assert found.summary["memorized"] == 1.0
    sets = {4: kind(np.repeat(train[:4], 9, axis=0)), "8": kind(DIGITS.train[900:930])}
    found = memgen_jax.audit_sets(sets.items(), DIGITS.train, DIGITS.held_out)
    assert [(row.num_train, row.memorized) for row in found.fractions] == [(4, 1.0), (8, 0.0)]


@pytest.mark.parametrize(
    ("sets", "more", "words"),
    [
        ({}, {}, "sets is empty"),
        ({"K=4": DIGITS.train[:9]}, {}, "by whole numbers K"),
        ({4.5: DIGITS.train[:9]}, {}, "by whole numbers K"),
        ([DIGITS.train[:9]], {}, "by whole numbers K"),
        (7, {}, "by whole numbers K"),
        ([(4, DIGITS.train[:9]), (4, DIGITS.train[:9])], {}, "names a size K twice"),
        ({4: DIGITS.train[:9]}, {"rule": "given"}, "needs delta_m and delta_s"),
        ({4: DIGITS.train[:60]}, {"rule": "valley"}, "give held_out items that no network has seen"),
    ],
)
def test_sets_that_name_no_sizes_and_rules_that_cannot_work_are_refused(sets, more, words):
    with pytest.raises(InputError, match=words):
        memgen_jax.audit_sets(sets, DIGITS.train, DIGITS.held_out if "rule" not in more else None, **more)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: phases.classify(0.1, 0.2, 0.5, 0.5), r"train_distance=0\.1 is one number"),
        (
            lambda: phases.classify([-0.1], [0.2], 0.5, 0.5),
            r"train_distance holds -0\.1 at place 0, and a distance is 0 or more",
        ),
        (lambda: phases.fractions([0, 1], -10, 1.0, 1.0), "num_train=-10 must be at least 1"),
        (lambda: phases.critical_sizes([2, 4], [[0], [2]], resamples=0), "resamples=0 must be at least 1"),
        (lambda: phases.critical_sizes([-2, 2], [[0], [2]]), "must be numbers of training items, at least 1"),
        (lambda: phases.critical_sizes([2, 4], 3), "labels is int"),
        (lambda: phases.critical_from_shares([2, 4], "ab"), "shares is str, and a list is wanted"),
        (lambda: phases.half_crossing([], [], [], True), "num_train is empty"),
        (lambda: phases.copies_by_ratio([1, 2, 3], [1, 2]), "first has 3, second has 2"),
        (lambda: phases.paper([], "l2"), "name is list, and str is wanted"),
        (lambda: phases.given("a", 1.0), "delta_m='a' is not a number"),
        (lambda: phases.fewest_held_out(float("nan")), "false_positive_rate=nan must be in"),
        (
            lambda: statistics.auth_pct([0.1, 0.2], [0, 9], [0.1, 0.2]),
            "train_index holds 0 to 9, and there are 2",
        ),
        (lambda: statistics.auth_pct([], [], [0.1]), "train_distance has 0 entries"),
        (lambda: statistics.wilson_interval("a", 2), "successes='a' is not a number"),
        (lambda: statistics.student_interval([1.0, 2.0], 2), "outside"),
        (lambda: statistics.difference(3, 3), "first is int, and Interval is wanted"),
        (lambda: statistics.mean_share([]), "shares is empty"),
        (lambda: statistics.mean_share("a"), "shares is str, and a list is wanted"),
        (lambda: statistics.mean_share([3]), r"shares\[0\] is int, and Share is wanted"),
        (lambda: statistics.powers_of_two(float("nan")), "largest=nan is not a whole number"),
        (lambda: statistics.holm(3), "p=3 is one number"),
        (lambda: statistics.dip_test([]), "sample is empty"),
        (lambda: statistics.trend_test([1.0, 2.0, 3.0], [0, 1]), "values has 3, groups has 2"),
        (lambda: memgen_jax.mlp(3), "item_shape=3 must be a tuple of whole numbers"),
        (lambda: memgen_jax.mlp((2,), width="a"), "width='a' is not a number"),
        (lambda: memgen_jax.unet((8.5, 8, 1)), "item_shape=.* must be a tuple of whole numbers"),
        (lambda: memgen_jax.exact_denoiser([[0.0, 0.0]], 3), "process is int, and Process is wanted"),
        (lambda: memgen_jax.exact_denoiser([], diffusion.DDPM()), "holds num_patterns=0 patterns"),
        (lambda: memgen_jax.exact_denoiser([["a"]], diffusion.DDPM()), "patterns is .*numbers"),
        (lambda: memory.energy_am([0.0], [[0.0]], "a"), "beta is str"),
        (
            lambda: memgen_jax.exact_denoiser([[0.0]], diffusion.DDPM())([0.0, 1.0], 1),
            r"x has shape \(2,\), 2 numbers, and each pattern 1",
        ),
    ],
)
def test_what_no_function_can_answer_is_refused_in_one_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_the_exact_denoiser_takes_lists():
    denoiser = memgen_jax.exact_denoiser([[0.0, 0.0], [1.0, 1.0]], diffusion.DDPM())
    np.testing.assert_allclose(denoiser([0.99, 1.02], 1), [1.0, 1.0], atol=1e-6)


def test_two_scales_of_pictures_are_told_by_what_floats_hold():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (5, 4, 4)).astype(np.float32)
    unit = pixels / 127.5 - 1
    for pair in ((unit, pixels), (pixels, unit)):
        with pytest.raises(InputError, match=r"lies within \[-1, 1\] and .* holds whole numbers up to 2\d\d"):
            neighbors.search(*pair)
    with pytest.raises(InputError, match="bring both to one scale"):
        neighbors.count_within(unit, pixels, 1.0)


def test_honest_vectors_are_not_taken_for_pictures_of_two_scales():
    random = np.random.default_rng(0)
    small = random.uniform(-1, 1, (8, 16)).astype(np.float32)
    for other in (
        100 * small,  # far off, not whole
        np.rint(90 * np.abs(small)),  # counts that stay below 100
        np.rint(1000 * np.abs(small)),  # counts beyond 255
        np.rint(200 * small),  # whole, of both signs
    ):
        neighbors.search(small, other.astype(np.float32))
    pixels = random.integers(0, 256, (8, 16)).astype(np.float32)
    neighbors.search(np.abs(small), pixels)  # dark pictures between whole levels
    neighbors.search(np.sign(small), pixels)  # codes of -1 and 1
    neighbors.search(small[:, :3], pixels[:, :3])  # points
    neighbors.search(small[:1], pixels)  # too few numbers to tell


def test_a_scale_is_told_by_few_numbers_however_long_items_are():
    assert scales._looked_at(np.broadcast_to(np.float32(0), (300, 2**20))).shape == (4, 2**20)
    assert scales._looked_at(np.broadcast_to(np.float32(0), (300, 784))).shape == (256, 784)


class Number(Tensor):
    ndim = 0


def test_a_tensor_with_one_number_is_one_and_true_is_no_whole_number():
    assert phases.classify(TRAIN, OTHER, Number(1.0), 0.5).tolist() == EXPECTED
    with pytest.raises(InputError, match=r"delta_m is a tensor on cuda:0: give delta_m\.cpu\(\)"):
        phases.classify(TRAIN, OTHER, Number(1.0, "cuda:0"), 0.5)
    with pytest.raises(InputError, match="num_real=True is not a whole number"):
        phases.real_sets(True, 2)


def test_an_array_of_a_million_numbers_is_not_read_one_by_one(monkeypatch):
    from memgen_jax import annotations

    values = np.random.default_rng(0).random(1000)
    listed = statistics.student_interval(values.tolist(), 0.95)
    read, asked = annotations.read_number, []
    monkeypatch.setattr(annotations, "read_number", lambda *of: asked.append(of) or read(*of))
    assert statistics.student_interval(values, 0.95) == listed
    assert len(asked) < 10


def test_objects_that_are_numbers_are_taken_and_others_told():
    assert phases.classify(np.array(TRAIN, object), OTHER, 1.0, 0.5).tolist() == EXPECTED
    with pytest.raises(InputError, match="train_distance is ndarray of object"):
        phases.classify(np.array([0.2, None, 5.0], object), OTHER, 1.0, 0.5)


def test_lists_of_pixels_are_a_data_set_but_nothing_to_decode():
    pixels = np.arange(192).reshape(3, 8, 8).tolist()
    assert memgen_jax.data.of_arrays([pixels], "list")[0].values.dtype == np.uint8
    with pytest.raises(InputError, match=r"items holds int64 numbers.*np.uint8"):
        memgen_jax.data.decode(pixels)


@pytest.mark.parametrize("wrong", [[1, 20], [-1, 0.1]])
def test_a_number_outside_0_to_1_is_no_p_value(wrong):
    with pytest.raises(InputError, match="a p-value lies in"):
        statistics.holm(wrong)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"delta_m": 0.1}, "only delta_m is given"),
        ({"rule": "held_out", "delta_m": 5.0, "delta_s": 5.0}, "leave out delta_m and delta_s"),
        ({"false_positive_rate": 0}, "inside"),
        ({"rule": "other"}, "must be one of held_out, valley, given"),
    ],
)
def test_what_cannot_count_in_an_audit_of_sets_is_refused_first(given, words, monkeypatch):
    monkeypatch.setattr(memgen_jax.metrics, "make_metric", None)
    items = np.eye(4)
    with pytest.raises(InputError, match=words):
        memgen_jax.audit_sets({2: items}, items, items, **given)


def test_an_unknown_setting_of_an_audit_is_told_with_the_closest():
    with pytest.raises(InputError, match=r"no setting delta: did you mean .*delta_m"):
        memgen_jax.audit_arrays(np.eye(3), np.eye(3), delta=0.1)
