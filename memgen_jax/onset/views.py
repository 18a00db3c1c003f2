"""The onset paper's metric on any training set and samples: is the model closer to unseen data?

Two views of data in many dimensions: the densities of all single coordinates, added up (Onset 2024, Eqs.
23-24), and one joint density of the leading principal components.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.neighbors.scales import require_one_scale
from memgen_jax.onset.coordinates import coordinate_kernels
from memgen_jax.onset.critical import probability_positive
from memgen_jax.onset.widths import kernel_width
from memgen_jax.shapes import Scalar

VIEWS = ("coordinates", "components")
"""How items become densities: single coordinates, or the leading principal components."""

TILE = 128, 512  # pairs of items in one call: small sets waste little, and one program serves all


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
    resamples: Positive = 1000,
    seed: NotNegative = 0,
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
    unseen = Unseen(held_out, view=view, num_components=num_components, max_items=max_items)
    return unseen.compare(train, synthetic, width=width, width_at=width_at, resamples=resamples, seed=seed)


@takes_arrays
class Unseen:
    """Held-out items, beside which many training sets and samples are compared: what depends on them alone is kept.

    The kernels between all pairs of them are most of the work of a `compare`, which says what everything means.

    Attributes:
      items: float32 [held_out, coordinate or component], as the view has them.
    """

    def __init__(
        self,
        held_out: Float[np.ndarray, "num_held_out dim"],
        *,
        view: str = "coordinates",
        num_components: int = 8,
        max_items: int = 4096,
    ):
        """
        Args:
          held_out, view, num_components, max_items: see `compare`.
        Raises:
          InputError: an unknown view, or fewer than 2 items.
        """
        if view not in VIEWS:
            raise InputError.setting("view", view, f"one of {', '.join(VIEWS)}")
        self._require_items("held_out", held_out)
        self.view, self._max_items, self._raw = view, max_items, held_out
        own = held_out[:max_items].astype(np.float64)
        if view == "coordinates":
            self._project, self._dim = standardize(own), 1
            self._kernels: Callable[..., jax.Array] = coordinate_kernels
        else:
            self._project, self._dim = leading_components(own, num_components)
            self._kernels = joint_kernels
        self.items = np.asarray(self._project(own), np.float32)
        self._kept: dict[str, tuple[Any, Any]] = {}

    def compare(
        self,
        train: Float[np.ndarray, "num_train dim"],
        synthetic: Float[np.ndarray, "num_synthetic _"],
        *,
        width: str = "silverman",
        width_at: int | None = None,
        resamples: Positive = 1000,
        seed: NotNegative = 0,
    ) -> Comparison:
        """`compare` with these held-out items."""
        for name, items in (("train", train), ("synthetic", synthetic)):
            self._require_items(name, items)
        for name, items in (("synthetic", synthetic), ("held_out", self._raw)):
            if items.shape[1] != train.shape[1]:
                raise InputError(
                    f"{name} items have {items.shape[1]} numbers, training items {train.shape[1]}."
                )
        require_one_scale(train=train, synthetic=synthetic, held_out=self._raw)
        t, g = (
            np.asarray(self._project(items[: self._max_items].astype(np.float64)), np.float32)
            for items in (train, synthetic)
        )
        o = self.items
        epsilon = kernel_width(width, width_at or len(t), self._dim)
        tt, to = (self._overlaps(t, items, epsilon).mean(dtype=np.float64) for items in (t, o))
        tg = self._overlaps(t, g, epsilon).mean(0, dtype=np.float64)
        of_unseen = self._once("oo", epsilon, lambda: self._overlaps(o, o, epsilon))
        gg = self._once("gg", (epsilon, g), lambda: self._overlaps(g, g, epsilon).mean(dtype=np.float64))
        og = self._once("og", (epsilon, g), lambda: self._overlaps(o, g, epsilon)).astype(np.float64)
        of_pairs, unseen_resamples = self._once(
            "resamples", (epsilon, resamples, seed), lambda: _of_unseen(of_unseen, resamples, seed)
        )
        return Comparison(
            view=self.view,
            e_tg=float(tt - 2 * tg.mean() + gg),
            e_og=float(of_pairs - 2 * og.mean() + gg),
            e_to=float(tt - 2 * to + of_pairs),
            replicates=_delta_resamples(float(tt), tg, unseen_resamples, og),
            width=epsilon,
            num_train=len(t),
            num_synthetic=len(g),
            num_held_out=len(o),
        )

    def _overlaps(
        self, a: Float[np.ndarray, "left dim"], b: Float[np.ndarray, "right dim"], epsilon: float
    ) -> Float[np.ndarray, "left right"]:
        """In tiles of one shape, the last ones filled up: one compiled program serves a whole sweep.

        Of a set with itself, tiles below the diagonal are those above it: the kernel is symmetric to the bit. The
        smaller set stands on the left, so that two sets give the same bits in either order.
        """
        if len(b) < len(a):
            return self._overlaps(b, a, epsilon).T
        variance = jnp.float32(2 * epsilon**2)
        high, wide = TILE
        lefts, rights = _tiles(a, high), _tiles(b, wide)
        overlaps = np.empty((len(a), len(b)), np.float32)
        for i, left in enumerate(lefts):
            rows = slice(i * high, (i + 1) * high)
            below = i * high // wide if a is b else 0
            if below:
                overlaps[rows, : below * wide] = overlaps[: below * wide, rows].T
            tiles = [self._kernels(left, right, variance) for right in rights[below:]]
            for j, tile in enumerate(tiles, below):
                place = overlaps[rows, j * wide : (j + 1) * wide]
                place[:] = np.asarray(tile)[: place.shape[0], : place.shape[1]]
        return overlaps

    def _once(self, name: str, of: Any, make: Callable[[], Any]) -> Any:
        """What `make` gave when it was last asked for with the same width and samples."""
        kept = self._kept.get(name)
        if kept is None or not _same(kept[0], of):
            kept = self._kept[name] = (of, make())
        return kept[1]

    def _require_items(self, name: str, items: np.ndarray) -> None:
        if len(items) < 2:
            raise InputError(f"{name} holds {len(items)} item(s); a density needs at least 2.")


def _tiles(items: Float[np.ndarray, "item dim"], size: int) -> list[jax.Array]:
    parts = (items[start : start + size] for start in range(0, len(items), size))
    return [jnp.asarray(np.pad(part, ((0, size - len(part)), (0, 0)))) for part in parts]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return all(map(_same, one, other))
    return np.array_equal(one, other)


@takes_arrays
def bootstrap_delta(
    tt: float,
    tg: Float[np.ndarray, " synthetic"],
    oo: Float[np.ndarray, "held_out held_out"],
    og: Float[np.ndarray, "held_out synthetic"],
    resamples: Positive,
    seed: NotNegative = 0,
) -> Float[np.ndarray, " resample"]:
    """Δ = TT - 2·TG - OO + 2·OG for synthetic and held-out items drawn with replacement.

    Args:
      tt: ∫ρ_T².
      tg: ∫ρ_T N(g, ε²) for every synthetic item g.
      oo, og: the kernel of every pair.
    """
    return _delta_resamples(tt, tg, _unseen_resamples(oo, resamples, seed), og)


@dataclasses.dataclass(frozen=True)
class _UnseenResamples:
    """Of a bootstrap, what depends on held-out items alone: most of its work, the same for every network.

    Attributes:
      counts: how often each item is drawn.
      distinct: OO, the mean kernel over pairs of different drawn items.
      state: of the generator after these draws, where those of synthetic items begin.
    """

    counts: Float[np.ndarray, "resample held_out"]
    distinct: Float[np.ndarray, " resample"]
    state: Any


def _unseen_resamples(
    oo: Float[np.ndarray, "held_out held_out"], resamples: int, seed: int
) -> _UnseenResamples:
    rng = np.random.default_rng(seed)
    o = _counts(rng, len(oo), resamples)
    repeats = np.square(o)
    distinct = np.einsum("ri,ri->r", o @ oo, o) - repeats @ np.diag(oo)
    distinct /= len(oo) ** 2 - repeats.sum(1)
    return _UnseenResamples(o, distinct, rng.bit_generator.state)


def _of_unseen(
    oo: Float[np.ndarray, "held_out held_out"], resamples: int, seed: int
) -> tuple[float, _UnseenResamples]:
    """∫ρ_O², from pairs of different items, and its part of a bootstrap."""
    oo = oo.astype(np.float64)
    of_pairs = (oo.sum() - np.trace(oo)) / (len(oo) * (len(oo) - 1))
    return float(of_pairs), _unseen_resamples(oo, resamples, seed)


def _delta_resamples(
    tt: float,
    tg: Float[np.ndarray, " synthetic"],
    unseen: _UnseenResamples,
    og: Float[np.ndarray, "held_out synthetic"],
) -> Float[np.ndarray, " resample"]:
    """`bootstrap_delta` with the held-out items' part at hand."""
    rng = np.random.default_rng()
    rng.bit_generator.state = unseen.state
    num_held_out, num_synthetic = og.shape
    g = _counts(rng, num_synthetic, len(unseen.counts))
    cross = np.einsum("rj,rj->r", unseen.counts @ og, g) / (num_held_out * num_synthetic)
    return tt - 2 * (g @ tg) / num_synthetic - unseen.distinct + 2 * cross


def _counts(rng: np.random.Generator, total: int, resamples: int) -> Float[np.ndarray, "resample item"]:
    return rng.multinomial(total, np.full(total, 1 / total), size=resamples).astype(np.float64)


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


@jax.jit
def joint_kernels(
    a: Float[Array, "left dim"], b: Float[Array, "right dim"], variance: Scalar
) -> Float[Array, "left right"]:
    """N(a - b; 0, v I) of every pair, from differences (exact where points meet), one coordinate after the other."""

    def add(total: Float[Array, "left right"], columns: tuple) -> tuple[Float[Array, "left right"], None]:
        x, y = columns
        return total + jnp.square(x[:, None] - y[None, :]), None

    start = jnp.zeros((a.shape[0], b.shape[0]), a.dtype)
    squared, _ = jax.lax.scan(add, start, (a.T, b.T), unroll=8)
    return jnp.exp(-squared / (2 * variance)) / (2 * jnp.pi * variance) ** (a.shape[1] / 2)
