"""Labelling again, what is kept where no threshold can be had, and what else an audit can be asked for."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from memgen_jax import audit, cli, load
from memgen_jax.audit.folder import FILES
from memgen_jax.audit.stored import read_compared
from memgen_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("quick_compilation", "undrawn")


@pytest.fixture
def folder(tmp_path):
    """200 training images of noise; 60 samples, of which 20 are training images a little changed."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (200, 6, 6, 1), dtype=np.uint8)
    copies = (train[:20].astype(int) + rng.integers(-3, 4, (20, 6, 6, 1))).clip(0, 255).astype(np.uint8)
    new = rng.integers(0, 256, (40, 6, 6, 1), dtype=np.uint8)
    np.savez(tmp_path / "train.npz", images=train)
    np.savez(tmp_path / "samples.npz", images=np.concatenate([copies, new]))
    return tmp_path


def run(folder, out="out", **more):
    given = {"train": str(folder / "train.npz"), "samples": str(folder / "samples.npz")}
    given = {} if "distances" in more else given
    return audit.run(audit.AuditSettings(out=str(folder / out), **given | more), say=lambda _: None)


def labels(folder, out="out"):
    with (folder / out / "labels.csv").open() as file:
        return list(csv.DictReader(file))


def test_distances_are_labelled_again_as_if_the_sets_had_been_compared_anew(folder):
    run(folder, delta_m=1.0, delta_s=1.0)
    run(folder, "anew", delta_m=5.0, delta_s=4.0, ratio=None)
    run(folder, "again", distances=str(folder / "out"), delta_m=5.0, delta_s=4.0)
    assert (folder / "again/labels.csv").read_bytes() == (folder / "anew/labels.csv").read_bytes()
    first, second = (json.loads((folder / f"{out}/summary.json").read_text()) for out in ("anew", "again"))
    assert first.pop("settings") != second.pop("settings")
    assert first == second


def test_what_was_not_read_is_told_again_when_distances_are_labelled_again(folder):
    (folder / "train").mkdir()
    for i, image in enumerate(np.load(folder / "train.npz")["images"]):
        Image.fromarray(image[..., 0]).save(folder / "train" / f"{i}.png")
    (folder / "train/note.txt").write_text("")
    run(folder, train=str(folder / "train"), delta_m=1.0, delta_s=1.0)
    run(folder, "again", distances=str(folder / "out"), delta_m=5.0, delta_s=4.0)
    assert (folder / "again/skipped.csv").read_text() == "set,item,reason\ntrain,note.txt,.txt: not read\n"
    page = (folder / "again/report.html").read_text()
    assert "train: 1 .txt" in page and "Everything in the given places was read" not in page


def test_without_a_threshold_the_distances_and_a_page_are_kept(folder, tmp_path):
    rng = np.random.default_rng(2)
    run(folder, delta_m=1.0, delta_s=1.0)  # an earlier answer in the same folder
    np.savez(folder / "samples.npz", images=rng.integers(0, 256, (200, 6, 6, 1), dtype=np.uint8))
    with pytest.raises(InputError, match=r"unimodal.*the distances are kept, and memgen audit --distances"):
        run(folder)
    out = folder / "out"
    assert sorted(path.name for path in out.iterdir()) == ["distances.npz", "report.html", "summary.json"]
    assert json.loads((out / "summary.json").read_text())["memorized"] is None
    page = (out / "report.html").read_text()
    assert "No sample is labelled" in page and "data:image/png" in page
    run(folder, "again", distances=str(out / "distances.npz"), delta_m=1.0, delta_s=1.0)
    assert len(labels(folder, "again")) == 200


def test_a_valley_that_makes_copies_of_the_training_items_themselves_is_no_threshold(folder):
    digits = load("digits").train
    noise = np.random.default_rng(0).integers(0, 256, (350, 8, 8, 1), dtype=np.uint8)
    np.savez(folder / "train.npz", images=digits[:700])
    np.savez(folder / "samples.npz", images=np.concatenate([digits[700:1050], noise]))
    with pytest.raises(InputError, match="of the training items themselves"):
        run(folder)


def test_the_nearest_training_items_stand_behind_the_columns_that_are_always_there(folder):
    run(folder, delta_m=1.0, delta_s=1.0)
    plain = labels(folder)
    run(folder, "top", delta_m=1.0, delta_s=1.0, top=3)
    rows = labels(folder, "top")
    extra = ["train_distance_2", "train_item_2", "train_distance_3", "train_item_3"]
    assert list(rows[0]) == [*plain[0], *extra]
    assert [{name: row[name] for name in plain[0]} for row in rows] == plain
    for row in rows:
        near = [float(row[name]) for name in ("train_distance", "train_distance_2", "train_distance_3")]
        assert near == sorted(near) and len({row[f"train_item{end}"] for end in ("", "_2", "_3")}) == 3


def test_a_picture_is_saved_for_every_copy(folder):
    result = run(folder, delta_m=1.0, delta_s=1.0, save_pairs=True)
    pairs = sorted((folder / "out/pairs").iterdir())
    assert len(pairs) == 20 and result.summary["memorized"] == pytest.approx(1 / 3)
    with Image.open(pairs[7]) as picture:
        pixels = np.asarray(picture)
    side = 6 * 22  # the first multiple of six from 128 pixels on
    assert pairs[7].name == "pair-00007.png" and pixels.shape == (side, 2 * side + 8)
    train, samples = (np.load(folder / f"{name}.npz")["images"] for name in ("train", "samples"))
    np.testing.assert_array_equal(pixels[::22, :side:22], samples[7, ..., 0])
    np.testing.assert_array_equal(pixels[::22, side + 8 :: 22], train[7, ..., 0])
    run(folder, delta_m=0.0, delta_s=0.0, save_pairs=True)
    assert not list((folder / "out/pairs").iterdir())


def test_the_search_for_duplicates_can_be_left_out(folder):
    whole = run(folder, delta_m=1.0, delta_s=1.0)
    result = run(folder, "quick", delta_m=1.0, delta_s=1.0, skip_duplicates_check=True)
    np.testing.assert_array_equal(result.labels, whole.labels)
    assert result.summary["train_duplicates"] is None and result.summary["auth_pct"] is None
    assert "not searched for duplicates" in " ".join(result.sentences)
    with pytest.raises(InputError, match="leaves out what tells whether a valley is a threshold"):
        run(folder, "none", skip_duplicates_check=True)


def test_no_distance_depends_on_the_memory(folder):
    most, least = (
        run(folder, f"out{memory}", delta_m=1.0, delta_s=1.0, memory=memory, top=2) for memory in (2.0, 0.001)
    )
    np.testing.assert_array_equal(most.distances.train, least.distances.train)
    np.testing.assert_array_equal(most.distances.synthetic_index, least.distances.synthetic_index)


def test_samples_that_are_the_training_set_have_distances_of_zero_and_a_page(folder):
    images = np.load(folder / "train.npz")["images"]
    np.savez(folder / "train.npz", images=np.concatenate([images, images]))
    np.savez(folder / "samples.npz", images=np.concatenate([images, images]))
    result = run(folder, delta_m=0.0, delta_s=0.0)
    assert result.summary["memorized"] == 1.0 and not result.distances.train.any()


TOLD = {"called": {}, "unread": {}, "shared": [], "remarks": [], "left_out": {}}
SOUND = {
    "train": np.zeros((3, 1)),
    "train_index": np.zeros((3, 1), int),
    "synthetic": np.zeros(3),
    "synthetic_index": np.zeros(3, int),
    **{name: np.array("") for name in ("up_to", "encoder")},
    "metric": np.array("l2"),
    "item_shape": np.array([2]),
    "train_name": np.array(["a"]),
    "sample_name": np.array(["a", "b", "c"]),
    "told": np.array(json.dumps(TOLD)),
    "skipped": np.array([], str).reshape(0, 3),
}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no such file"),
        (b"no zip at all", "is not what an audit wrote"),
        ({"train": np.zeros((3, 1))}, r"is not what an audit wrote \(it has no train_index\)"),
        ({name: SOUND[name] for name in SOUND if name != "metric"}, "it has no metric"),
        (SOUND | {"train": np.array([["a"]])}, r"train is of <U1, 2 axes"),
        (SOUND | {"train": np.zeros((3, 0)), "train_index": np.zeros((3, 0), int)}, "different lengths"),
        (SOUND | {"train": np.zeros((3, 2))}, "different lengths"),
        (SOUND | {"synthetic": np.zeros((3, 1))}, r"synthetic is of float64, 2 axes"),
        (SOUND | {"synthetic_index": np.array([0, 1, 3])}, "items that are not there"),
        (SOUND | {"synthetic_second": np.zeros(2)}, "different lengths"),
        (SOUND | {"equal": np.zeros((3, 1))}, "different lengths"),
        (SOUND | {"unseen": np.array(["a"])}, r"unseen is of <U1"),
        (SOUND | {"unseen": np.zeros(4)}, "one of unseen and real"),
        (SOUND | {"sample_name": np.zeros(3)}, "sample_name is of float64"),
        (SOUND | {"item_shape": np.array([np.inf])}, "item_shape is of float64"),
        (SOUND | {"told": np.array("[1]")}, "told has other names"),
        (SOUND | {"told": np.array(json.dumps(TOLD | {"memorized": 0.5}))}, "told has other names"),
        (SOUND | {"told": np.array(json.dumps(TOLD | {"remarks": 3}))}, "told holds other values"),
        (SOUND | {"told": np.array("[" * 10**5)}, "is not what an audit wrote"),
    ],
)
def test_what_is_no_file_of_distances_is_said(folder, content, sentence):
    file = folder / "given.npz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        np.savez(file, **content)
    with pytest.raises(InputError, match=sentence):
        read_compared(str(file))


def test_a_sound_file_is_read_and_one_with_flipped_bits_is_read_or_said(tmp_path):
    file = tmp_path / "given.npz"
    np.savez(file, **SOUND, unknown=np.zeros(3))
    assert read_compared(str(file)).sample_names == ["a", "b", "c"]
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    said = 0
    for place in rng.choice(len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        try:
            read_compared(str(file))
        except InputError as error:
            said += "is not what an audit wrote" in str(error) and "\n" not in str(error)
    assert said > 100


def test_distances_beside_sets_and_missing_sets_are_refused_first(tmp_path):
    for given, sentence in (
        ({"distances": "d.npz", "train": "t"}, "give one of them"),
        ({"distances": "d.npz", "save_pairs": True}, "no pictures to save"),
        ({"train": "t"}, "samples is missing"),
        ({"distances": "d.npz", "top": 0}, "at least 1"),
        ({"distances": "d.npz", "memory": -1.0}, "a positive number of gigabytes"),
    ):
        with pytest.raises(InputError, match=sentence):
            audit.run(audit.AuditSettings(out=str(tmp_path / "out"), **given), say=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_distances_up_to_a_version_stay_so_when_they_are_labelled_again(folder):
    first = run(folder, delta_m=1.0, delta_s=1.0, up_to="flip")
    again = run(folder, "again", distances=str(folder / "out"), delta_m=1.0, delta_s=1.0)
    assert again.summary["up_to"] == "flip" and again.sentences == first.sentences
    with pytest.raises(InputError, match="makes all distances smaller"):
        run(folder, "paper", distances=str(folder / "out"), thresholds="mnist")


def test_a_second_audit_takes_away_what_the_first_wrote_and_nothing_else(folder):
    out = folder / "out"
    (folder / "train").mkdir()
    for i, image in enumerate(np.load(folder / "train.npz")["images"]):
        Image.fromarray(image[..., 0]).save(folder / "train" / f"{i}.png")
    (folder / "train/note.txt").write_text("")
    run(folder, train=str(folder / "train"), delta_m=1.0, delta_s=1.0, save_pairs=True)
    (out / ".hidden").write_text("")
    assert {path.name for path in out.iterdir()} == {*FILES, "pairs", ".hidden"}
    run(folder, delta_m=1.0, delta_s=1.0)
    assert {path.name for path in out.iterdir()} == {*FILES, ".hidden"} - {"skipped.csv"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "sample,label\na,cat\n"),
        ("summary.json", '{"memorized": 1}'),
        ("report.html", "<p>mine"),
        ("distances.npz", "PK"),
        ("skipped.csv", "name"),
        ("notes.txt", "mine"),
        ("pairs/mine.png", "x"),
        ("samples.npz", "x"),
    ],
)
@pytest.mark.parametrize("audited_before", [False, True])
def test_a_folder_with_anything_that_no_audit_wrote_is_refused_and_left_as_it_is(
    folder, name, content, audited_before
):
    out = folder / "out"
    if audited_before and name != "samples.npz":  # which a pipeline's audit leaves
        run(folder, delta_m=1.0, delta_s=1.0)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text(content)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=f"holds {name}, which no audit wrote"):
        run(folder, delta_m=2.0, delta_s=2.0)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("inside", ["", "/inside", "/deep/inside"])
def test_results_are_not_laid_among_the_images_that_they_are_about(folder, inside):
    (folder / "pictures").mkdir()
    with pytest.raises(InputError, match="which the next audit would read"):
        run(folder, out=f"pictures{inside}", samples=str(folder / "pictures"), delta_m=1.0, delta_s=1.0)
    assert not list((folder / "pictures").iterdir())


def test_the_answer_is_said_when_it_is_kept(folder, monkeypatch):
    def full(*_):
        raise InputError("cannot write", "out")

    monkeypatch.setattr(audit.writing, "replace", full)
    said = []
    settings = audit.AuditSettings(
        train=str(folder / "train.npz"), samples=str(folder / "samples.npz"), out=str(folder / "out"),
        delta_m=1.0, delta_s=1.0,
    )  # fmt: skip
    with pytest.raises(InputError, match="cannot write"):
        audit.run(settings, say=said.append)
    assert not any("copies" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("items", "more", "words"),
    [
        (
            np.zeros((9, 7), np.float32),
            {"save_pairs": True},
            "save_pairs is for images, and train holds vectors",
        ),
        (np.zeros((9, 7), np.float32), {"up_to": "flip"}, "up_to is about images"),
        (np.zeros((9, 16, 16, 3), np.uint8), {}, "28 pixels a side, got 16×16"),
        (np.zeros((9, 8, 8), np.uint8), {"thresholds": "cifar10"}, "lpips distances, not l2"),
        (np.zeros((9, 8, 6), np.uint8), {"up_to": "rotate"}, "needs square images"),
        (np.zeros((9, 40, 40, 3), np.uint8), {}, "the LPIPS weights are not in"),
    ],
)
def test_what_can_be_known_first_is_said_before_anything_is_read(folder, monkeypatch, items, more, words):
    monkeypatch.setenv("MEMGEN_CACHE", str(folder / "no cache"))
    np.save(folder / "train.npy", items)
    with pytest.raises(InputError, match=words):
        run(
            folder,
            train=str(folder / "train.npy"),
            samples=str(folder / "samples that are not there.npz"),
            **more,
        )
    assert not (folder / "out").exists()


@pytest.mark.parametrize("memory", [float("inf"), float("nan"), 0.0])
def test_no_memory_and_endless_memory_are_refused(folder, memory):
    with pytest.raises(InputError, match="a positive number of gigabytes"):
        run(folder, delta_m=1.0, delta_s=1.0, memory=memory)


def test_arrays_get_what_files_get_though_the_holdout_shares_items_with_the_training_set(folder):
    digits = load("digits").train
    train, shared = digits[:600], digits[:5]
    holdout = np.concatenate([digits[600:795], shared])
    copies = np.minimum(train[50:80].astype(int) + 2, 255).astype(np.uint8)
    samples = np.concatenate([copies, digits[800:870]])
    for name, images in (("train", train), ("holdout", holdout), ("samples", samples)):
        np.savez(folder / f"{name}.npz", images=images)
    result = audit.audit_arrays(train, samples, holdout)
    whole = run(folder, holdout=str(folder / "holdout.npz"))
    np.testing.assert_array_equal(result.labels, whole.labels)
    assert result.summary["memorized"] >= 0.3  # 0 where the five of the training set calibrate
    assert result.summary.keys() == whole.summary.keys()
    assert result.summary["remarks"] == whole.summary["remarks"] != []
    assert result.summary["called"] == {"train": "train", "samples": "samples", "holdout": "holdout"}


@pytest.mark.parametrize("given", ["train", "out"])
def test_the_folder_of_a_user_who_is_not_there_is_no_folder(folder, given, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    paths = {"train": "train.npz", "samples": "samples.npz", "out": "out"} | {given: "~nosuchuser/x"}
    line = [f"--{name}={path}" for name, path in paths.items()]
    assert cli.main(["audit", *line, "--delta-m=1", "--delta-s=1"]) == 2
    assert "~nosuchuser/x" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["samples.npz", "train.npz"]


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_side_to_which_nothing_can_be_brought_is_refused_before_anything_is_resized(folder, size):
    with pytest.raises(InputError, match=r"must be a side of 1..\d+ pixels"):
        run(folder, size=size, delta_m=1.0, delta_s=1.0)
