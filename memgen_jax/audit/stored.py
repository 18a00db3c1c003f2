"""`distances.npz`: all that an audit found by searching, so that other thresholds label it again in a second."""

import dataclasses
import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memgen_jax import metrics
from memgen_jax.audit.comparing import Distances
from memgen_jax.audit.folder import DISTANCES
from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import expanded

# Kind and axes of each array, and those that not every audit has.
KINDS = {
    "train": ("f", 2),
    "train_index": ("iu", 2),
    "synthetic": ("f", 1),
    "synthetic_index": ("iu", 1),
    "synthetic_second": ("f", 1),
    "train_own": ("f", 1),
    "unseen": ("f", 1),
    "real": ("f", 2),
    "equal": ("f", 2),
    "metric": ("U", 0),
    "up_to": ("U", 0),
    "encoder": ("U", 0),
    "item_shape": ("iu", 1),
    "train_name": ("U", 1),
    "sample_name": ("U", 1),
    "told": ("U", 0),
    "skipped": ("U", 2),
}
OPTIONAL = {"synthetic_second", "train_own", "unseen", "real", "equal"}
# What zipfile, NumPy and JSON raise on damaged bytes; an encrypted or an unknown form is a RuntimeError.
DAMAGE = (
    OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, OverflowError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Compared:
    """Two sets, compared.

    Attributes:
      distances: what was found.
      metric: by which distance, as the settings name it; `item_shape` of what was compared.
      train_names, sample_names: what the items are called.
      encoder: the file's name, where the metric is one.
      up_to: over which versions of an image the distances are the least, see `AuditSettings`.
      told: what reading had to say: "called" (what sentences call each set), "unread", "left_out", "shared" and
        "remarks", as in summary.json.
      skipped: set, item and reason of everything that was there and was not compared.
    """

    distances: Distances
    metric: str
    item_shape: tuple[int, ...]
    train_names: Sequence[str]
    sample_names: Sequence[str]
    up_to: str | None
    encoder: str | None
    told: Mapping[str, Any]
    skipped: Sequence[tuple[str, str, str]]

    def to_bytes(self) -> bytes:
        """As an .npz: the arrays of `Distances`, and the other fields by their names, the mapping as JSON."""
        found = {
            field.name: value
            for field in dataclasses.fields(self.distances)
            if (value := getattr(self.distances, field.name)) is not None
        }
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            **found,
            metric=np.array(self.metric),
            up_to=np.array(self.up_to or ""),
            encoder=np.array(self.encoder or ""),
            item_shape=np.array(self.item_shape),
            train_name=np.array(self.train_names),
            sample_name=np.array(self.sample_names),
            told=np.array(json.dumps(self.told)),
            skipped=np.array(self.skipped, str).reshape(-1, 3),
        )
        return stream.getvalue()

    def chosen_metric(self, batch: int) -> metrics.Metric:
        if self.encoder is not None:
            return metrics.Encoder(self.encoder)
        return metrics.make_metric(self.metric, self.item_shape, batch=batch)


def read_compared(path: str) -> Compared:
    """Reads `distances.npz`, or the one in a folder.

    Raises:
      InputError: there is none, or it is not what an audit wrote.
    """
    place = expanded(path)
    place = place / DISTANCES if place.is_dir() else place
    try:
        stored = _read(place)
        _require_whole(stored)
        kept: dict[str, Any] = {field.name: stored.get(field.name) for field in dataclasses.fields(Distances)}
        told = json.loads(str(stored["told"]))
        _require_told(told)
        compared = Compared(
            Distances(**kept),
            str(stored["metric"]),
            tuple(int(side) for side in stored["item_shape"]),
            stored["train_name"].tolist(),
            stored["sample_name"].tolist(),
            str(stored["up_to"]) or None,
            str(stored["encoder"]) or None,
            told,
            [(str(name), str(item), str(why)) for name, item, why in stored["skipped"]],
        )
    except FileNotFoundError:
        raise InputError(
            f"{FIELD[0]} {path}: there is no such file; an audit writes it as {DISTANCES}", "distances"
        ) from None
    except DAMAGE as error:
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        reason = f"it has no {error.args[0]}" if isinstance(error, KeyError) else reason
        reason = "it is no .npz, or holds Python objects" if "pickle" in reason else reason
        raise InputError(f"{FIELD[0]} {path} is not what an audit wrote ({reason})", "distances") from None
    return compared


def _read(place: Path) -> dict[str, np.ndarray]:
    """The arrays that an audit writes, and no others; a `KeyError` names what is missing."""
    with np.load(place, allow_pickle=False) as file:
        missing = [name for name in KINDS if name not in file and name not in OPTIONAL]
        if missing:
            raise KeyError(missing[0])
        stored = {name: file[name] for name in KINDS if name in file}
    for name, array in stored.items():
        kind, axes = KINDS[name]
        if array.ndim != axes or (array.size and array.dtype.kind not in kind):
            raise ValueError(f"{name} is of {array.dtype}, {array.ndim} axes")
    return stored


def _require_told(told: Any) -> None:
    kinds = {"called": dict, "unread": dict, "shared": list, "remarks": list, "left_out": dict}
    if not isinstance(told, dict) or told.keys() != kinds.keys():
        raise ValueError("told has other names")
    if not all(isinstance(told[name], kind) for name, kind in kinds.items()):
        raise ValueError("told holds other values")


def _require_whole(stored: dict[str, np.ndarray]) -> None:
    """Whether the arrays fit together."""
    count, known = len(stored["sample_name"]), len(stored["train_name"])
    near = stored["train"].shape
    shapes = {
        "train": near,
        "train_index": near,
        "synthetic": (count,),
        "synthetic_index": (count,),
        "synthetic_second": (count,),
        "equal": (count, 2),
        "train_own": (known,),
    }
    if near[0] != count or not stored["train"].size:
        raise ValueError("its arrays are of different lengths")
    if any(stored[name].shape != shape for name, shape in shapes.items() if name in stored):
        raise ValueError("its arrays are of different lengths")
    if ("unseen" in stored) != ("real" in stored):
        raise ValueError("it has one of unseen and real")
    for name, most in (("train_index", known), ("synthetic_index", count)):
        if stored[name].min() < 0 or stored[name].max() >= most:
            raise ValueError("it names items that are not there")
