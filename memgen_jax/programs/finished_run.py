"""A finished transition run as another program finds it: its networks, its samples and their distances."""

import csv
import dataclasses
import json

import numpy as np
from etils import epath
from ml_collections import ConfigDict

from memgen_jax import data, sweep
from memgen_jax.errors import InputError
from memgen_jax.programs.configs import require_transition_run
from memgen_jax.programs.transition import growth, tables
from memgen_jax.programs.transition.settings import TransitionRun


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """One run's folder, opened.

    Attributes:
      folder: the workdir.
      run: its settings, data and networks.
      deltas: K -> δ_m and δ_s of its labels.
      sizes: K of its members, ascending.
    """

    folder: epath.Path
    run: TransitionRun
    deltas: dict[int, tuple[float, float]]
    sizes: tuple[int, ...]

    @property
    def shown_width(self) -> int | None:
        """The width that the run's page speaks of first."""
        return tables.shown_width(self.run)

    def source(self, width: int | None) -> sweep.Source:
        """The trained networks of one width (or the exact score), to draw from or to measure."""
        return self.run.source(width, self.folder)

    def distances(self, member: sweep.Member) -> tuple[np.ndarray, np.ndarray]:
        """Of a member's samples to the nearest training item and to the nearest other sample."""
        found = self._read(f"neighbors/{member.name}.npz")
        return found["train_distance"], found["synthetic_distance"]

    def nearest(self, member: sweep.Member) -> tuple[np.ndarray, np.ndarray]:
        """Of a member's samples the index of the nearest training item and of the nearest other sample."""
        found = self._read(f"neighbors/{member.name}.npz", "train_index", "synthetic_index")
        return found["train_index"], found["synthetic_index"]

    def samples(self, member: sweep.Member) -> np.ndarray:
        """A member's samples as the process knows them: float32, images in [-1, 1]."""
        arrays = self._read(f"samples/{member.name}.npz")
        images = arrays.get("images")
        return np.asarray(data.decode(images) if images is not None else arrays["points"], np.float32)

    def _read(self, name: str, *needed: str) -> dict[str, np.ndarray]:
        try:
            with (self.folder / name).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in needed or arrays.files}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"cannot read {name} of the run in {self.folder} ({error}): run it again."
            ) from None


def require_finished(path: str) -> epath.Path:
    """The workdir of a finished transition run.

    Raises:
      InputError: there is none.
    """
    folder = epath.Path(path)
    require_transition_run(folder)
    if not (folder / "config.json").exists() or not (folder / "fractions.csv").exists():
        raise InputError(
            f"{folder} holds no finished transition run (config.json and fractions.csv): "
            "run the program transition there first."
        )
    return folder


def open_run(path: str) -> FinishedRun:
    """Opens the workdir of a finished transition run.

    Raises:
      InputError: there is none.
    """
    folder = require_finished(path)
    with (folder / "fractions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    first = [row for row in rows if row.get("rule") == rows[0].get("rule")]
    deltas = {int(row["num_train"]): (float(row["delta_m"]), float(row["delta_s"])) for row in first}
    sizes = tuple(sorted(deltas))
    before = growth.look(folder)
    run = TransitionRun(
        ConfigDict(json.loads((folder / "config.json").read_text())), before and before.of_sizes(sizes)
    )
    run.use_sizes(sizes)  # a run with an automatic grid has found its sizes itself
    return FinishedRun(folder, run, deltas, sizes)
