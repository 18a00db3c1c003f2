"""Training states on disk, one folder per member: the only module that knows Orbax.

A member's state is whole or absent: a save cut short leaves a temporary folder that is passed over, and a
step whose files cannot be read is passed over with one sentence for the step before it.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

PyTree = Any


class MemberCheckpoints:
    """The checkpoints of one member: the last two, written in the background.

    The averaged parameters are an item of their own, so that sampling reads nothing else.
    """

    def __init__(self, folder: epath.PathLike, warn: Callable[[str], None] = print):
        self._warn = warn
        self._folder = epath.Path(folder)
        self._manager = ocp.CheckpointManager(
            self._folder,
            item_names=("ema", "rest"),
            options=ocp.CheckpointManagerOptions(max_to_keep=2, create=True, cleanup_tmp_directories=True),
        )

    def steps(self) -> list[int]:
        """The steps that have a whole checkpoint, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, ema: PyTree, rest: PyTree) -> None:
        """Starts to write a checkpoint; the arrays must not change until `wait` returns."""
        self._manager.save(
            step,
            args=ocp.args.Composite(ema=ocp.args.StandardSave(ema), rest=ocp.args.StandardSave(rest)),
            force=True,
        )

    def restore(self, step: int, ema: PyTree, rest: PyTree | None) -> tuple[PyTree, PyTree] | None:
        """Reads one step as NumPy arrays shaped like `ema` and `rest` (None: not read).

        Returns None, after saying so, where the files of that step cannot be read.
        """
        items = {"ema": ocp.args.StandardRestore(_as_numpy(ema))}
        if rest is not None:
            items["rest"] = ocp.args.StandardRestore(_as_numpy(rest))
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # Orbax and TensorStore raise many kinds for a damaged folder
            first_line = str(error).strip().splitlines()[:1]
            self._warn(
                f"passing over the damaged checkpoint {self._folder / str(step)} "
                f"({type(error).__name__}: {''.join(first_line)[:120]})"
            )
            return None
        return restored["ema"], restored.get("rest")

    def wait(self) -> None:
        """Returns when everything saved so far is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then frees the manager."""
        self._manager.close()


def _as_numpy(tree: PyTree) -> PyTree:
    """The abstract tree that makes Orbax restore NumPy arrays, free of any device."""
    return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)
