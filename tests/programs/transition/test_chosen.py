"""What the data decide where nobody else does."""

import json

import numpy as np
import pytest
from etils import epath

from memgen_jax.configs import own
from memgen_jax.errors import InputError
from memgen_jax.programs.settings import complete, plain, settings_from
from memgen_jax.programs.transition import chosen
from memgen_jax.programs.transition.growth import Before, Kept
from memgen_jax.programs.transition.settings import TransitionRun, TransitionSettings


def config_for(variant, path):
    config = own.get_config(variant)
    config.data.name = str(path)
    complete(TransitionSettings, config)
    return config.lock()


def stored(folder, count, shape, seed=0):
    """A file of uint8 images, or of vectors where the shape is one number."""
    random = np.random.default_rng(seed)
    if len(shape) == 1:
        items = random.normal(50, 8, (count, *shape)).astype(np.float32)
    else:
        items = random.integers(0, 256, (count, *shape)).astype(np.uint8)
    np.save(folder / "items.npy", items)
    return folder / "items.npy"


@pytest.mark.parametrize(
    "variant,count,shape,wanted",
    [
        ("grey", 600, (16, 16), {"num_train": (2, 6, 18, 54, 160, 480), "held": 120, "width": 256, "rate": 0.01}),
        ("colour", 4000, (20, 24, 3), {"num_train": (2, 8, 32, 128, 512, 2048), "size": 16, "held": 500}),
        ("vectors", 200, (2,), {"num_train": (2, 5, 12, 28, 67, 160), "held": 40, "width": 128, "rate": 0.1}),
        ("vectors", 100, (2000,), {"num_train": (2, 4, 9, 18, 38, 80), "held": 20, "width": 512, "rate": 0.05}),
    ],
)  # fmt: skip
def test_sizes_share_width_and_rate_follow_from_the_data(tmp_path, variant, count, shape, wanted):
    choice = chosen.choose(config_for(variant, stored(tmp_path, count, shape)))
    s = settings_from(TransitionSettings, choice.config)
    found = {
        "num_train": s.num_train,
        "size": s.data.size,
        "held": s.data.num_held_out,
        "width": s.model.width,
        "rate": s.phases.false_positive_rate,
        "prediction": s.train.prediction,
    }
    assert {name: found[name] for name in wanted} == wanted
    assert found["prediction"] == "denoised"
    assert len(choice.dataset.held_out) == wanted["held"]
    assert str(s.num_train[-1]) in chosen.sentence(choice).replace(",", "")
    run = TransitionRun(choice.config, dataset=choice.dataset)  # which reads nothing again
    assert [member.num_train for member in run.members] == list(s.num_train)
    if variant == "vectors":
        assert np.concatenate([run.train, run.dataset.held_out]).std() == pytest.approx(1, rel=1e-3)


def test_what_was_read_for_the_rule_is_what_would_be_read_with_its_choice(tmp_path):
    choice = chosen.choose(config_for("grey", stored(tmp_path, 100, (20, 18, 3))))
    again = settings_from(TransitionSettings, choice.config).data.load()
    assert again.item_shape == (16, 16, 1)
    np.testing.assert_array_equal(again.train, choice.dataset.train)
    np.testing.assert_array_equal(again.held_out, choice.dataset.held_out)


def test_the_command_line_wins(tmp_path):
    config = config_for("grey", stored(tmp_path, 300, (16, 16)))
    with config.unlocked():
        config.num_train, config.data.num_held_out = (4, 8), 30
    found = chosen.choose(config, {"num_train", "data.num_held_out"}).config
    assert (found.num_train, found.data.num_held_out) == ((4, 8), 30)
    assert found.phases.false_positive_rate == 0.05  # of 30, by the rule


def test_what_a_run_has_stays_when_its_data_grow(tmp_path):
    first = chosen.choose(config_for("grey", stored(tmp_path, 100, (16, 16)))).config
    record = json.loads(json.dumps(plain(settings_from(TransitionSettings, first))))
    before = Before(epath.Path(tmp_path), record, (Kept(2, 0, None, "num_train=000002", True),))
    again = chosen.choose(config_for("grey", stored(tmp_path, 900, (16, 16))), (), before)
    assert again.config == first and again.told == ()


def test_another_kind_of_data_is_refused_before_it_is_read(tmp_path):
    file = stored(tmp_path, 100, (16, 16))
    with pytest.raises(InputError, match="holds images of shape 16×16×1: take --config=own:grey"):
        chosen.choose(config_for("vectors", file))
    with pytest.raises(InputError, match="vectors of 3 numbers, no images: take --config=own:vectors"):
        chosen.choose(config_for("colour", stored(tmp_path, 100, (3,))))
    with pytest.raises(InputError, match="give your data"):
        chosen.choose(config_for("grey", ""))


def test_too_few_items_to_calibrate_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"has 40 items, of which 8 are held out.*at least 45 items"):
        chosen.choose(config_for("grey", stored(tmp_path, 40, (16, 16))))


def test_a_data_set_that_is_made_comes_as_it_is():
    choice = chosen.choose(config_for("grey", "digits"))
    assert choice.config.data.channels is None and choice.config.num_train[-1] == 1437
    assert len(choice.dataset.held_out) == 360
