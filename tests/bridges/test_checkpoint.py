"""The authors' released networks. `released/` holds one of theirs (the optimiser's and the last step's numbers taken
out), what it answers, and values of `torch.randperm`."""

import inspect
import io
import pathlib
import pickle
import shutil
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import bridges, data, files, phases
from memgen_jax.bridges import torch_file
from memgen_jax.errors import InputError

RELEASED = pathlib.Path(__file__).parent / "released"


def test_a_released_network_answers_as_its_authors_do():
    found = bridges.read_checkpoint(RELEASED / "000016.pt")
    assert (found.num_train, found.item_shape, found.iterations) == (16, (16, 16, 3), 500_000)
    assert found.settings["train"]["global_seed"] == data.SUBSET_SEED
    known = np.load(RELEASED / "000016_outputs.npz")
    x, t = known["x"].transpose(0, 2, 3, 1), known["timestep"] + 1.0  # their times count from 0
    answer = jax.vmap(found.network)(jnp.asarray(x), jnp.asarray(t, jnp.float32))
    np.testing.assert_allclose(np.asarray(answer).transpose(0, 3, 1, 2), known["ema_output"], atol=1e-5)


def test_the_papers_config_is_the_recipe_of_the_released_networks():
    """As far as their files tell; that they warm up nothing and start 1×1 layers small, their code says alone."""
    from memgen_jax.configs import cifar10

    theirs = bridges.read_checkpoint(RELEASED / "000016.pt").settings["train"]
    ours = cifar10.get_config().train
    assert (ours.learning_rate, ours.ema_decay, ours.num_steps) == (
        theirs["lr"],
        theirs["ema_decay"],
        theirs["iterations"],
    )
    assert (ours.prediction, ours.grad_clip) == ("noise", 1.0)
    assert (theirs["prediction_type"], theirs["clip_grad"]) == ("epsilon", True)
    assert (theirs["beta_schedule"], theirs["timesteps"]) == (
        "linear",
        cifar10.get_config().sampler.num_steps,
    )
    assert (ours.warmup_steps, ours.ema_warmup, cifar10.get_config().model.nin_scale) == (0, False, 0.1)


def test_the_order_of_their_subsets_is_that_of_torch():
    known = np.load(RELEASED / "torch_randperm_3407.npz")
    for size in (10, 50_000, 60_000, 126_227):
        order = data.torch_randperm(size)
        assert (np.sort(order) == np.arange(size)).all()
        first, last = known[f"first_{size}"], known[f"last_{size}"]
        assert (order[: len(first)] == first).all() and (order[-len(last) :] == last).all()


def test_a_folder_of_their_samples_is_one_set_in_one_range(tmp_path):
    stored = np.load(RELEASED / "samples_AbCdE.npz")["samples"]
    np.savez(tmp_path / "AbCdE.npz", samples=stored)
    np.savez(tmp_path / "bright.npz", samples=np.abs(stored))  # alone it would be read as [0, 1]
    with pytest.raises(
        InputError, match=r"bright.npz .* those of .*AbCdE.npz .* from -0.99962, .*or say it with"
    ):
        data.read(tmp_path)
    items, _ = data.read(tmp_path, value_range="-1,1")
    assert items.values.shape == (12, 16, 16, 3) and items.names[6] == "bright.npz[0]"
    expected = ((stored.transpose(0, 2, 3, 1) + 1) * 127.5).round().astype(np.uint8)
    assert (items.values[:6] == expected).all()
    assert items.values[6:].min() >= 127 and "2 files as one set" in items.note


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("echo run > ran",)


def distances(**changed):
    """A distance file's arrays: two neighbours in S and one in S' of each of three samples."""
    return {
        "data-dists": np.float32([[0.01, 0.2], [0.3, 0.4], [0.3, 0.5]]),
        "data-indices": np.int64([[4, 1], [0, 15], [3, 2]]),
        "synth-dists": np.float32([[0.2], [0.01], [0.2]]),
        "synth-indices": np.int64([[1], [0], [1]]),
    } | changed


def test_their_distance_files_are_read_and_the_objects_in_them_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "16.npz", args=np.array(Evil(), object), **distances())
    found = bridges.read_distances(tmp_path / "16.npz")
    assert found.num_train == 16 and not (tmp_path / "ran").exists()
    for ours, theirs in (("train_index", "data-indices"), ("synthetic_distance", "synth-dists")):
        np.testing.assert_array_equal(getattr(found, ours), distances()[theirs])
    labels = phases.classify(found.train_distance[:, 0], found.synthetic_distance[:, 0], 0.03, 0.018)
    assert list(labels) == [phases.MEMORIZED, phases.SPURIOUS, phases.GENERALIZED]
    np.savez(
        tmp_path / "samples.npz", samples=np.zeros((3, 8, 8, 3), np.uint8), args=np.array(Evil(), object)
    )
    items, _ = data.read(tmp_path / "samples.npz")
    assert items.values.shape == (3, 8, 8, 3) and not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="args holds Python objects"):
        data.read(f"{tmp_path}/samples.npz:args")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"data-dists": np.array(Evil(), object)}, "lacks data-dists and holds .* as Python objects"),
        ({"synth-dists": np.zeros((4, 1), np.float32)}, "do not fit together"),
        ({"data-indices": np.zeros((3, 2), np.float32)}, "do not fit together"),
        ({"data-indices": np.full((3, 2), 16)}, "training items 16 to 16, of 16"),
        ({"synth-indices": np.full((3, 1), 3)}, "samples 3 to 3, of 3"),
        ({"synth-indices": np.full((3, 1), 2**64 - 1, np.uint64)}, "samples 18446744073709551615"),
        ({"data-dists": np.full((3, 2), np.nan)}, "train_distance holds nan at place 0"),
        ({"synth-dists": np.full((3, 1), -0.5)}, "synthetic_distance holds -0.5 at place 0"),
    ],
)
def test_arrays_that_are_no_distance_file_are_one_sentence(changed, words, tmp_path):
    np.savez(tmp_path / "16.npz", **distances(**changed))
    with pytest.raises(InputError, match=words):
        bridges.read_distances(tmp_path / "16.npz")


def test_places_of_any_whole_type_are_read(tmp_path):
    for kind in (np.uint8, np.uint32, np.uint64, np.int32):
        np.savez(
            tmp_path / "16.npz", **distances(**{"data-indices": distances()["data-indices"].astype(kind)})
        )
        found = bridges.read_distances(tmp_path / "16.npz").train_index
        assert found.dtype == np.int64 and (found == distances()["data-indices"]).all()


def test_a_checkpoint_that_was_zipped_again_is_told_so(tmp_path):
    path = tmp_path / "000016.pt"
    with zipfile.ZipFile(RELEASED / "000016.pt") as whole, zipfile.ZipFile(path, "w") as again:
        for info in whole.infolist():
            again.writestr(info.filename, whole.read(info), zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match=r"zipped again .* store it without compression"):
        bridges.read_checkpoint(path)


@pytest.mark.parametrize("path", [None, 3, b"16.pt"])
def test_what_is_no_path_is_one_sentence(path):
    with pytest.raises(InputError, match="is no path: give text"):
        inspect.unwrap(files.expanded)(path)


def test_a_network_takes_one_item_of_its_shape():
    network = bridges.read_checkpoint(RELEASED / "000016.pt").network
    one = np.zeros((16, 16, 3), np.float32)
    for x, words in (
        (one[None], r"x has shape \[1, 16, 16, 3\], and this network takes one item of \[16, 16, 3\]"),
        (one[:8, :8], r"x has shape \[8, 8, 3\]"),
        (one[..., 0], r"x has shape \[16, 16\]"),
        ([[0.0], [0.0, 1.0]], "x cannot be read as an array"),
        (one.astype(np.uint8), "uint8 pixels"),
    ):
        with pytest.raises(InputError, match=words):
            network(x, 5.0)
    with pytest.raises(InputError, match=r"t has shape \[2\]"):
        network(one, [5.0, 6.0])
    with pytest.raises(InputError, match="x has shape"):
        jax.eval_shape(
            network, jax.ShapeDtypeStruct((8, 8, 3), np.float32), jax.ShapeDtypeStruct((), np.float32)
        )
    assert jax.eval_shape(lambda t: network(one.tolist(), t), 5.0).shape == (16, 16, 3)


def zipped(path, content, **entries):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", content)
        for name, value in entries.items():
            file.writestr(f"a/{name}", value)
    return path


def test_nothing_in_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored = torch_file.load(zipped(tmp_path / "1.pt", pickle.dumps({"ema": Evil(), "args": 1})))
    assert isinstance(stored["ema"], torch_file.Record) and stored["ema"].arguments == ["echo run > ran"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p, "there is no file"),
        (lambda p: p.write_bytes(b"\x80\x02\x8a\nlegacy"), r"older than PyTorch 1\.6"),
        (lambda p: p.write_bytes(b"nonsense"), "no zip"),
        (lambda p: zipped(p, b"\x80\x02broken"), "damaged"),
        (lambda p: zipped(p, pickle.dumps({}), byteorder=b"big"), "big-endian"),
        (lambda p: zipped(p, pickle.dumps({"state": 1})), "lacks 'ema' or 'args'"),
        (lambda p: zipped(p, pickle.dumps({"ema": {}, "args": 1})), "does not say what network"),
    ],
)
def test_other_files_are_one_sentence(make, words, tmp_path):
    path = tmp_path / "000002.pt"
    make(path)
    with pytest.raises(InputError, match=words):
        bridges.read_checkpoint(path)


def test_a_block_that_is_missing_or_short_is_damage(tmp_path):
    for what in ("missing", "short"):
        path = tmp_path / f"{what}16.pt"
        with zipfile.ZipFile(RELEASED / "000016.pt") as whole, zipfile.ZipFile(path, "w") as part:
            blocks = [i for i in whole.infolist() if "/data/" in i.filename]
            for info in whole.infolist():
                if info.filename == blocks[0].filename:
                    if what == "short":
                        part.writestr(info, whole.read(info)[:-4])
                    continue
                part.writestr(info, whole.read(info))
        with pytest.raises(InputError, match="damaged"):
            bridges.read_checkpoint(path)


def test_a_folder_names_its_sizes(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoints"):
        bridges.find_checkpoints(tmp_path)
    for name in ("000016.pt", "2.pt"):
        (tmp_path / name).touch()
    (tmp_path / "._000016.pt").touch()  # macOS's
    assert list(bridges.find_checkpoints(tmp_path)) == [2, 16]
    (tmp_path / "last.pt").touch()
    with pytest.raises(InputError, match="no training-set size K in its name"):
        bridges.find_checkpoints(tmp_path)


def test_a_file_under_another_name_is_not_taken_for_that_size(tmp_path):
    shutil.copy(RELEASED / "000016.pt", tmp_path / "000032.pt")
    with pytest.raises(InputError, match="was trained on K = 16 items"):
        bridges.ReleasedSweep(tmp_path).params(32)


def changed_checkpoint(monkeypatch, change):
    """Every file reads as the released one after `change(stored, path)`."""
    load = torch_file.load

    def loaded(path):
        stored = load(RELEASED / "000016.pt")
        change(stored, path)
        return stored

    monkeypatch.setattr(torch_file, "load", loaded)


def drop(key):
    return lambda stored, path: stored["ema"].pop(key)


def set_model(**options):
    return lambda stored, path: stored["args"].state["model"].state.update(options)


class BrokenDown(torch_file.Tensor):
    def array(self):
        return np.full_like(super().array(), np.nan)


def break_down(stored, path):
    stored["ema"]["all_modules.3.Conv_0.bias"] = BrokenDown(*stored["ema"]["all_modules.3.Conv_0.bias"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (break_down, r"all_modules\.3\.Conv_0\.bias holds NaN or infinity: training broke down"),
        (drop("all_modules.3.Conv_0.weight"), r"lacks the parameters all_modules\.3\.Conv_0\.weight"),
        (
            lambda s, p: s["ema"].update(more=s["ema"]["all_modules.0.bias"]),
            "parameters that .* such as more",
        ),
        (set_model(dim=64), r"has shape .* it is another architecture"),
        (set_model(dim_mults=(1, 2, 2)), "another architecture"),
        (set_model(attn_resolutions=(16, 8)), "another architecture"),
        (set_model(dim_mults="wide"), "args.model.dim_mults is no network's, whole numbers"),
        (set_model(dim=None), "args.model.dim is no network's, a whole number"),
        (set_model(dim_mults=(1,) * 9), "describes a network that cannot be.*cannot be halved"),
        (lambda s, p: s["args"].state["model"].state.pop("dim"), "args.model lacks dim"),
        (lambda s, p: s.pop("ema"), "lacks 'ema' or 'args'"),
        (lambda s, p: s.pop("args"), "lacks 'ema' or 'args'"),
        (
            lambda s, p: s["args"].state["train"].state.pop("train_size"),
            "neither in args.train.train_size nor in its",
        ),
    ],
)
def test_a_checkpoint_of_another_kind_is_one_sentence(change, words, monkeypatch):
    changed_checkpoint(monkeypatch, change)
    with pytest.raises(InputError, match=words) as caught:
        bridges.read_checkpoint("last.pt")
    assert str(caught.value).count("\n") == 0 and "last.pt" in str(caught.value)


def test_networks_of_two_widths_in_one_folder_are_refused_before_any_is_used(tmp_path, monkeypatch):
    for name in ("16.pt", "32.pt"):
        (tmp_path / name).touch()

    def change(stored, path):
        stored["args"].state["train"].state["train_size"] = int(path.stem)
        if path.stem == "32":
            set_model(dim=64)(stored, path)

    changed_checkpoint(monkeypatch, change)
    sweep = bridges.ReleasedSweep(tmp_path)
    assert sweep.sizes((16,)) == (16,)
    with pytest.raises(InputError, match=r"32\.pt is a network of other settings than the first"):
        sweep.sizes()
    with pytest.raises(InputError, match=r"num_train=64 has no network in .*, whose sizes are 16, 32"):
        sweep.sizes((64,))


def of_released_network(folder, num_train, num_held_out, sizes):
    """The config of a transition from one released network, with random images; and these images."""
    from memgen_jax.programs.configs import load_config

    images = np.random.default_rng(0).integers(0, 256, (num_train + num_held_out, 16, 16, 3), dtype=np.uint8)
    np.savez(folder / "own.npz", images=images[:num_train], held_out=images[num_train:])
    (folder / "sweep").mkdir()
    shutil.copy(RELEASED / "000016.pt", folder / "sweep")
    config = load_config("cifar10:smoke")
    config.data.name = str(folder / "own.npz")
    config.members_from, config.num_train = str(folder / "sweep"), sizes
    return config, images


def test_a_network_of_more_items_than_there_are_is_refused(tmp_path):
    from memgen_jax.programs.transition.settings import TransitionRun

    config, _ = of_released_network(tmp_path, 12, 8, ())
    with pytest.raises(InputError, match=r"num_train=16 must be in 1\.\.12"):
        TransitionRun(config)


def test_a_transition_from_released_networks_trains_nothing(tmp_path, monkeypatch, undrawn):
    from memgen_jax.programs.transition import denoising
    from memgen_jax.programs.transition.program import main
    from memgen_jax.programs.transition.settings import TransitionRun

    monkeypatch.setattr(denoising, "MOST_ITEMS", denoising.BATCH)
    config, images = of_released_network(tmp_path, 100, 20, (16,))
    main(config, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "checkpoints").exists()
    samples = np.load(tmp_path / "run" / "samples" / "num_train=000016.npz")["images"]
    assert samples.shape == (32, 16, 16, 3)
    run = TransitionRun(config)
    assert (run.train_of(run.members[0]) == images[data.torch_randperm(100)[:16]]).all()
    for field, value, words in (
        ("num_train", (2,), "num_train=2 has no network"),
        ("seeds", (0, 1), "leave out widths, several seeds"),
    ):
        wrong = config.copy_and_resolve_references()
        wrong[field] = value
        with pytest.raises(InputError, match=words):
            TransitionRun(wrong)
    config.data.name = "tfds:cifar10"
    with pytest.raises(InputError, match="give the original files"):
        TransitionRun(config)


def test_cifars_batches_are_read_in_their_order_and_nothing_else_is(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (12, 3072), dtype=np.uint8)
    for i in range(5):
        (tmp_path / f"data_batch_{i + 1}").write_bytes(
            pickle.dumps({b"data": rows[2 * i : 2 * i + 2]}, protocol=2)
        )
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": rows[10:]}, protocol=2))
    items, held_out = data.read(f"cifar:{tmp_path}")
    assert (items.values == rows[:10].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)).all()
    assert held_out is not None and len(held_out.values) == 2
    stream = io.BytesIO()
    pickle.dump(Evil(), stream)
    (tmp_path / "data_batch_3").write_bytes(stream.getvalue())
    with pytest.raises(InputError, match="data_batch_3 is damaged, or no batch"):
        data.read(f"cifar:{tmp_path}")
    with pytest.raises(InputError, match="original files"):
        from memgen_jax.programs.choices import DataSettings

        DataSettings("tfds:cifar10", order="torch")
