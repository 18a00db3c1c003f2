"""Training states on disk, one folder per member: the only module that knows Orbax (but for `private_api`).

A member's state is whole or absent: a save cut short leaves a temporary folder that is passed over, and a
step whose files cannot be read is passed over with one sentence for the step before it.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.files import absolute
from memgen_jax.runs import private_api

PyTree = Any
_open: set[object] = set()  # a token of every manager opened and not closed, also of one that nobody holds


def checkpoints_are_open() -> bool:
    """Whether threads of ours may still be writing checkpoints: some have been opened and not closed."""
    return len(_open) > 0


@takes_arrays
class MemberCheckpoints:
    """The checkpoints of one member, each a few named trees of arrays, written in the background.

    A tree is read alone: sampling needs the averaged parameters and nothing else.
    """

    def __init__(self, folder: epath.PathLike, warn: Callable[[str], None] = print, keep: int | None = 2):
        """Opens or creates the folder, which holds the last `keep` checkpoints (None: all)."""
        self._warn = warn
        self._folder = absolute(folder)  # Orbax takes no others
        self._folder.mkdir(parents=True, exist_ok=True)
        alone = {}
        if jax.process_count() > 1:
            private_api.hide_other_processes_from_orbax()
            only_this = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
            alone = {"create": False, "multiprocessing_options": only_this}
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True, **alone)
        self._manager = ocp.CheckpointManager(self._folder, options=options)
        self._token = object()
        _open.add(self._token)

    def steps(self) -> list[int]:
        """The steps that have a whole checkpoint, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, **trees: PyTree) -> None:
        """Starts to write a checkpoint; the arrays must not change until `wait` returns."""
        if step in self.steps():  # damaged, or the training would not have come to it again
            self._manager.delete(step)
        items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
        self._manager.save(step, args=ocp.args.Composite(**items), force=True)

    def restore(self, step: int, **like: PyTree) -> dict[str, PyTree] | None:
        """Reads the named trees of one step as NumPy arrays, shaped like those given.

        Returns None, after saying so, where the files of that step cannot be read.
        """
        items = {name: ocp.args.StandardRestore(_as_numpy(tree)) for name, tree in like.items()}
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # Orbax and TensorStore raise many kinds for a damaged folder
            first_line = str(error).strip().splitlines()[:1]
            self._warn(
                f"passing over the damaged checkpoint {self._folder / str(step)} "
                f"({type(error).__name__}: {''.join(first_line)[:120]})"
            )
            return None
        return {name: restored[name] for name in like}

    def wait(self) -> None:
        """Returns when everything saved so far is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then frees the manager."""
        self._manager.close()
        _open.discard(self._token)


def _as_numpy(tree: PyTree) -> PyTree:
    """The abstract tree that makes Orbax restore NumPy arrays, free of any device."""
    return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)
