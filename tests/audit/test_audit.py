"""Audits of sets in which every copy and every repeat was planted."""

import csv
import dataclasses
import json
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memgen_jax import audit, cli, load, metrics
from memgen_jax.data import Items
from memgen_jax.errors import InputError
from memgen_jax.programs import outputs

NEW, COPIES, REPEATS = 120, 30, 10


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """400 training images, 200 held-out ones, and samples: new ones, noisy copies, repeated new ones."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1000, 6, 6, 1), dtype=np.uint8)
    train, unseen, new = images[:400], images[400:600], images[600 : 600 + NEW]

    def blurred(some):
        return np.clip(some.astype(int) + rng.integers(-3, 4, some.shape), 0, 255).astype(np.uint8)

    samples = np.concatenate([new, blurred(train[:COPIES]), blurred(new[:REPEATS])])
    for name, array in {"train": train, "unseen": unseen, "samples": samples}.items():
        np.savez(folder / f"{name}.npz", images=array)
    return folder


def flags(folder, out, **more):
    values = {"train": folder / "train.npz", "samples": folder / "samples.npz", "out": out} | more
    return audit.AuditSettings(**{name: str(v) if isinstance(v, Path) else v for name, v in values.items()})


@pytest.fixture
def no_page(monkeypatch):
    """Drawing takes most of a small audit's time."""
    monkeypatch.setattr(audit.writing.audit_page, "render", lambda **_: "Made by memgen_jax.")


RULES = {
    "held-out": lambda folder: {"holdout": folder / "unseen.npz"},
    "valley": lambda folder: {},
    "given": lambda folder: {"delta_m": 1.0, "delta_s": 1.0},
}


@pytest.mark.parametrize("rule", RULES)
def test_every_planted_copy_and_repeat_is_found_whatever_the_rule(planted, tmp_path, no_page, rule):
    result = audit.run(flags(planted, tmp_path / "out", **RULES[rule](planted)), say=lambda _: None)
    with (tmp_path / "out" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    header = "sample,label,train_distance,train_item,synthetic_distance,synthetic_item"
    assert list(rows[0]) == header.split(",")
    found = np.array([row["label"] for row in rows])
    assert (found[NEW : NEW + COPIES] == "memorized").all()
    assert outputs.undocumented("audit", tmp_path / "out") == []
    assert [row["train_item"] for row in rows[NEW : NEW + 2]] == ["train.npz[0]", "train.npz[1]"]
    repeated = np.r_[:REPEATS, NEW + COPIES : NEW + COPIES + REPEATS]
    assert (found[repeated] == "spurious").all()
    false_alarms = (found[REPEATS:NEW] != "generalized").sum()
    assert false_alarms <= 8  # 1% of either kind, were there a tail; held-out calibration asks for it
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["memorized"] == pytest.approx((found == "memorized").mean())
    assert summary["rule"].startswith(rule)
    assert result.summary["answer"] == summary["answer"]
    if "holdout" not in RULES[rule](planted):
        assert summary["dcr_share"] is None
        return
    dcr, num = summary["dcr_share"], len(rows)
    # Of the copies half have their original among the 200 training items that are compared; the rest is a coin's toss.
    expected = (COPIES / 2 + (num - COPIES / 2) / 2) / num
    assert dcr["low"] < dcr["share"] < dcr["high"] and dcr["low"] < expected < dcr["high"]


def test_the_page_is_complete_in_itself_and_says_the_answer(planted, tmp_path):
    result = audit.run(flags(planted, tmp_path / "out", delta_m=1.0, delta_s=1.0), say=lambda _: None)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "http:" not in page and "https:" not in page and 'src="data:image/png' in page
    for sentence in result.sentences:
        assert sentence.replace("<", "&lt;") in page
    closest = np.argmin(result.distances.train[:, 0])
    assert f"From above: samples.npz[{closest}] beside train.npz[{closest - NEW}];" in page
    assert page.count("<img") >= 5  # histograms, thresholds, three galleries


def test_file_names_are_escaped_in_the_page(planted, tmp_path):
    odd = tmp_path / "<b onclick=x>.npz"
    odd.write_bytes((planted / "samples.npz").read_bytes())
    audit.run(flags(planted, tmp_path / "out", samples=odd, delta_m=1.0, delta_s=1.0), say=lambda _: None)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b onclick" not in page and "&lt;b onclick" in page


def test_without_a_copy_the_answer_is_a_bound_and_duplicates_come_second(tmp_path, no_page):
    rng = np.random.default_rng(1)
    train = rng.integers(0, 256, (100, 4, 4, 1), dtype=np.uint8)
    train[50] = train[3]
    np.savez(tmp_path / "train.npz", images=train)
    np.savez(tmp_path / "samples.npz", images=rng.integers(0, 256, (300, 4, 4, 1), dtype=np.uint8))
    result = audit.run(flags(tmp_path, tmp_path / "out", delta_m=0.5, delta_s=0.5), say=lambda _: None)
    assert result.sentences[0].startswith("None of 300 samples is a copy")
    assert "fewer than 0.994%" in result.sentences[0]  # 1 - 0.05^(1/300)
    assert result.sentences[1].startswith("Inside the training set, 2 of 100 items")
    assert not result.failed


def test_one_group_of_distances_and_no_holdout_says_what_is_needed(tmp_path):
    rng = np.random.default_rng(2)
    for name in ("train", "samples"):
        np.savez(tmp_path / f"{name}.npz", images=rng.integers(0, 256, (200, 5, 5, 1), dtype=np.uint8))
    with pytest.raises(InputError, match=r"unimodal.*holdout.*delta_m"):
        audit.run(flags(tmp_path, tmp_path / "out"), say=lambda _: None)


def test_vectors_are_audited_without_pictures(tmp_path):
    rng = np.random.default_rng(3)
    train = rng.normal(size=(200, 7)).astype(np.float32)
    np.save(tmp_path / "train.npy", train)
    np.save(tmp_path / "samples.npy", np.concatenate([train[:50] + 1e-3, rng.normal(size=(50, 7))]))
    result = audit.run(
        flags(tmp_path, tmp_path / "out", train=tmp_path / "train.npy", samples=tmp_path / "samples.npy"),
        say=lambda _: None,
    )
    assert result.summary["memorized"] == 0.5 and result.summary["metric"] == "l2"


def test_two_samples_are_enough(tmp_path):
    rng = np.random.default_rng(4)
    np.savez(tmp_path / "train.npz", images=rng.integers(0, 256, (2, 5, 5), dtype=np.uint8))
    np.savez(tmp_path / "samples.npz", images=np.zeros((2, 5, 5), np.uint8))
    result = audit.run(flags(tmp_path, tmp_path / "out", delta_m=1.0, delta_s=1.0), say=lambda _: None)
    assert result.summary["spurious"] == 1.0
    np.savez(tmp_path / "samples.npz", images=np.load(tmp_path / "train.npz")["images"])
    result = audit.run(flags(tmp_path, tmp_path / "out", delta_m=1.0, delta_s=1.0), say=lambda _: None)
    assert "100.0% (34.2% – 100.0%) of 2 samples are copies" in result.sentences[0]  # not ± 32.9%


def test_samples_may_come_from_a_function_in_place_of_a_file(planted, tmp_path, no_page):
    with np.load(planted / "samples.npz") as file:
        images = file["images"]
    settings = flags(planted, tmp_path / "out", samples="my model", delta_m=1.0, delta_s=1.0)
    drawn = Items(images, [f"sample {i}" for i in range(len(images))])
    result = audit.run(settings, say=lambda _: None, draw=lambda: drawn)
    read = audit.run(dataclasses.replace(settings, samples=str(planted / "samples.npz")), say=lambda _: None)
    np.testing.assert_array_equal(result.labels, read.labels)
    assert (tmp_path / "out" / "labels.csv").exists() and result.summary["settings"]["samples"] == "my model"


def test_the_ratio_rule_is_reported_beside_the_threshold(planted, tmp_path, no_page):
    result = audit.run(flags(planted, tmp_path / "out", ratio=0.333), say=lambda _: None)
    ratio = result.summary["ratio"]
    assert ratio["memorized"] == pytest.approx(COPIES / (NEW + COPIES + REPEATS))
    assert any("ratio rule" in sentence for sentence in result.sentences)


@pytest.mark.parametrize("room", [100, 50_000])
def test_where_the_room_runs_out_one_sentence_is_said_and_the_results_of_before_stay_whole(
    planted, tmp_path, monkeypatch, room
):
    """The system itself stops a file at `room` bytes: labels.csv, or the page when the others are written."""
    monkeypatch.setattr(
        audit.writing.audit_page, "render", lambda **_: "page" * 25_000 + "Made by memgen_jax."
    )
    settings = flags(planted, tmp_path / "out", delta_m=1.0, delta_s=1.0)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    for already_there in (False, True):
        if already_there:
            audit.run(settings, say=lambda _: None)
        before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*")}
        assert len(before) == 4 * already_there
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, unlimited[1]))
        try:
            with pytest.raises(InputError, match=r"cannot write .*free some room"):
                audit.run(settings, say=lambda _: None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def mistakes(folder):
    """Flags beside the usual ones, and words of the sentence that they earn."""
    from PIL import Image

    rng = np.random.default_rng(5)

    def pictures(name, sizes, mode="L"):
        (folder / name).mkdir()
        for i, size in enumerate(sizes):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{i}.png")
        return folder / name

    good = pictures("good", [6] * 4)
    cut = pictures("cut", [6] * 4)
    (cut / "2.png").write_bytes((cut / "2.png").read_bytes()[:40])
    (folder / "empty").mkdir()
    np.save(folder / "nan.npy", np.full((3, 6, 6, 1), np.nan, np.float32))
    np.save(folder / "range.npy", np.full((3, 6, 6, 1), 200.0, np.float32))
    np.savez(folder / "one.npz", images=np.zeros((1, 6, 6, 1), np.uint8))
    (folder / "file").write_text("")
    deltas = {"delta_m": 1.0, "delta_s": 1.0}
    return [
        ({"train": folder / "empty"}, "empty"),
        ({"train": folder / "missing"}, "missing"),
        ({"train": good, "samples": cut, **deltas}, "2.png"),
        ({"train": good, "samples": pictures("mixed", [6, 7])}, "--size"),
        ({"train": good, "samples": pictures("larger", [8, 8])}, "--size"),
        ({"train": good, "samples": pictures("colour", [6, 6], "RGB")}, "--channels"),
        ({"samples": folder / "nan.npy"}, "NaN"),
        ({"samples": folder / "range.npy"}, "200"),
        ({"samples": folder / "one.npz", **deltas}, "at least 2"),
        ({"samples": folder / "train.npz"}, "two different sets"),
        ({"holdout": folder / "train.npz"}, "two different sets"),
        ({"train": "tfds:no_such_set:train"}, "no_such_set"),
        (
            {"train": "tfds:mnist:train", "data_dir": folder / "nowhere"},
            "--data-dir=FOLDER",
        ),
        ({"out": folder / "file"}, "give a folder"),
        ({"out": Path("/proc/nowhere")}, "cannot write"),
        ({"delta_m": 1.0}, "give both"),
        ({"delta_m": -1.0, "delta_s": 1.0}, "not a distance"),
        ({"thresholds": "cifar10"}, "lpips distances, not l2"),
        ({"thresholds": "imagenet"}, "must be one of"),
        ({"metric": "l1"}, "invalid choice"),
        ({"metric": "lpips", **deltas}, "28 pixels"),
        ({"fail_above": 2.0}, "must be a fraction in 0..1"),
        ({"fpr": 1.5}, "--fpr=1.5 must be a fraction"),
        ({"fpr": 0.0}, "nothing to calibrate"),
        ({"holdout": folder / "unseen.npz", "fpr": 0.0001}, "--holdout has"),
        ({"ratio": 0.0}, "positive"),
    ]


def test_every_mistake_is_one_sentence_and_exit_code_2(planted, tmp_path, capsys):
    for name in ("train", "samples", "unseen"):
        (tmp_path / f"{name}.npz").write_bytes((planted / f"{name}.npz").read_bytes())
    (tmp_path / "tfds").mkdir()
    for number, (more, words) in enumerate(mistakes(tmp_path)):
        values = {
            "train": tmp_path / "train.npz",
            "samples": tmp_path / "samples.npz",
            "out": tmp_path / f"out{number}",
            "data_dir": tmp_path / "tfds",
        } | more
        argv = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
        capsys.readouterr()
        assert_exit_2(["audit", *argv])
        told = capsys.readouterr().err
        assert words in told, (more, told)
        assert told.count("\n") == 1 and "Traceback" not in told, told


def assert_exit_2(argv):
    try:
        code = cli.main(argv)
    except SystemExit as exit:
        code = exit.code
    assert code == 2, argv


def test_a_bad_image_can_be_left_out_and_is_counted(tmp_path, no_page, capsys):
    mistakes(tmp_path)
    argv = ["audit", f"--train={tmp_path / 'good'}", f"--samples={tmp_path / 'cut'}"]
    argv += [f"--out={tmp_path / 'out'}", "--delta-m=1", "--delta-s=1"]
    assert cli.main(argv) == 2
    assert cli.main([*argv, "--skip-bad"]) == 0
    assert "1 unreadable image skipped" in capsys.readouterr().out


def test_mixed_sizes_and_kinds_are_brought_to_one_where_asked(tmp_path, no_page):
    mistakes(tmp_path)
    argv = ["audit", f"--train={tmp_path / 'colour'}", f"--samples={tmp_path / 'mixed'}"]
    argv += [f"--out={tmp_path / 'out'}", "--delta-m=1", "--delta-s=1"]
    assert cli.main(argv) == 2
    assert cli.main([*argv, "--size=6", "--channels=1"]) == 0


needs_weights = pytest.mark.skipif(
    not metrics.weights_path().is_file(), reason="no LPIPS weights; run `memgen fetch-weights`"
)


@needs_weights
def test_colour_images_are_compared_by_lpips_and_jpeg_copies_of_photographs_found(tmp_path, no_page):
    import io

    from PIL import Image
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images

    def patches(photo):
        return np.stack([photo[y : y + 32, x : x + 32] for y in range(0, 320, 64) for x in range(0, 512, 64)])

    def through_jpeg(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=90)
        return np.asarray(Image.open(file))

    train = patches(china)
    copies = np.stack([through_jpeg(image) for image in train[:10]])
    np.savez(tmp_path / "train.npz", images=train)
    np.savez(tmp_path / "samples.npz", images=np.concatenate([patches(flower)[:30], copies]))
    result = audit.run(flags(tmp_path, tmp_path / "out", thresholds="cifar10"), say=lambda _: None)
    assert result.summary["metric"] == "lpips"
    assert (result.labels[30:] == 0).all() and not (result.labels[:30] == 0).any()
    np.testing.assert_array_equal(result.distances.train_index[30:, 0], np.arange(10))


def pictures(folder, values, suffix=".png"):
    folder.mkdir(exist_ok=True)
    for i, image in enumerate(values):
        Image.fromarray(image[..., 0]).save(folder / f"{i:03d}{suffix}")
    return str(folder)


def test_a_training_set_of_several_kinds_and_folders_acquits_no_copier(tmp_path, capsys):
    real = load("digits").train
    folder = pictures(tmp_path / "a", real[:10])
    pictures(tmp_path / "a", real[10:20], ".bmp")
    other = pictures(tmp_path / "b", real[20:30])
    samples = pictures(tmp_path / "s", real[:30])
    (tmp_path / "a/notes.txt").write_text("")
    out = tmp_path / "out"
    argv = ["audit", "--train", folder, "--train", other, "--samples", samples, "--out", str(out)]
    assert cli.main([*argv, "--delta-m", "0.1", "--delta-s", "0.1"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["memorized"] == 1.0 and summary["num_train"] == 30
    assert summary["left_out"] == {"train": "1 .txt (skipped.csv)"}
    page = (out / "report.html").read_text()
    assert "train: 1 .txt" in page and "nothing was left out" not in page
    assert "1 .txt not read" in capsys.readouterr().out


def test_skipped_files_are_listed_by_name(tmp_path):
    real = load("digits").train
    folder, samples = pictures(tmp_path / "a", real[:10]), pictures(tmp_path / "s", real[:5])
    (tmp_path / "a/bad.png").write_bytes(b"no image")
    out = tmp_path / "out"
    argv = ["audit", "--train", folder, "--samples", samples, "--out", str(out), "--skip-bad"]
    assert cli.main([*argv, "--delta-m", "0.1", "--delta-s", "0.1"]) == 0
    assert (
        out / "skipped.csv"
    ).read_text() == 'set,item,reason\ntrain,bad.png,"it is no image, or a damaged one"\n'


def test_items_that_holdout_and_training_set_share_do_not_make_the_threshold_nothing(tmp_path, capsys):
    """2.5% of the held-out digits are in the training set, and 30% of the samples are faint copies."""
    real = load("digits").train
    train, unseen = real[:600], np.concatenate([real[600:990], real[:10]])
    copies = np.clip(train[:90].astype(int) + 1, 0, 255).astype(np.uint8)
    for name, values in (
        ("train", train),
        ("holdout", unseen),
        ("samples", np.concatenate([copies, real[1000:1210]])),
    ):
        np.savez(tmp_path / f"{name}.npz", images=values)
    argv = ["audit", "--out", str(tmp_path / "out")]
    for name in ("train", "holdout", "samples"):
        argv += [f"--{name}", str(tmp_path / f"{name}.npz")]
    assert cli.main(argv) == 0
    said = capsys.readouterr().out
    assert "10 of 400 held-out items (2.5%) are in the training set" in said
    assert json.loads((tmp_path / "out/summary.json").read_text())["memorized"] >= 0.3


@pytest.mark.parametrize(
    "extra, words",
    [
        (["--metric", "l2", "--metric", "l2"], "--metric is given 2 times"),
        (["--train", ""], "--train is empty"),
        (["--holdout", "INSIDE"], "one lies inside the other"),
    ],
)
def test_flags_that_cannot_both_count_are_refused(tmp_path, capsys, extra, words):
    real = load("digits").train
    folder, samples = pictures(tmp_path / "a", real[:5]), pictures(tmp_path / "s", real[:5])
    inside = pictures(tmp_path / "a/inside", real[:5])
    argv = ["audit", "--train", folder, "--samples", samples, "--out", str(tmp_path / "out")]
    assert cli.main([*argv, *(inside if word == "INSIDE" else word for word in extra)]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_with_a_table_of_ones_own_is_left_alone(tmp_path, capsys):
    real = load("digits").train
    folder, samples = pictures(tmp_path / "a", real[:5]), pictures(tmp_path / "s", real[:5])
    (tmp_path / "labels.csv").write_text("mine")
    assert cli.main(["audit", "--train", folder, "--samples", samples, "--out", str(tmp_path)]) == 2
    assert "holds labels.csv, which no audit wrote" in capsys.readouterr().err
    assert (tmp_path / "labels.csv").read_text() == "mine"


def test_thresholds_of_images_are_refused_for_vectors(tmp_path, capsys):
    values = np.random.default_rng(0).random((40, 16)).astype(np.float32)
    np.save(tmp_path / "a.npy", values[:20])
    np.save(tmp_path / "b.npy", values[20:])
    argv = [
        "audit",
        "--train",
        str(tmp_path / "a.npy"),
        "--samples",
        str(tmp_path / "b.npy"),
        "--thresholds",
        "mnist",
    ]
    assert cli.main([*argv, "--out", str(tmp_path / "out")]) == 2
    assert "belong to images in [-1, 1], and --train holds vectors" in capsys.readouterr().err


def test_repeats_are_not_promised_where_samples_outnumber_real_items():
    random = np.random.default_rng(0)
    train, unseen, samples = (random.standard_normal((n, 5)) for n in (200, 150, 900))
    result = audit.audit_arrays(train, samples, unseen)
    (warning,) = (sentence for sentence in result.sentences if sentence.startswith("Warning"))
    assert "more samples (900) than real items to calibrate repeats on (350)" in warning
    assert not any("For comparison" in sentence for sentence in result.sentences)
    plenty = audit.audit_arrays(train, samples[:150], unseen)
    assert not any(sentence.startswith("Warning") for sentence in plenty.sentences)


def test_the_comparison_with_unseen_items_stands_where_they_did_not_set_the_threshold():
    random = np.random.default_rng(0)
    train, unseen, samples = (random.standard_normal((n, 5)) for n in (200, 150, 120))
    result = audit.audit_arrays(train, samples, unseen, delta_m=0.5, delta_s=0.5)
    assert any("of the unseen real items count as copies by that rule" in said for said in result.sentences)
    assert "(spurious; L2 ≤ 0.500; of 120 real items" in result.sentences[0]
    calibrated = audit.audit_arrays(train, samples, unseen)
    assert ", set so that of 120 real items" in calibrated.sentences[0]
