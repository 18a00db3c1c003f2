"""Basins of the exact score, where the boundary between two patterns is their mid-plane."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, norm

from memgen_jax import geometry, metrics
from memgen_jax.diffusion import DDPM, OU, VE
from memgen_jax.errors import InputError
from memgen_jax.geometry import basins
from memgen_jax.memory import exact_denoiser
from memgen_jax.metrics import lpips
from memgen_jax.metrics.weights import Head

pytestmark = pytest.mark.usefixtures("quick_compilation")

DIM = 6
PATTERNS = jnp.stack([jnp.full(DIM, 0.5), jnp.full(DIM, -0.5)])
HALF_DISTANCE = 0.5 * DIM**0.5


@pytest.mark.parametrize(
    ("process", "t"), [(DDPM(), 400.0), (VE(sigma=2.0), 0.8), (OU(), 0.7)], ids=["ddpm", "ve", "ou"]
)
def test_the_boundary_between_two_patterns_is_the_mid_plane(process, t, key):
    denoiser = exact_denoiser(PATTERNS, process)
    keys = jax.random.split(key, 200)
    noised, back = jax.vmap(
        lambda k: basins.go_and_return(k, PATTERNS[0], jnp.float32(t), denoiser, process, num_steps=50)
    )(keys)
    side = np.asarray(noised.sum(axis=1))
    landed = np.linalg.norm(np.asarray(back)[:, None] - np.asarray(PATTERNS), axis=2).argmin(axis=1)
    clear = np.abs(side) > 0.05  # on the plane itself either answer is right
    assert 20 < (side < 0).sum() < 180
    np.testing.assert_array_equal(landed[clear], (side < 0)[clear].astype(int))


def test_recovery_of_two_patterns_is_the_normal_distribution_function_and_gives_the_critical_time(key):
    process, copies = DDPM(), 400
    levels = jnp.asarray(basins.default_levels(process))
    denoiser = exact_denoiser(PATTERNS, process)
    result = jax.jit(
        lambda key: geometry.Basins(denoiser, process, levels, delta=0.3, copies=copies)(key, PATTERNS[0])
    )(key)
    # A copy stays on its side when its noise along the axis is above -m a / s.
    mean, std = jax.vmap(process.mean_coefficient)(levels), jax.vmap(process.std)(levels)
    expected = norm.cdf(np.asarray(mean / std) * HALF_DISTANCE)
    assert np.all(np.asarray(result.recovered) >= binom.ppf(1e-5, copies, expected) / copies)
    assert np.all(np.asarray(result.recovered) <= binom.ppf(1 - 1e-5, copies, expected) / copies)
    decided = np.abs(expected - 0.9) > 0.05
    last = np.asarray(levels)[expected >= 0.9].max()
    assert decided[expected >= 0.9][-2] and abs(float(result.critical_time) - last) <= 50


def test_critical_time_is_the_last_level_before_the_first_failure():
    levels = jnp.arange(1.0, 7.0)
    for bits in range(64):
        held = [bool(bits >> i & 1) for i in range(6)]
        expected = 0.0
        for level, ok in zip(levels, held, strict=True):
            if not ok:
                break
            expected = float(level)
        assert float(geometry.critical_time(levels, jnp.array(held))) == expected


def test_nine_of_ten_copies_hold_and_eight_do_not():
    assert bool(basins.holds(jnp.mean(jnp.array([1.0] * 9 + [0.0])), 0.9))
    assert not bool(basins.holds(jnp.float32(0.8), 0.9))


def test_a_sample_that_never_returns_has_critical_time_zero_and_volume_minus_infinity(key):
    process = DDPM()
    result = jax.jit(
        lambda key: geometry.Basins(
            lambda x, t: jnp.zeros_like(x), process, jnp.array([50.0, 500.0]), delta=0.1
        )(key, PATTERNS[0])
    )(key)
    assert float(result.critical_time) == 0 and float(result.radius) == 0
    assert float(result.log_volume) == -np.inf
    np.testing.assert_allclose(result.distance, np.linalg.norm(PATTERNS[0]), rtol=1e-5)


def test_bisection_finds_the_same_critical_time_where_recovery_is_monotone(key):
    process = VE()
    denoiser = exact_denoiser(PATTERNS, process)
    levels = jnp.asarray(basins.default_levels(process, 13))
    settings = {"delta": 0.3, "copies": 60, "num_steps": 30}
    measure = geometry.Basins(denoiser, process, levels, **settings)
    scan_levels = jax.jit(lambda k: measure(k, PATTERNS[1]))
    bisect = jax.jit(lambda k: measure.bisect(k, PATTERNS[1]))
    both = 0
    for number in range(5):
        k = jax.random.fold_in(key, number)
        scan = scan_levels(k)
        held = np.asarray(basins.holds(scan.recovered))
        if np.all(np.diff(held.astype(int)) <= 0):
            both += 1
            t_c, radius, log_volume = bisect(k)
            assert float(t_c) == float(scan.critical_time)
            np.testing.assert_allclose([radius, log_volume], [scan.radius, scan.log_volume], rtol=1e-6)
    assert both >= 3


@pytest.mark.parametrize("threshold", range(0, 6))
def test_bisection_ends_on_every_possible_level(threshold, key):
    levels = jnp.arange(100.0, 600.0, 100.0)
    limit = 100.0 * threshold

    def right_up_to_the_limit(x, t):
        return jnp.where(t > limit + 1, jnp.full_like(x, 9.0), jnp.ones_like(x))

    measure = geometry.Basins(right_up_to_the_limit, DDPM(), levels, delta=0.5, num_steps=1, copies=2)
    t_c, _, _ = measure.bisect(key, jnp.ones(3))
    assert float(t_c) == limit


def test_the_ball_has_the_volume_of_a_ball():
    assert math.isclose(float(geometry.log_volume(jnp.float32(2), 2)), math.log(math.pi * 4), rel_tol=1e-5)
    assert math.isclose(
        float(geometry.log_volume(jnp.float32(3), 3)), math.log(4 / 3 * math.pi * 27), rel_tol=1e-5
    )
    assert float(geometry.log_volume(jnp.float32(0), 5)) == -np.inf


@pytest.mark.parametrize(("t", "radius", "log_volume"), [(101.0, 18.2, 929), (501.0, 56.9, 4434)])
def test_radius_and_volume_of_a_cifar_sized_sample(t, radius, log_volume, key):
    clean = jnp.full((32, 32, 3), 0.5)  # |x|^2 = 0.25 N
    got = basins.basin_radius(key, clean, jnp.float32(t), DDPM())
    np.testing.assert_allclose(got, radius, rtol=0.02)
    np.testing.assert_allclose(geometry.log_volume(jnp.float32(radius), 3072), log_volume, atol=8)


def test_the_radius_is_what_noise_and_shrinking_add_up_to(key):
    process, clean, t = OU(), jnp.linspace(-1.0, 1.0, 4000), jnp.float32(0.4)
    shrink = (1 - process.mean_coefficient(t)) ** 2 * jnp.sum(clean**2)
    expected = jnp.sqrt(shrink + process.std(t) ** 2 * clean.size)
    np.testing.assert_allclose(basins.basin_radius(key, clean, t, process), expected, rtol=0.01)


def test_noise_is_fresh_for_every_copy_level_and_sample(key):
    process = DDPM()
    levels = jnp.array([500.0, 500.0])
    run = geometry.Basins(lambda x, t: x, process, levels, delta=1.0, copies=7)
    keys = jax.random.split(key)
    first, second = jax.jit(jax.vmap(lambda k: run(k, PATTERNS[0]).distance))(keys)
    assert len(np.unique(np.concatenate([first, second]))) == 28


def test_one_compiled_function_serves_every_level(key):
    process, traces = DDPM(), []

    @jax.jit
    def back(key, t):
        traces.append(1)
        measure = geometry.Basins(exact_denoiser(PATTERNS, process), process, jnp.ones(1), delta=1.0)
        return measure.return_distances(key, PATTERNS[0], t)

    for t in (50.0, 300.0, 1000.0):
        back(key, jnp.float32(t))
    assert len(traces) == 1


def test_basins_of_a_batch_equal_basins_one_by_one(key):
    process = DDPM()
    keys = jax.random.split(key, 2)
    run = geometry.Basins(exact_denoiser(PATTERNS, process), process, jnp.array([200.0, 600.0]), delta=0.3)
    together, alone = jax.jit(jax.vmap(run))(keys, PATTERNS), jax.jit(run)
    for i in range(2):
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
            jax.tree.map(lambda leaf, i=i: leaf[i], together),
            alone(keys[i], PATTERNS[i]),
        )


def test_levels_in_portions_give_the_same_basin(key):
    process = DDPM()
    model = (exact_denoiser(PATTERNS, process), process, jnp.array([200.0, 600.0, 900.0]))

    def run(**portions):
        return geometry.Basins(*model, delta=0.3, **portions)(key, PATTERNS[0]).distance

    in_portions, at_once = jax.jit(lambda: (run(levels_at_once=2), run()))()
    np.testing.assert_allclose(in_portions, at_once, rtol=1e-4, atol=1e-5)


@pytest.fixture
def random_alexnet(monkeypatch):
    """Weights of the right shapes in place of the real ones, which need a download."""
    random, trunk, heads, channels = np.random.default_rng(0), {}, [], 3
    for layer, (width, kernel, _, _) in enumerate(lpips.LAYERS):
        weight = random.normal(size=(kernel, kernel, channels, width)) / kernel / channels**0.5
        trunk[f"Conv_{layer}"] = {"kernel": np.float32(weight), "bias": np.zeros(width, np.float32)}
        heads.append(Head(random.random(width).astype(np.float32), np.arange(width)))
        channels = width
    weights = {"trunk": trunk, "heads": heads}
    monkeypatch.setattr(lpips, "load_weights", lambda: weights)


def test_recovery_in_lpips_compares_the_pictures_by_their_squared_distance(random_alexnet, key):
    process, delta = DDPM(), 0.02
    patterns = jax.random.uniform(key, (2, 28, 28, 1), minval=-1.0, maxval=1.0)
    # Comes back near the sample from the first level and to the other picture from the second.
    mixed = 0.95 * patterns[0] + 0.05 * patterns[1]

    def denoiser(x, t):
        return jnp.where(t > 500, patterns[1], mixed)

    result = jax.jit(
        lambda key: geometry.Basins(
            denoiser,
            process,
            jnp.array([100.0, 900.0]),
            delta=delta,
            distance=metrics.Lpips().between(lambda item: item),
            copies=2,
            num_steps=1,
        )(key, patterns[0])
    )(key)
    first = np.asarray(patterns)[[0, 0]]
    expected = metrics.lpips_distance(first, np.stack([mixed, patterns[1]]))
    near, far = np.asarray(result.distance)
    np.testing.assert_allclose(far, expected[1], rtol=1e-3)
    np.testing.assert_allclose(near, expected[0], rtol=1e-3)
    assert near.max() < delta < far.min()
    assert float(result.critical_time) == 100 and result.recovered.tolist() == [1, 0]


def test_pictures_too_small_for_lpips_are_refused(random_alexnet):
    with pytest.raises(InputError, match="at least 28 pixels a side, got 8×8"):
        metrics.Lpips().between(lambda item: item)(jnp.zeros((8, 8, 1)), jnp.zeros((8, 8, 1)))


def test_the_way_back_takes_whole_times_in_ddpm_and_ends_at_clean_data():
    times = np.asarray(basins.return_times(DDPM(), jnp.float32(7.0), 20))
    assert times[0] == 7 and times[-1] == 0 and np.all(np.diff(times) <= 0)
    np.testing.assert_array_equal(times, np.round(times))
    assert np.all(times[:-1] >= 1)  # time 0 has no noise to take away
    np.testing.assert_array_equal(
        basins.return_times(DDPM(), jnp.float32(1000), 20), np.arange(1000, -1, -50)
    )
    assert float(basins.return_times(VE(), jnp.float32(0.3), 4)[-1]) == np.float32(1e-5)


def test_impossible_settings_are_refused(key):
    run = functools.partial(geometry.Basins, lambda x, t: x, DDPM(), delta=1.0)
    with pytest.raises(InputError, match="levels=0"):
        run(levels=jnp.zeros(0))
    with pytest.raises(InputError, match=r"required=1\.5"):
        run(levels=jnp.ones(1), required=1.5)
