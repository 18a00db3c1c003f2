"""A network, process and data set of the user's own files, by the settings and through a whole run."""

import json
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict

from memgen_jax import diffusion
from memgen_jax.errors import InputError
from memgen_jax.programs.choices import AnyDataSettings, ModelSettings, ProcessSettings
from memgen_jax.programs.settings import chosen, complete, kinds_of, plain, settings_from
from memgen_jax.programs.transition.settings import TransitionSettings

MINE = """
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from memgen_jax import diffusion

class Net(nn.Module):
    width: int
    @nn.compact
    def __call__(self, x, t, train):
        h = nn.silu(nn.Dense(self.width)(jnp.append(x.ravel(), t / 1000)))
        return nn.Dense(x.size)(h).reshape(x.shape)

def network(item_shape, width=16):
    return Net(width)

def grows(item_shape):
    class Grows(nn.Module):
        def __call__(self, x, t):
            return jnp.concatenate([x, x])
    return Grows()

def number(item_shape):
    return 3

def counts(item_shape):
    class Counts(nn.Module):
        @nn.compact
        def __call__(self, x, t):
            return jnp.int32(nn.Dense(x.size)(x.ravel()).reshape(x.shape))
    return Counts()

def bare(item_shape):
    class Bare(nn.Module):
        def __call__(self, x, t):
            return x
    return Bare()

def leaves(item_shape):
    raise SystemExit(1)

def process(num_steps=50):
    return diffusion.DDPM(num_steps=num_steps)

def squares(count=160):
    rng = np.random.default_rng(0)
    return rng.random((count, 4, 4)), rng.random((120, 4, 4))

ITEMS = np.random.default_rng(0).random((9, 4, 4))

def listed():
    return ITEMS.tolist()

def in_jax():
    return jnp.asarray(ITEMS)

def pair():
    return [ITEMS, ITEMS[::-1] / 2]

def three():
    return ITEMS, ITEMS, ITEMS

def hidden():
    return np.ma.masked_less(ITEMS, 0.5)

def nothing():
    pass
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def made(union, **config):
    return settings_from(chosen(kinds_of(union), config, "model."), config)


def test_a_functions_arguments_are_settings_and_its_code_is_recorded(file):
    settings = made(ModelSettings, name=f"{file}:network", width=8)
    assert settings.build((4, 4, 1)).init_fn.__name__
    recorded = plain(settings)
    assert recorded["width"] == 8 and recorded["name"] == f"{file}:network" and len(recorded["code"]) == 64
    assert plain(made(ModelSettings, **recorded)) == recorded


def test_a_recorded_run_refuses_code_that_changed(file):
    recorded = plain(made(ProcessSettings, name=f"{file}:process"))
    file.write_text(MINE.replace("num_steps=50", "num_steps=60"))
    with pytest.raises(InputError, match="the file has changed"):
        made(ProcessSettings, **recorded)


def test_a_process_and_data_of_ones_own_are_what_the_functions_give(file):
    process = made(ProcessSettings, name=f"{file}:process", num_steps=20).build()
    assert isinstance(process, diffusion.DDPM) and process.t_max == 20
    dataset = made(AnyDataSettings, name=f"{file}:squares", count=30).load()
    assert dataset.train.shape == (30, 4, 4, 1) and dataset.train.dtype == np.uint8
    assert len(dataset.held_out) == 120 and "rounded to 256 levels" in dataset.note


@pytest.mark.parametrize(("name", "num_held_out"), [("listed", 0), ("in_jax", 0), ("pair", 9)])
def test_items_of_ones_own_may_be_lists_and_arrays_of_any_library(file, name, num_held_out):
    dataset = made(AnyDataSettings, name=f"{file}:{name}").load()
    items = np.random.default_rng(0).random((9, 4, 4))
    np.testing.assert_allclose(dataset.train[..., 0], 255 * items, atol=0.51)
    assert len(dataset.held_out) == num_held_out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("three", "or a pair"), ("hidden", "has masked numbers"), ("nothing", "gives is NoneType")],
)
def test_what_is_no_items_is_refused_with_what_they_may_be(file, name, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        made(AnyDataSettings, name=f"{file}:{name}").load()
    assert caught.value.field == "data.name" and "an array of items" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("grows", "must keep the shape"),
        ("number", "gives a int, and must give a Flax"),
        ("counts", "makes int32 of an item: it must make floats"),
        ("bare", "has no parameters: there is nothing to train"),
        ("leaves", r"does not work \(SystemExit: 1\)"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_anything_is_trained(file, name, sentence):
    with pytest.raises(InputError, match=sentence):
        made(ModelSettings, name=f"{file}:{name}").build((4, 4, 1))


def test_a_name_on_the_command_line_leaves_out_what_the_config_says_of_another_network(file):
    config = ConfigDict({"model": {"name": "mlp", "width": 256, "num_blocks": 3}})
    config.update({"data": {"name": "digits"}, "train": {"num_steps": 1}, "phases": {}})
    complete(TransitionSettings, config, {"model.name": f"{file}:network"})
    assert config.model.width == 16 and "num_blocks" not in config.model


@pytest.mark.slow
def test_a_run_of_ones_own_network_process_metric_and_data(file, tmp_path):
    (tmp_path / "near.py").write_text(
        "from memgen_jax import metrics\n"
        "def near(item_shape):\n"
        "    flat = lambda items: items.reshape(len(items), -1) / 255.0\n"
        "    return metrics.Embedding('near', flat, phrase='L2, pixels in [0, 1]')\n"
    )
    arguments = [
        "transition", "--config=digits:smoke", f"--config.model.name={file}:network", "--config.model.width=8",
        f"--config.process.name={file}:process", f"--config.data.name={file}:squares",
        f"--config.phases.metric={tmp_path / 'near.py'}:near", "--config.num_train=(2,4)",
        "--config.train.num_steps=4", "--config.train.warmup_steps=1", "--config.sampler.num_steps=5",
        "--config.sampler.at_least=8", "--config.sampler.at_most=8", "--config.control.run=False",
        f"--workdir={tmp_path / 'run'}",
    ]  # fmt: skip
    command = [sys.executable, "-m", "memgen_jax", *arguments]
    subprocess.run(command, check=True, timeout=600)
    summary = json.loads((tmp_path / "run/transition.json").read_text())
    assert summary["metric"] == "L2, pixels in [0, 1]"
    file.write_text(MINE + "\nANOTHER = 1\n")
    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode == 2 and f"the code of {file.name} has changed" in again.stderr
