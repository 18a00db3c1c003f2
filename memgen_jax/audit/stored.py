"""`distances.npz`: all that an audit found by searching, so that other thresholds label it again in a second."""

import dataclasses
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memgen_jax import metrics
from memgen_jax.audit.comparing import Distances
from memgen_jax.audit.folder import DISTANCES
from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import expanded


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
        with np.load(place, allow_pickle=False) as file:
            stored = dict(file)
        _require_kinds(stored)
        kept: dict[str, Any] = {field.name: stored.get(field.name) for field in dataclasses.fields(Distances)}
        compared = Compared(
            Distances(**kept),
            str(stored["metric"]),
            tuple(int(side) for side in stored["item_shape"]),
            stored["train_name"].tolist(),
            stored["sample_name"].tolist(),
            str(stored["up_to"]) or None,
            str(stored["encoder"]) or None,
            json.loads(str(stored["told"])),
            [(str(name), str(item), str(why)) for name, item, why in stored["skipped"]],
        )
        _require_whole(compared)
    except FileNotFoundError:
        raise InputError(
            f"{FIELD[0]} {path}: there is no such file; an audit writes it as {DISTANCES}", "distances"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        reason = f"it has no {error.args[0]}" if isinstance(error, KeyError) else reason
        reason = "it is no .npz, or holds Python objects" if "pickle" in reason else reason
        raise InputError(f"{FIELD[0]} {path} is not what an audit wrote ({reason})", "distances") from None
    return compared


def _require_kinds(stored: dict[str, np.ndarray]) -> None:
    """Whether the arrays of every audit are there, as numbers of so many axes; a `KeyError` names what is not."""
    kinds = {"train": "f", "train_index": "iu", "synthetic": "f", "synthetic_index": "iu"}
    for name, kind in kinds.items():
        axes = 2 if name.startswith("train") else 1
        if stored[name].dtype.kind not in kind or stored[name].ndim != axes:
            raise ValueError(f"{name} is of {stored[name].dtype}, {stored[name].ndim} axes")
    for name in ("train_own", "unseen", "real", "equal", "synthetic_second"):
        if name in stored and stored[name].dtype.kind != "f":
            raise ValueError(f"{name} is of {stored[name].dtype}")


def _require_whole(compared: Compared) -> None:
    found, count = compared.distances, len(compared.sample_names)
    if not len(found.train) == len(found.synthetic) == count:
        raise ValueError("its arrays are of different lengths")
    if found.train_own is not None and len(found.train_own) != len(compared.train_names):
        raise ValueError("its arrays are of different lengths")
    for index, most in ((found.train_index, len(compared.train_names)), (found.synthetic_index, count)):
        if len(index) != count or index.min() < 0 or index.max() >= most:
            raise ValueError("it names items that are not there")
