"""What an audit says of its sets before it compares them, and how it reads them together."""

import csv
import io
import json
import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from memgen_jax import audit, cli, load
from memgen_jax.audit import likeness, reading, shared
from memgen_jax.data import Items
from memgen_jax.errors import InputError

DIGITS = load("digits").train


@pytest.fixture(autouse=True)
def no_page(monkeypatch):
    """Drawing takes most of a small audit's time."""
    monkeypatch.setattr(audit.writing.audit_page, "render", lambda **_: "Made by memgen_jax.")


def audited(folder, *extra, **sets):
    """Exit code and summary of `memgen audit` on arrays or paths."""
    argv = ["audit", "--out", str(folder / "out"), *extra]
    for name, value in sets.items():
        if isinstance(value, np.ndarray):
            np.save(folder / f"{name}.npy", value)
            value = folder / f"{name}.npy"
        argv += [f"--{name}", str(value)]
    code = cli.main(argv)
    return code, json.loads((folder / "out/summary.json").read_text()) if code == 0 else None


GIVEN = ("--delta-m", "0.1", "--delta-s", "0.1")
FLOATS = DIGITS[:40, ..., 0] / 255


@pytest.mark.parametrize(
    "to_samples", [lambda x: x, lambda x: 2 * x - 1, lambda x: np.uint8(np.round(255 * x))]
)
@pytest.mark.parametrize(
    "to_train", [lambda x: x, lambda x: 2 * x - 1, lambda x: np.uint8(np.round(255 * x))]
)
def test_copies_are_copies_in_whatever_range_either_set_is_stored(tmp_path, to_train, to_samples):
    code, summary = audited(tmp_path, *GIVEN, train=to_train(FLOATS), samples=to_samples(FLOATS))
    assert code == 0 and summary["memorized"] == 1.0


def test_a_pixel_below_its_range_is_refused_and_read_when_the_range_is_said(tmp_path, capsys):
    near = FLOATS.copy()
    near[3, 4, 4] = -0.01
    assert audited(tmp_path, *GIVEN, train=FLOATS, samples=near)[0] == 2
    assert "samples.npy) run from -0.01 to 1" in capsys.readouterr().err
    code, summary = audited(tmp_path, *GIVEN, "--range", "0,1", train=FLOATS, samples=near)
    assert code == 0 and summary["memorized"] >= 39 / 40


def test_bright_floats_beside_signed_ones_may_be_either_and_are_asked_for(tmp_path, capsys):
    bright = FLOATS / 2 + 0.5
    assert audited(tmp_path, *GIVEN, train=2 * FLOATS - 1, samples=bright)[0] == 2
    assert "bright ones in [-1, 1] or others in [0, 1]; say which with --range" in capsys.readouterr().err


@pytest.mark.parametrize("stored", ["grey", "rgb"])
def test_grey_pictures_stored_as_palettes_are_compared_with_either_kind(tmp_path, stored):
    for name in ("train", "samples"):
        (tmp_path / name).mkdir()
    for i, pixels in enumerate(DIGITS[:6, ..., 0]):
        Image.fromarray(pixels).convert("P").save(tmp_path / f"samples/{i}.gif")
        picture = Image.fromarray(pixels)
        picture.convert("RGB" if stored == "rgb" else "L").save(tmp_path / f"train/{i}.png")
    code, summary = audited(
        tmp_path, *GIVEN, "--metric", "l2", train=tmp_path / "train", samples=tmp_path / "samples"
    )
    assert code == 0 and summary["memorized"] == 1.0


def test_many_pictures_named_one_by_one_are_called_by_the_first(tmp_path, capsys):
    argv = ["audit", "--out", str(tmp_path / "out"), *GIVEN]
    for name in ("train", "samples"):
        (tmp_path / name).mkdir()
        paths = [tmp_path / name / f"{i}.png" for i in range(6)]
        for path, pixels in zip(paths, DIGITS[..., 0], strict=False):
            Image.fromarray(pixels).save(path)
        argv += [f"--{name}", *map(str, paths)]
    assert cli.main(argv) == 0
    assert "3.png and 2 more" in capsys.readouterr().out
    assert cli.main([*argv, "--train", argv[-1]]) == 2
    assert "--train and --samples are both" in capsys.readouterr().err
    assert cli.main([*argv, str(tmp_path / "samples/0.png")]) == 2
    assert "--samples names" in (said := capsys.readouterr().err) and "twice; give it once" in said


@pytest.mark.parametrize(
    "path, words", [("x" * 300, "File name too long"), ("a\0b", "a path holds a NUL|null byte")]
)
@pytest.mark.parametrize("flag", ["--train", "--samples", "--holdout", "--out", "--distances"])
def test_a_path_that_no_file_can_have_is_a_mistake(tmp_path, capsys, flag, path, words):
    np.save(tmp_path / "a.npy", DIGITS[:9])
    np.save(tmp_path / "b.npy", DIGITS[:9])
    argv = {"--train": "a.npy", "--samples": "b.npy", "--out": "out"}
    argv = {key: str(tmp_path / value) for key, value in argv.items()} | {flag: path}
    if flag == "--distances":
        argv = {flag: path, "--out": str(tmp_path / "out")}
    assert cli.main(["audit", *GIVEN, *(word for pair in argv.items() for word in pair)]) == 2
    assert re.search(words, said := capsys.readouterr().err) and said.count("\n") == 1


def test_two_files_of_one_set_share_one_range(tmp_path):
    signed = 2 * FLOATS - 1
    dark, bright = signed[:20], np.abs(signed[20:])
    np.save(tmp_path / "dark.npy", dark)
    np.save(tmp_path / "bright.npy", bright)
    code, summary = audited(
        tmp_path, *GIVEN, "--train", str(tmp_path / "dark.npy"), str(tmp_path / "bright.npy"),
        samples=np.concatenate([dark, bright]),
    )  # fmt: skip
    assert code == 0 and summary["memorized"] == 1.0 and summary["num_train"] == 40


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x: x // 255, "brightest pixels are 255 and 1"),
        (lambda x: 128 + x // 2, "darkest pixels are 0 and 128"),
        (lambda x: 255 - x, "mean levels"),
        (lambda x: 255 * (x > 127).astype(np.uint8), "2 different levels"),
    ],
)
def test_sets_whose_pixels_cannot_be_of_one_kind_are_warned_of(change, words):
    sets = {"train": Items(DIGITS[:300], []), "samples": Items(change(DIGITS[300:600]), [])}
    (warning,) = likeness.warnings(sets)
    assert words in warning


def test_honest_sets_of_one_kind_earn_no_warning():
    assert not likeness.warnings({"train": Items(DIGITS[:700], []), "samples": Items(DIGITS[700:], [])})
    vectors = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    assert not likeness.warnings({"train": Items(vectors[:200], []), "samples": Items(vectors[200:], [])})
    assert likeness.warnings({"train": Items(vectors[:200], []), "samples": Items(9 * vectors[200:], [])})


def resaved(images):
    found = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=95, subsampling=0)
        found.append(np.asarray(Image.open(stream)))
    return np.stack(found)


def photographs(count, side=32):
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    photos = load_sample_images().images
    places = [(i % 2, random.integers(0, 380), random.integers(0, 600)) for i in range(count)]
    return np.stack([photos[p][y : y + side, x : x + side] for p, y, x in places])


def test_identical_and_nearly_identical_items_are_counted_among_photographs():
    every = photographs(260)
    train, unseen = every[:100], every[100:200]
    holdout = np.concatenate([unseen, train[:4], resaved(train[4:7])])
    samples = np.concatenate([every[200:], train[:2], unseen[:1]])
    found, inside = shared.find(
        {name: Items(v, []) for name, v in (("train", train), ("samples", samples), ("holdout", holdout))}
    )
    told = {(one.first, one.second): (one.identical, one.near) for one in found}
    assert told[("holdout", "train")] == (4, 3) and inside.sum() == 4 and inside[100:104].all()
    assert told[("samples", "train")] == (2, None)
    assert told[("samples", "holdout")][0] == 3  # two of them are in both


def test_a_share_of_all_is_said_as_such():
    assert "200 of 200 samples (100%) are in" in shared.Shared("samples", "train", 200, None, 200).sentence(
        0.01
    )


def test_near_items_are_warned_of_as_their_share_nears_the_rate(tmp_path, capsys):
    faint = np.clip(DIGITS[:8].astype(int) + 2, 0, 255).astype(np.uint8)
    code, summary = audited(
        tmp_path,
        train=DIGITS[:600],
        samples=DIGITS[1000:1200],
        holdout=np.concatenate([DIGITS[600:990], faint]),
    )
    said = capsys.readouterr().out
    assert code == 0 and "8 of 398 held-out items (2%) are in the training set, nearly identical" in said
    assert "the two sets were not kept apart" in said
    assert summary["shared"] == [
        {"first": "holdout", "second": "train", "identical": 0, "near": 8, "total": 398}
    ] and summary["remarks"][0].startswith("Warning: 8 of 398")


def test_honest_digits_are_not_taken_for_shared_ones():
    sets = {"train": DIGITS[:700], "samples": DIGITS[700:1000], "holdout": DIGITS[1000:]}
    found, _ = shared.find({name: Items(values, []) for name, values in sets.items()})
    assert all(one.near in (0, None) and one.identical <= 2 for one in found)


def test_a_holdout_that_is_all_in_the_training_set_leaves_nothing_to_calibrate(tmp_path, capsys):
    assert audited(tmp_path, train=DIGITS[:300], samples=DIGITS[600:900], holdout=DIGITS[:200])[0] == 2
    assert "no item that is not in the training set" in capsys.readouterr().err


def test_every_file_not_read_is_said_counted_and_listed(tmp_path, capsys):
    folder = tmp_path / "train"
    (folder / ".thumbs").mkdir(parents=True)
    for i, image in enumerate(DIGITS[:10]):
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    for name in (".DS_Store", "Thumbs.db", "labels.csv", "photo.heic", "caption.TXT"):
        (folder / name).write_text("x")
    with tarfile.open(tmp_path / "samples.tar", "w") as archive:
        archive.add(folder / "0.png", "0.png")
        archive.add(folder / "1.png", "1.png")
        archive.add(folder / "labels.csv", "0.cls")
    code, summary = audited(tmp_path, *GIVEN, train=folder, samples=tmp_path / "samples.tar")
    assert code == 0 and summary["memorized"] == 1.0
    kinds = {".db": 1, ".csv": 1, ".heic": 1, ".txt": 1, "hidden": 1, "hidden folder": 1}
    assert summary["unread"] == {"train": kinds, "samples": {".cls": 1}}
    said = capsys.readouterr().out
    assert all(f"1 {kind}" in said for kind in kinds)
    with (tmp_path / "out/skipped.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["item"] for row in rows if row["set"] == "train"} == {
        ".DS_Store", "Thumbs.db", "labels.csv", "photo.heic", "caption.TXT", ".thumbs"
    }  # fmt: skip
    assert [row["reason"] for row in rows if row["set"] == "samples"] == [".cls: not read"]


def test_the_layout_flag_reaches_every_set(tmp_path):
    first = np.repeat(DIGITS[:30], 3, -1).transpose(0, 3, 1, 2)[..., :3]
    assert audited(tmp_path, *GIVEN, "--metric", "l2", train=first, samples=first)[0] == 2
    code, summary = audited(
        tmp_path, *GIVEN, "--metric", "l2", "--layout", "nchw", train=first, samples=first
    )
    assert code == 0 and summary["memorized"] == 1.0


def test_drawn_samples_need_no_file():
    settings = audit.AuditSettings(train="digits.npz", samples="a model", out="x")
    with pytest.raises(InputError, match=r"no file digits\.npz"):
        reading.load(settings, print, draw=lambda: Items(DIGITS, []))


def test_a_table_of_floats_has_its_range_decided_beside_the_other_sets(tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    for name, values in (("train", FLOATS / 2 + 0.4), ("samples", 2 * FLOATS - 1)):
        rows = arrow.array(values.astype(np.float32).tolist())
        table = arrow.table({"pixels": rows, "label": list(range(len(values)))})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    sets = {name: tmp_path / f"{name}.parquet" for name in ("train", "samples")}
    assert audited(tmp_path, *GIVEN, **sets)[0] == 2
    assert "say which with --range=-1,1" in capsys.readouterr().err
    code, summary = audited(tmp_path, *GIVEN, "--range=-1,1", **sets)
    assert code == 0 and summary["unread"] == {"train": {"other column": 1}, "samples": {"other column": 1}}


def test_a_few_samples_and_a_small_training_set_are_calibrated_by_many_held_out_items(tmp_path):
    flat = DIGITS[..., 0]
    for train, samples in ((flat[:50], flat[50:60]), (flat[:800], flat[800:812])):
        mixed = np.concatenate([samples, train[:3]])  # three are copies
        code, summary = audited(tmp_path, train=train, samples=mixed, holdout=flat[1000:1200])
        assert code == 0 and summary["memorized"] * len(mixed) >= 3


def test_a_flag_that_is_cut_short_is_not_taken_for_another(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        audited(tmp_path, "--fpr", "0.01", "--fp", "0.5", train=FLOATS, samples=FLOATS)
    assert ended.value.code == 2 and "--fp" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError("x"), OSError(12, "Cannot allocate memory")])
def test_memory_that_does_not_suffice_is_blamed_on_no_file(tmp_path, capsys, monkeypatch, error):
    def lacking(*_, **__):
        raise error

    monkeypatch.setattr(np, "memmap", lacking)
    assert audited(tmp_path, *GIVEN, train=FLOATS, samples=FLOATS)[0] == 2
    assert capsys.readouterr().err.startswith("memgen audit: out of memory")
