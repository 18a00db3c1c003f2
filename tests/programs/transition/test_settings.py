import jax.numpy as jnp
import numpy as np
import pytest

from configs import cifar10, digits
from memgen_jax import diffusion, models
from memgen_jax.errors import InputError
from memgen_jax.programs.transition import settings as transition_settings


def seen_by_network(process, settings):
    """What a network is shown of x = 1 at times from t_min to t_max."""
    spy = models.Model(lambda key: {}, lambda params, x, t, dropout_key=None: jnp.stack([x, t]))
    shown = transition_settings.on_process(spy, settings, process)
    times = jnp.geomspace(max(process.t_min, 1.0), process.t_max, 5)
    if process.t_min:
        times = jnp.geomspace(process.t_min, process.t_max, 5)
    return times, np.array([shown.apply_fn({}, jnp.ones(()), t) for t in times])


def test_of_a_process_in_continuous_time_a_network_sees_log_time_and_items_of_unit_size():
    for process in (diffusion.VE(sigma=10.0), diffusion.OU()):
        times, seen = seen_by_network(process, {})
        np.testing.assert_allclose(seen[:, 1], [0, 250, 500, 750, 1000], atol=0.1)
        size = [np.hypot(process.mean_coefficient(t), process.std(t)) for t in times]
        np.testing.assert_allclose(seen[:, 0], 1 / np.array(size), rtol=1e-5)
    times, seen = seen_by_network(diffusion.VE(), {"time_features": "fourier"})
    np.testing.assert_allclose(seen[:, 1], times)


def test_of_ddpm_a_network_sees_what_there_is():
    times, seen = seen_by_network(diffusion.DDPM(), {})
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
    assert transition_settings.Plan(
        transition_settings.launcher.settings(transition_settings.Settings, config),
        total=total, item_shape=item_shape, is_image=True, name="data",
    ).process == process()  # fmt: skip


def test_mixed_training_times_are_refused_for_ddpm():
    config = digits.get_config("smoke")
    config.train.times = "mixed"
    with pytest.raises(InputError, match="use 'uniform' with ddpm"):
        transition_settings.Run(config)
