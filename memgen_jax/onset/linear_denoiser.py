"""The linear denoiser whose generated density is a Gaussian known in closed form."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from memgen_jax.annotations import Amount
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.onset.gaussians import Gaussian
from memgen_jax.shapes import Scalar

COVARIANCES = ("derived", "printed")
"""Readings of the generated covariance: θ₁θ₁ᵀ as it follows for Y = θ₀ + θ₁X, or θ₁ᵀθ₁ as printed."""
# Centred inputs of n ≤ d points have exact zeros among their singular values. With a mean of 10 the
# usual cut of pinv keeps one of them as rounding noise at some n, and the fit is silently wrong.
_SINGULAR_VALUE_CUT = 1e-10


def noise_variance(final_time: Amount, noise_scale: Amount) -> float:
    """Δ_T = λ (1 - e^{-2T}), the variance of the noise added in one step (Onset 2024, section 3)."""
    return noise_scale * -math.expm1(-2 * final_time)


class LinearDenoiser(NamedTuple):
    """Y ≈ offset + weight · X, and the Gaussian N(input_mean, input_variance I) that feeds it."""

    offset: Float[Array, " dim"]  # θ_0
    weight: Float[Array, "dim dim"]  # θ_1
    input_mean: Float[Array, " dim"]  # μ_X
    input_variance: Scalar  # σ_X²


@takes_arrays
def fit(
    clean: Float[Array, "row dim"],
    noise: Float[Array, "row dim"],
    final_time: Amount,
    noise_scale: Amount,
    num_train: Int[Array, ""] | None = None,
) -> LinearDenoiser:
    """Least squares from noisy points back to clean ones (Onset 2024, Eqs. 15, 16 and 22).

    X = e^{-T} Y + √Δ_T Z; θ_1ᵀ = x⁺ y with centred rows x, y, of minimum norm where n ≤ d;
    θ_0 = Ȳ - θ_1 X̄; μ_X = e^{-T} Ȳ; σ_X² = e^{-2T} Σ|Y_k - Ȳ|² / (nd) + Δ_T.

    Args:
      clean: Y, the training points, float64.
      noise: Z, standard normal, one row for each training point.
      final_time: T > 0, the Ornstein-Uhlenbeck time.
      noise_scale: λ > 0.
      num_train: n, where only the first n rows count: one compiled program then serves many n.
    """
    rows, dim = clean.shape
    n = jnp.asarray(rows if num_train is None else num_train, clean.dtype)
    counts = (jnp.arange(rows, dtype=n.dtype) < n)[:, None]
    shrink = math.exp(-final_time)
    variance = noise_variance(final_time, noise_scale)
    noisy = shrink * clean + math.sqrt(variance) * noise

    def centre(points: Float[Array, "row dim"]) -> tuple[Float[Array, "dim"], Float[Array, "row dim"]]:
        mean = jnp.sum(jnp.where(counts, points, 0), 0) / n
        return mean, jnp.where(counts, points - mean[None, :], 0)

    (clean_mean, y), (noisy_mean, x) = centre(clean), centre(noisy)
    weight = (jnp.linalg.pinv(x, rtol=_SINGULAR_VALUE_CUT) @ y).T
    return LinearDenoiser(
        offset=clean_mean - weight @ noisy_mean,
        weight=weight,
        input_mean=shrink * clean_mean,
        input_variance=shrink**2 * jnp.sum(jnp.square(y)) / (n * dim) + variance,
    )


@takes_arrays
def generated(denoiser: LinearDenoiser, covariance: str = "derived") -> Gaussian:
    """The density ρ_G of what the denoiser makes of its Gaussian input (Onset 2024, Eq. 17).

    Args:
      covariance: "derived" is σ_X² θ_1 θ_1ᵀ, the covariance of θ_0 + θ_1 X; "printed" is
        σ_X² θ_1ᵀ θ_1 as the paper's equations have it: the same spectrum along other axes.
    Returns:
      The Gaussian; its variances are exactly 0 in the directions that n ≤ d points leave flat.
    Raises:
      InputError: for another name.
    """
    check_covariance(covariance)
    left, singular, right = jnp.linalg.svd(denoiser.weight)
    singular = jnp.where(singular > _SINGULAR_VALUE_CUT * singular[0], singular, 0)
    return Gaussian(
        mean=denoiser.offset + denoiser.weight @ denoiser.input_mean,
        axes=left if covariance == "derived" else right.T,
        variances=denoiser.input_variance * jnp.square(singular),
    )


@takes_arrays
def limit_variance(final_time: Amount, noise_scale: Amount, sigma: float = 1.0) -> float:
    """Variance of ρ_G in each coordinate as n → ∞: σ² · e^{-2T}σ² / (e^{-2T}σ² + Δ_T).

    The one-step denoiser regresses towards the mean, so it never reaches σ².
    """
    signal = math.exp(-2 * final_time) * sigma**2
    return sigma**2 * signal / (signal + noise_variance(final_time, noise_scale))


@takes_arrays
def hellinger_floor(dim: int, final_time: Amount, noise_scale: Amount, sigma: float = 1.0) -> float:
    """H² as n → ∞: 0.36805 (d = 16) and 0.94321 (d = 100) at T = 2, λ = e^{-4}, σ = 1.

    >>> import math
    >>> from memgen_jax import onset
    >>> round(onset.hellinger_floor(16, 2.0, math.exp(-4)), 5)
    0.36805
    """
    shrunk = math.sqrt(limit_variance(final_time, noise_scale, sigma))
    return 1 - (2 * sigma * shrunk / (sigma**2 + shrunk**2)) ** (dim / 2)


def check_covariance(name: str) -> None:
    """Raises InputError unless the name is one of `COVARIANCES`."""
    if name not in COVARIANCES:
        raise InputError.setting("covariance", name, f"one of {', '.join(COVARIANCES)}")
