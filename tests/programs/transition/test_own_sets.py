"""Samples that were made elsewhere: digits, a known share of which are copies."""

import csv
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

import memgen_jax
from memgen_jax import data
from memgen_jax.configs import own_sets
from memgen_jax.errors import InputError
from memgen_jax.programs import outputs
from memgen_jax.programs.transition import program
from memgen_jax.programs.transition.own_sets import OwnSets

SHARES = {4: 1.0, 32: 0.5, 128: 0.25}
DIGITS = data.digits()
TRAIN = DIGITS.train[data.permutation(DIGITS.num_train)]


def as_torch(images: np.ndarray) -> np.ndarray:
    """Floats in [-1, 1], channels first, as PyTorch's samplers leave them."""
    return np.moveaxis(images.astype(np.float32) / 127.5 - 1, -1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    for name in ("sets", "train"):
        (root / name).mkdir()
    for size, share in SHARES.items():
        copies = np.resize(TRAIN[:size], (int(128 * share), 8, 8, 1))
        new = TRAIN[-128:][: 128 - len(copies)]
        np.save(root / f"sets/ddpm_K{size}.npy", as_torch(np.concatenate([copies, new])))
        np.save(root / f"train/K{size}.npy", TRAIN[:size][::-1])
    np.save(root / "items.npy", TRAIN)
    np.savez(root / "unseen.npz", images=DIGITS.held_out)
    return root


def config(folder, **settings) -> ConfigDict:
    found = own_sets.get_config()
    found.sets = str(folder / "sets")
    found.held_out = str(folder / "unseen.npz")
    found.data.name = str(folder / "items.npy")
    found.update_from_flattened_dict(
        {"onset_items": 32, "phases.num_bootstrap": 5, "data.order": "given"} | settings
    )
    return found


def table(file) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "run"
    program.main(config(folder), str(workdir))
    return workdir


@pytest.mark.slow
def test_the_planted_shares_come_out_with_all_that_a_run_of_own_networks_writes(run):
    assert outputs.undocumented("transition", run) == []
    rows = {row["num_train"]: row for row in table(run / "fractions.csv") if row["rule"] == "held_out"}
    assert {int(size): float(row["memorized"]) for size, row in rows.items()} == pytest.approx(
        SHARES, abs=0.02
    )
    for name in ("members.csv", "repeats.csv", "copying.csv", "onset.csv", "transition.json", "report.html"):
        assert (run / name).stat().st_size > 0, name
    assert {file.name for file in (run / "figures").glob("*.png")} >= {
        *("transition.png", "histograms.png", "examples.png", "sample_quality.png", "both_views.png")
    }
    assert json.loads((run / "transition.json").read_text())["critical"]["memorized_half"][
        "num_train"
    ] == pytest.approx(32)


@pytest.mark.slow
def test_one_library_call_gives_the_labels_and_thresholds_of_the_program(run, folder):
    sets = {size: np.load(run / f"samples/num_train={size:06d}.npz")["images"] for size in SHARES}
    found = memgen_jax.audit_sets(sets, TRAIN, DIGITS.held_out)
    outcome = json.loads((run / "transition.json").read_text())
    assert found.thresholds.delta_m == outcome["thresholds"]["delta_m"]
    assert found.thresholds.delta_s == outcome["thresholds"]["delta_s"]
    rows = [row for row in table(run / "fractions.csv") if row["rule"] == "held_out"]
    for own, row in zip(found.fractions, rows, strict=True):
        assert [own.memorized, own.spurious, own.generalized] == [
            float(row[name]) for name in ("memorized", "spurious", "generalized")
        ]
    assert found.critical["memorized_half"]["num_train"] == pytest.approx(32)
    assert found.figure("digits").axes


@pytest.mark.slow
def test_training_folders_give_the_same_distances_as_prefixes(run, folder, tmp_path):
    settings = {"data.name": "", "train_sets": str(folder / "train"), "phases.rule": "given"}
    program.main(
        config(folder, **settings, **{"phases.delta_m": 1.0, "phases.delta_s": 1.0}), str(tmp_path / "run")
    )
    for size in SHARES:
        own, other = (
            np.load(where / f"neighbors/num_train={size:06d}.npz")["train_distance"]
            for where in (run, tmp_path / "run")
        )
        np.testing.assert_array_equal(own, other)


@pytest.mark.slow
def test_one_more_file_and_a_changed_one_are_read_by_the_same_command(folder, tmp_path):
    sets = tmp_path / "sets"
    sets.mkdir()
    for size in (4, 32):
        (sets / f"{size}.npy").write_bytes((folder / f"sets/ddpm_K{size}.npy").read_bytes())
    settings = config(folder, sets=str(sets))
    program.main(settings, str(tmp_path / "run"))
    kept = (tmp_path / "run/samples/num_train=000032.npz").read_bytes()
    np.save(sets / "64.npy", as_torch(TRAIN[-100:]))
    np.save(sets / "4.npy", as_torch(TRAIN[-100:]))
    program.main(settings, str(tmp_path / "run"))
    rows = [row for row in table(tmp_path / "run/fractions.csv") if row["rule"] == "held_out"]
    assert [(row["num_train"], row["num_synthetic"]) for row in rows] == [
        ("4", "100"),
        ("32", "128"),
        ("64", "100"),
    ]
    assert float(rows[0]["memorized"]) < 0.1
    assert (tmp_path / "run/samples/num_train=000032.npz").read_bytes() == kept


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data.name": ""}, "need the items that their networks were trained on"),
        ({"data.num_held_out": 5}, "may have been trained on"),
        ({"held_out": ""}, "real items that no network has seen"),
        ({"num_train": (4, 5)}, "num_train=5 must be a size of which"),
        ({"train_sets": "x"}, "both say the training items"),
        (
            {"data.name": "circle", "held_out": ""},
            r"holds images of shape \(8, 8, 1\), and the training items are vect",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(folder, tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        program.main(config(folder, **settings), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_sets_of_two_ranges_are_refused(folder, tmp_path):
    sets = tmp_path / "sets"
    sets.mkdir()
    np.save(sets / "4.npy", as_torch(TRAIN[:10]))
    np.save(sets / "8.npy", (as_torch(TRAIN[:10]) + 1) / 2)
    with pytest.raises(InputError, match=r"data\.value_range"):
        program.main(config(folder, sets=str(sets)), str(tmp_path / "run"))


def test_sets_of_one_range_are_read_whatever_else_is_in_their_files(tmp_path):
    np.savez(tmp_path / "K=4.npz", samples=as_torch(TRAIN[:10]), labels=np.arange(10))
    np.save(tmp_path / "K=8.npy", as_torch(TRAIN[:12]))
    found = OwnSets(str(tmp_path), {})
    found.check((8, 8, 1), True, None)
    assert [record["num_samples"] for record in found.records.values()] == [10, 12]
