import dataclasses
import inspect

import jax.numpy as jnp
import numpy as np
import pytest

from configs import cifar10, digits
from memgen_jax import data, diffusion, models
from memgen_jax.errors import InputError
from memgen_jax.programs import choices
from memgen_jax.programs.settings import settings_from
from memgen_jax.programs.transition import settings as transition_settings


def seen_by_network(process, raw_time=False):
    """What a network is shown of x = 1 at times from t_min to t_max."""
    spy = models.Model(lambda key: {}, lambda params, x, t, dropout_key=None: jnp.stack([x, t]))
    shown = choices.on_process(spy, process, raw_time=raw_time)
    times = jnp.geomspace(max(process.t_min, 1.0), process.t_max, 5)
    if process.t_min:
        times = jnp.geomspace(process.t_min, process.t_max, 5)
    return times, np.array([shown.apply_fn({}, jnp.ones(()), t) for t in times])


def test_of_a_process_in_continuous_time_a_network_sees_log_time_and_items_of_unit_size():
    for process in (diffusion.VE(sigma=10.0), diffusion.OU()):
        times, seen = seen_by_network(process)
        np.testing.assert_allclose(seen[:, 1], [0, 250, 500, 750, 1000], atol=0.1)
        size = [np.hypot(process.mean_coefficient(t), process.std(t)) for t in times]
        np.testing.assert_allclose(seen[:, 0], 1 / np.array(size), rtol=1e-5)
    times, seen = seen_by_network(diffusion.VE(), raw_time=True)
    np.testing.assert_allclose(seen[:, 1], times)


def test_of_ddpm_a_network_sees_what_there_is():
    times, seen = seen_by_network(diffusion.DDPM())
    np.testing.assert_array_equal(seen, np.stack([np.ones(5), times], axis=1))


@pytest.mark.parametrize("sampler", diffusion.SAMPLERS)
@pytest.mark.parametrize("process", [diffusion.DDPM, diffusion.VE, diffusion.OU])
@pytest.mark.parametrize(
    "config,total,item_shape",
    [(digits.get_config("smoke"), 1437, (8, 8, 1)), (cifar10.get_config(), 50_000, (32, 32, 3))],
    ids=["digits", "cifar10"],
)
def test_every_sampler_and_process_can_be_named_alone(sampler, process, config, total, item_shape):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({"sampler.name": sampler, "process.name": process.__name__.lower()})
    assert transition_settings.TransitionPlan(
        settings_from(transition_settings.TransitionSettings, config),
        total=total, item_shape=item_shape, is_image=True, name="data",
    ).process == process()  # fmt: skip


def test_mixed_training_times_are_refused_for_ddpm():
    config = digits.get_config("smoke")
    config.train.times = "mixed"
    with pytest.raises(InputError, match="use 'uniform' with ddpm"):
        transition_settings.TransitionRun(config)


@pytest.mark.parametrize(
    "settings,function",
    [
        (choices.MLPSettings, models.mlp),
        (choices.UNetSettings, models.unet),
        (choices.DDPMSettings, diffusion.DDPM),
        (choices.VESettings, diffusion.VE),
        (choices.OUSettings, diffusion.OU),
        (choices.DataSettings, data.load),
    ],
)
def test_what_is_chosen_by_name_has_the_settings_and_defaults_of_its_function(settings, function):
    known = inspect.signature(function).parameters
    skipped = {"item_shape", "name", "arrays"}
    theirs = {name: p.default for name, p in known.items() if name not in skipped}
    ours = {field.name: field.default for field in dataclasses.fields(settings) if field.name != "name"}
    ours.pop("order", None)  # of the training sets, not of the loading
    assert ours == theirs
