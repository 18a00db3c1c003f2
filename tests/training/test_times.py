import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import diffusion, training


@pytest.mark.parametrize("process", [diffusion.VE(), diffusion.OU()], ids=["VE", "OU"])
def test_mixed_training_times_are_uniform_by_half_and_log_uniform_by_half(key, process):
    times = np.asarray(jax.vmap(training.draw_mixed_time, (0, None))(jax.random.split(key, 20_000), process))
    assert times.min() >= process.t_min and times.max() <= process.t_max
    for t in (1e-3, 1e-2, 0.1, 0.5):
        uniform = (t - process.t_min) / (process.t_max - process.t_min)
        logarithmic = np.log(t / process.t_min) / np.log(process.t_max / process.t_min)
        assert np.mean(times <= t) == pytest.approx((uniform + logarithmic) / 2, abs=0.015)


def test_the_weight_of_the_loss_is_one_or_falls_with_time():
    unit = training.TrainSettings(num_steps=1, batch_size=1)
    inverse = training.TrainSettings(num_steps=1, batch_size=1, weight="inverse_time")
    loss, t = jnp.float32(3.0), jnp.float32(0.09)
    assert training.weighted(loss, t, unit) == 3.0
    assert float(training.weighted(loss, t, inverse)) == pytest.approx(30.0)
