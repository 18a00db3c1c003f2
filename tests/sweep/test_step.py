import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax.errors import InputError
from memgen_jax.training import TrainSettings, make_optimizer

SETTINGS = TrainSettings(num_steps=10, batch_size=4, learning_rate=0.1, warmup_steps=2)


def rates(settings):
    """Adam's first steps on a constant gradient of one number are the learning rate itself."""
    optimizer = make_optimizer(settings)
    params = jnp.zeros(())
    state, taken = optimizer.init(params), []
    for _ in range(settings.num_steps):
        update, state = optimizer.update(jnp.ones(()), state, params)
        taken.append(-float(update))
    return np.array(taken)


def test_the_rate_rises_linearly_then_stays_or_falls_along_a_cosine():
    constant = rates(SETTINGS)
    np.testing.assert_allclose(constant, [0, 0.05] + [0.1] * 8, rtol=1e-4, atol=1e-7)
    cosine = rates(dataclasses.replace(SETTINGS, schedule="cosine"))
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(8) / 8))
    np.testing.assert_allclose(cosine[2:], expected, rtol=1e-4)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("warmup_steps", [10, 40])
def test_a_run_shorter_than_its_warm_up_is_all_warm_up(schedule, warmup_steps):
    short = dataclasses.replace(SETTINGS, schedule=schedule, warmup_steps=warmup_steps)
    np.testing.assert_allclose(rates(short), 0.1 * np.arange(10) / warmup_steps, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "field,value",
    [
        ("num_steps", 0),
        ("members_per_step", 0),
        ("log_every", 0),
        ("steps_per_call", -1),
        ("warmup_steps", -1),
        ("grad_clip", 0.0),
        ("learning_rate", float("nan")),
        ("ema_decay", 1.0),
        ("schedule", "linear"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(InputError, match=f"train.{field}="):
        dataclasses.replace(SETTINGS, **{field: value})
