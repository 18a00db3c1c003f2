from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import diffusion
from memgen_jax.data import decode
from memgen_jax.errors import InputError
from memgen_jax.runs import Workdir
from memgen_jax.sweep import Sampler, exact_source, make_members, member_mesh, synthesize

pytestmark = pytest.mark.usefixtures("quick_compilation")

PROCESS = diffusion.DDPM(num_steps=100)
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 2, 2, 1), dtype=np.uint8)
MEMBERS = make_members((2, 7), total=10, batch_size=4)


def draw(
    folder,
    members=MEMBERS,
    count=10,
    chunk_size=4,
    sampler="ddim",
    spoil=lambda x: x,
    log=lambda record: None,
    advanced=lambda amount: None,
    found=lambda amount: None,
    **options,
):
    exact = exact_source(decode(IMAGES), PROCESS)

    def spoiled(denoiser):
        return lambda x, t: spoil(denoiser(x, t))

    with Workdir(folder, {}) as workdir:  # closed where a draw is stopped, too
        synthesize(
            members,
            lambda member: count,
            exact._replace(denoiser_of=lambda params, shared: spoiled(exact.denoiser_of(params, shared))),
            Sampler(
                PROCESS,
                diffusion.make_step(sampler),
                num_steps=20,
                item_shape=(2, 2, 1),
                images=True,
                chunk_size=chunk_size,
                steps_per_call=7,
            ),
            progress=SimpleNamespace(advance=advanced, resume=found, log=log, note=print),
            mesh=member_mesh(jax.devices()[:1]),
            workdir=workdir,
            **options,
        )
        return [workdir.read_npz(f"samples/{member.name}.npz")["images"] for member in members]


@pytest.mark.parametrize("sampler", ["ddim", "ancestral", "dpm_solver"])
def test_the_exact_score_draws_nothing_but_its_members_own_first_items(tmp_path, sampler):
    for member, images in zip(MEMBERS, draw(tmp_path, sampler=sampler), strict=True):
        own = IMAGES[: member.num_train].reshape(member.num_train, -1).astype(int)
        apart = np.abs(images.reshape(10, 1, -1).astype(int) - own).max(-1).min(-1)
        assert images.dtype == np.uint8 and apart.max() <= 1


def test_a_smaller_set_is_the_beginning_of_a_larger_one(tmp_path):
    for few, many in zip(draw(tmp_path / "few", count=3), draw(tmp_path / "many"), strict=True):
        np.testing.assert_array_equal(few, many[:3])


def test_finished_chunks_are_not_drawn_again(tmp_path):
    whole = draw(tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop_after_two(count, seen=[]):  # noqa: B006
        seen.append(count)
        if len(seen) == 2:
            raise Stop

    with pytest.raises(Stop):
        draw(tmp_path / "stopped", advanced=stop_after_two)
    chunks = sorted((tmp_path / "stopped/samples/.chunks").iterdir())
    assert len(chunks) == 2
    chunks[1].write_bytes(chunks[1].read_bytes()[:50])  # a damaged one is drawn again
    found, counts, records = [], [], []
    again = draw(tmp_path / "stopped", log=records.append, found=found.append, advanced=counts.append)
    assert sum(found) == 4 and sum(counts) == 16
    assert [(r["samples"], r["busy_share"]) for r in records] == [(16, 1.0)]
    assert records[0]["samples_per_second"] > 0
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list((tmp_path / "stopped/samples/.chunks").iterdir())


def test_a_long_draw_is_logged_as_it_goes(tmp_path):
    records = []
    draw(tmp_path, log=records.append, log_seconds=0.0)
    assert [r["samples"] for r in records] == [4, 4, 2, 4, 4, 2]
    assert {r["busy_share"] for r in records} == {1.0} and min(r["samples_per_second"] for r in records) > 0


def test_chunks_of_another_size_are_not_taken_for_ones_own(tmp_path):
    def stop(count):
        raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError):
        draw(tmp_path / "stopped", chunk_size=7, advanced=stop)
    assert list((tmp_path / "stopped/samples/.chunks").iterdir())
    for a, b in zip(draw(tmp_path / "whole"), draw(tmp_path / "stopped"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list((tmp_path / "stopped/samples/.chunks").iterdir())


def test_samples_that_are_not_finite_are_refused_by_name_and_not_rounded_to_black(tmp_path):
    with pytest.raises(InputError, match="sample 0 of num_train=000002 is not finite"):
        draw(tmp_path, spoil=lambda x: x * jnp.nan)
    assert not list(tmp_path.glob("samples/**/*.np?"))


def test_members_draw_different_samples(tmp_path):
    first, second = draw(tmp_path, members=make_members((7, 8), total=10, batch_size=4))
    assert (first != second).any()
