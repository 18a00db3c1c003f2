import dataclasses
import os
import signal
import threading
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from memgen_jax import diffusion, models
from memgen_jax.data import decode
from memgen_jax.diffusion import denoising_loss
from memgen_jax.errors import InputError
from memgen_jax.sweep import (
    DamagedCheckpoint,
    Purpose,
    TrainingDiverged,
    Watch,
    load_ema,
    make_members,
    member_mesh,
    set_aside,
    train_members,
)
from memgen_jax.sweep.blocks import make_blocks, snapshot_steps
from memgen_jax.sweep.cost import PEAK_FLOPS, model_cost
from memgen_jax.sweep.order import epoch_index
from memgen_jax.sweep.settings import SweepTrainSettings

pytestmark = pytest.mark.usefixtures("quick_compilation")

PROCESS = diffusion.DDPM(num_steps=50)
MODEL = models.mlp((2, 2, 1), width=8, num_blocks=1, num_features=4)
SETTINGS = SweepTrainSettings(
    num_steps=12,
    batch_size=4,
    learning_rate=1e-2,
    warmup_steps=3,
    steps_per_call=4,
    ema_decay=0.9,
    log_every=4,
)
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 2, 2, 1), dtype=np.uint8)
MEMBERS = make_members((2, 3, 10), total=10, batch_size=4)


def train(folder, members=MEMBERS, settings=SETTINGS, log=None, model=MODEL, images=None, watch=None, **told):
    records = []
    nobody = lambda amount: None  # noqa: E731
    train_members(
        members,
        IMAGES if images is None else images,
        model=model,
        process=PROCESS,
        settings=settings,
        mesh=member_mesh(jax.devices()[:1]),
        folder=folder,
        watch=watch,
        progress=SimpleNamespace(
            advance=told.get("advanced", nobody),
            resume=told.get("found", nobody),
            log=log or records.append,
            note=told.get("warn", print),
        ),
    )
    return records


def emas(folder, members=MEMBERS, settings=SETTINGS):
    return [load_ema(m, MODEL, settings, folder) for m in members]


def assert_same_bits(trees, others):
    jax.tree.map(np.testing.assert_array_equal, trees, others)


def test_training_is_plain_adam_on_the_members_own_first_items(tmp_path):
    """A straightforward loop over one member, written with optax alone, ends at the same parameters."""
    train(tmp_path)

    @jax.jit
    def draw(order_key, noise_key, step, slot, position, num_train):
        key = jax.random.fold_in(jax.random.fold_in(noise_key, step), slot)
        time_key, noise_key = jax.random.split(key)
        item = epoch_index(order_key, position, num_train)
        return item, jax.random.normal(noise_key, (2, 2, 1)), PROCESS.draw_time(time_key)

    adam = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.linear_schedule(0.0, 1e-2, 3)))
    update = jax.jit(adam.update)

    @jax.jit
    def gradient(params, clean, noise, times):
        def loss(params):
            def network(x, t):
                return MODEL.apply_fn(params, x, t)

            each = [
                denoising_loss(network, PROCESS, "noise", c, n, t)
                for c, n, t in zip(clean, noise, times, strict=True)
            ]
            return sum(each) / len(each)

        return jax.grad(loss)(params)

    for member, ema in zip(MEMBERS, emas(tmp_path), strict=True):
        params = MODEL.init_fn(member.key(Purpose.INITIALIZE))
        average, state = params, adam.init(params)
        for step in range(12):
            batch = min(4, member.num_train)
            clean, noise, times = [], [], []
            for slot in range(batch):
                item, one_noise, one_time = draw(
                    member.key(Purpose.ORDER), member.key(Purpose.NOISE), step, slot,
                    jnp.int32(step * batch + slot), jnp.int32(member.num_train),
                )  # fmt: skip
                clean.append(jnp.asarray(decode(IMAGES[: member.num_train][int(item)])))
                noise.append(one_noise)
                times.append(one_time)

            updates, state = update(gradient(params, clean, noise, times), state, params)
            params = optax.apply_updates(params, updates)
            decay = min(0.9, (1 + step) / (10 + step))
            average = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, average, params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), ema, average)


EAGER = dataclasses.replace(SETTINGS, checkpoint_seconds=0.0)


def test_a_stopped_run_ends_with_the_same_bits(tmp_path):
    train(tmp_path / "whole")

    def stop_at_eight(record):
        if record["step"] >= 8:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError):
        train(tmp_path / "stopped", settings=EAGER, log=stop_at_eight)
    train(tmp_path / "stopped")
    assert_same_bits(emas(tmp_path / "whole"), emas(tmp_path / "stopped"))


def test_a_signal_saves_and_stops_and_the_next_run_continues_there(tmp_path):
    train(tmp_path / "whole", members=MEMBERS[:1])

    def interrupt(record):
        if record["step"] == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", members=MEMBERS[:1], log=interrupt)
    restored, trained = [], []
    train(tmp_path / "stopped", members=MEMBERS[:1], found=restored.append, advanced=trained.append)
    assert sum(restored) + sum(trained) == 12 and sum(restored) >= 4  # it did not start over
    assert_same_bits(emas(tmp_path / "whole", MEMBERS[:1]), emas(tmp_path / "stopped", MEMBERS[:1]))


def test_a_finished_member_is_not_trained_again(tmp_path):
    train(tmp_path)
    assert train(tmp_path) == []


def test_a_damaged_checkpoint_is_passed_over_with_a_sentence(tmp_path):
    train(tmp_path / "whole", members=MEMBERS[:1])

    def stop_at_the_end(record):
        if record["step"] >= 12:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError):
        train(tmp_path / "cut", members=MEMBERS[:1], settings=EAGER, log=stop_at_the_end)
    steps = sorted(int(p.name) for p in (tmp_path / "cut" / MEMBERS[0].name).iterdir() if p.name.isdigit())
    latest = tmp_path / "cut" / MEMBERS[0].name / str(steps[-1])
    for file in latest.rglob("*"):
        if file.is_file() and file.stat().st_size > 100:
            file.write_bytes(file.read_bytes()[:50])
    said = []
    train(tmp_path / "cut", members=MEMBERS[:1], settings=EAGER, warn=said.append)  # and written anew
    assert any("damaged checkpoint" in sentence and str(steps[-1]) in sentence for sentence in said)
    assert_same_bits(emas(tmp_path / "whole", MEMBERS[:1]), emas(tmp_path / "cut", MEMBERS[:1]))


def test_a_damaged_last_checkpoint_is_set_aside_and_trained_anew_to_the_same_bits(tmp_path):
    train(tmp_path, members=MEMBERS[:1])
    whole = emas(tmp_path, MEMBERS[:1])
    last = tmp_path / MEMBERS[0].name / "12"
    for file in last.rglob("*"):
        if file.is_file() and file.stat().st_size > 100:
            file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DamagedCheckpoint, match="is damaged: run the training again") as raised:
        emas(tmp_path, MEMBERS[:1])
    assert last.exists()  # reading changes nothing
    assert set_aside(raised.value).exists() and not last.exists()
    train(tmp_path, members=MEMBERS[:1])
    assert_same_bits(whole, emas(tmp_path, MEMBERS[:1]))


def test_a_loss_that_is_not_finite_names_the_member_and_the_step(tmp_path):
    def poisoned(params, x, t, dropout_key=None):
        output = MODEL.apply_fn(params, x, t)
        return jnp.where(jnp.abs(params["output"]["bias"]).sum() > 0.02, jnp.nan, output)

    with pytest.raises(TrainingDiverged, match=r"num_train=000002 is nan at step \d+"):
        train(tmp_path, model=MODEL._replace(apply_fn=poisoned))


def test_metrics_name_members_losses_and_speed(tmp_path):
    records = train(tmp_path)
    last = records[-1]
    assert last["step"] == 12 and last["members"] == ["num_train=000010"]
    assert np.isfinite(last["loss"]).all() and last["model_steps_per_second"] > 0


def test_members_per_step_changes_rounding_only(tmp_path):
    together = dataclasses.replace(SETTINGS, members_per_step=3)
    train(tmp_path / "one")
    train(tmp_path / "three", settings=together)
    for one, three in zip(emas(tmp_path / "one"), emas(tmp_path / "three"), strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, three)


def test_blocks_restart_from_the_oldest_latest_step_that_all_hold():
    a, b, c = MEMBERS
    assert make_blocks([a, b, c], {a: [4, 8], b: [4, 8], c: [4]}, 3) == [(4, [a, b, c])]
    # One that has never been saved does not drag the others back to the start.
    assert make_blocks([a, b, c], {a: [4, 8], b: [8], c: []}, 3) == [(8, [a, b]), (0, [c])]
    assert make_blocks([a, b, c], {a: [], b: [], c: []}, 2) == [(0, [a, b]), (0, [c])]


def test_snapshots_are_the_average_of_a_run_that_ends_there_and_change_nothing(tmp_path):
    """num_steps, half and a quarter, in whole calls of four steps: 12, 8 (of 6) and 4 (of 3)."""
    kept = dataclasses.replace(SETTINGS, num_snapshots=3)
    assert snapshot_steps(kept, 4) == (4, 8, 12)
    train(tmp_path / "kept", settings=kept)
    train(tmp_path / "plain")
    assert_same_bits(emas(tmp_path / "kept"), emas(tmp_path / "plain"))
    for step in (4, 8):
        shorter = dataclasses.replace(SETTINGS, num_steps=step)
        train(tmp_path / f"to{step}", settings=shorter)
        early = [load_ema(m.at(step), MODEL, kept, tmp_path / "kept") for m in MEMBERS]
        assert_same_bits(early, emas(tmp_path / f"to{step}", settings=shorter))
    with pytest.raises(InputError, match="no whole checkpoint at step 5"):
        load_ema(MEMBERS[0].at(5), MODEL, kept, tmp_path / "kept")


def test_who_watches_sees_the_average_of_a_run_that_ends_there_and_changes_nothing(tmp_path):
    seen = {}
    watch = Watch((4, 8, 12), lambda member, step, params: seen.setdefault((member, step), params))
    train(tmp_path / "watched", watch=watch)
    train(tmp_path / "plain")
    assert_same_bits(emas(tmp_path / "watched"), emas(tmp_path / "plain"))
    assert set(seen) == {(member, step) for member in MEMBERS for step in (4, 8)}  # the last is a checkpoint
    shorter = dataclasses.replace(SETTINGS, num_steps=4)
    train(tmp_path / "to4", settings=shorter)
    assert_same_bits([seen[m, 4] for m in MEMBERS], emas(tmp_path / "to4", settings=shorter))


def test_a_run_stopped_after_a_snapshot_has_it_and_the_later_ones(tmp_path):
    kept = dataclasses.replace(SETTINGS, num_snapshots=3, checkpoint_seconds=0.0)

    def stop_at_eight(record):
        if record["step"] >= 8:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError):
        train(tmp_path / "stopped", settings=kept, log=stop_at_eight)
    train(tmp_path / "stopped", settings=kept)
    train(tmp_path / "whole", settings=kept)
    for step in (4, 8, 12):
        pair = (
            [load_ema(m.at(step), MODEL, kept, tmp_path / f) for m in MEMBERS] for f in ("stopped", "whole")
        )
        assert_same_bits(*pair)


def test_the_log_tells_speed_and_how_much_of_the_block_is_used(tmp_path):
    records = train(tmp_path)
    assert {r["busy_share"] for r in records} == {1.0}
    for record in records:
        batch = next(m.batch_size for m in MEMBERS if m.name == record["members"][0])
        assert record["images_per_second"] == pytest.approx(
            batch * record["model_steps_per_second"], rel=0.01, abs=0.1
        )


@pytest.mark.parametrize(
    "setting", ["num_steps", "batch_size", "members_per_step", "data_parallel", "log_every"]
)
def test_settings_below_one_are_a_mistake(setting):
    with pytest.raises(InputError, match=f"train.{setting}=0"):
        dataclasses.replace(SETTINGS, **{setting: 0})


def test_the_speed_is_told_with_its_share_of_peak_where_the_device_is_known(tmp_path, monkeypatch):
    """A batch of 4 from K = 10, one member at a time: four images a step, and the operations of one step."""
    (record, *_) = train(tmp_path / "unknown", MEMBERS[2:])
    assert record["images_per_second"] == pytest.approx(4 * record["model_steps_per_second"], rel=1e-2)
    assert "share_of_peak" not in record
    monkeypatch.setitem(PEAK_FLOPS, jax.devices()[0].device_kind, 1e6)
    (record, *_) = train(tmp_path / "known", MEMBERS[2:])
    flops = model_cost(MODEL, PROCESS, SETTINGS, (2, 2, 1), is_image=True).train_flops
    share = record["model_steps_per_second"] * flops / 1e6
    assert record["share_of_peak"] == pytest.approx(share, rel=1e-2, abs=1e-4) and share > 0


def test_a_member_with_a_subset_of_its_own_trains_as_one_whose_data_come_in_that_order(tmp_path):
    """And members in sequence as members on their own."""
    own = make_members((4, 6), seeds=(3,), total=len(IMAGES), batch_size=4, own_subsets=True)
    reordered = IMAGES[own[0].order(len(IMAGES))]
    plain = [dataclasses.replace(member, subset=0) for member in own]
    sequence = dataclasses.replace(SETTINGS, members_per_step=2, members_in_sequence=True)
    train(tmp_path / "own", members=own)
    train(tmp_path / "plain", members=plain, images=reordered)
    train(tmp_path / "sequence", members=own, settings=sequence)
    results = {
        name: [load_ema(member, MODEL, settings, tmp_path / name) for member in of]
        for name, of, settings in (
            ("own", own, SETTINGS),
            ("plain", plain, SETTINGS),
            ("sequence", own, sequence),
        )
    }
    assert_same_bits(results["own"], results["plain"])
    for one, other in zip(jax.tree.leaves(results["own"]), jax.tree.leaves(results["sequence"]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
