"""Twins on disjoint sets, whose samples are made by hand: copies below a size, the same new items above it."""

import csv

import jax
import numpy as np
import pytest

from configs import digits
from memgen_jax import runs, sweep
from memgen_jax.errors import InputError
from memgen_jax.programs.transition import halves
from memgen_jax.programs.transition import program as transition
from memgen_jax.programs.transition.settings import TransitionRun

SIZES = (8, 64)


def settings(**changes):
    config = digits.get_config("smoke")
    config.update(num_train=SIZES)
    with config.unlocked():
        config.halves = True
    config.update_from_flattened_dict({"control.run": False, **changes})
    return config


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    run, workdir = TransitionRun(settings()), runs.Workdir(tmp_path_factory.mktemp("halves"), {})
    new = run.train[1000:1200]
    for member in (*run.members, *run.twins):
        copies = np.resize(run.train_of(member), new.shape)
        workdir.write_npz(f"samples/{member.name}.npz", images=copies if member.num_train == 8 else new)
    transition.find_neighbors(run, workdir)
    halves.tabulate(run, workdir)
    return {int(row["num_train"]): row for row in csv.DictReader((workdir / "halves.csv").open())}


def test_a_row_tells_the_width_of_its_networks(rows):
    assert {row["width"] for row in rows.values()} == {str(settings().model.width)}


def test_networks_that_copy_agree_no_more_than_chance_and_lie_nearer_to_their_own_items(rows):
    assert float(rows[8]["cosine"]) < 0.5 and float(rows[8]["nearer_own"]) > 0.95


def test_networks_that_make_the_same_new_items_agree_and_favour_neither_set(rows):
    row = rows[64]
    assert float(row["cosine"]) == pytest.approx(1)
    assert float(row["null_cosine_low"]) < 0.1 and float(row["null_cosine"]) < 0.3
    assert float(row["nearer_own"]) == 0.5  # the same sample is as often nearer to the one as to the other
    assert float(row["nearer_own_low"]) < 0.5 < float(row["nearer_own_high"])


def test_a_run_with_halves_is_told_to_its_end(tmp_path, quick_compilation, undrawn):
    config = settings(num_train=(2, 16))
    config.onset_items, config.model.width = 32, 16
    config.train.update({"num_steps": 20, "warmup_steps": 5, "steps_per_call": 10, "schedule": "constant"})
    config.sampler.update({"num_steps": 3, "at_least": 8, "chunk_size": 16})
    config.phases.num_bootstrap = 5
    with jax.numpy_dtype_promotion("standard"):  # optax's schedule divides a count by a float
        transition.main(config, str(tmp_path / "run"))
    assert (tmp_path / "run/figures/halves.png").exists() and (tmp_path / "run/halves.csv").exists()
    page = (tmp_path / "run/report.html").read_text()
    assert "Do two networks agree?" in page


def test_a_twin_shares_no_item_and_nothing_drawn_but_the_noise_of_its_samples():
    run = TransitionRun(settings())
    member, twin = run.members[1], run.twins[1]
    assert not set(member.items(run.total)) & set(twin.items(run.total))
    assert len(set(twin.items(run.total))) == 64 and twin.name == f"{member.name},half=2"
    for purpose in sweep.Purpose:
        same = bool((member.key(purpose) == twin.key(purpose)).all())
        assert same == (purpose == sweep.Purpose.SAMPLE)


def test_two_halves_larger_than_the_data_are_refused_at_the_start():
    with pytest.raises(InputError, match="K=719 needs 1438 where there are 1437: leave out sizes above 718"):
        TransitionRun(settings(num_train=(8, 719)))


def test_a_run_without_halves_has_no_twins():
    config = digits.get_config("smoke")
    assert TransitionRun(config).twins == ()
