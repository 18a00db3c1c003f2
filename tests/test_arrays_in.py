import numpy as np
import pytest

import memgen_jax
from memgen_jax import neighbors, onset, phases
from memgen_jax.arrays_in import as_array
from memgen_jax.errors import InputError

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
