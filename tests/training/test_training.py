import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax.errors import InputError
from memgen_jax.sweep import SweepTrainSettings
from memgen_jax.training import make_optimizer, update_ema

SETTINGS = SweepTrainSettings(num_steps=10, batch_size=4, learning_rate=0.1, warmup_steps=2)


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
        ("grad_clip", -1.0),
        ("weight", "square"),
        ("times", "log"),
        ("prediction", "score_of_x"),
        ("learning_rate", float("nan")),
        ("ema_decay", 1.0),
        ("schedule", "linear"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(InputError, match=f"train.{field}="):
        dataclasses.replace(SETTINGS, **{field: value})


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_without_a_warm_up_the_first_step_takes_the_full_rate(schedule):
    taken = rates(dataclasses.replace(SETTINGS, schedule=schedule, warmup_steps=0))
    assert taken[0] == pytest.approx(0.1, rel=1e-4)
    if schedule == "constant":
        np.testing.assert_allclose(taken, 0.1, rtol=1e-4)


def test_a_gradient_is_clipped_to_its_norm_or_not_at_all():
    for clip, expected in ((1.0, 1.0), (0.0, 5.0)):
        settings = dataclasses.replace(SETTINGS, grad_clip=clip)
        first = make_optimizer(settings)
        _, state = first.update(jnp.array([3.0, 4.0]), first.init(jnp.zeros(2)), jnp.zeros(2))
        # Adam's first moment after one step is a tenth of the gradient that it saw.
        mu = next(
            part.mu
            for part in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu"))
            if hasattr(part, "mu")
        )
        assert float(jnp.linalg.norm(mu)) == pytest.approx(0.1 * expected, rel=1e-5)


@pytest.mark.parametrize("warmup", [True, False])
def test_the_average_follows_the_parameters_with_its_decay_warmed_up_or_not(warmup):
    ema, decay = 0.0, 0.9
    for steps in range(30):
        want = min(decay, (1 + steps) / (10 + steps)) if warmup else decay
        ema_next = float(update_ema(jnp.float32(ema), jnp.float32(1.0), jnp.float32(steps), decay, warmup))
        assert ema_next == pytest.approx(want * ema + (1 - want), rel=1e-5)
        ema = ema_next
