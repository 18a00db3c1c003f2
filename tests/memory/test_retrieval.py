"""The memory run as a Hopfield network: what it recalls and how it settles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import memory

pytestmark = pytest.mark.usefixtures("quick_compilation")


def circle_points(angles):
    return jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], -1), jnp.float32)


def test_one_step_from_a_corrupted_pattern_recalls_it_in_the_cold():
    rng = np.random.default_rng(0)
    patterns = jnp.asarray(rng.choice([-1.0, 1.0], size=(200, 64)), jnp.float32)
    corrupted = patterns[7].at[:12].multiply(-1)
    np.testing.assert_allclose(memory.retrieve_once(corrupted, patterns, 2.0), patterns[7], atol=1e-3)


def test_one_step_is_half_a_step_of_gradient_descent_on_the_energy():
    patterns, x = circle_points([0.2, 1.5, 4.0]), jnp.array([0.3, -0.2])
    slope = jax.grad(memory.energy_am)(x, patterns, 3.0)
    np.testing.assert_allclose(memory.retrieve_once(x, patterns, 3.0), x - slope / 2, atol=1e-6)


def test_retrieval_never_raises_the_energy_and_ends_where_the_score_vanishes():
    patterns, beta = circle_points([0.2, 1.0, 2.9, 4.0, 5.5]), 6.0
    energy = jax.jit(lambda x: memory.energy_am(x, patterns, beta))
    step = jax.jit(lambda x: memory.retrieve_once(x, patterns, beta))
    x = jnp.array([-0.3, 0.4])
    for _ in range(10):
        following = step(x)
        assert energy(following) <= energy(x) + 1e-6
        x = following
    end = jax.jit(lambda x: memory.retrieve(x, patterns, beta))(x)
    assert end.settled and end.steps < 1000
    np.testing.assert_allclose(jax.jit(jax.grad(memory.energy_am))(end.x, patterns, beta), 0, atol=1e-5)


def test_retrieval_that_has_not_settled_says_so():
    end = memory.retrieve(jnp.array([0.0, 0.4]), circle_points([0.2, 2.0]), 1.0, max_steps=2)
    assert end.steps == 2 and not end.settled
