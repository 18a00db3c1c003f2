"""Run by test_devices.py in a process of its own, with eight CPU devices."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from memgen_jax import data, diffusion, models, phases
from memgen_jax.diffusion import denoiser_from_network
from memgen_jax.errors import InputError
from memgen_jax.runs import Workdir
from memgen_jax.sweep import Sampler, Source, load_ema, make_members, member_mesh, synthesize, train_members
from memgen_jax.sweep.settings import SweepTrainSettings

PROCESS = diffusion.DDPM(num_steps=20)
MODEL = models.mlp((2, 2, 1), width=8, num_blocks=1, num_features=4)
SETTINGS = SweepTrainSettings(num_steps=6, batch_size=8, learning_rate=1e-2, warmup_steps=3, steps_per_call=3)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 1), dtype=np.uint8)
MEMBERS = make_members((2, 3, 5, 9, 12, 17, 20, 25, 31, 40), total=40, batch_size=8)


def train(folder, num_devices, num_steps=6, data_parallel=1, members=MEMBERS):
    settings = dataclasses.replace(SETTINGS, num_steps=num_steps, data_parallel=data_parallel)
    train_members(
        members,
        IMAGES,
        model=MODEL,
        process=PROCESS,
        settings=settings,
        mesh=member_mesh(jax.devices()[:num_devices], data_parallel),
        folder=folder,
    )
    return [load_ema(m, MODEL, settings, folder) for m in members]


def samples(folder, num_devices, emas, members=MEMBERS, size=lambda member: member.num_train, chunk_size=4):
    workdir = Workdir(folder, {"devices": num_devices})
    synthesize(
        members,
        size,
        Source(
            dict(zip(members, emas, strict=True)).__getitem__,
            lambda params, _: denoiser_from_network(
                lambda x, t: MODEL.apply_fn(params, x, t), PROCESS, SETTINGS.prediction
            ),
        ),
        Sampler(
            PROCESS,
            diffusion.make_step("ancestral"),
            num_steps=20,
            item_shape=(2, 2, 1),
            images=True,
            chunk_size=chunk_size,
            steps_per_call=7,
        ),
        mesh=member_mesh(jax.devices()[:num_devices]),
        workdir=workdir,
    )
    return [workdir.read_npz(f"samples/{m.name}.npz")["images"] for m in members]


@pytest.fixture(scope="module")
def emas(tmp_path_factory):
    """Number of devices -> the trained parameters of every member."""
    with jax.numpy_dtype_promotion("standard"):
        return {n: train(tmp_path_factory.mktemp(f"on{n}"), n) for n in (1, 2, 4, 8)}


def test_parameters_and_samples_have_the_same_bits_on_1_2_4_and_8_devices(tmp_path, emas):
    assert jax.device_count() == 8
    for n in (2, 4, 8):
        jax.tree.map(np.testing.assert_array_equal, emas[n], emas[1])
    images = {n: samples(tmp_path / f"samples{n}", n, emas[1]) for n in (1, 4, 8)}
    assert [len(own) for own in images[1]] == [m.num_train for m in MEMBERS]
    for n in (4, 8):
        for own, other in zip(images[n], images[1], strict=True):
            np.testing.assert_array_equal(own, other)


def test_a_run_started_on_8_devices_ends_with_the_same_bits_on_3(tmp_path, emas):
    class Stop(Exception):
        pass

    def stop(record):
        raise Stop

    with pytest.raises(Stop):
        train_members(
            MEMBERS, IMAGES, model=MODEL, process=PROCESS,
            settings=dataclasses.replace(SETTINGS, checkpoint_seconds=0.0, log_every=6, steps_per_call=3),
            mesh=member_mesh(),
            folder=tmp_path / "moved",
            progress=SimpleNamespace(advance=print, resume=print, log=stop, note=print),
        )  # fmt: skip
    moved = train(tmp_path / "moved", 3)
    jax.tree.map(np.testing.assert_array_equal, moved, emas[2])


def test_the_data_axis_changes_rounding_only(tmp_path, emas):
    split = train(tmp_path / "split", 8, data_parallel=4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), emas[1], split)


def test_no_fraction_of_a_run_with_the_data_axis_leaves_the_interval_of_one_without(tmp_path):
    """After 120 steps, in which rounding grows, with thresholds amid the distances, where labels turn easiest."""
    members, size = MEMBERS[2::4], 256
    items = data.decode(IMAGES).reshape(len(IMAGES), -1)
    distances: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {1: [], 4: []}
    for data_parallel, found in distances.items():
        folder = tmp_path / f"{data_parallel}"
        emas = train(folder / "training", 4, 120, data_parallel, members)
        drawn = samples(folder / "sampling", 4, emas, members, lambda member: size, chunk_size=64)
        for member, images in zip(members, drawn, strict=True):
            x = data.decode(images).reshape(size, -1)
            among = np.linalg.norm(x[:, None] - x, axis=-1) + np.diag(np.full(size, np.inf))
            to_train = np.linalg.norm(x[:, None] - items[: member.num_train], axis=-1)
            found.append((to_train.min(1), among.min(1)))
    for member, without, split in zip(members, distances[1], distances[4], strict=True):
        delta_m, delta_s = float(np.quantile(without[0], 0.3)), float(np.quantile(without[1], 0.5))
        one, other = (
            phases.fractions(phases.classify(*found, delta_m, delta_s), member.num_train, delta_m, delta_s)
            for found in (without, split)
        )
        for name in phases.NAMES:
            low, share, high = (getattr(one, name + end) for end in ("_low", "", "_high"))
            assert 0.1 < share < 0.9, "each phase has to be there to change"
            assert low <= getattr(other, name) <= high


def test_devices_and_batches_that_do_not_divide_are_mistakes_with_both_numbers(tmp_path):
    with pytest.raises(InputError, match=r"data_parallel=3 must be a divisor of .*, 8"):
        member_mesh(data_parallel=3)
    with pytest.raises(InputError, match=r"batch_size=6 must be divisible by train.data_parallel=4"):
        dataclasses.replace(SETTINGS, batch_size=6, data_parallel=4)
