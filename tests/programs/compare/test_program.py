"""Runs written by hand: what a comparison says of them is known beforehand."""

import csv
import json

import pytest

from memgen_jax.errors import InputError
from memgen_jax.programs import outputs
from memgen_jax.programs.command_line import load_config
from memgen_jax.programs.compare.program import compare
from memgen_jax.programs.finished_run import require_finished

PHASES = ("memorized", "spurious", "generalized")


def write_run(folder, half, width=256):
    folder.mkdir()
    critical = {
        "memorized_half": {"num_train": half, "low": 0.9 * half, "high": 1.1 * half},
        "spurious_peak": {"num_train": 64, "low": 32, "high": 128},
        "generalized_half": {"num_train": None, "low": None, "high": None},
    }
    outcome = {
        "data": "digits",
        "metric": "L2",
        "thresholds": {"rule": "given", "delta_m": 1.0, "delta_s": 0.7},
        "critical": critical,
    }
    (folder / "transition.json").write_text(json.dumps(outcome))
    (folder / "config.json").write_text(json.dumps({"model": {"name": "mlp", "width": width}}))
    fields = ["num_train", "num_synthetic", *(p + end for p in PHASES for end in ("", "_low", "_high"))]
    with (folder / "fractions.csv").open("w") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for size in (2, 64, 512):
            share = {p + end: 1 / 3 for p in PHASES for end in ("", "_low", "_high")}
            writer.writerow({"num_train": size, "num_synthetic": 4 * size} | share)
    return str(folder)


def test_runs_whose_intervals_lie_apart_differ_by_the_ratio_of_their_sizes(tmp_path):
    runs = [write_run(tmp_path / "a", 40), write_run(tmp_path / "b", 80, width=128)]
    answer = compare(runs, str(tmp_path / "out"))
    assert outputs.undocumented("compare", tmp_path / "out") == []
    assert "memorized falls to 50% is 2.00 times as large in b as in a" in answer
    assert (
        "No difference beyond the intervals is found in the K at which the spurious share is largest."
        in answer
    )
    assert "generalized rises to 50% is not reached by two of the runs" in answer
    rows = list(csv.DictReader((tmp_path / "out/differences.csv").open()))
    assert [row["differs"] for row in rows] == ["True", "False"]
    rows = list(csv.DictReader((tmp_path / "out/compare.csv").open()))
    assert [row["critical_num_train"] for row in rows if row["run"] == "a"] == ["40", "64", ""]
    told = json.loads((tmp_path / "out/columns.json").read_text())["compare.csv"]
    assert "critical" in told["critical_num_train"] and "num_train" not in told
    changed = json.loads((tmp_path / "out/compare.json").read_text())["settings_that_differ"]
    assert changed == {"model.width": [256, 128]}
    page = (tmp_path / "out/report.html").read_text()
    assert "model.width" in page and "not reached in this sweep" in page
    compare(runs, str(tmp_path / "out"))  # its own folder may be written again


def test_a_run_beside_itself_does_not_differ(tmp_path):
    answer = compare([write_run(tmp_path / "a", 40), write_run(tmp_path / "b", 40)], str(tmp_path / "out"))
    assert answer.startswith(
        "No difference beyond the intervals is found in the K at which memorized falls to 50% or the spurious"
    )
    assert "times as large" not in answer


def test_mistakes_are_told_in_one_sentence(tmp_path):
    run = write_run(tmp_path / "a", 40)
    with pytest.raises(InputError, match="at least two runs"):
        compare([run], str(tmp_path / "out"))
    with pytest.raises(InputError, match="named twice"):
        compare([run, run], str(tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no readable transition\.json"):
        compare([run, str(tmp_path / "empty")], str(tmp_path / "out"))
    (tmp_path / "circle").mkdir()
    (tmp_path / "circle/config.json").write_text(json.dumps(load_config("circle:smoke").to_dict()))
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/summary.json").write_text("{}")
    for other in ("circle", "audit"):
        for read in (require_finished, lambda folder: compare([run, folder], str(tmp_path / "out"))):
            with pytest.raises(InputError, match=f"is a run of memgen {other}, and one of memgen transition"):
                read(str(tmp_path / other))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="new folder"):
        compare([run, write_run(tmp_path / "b", 50)], str(tmp_path / "foreign"))
    assert (tmp_path / "foreign/thesis.tex").read_text() == "mine"
