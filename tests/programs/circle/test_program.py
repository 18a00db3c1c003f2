"""The circle's program: wrong settings, the ensemble's training, and a whole small run."""

import csv
import dataclasses
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.circle import get_config
from memgen_jax import data, diffusion, models, runs
from memgen_jax.errors import InputError
from memgen_jax.programs import outputs
from memgen_jax.programs.circle import program as circle
from memgen_jax.programs.circle import training as circle_training
from memgen_jax.programs.circle.settings import CircleRun

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROOT = pathlib.Path(__file__).parents[3]
PROCESS = diffusion.VE()
SETTINGS = circle_training.TrainSettings(
    num_steps=4,
    batch_size=16,
    learning_rate=1e-2,
    repeat_small=True,
    warmup_steps=0,
    schedule="constant",
    grad_clip=1.0,
    ema_decay=0.5,
    prediction="denoised",
    times="mixed",
    weight="inverse_time",
    steps_per_call=2,
    checkpoint_seconds=1e9,
)


@pytest.fixture(autouse=True)
def standard_promotion():
    """optax's Adam raises a float to the power of an integer step."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def points():
    return data.circle(num_train=100, num_held_out=1).train


@pytest.fixture(scope="module")
def model():
    return models.mlp((2,), width=16, num_blocks=1, time_features="log_fourier", time_in_blocks=False)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("num_train", (2, 2000), r"num_train=2000 must lie in 1\.\.1000"),
        ("num_train", (9, 2), "ascending order"),
        ("landscape.time", 0.0, r"landscape.time=0.0 must lie in \(0, 1\]"),
        ("landscape.time", 1.5, r"landscape.time=1.5 must lie in \(0, 1\]"),
        ("attractors.time", 2.0, r"attractors.time=2.0 must lie in \(0, 1\]"),
        ("attractors.times", (), "attractors.times is empty"),
        ("attractors.ring_starts", 0, "attractors.ring_starts=0 must be at least 1"),
        ("attractors.merge_distance", 0.0, "attractors.merge_distance=0.0 must be positive"),
        ("landscape.tolerance", 0.0, "landscape.tolerance=0.0 must be positive"),
        ("phase_diagram.num_patterns", (0, 2), "phase_diagram.num_patterns=0 must be at least 1"),
        ("phase_diagram.draws", 0, "phase_diagram.draws=0 must be at least 1"),
        ("sampler.num_steps", 0, "sampler.num_steps=0 must be at least 1"),
        ("seed", -1, "seed=-1 must be at least 0"),
        ("train.learning_rate", 0.0, "train.learning_rate=0.0 must be positive"),
        ("train.grad_clip", -1.0, "train.grad_clip=-1.0 must be at least 0"),
        ("attractors.times", (0.1, -1.0), r"attractors.times=-1.0 must lie in \(0, 1\]"),
        ("landscape.theory_beta", -3.0, "theory_beta=-3.0 must be positive"),
        ("landscape.theory_beta", 0.1, r"theory_beta=0.1 must be at least 1 / \(2 sigma\^2\) = 0.5"),
        ("phase_diagram.betas", (1.0, 0.0), "phase_diagram.betas=0.0 must be positive"),
        ("landscape.prior", "flat", "'flat' is not one of exact, gaussian"),
        ("sampler.num_samples", 1, "num_samples=1 must be at least 2"),
        ("train.times", "often", "times='often' must be one of uniform, mixed"),
        ("train.num_steps", 0, "num_steps=0 must be at least 1"),
        ("train.ema_decay", 1.0, r"ema_decay=1.0 must be in \[0, 1\)"),
        ("sigma", 0.0, "sigma=0.0 must be positive"),
        ("delta", 0.0, "delta=0.0 must be positive"),
    ],
)
def test_wrong_settings_are_one_sentence(name, value, message):
    config = get_config("smoke")
    with config.unlocked():
        config.update_from_flattened_dict({name: value})
    with pytest.raises(InputError, match=message):
        CircleRun(config)


def test_every_variant_is_a_valid_setting():
    for variant in ("", "smoke", "paper"):
        run = CircleRun(get_config(variant))
        assert run.train.shape == (run.settings.total, 2)
    paper = CircleRun(get_config("paper")).settings
    assert (paper.train.num_steps, paper.train.batch_size, paper.train.learning_rate) == (800_000, 500, 1e-4)
    with pytest.raises(ValueError, match="no variant 'huge'"):
        get_config("huge")


def test_a_small_set_fills_the_batch_evenly_and_a_large_one_is_drawn_from_its_first_k_rows(key):
    small = circle_training.draw_rows(key, jnp.asarray(3), 16)
    np.testing.assert_array_equal(np.bincount(small), [6, 5, 5])
    large = jax.vmap(lambda key: circle_training.draw_rows(key, jnp.asarray(40), 16))(
        jax.random.split(key, 200)
    )
    assert set(np.unique(large)) == set(range(40))


@pytest.fixture(scope="module")
def together(points, model):
    """Two members trained together."""
    with jax.numpy_dtype_promotion("standard"):
        return circle_training.train_ensemble((2, 9), points, model, PROCESS, SETTINGS)


def test_a_member_is_the_same_alone_and_in_company(together, points, model):
    alone = circle_training.train_ensemble((9,), points, model, PROCESS, SETTINGS)
    for left, right in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(left[1], right[0], rtol=1e-4, atol=1e-6)


def test_a_continued_run_ends_with_the_same_bits(together, points, model, tmp_path):
    settings = dataclasses.replace(SETTINGS, checkpoint_seconds=0.0)  # saves after every call of two steps
    workdir = runs.Workdir(tmp_path, {})

    class Told(runs.progress.Silent):
        def __init__(self):
            self.steps = []

        def log(self, record):
            self.steps.append(record["step"])

    class Interrupt(Told):
        def log(self, record):
            if record["step"] == 4:
                raise KeyboardInterrupt

    arguments = ((2, 9), points, model, PROCESS, settings)
    with pytest.raises(KeyboardInterrupt):
        circle_training.train_ensemble(*arguments, workdir=workdir, progress=Interrupt())
    told = Told()
    continued = circle_training.train_ensemble(*arguments, workdir=workdir, progress=told)
    assert told.steps == [4]
    jax.tree.map(np.testing.assert_array_equal, together, continued)


@pytest.mark.parametrize("repeat_small", [True, False], ids=["repetitions", "the paper's min(K, 500)"])
def test_rows_beyond_k_do_not_reach_a_member(points, model, repeat_small, key):
    settings = dataclasses.replace(SETTINGS, repeat_small=repeat_small)
    init, step = circle_training.make_train_step(model, PROCESS, settings)
    step = jax.jit(step)
    changed = points.copy()
    changed[9:] = 7.0

    def two_steps(train):
        state = init(key)
        for number in range(2):
            state, _ = step(key, state, jnp.int32(number), jnp.int32(9), train)
        return jax.tree.map(np.asarray, state.params)

    expected = two_steps(points)
    jax.tree.map(np.testing.assert_array_equal, expected, two_steps(changed))
    changed[8] = 7.0
    differs = jax.tree.map(lambda left, right: np.any(left != right), expected, two_steps(changed))
    assert any(jax.tree.leaves(differs))


def test_a_loss_that_is_not_finite_stops_the_run_with_one_sentence(points, model):
    broken = points.copy()
    broken[5] = np.nan
    with pytest.raises(InputError, match="the loss of K=9 is not finite between steps 0 and 2"):
        circle_training.train_ensemble((2, 9), broken, model, PROCESS, SETTINGS)


def test_a_score_that_is_not_finite_is_told_with_its_k_and_time():
    score, solved = np.ones((2, 4, 2)), np.ones((2, 4), bool)
    circle.require_finite((2, 9), score, solved, 0.15)
    score[1, 3, 0] = np.inf
    solved[1, 0] = False
    with pytest.raises(InputError, match=r"score of K=9 is not finite, .* at 2 of 4 grid points at t=0.15"):
        circle.require_finite((2, 9), score, solved, 0.15)


def test_clusters_are_numbered_from_the_largest():
    points = np.array([[0, 0], [5, 5], [5, 5.1], [0, 9], [5, 4.9]], np.float32)
    labels, centroids = circle.gather_clusters(points, distance=1.0)
    np.testing.assert_array_equal(labels == 0, [False, True, True, False, True])
    np.testing.assert_allclose(centroids[0], [5, 5], atol=1e-6)
    assert len(centroids) == 3


def test_the_command_line_tells_a_mistake_in_one_line_and_exits_with_2(tmp_path):
    command = [sys.executable, "-m", "experiments.circle", "--config=configs/circle.py:smoke"]
    command += ["--config.num_train=(2,5000)", f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("memgen circle: --config.num_train=5000 must lie in 1..1000")
    )
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_smoke_run_leaves_its_files_and_a_second_one_says_so(tmp_path):
    command = [sys.executable, "-m", "experiments.circle", "--config=configs/circle.py:smoke"]
    command.append(f"--workdir={tmp_path}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert outputs.undocumented("circle", tmp_path) == []
    for size in ("000002", "000009", "001000", "infinity"):
        with np.load(tmp_path / f"landscape_num_train={size}.npz", allow_pickle=False) as file:
            assert file["train"].shape == (1000 if size == "infinity" else int(size), 2)
            assert file["grid"].shape == (8, 8, 2)
            assert file["exact_energy"].shape == file["learned_energy"].shape == (8, 8)
            assert file["exact_score"].shape == file["learned_score"].shape == (8, 8, 2)
            assert file["generated"].shape == (100, 2)
            for name in ("generated_energy", "cluster", "kind", "stiffness"):
                assert file[name].shape == (100,)
            assert len(file["centroids"]) == len(file["centroid_energy"]) == file["cluster"].max() + 1
            assert all(np.isfinite(file[name]).all() for name in file.files)
            if size == "infinity":  # its own score through the likelihood: Eq. 21 gives the closed form
                np.testing.assert_allclose(file["learned_energy"], file["exact_energy"], atol=1e-4)
                np.testing.assert_allclose(file["learned_score"], file["exact_score"], rtol=1e-4, atol=1e-4)
    with (tmp_path / "circle.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["num_train"] for row in rows] == ["2", "9", "1000", "inf"]
    assert float(rows[-1]["generalized"]) == 1 and float(rows[-1]["energy_correlation_exact"]) > 0.99999
    for row in rows[:-1]:
        for suffix in ("", "_by_distance"):
            total = sum(float(row[f"{name}{suffix}"]) for name in ("memorized", "spurious", "generalized"))
            assert abs(total - 1) < 1e-9
        # Even 300 steps find the landscape's shape.
        assert float(row["energy_correlation_exact"]) > 0.9
        assert row["exact_minima_t=0.001_off_train"] == "0"
    assert [rows[i]["exact_minima_t=0.001"] for i in (0, 1)] == ["2", "9"]
    for name in ("landscapes", "temperature", "ring_radius", "phase_diagram", "critical_load"):
        for kind in ("png", "pdf"):
            assert (tmp_path / "figures" / f"{name}.{kind}").stat().st_size > 0
    assert "On the circle" in (tmp_path / "report.html").read_text()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0 and "This run is finished" in again.stdout
    diagram = tmp_path / "phase_diagram.csv"
    written = diagram.read_bytes()
    diagram.write_bytes(written.replace(b"spurious_minima", b"spurious"))  # as an earlier version called it
    (tmp_path / "report.html").unlink()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0 and diagram.read_bytes() == written


def test_what_all_members_share_is_an_argument_and_not_written_into_the_program():
    """The circle's 60,000 points in an energy's program."""
    patterns, sizes = jnp.arange(60_000.0).reshape(-1, 2), jnp.arange(4)
    sums = circle_training.over_members(lambda size, patterns: patterns[size].sum() + size, 4, shared=1)
    np.testing.assert_array_equal(sums(sizes, patterns), patterns[:4].sum(1) + sizes)
    assert len(sums.lower(sizes, patterns).as_text()) < 1e4
