"""The networks that the authors of Pham et al. 2025 trained and released, one file K.pt per training-set size.

Their U-Net and ours are one function: `names_in_order` is the correspondence of its parameters. Their time k counts
from 0 and ours from 1, so that k is our t = k + 1 (shared by both: beta_t, and the noise at t).
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax.arrays_in import as_array, takes_arrays
from memgen_jax.bridges import torch_file
from memgen_jax.errors import InputError
from memgen_jax.files import expanded, shown
from memgen_jax.models import Model, unet

WEIGHTS = ("ema", "model")
LARGEST = 2**16  # of the numbers that describe a network
NEEDED = ("dim", "dim_mults", "attn_resolutions", "num_res_blocks", "in_channels", "image_size")


class Checkpoint(NamedTuple):
    """One trained network.

    Attributes:
      model: its architecture as ours; takes our t.
      params: its parameters as `model` takes them, float32.
      num_train: K.
      item_shape: (height, width, channel) of one image.
      settings: what it was trained with, as stored: "model", "train", "data" and more.
      iterations: steps trained; None where the file does not say.
      network: (x [height, width, channel] in [-1, 1], t in 1..1000) -> predicted noise, of x's shape; raises
        InputError for an x of another shape (a batch needs `jax.vmap`) or more than one t.
    """

    model: Model
    params: Any
    num_train: int
    item_shape: tuple[int, int, int]
    settings: dict[str, Any]
    iterations: int | None
    network: Callable[[jax.Array, jax.Array], jax.Array]

    def __repr__(self):
        """Without the numbers of the parameters, of which there may be millions."""
        return f"Checkpoint(num_train={self.num_train}, item_shape={self.item_shape}, iterations={self.iterations})"


@takes_arrays
def read_checkpoint(path: str | os.PathLike, weights: str = "ema") -> Checkpoint:
    """Reads one file of the released sweeps `dm-am-<data>-unet<width>`.

    Args:
      path: the file; K is what its settings say (`args.train.train_size`), else the number in its name.
      weights: "ema", the moving average that samples are drawn from, or "model", the last step's.
    Raises:
      InputError: the file is damaged, holds no such checkpoint, or another architecture.
    """
    if weights not in WEIGHTS:
        raise InputError.setting("weights", weights, f"one of {' or '.join(WEIGHTS)}")
    path = expanded(path)
    stored, settings = _stored(path, weights)
    options = _model_options(settings, len(stored[weights]), path)
    own, item_shape = _network(options, path)
    model = own._replace(apply_fn=lambda params, x, t, key=None: own.apply_fn(params, x, t - 1, key))
    tensors = {re.sub(r"^(module\.|_orig_mod\.)+", "", str(name)): t for name, t in stored[weights].items()}
    params = _params(tensors, own, options, path)
    iterations = stored.get("iterations")
    return Checkpoint(
        model,
        params,
        _num_train(settings, path),
        item_shape,
        settings,
        iterations if isinstance(iterations, int) else None,
        _of_one_item(model, params, item_shape),
    )


def _of_one_item(
    model: Model, params: Any, item_shape: tuple[int, int, int]
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The network as a function of one item, which refuses what it was not built for."""

    def network(x: Any, t: Any) -> jax.Array:
        x = x if isinstance(x, jax.Array) else as_array("x", x)
        if x.dtype == np.uint8:
            raise InputError(
                "x holds uint8 pixels from 0 to 255, and floats in [-1, 1] are wanted: give data.decode(x)"
            )
        if jnp.shape(x) != item_shape:
            raise InputError(
                f"x has shape {list(jnp.shape(x))}, and this network takes one item of {list(item_shape)}: give one, "
                "or a batch by jax.vmap(network)"
            )
        t = t if isinstance(t, jax.Array) else as_array("t", t)
        if jnp.shape(t):
            raise InputError(f"t has shape {list(jnp.shape(t))}, and one item has one time: give a number")
        return model.apply_fn(params, jnp.asarray(x, jnp.float32), jnp.asarray(t, jnp.float32))

    return network


def _stored(path: Path, weights: str) -> tuple[dict[str, Any], Any]:
    """What a file holds, its tensors unread, and the settings among it."""
    stored = torch_file.load(path)
    if not isinstance(stored, dict) or not isinstance(stored.get(weights), dict) or "args" not in stored:
        held = ", ".join(map(str, stored))[:200] if isinstance(stored, dict) else type(stored).__name__
        raise InputError(
            f"{path} is no checkpoint of the released sweeps: it lacks {weights!r} or 'args' ({held})."
        )
    try:
        return stored, torch_file.plain(stored["args"])
    except ValueError as error:
        raise InputError(f"{path} is damaged and cannot be read ({error}).") from None


def _network(options: dict[str, Any], path: Path) -> tuple[Model, tuple[int, int, int]]:
    try:
        side, channels = int(options["image_size"]), int(options["in_channels"])
        item_shape = (side, side, channels)
        own = unet(
            item_shape,
            width=int(options["dim"]),
            multipliers=tuple(map(int, options["dim_mults"])),
            num_blocks=int(options["num_res_blocks"]),
            attention_sides=tuple(map(int, options["attn_resolutions"])),
            dropout=float(options.get("dropout") or 0.0),
        )
    except (TypeError, ValueError) as error:  # InputError is a ValueError
        raise InputError(f"{path} describes a network that cannot be: {error}") from error
    return own, item_shape


@takes_arrays
def find_checkpoints(folder: str | os.PathLike) -> dict[int, Path]:
    """K -> its file, of a folder of files K.pt.

    Raises:
      InputError: there is no such folder, no such file, one without a number in its name, or two of one K.
    """
    folder = expanded(folder)
    files = shown(folder.glob("*.pt")) if folder.is_dir() else []
    if not files:
        raise InputError(
            f"{folder} holds no checkpoints K.pt: give the folder of one sweep, a file per size K."
        )
    found: dict[int, Path] = {}
    for file in files:
        number = _number(file)
        if number is None:
            raise InputError(f"{file} has no training-set size K in its name, as 000016.pt has.")
        if number in found:
            raise InputError(f"{file} and {found[number].name} both say K = {number}: keep one of them.")
        found[number] = file
    return dict(sorted(found.items()))


@takes_arrays
class ReleasedSweep:
    """The networks of one sweep, a file K.pt per size; they are read when they are asked for.

    Attributes:
      files: K -> its file.
      model, item_shape: of all of them, as the first file says.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder, self.files = folder, find_checkpoints(folder)
        first = read_checkpoint(next(iter(self.files.values())))
        self.model, self.item_shape = first.model, first.item_shape
        self._options = first.settings["model"]

    def sizes(self, wanted: Sequence[int] = ()) -> tuple[int, ...]:
        """The sizes K that count: those wanted, or all that there are.

        Raises:
          InputError: one that is wanted has no file, or its file is of another network or K than the rest and its name
            say.
        """
        if missing := sorted(set(wanted) - set(self.files)):
            there = ", ".join(map(str, self.files))
            raise InputError(
                f"num_train={missing[0]} has no network in {self.folder}, whose sizes are {there}."
            )
        found = tuple(wanted) or tuple(self.files)
        for num_train in found:
            self._require_kin(num_train, _stored(self.files[num_train], "ema")[1])
        return found

    def params(self, num_train: int) -> Any:
        """The averaged parameters of the network of one size.

        Raises:
          InputError: it is of another architecture than the first, or says another K than its name.
        """
        found = read_checkpoint(self.files[num_train])
        self._require_kin(num_train, found.settings)
        return found.params

    def _require_kin(self, num_train: int, settings: Any) -> None:
        file = self.files[num_train]
        if not isinstance(settings, dict) or settings.get("model") != self._options:
            raise InputError(
                f"{file} is a network of other settings than the first in its folder: keep one sweep a folder."
            )
        own = _num_train(settings, file)
        if own != num_train:
            raise InputError(
                f"{file} was trained on K = {own} items, as it says itself, not on those of its name."
            )


def names_in_order(
    side: int, num_levels: int, num_blocks: int, attention_sides: tuple[int, ...]
) -> Iterator[tuple[str, str]]:
    """(our module's name, its kind) in the order in which theirs are built, `all_modules.0` first.

    Kinds: "dense", "conv" (a convolution of its own), "sampling" (one inside a down- or upsampling), "block",
    "attention", "norm".
    """
    yield from (("time_0", "dense"), ("time_1", "dense"), ("input", "conv"))
    sides = [side >> level for level in range(num_levels)]
    for level in range(num_levels):
        for i in range(num_blocks):
            yield f"down_{level}_{i}", "block"
            if sides[level] in attention_sides:
                yield f"down_{level}_{i}_attention", "attention"
        if level + 1 < num_levels:
            yield f"down_{level}_half", "sampling"
    yield from (("middle_0", "block"), ("middle_attention", "attention"), ("middle_1", "block"))
    for level in reversed(range(num_levels)):
        for i in range(num_blocks + 1):
            yield f"up_{level}_{i}", "block"
            if sides[level] in attention_sides:
                yield f"up_{level}_{i}_attention", "attention"
        if level > 0:
            yield f"up_{level}_double", "sampling"
    yield from (("output_norm", "norm"), ("output", "conv"))


# their part -> ours, and what becomes of its weight
_PARTS = {
    "dense": {"": ("", "dense")},
    "conv": {"": ("", "conv")},
    "sampling": {"Conv_0.": ("", "conv")},
    "norm": {"": ("", "norm")},
    "block": {
        "GroupNorm_0.": ("norm_0", "norm"),
        "Conv_0.": ("input", "conv"),
        "Dense_0.": ("time", "dense"),
        "GroupNorm_1.": ("norm_1", "norm"),
        "Conv_1.": ("output", "conv"),
        "NIN_0.": ("shortcut", "nin"),
    },
    "attention": {
        "GroupNorm_0.": ("norm", "norm"),
        "NIN_0.": ("query", "nin"),
        "NIN_1.": ("key", "nin"),
        "NIN_2.": ("value", "nin"),
        "NIN_3.": ("output", "nin"),
    },
}
_CONVERTED: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "dense": ("kernel", np.transpose),
    "conv": ("kernel", lambda w: np.transpose(w, (2, 3, 1, 0))),  # OIHW -> HWIO
    "nin": ("kernel", np.asarray),
    "norm": ("scale", np.asarray),
}


def _params(tensors: dict[str, Any], model: Model, options: dict[str, Any], path: Path) -> Any:
    expected = jax.eval_shape(model.init_fn, jax.random.key(0))
    modules = names_in_order(
        int(options["image_size"]),
        len(options["dim_mults"]),
        int(options["num_res_blocks"]),
        tuple(options["attn_resolutions"]),
    )
    params: dict[str, Any] = {}
    used = set()
    for number, (name, kind) in enumerate(modules):
        for theirs, (ours, part) in _PARTS[kind].items():
            there = expected[name][ours] if ours and ours in expected[name] else expected[name]
            if ours and ours not in expected[name]:
                continue  # a block whose channels do not change has no shortcut
            weight, bias = ("W", "b") if part == "nin" else ("weight", "bias")
            leaf, convert = _CONVERTED[part]
            place: dict[str, Any] = params.setdefault(name, {})
            place = place.setdefault(ours, {}) if ours else place
            for key, own, change in ((weight, leaf, convert), (bias, "bias", np.asarray)):
                full = f"all_modules.{number}.{theirs}{key}"
                tensor = tensors.get(full)
                if not isinstance(tensor, torch_file.Tensor):
                    raise InputError(
                        f"{path} lacks the parameters {full}: it is another architecture, or damaged."
                    )
                of_one_kind = len(tensor.shape) == len(there[own].shape)
                array = change(tensor.array()).astype(np.float32) if of_one_kind else None
                if array is None or array.shape != there[own].shape:
                    raise InputError(
                        f"{path}: {full} has shape {tensor.shape}, and a network with these settings has "
                        f"{there[own].shape} there: it is another architecture."
                    )
                if not np.isfinite(array).all():
                    raise InputError(
                        f"{path}: {full} holds NaN or infinity: training broke down, or it is damaged."
                    )
                place[own] = array
                used.add(full)
    extra = sorted(set(tensors) - used - {"sigmas"})
    if extra:
        raise InputError(f"{path} holds parameters that this network does not have, such as {extra[0]}.")
    return params


def _model_options(settings: Any, num_tensors: int, path: Path) -> dict[str, Any]:
    options = settings.get("model") if isinstance(settings, dict) else None
    missing = [name for name in NEEDED if not isinstance(options, dict) or name not in options]
    if missing:
        raise InputError(f"{path} does not say what network it holds: args.model lacks {', '.join(missing)}.")
    assert isinstance(options, dict)
    for name in NEEDED:
        value = options[name]
        several = name in ("dim_mults", "attn_resolutions")
        numbers = value if several else [value]
        enough = isinstance(numbers, list) and len(numbers) >= (name != "attn_resolutions")
        if not (enough and all(type(n) is int and 1 <= n <= LARGEST for n in numbers)):
            what = "whole numbers" if several else "a whole number"
            raise InputError(f"{path}: args.model.{name} is no network's, {what} in 1..{LARGEST:,}.")
    dropout = options.get("dropout") or 0.0
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise InputError(f"{path}: args.model.dropout is no share in [0, 1).")
    if options["num_res_blocks"] * len(options["dim_mults"]) > num_tensors:
        raise InputError(f"{path} has {num_tensors} parameters, too few for the network that it describes.")
    if options.get("conditional") is False or options.get("scale_by_sigma"):
        raise InputError(f"{path}: its network is not conditioned on the time as this one is.")
    return options


def _num_train(settings: dict[str, Any], path: Path) -> int:
    train = settings.get("train")
    size = train.get("train_size") if isinstance(train, dict) else None
    found = size if type(size) is int and size > 0 else _number(path)
    if found is None:
        raise InputError(
            f"{path} says its training-set size K neither in args.train.train_size nor in its name."
        )
    return found


def _number(path: Path) -> int | None:
    """K of a name such as 000016.pt or official_000016.pt."""
    match = re.search(r"(\d+)$", path.stem)
    return int(match[1]) if match else None
