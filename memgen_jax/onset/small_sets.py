"""The onset paper's estimate for a network: small random sets compared pixel by pixel (its Fig. 4)."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.onset.coordinates import coordinate_kernels, overlaps_on_grid
from memgen_jax.onset.widths import kernel_width
from memgen_jax.shapes import Scalar

INTEGRALS = ("closed", "grid")
"""How ∫(ρ₁ - ρ₂)² is taken: in closed form, or on the paper's grid of 16 points, which aliases."""


class SmallSets(NamedTuple):
    """Distances of every simulation, summed over coordinates (Onset 2024, Eq. 23)."""

    e_tg: Float[np.ndarray, " simulation"]
    e_og: Float[np.ndarray, " simulation"]


@takes_arrays
def compare_small_sets(
    train: Float[np.ndarray, "num_train dim"],
    synthetic: Float[np.ndarray, "num_synthetic dim"],
    original: Float[np.ndarray, "num_original dim"],
    *,
    sigma: float,
    sizes: tuple[int, int, int] = (10, 10, 100),
    width: str = "leading",
    integral: str = "closed",
    num_simulations: Positive = 200,
    seed: NotNegative = 0,
) -> SmallSets:
    """E_TG and E_OG of small sets drawn anew in each simulation (Onset 2024, caption of Fig. 4).

    The caption: 10 generated images against 10 of the training and 100 of the original ones, each with
    ε = σ/n for its own number of images, the integral summed over 16 points of (0, 1).

    Args:
      train, synthetic, original: what is drawn from without replacement, in the data's own unit (the
        grid: values mostly within (0, 1)).
      sigma: standard deviation of one coordinate.
      sizes: items of the training, synthetic and original set in a simulation, each ≥ 2.
      width: a name of `KERNEL_WIDTHS` in one dimension; "leading" is σ/n.
      integral: "closed" takes ∫(ρ_1 - ρ_2)² exactly; "grid" as the paper does, which aliases.
    Raises:
      InputError: when a set has fewer items than are to be drawn, or on an unknown integral.
    """
    if integral not in INTEGRALS:
        raise InputError.setting("integral", integral, f"one of {', '.join(INTEGRALS)}")
    sets = {"train": train, "synthetic": synthetic, "original": original}
    for (name, items), size in zip(sets.items(), sizes, strict=True):
        if not 2 <= size <= len(items):
            raise InputError(f"{size} {name} items are to be drawn; choose between 2 and {len(items)}.")
    epsilons = jnp.asarray([kernel_width(width, size, 1, sigma) for size in sizes], jnp.float32)
    rng = np.random.default_rng(seed)
    device_sets = [jnp.asarray(items, jnp.float32) for items in sets.values()]
    found = []
    for _ in range(num_simulations):
        drawn = [
            jnp.asarray(rng.choice(len(items), size, replace=False, shuffle=False))
            for items, size in zip(sets.values(), sizes, strict=True)
        ]
        found.append(_distances(device_sets, drawn, epsilons, integral))
    e_tg, e_og = np.array(jax.device_get(found), np.float64).T
    return SmallSets(e_tg, e_og)


@partial(jax.jit, static_argnames="integral")
def _distances(
    sets: list[Float[Array, "_ dim"]],
    drawn: list[Int[Array, " _"]],
    epsilons: Float[Array, "3"],
    integral: str,
) -> tuple[Scalar, Scalar]:
    t, g, o = ((items[index], width) for items, index, width in zip(sets, drawn, epsilons, strict=True))

    def overlap(a: tuple, b: tuple) -> Scalar:
        if integral == "grid":
            return overlaps_on_grid(a[0], b[0], a[1], b[1])
        return jnp.mean(coordinate_kernels(a[0], b[0], jnp.square(a[1]) + jnp.square(b[1])))

    gg = overlap(g, g)
    return overlap(t, t) - 2 * overlap(t, g) + gg, overlap(o, o) - 2 * overlap(o, g) + gg
