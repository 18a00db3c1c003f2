"""The onset program: tables, resuming, and mistakes in one sentence."""

import csv
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import onset_linear as linear_config
from configs import onset_unet as network_config
from memgen_jax.errors import InputError
from memgen_jax.programs import outputs
from memgen_jax.programs.onset import linear as onset_linear
from memgen_jax.programs.onset import program as onset

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))


def tiny_linear(**changes):
    config = linear_config.get_config("smoke")
    config.update(
        {
            "dims": (3,),
            "num_train": (2, 7),
            "num_train_large": (40,),
            "num_original": 40,
            "readings_num_train": (),
        }
    )
    config.update(changes)
    return config


def rows_of(folder, name="onset.csv"):
    with open(folder / name) as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onset") / "run"
    onset.main(tiny_linear(nested=True, readings_num_train=(7,)), str(folder))
    return folder


def test_the_table_has_every_column_and_blanks_where_distances_diverge(finished):
    rows = rows_of(finished)
    assert [int(row["num_train"]) for row in rows] == [2, 7, 40]
    for name in ("hellinger2", "hellinger2_se", "p_delta_positive_low", "kernel_width", "covariance", "seed"):
        assert all(row[name] for row in rows)
    assert rows[0]["log10_e_tg"] == rows[0]["log10_e_og"] == "" and float(rows[0]["hellinger2"]) == 1
    assert float(rows[1]["log10_e_tg"]) < 5 and float(rows[1]["hellinger2"]) < 1


def test_nested_sets_of_all_points_are_even(finished):
    last = rows_of(finished)[-1]
    assert float(last["p_delta_positive"]) == 0.5 and last["log10_e_tg"] == last["log10_e_og"]


def test_every_reading_is_tabled_and_the_chosen_one_is_among_them(finished):
    compared, chosen = rows_of(finished, "readings.csv"), rows_of(finished)[1]
    assert len(compared) == 8 and len({(row["kernel_width"], row["covariance"]) for row in compared}) == 8
    same = next(r for r in compared if (r["kernel_width"], r["covariance"]) == ("silverman", "derived"))
    assert float(same["hellinger2"]) == pytest.approx(float(chosen["hellinger2"]), rel=1e-9)
    assert same["p_delta_positive"] == chosen["p_delta_positive"]


def test_every_file_and_column_has_a_meaning(finished):
    assert outputs.undocumented("onset", finished) == []


def test_figures_and_floor_are_there(finished):
    for name in ("hellinger", "probability", "distances", "readings"):
        for kind in ("png", "pdf"):
            assert (finished / "figures" / f"{name}.{kind}").stat().st_size > 5000
    page = (finished / "report.html").read_text()
    assert page.count('src="data:image/png') == 5 and "The linear model" in page
    floor = json.loads((finished / "onset.json").read_text())["3"]["hellinger2_floor"]
    assert floor < float(rows_of(finished)[-1]["hellinger2"]) < 1


def test_more_simulations_keep_the_blocks_that_are_there(finished, monkeypatch):
    monkeypatch.setattr(onset_linear, "draw", lambda *_: None)
    before = {file.name: file.stat().st_mtime_ns for file in (finished / "simulations").iterdir()}
    onset.main(tiny_linear(nested=True, readings_num_train=(7,), num_simulations=11), str(finished))
    after = {file.name: file.stat().st_mtime_ns for file in (finished / "simulations").iterdir()}
    assert len(after) == 2 * len(before)
    assert all(after[name] == time for name, time in before.items())
    assert {row["num_simulations"] for row in rows_of(finished)} == {"11"}


def test_another_setting_refuses_the_same_folder(finished):
    with pytest.raises(InputError, match="noise_scale"):
        onset.main(tiny_linear(nested=True, readings_num_train=(7,), noise_scale=0.5), str(finished))


@pytest.mark.parametrize(
    ("change", "names_it"),
    [
        ({"num_train": (1, 4)}, "num_train=1"),
        ({"dims": (0,)}, "dim=0"),
        ({"dims": ()}, "dims"),
        ({"dims": (4.5,)}, "4.5"),
        ({"readings_num_train": ("a",)}, "readings_num_train"),
        ({"sigma": 0.0}, "sigma=0"),
        ({"nested": True, "num_train": (41,)}, "num_train=41"),
        ({"kernel_width": "broad"}, "'broad'"),
        ({"covariance": "both"}, "'both'"),
        ({"num_simulations": 0}, "num_simulations"),
        ({"num_train": ()}, "num_train is empty"),
        ({"model": "cubic"}, "'cubic'"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(change, names_it, tmp_path):
    with pytest.raises(InputError, match=names_it):
        onset.main(tiny_linear(**change), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_ends_with_one_line_and_code_two(tmp_path):
    command = [sys.executable, "-m", "experiments.onset", "--config=configs/onset_linear.py:smoke"]
    done = subprocess.run(
        [*command, "--config.kernel_width=broad", f"--workdir={tmp_path / 'run'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "broad" in done.stderr and "silverman" in done.stderr


@pytest.mark.slow
def test_the_network_program_writes_its_table_with_both_controls(tmp_path):
    config = network_config.get_config("smoke")
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes a float with its step counter
        onset.main(config, str(tmp_path / "run"))
    assert outputs.undocumented("onset", tmp_path / "run") == []
    rows = rows_of(tmp_path / "run")
    assert len(rows) == 2 * 3 * 4
    summary = json.loads((tmp_path / "run" / "onset.json").read_text())
    assert summary["num_steps"] == {"10": 2, "40": 6}  # 2 epochs of 1 and of 3 batches of 16
    assert (tmp_path / "run" / "figures" / "network.png").stat().st_size > 5000
    assert "41,609 parameters" in (tmp_path / "run" / "report.html").read_text()
    whole = {(r["source"], r["num_train"]): r for r in rows if r["reading"] == "whole"}
    assert float(whole["fresh", "10"]["p_delta_positive"]) == 1
    assert float(whole["copies", "10"]["p_delta_positive"]) == 0
    scaled = [float(r["e_og_scaled"]) for r in rows if r["num_train"] == "10"]
    np.testing.assert_allclose(scaled, 1)
    copies = [float(r["e_tg_scaled"]) for r in rows if (r["num_train"], r["source"]) == ("40", "copies")]
    assert np.isnan(copies).all()  # nothing to divide by: at n = 10 copies are at distance 0


@pytest.mark.parametrize(
    ("change", "names_it"),
    [
        ({"num_train": (5,)}, "num_train"),
        ({"data.std": 0.0}, "data.std"),
        ({"data.seed": -1}, "data.seed"),
        ({"data.num_original": 100}, "data.num_original=100"),
        ({"num_train": (10, 500)}, "num_train=500 lies beyond data.num_original=400"),
        ({"epochs": -1}, "epochs"),
        ({"metric.small_sets": (10, 10)}, "metric.small_sets"),
        ({"metric.small_sets": (10, 30, 100)}, "sampler.num_samples=20"),
        ({"metric.reading": "loose"}, "'loose'"),
        ({"sampler.num_steps": 11}, "11"),
    ],
)
def test_network_settings_that_cannot_work_are_refused_in_one_sentence(change, names_it, tmp_path):
    config = network_config.get_config("smoke")
    config.update_from_flattened_dict(change)
    with pytest.raises(InputError, match=names_it):
        onset.main(config, str(tmp_path / "run"))
