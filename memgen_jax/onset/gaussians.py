"""Gaussians that may be flat in some directions, and the Hellinger distance between two of them."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.shapes import Scalar


class Gaussian(NamedTuple):
    """N(mean, axes · diag(variances) · axesᵀ); a variance of exactly 0 means flat along that axis."""

    mean: Float[Array, " dim"]
    axes: Float[Array, "dim dim"]  # orthonormal columns
    variances: Float[Array, " dim"]  # ≥ 0, one for each column of `axes`

    @property
    def covariance(self) -> Float[Array, "dim dim"]:
        """The covariance, of its axes and variances."""
        return (self.axes * self.variances[None, :]) @ self.axes.T


@takes_arrays
def isotropic(mean: Float[Array, " dim"], sigma: float | Scalar) -> Gaussian:
    """The Gaussian N(mean, σ² I)."""
    variances = jnp.ones_like(mean) * jnp.asarray(sigma, mean.dtype) ** 2
    return Gaussian(mean, jnp.eye(mean.shape[0], dtype=mean.dtype), variances)


@takes_arrays
def squared_hellinger(p: Gaussian, q: Gaussian) -> Scalar:
    """H² = ½∫(√p - √q)² between two Gaussians, each possibly singular (Onset 2024, Eq. 18).

    With S = Σ_p + Σ_q and A = S^{-1/2} Σ_p S^{-1/2}, whose eigenvalues a lie in [0, 1], the overlap
    ∫√(pq) = 2^{d/2} |Σ_p|^{1/4} |Σ_q|^{1/4} |S|^{-1/2} exp(-¼ δᵀ S⁻¹ δ) becomes
    Π √2 (a (1 - a))^{1/4} · exp(-¼ δᵀ S⁻¹ δ), δ the difference of the means.
    Directions in which both are flat drop out; where only one is flat, a is 0 or 1, the two live on
    different sets and H² = 1; and so it is where the means differ along a direction flat in both.

    Returns:
      H² in [0, 1]. Needs float64 where a variance falls below 1e-4 of the largest.
    """
    dim = p.mean.shape[0]
    # Rounding leaves eigenvalues of this size where the exact ones are zero.
    rounding = 64 * dim * jnp.finfo(p.mean.dtype).eps
    scale, axes = jnp.linalg.eigh(p.covariance + q.covariance)
    shared = scale > rounding * scale[-1]
    whiten = axes * jnp.where(shared, 1 / jnp.sqrt(jnp.where(shared, scale, 1)), 0)[None, :]
    share = whiten.T @ p.covariance @ whiten + jnp.diag(jnp.where(shared, 0.0, 0.5))
    a = jnp.linalg.eigvalsh(share)
    a = jnp.where(a < rounding, 0, jnp.where(1 - a < rounding, 1, a))
    difference = p.mean - q.mean
    exponent = -jnp.sum(jnp.square(whiten.T @ difference)) / 4
    log_overlap = jnp.sum(jnp.log(4 * a * (1 - a)) / 4) + exponent
    outside = jnp.where(shared, 0, axes.T @ difference)
    reach = jnp.sqrt(rounding * (jnp.abs(scale[-1]) + jnp.sum(jnp.square(difference))))
    apart = jnp.any(jnp.abs(outside) > reach)
    return jnp.where(apart, 1.0, -jnp.expm1(log_overlap))
