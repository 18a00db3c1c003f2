"""A run that grows: the same workdir takes more sizes, seeds, widths, samples a size and training steps.

What is there stays: members keep their names, networks and samples, so that only what is missing is computed and
rows of tables that tell of it keep their bytes. A setting that asks for less than is there changes nothing.
"""

import csv
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from etils import epath

from memgen_jax import runs, sweep
from memgen_jax.errors import FIELD, InputError

# Settings by which a run grows.
GROWING = (
    *("num_train", "grid", "grid_ends", "grid_first", "seeds", "widths"),
    *(f"sampler.{name}" for name in ("per_train", "at_least", "at_most", "snapshot_at_most")),
    *("control.run", "control.num_samples", "train.num_steps"),
)


class Kept(NamedTuple):
    """A member that a workdir has, as a row of its members.csv says it.

    Attributes:
      width: None where the sweep had one width, that of `model`.
      done: whether its samples are there; one that never came so far need not stay.
    """

    num_train: int
    seed: int
    width: int | None
    name: str
    done: bool


@dataclasses.dataclass(frozen=True)
class Before:
    """What a workdir holds of earlier runs.

    Attributes:
      settings: those of its config.json, nested.
      members: the rows of its members.csv.
    """

    folder: epath.Path
    settings: Mapping[str, Any]
    members: tuple[Kept, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those of which samples are there."""
        return tuple(sorted({kept.num_train for kept in self.members if kept.done}))

    def of_sizes(self, sizes: tuple[int, ...]) -> "Before":
        """The same without members of other sizes."""
        return dataclasses.replace(self, members=tuple(k for k in self.members if k.num_train in sizes))

    def setting(self, group: str, name: str, default: Any) -> Any:
        """The value of `group`.`name` there, or that of a run before there was such a setting."""
        value = self.settings.get(group, {}).get(name)
        return default if value is None else value


def look(folder: epath.PathLike) -> Before | None:
    """What a folder holds of earlier runs; None where it has no members of any."""
    path = epath.Path(folder)
    try:
        settings = json.loads((path / "config.json").read_text())
        rows = list(csv.DictReader((path / "members.csv").read_text().splitlines()))
        kept = tuple(_kept(row, path) for row in rows)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # whoever opens the folder to write in it says what is wrong with it
    return Before(path, settings, kept) if kept and isinstance(settings, dict) else None


def _kept(row: Mapping[str, str], folder: epath.Path) -> Kept:
    width = int(row["width"]) if row["width"] else None
    done = (folder / f"samples/{row['name']}.npz").exists()
    return Kept(int(row["num_train"]), int(row["seed"]), width, row["name"], done)


def joined(settings: Any, before: Before) -> Any:
    """The settings of a run, together with what its workdir has more than they ask for.

    Args:
      settings: `TransitionSettings`.
    """
    members = tuple(kept for kept in before.members if kept.done)
    changes: dict[str, Any] = {"seeds": _together(settings.seeds, {kept.seed for kept in members})}
    if settings.grid == "given" and settings.num_train:
        changes["num_train"] = _together(settings.num_train, set(before.sizes))
    own = getattr(settings.model, "width", None)
    widths = {kept.width or own for kept in members}
    if (widths | set(settings.widths)) - {own}:
        changes["widths"] = _together(settings.widths or (own,), widths)
    sampler, control = settings.sampler, settings.control
    limits = sampler.at_most, before.setting("sampler", "at_most", 0)
    more = ("per_train", "at_least", "snapshot_at_most")
    changes["sampler"] = dataclasses.replace(
        sampler,
        at_most=max(limits) if all(limits) else 0,
        **{name: max(getattr(sampler, name), before.setting("sampler", name, 0)) for name in more},
    )
    changes["control"] = dataclasses.replace(
        control,
        run=control.run or before.setting("control", "run", False),
        num_samples=max(control.num_samples, before.setting("control", "num_samples", 0)),
    )
    return dataclasses.replace(settings, **changes)


def _together(asked: tuple, there: set) -> tuple:
    """`asked` where it has all that is there, else both in order."""
    return asked if there <= set(asked) else tuple(sorted({*asked, *there}))


def keep_identity(members: tuple[sweep.Member, ...], before: Before, own: int | None):
    """The members of a sweep, those that the workdir has with the names and random keys which they have there.

    Args:
      own: the width of `model`, that of members whose sweep had one width.
    """
    there = {(kept.num_train, kept.seed, kept.width or own): kept for kept in before.members}
    found = []
    for member in members:
        kept = there.get((member.num_train, member.seed, member.width or own))
        if kept is not None:
            key = 0 if kept.width is None and member.width is not None else None
            member = dataclasses.replace(member, name=kept.name, key_width=key)
        found.append(member)
    return tuple(found)


def keep_control_names(controls: tuple[sweep.Member, ...], before: Before) -> tuple[sweep.Member, ...]:
    """The controls, those of a time when the sweep had one seed under the names which they have there."""
    alone = {(kept.num_train, kept.seed) for kept in before.members if ",seed=" not in kept.name}
    return tuple(
        dataclasses.replace(control, name=control.name.partition(",seed=")[0])
        if (control.num_train, control.seed) in alone
        else control
        for control in controls
    )


def require_steps_can_follow(settings: Any, before: Before) -> None:
    """Refuses another number of training steps where the training there cannot go on to it.

    Raises:
      InputError: it has gone further already, its schedule has ended, or a snapshot that is asked for lies behind it.
    """
    train, there = settings.train, before.settings["train"]["num_steps"]
    if train.num_steps == there:
        return
    said = (
        f"workdir {before.folder} belongs to a run with other settings: train.num_steps ({there} there, "
        f"{train.num_steps} now)"
    )
    elsewhere = f"choose another folder; there {FIELD[0]}={before.folder} starts from these networks."
    if train.num_steps < there:
        raise InputError(f"{said}, and training steps are not taken back: choose another folder.")
    if train.schedule != "constant":
        raise InputError(
            f"{said}, and the {train.schedule} schedule has brought the learning rate to its end at step {there}: "
            f"{elsewhere}",
            "init_from",
        )
    kept = [step for step in (train.num_steps / 2**i for i in range(train.num_snapshots)) if step < there]
    had = {there / 2**i for i in range(train.num_snapshots)}
    if passed := [step for step in kept if step not in had]:
        raise InputError(
            f"{said}, and train.num_snapshots={train.num_snapshots} asks for step {passed[0]:g}, which has passed: "
            f"take a power of two times as many steps, or {elsewhere}",
            "init_from",
        )


def set_earlier_steps_aside(workdir: runs.Workdir, before: Before) -> None:
    """Samples and distances of members about to be trained on, under the name of the step that they are of."""
    step = before.settings["train"]["num_steps"]
    for kept in before.members:
        for folder in ("samples", "neighbors"):
            file = workdir / f"{folder}/{kept.name}.npz"
            if file.exists():
                file.replace(workdir / f"{folder}/{kept.name},step={step:07d}.npz")
        (workdir / f"repeats/{kept.name}.npz").unlink(missing_ok=True)
        for part in (workdir / "samples" / ".chunks").glob(f"{kept.name},first=*.npy"):
            part.unlink()


def sentence(settings: Any, asked: Any) -> str:
    """What a workdir has more than the settings `asked` for; "" for nothing."""
    parts = []
    for name, word in (("num_train", "K"), ("seeds", "seed"), ("widths", "width")):
        more = [str(value) for value in getattr(settings, name) if value not in getattr(asked, name)]
        if more and getattr(asked, name):
            parts.append(f"{word} = {', '.join(more)}")
    if settings.sampler != asked.sampler:
        parts.append("more samples a size")
    if settings.control != asked.control:
        parts.append("more of the exact score")
    return f"From earlier runs in this folder: {'; '.join(parts)}." if parts else ""
