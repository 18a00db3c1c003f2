"""A run that grows, on digits with networks of seconds."""

import csv
import hashlib
import json
import pathlib

import jax
import numpy as np
import pytest

from memgen_jax.configs import digits
from memgen_jax.errors import InputError
from memgen_jax.programs import outputs
from memgen_jax.programs.finished_run import open_run
from memgen_jax.programs.transition import program

pytestmark = pytest.mark.slow


def config(**settings):
    found = digits.get_config("smoke")
    found.num_train = (2, 8)
    found.onset_items = 32
    found.train.update({"num_steps": 20, "warmup_steps": 5, "schedule": "constant", "steps_per_call": 10})
    found.sampler.update({"num_steps": 3, "at_least": 8, "at_most": 0, "chunk_size": 16})
    found.control.num_samples = 8
    found.phases.num_bootstrap = 5
    found.model.width = 16
    found.update_from_flattened_dict(settings)
    return found


def main(folder: pathlib.Path, **settings) -> None:
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes a float with its step counter
        program.main(config(**settings), str(folder))


def table(file: pathlib.Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def digests(folder: pathlib.Path, pattern: str) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob(pattern))}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """One workdir that grows by a size, then by a seed and a width, and what each stage left of old files."""
    folder = tmp_path_factory.mktemp("growth") / "run"
    states = {}

    def run(name: str, **settings):
        main(folder, **settings)
        states[name] = {
            "tables": {file.name: file.read_text() for file in folder.glob("*.csv")},
            "sets": digests(folder, "samples/*.npz") | digests(folder, "neighbors/*.npz"),
            "losses": len((folder / "metrics.jsonl").read_text().splitlines()),
            "page": (folder / "report.html").read_bytes(),
        }

    run("first")
    run("again")
    run("size", num_train=(2, 8, 16))
    run("fewer")
    run("seed", num_train=(2, 8, 16), seeds=(0, 1))
    run("seed and width", seeds=(0, 1), widths=(8,))
    return folder, states


def test_a_second_run_changes_nothing(grown):
    _, states = grown
    assert states["again"] == states["first"]


def test_one_more_size_leaves_old_sets_and_rows_to_the_byte(grown):
    _, states = grown
    first, more = states["first"], states["size"]
    assert first["sets"].items() < more["sets"].items()
    for name, text in first["tables"].items():
        lines = more["tables"][name].splitlines()
        assert set(text.splitlines()) <= set(lines), name
        assert len(lines) > len(text.splitlines()), name
    assert more["page"] != first["page"]


def test_asking_for_less_afterwards_changes_no_set_and_no_table(grown):
    _, states = grown
    assert states["fewer"]["sets"] == states["size"]["sets"]
    assert states["fewer"]["tables"] == states["size"]["tables"]


def test_seeds_and_widths_are_added_beside_what_is_there(grown):
    folder, states = grown
    assert states["size"]["sets"].items() < states["seed and width"]["sets"].items()
    members = {row["name"]: row for row in table(folder / "members.csv")}
    assert len(members) == 3 * 2 * 2
    assert members["num_train=000008"]["width"] == ""  # trained when there was one width
    assert members["num_train=000008,width=008,seed=1"]["width"] == "8"
    assert {row["width"] for row in table(folder / "fractions.csv")} == {"8", "16"}
    settings = json.loads((folder / "config.json").read_text())
    assert (
        settings["num_train"] == [2, 8, 16] and settings["seeds"] == [0, 1] and settings["widths"] == [8, 16]
    )


def test_every_column_of_every_table_is_explained_and_every_table_of_networks_has_a_width(grown):
    folder, states = grown
    assert outputs.undocumented("transition", folder) == []
    told = json.loads((folder / "columns.json").read_text())
    assert set(told) == {file.name for file in folder.glob("*.csv")} | {"transition.json"}
    assert not [(name, c) for name, own in told.items() for c, text in own.items() if not text]
    for name in ("fractions.csv", "repeats.csv", "copying.csv", "onset.csv"):
        header, row = states["first"]["tables"][name].splitlines()[:2]
        assert header.endswith(",width") and row.endswith(",16"), name


def test_a_grown_run_opens_with_the_names_that_its_members_have(grown):
    folder, _ = grown
    run = open_run(str(folder)).run
    assert all((folder / f"samples/{member.name}.npz").exists() for member in (*run.members, *run.controls))


def test_a_seed_added_later_is_the_seed_of_a_run_that_began_with_it(grown, tmp_path):
    folder, _ = grown
    main(tmp_path / "alone", seeds=(1,), num_train=(8,))
    alone = np.load(tmp_path / "alone/samples/num_train=000008.npz")["images"]
    np.testing.assert_array_equal(np.load(folder / "samples/num_train=000008,seed=1.npz")["images"], alone)


def test_more_samples_follow_those_that_are_there_and_are_those_of_a_larger_set(tmp_path):
    main(tmp_path / "run")
    before = np.load(tmp_path / "run/samples/num_train=000008.npz")["images"]
    main(tmp_path / "run", **{"sampler.per_train": 6})
    more = np.load(tmp_path / "run/samples/num_train=000008.npz")["images"]
    assert (len(before), len(more)) == (32, 48)
    np.testing.assert_array_equal(more[:32], before)
    assert len(np.load(tmp_path / "run/neighbors/num_train=000008.npz")["train_distance"]) == 48
    assert {row["num_synthetic"] for row in table(tmp_path / "run/fractions.csv")} == {"12", "48"}
    main(tmp_path / "whole", **{"sampler.per_train": 6})
    whole = np.load(tmp_path / "whole/samples/num_train=000008.npz")["images"]
    np.testing.assert_array_equal(more, whole)


def test_more_steps_continue_a_constant_schedule_to_the_bits_of_a_longer_run(tmp_path):
    settings = {"num_train": (2,), "train.num_snapshots": 2}
    main(tmp_path / "run", **settings)
    early = np.load(tmp_path / "run/samples/num_train=000002.npz")["images"]
    main(tmp_path / "run", **settings, **{"train.num_steps": 40})
    main(tmp_path / "whole", **settings, **{"train.num_steps": 40})
    for name in ("num_train=000002", "num_train=000002,step=0000020"):
        found, whole = (np.load(tmp_path / run / f"samples/{name}.npz")["images"] for run in ("run", "whole"))
        np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(
        np.load(tmp_path / "run/samples/num_train=000002,step=0000020.npz")["images"], early
    )
    with pytest.raises(InputError, match=r"train.num_steps \(40 there, 20 now\).*not taken back"):
        main(tmp_path / "run", **settings)
    with pytest.raises(InputError, match="asks for step 30, which has passed"):
        main(tmp_path / "run", **settings, **{"train.num_steps": 60})


def test_a_schedule_that_has_ended_is_refused_with_the_way_on(tmp_path):
    settings = {"num_train": (2,), "train.schedule": "cosine"}
    main(tmp_path / "run", **settings)
    with pytest.raises(InputError, match=r"train.num_steps \(20 there, 30 now\).*cosine.*init_from="):
        main(tmp_path / "run", **settings, **{"train.num_steps": 30})
    with pytest.raises(InputError, match="has no network of K = 8"):
        main(tmp_path / "refused", init_from=str(tmp_path / "run"), num_train=(2, 8))
    with pytest.raises(InputError, match="another model"):
        wrong = {"init_from": str(tmp_path / "run"), "model.num_blocks": 2, "num_train": (2,)}
        main(tmp_path / "refused", **wrong)
    assert not (tmp_path / "refused").exists()
    main(tmp_path / "on", init_from=str(tmp_path / "run"), **settings, **{"train.num_steps": 10})
    first = json.loads((tmp_path / "on/metrics.jsonl").read_text().splitlines()[0])
    drawn = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"][0] < drawn["loss"][0]  # the mean over the first 10 or 20 steps


def test_reports_are_drawn_anew_when_a_setting_of_theirs_has_changed(tmp_path, capsys):
    main(tmp_path / "run", num_train=(2,))
    main(tmp_path / "run", num_train=(2,), onset_items=16)
    assert {row["num_held_out"] for row in table(tmp_path / "run/onset.csv")} == {"16"}
    capsys.readouterr()
    main(tmp_path / "run", num_train=(2,), onset_items=16)
    assert "This run is finished" in capsys.readouterr().out
