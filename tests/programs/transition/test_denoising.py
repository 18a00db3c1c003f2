"""Losses of a run of a few steps, beside a plain loop over items with the parameters that were kept."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import digits
from memgen_jax import data, diffusion, runs, sweep
from memgen_jax.programs.transition import denoising
from memgen_jax.programs.transition import program as transition
from memgen_jax.programs.transition.settings import TransitionRun

STEPS = (4, 8, 16)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = digits.get_config("smoke")
    config.update(num_train=(3, 80))
    with config.unlocked():
        config.denoising_steps = 3
    config.update_from_flattened_dict(
        {"control.run": False, "model.width": 16, "train.num_steps": 16, "train.warmup_steps": 2}
        | {"train.num_snapshots": 3, "train.steps_per_call": 4}
    )
    run, workdir = TransitionRun(config), runs.Workdir(tmp_path_factory.mktemp("denoising"), {})
    losses = denoising.Losses(run, workdir)
    with jax.numpy_dtype_promotion("standard"):  # optax's schedule divides a count by a float
        transition.train(run, workdir, sweep.member_mesh(jax.devices()[:1]), losses.watch())
    losses.measure()
    denoising.tabulate(run, workdir)
    return run, workdir


def test_losses_are_measured_at_halves_of_the_steps_of_both_kinds_of_items(trained):
    workdir = trained[1]
    rows = list(csv.DictReader((workdir / "denoising.csv").open()))
    found = {(int(r["num_train"]), int(r["step"]), r["items"], int(r["num_items"])) for r in rows}
    own = {3: (3, 3, 3), 80: (64, 64, 80)}
    unseen = (64, 64, 256)
    assert found == {
        (size, step, kind, count)
        for size in (3, 80)
        for kind, counts in (("train", own[size]), ("held_out", unseen))
        for step, count in zip(STEPS, counts, strict=True)
    }
    assert {row["width"] for row in rows} == {"16"} and list(rows[0])[-1] == "width"


@pytest.mark.parametrize("step", [4, None])
def test_a_loss_is_the_mean_square_error_of_the_denoised_item(trained, step):
    run, workdir = trained
    member = run.members[1] if step is None else run.members[1].at(step)
    source = run.source(None, workdir.path)
    denoiser = jax.jit(source.denoiser_of(source.params_of(member), source.shared))
    found = denoising.kept(run, workdir, member)
    items = data.decode(run.dataset.held_out[:3])
    for level, t in enumerate(found["time"][:2]):
        for place, clean in enumerate(items):
            noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), place), clean.shape)
            noisy = run.process.perturb(jnp.asarray(clean), noise, jnp.float32(t))
            error = np.mean((np.asarray(denoiser(noisy, jnp.float32(t))) - clean) ** 2)
            assert found["held_out"][level, place] == pytest.approx(error, rel=1e-4)


def test_noise_levels_are_those_of_the_process():
    process = diffusion.DDPM(num_steps=1000)
    for noise, t in denoising.times_of(process).items():
        assert noise == pytest.approx(float(process.std(t) / process.mean_coefficient(t)), rel=1e-5)


def test_steps_that_a_run_passed_before_are_left_out(trained):
    run, workdir = trained
    (workdir / f"losses/{run.members[0].at(8).name}.npz").unlink()
    denoising.tabulate(run, workdir)
    rows = list(csv.DictReader((workdir / "denoising.csv").open()))
    assert {int(r["step"]) for r in rows if r["num_train"] == "3"} == {4, 16}
    assert {int(r["step"]) for r in rows if r["num_train"] == "80"} == {4, 8, 16}
