"""Infinitely many patterns on the unit circle, in closed form (Pham et al. 2025, section 3 and App. A-B).

The memory of y uniform on the circle at inverse temperature beta has the density of y + noise of
variance 1 / (2 beta) per axis, a function of R = |x| alone:

  p(x) = (beta / pi) exp(-beta (R^2 + 1)) I_0(2 beta R).

All Bessel functions are the exponentially scaled ones, since 2 beta R reaches 1e5. In their terms
p(x) = (beta / pi) exp(-beta (R - 1)^2) i0e(2 beta R). Functions take one point of the plane and a beta > 0,
and are held against float64 from beta = 0.1 to 1e5; a beta that is not positive is an `InputError`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import i0e, i1e
from jaxtyping import Array, Float, Float64

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.memory.energy import require_temperature
from memgen_jax.shapes import Scalar

Point = Float[Array, "2"]
Number = Scalar | float


@takes_arrays
def circle_energy(x: Point, beta: Number) -> Scalar:
    """E(R) = R^2 + 1 - log I_0(2 beta R) / beta, which tends to (R - 1)^2 (Pham et al. 2025, Eq. 13)."""
    require_temperature(beta)
    radius = _radius(x)
    return (radius - 1) ** 2 - jnp.log(i0e(2 * beta * radius)) / beta


@takes_arrays
def circle_log_density(x: Point, beta: Number) -> Scalar:
    """log p(x), normalised over the plane: log(beta / pi) - beta E(R)."""
    return jnp.log(beta / np.pi) - beta * circle_energy(x, beta)


@takes_arrays
def circle_score(x: Point, beta: Number) -> Point:
    """grad log p = 2 beta (I_1(2 beta R) / I_0(2 beta R) - R) x / R, which is 0 at R = 0.

    Eqs. 14-15 of Pham et al. 2025 print it without the factor beta: theirs is minus the gradient of E.

    >>> import jax.numpy as jnp
    >>> from memgen_jax import memory
    >>> round(float(memory.circle_score(jnp.array([1.3, 0.0]), 20.0)[0]), 3)
    -12.386
    """
    return 2 * beta * (circle_denoised(x, beta) - x)


@takes_arrays
def circle_denoised(x: Point, beta: Number) -> Point:
    """The memory's answer E[y | x] = I_1(2 beta R) / I_0(2 beta R) x / R: the exact denoiser."""
    require_temperature(beta)
    radius = _radius(x)
    # I_1(z) / I_0(z) = z / 2 to first order, so the quotient by R is beta at the centre.
    safe = jnp.where(radius > 0, radius, 1.0)
    quotient = jnp.where(radius > 0, i1e(2 * beta * safe) / (i0e(2 * beta * safe) * safe), beta)
    return quotient * x


@takes_arrays
def ring_radius(beta: Float64[np.ndarray, "*grid"] | float) -> Float64[np.ndarray, "*grid"]:
    """R*(beta), the radius of the ring of minima: R* = I_1(2 beta R*) / I_0(2 beta R*).

    The ring shrinks from R* = 1 - 1 / (4 beta) at large beta to the single minimum R* = 0 at beta <= 1:
    this is where the memory of the circle loses its patterns altogether. Float64, on the host.

    >>> from memgen_jax import memory
    >>> round(float(memory.ring_radius(20.0)), 4), round(float(memory.ring_radius(1.0)), 4)
    (0.9873, 0.0)
    """
    from scipy import optimize, special

    betas = np.asarray(beta, np.float64)
    if not np.all(betas > 0):
        raise InputError.setting("beta", float(betas.min()), "positive")

    def solve(beta: float) -> float:
        if beta <= 1:
            return 0.0

        def surplus(radius: float) -> float:
            return special.i1e(2 * beta * radius) / special.i0e(2 * beta * radius) / radius - 1

        # Just above beta = 1, R* is about sqrt(2 (beta - 1)); the bracket's lower end lies below it.
        low = 0.5 * min(1.0, np.sqrt(beta - 1))
        return optimize.brentq(surplus, low, 1.0, xtol=1e-14, rtol=1e-14)

    return np.array([solve(value) for value in betas.ravel()]).reshape(betas.shape)


def _radius(x: jax.Array) -> jax.Array:
    """|x| with the derivative 0, not NaN, at the centre."""
    squared = jnp.sum(x**2)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
