import csv
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import jsonschema
import numpy as np
import pytest
from PIL import Image

from configs import digits
from memgen_jax import data, runs, sweep
from memgen_jax.errors import InputError
from memgen_jax.programs import launcher, outputs
from memgen_jax.programs.transition import program as transition
from memgen_jax.programs.transition import sentences
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.report import schema
from memgen_jax.runs import interrupts

ROOT = pathlib.Path(__file__).parents[3]
SMOKE = "--config=configs/digits.py:smoke"
TINY = (
    SMOKE,
    "--config.num_train=(2,8,32)",
    "--config.train.num_steps=40",
    "--config.train.steps_per_call=10",
    "--config.train.checkpoint_seconds=0.0",
    "--config.train.log_every=20",
    "--config.sampler.chunk_size=16",
)


def command(*arguments):
    return [sys.executable, "-m", "experiments.transition", *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def run_here(capsys, monkeypatch):
    """As `run`, in this process, whose signals and hooks stay: for what ends before or after all computing."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(interrupts, "interrupt_at_once", lambda: None)
    monkeypatch.setattr(launcher, "_only_main_thread_reports_errors", lambda: None)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left, jax.numpy_dtype_promotion("standard"):
            launcher.enter(transition.PROGRAM, [*map(str, arguments)], "python -m experiments.transition")
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, left.value.code, said.out, said.err)

    return run


def table(path):
    with open(path) as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smoke run of the digits, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("a run")
    done = run(SMOKE, f"--workdir={os.path.relpath(folder / 'digits', ROOT)}")  # as `make demo` names it
    assert done.returncode == 0, done.stderr
    return folder / "digits", done


def test_the_run_leaves_every_file_of_its_contract(smoke):
    folder, _ = smoke
    for name in (
        "config.json", "environment.json", "metrics.jsonl", "members.csv", "fractions.csv", "control.csv",
        "transition.json", "report.html", "figures/transition.png", "figures/transition.pdf",
        "figures/histograms.png", "figures/examples.png", "onset.csv", "figures/both_views.png",
    ):  # fmt: skip
        assert (folder / name).stat().st_size > 0, name


def test_every_file_and_column_has_a_meaning(smoke):
    assert outputs.undocumented("transition", smoke[0]) == []


def test_the_json_follows_its_published_schema(smoke):
    folder, _ = smoke
    found = json.loads((folder / "transition.json").read_text())
    jsonschema.Draft202012Validator(schema.load("transition")).validate(found)


def test_fractions_follow_from_the_distances_on_disk(smoke):
    folder, _ = smoke
    for row in table(folder / "fractions.csv"):
        name = f"num_train={int(row['num_train']):06d}.npz"
        found = np.load(folder / "neighbors" / name)
        memorized = found["train_distance"] <= float(row["delta_m"])
        spurious = ~memorized & (found["synthetic_distance"] <= float(row["delta_s"]))
        assert float(row["memorized"]) == pytest.approx(memorized.mean())
        assert float(row["spurious"]) == pytest.approx(spurious.mean())
        assert float(row["memorized_low"]) <= memorized.mean() <= float(row["memorized_high"])


def test_distances_on_disk_are_those_of_the_images_on_disk(smoke):
    """Brute force over the saved uint8 images, in [-1, 1]."""
    folder, _ = smoke
    digits = data.load("digits")
    train = digits.train[data.permutation(digits.num_train)][:16].reshape(16, -1) / 127.5
    images = np.load(folder / "samples/num_train=000016.npz")["images"]
    assert images.dtype == np.uint8 and images.shape == (64, 8, 8, 1)
    points = images.reshape(64, -1) / 127.5
    found = np.load(folder / "neighbors/num_train=000016.npz")
    to_train = np.linalg.norm(points[:, None] - train[None], axis=-1)
    among = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.diag(np.full(64, np.inf))
    np.testing.assert_allclose(found["train_distance"], to_train.min(1), atol=1e-5)
    np.testing.assert_array_equal(found["train_index"], to_train.argmin(1))
    np.testing.assert_allclose(found["synthetic_distance"], among.min(1), atol=1e-5)


def test_the_onset_table_follows_from_the_images_on_disk(smoke):
    """Δ of the coordinates at K = 16, with the integrals of all pairs written out."""
    from scipy.stats import norm

    folder, _ = smoke
    digits = data.load("digits")
    items = digits.train[data.permutation(digits.num_train)].reshape(-1, 64) / 127.5 - 1
    train, unseen = items[:16], np.concatenate([digits.held_out.reshape(-1, 64) / 127.5 - 1, items[16:]])
    samples = np.load(folder / "samples/num_train=000016.npz")["images"].reshape(-1, 64) / 127.5 - 1
    spread = np.sqrt(np.mean((unseen - unseen.mean(0)) ** 2))
    width = (
        np.sqrt(2) * spread * (4 / 3 / 128) ** 0.2
    )  # Silverman's in one dimension at the sweep's largest K

    def overlap(a, b):
        return spread * np.mean([norm.pdf(row - b, scale=width).sum(1).mean() for row in a])

    e_tg = overlap(train, train) - 2 * overlap(train, samples) + overlap(samples, samples)
    (row,) = (r for r in table(folder / "onset.csv") if (r["num_train"], r["view"]) == ("16", "coordinates"))
    assert float(row["e_tg"]) == pytest.approx(e_tg, rel=1e-4) and int(row["num_held_out"]) == 1781
    critical = json.loads((folder / "transition.json").read_text())["onset"]
    assert set(critical) == {"coordinates", "components"}


def test_the_exact_score_memorizes_at_every_size(smoke):
    """The pipeline's own control: sampler, search and thresholds together."""
    folder, _ = smoke
    assert all(float(row["memorized"]) == 1.0 for row in table(folder / "control.csv"))


def test_a_model_of_two_images_memorizes_them(smoke):
    folder, _ = smoke
    assert float(table(folder / "fractions.csv")[0]["memorized"]) > 0.5


def test_the_terminal_shows_stages_the_table_and_where_the_pictures_are(smoke):
    _, done = smoke
    assert re.search(r"train: 2,400 model-steps in \d+ (s|min|h)", done.stdout)
    assert re.search(r"\n\s+2\s+32\s+\d\.\d{3} \(", done.stdout)
    assert "digits/report.html" in done.stdout


def test_a_finished_run_says_so_and_changes_nothing(smoke):
    folder, _ = smoke
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
    again = run(SMOKE, f"--workdir={folder}")
    assert again.returncode == 0 and "finished" in again.stdout
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_another_config_on_the_same_workdir_is_refused_with_the_difference(smoke, run_here):
    folder, _ = smoke
    refused = run_here(SMOKE, f"--workdir={folder}", "--config.train.num_steps=801")
    assert refused.returncode == 2
    assert "train.num_steps (800 there, 801 now)" in refused.stderr


def test_another_rule_labels_the_samples_that_are_there(smoke, tmp_path, run_here, undrawn):
    """A rule that finds no thresholds strands nobody: the first one again ends with the first bytes."""
    finished, _ = smoke
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    before = (folder / "fractions.csv").read_bytes()
    valley = run_here(SMOKE, "--config.phases.rule=valley", f"--workdir={folder}")
    assert valley.returncode == 2 and valley.stderr.count("\n") == 1
    assert "no valley" in valley.stderr and "Nothing is lost" in valley.stderr
    assert json.loads((folder / "config.json").read_text())["phases"]["rule"] == "valley"
    assert not (folder / "fractions.csv").exists()
    again = run_here(SMOKE, f"--workdir={folder}")
    assert again.returncode == 0 and "phases.rule (valley there, held_out now)" in again.stdout
    assert (folder / "fractions.csv").read_bytes() == before
    for kind in ("samples", "neighbors", "checkpoints"):
        for file in (finished / kind).rglob("*.npz"):
            assert file.stat().st_mtime_ns == (folder / file.relative_to(finished)).stat().st_mtime_ns


def test_the_page_stands_alone(smoke):
    folder, _ = smoke
    html = (folder / "report.html").read_text()
    assert "data:image/png" in html
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)


@pytest.mark.parametrize(
    "arguments,words",
    [
        ((SMOKE, "--config.train.num_stepz=3"), "no field 'train.num_stepz' (did you mean 'num_steps'?)"),
        ((SMOKE, "--config.data.size=8"), "digits comes as it is: leave out size"),
        ((SMOKE, "--config.train.num_steps=many"), "num_steps"),
        ((SMOKE, "--config.sampler=ddim"), "--config.sampler is a group of settings: name one of them"),
        (("--config=configs/nope.py",), "nope.py"),
        (("--config=configs/digits.py:enormous",), "enormous"),
        ((SMOKE, "--config.data.name=cats"), "cats"),
        ((SMOKE, "--nosuchflag"), "nosuchflag"),
        (
            (SMOKE, "--config.train.data_parallel=64"),
            "--config.train.data_parallel=64 must be a divisor of",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, run_here, arguments, words):
    refused = run_here(*arguments, f"--workdir={tmp_path}/run")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1 and words in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "field,value,words",
    [
        ("num_train", (2, 5000), "5000"),
        ("num_train", (2.5,), "2.5 is not a whole number"),
        ("seeds", (-1,), "seeds=-1"),
        ("shard", "4/4", "4/4"),
        ("process.sigma", 2.0, "'ddpm' has no setting 'sigma'.*num_steps"),
        ("model.name", "unet", "'unet' has no setting 'time_in_blocks'"),
        ("train.prediction", "epsilon", "epsilon"),
        ("sampler.name", "dimm", "dimm"),
        ("sampler.variance", "learned", "learned"),
        ("sampler.num_steps", 2000, "2000"),
        ("sampler.spacing", "even", "spacing='even' must be one of uniform, quadratic"),
        ("sampler.chunk_size", 0, "sampler.chunk_size=0 must be at least 1"),
        ("sampler.eta", float("nan"), "sampler.eta=nan"),
        ("sampler.at_most", 1, "num_train=2 would have 1 sample"),
        ("phases.rule", "eye", "eye"),
        ("phases.rule", "given", "both are 0"),
        ("phases.rule", "paper", "needs phases.table"),
        ("phases.table", "cifar11", "no paper thresholds for 'cifar11'"),
        ("phases.false_positive_rate", 0.001, "360 held-out items"),
        ("phases.num_bootstrap", 0, "num_bootstrap=0"),
        ("control.num_samples", 1, "control.num_samples=1 must be at least 2"),
        ("phases.metric", "lpips", "at least 28 pixels a side, got 8×8"),
        ("data.name", "no_held_out", "no_held_out.npz has none"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_before_anything_is_trained(tmp_path, field, value, words):
    if value == "no_held_out":
        value = str(tmp_path / "no_held_out.npz")
        np.savez(value, images=np.arange(2000 * 4, dtype=np.uint8).reshape(2000, 2, 2, 1))
    config = digits.get_config("smoke")
    config.update_from_flattened_dict({field: value})
    if field == "phases.table":
        config.phases.rule = "paper"
    with pytest.raises(InputError, match=words):
        TransitionRun(config)


def test_missing_lpips_weights_are_told_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMGEN_CACHE", str(tmp_path))
    np.savez(tmp_path / "images.npz", images=np.eye(200, 784, dtype=np.uint8).reshape(200, 28, 28))
    config = digits.get_config("smoke")
    config.data.update({"name": str(tmp_path / "images.npz"), "num_held_out": 100})
    config.update_from_flattened_dict({"num_train": (2,), "phases.metric": "lpips"})
    with pytest.raises(InputError, match="run: memgen fetch-weights"):
        TransitionRun(config)


@pytest.mark.parametrize("workdir", [(), ("--workdir=",)])
def test_no_workdir_is_a_mistake_of_one_sentence(workdir, run_here):
    start = run_here if workdir else run  # one of all mistakes as a shell sees it
    refused = start(SMOKE, *workdir)
    assert refused.returncode == 2 and "--workdir" in refused.stderr and refused.stderr.count("\n") == 1


def test_what_reading_the_data_left_out_is_said(tmp_path):
    for i in range(3):
        Image.fromarray(np.full((8, 8), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    dataset = data.load(str(tmp_path), skip_bad=True, num_held_out=1)
    assert sentences.dataset_phrase(dataset) == (
        "2 training items of shape 8×8×1 (1 unreadable image skipped); 1 held out"
    )


def finish(folder):
    done = run(*TINY, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return (folder / "fractions.csv").read_bytes(), (folder / "control.csv").read_bytes()


@pytest.mark.slow
def test_kill_at_any_moment_of_any_stage_then_the_same_command_ends_with_the_same_bytes(tmp_path):
    """kill -9 as soon as a trace of each stage appears, and at times in between."""
    whole = finish(tmp_path / "whole")
    traces = (
        "config.json", "checkpoints", "metrics.jsonl", "checkpoints/num_train=000032", "samples",
        "samples/num_train=000008.npz", "neighbors", "neighbors/num_train=000032.npz", "transition.json",
        "figures",
    )  # fmt: skip
    folder = tmp_path / "killed"
    deaths = 0
    for trace in traces:
        process = subprocess.Popen(
            command(*TINY, f"--workdir={folder}"),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not (folder / trace).exists():
            time.sleep(0.01)
        time.sleep(0.05 * (deaths % 4))
        process.send_signal(signal.SIGKILL)
        deaths += process.wait() == -signal.SIGKILL
        if (folder / "metrics.jsonl").exists():
            with (folder / "metrics.jsonl").open("a") as stream:
                stream.write('{"stage": "tra')  # as a kill in the middle of a write leaves it
    assert deaths >= 5
    assert finish(folder) == whole


def test_ctrl_c_says_how_to_continue(tmp_path):
    heeding = (
        "import os, sys; from signal import *; signal(SIGINT, SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(  # what is started by a background job ignores the signal
        [
            *(sys.executable, "-c", heeding),
            *command(*TINY, "--config.model.width=8", f"--workdir={tmp_path}/run"),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (tmp_path / "run/checkpoints").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.strip().count("\n") == 0 and "same command continues" in said


@pytest.mark.whole
@jax.numpy_dtype_promotion("standard")  # Adam's bias correction in optax needs it
def test_a_damaged_last_checkpoint_is_set_aside_and_trained_anew_to_the_same_samples(tmp_path, capsys):
    config = digits.get_config("smoke")
    config.num_train = (2,)
    config.model.width = 16
    config.train.update({"num_steps": 20, "steps_per_call": 10, "checkpoint_seconds": 0.0})
    config.sampler.update({"num_steps": 4, "at_least": 8, "chunk_size": 8})
    settings, mesh = TransitionRun(config), sweep.member_mesh()
    workdir = runs.Workdir(tmp_path / "run", config.to_dict())
    transition.train_and_sample(settings, workdir, mesh)
    samples, checkpoints = tmp_path / "run/samples/num_train=000002.npz", tmp_path / "run/checkpoints"
    before = samples.read_bytes()
    samples.unlink()
    shutil.rmtree(checkpoints / "num_train=000002/20/ema")
    transition.train_and_sample(settings, workdir, mesh)
    said = capsys.readouterr().out
    assert "passing over the damaged checkpoint" in said and "was set aside as" in said
    assert (checkpoints / "num_train=000002,damaged,step=0000020/rest").is_dir()
    assert (checkpoints / "num_train=000002/20/ema").is_dir()
    assert samples.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small file system")
@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder])
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        refused = run(*TINY, f"--workdir={folder}/run")
        assert refused.returncode == 2
        assert "make room" in refused.stderr and "Traceback" not in refused.stderr
        subprocess.run(["mount", "-o", "remount,size=60m", folder], check=True)
        done = run(*TINY, f"--workdir={folder}/run")
        assert done.returncode == 0, done.stderr
        assert json.loads((folder / "run/transition.json").read_text())["data"] == "digits"
    finally:
        subprocess.run(["umount", folder])
