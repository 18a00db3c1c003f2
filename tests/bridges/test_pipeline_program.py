"""The geometry program on a tiny Stable Diffusion folder, end to end."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import geometry_pipeline
from memgen_jax import audit, bridges, cli

ROOT = Path(__file__).parents[2]


def run_program(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.geometry", "--config=configs/geometry_pipeline.py:smoke"]
        + [str(argument) for argument in arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )


@pytest.fixture(scope="module")
def pipeline(build_stable_diffusion, tmp_path_factory):
    return build_stable_diffusion(tmp_path_factory.mktemp("sd") / "pipeline")


@pytest.mark.slow
def test_a_stable_diffusion_folder_gives_tables_spectra_and_a_page(pipeline, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("memorized\ta red fox\nspurious\tthe old words\ngeneralized\tsome new ones\n")
    workdir = tmp_path / "geometry"
    done = run_program(f"--config.pipeline={pipeline}", f"--config.prompts={prompts}", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((workdir / "basins.csv").open()))
    assert [row["label"] for row in rows] == ["memorized"] * 2 + ["spurious"] * 2 + ["generalized"] * 2
    samples = np.load(workdir / "samples/pipeline.npz")
    assert samples["images"].shape == (9, 16, 16, 3) and samples["items"].shape == (9, 4, 8, 8)
    spectra = np.load(workdir / "spectra.npz")
    assert spectra["singular_values"].shape == (6, 1, 256)
    assert np.all(np.isfinite(spectra["singular_values"]))
    assert (workdir / "report.html").stat().st_size > 10_000
    assert (workdir / "figures/returns_pipeline.png").exists()


def test_an_audit_takes_a_pipeline_in_place_of_samples(build_ddpm, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit.writing.audit_page, "render", lambda **_: "")
    folder, out = build_ddpm(tmp_path / "pipeline"), tmp_path / "out"
    train = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "train.npz", images=train)
    shared = ["audit", f"--train={tmp_path / 'train.npz'}", "--metric=l2", "--delta-m=1", "--delta-s=1"]
    drawn = [f"--pipeline={folder}", "--num-samples=5", "--steps=2", f"--out={out}"]
    assert cli.main([*shared, *drawn]) == 0
    assert "kept in" in capsys.readouterr().out
    images = np.load(out / "samples.npz")["images"]
    assert images.shape == (5, 8, 8, 3)
    # The kept samples are audited like any others, with the same answer.
    assert cli.main([*shared, f"--samples={out / 'samples.npz'}", f"--out={tmp_path / 'again'}"]) == 0
    assert (out / "labels.csv").read_text() == (tmp_path / "again/labels.csv").read_text()
    (tmp_path / "prompts.txt").write_text("a fox")
    assert cli.main([*shared, *drawn, f"--prompts={tmp_path / 'prompts.txt'}"]) == 2
    assert "takes no prompts: leave --prompts out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_large_latent_is_measured_without_the_matrix(pipeline, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red fox\n")
    workdir = tmp_path / "geometry"
    done = run_program(
        f"--config.pipeline={pipeline}",
        f"--config.prompts={prompts}",
        f"--workdir={workdir}",
        "--config.curvature.full_up_to=100",
        "--config.sampling.delta_s=0.0",
    )
    assert done.returncode == 0, done.stderr
    spectra = np.load(workdir / "spectra.npz")
    assert spectra["smallest_singular_values"].shape == (2, 1, 6)
    assert np.all(spectra["trace_error"] > 0) and "singular_values" not in spectra
    table = list(csv.DictReader((workdir / "geometry.csv").open()))
    assert {row["num_train"] for row in table} == {"all"}
    assert all(row["mean"] == "nan" for row in table if row["quantity"] == "log_determinant")


@pytest.mark.slow
def test_samples_of_unlabelled_prompts_are_labelled_by_what_they_repeat(pipeline, tmp_path):
    texts = ["a red fox", "the old words"]
    (tmp_path / "prompts.txt").write_text("\n".join(texts))
    # The samples that the program will draw: one becomes a training picture, the closest two others repeats.
    drawn = geometry_pipeline.get_config("smoke").sampling
    loaded, count = bridges.load(pipeline), drawn.samples_per_prompt
    latents = bridges.sample_latents(
        loaded,
        count * len(texts),
        contexts=np.repeat(loaded.contexts(texts), count, axis=0),
        guidance_scale=drawn.guidance_scale,
        num_steps=drawn.num_steps,
        seed=drawn.seed,
        batch_size=drawn.batch_size,
    )
    images = bridges.to_pictures(loaded, latents, batch_size=drawn.batch_size)
    pixels = images.reshape(len(images), -1) / 127.5
    apart = np.linalg.norm(pixels[:, None] - pixels, axis=2) + np.diag([np.inf] * len(images))
    pair = set(np.unravel_index(apart.argmin(), apart.shape))
    copied = min(set(range(len(images))) - pair)
    np.savez(tmp_path / "train.npz", images=images[copied][None])
    delta_s = np.sort(apart.min(axis=1))[1:3].mean()  # above the closest pair, below every other distance
    workdir = tmp_path / "geometry"
    done = run_program(
        f"--config.pipeline={pipeline}",
        f"--config.prompts={tmp_path / 'prompts.txt'}",
        f"--config.train={tmp_path / 'train.npz'}",
        f"--workdir={workdir}",
        "--config.sampling.delta_m=0.1",
        f"--config.sampling.delta_s={delta_s}",
        "--config.select.phases=('memorized','spurious','generalized')",
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((workdir / "basins.csv").open()))
    found = [(row["label"], int(row["sample"])) for row in rows]
    assert found[0] == ("memorized", copied)
    assert set(found[1:3]) == {("spurious", sample) for sample in pair}
    assert [label for label, _ in found[3:]] == ["generalized"] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        (None, "name a text file of prompts"),
        ("memorized\ta\nb\n", "labels 1 of 2 prompts"),
        ("copied\ta\n", "label 'copied'"),
    ],
)
def test_prompts_that_do_not_fit_are_one_sentence_and_exit_code_2(prompts, sentence, pipeline, tmp_path):
    arguments = [f"--config.pipeline={pipeline}", f"--workdir={tmp_path / 'w'}"]
    if prompts is not None:
        (tmp_path / "prompts.txt").write_text(prompts)
        arguments.append(f"--config.prompts={tmp_path / 'prompts.txt'}")
    done = run_program(*arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert sentence in done.stderr


@pytest.mark.slow
def test_a_folder_that_is_no_pipeline_is_one_sentence_and_exit_code_2(tmp_path):
    done = run_program(f"--config.pipeline={tmp_path}", f"--workdir={tmp_path / 'w'}")
    assert done.returncode == 2 and "no pipeline folder" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
