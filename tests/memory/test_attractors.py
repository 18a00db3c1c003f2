"""The minima of landscapes whose minima are known: when they merge, and what kind they are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import memory

pytestmark = pytest.mark.usefixtures("quick_compilation")


def circle_points(angles):
    return jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], -1), jnp.float32)


def grid_starts(side=12, reach=1.3):
    axis = np.linspace(-reach, reach, side)
    return jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), jnp.float32)


@functools.partial(jax.jit, static_argnames="max_steps")
def descend_all(starts, patterns, beta, max_steps=100):
    retrieval = lambda x: memory.retrieve_once(x, patterns, beta)  # noqa: E731
    return jax.vmap(lambda x: memory.descend(retrieval, x, max_steps=max_steps))(starts)


def minima_of(patterns, beta):
    return memory.distinct_minima(descend_all(grid_starts(), patterns, beta), merge_distance=1e-2)


def test_two_opposite_patterns_merge_at_beta_one_half():
    """Along their axis E is x^2 + 1 - log(2 cosh 2 beta x) / beta, whose curvature at 0 is 2 - 4 beta.

    So the two minima are one spurious state between the patterns, at 0, for beta < 1/2 (Pham et al. 2025,
    Eq. 10), and two near the patterns for beta > 1/2, at x = tanh(2 beta x).
    """
    patterns = circle_points([0.0, np.pi])
    hot = minima_of(patterns, 0.45)
    np.testing.assert_allclose(hot.x, [[0, 0]], atol=1e-3)
    assert hot.unsettled == 0 and hot.starts.sum() == 144
    cold = minima_of(patterns, 0.55)
    position = 0.5
    for _ in range(200):
        position = np.tanh(2 * 0.55 * position)
    np.testing.assert_allclose(sorted(cold.x[:, 0]), [-position, position], atol=1e-3)
    np.testing.assert_allclose(cold.x[:, 1], 0, atol=1e-3)


def test_in_the_cold_the_minima_are_the_patterns_and_nothing_else():
    angles = np.array([0.1, 0.8, 1.5, 2.1, 3.0, 3.6, 4.4, 5.0, 5.7])
    found = minima_of(circle_points(angles), 500.0)
    assert len(found.x) == 9
    distance = np.linalg.norm(found.x[:, None] - np.asarray(circle_points(angles))[None], axis=-1)
    assert distance.min(1).max() < 1e-4
    np.testing.assert_allclose(found.stiffness, 1, atol=1e-3)


def test_plain_retrieval_and_newton_find_the_same_minima():
    patterns, beta = circle_points([0.2, 0.9, 2.6, 4.0, 5.5]), 5.0
    plain = jax.jit(jax.vmap(lambda x: memory.retrieve(x, patterns, beta)))(grid_starts())
    assert np.all(plain.settled)
    newton = minima_of(patterns, beta)
    distance = np.linalg.norm(np.asarray(plain.x)[:, None] - newton.x[None], axis=-1)
    assert distance.min(1).max() < 1e-3
    assert set(distance.argmin(1)) == set(range(len(newton.x)))


def test_stiffness_is_half_the_hessian_of_the_energy():
    patterns, beta = circle_points([0.2, 0.9, 2.6, 4.0]), 3.0
    ends = descend_all(grid_starts(4), patterns, beta)
    hessian = jax.jit(jax.hessian(memory.energy_am))(ends.x[0], patterns, beta)
    np.testing.assert_allclose(ends.stiffness[0], np.linalg.eigvalsh(hessian) / 2, atol=1e-4)


def test_a_continuous_ring_has_one_flat_direction_and_one_stiff_one():
    x = jnp.array([0.5, 0.2])
    end = jax.jit(lambda x: memory.descend(lambda x: memory.circle_denoised(x, 20.0), x))(x)
    np.testing.assert_allclose(jnp.sqrt(jnp.sum(end.x**2)), memory.ring_radius(20.0), atol=1e-4)
    np.testing.assert_allclose(end.stiffness[0], 0, atol=1e-3)
    assert end.stiffness[1] > 0.9


def test_a_saddle_is_not_a_minimum():
    """Between two patterns in the cold the midpoint is a fixed point of retrieval, but not an attractor."""
    patterns = circle_points([0.0, np.pi])
    on_the_saddle = descend_all(jnp.zeros((1, 2)), patterns, 2.0)
    assert not on_the_saddle.settled[0]
    assert memory.distinct_minima(on_the_saddle, 1e-2).unsettled == 1


def test_ends_are_merged_by_distance_and_counted():
    ends = memory.Attractor(
        np.array([[0.0, 0.0], [1.0, 0.0], [0.001, 0.0], [5.0, 5.0]], np.float32),
        np.array([True, True, True, False]),
        np.ones((4, 2), np.float32),
    )
    found = memory.distinct_minima(ends, merge_distance=0.01)
    np.testing.assert_array_equal(found.x, np.float32([[0, 0], [1, 0]]))
    np.testing.assert_array_equal(found.starts, [2, 1])
    assert found.unsettled == 1


def test_attractors_are_patterns_spurious_or_flat():
    patterns = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    x = np.array([[0.99, 0.0], [0.7, 0.7], [0.99, 0.0]], np.float32)
    stiffness = np.array([[0.9, 1.0], [0.8, 1.0], [0.02, 1.0]], np.float32)
    kinds = memory.kind_of_attractor(x, stiffness, patterns, distance=0.05)
    np.testing.assert_array_equal(kinds, [memory.AT_PATTERN, memory.OFF_PATTERNS, memory.FLAT])
