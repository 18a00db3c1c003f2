"""Widths of the Gaussian kernels that turn n points into a density.

The onset paper gives four expressions and treats them as one; they agree only for log n ≫ d/2, which
neither of its figures satisfies, and where Δ turns positive depends on the choice.
"""

import math

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError

KERNEL_WIDTHS = ("silverman", "leading", "mixing_time", "exact")
"""Readings of the kernel width, see `kernel_width`."""


@takes_arrays
def mixing_time(num_points: int, dim: int, sigma: float = 1.0) -> float:
    """Ornstein-Uhlenbeck time at which n Gaussian points begin to mix (Onset 2024, Eq. 9).

    t_M = ½ log(1 + σ² / (n^{2/d} - 1)), from the random energy model of Biroli et al. 2024.

    Args:
      num_points: n ≥ 2 points drawn from N(μ, σ² I).
      dim: dimension d ≥ 1 of one point.
      sigma: standard deviation of the data in each coordinate, > 0.
    Raises:
      InputError: when an argument is out of its range.
    """
    check_points(num_points, dim, sigma)
    return 0.5 * math.log1p(sigma**2 / math.expm1(2 * math.log(num_points) / dim))


@takes_arrays
def kernel_width(name: str, num_points: int, dim: int, sigma: float = 1.0) -> float:
    """Standard deviation ε of the kernel around each of n points in d dimensions.

    - "silverman": σ (4/(d+2))^{1/(d+4)} n^{-1/(d+4)}, minimal mean squared error (Onset 2024, Eq. 11).
    - "leading": σ n^{-1/d}, its leading term and the caption of the paper's Fig. 3.
    - "mixing_time": ε² = 2 t_M (Onset 2024, Eq. 10).
    - "exact": ε² = e^{2 t_M} - 1 = σ² / (n^{2/d} - 1): the kernels of the process at t_M, un-shrunk.

    Args:
      name: one of `KERNEL_WIDTHS`.
      num_points: n ≥ 2.
      dim: d ≥ 1; 1 for densities taken coordinate by coordinate.
      sigma: standard deviation of the data in each coordinate, > 0.
    Returns:
      ε > 0, in the unit of `sigma`.
    Raises:
      InputError: when the name is unknown or an argument is out of its range.

    >>> from memgen_jax import onset
    >>> round(onset.kernel_width("silverman", 1000, 16), 3), round(onset.kernel_width("leading", 1000, 16), 3)
    (0.657, 0.649)
    """
    check_points(num_points, dim, sigma)
    if name == "silverman":
        return sigma * (4 / (dim + 2) / num_points) ** (1 / (dim + 4))
    if name == "leading":
        return sigma * num_points ** (-1 / dim)
    if name == "mixing_time":
        return math.sqrt(2 * mixing_time(num_points, dim, sigma))
    if name == "exact":
        return sigma / math.sqrt(math.expm1(2 * math.log(num_points) / dim))
    raise InputError.setting("kernel_width", name, f"one of {', '.join(KERNEL_WIDTHS)}")


def check_points(num_points: int, dim: int, sigma: float) -> None:
    """Raises InputError unless n ≥ 2, d ≥ 1 and σ > 0."""
    if num_points < 2:
        raise InputError.setting("num_train", num_points, "at least 2: a kernel width needs two points")
    if dim < 1:
        raise InputError.setting("dim", dim, "at least 1")
    if not (math.isfinite(sigma) and sigma > 0):
        raise InputError.setting("sigma", sigma, "a finite number above 0")
