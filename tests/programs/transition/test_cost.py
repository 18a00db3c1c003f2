import importlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import digits
from memgen_jax import diffusion
from memgen_jax.errors import InputError
from memgen_jax.programs.launcher import Machine
from memgen_jax.programs.transition import cost as transition_cost


@pytest.mark.parametrize(
    "name,members",
    [("mnist", 38), ("fashion_mnist", 38), ("cifar10", 38), ("lsun_church", 38), ("celeba_hq64", 42)],
)
def test_the_papers_members_are_counted_without_the_data(name, members):
    """CelebA-HQ's ends are not known: the seven sizes of the search, less those of the grid, come besides."""
    config = importlib.import_module(f"configs.{name}")
    assert len(transition_cost.make_plan(config.get_config()).members) == members
    assert len(transition_cost.make_plan(config.get_config("small")).members) == 10
    fast = transition_cost.make_plan(config.get_config("fast"))
    assert len(fast.members) == members
    assert (fast.step, fast.settings.sampler.num_steps) == (diffusion.heun_step, 18)
    both = transition_cost.make_plan(config.get_config("small+fast"))
    assert (len(both.members), both.step) == (10, diffusion.heun_step)


def test_a_search_that_is_given_no_ends_cannot_be_counted():
    config = importlib.import_module("configs.celeba_hq64").get_config()
    config.grid_ends = ()
    with pytest.raises(InputError, match="must be two sizes"):
        transition_cost.make_plan(config)


def test_the_stages_of_three_members_on_four_devices_add_up():
    """Sets of 32, 64 and 64 samples are five chunks of 32: two rounds of four places."""
    config = digits.get_config("smoke")
    config.expect = ConfigDict({"num_train": 1437, "item_shape": (8, 8, 1)})
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        share = transition_cost.Share(transition_cost.make_plan(config))
    (cost,) = share.costs.values()
    train, sample, control, compare = share.train(4), share.sample(4), share.control(), share.compare()
    assert train.balance == 3 / 4 and train.flops == 3 * 800 * cost.train_flops
    assert train.disk == 3 * 2 * cost.state_bytes
    assert sample.balance == 160 / (2 * 4 * 32) and sample.disk == 160 * 64
    assert sample.flops == pytest.approx(160 * 20 * cost.forward_flops)
    assert control.flops == pytest.approx(32 * 20 * 3 * 4 * 64 * 1437)
    pairs = 32 * (2 + 32) + 64 * (16 + 64) + 64 * (128 + 64) + 32 * (2 + 16 + 128 + 3 * 32)
    assert compare.flops == 2 * 64 * pairs


def test_a_smoke_run_is_counted_without_its_data_and_with_those_that_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = importlib.import_module("configs.mnist").get_config("smoke")
    assert transition_cost.make_plan(config).total == 60_000
    assert "The data are not read (cannot find data set 'mnist'" in capsys.readouterr().out
    np.savez(tmp_path / "own.npz", images=np.arange(200 * 64, dtype=np.uint8).reshape(200, 8, 8))
    config.data.name = str(tmp_path / "own.npz")
    assert transition_cost.make_plan(config).total == 200
    config.expect.strict = True
    assert transition_cost.make_plan(config).total == 60_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "lsun_church", "celeba_hq64"])
def test_a_configs_text_tells_what_its_dry_run_prints(name, capsys):
    config = importlib.import_module(f"configs.{name}")
    told = re.search(
        r"`--dry_run --devices=8`: ([\d.e]+) FLOPs, on an H200 (\d+) device-hours \((\d+) h on 8\), (\d+) GB on disk",
        config.__doc__.replace("\n", " "),
    )
    flops, hours, wall, disk = map(float, told.groups())
    with jax.numpy_dtype_promotion("standard"):
        transition_cost.dry_run(config.get_config(), Machine(devices=8))
    said = capsys.readouterr().out
    printed = re.search(r"NVIDIA H200 +\S+ +([\d,.]+) +([\d,.]+)", said)
    assert [float(number.replace(",", "")) for number in printed.groups()] == pytest.approx(
        [hours, wall], abs=0.6
    )
    assert round(float(re.search(r"disk: ([\d.]+) GB", said)[1])) == disk
    speed = transition_cost.ASSUMED_SHARE["float32"] * transition_cost.PEAK_FLOPS["NVIDIA H200"]
    assert flops == pytest.approx(float(printed[1].replace(",", "")) * 3600 * speed, rel=0.05)


SIZES_BESIDE_A_GRID = (
    "-m experiments.transition --config=configs/mnist.py --dry_run --config.num_train=(2,500)"
)


def test_the_embeddings_of_the_papers_church_are_announced_with_where_they_are_compared(monkeypatch):
    """126,227 images and the largest synthetic set, four times as many, of 20,762 numbers by LPIPS."""
    monkeypatch.setattr(transition_cost.sweep, "model_cost", lambda *_: None)
    config = importlib.import_module("configs.lsun_church").get_config()
    share = transition_cost.Share(transition_cost.make_plan(config))
    samples = max(size for _, size in share.sets)
    assert share.embeddings() == 2 * 20_762 * (126_227 + samples)
    assert f"{4 * 20_762 * samples / 1e9:.1f} GB" in share.where_compared(8, 80e9)
    for devices, words in ((1, "sent anew"), (8, "spread over the 8 devices")):
        assert words in share.where_compared(devices, 80e9)
    assert "on each device" in share.where_compared(8, 800e9)


def test_sizes_that_would_not_count_are_refused():
    refused = subprocess.run(
        [sys.executable, *SIZES_BESIDE_A_GRID.split()],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "num_train=(2, 500) counts where grid is 'given', and it is 'paper'" in refused.stderr


def test_devices_that_the_data_axis_does_not_divide_are_refused_by_name():
    config = digits.get_config("smoke")
    config.train.data_parallel = 2
    plan = transition_cost.make_plan(config)
    assert transition_cost.count_devices(plan, Machine(devices=4)) == 4
    for devices in (0, 3):
        with pytest.raises(InputError, match=f"devices={devices} must be .* divisible by") as raised:
            transition_cost.count_devices(plan, Machine(devices=devices))
        assert (raised.value.field, raised.value.value) == ("devices", devices)


def test_a_deadline_and_the_time_allow_for_places_that_stay_empty(capsys):
    """At the speed that a deadline asks for, the time on the devices is the deadline."""
    config = digits.get_config("smoke")
    config.expect = ConfigDict({"num_train": 1437, "item_shape": (8, 8, 1)})
    machine = Machine(devices=4, deadline_hours=2.0)
    with jax.numpy_dtype_promotion("standard"):
        transition_cost.dry_run(config, machine)
        asked = re.search(r"([\d.e+]+) FLOP/s on each", capsys.readouterr().out)[1]
        transition_cost.dry_run(config, machine._replace(flops_per_second=float(asked)))
    assert "; 2.0 h on 4 devices" in capsys.readouterr().out


def cifar10_of_a_narrow_network(width=32):
    """The paper's members and steps; a network that is traced at once, and steps for as many hours all the same."""
    config = importlib.import_module("configs.cifar10").get_config()
    config.model.update({"width": width, "multipliers": (1,), "num_blocks": 1, "attention_sides": ()})
    config.train.num_steps *= 1000
    return config


def test_a_dry_run_compares_plans_for_several_hosts(capsys):
    """38 members on 16 devices of 4 hosts: 10 or 9 take 3 rounds of 4 places, 5 of 2, or 10 and 9 of 1."""
    config = cifar10_of_a_narrow_network()
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        transition_cost.dry_run(config, Machine(devices=16, hosts=4))
        said = capsys.readouterr().out
        with pytest.raises(InputError, match=r"divisible by train\.data_parallel=1 times hosts=3"):
            transition_cost.dry_run(config, Machine(devices=16, hosts=3))
    assert "train.data_parallel: 79% with 1, 95% with 2, 100% with 4; best is 4, 100% (" in said
    assert "its own: 79% with 1, 95% with 2, 95% with 4; a network stays on its host" in said
    assert "one has 10 of 38, so no plan does more than 95%" in said
    assert "counted is the share of one of 4 hosts: 10 members" in said
    assert "device-hours a host  hours on 16 devices, 4 on each of 4 hosts" in said


@pytest.mark.parametrize(
    ("width", "assumed"),
    [(32, "3% of the bfloat16 peak, what an H200 reaches on Fashion-MNIST's"), (64, "13% of the")],
)
def test_a_dry_run_without_a_speed_tells_what_common_devices_would_take(capsys, width, assumed):
    config = cifar10_of_a_narrow_network(width)
    with jax.numpy_dtype_promotion("standard"):
        transition_cost.dry_run(config, Machine(devices=8))
    said = capsys.readouterr().out
    hours = {}
    for line in said.splitlines():
        for kind in ("NVIDIA H200 ", "TPU v5e "):
            if kind in line and "assumed" not in line:
                hours[kind] = float(line.split()[-2].replace(",", ""))
    assert hours["TPU v5e "] / hours["NVIDIA H200 "] == pytest.approx(989 / 197, rel=0.01)
    assert f"assumed: {assumed}" in said
