"""The geometry program as a user meets it: on a run made here, and with mistakes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from memgen_jax import geometry, metrics, phases
from memgen_jax.errors import InputError
from memgen_jax.metrics import lpips as metric_module
from memgen_jax.programs import outputs
from memgen_jax.programs.geometry import sources as geometry_sources
from memgen_jax.programs.settings import settings_from

ROOT = Path(__file__).parents[3]


def run_program(*arguments):
    command = [sys.executable, "-m", "experiments.geometry", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def exact_run(tmp_path_factory):
    """A transition run of the exact score on digits, written by hand: no training, no sampling.

    Its samples are training items (memorized), one picture twice (spurious) and noise (generalized).
    """
    from memgen_jax import data

    folder = tmp_path_factory.mktemp("run")
    digits = data.load("digits")
    train = digits.train[data.permutation(digits.num_train)]
    config = json.loads(json.dumps(exact_config(folder.name).to_dict()))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "fractions.csv").write_text("num_train,delta_m,delta_s\n4,1.0,0.5\n")
    (folder / "samples").mkdir()
    (folder / "neighbors").mkdir()
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    images = np.concatenate([train[:4], np.repeat(train[100:101], 2, axis=0), noise])
    np.savez(folder / "samples/num_train=000004.npz", images=images)
    np.savez(
        folder / "neighbors/num_train=000004.npz",
        train_distance=np.float32([0, 0, 0, 0, 6, 6, 8, 9, 7]),
        synthetic_distance=np.float32([5, 5, 5, 5, 0, 0, 8, 8, 8]),
        train_index=np.int32([0, 1, 2, 3, 0, 0, 1, 2, 3]),
        synthetic_index=np.int32([1, 0, 3, 2, 5, 4, 7, 6, 7]),
    )
    return folder


def exact_config(name):
    from configs import digits

    config = digits.get_config("smoke")
    config.model = ConfigDict({"name": "exact"})
    config.num_train = (4,)
    return config


def test_the_most_certain_samples_come_first():
    train = np.float32([0.9, 0.1, 3.0, 3.0, 3.0, 1.2])
    synthetic = np.float32([1.0, 1.0, 0.1, 0.45, 9.0, 0.1])
    labels = phases.classify(train, synthetic, 1.0, 0.5)
    np.testing.assert_array_equal(labels, [0, 0, 1, 1, 2, 1])
    score = geometry_sources.certainty(labels, train, synthetic, 1.0, 0.5)
    assert np.all(score > 0)
    # Sample 5 repeats another as closely as sample 2 but lies next to a training item.
    np.testing.assert_array_equal(geometry_sources.most_certain(labels, score, [0, 1, 2], 2), [1, 0, 2, 5, 4])


def test_samples_are_drawn_at_random_and_by_name():
    labels = np.repeat([0, 1, 2], 100)
    draws = [geometry_sources.at_random(labels, (0, 64, seed), [0, 2], 5) for seed in range(400)]
    np.testing.assert_array_equal(draws[3], geometry_sources.at_random(labels, (0, 64, 3), [0, 2], 5))
    assert all(len(set(draw)) == 10 and set(labels[draw]) == {0, 2} for draw in draws)
    counts = np.bincount(np.concatenate(draws), minlength=300)
    assert counts[100:200].sum() == 0
    for label in (0, 2):  # 5 of 100, 400 times: 20 each, with a variance of 19
        spread = np.sum((counts[labels == label] - 20) ** 2) / 19
        assert 60 < spread < 150  # chi squared of 99 degrees of freedom


def test_copies_of_one_item_and_a_chain_of_repeats_are_one_observation():
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 1, 1])
    train_index = np.array([4, 7, 4, 0, 0, 0, 0, 0, 0, 0])
    #                     copies | 3 -> 4 -> 5 -> 4 | alone | 8 <-> 9
    synthetic_index = np.array([2, 0, 0, 4, 5, 4, 7, 6, 9, 8])
    repeats = np.array([1, 0, 1, 1, 1, 1, 0, 0, 1, 1], bool)
    unit = geometry_sources.units_of(labels, train_index, synthetic_index, repeats)
    same = unit[:, None] == unit
    groups = [{0, 2}, {1}, {3, 4, 5}, {6}, {7}, {8, 9}]
    expected = np.array([[any(i in g and j in g for g in groups) for j in range(10)] for i in range(10)])
    np.testing.assert_array_equal(same, expected)


def test_a_repeat_of_a_memorized_sample_is_not_joined_through_it():
    labels, nearest = np.array([0, 1, 1]), np.array([1, 0, 0])
    unit = geometry_sources.units_of(labels, np.zeros(3, int), nearest, np.ones(3, bool))
    assert len(set(unit)) == 3


def test_a_label_from_elsewhere_is_as_certain_as_the_distances_agree_with_it():
    train, synthetic = np.float32([np.inf] * 3), np.float32([0.1, 0.4, 2.0])
    labels = np.full(3, phases.GENERALIZED)  # two of them repeat another sample nevertheless
    score = geometry_sources.certainty(labels, train, synthetic, 1.0, 0.5)
    np.testing.assert_allclose(score, np.log([0.1 / 0.5, 0.4 / 0.5, 2.0 / 0.5]), rtol=1e-5)
    np.testing.assert_array_equal(geometry_sources.most_certain(labels, score, [2], 3), [2, 1, 0])


@pytest.mark.parametrize("with_train", [True, False])
def test_a_pipelines_pictures_are_labelled_by_what_they_repeat(with_train, tmp_path):
    random = np.random.default_rng(0)
    known, images = random.integers(0, 256, (2, 5, 8, 8, 3), dtype=np.uint8)
    images[1] = known[3]  # a copy of a training picture
    images[4] = images[2]  # a repeat among samples
    np.savez(tmp_path / "train.npz", images=known)
    train = str(tmp_path / "train.npz") if with_train else ""
    distances, (copied, repeated) = geometry_sources.pipeline_neighbors(
        images, train, metrics.Pixels(is_image=True)
    )
    assert repeated[2] == 4 and repeated[4] == 2 and (copied[1] == 3 or not with_train)
    labels = [phases.NAMES[label] for label in phases.classify(*distances, 1.0, 1.0)]
    copy = "memorized" if with_train else "generalized"
    assert labels == ["generalized", copy, "spurious", "generalized", "spurious"]
    difference = (images.astype(float)[:, None] - images) / 127.5
    apart = np.sqrt(np.sum(difference**2, axis=(2, 3, 4))) + np.diag([np.inf] * 5)
    np.testing.assert_allclose(distances[1], apart.min(axis=1), rtol=1e-5, atol=1e-4)


def test_a_pipelines_pictures_can_be_compared_in_lpips(monkeypatch):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    embedding = random.normal(size=(4, 6)).astype(np.float16)
    monkeypatch.setattr(metric_module, "lpips_embedding", lambda items, **_: embedding)
    (_, among), _ = geometry_sources.pipeline_neighbors(images, "", metrics.Lpips())
    apart = np.sum((embedding[:, None].astype(float) - embedding) ** 2, axis=2) + np.diag([np.inf] * 4)
    np.testing.assert_allclose(among, apart.min(axis=1), rtol=1e-3)


@pytest.mark.parametrize("setting", ["samples_per_prompt", "batch_size"])
def test_a_pipeline_must_draw_something(setting, monkeypatch):
    from configs import geometry_pipeline
    from memgen_jax.programs.geometry import settings as geometry_settings

    config = geometry_pipeline.get_config("smoke")
    config.pipeline = "some/folder"
    monkeypatch.setattr(geometry_settings.bridges, "read_folder", lambda path: None)
    geometry_settings.check(settings_from(geometry_settings.GeometrySettings, config))
    config.sampling[setting] = 0
    with pytest.raises(InputError, match=f"sampling.{setting}=0 must be at least 1"):
        geometry_settings.check(settings_from(geometry_settings.GeometrySettings, config))


def test_a_phase_that_is_asked_for_and_missing_is_counted():
    labels = np.array([0, 0, 2])
    assert geometry_sources.wanted_labels((), labels, "run") == [0, 2]
    with pytest.raises(InputError, match=r"no spurious sample .it has 2 memorized, 0 spurious"):
        geometry_sources.wanted_labels(("memorized", "spurious"), labels, "run")
    with pytest.raises(InputError, match="copied"):
        geometry_sources.wanted_labels(("copied",), labels, "run")


@pytest.mark.slow
def test_the_exact_score_of_four_patterns_has_deep_basins_at_its_patterns_only(exact_run, tmp_path):
    workdir = tmp_path / "geometry"
    arguments = (
        "--config=configs/geometry_digits.py:smoke",
        f"--config.run={exact_run}",
        f"--workdir={workdir}",
    )
    done = run_program(*arguments)
    assert done.returncode == 0, done.stderr
    assert outputs.undocumented("geometry", workdir) == []
    rows = list(csv.DictReader((workdir / "basins.csv").open()))
    by_label = {name: [r for r in rows if r["label"] == name] for name in phases.NAMES}
    assert [len(r) for r in by_label.values()] == [4, 2, 3]
    # These patterns are 5.6 or more apart: past a mid-plane goes 1 copy in 30,000 at t = 200, 1 in 6 at 400.
    assert all(float(row["critical_time"]) >= 200 for row in by_label["memorized"])
    for row in by_label["spurious"] + by_label["generalized"]:  # the exact score returns to patterns alone
        assert float(row["critical_time"]) == 0 and float(row["log_volume"]) == -np.inf
        assert float(row["recovered_t=200"]) == 0 and float(row["recovered_t=200_high"]) > 0

    spectra = np.load(workdir / "spectra.npz")
    assert spectra["singular_values"].shape == (9, 2, 64)
    np.testing.assert_allclose(spectra["singular_values"][:4, 0], 1, atol=0.05)

    table = list(csv.DictReader((workdir / "geometry.csv").open()))
    volume = [r for r in table if r["quantity"] == "log_volume" and r["num_train"] == "4"]
    assert [int(r["infinite"]) for r in volume] == [0, 2, 3]
    assert [int(r["observations"]) for r in volume] == [4, 1, 3]
    assert float(volume[0]["p_memorized_generalized"]) < 0.05  # 1 of 35 ways
    assert all(float(r["holm_trend"]) >= float(r["p_trend"]) for r in volume)
    assert float(volume[0]["p_spurious_generalized"]) == 1  # all -inf: nothing but ties
    for name in ("report.html", "figures/recovery.png", "figures/recovery.pdf", "environment.json"):
        assert (workdir / name).stat().st_size > 0

    again = run_program(*arguments)
    assert again.returncode == 0 and "finished" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "either --config.run=DIR"),
        (("--config.run=absent",), "no finished transition run"),
        (("--config.run={run}", "--config.select.num_train=(8,)"), "select.num_train=8 is not a size"),
        (("--config.run={run}", "--config.basins.metric=ssim"), "basins.metric='ssim'"),
        (
            ("--config.run={run}", "--config.select.order=best"),
            "select.order='best' must be one of random, certain",
        ),
        (("--config.run={run}", "--config.basins.metric=lpips"), "at least 28 pixels a side, got 8×8"),
        (("--config.run={run}", "--config.basins.delta=0.0"), "basins.delta=0.0 must be positive"),
        (("--config.run={run}", "--config.curvature.times=(0.0,)"), "curvature.times"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, sentence, exact_run, tmp_path):
    filled = [argument.format(run=exact_run) for argument in arguments]
    done = run_program("--config=configs/geometry_digits.py:smoke", *filled, f"--workdir={tmp_path / 'w'}")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_run_becomes_groups_of_labelled_samples(exact_run):
    from configs import geometry_digits
    from memgen_jax.programs.geometry.settings import GeometrySettings

    config = geometry_digits.get_config("smoke")
    config.run = str(exact_run)
    config.select.per_phase = 2
    config.select.order = "certain"
    source = geometry_sources.from_run(settings_from(GeometrySettings, config))
    (group,) = source.groups
    np.testing.assert_array_equal(group.labels, [0, 0, 1, 1, 2, 2])
    assert group.items.shape == (6, 8, 8, 1) and abs(group.items).max() <= 1
    assert (
        len(set(group.units[:2])) == 2 and len(set(group.units[2:4])) == 1
    )  # two patterns; one picture twice
    assert group.samples[4] == 7  # the noise that is farthest from a training item
    denoiser = source.denoiser_of(group.params_of(), None)
    matrix = geometry.curvature_matrix(jnp.asarray(group.items[0]), jnp.float32(20), denoiser, source.process)
    np.testing.assert_allclose(matrix, np.eye(64), atol=1e-3)
    # The training set is an argument of a program, not a part of it: in its text 1,437 digits would be 736 kB.
    program = jax.jit(lambda params, x: source.denoiser_of(params, None)(x, jnp.float32(20)))
    assert len(program.lower(group.params_of(), group.items[0]).as_text()) < 1e5
