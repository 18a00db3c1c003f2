"""Networks of a finished run, from which those of another start: where a schedule has ended, or for other data."""

import dataclasses
from typing import Any

from memgen_jax import models, sweep
from memgen_jax.errors import FIELD, InputError
from memgen_jax.programs.settings import plain
from memgen_jax.programs.transition import growth


class StartFrom:
    """The averaged networks of a run."""

    def __init__(self, folder: str, settings: Any):
        """
        Args:
          folder: the workdir of that run.
          settings: `TransitionSettings` of the run that starts.
        Raises:
          InputError: there are no networks, or they are of another kind.
        """
        before = growth.look(folder)
        if before is None or not (before.folder / "checkpoints").is_dir():
            raise InputError.setting("init_from", folder, "the workdir of a run that has trained networks")
        for name in ("model", "process"):
            there, own = before.settings[name], plain(getattr(settings, name))
            if [(k, v) for k, v in own.items() if k != "width" and there.get(k) != v]:
                raise InputError(
                    f"the run in init_from={folder} has another {name} ({there}): give {FIELD[0]} the same settings.",
                    name,
                )
        self._before, self._settings = before, settings
        self._base = before.settings["model"].get("width")

    def name(self, member: sweep.Member) -> str:
        """What the member of the same K, seed and width is called there.

        Raises:
          InputError: there is none.
        """
        width = member.width or getattr(self._settings.model, "width", None)
        for kept in self._before.members:
            if (kept.num_train, kept.seed, kept.width or self._base) == (
                member.num_train,
                member.seed,
                width,
            ):
                return kept.name
        raise InputError(
            f"init_from={self._before.folder} has no network of K = {member.num_train}, seed {member.seed}"
            f"{'' if width is None else f', width {width}'}: ask for those that it has."
        )

    def params(self, member: sweep.Member, model: models.Model) -> Any:
        """The averaged parameters, after the last step of that run, which `member` starts from."""
        there = dataclasses.replace(member, name=self.name(member), step=None)
        steps = self._before.settings["train"]["num_steps"]
        train = dataclasses.replace(self._settings.train, num_steps=steps, num_snapshots=0)
        return sweep.load_ema(there, model, train, self._before.folder / "checkpoints")
