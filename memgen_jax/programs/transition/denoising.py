"""How well each network denoises items that it was trained on, and items that it never saw; no samples are needed.

A network that memorizes denoises its own items better than unseen ones; one that is not trained long enough denoises
both badly. Beside the samples' distances this tells "new" from "merely undertrained".

losses/<member>.npz   stage: per noise level and item, of training items (`train`) and of held-out ones (`held_out`);
                      <member>,step=<step>.npz while it trains, of fewer items, at `denoising_steps`
denoising.csv         num_train,step,items,noise,time,loss,loss_low,loss_high,num_items,width: one row for each K, step,
                      kind of item ("train" or "held_out") and noise level (and width)

The loss is the mean squared error of E[x_0 | x_t] per number of an item, in the data's own unit, so that networks that
predict different things can be compared. The noise level is s(t) / m(t), the noise for a signal as the data's.
"""

import csv
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax import data, diffusion, runs, statistics, sweep
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import of_width, shown_width, write_rows
from memgen_jax.report import denoising_figures

NOISE_LEVELS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
MOST_ITEMS = 256  # of either kind
MOST_EARLIER = 64  # of either kind, while a network trains
BATCH = 64  # items in one call
NAME = "denoising.csv"


def times_of(process: diffusion.Process) -> dict[float, float]:
    """Noise level -> the t at which the process has it; levels beyond its ends are left out.

    Of a process in whole steps the nearest step, and the level there.
    """

    @jax.jit  # one program a shape; operation by operation there would be twenty
    def levels(t):
        return jax.vmap(lambda t: process.std(t) / process.mean_coefficient(t))(t)

    def level_at(t):
        return np.asarray(levels(jnp.asarray(t)))

    grid = np.geomspace(max(process.t_min, 1e-7 * process.t_max), process.t_max, 20_001)
    level = level_at(grid)
    times = np.interp([noise for noise in NOISE_LEVELS if level[0] <= noise <= level[-1]], level, grid)
    if isinstance(process, diffusion.DDPM):
        times = np.unique(np.clip(np.round(times), 1, process.t_max))
    return dict(zip(level_at(times).tolist(), times.tolist(), strict=True))


class Losses:
    """Measures the networks of a run, while they train and at their end.

    Attributes:
      run: the run.
    """

    def __init__(self, run: TransitionRun, workdir: runs.Workdir):
        self.run, self._workdir = run, workdir
        self._times = times_of(run.process) if len(run.dataset.held_out) else {}
        self._unseen = decoded(run.dataset.held_out[:MOST_ITEMS])
        self._denoise: dict[int | None, Callable[[Any, np.ndarray, float], np.ndarray]] = {}

    def watch(self) -> sweep.Watch | None:
        """What looks at the networks at the earlier of the run's `denoising_steps`."""
        steps = earlier_steps(self.run)
        return sweep.Watch(steps, self._look) if self._times and steps else None

    def _look(self, member: sweep.Member, step: int, params: Any) -> None:
        if not member.half:
            self._measure(member.at(step), params, MOST_EARLIER)

    def measure(self) -> None:
        """The stage: losses/<member>.npz of this process's members, at their last step and at every step kept."""
        run = self.run
        members = (*run.own_members, *run.snapshots(run.own_members))
        sets = [member for member in members if kept(run, self._workdir, member) is None]
        if not sets or not self._times:
            return
        with runs.stage("denoise", len(sets), "networks", self._workdir) as stage:
            for width in run.widths:
                source = run.source(width, self._workdir.path)
                for member in (m for m in sets if m.width == width):
                    self._measure(member, source.params_of(member), MOST_ITEMS)
                    stage.advance(1)

    def _measure(self, member: sweep.Member, params: Any, most: int) -> None:
        width, times = member.width, self._times
        if width not in self._denoise:
            self._denoise[width] = make_denoise(self.run, self.run.source(width, self._workdir.path))
        found = {
            "step": np.array(step_of(self.run, member)),
            "noise": np.array(list(times)),
            "time": np.array(list(times.values())),
        }
        for kind, items in (
            ("train", decoded(self.run.train_of(member)[:most])),
            ("held_out", self._unseen[:most]),
        ):
            filled = np.resize(items, (most, *items.shape[1:]))  # repeats them, with noise of its own
            places = np.arange(most) % len(items)
            levels = [self._denoise[width](params, filled, t) for t in times.values()]
            found[kind] = np.array(
                [np.bincount(places, weights=own) / np.bincount(places) for own in levels], np.float32
            ).reshape(len(times), len(items))
        self._workdir.write_npz(f"losses/{member.name}.npz", **found)


def earlier_steps(run: TransitionRun) -> tuple[int, ...]:
    """The steps of `denoising_steps` but the last; none where nothing is trained here."""
    if not run.trains:
        return ()
    train = run.settings.train
    per_call = sweep.steps_per_call(train.steps_per_call, run.model)
    steps = sweep.halved_steps(train.num_steps, run.settings.denoising_steps, per_call)
    return tuple(step for step in steps if step < train.num_steps)


def kept(run: TransitionRun, workdir: runs.Workdir, member: sweep.Member) -> dict[str, np.ndarray] | None:
    """What the stage found; None where it has not been done for the member's step."""
    needed = ("step", "noise", "time", "train", "held_out")
    found = workdir.read_npz(f"losses/{member.name}.npz", *needed)
    return found if found is not None and found["step"] == step_of(run, member) else None


def step_of(run: TransitionRun, member: sweep.Member) -> int:
    return run.settings.train.num_steps if member.step is None else member.step


def decoded(items: np.ndarray) -> np.ndarray:
    return np.asarray(data.decode(items) if items.dtype == np.uint8 else items, np.float32)


def make_denoise(run: TransitionRun, source: sweep.Source) -> Callable[[Any, np.ndarray, float], np.ndarray]:
    """(a member's parameters, items, t) -> the squared error of each; the same noise for every network.

    One compiled program of `BATCH` items serves all numbers of them, which it divides; called in turn, for convolutions
    are slow inside a compiled loop on a CPU.
    """
    process, shared = run.process, jax.device_put(source.shared)

    @jax.jit
    def errors(params, shared, items: jax.Array, first, t):
        denoiser = source.denoiser_of(params, shared)

        def one(item, place):
            noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), place), item.shape, item.dtype)
            return jnp.mean(jnp.square(denoiser(process.perturb(item, noise, t), t) - item))

        return jax.vmap(one)(items, first + jnp.arange(BATCH))

    def denoise(params, items: np.ndarray, t: float) -> np.ndarray:
        parts = [
            errors(params, shared, items[first : first + BATCH], jnp.int32(first), jnp.float32(t))
            for first in range(0, len(items), BATCH)
        ]
        return np.concatenate([np.asarray(part) for part in parts])

    return denoise


def tabulate(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Writes denoising.csv, means over seeds; not where samples came without networks, or nothing is held out."""
    if run.own_sets or not len(run.dataset.held_out):
        return
    rows = []
    members = sorted(run.members, key=lambda m: (run.widths.index(m.width), m.num_train))
    for (width, size), seeds in itertools.groupby(members, key=lambda m: (m.width, m.num_train)):
        own_seeds = list(seeds)
        for step in steps_of(run):
            last = step == run.settings.train.num_steps
            found = [kept(run, workdir, member if last else member.at(step)) for member in own_seeds]
            if None in found:  # a run that has grown passed this step before
                continue
            for kind in ("train", "held_out"):
                for level, (noise, t) in enumerate(zip(found[0]["noise"], found[0]["time"], strict=True)):  # type: ignore[index]
                    own = [one[kind][level] for one in found]  # type: ignore[index]
                    row = {"num_train": size, "step": step, "items": kind, "noise": noise, "time": t}
                    row |= mean_loss(own) | {"num_items": len(own[0])}
                    rows.append(row if width is None else row | {"width": width})
    write_rows(run, workdir, NAME, rows)


def steps_of(run: TransitionRun) -> tuple[int, ...]:
    """The steps at which the losses may have been measured, ascending; the last is the end of the training."""
    last = run.settings.train.num_steps
    kept_steps = {step_of(run, member) for member in run.snapshots(run.members[:1])}
    return tuple(sorted({*kept_steps, *earlier_steps(run), last}))


def mean_loss(own: list[np.ndarray]) -> dict[str, float | None]:
    """The mean over items and seeds; its interval is Student's, over seeds where there are several, else over items."""
    values = [float(one.mean()) for one in own] if len(own) > 1 else own[0].astype(np.float64).tolist()
    low, high = statistics.student_interval(values) if len(values) > 1 else (None, None)
    return {"loss": float(np.mean(values)), "loss_low": low, "loss_high": high}


def exists(workdir: runs.Workdir) -> bool:
    return (workdir / NAME).exists()


def read(workdir: runs.Workdir) -> list[dict[str, Any]]:
    """The rows of denoising.csv, numbers as floats."""
    rows = csv.DictReader((workdir / NAME).read_text().splitlines())
    return [{k: v if k == "items" else float(v) if v else None for k, v in row.items()} for row in rows]


def draw(run: TransitionRun, workdir: runs.Workdir) -> tuple[Any, str, str]:
    """The losses against K and against training steps, of the shown width: the figure, description, caption."""
    rows = of_width(read(workdir), shown_width(run))
    alt = (
        "Denoising loss on training items and on held-out items, against training-set size and training step."
    )
    caption = (
        "How far denoised items lie from the clean ones (mean square). Solid: held-out items; dashed: the network's "
        "own training items. Where the two part, the network knows its own items by heart; where they run together "
        "and still fall with the steps, it is not trained to its end. Bands are 95% intervals."
    )
    return denoising_figures.losses(rows), alt, caption


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each K (and width), at the last step: both losses, geometric means over the noise levels, and their ratio."""
    found = []
    last = max(row["step"] for row in rows)
    keys = dict.fromkeys((row.get("width"), row["num_train"]) for row in rows)
    for width, size in keys:
        own = [r for r in rows if (r.get("width"), r["num_train"], r["step"]) == (width, size, last)]
        losses = {
            kind: float(np.exp(np.mean([np.log(max(r["loss"], 1e-12)) for r in own if r["items"] == kind])))
            for kind in ("train", "held_out")
        }
        row = {"num_train": size, **losses, "ratio": losses["held_out"] / losses["train"]}
        found.append(row if width is None else row | {"width": width})
    return found
