"""The onset paper's metric on any training set and samples: is the model closer to unseen data?

Two views of data in many dimensions: the densities of all single coordinates, added up (Onset 2024, Eqs.
23-24), and one joint density of the leading principal components.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from memgen_jax.arrays_in import require_one_scale, takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.onset.coordinates import coordinate_kernels
from memgen_jax.onset.critical import probability_positive
from memgen_jax.onset.widths import kernel_width
from memgen_jax.shapes import Scalar

VIEWS = ("coordinates", "components")
"""How items become densities: single coordinates, or the leading principal components."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One model under one view; `row` gives what a table holds.

    Attributes:
      e_tg, e_og: squared-L² distances of ρ_G to the training and to the held-out density.
      e_to: that between those two.
      replicates: Δ = e_tg - e_og of every bootstrap resample.
      width: ε, the kernel width, in the view's unit (the spread of one coordinate or component is 1).
      num_train, num_synthetic, num_held_out: how many items of each were compared.
    """

    view: str
    e_tg: float
    e_og: float
    e_to: float
    replicates: Float[np.ndarray, " replicate"]
    width: float
    num_train: int
    num_synthetic: int
    num_held_out: int

    def row(self) -> dict[str, str | int | float]:
        """Columns of onset.csv: Δ with a 95% bootstrap interval, and P(Δ > 0) with its own.

        `relative_delta` is Δ / E_TO, 1 - 2c for samples of which a share c copies the training set and
        the rest is as good as the truth: then ρ_G = c ρ_T + (1-c) ρ_O, and P(Δ > 0) = ½ at c = ½.
        """
        probability, low, high = probability_positive(self.replicates)
        delta_low, delta_high = np.quantile(self.replicates, [0.025, 0.975])
        return {
            "num_train": self.num_train,
            "view": self.view,
            "num_synthetic": self.num_synthetic,
            "num_held_out": self.num_held_out,
            "e_tg": self.e_tg,
            "e_og": self.e_og,
            "delta": self.e_tg - self.e_og,
            "delta_low": float(delta_low),
            "delta_high": float(delta_high),
            "relative_delta": (self.e_tg - self.e_og) / self.e_to,
            "p_delta_positive": probability,
            "p_delta_positive_low": low,
            "p_delta_positive_high": high,
            "kernel_width": self.width,
        }


@takes_arrays
def compare(
    train: Float[np.ndarray, "num_train dim"],
    synthetic: Float[np.ndarray, "num_synthetic _"],
    held_out: Float[np.ndarray, "num_held_out _"],
    *,
    view: str = "coordinates",
    width: str = "silverman",
    width_at: int | None = None,
    num_components: int = 8,
    max_items: int = 4096,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Δ = E_TG - E_OG with ρ_O from held-out items, and its spread over synthetic and held-out ones.

    All three densities get one kernel width. With widths of their own, as the paper's
    Gaussians have, peaks that all three share (the background of images) already differ, and a perfect
    copier of real digits comes out as generalizing at K = 512.
    Δ > 0 says that K training points describe the truth worse than the model does.

    ρ_O stands for the true density: ∫ρ_O² is the mean over pairs of *different* held-out items, which is unbiased.
    With the pairs of an item with itself Δ would be too small by as much as the kernel's height over N, and a model as
    good as the truth would tie at K = N. (The training density *is* its K kernels, and keeps them all.)

    The bootstrap draws synthetic and held-out items with replacement; pairs of an item with its own
    copy are left out too. The training set stays: it is the model's.

    Args:
      train: the K items that the model has seen, flattened, in any unit.
      synthetic: what it made, same unit.
      held_out: items of the same source that it has not seen.
      view: "coordinates" adds up the densities of single coordinates, their spread being the held-out
        set's root mean square; "components" takes one density over the leading principal components
        of the held-out set, each scaled to spread 1.
      width: a name of `KERNEL_WIDTHS`, in 1 or `num_components` dimensions.
      width_at: the n at which it is taken; K where not given. E_OG can be compared over several K only with one ε,
        and so one n, for all.
      num_components: of the second view; at most what the held-out set spans.
      max_items: the first so many of each set are used; cost grows with its square times dim.
      resamples: of the bootstrap.
      seed: of the bootstrap.
    Returns:
      The comparison; float32 kernels, sums in float64.
    Raises:
      InputError: on an unknown view, on fewer than 2 items of a kind, or on items that do not match.
    """
    if view not in VIEWS:
        raise InputError.setting("view", view, f"one of {', '.join(VIEWS)}")
    for name, items in (("train", train), ("synthetic", synthetic), ("held_out", held_out)):
        if len(items) < 2:
            raise InputError(f"{name} holds {len(items)} item(s); a density needs at least 2.")
        if items.shape[1] != train.shape[1]:
            raise InputError(f"{name} items have {items.shape[1]} numbers, training items {train.shape[1]}.")
    require_one_scale(train=train, synthetic=synthetic, held_out=held_out)
    sets = [items[:max_items].astype(np.float64) for items in (train, synthetic, held_out)]
    if view == "coordinates":
        project, dim, kernels = standardize(sets[2]), 1, coordinate_kernels
    else:
        project, dim = leading_components(sets[2], num_components)
        kernels = joint_kernels
    t, g, o = (np.asarray(project(items), np.float32) for items in sets)
    epsilon = kernel_width(width, width_at or len(t), dim)

    def overlaps(a: Float[np.ndarray, "left dim"], b: Float[np.ndarray, "right dim"]) -> np.ndarray:
        return np.asarray(kernels(jnp.asarray(a), jnp.asarray(b), jnp.float32(2 * epsilon**2)))

    # Training and unseen items of one data set are as many at every K, and samples are filled up to round
    # numbers: two compiled programs then serve a whole sweep.
    g_filled = np.pad(g, ((0, -len(g) % 256), (0, 0)))
    of_real = overlaps(np.concatenate([t, o]), np.concatenate([t, o, g_filled]))
    from_t, from_o = of_real[: len(t)], of_real[len(t) :]
    unseen, made = slice(len(t), len(t) + len(o)), slice(len(t) + len(o), len(t) + len(o) + len(g))
    tt, to, gg = (
        block.mean(dtype=np.float64)
        for block in (
            from_t[:, : len(t)],
            from_t[:, unseen],
            overlaps(g_filled, g_filled)[: len(g), : len(g)],
        )
    )
    tg = from_t[:, made].mean(0, dtype=np.float64)
    oo, og = from_o[:, unseen].astype(np.float64), from_o[:, made].astype(np.float64)
    of_pairs = (oo.sum() - np.trace(oo)) / (len(o) * (len(o) - 1))
    return Comparison(
        view=view,
        e_tg=float(tt - 2 * tg.mean() + gg),
        e_og=float(of_pairs - 2 * og.mean() + gg),
        e_to=float(tt - 2 * to + of_pairs),
        replicates=bootstrap_delta(float(tt), tg, oo, og, resamples, seed),
        width=epsilon,
        num_train=len(t),
        num_synthetic=len(g),
        num_held_out=len(o),
    )


def bootstrap_delta(
    tt: float,
    tg: Float[np.ndarray, " synthetic"],
    oo: Float[np.ndarray, "held_out held_out"],
    og: Float[np.ndarray, "held_out synthetic"],
    resamples: int,
    seed: int = 0,
) -> Float[np.ndarray, " resample"]:
    """Δ = TT - 2·TG - OO + 2·OG for synthetic and held-out items drawn with replacement.

    Args:
      tt: ∫ρ_T².
      tg: ∫ρ_T N(g, ε²) for every synthetic item g.
      oo, og: the kernel of every pair.
    """
    rng = np.random.default_rng(seed)
    num_held_out, num_synthetic = og.shape

    def counts(total: int) -> Float[np.ndarray, "resample item"]:
        return rng.multinomial(total, np.full(total, 1 / total), size=resamples).astype(np.float64)

    o, g = counts(num_held_out), counts(num_synthetic)
    diagonal, repeats = np.diag(oo), np.square(o)
    distinct = np.einsum("ri,ri->r", o @ oo, o) - repeats @ diagonal
    distinct /= num_held_out**2 - repeats.sum(1)
    cross = np.einsum("rj,rj->r", o @ og, g) / (num_held_out * num_synthetic)
    return tt - 2 * (g @ tg) / num_synthetic - distinct + 2 * cross


def standardize(
    held_out: Float[np.ndarray, "num_held_out dim"],
) -> Callable[[Float[np.ndarray, "item dim"]], Float[np.ndarray, "item dim"]]:
    """A map to coordinates around the held-out mean whose root-mean-square spread is 1."""
    centre = held_out.mean(0)
    spread = float(np.sqrt(np.mean(np.square(held_out - centre))))
    if spread == 0:
        raise InputError("all held-out items are the same; there is no density to compare.")
    return lambda items: (items - centre) / spread


def leading_components(
    held_out: Float[np.ndarray, "num_held_out dim"], num_components: int
) -> tuple[Callable[[Float[np.ndarray, "item dim"]], Float[np.ndarray, "item component"]], int]:
    """A map to the leading components of the held-out items, each with spread 1, and their number."""
    if num_components < 1:
        raise InputError.setting("num_components", num_components, "at least 1")
    centre = held_out.mean(0)
    _, scale, axes = np.linalg.svd(held_out - centre, full_matrices=False)
    kept = min(num_components, int(np.sum(scale > 1e-6 * scale[0]))) if scale[0] > 0 else 0
    if kept == 0:
        raise InputError("all held-out items are the same; there is no density to compare.")
    basis = axes[:kept].T / (scale[:kept] / np.sqrt(len(held_out)))
    return (lambda items: (items - centre) @ basis), kept


@partial(jax.jit, static_argnames="tile")
def joint_kernels(
    a: Float[Array, "left dim"],
    b: Float[Array, "right dim"],
    variance: Scalar,
    tile: int = 256,
) -> Float[Array, "left right"]:
    """N(a - b; 0, v I) of every pair, from differences (exact where points meet), `tile` rows at a time."""

    def one(x: Float[Array, " dim"]) -> Float[Array, " right"]:
        return jnp.exp(-jnp.sum(jnp.square(x[None, :] - b), -1) / (2 * variance))

    return jax.lax.map(one, a, batch_size=tile) / (2 * jnp.pi * variance) ** (a.shape[1] / 2)
