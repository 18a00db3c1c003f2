"""The settings of a transition run, and what follows from them before anything is trained."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath
from ml_collections import ConfigDict

from memgen_jax import bridges, data, diffusion, metrics, models, neighbors, phases, runs, sweep
from memgen_jax.errors import FIELD, InputError, require_at_least, require_each_once, whole_numbers
from memgen_jax.programs.choices import (
    AnyDataSettings,
    DDPMSettings,
    ExactSettings,
    ModelSettings,
    ProcessSettings,
    network_on,
)
from memgen_jax.programs.precision import require_precision
from memgen_jax.programs.settings import settings_from
from memgen_jax.programs.transition import growth
from memgen_jax.programs.transition.expected import ExpectSettings
from memgen_jax.programs.transition.own_sets import OwnSets, load_items
from memgen_jax.programs.transition.phase_settings import ControlSettings, PhaseSettings
from memgen_jax.programs.transition.sampler_settings import SamplerSettings
from memgen_jax.programs.transition.start_from import StartFrom
from memgen_jax.sweep import grid

SUBSETS = ("nested", "own")
KINDS_OF_DATA = ("", "grey", "colour", "images", "vectors")


@dataclasses.dataclass(frozen=True)
class TransitionSettings:
    """One transition run.

    Attributes:
      data: see `data.load`.
      num_train: the sizes K where `grid` is "given".
      seeds: replicates of every size.
      matmul_precision: of float32 products and convolutions: "default" is the device's own (TF32 on an A100 or H100,
        bfloat16 passes on a TPU, float32 on a CPU), "high" three passes, "highest" float32 on all.
      members_from: folder of networks that the paper's authors released, one K.pt a size: nothing is trained, and the
        sizes are those that are there or, of these, `num_train`. Their training sets are taken with data.order=torch.
      sets: folder with a set of samples for each K, made elsewhere: nothing is trained; see `own_sets`.
      train_sets: folder with one training set for each K, in place of prefixes of `data`.
      held_out: real items that no network has seen, where `data` has none of its own: a source as in data.name.
      init_from: workdir of a finished run, from whose averaged networks those of the same K, seed and width start.
      subsets: "nested": all training sets are prefixes of one order of the items, as in the paper; or "own": each
        seed's are prefixes of an order of its own, so that the spread over seeds holds that of the data.
      halves: whether each network has a twin, trained on the next K items and sampled from the same noise; halves.csv
        then says how far the two agree (Kadkhodaie et al. 2024). Twice the training, and 2K items are needed.
      shard: "i/n": train and sample part i of n, for arrays of jobs.
      model: by its name, "mlp", "unet", "exact" (the exact score), or FILE.py:FUNCTION, whose arguments are settings.
      process: by its name, "ddpm", "ve" or "ou", or FILE.py:FUNCTION.
      grid: the sizes K: "given", "paper" (38 around A and B), "coarse" (a search that doubles), "auto" (the
        search, then the paper's grid around the A and B that it proposes), or sizes such as "(2,500,1000)".
      grid_ends: A and B of "paper".
      grid_first: the smallest size of the search.
      widths: widths of the network, each with all sizes; empty for that of `model` alone.
      denoising_steps: training steps of the losses in denoising.csv: the last, half of it, a quarter, …, so many.
      choose: what kind of data are to decide settings that nobody gives, "grey", "colour", "images" or "vectors"; see
        `chosen`.
      onset_items: of each kind, at most so many are compared in onset.csv; its cost grows with their square.
      expect: what the data must turn out to be; with all of it, a dry run does without the data.
    """

    data: AnyDataSettings
    model: ModelSettings
    train: sweep.SweepTrainSettings
    phases: PhaseSettings
    process: ProcessSettings = dataclasses.field(default_factory=DDPMSettings)
    sampler: SamplerSettings = dataclasses.field(default_factory=SamplerSettings)
    control: ControlSettings = dataclasses.field(default_factory=ControlSettings)
    num_train: tuple = ()
    seeds: tuple = (0,)
    matmul_precision: str = "default"
    members_from: str = ""
    sets: str = ""
    train_sets: str = ""
    held_out: str = ""
    init_from: str = ""
    subsets: str = "nested"
    halves: bool = False
    shard: str = "0/1"
    grid: str = "given"
    grid_ends: tuple = ()
    grid_first: int = 500
    widths: tuple = ()
    denoising_steps: int = 6
    choose: str = ""
    onset_items: int = 4096
    expect: ExpectSettings = dataclasses.field(default_factory=ExpectSettings)

    def __post_init__(self):
        require_at_least("", self, onset_items=2, denoising_steps=1)
        for name in ("num_train", "seeds", "widths"):
            object.__setattr__(self, name, whole_numbers(name, getattr(self, name)))
            require_each_once(name, getattr(self, name))
        if self.members_from and self.data.order != "torch":
            object.__setattr__(self, "data", dataclasses.replace(self.data, order="torch"))
        require_precision(self.matmul_precision)
        if self.subsets not in SUBSETS:
            raise InputError.setting("subsets", self.subsets, f"one of {', '.join(SUBSETS)}")
        if self.choose not in KINDS_OF_DATA:
            raise InputError.setting("choose", self.choose, f"one of {', '.join(KINDS_OF_DATA[1:])}")
        for width in self.widths:
            if width < 1:
                raise InputError(f"widths={width} is not a positive whole number.")
        for seed in self.seeds:
            if not 0 <= seed < 2**32:
                raise InputError(f"seeds={seed} is not a whole number in 0..{2**32 - 1}.")


def require_sizes(settings: TransitionSettings, before: growth.Before | None) -> None:
    """Refuses a run of no size K, which neither its settings nor its workdir name."""
    from_elsewhere = settings.sets or settings.members_from or (before and before.sizes)
    if settings.grid == "given" and not settings.num_train and not from_elsewhere:
        raise InputError(
            f"there are no sizes K: give {FIELD[0]}=FOLDER, samples that were made elsewhere for each K, or "
            f"{FIELD[1]}=(…), sizes of training sets.",
            *("sets", "num_train"),
        )


class TransitionPlan:
    """What a run will do, as far as its settings and the shape of its data tell.

    Attributes:
      settings: the run's.
      total, item_shape, is_image, name: of the training data.
      widths: of the networks; (None,) where `settings.model` says it alone.
      models: width -> network; None for the exact score.
      members, twins, controls: see `use_sizes`.
    """

    def __init__(
        self,
        settings: TransitionSettings,
        *,
        total: int,
        item_shape: tuple[int, ...],
        is_image: bool,
        name: str,
        before: growth.Before | None = None,
    ):
        """
        Args:
          before: what the run's workdir has already, which stays.
        """
        self.before = before
        self.settings = s = settings if before is None else growth.joined(settings, before)
        self.total, self.item_shape, self.is_image, self.name = total, item_shape, is_image, name
        self.process = s.process.build()
        # Embeddings of whole data sets are kept: half the room.
        self.metric = metrics.make_metric(s.phases.metric, item_shape, dtype="float16", field="phases.metric")
        self.exact = isinstance(s.model, ExactSettings)
        self.widths: tuple[int | None, ...] = tuple(dict.fromkeys(s.widths)) or (None,)
        if self.exact and s.widths:
            raise InputError("widths are those of a network, and model.name='exact' has none.")
        self.released = bridges.ReleasedSweep(s.members_from) if s.members_from else None
        self.models: dict[int | None, models.Model | None] = {
            width: network_on(self.process, s.model, item_shape, width) for width in self.widths
        }
        if self.released:
            self.take_released(self.released)
        self.model = self.models[self.widths[0]]
        self.step = diffusion.make_step(
            s.sampler.name,
            eta=s.sampler.eta,
            clipped_noise=s.sampler.clipped_noise,
            variance=s.sampler.variance,
        )
        # Refuses a bad number of steps now.
        diffusion.time_grid(self.process, s.sampler.num_steps, s.sampler.spacing)
        if s.train.prediction not in diffusion.PREDICTIONS:
            raise InputError(
                f"train.prediction={s.train.prediction!r} is not one of {', '.join(diffusion.PREDICTIONS)}."
            )
        if s.train.times != "uniform" and isinstance(self.process, diffusion.DDPM):
            raise InputError(
                f"train.times={s.train.times!r} is for processes in continuous time: use 'uniform' with ddpm."
            )
        if s.phases.rule not in phases.RULES:
            raise InputError.setting("phases.rule", s.phases.rule, f"one of {', '.join(phases.RULES)}")
        require_sizes(s, before)
        self.use_sizes(
            self.released.sizes(s.num_train)
            if self.released
            else grid.first_sizes(
                s.grid, given=s.num_train, ends=s.grid_ends, total=total, first=s.grid_first
            )
        )
        smallest = self.members[0].num_train
        if not s.sets and s.sampler.size(smallest) < 2:
            raise InputError(
                f"num_train={smallest} would have {s.sampler.size(smallest)} sample, and repeats take two: "
                "raise sampler.at_least, sampler.at_most or sampler.per_train."
            )

    def use_sizes(self, sizes: Sequence[int]) -> None:
        """Sets the members: every size with every seed and width; and the controls, one a size and seed.

        Sizes that the workdir has already are added.
        """
        s, before = self.settings, self.before
        sizes = sizes if before is None else (*sizes, *before.sizes)
        common: dict[str, Any] = {
            "total": self.total,
            "seeds": s.seeds,
            "own_subsets": s.subsets == "own",
        }
        self.members = sweep.make_members(
            sizes,
            batch_size=s.train.batch_size,
            repeat_small=s.train.repeat_small,
            widths=self.widths,
            **common,
        )
        if s.halves and (s.sets or s.train_sets or s.init_from):
            raise InputError(
                "halves=True trains its networks from the start, on sets from data: leave out sets, train_sets and "
                "init_from."
            )
        largest = self.members[-1].num_train
        if s.halves and 2 * largest > self.total:
            raise InputError(
                f"halves=True takes two disjoint sets of K items, and K={largest} needs {2 * largest} where there are "
                f"{self.total}: leave out sizes above {self.total // 2}."
            )
        self.controls = (
            sweep.make_members(sizes, batch_size=1, prefix="exact,", **common) if s.control.run else ()
        )
        if s.sets:  # not every size need have every seed
            self.members = tuple(m for m in self.members if self.has_samples(m))
            self.controls = tuple(m for m in self.controls if self.has_samples(m))
        if before is not None:
            own = getattr(s.model, "width", None)
            self.members = growth.keep_identity(self.members, before, own)
            self.controls = growth.keep_control_names(self.controls, before)
        self.twins = tuple(member.twin() for member in self.members) if s.halves else ()

    @property
    def reordered(self) -> bool:
        """Whether training sets are items in an order of their own, not prefixes of one order."""
        s = self.settings
        return s.subsets == "own" or s.halves or bool(s.train_sets)

    def has_samples(self, member: sweep.Member) -> bool:
        """Whether there are samples for a member, where they come from elsewhere."""
        return True

    def take_released(self, released: bridges.ReleasedSweep) -> None:
        """Puts networks that others trained in place of our own, where the settings and the data fit them."""
        s = self.settings
        if self.exact or s.widths or len(set(s.seeds)) > 1 or s.subsets != "nested" or s.halves:
            raise InputError(
                "members_from takes networks as they are: leave out widths, several seeds, subsets=own, halves and "
                "model.name=exact."
            )
        if not isinstance(self.process, diffusion.DDPM) or s.train.prediction != "noise":
            raise InputError(
                "members_from holds networks that predict noise on ddpm: leave both as they are."
            )
        if released.item_shape != tuple(self.item_shape):
            raise InputError(
                f"the networks in {s.members_from} are for images of shape {released.item_shape}, and this run's are "
                f"{tuple(self.item_shape)}: give their data, or say expect.item_shape."
            )
        self.models = {None: released.model}

    def paper_thresholds(self) -> phases.Thresholds:
        """Those of the paper for the data set named by the settings, and for the metric."""
        table = self.settings.phases.table
        if not table:
            raise InputError(
                "phases.rule='paper' needs phases.table: whose thresholds to take, one of "
                f"{', '.join(phases.PAPER)}."
            )
        return phases.paper(table, self.metric.name)


class TransitionRun(TransitionPlan):
    """A plan with its data, and this process's share of the members.

    Attributes:
      dataset: as loaded.
      train: its training items in the sweep's order; see `train_of`.
      own_sets: samples that were made elsewhere; None where networks of the run make them.
      places: K -> where its training items are in `train`, for training sets that are no prefixes.
      data_digest: names them once somebody has asked; see `real_distances`.
    """

    data_digest: str | None = None
    own_sets: OwnSets | None
    places: dict[int, np.ndarray] | None

    def __init__(
        self, config: ConfigDict, before: growth.Before | None = None, dataset: data.Dataset | None = None
    ):
        """
        Args:
          before: what the run's workdir has already, which stays.
          dataset: of the config, where it has been read; see `chosen`.
        """
        settings = settings_from(TransitionSettings, config)
        self.own_sets, self.places = None, None
        if settings.sets:
            self.own_sets = OwnSets(settings.sets, settings.data.reading, settings.num_train)
            settings = dataclasses.replace(
                settings, num_train=self.own_sets.sizes, seeds=self.own_sets.seeds, grid="given"
            )
        require_sizes(settings, before)  # before anything is read
        self.dataset, self.places = load_items(settings, dataset)
        order = None if self.places else data.subset_order(self.dataset.num_train, settings.data.order)
        self.train = self.dataset.train if order is None else self.dataset.train[order]
        settings.expect.check(self.dataset)
        self.dataset = data.without_seen(self.dataset)
        data.require_variety(self.train, self.dataset.held_out, self.dataset.name)
        if self.own_sets:
            folder = before and before.folder
            self.own_sets.check(self.dataset.item_shape, self.dataset.is_image, folder)
        super().__init__(
            settings,
            total=len(self.train),
            item_shape=self.dataset.item_shape,
            is_image=self.dataset.is_image,
            name=self.dataset.name,
            before=before,
        )
        self.metric.require_ready()
        self.require_rule_can_work()
        self.start_from = self.take_networks(self.settings.init_from) if self.settings.init_from else None
        share = runs.index_and_count()
        self.shard = share if share != (0, 1) else parse_shard(settings.shard)
        sweep.take_shard(self.members, *self.shard)  # refuses a shard that is none

    def has_samples(self, member: sweep.Member) -> bool:
        return self.own_sets is None or self.own_sets.has(member)

    def take_networks(self, folder: str) -> StartFrom:
        """Refuses networks of another kind, and members that would find none."""
        if not self.trains:
            raise InputError("init_from is for networks that are trained here: leave it out.")
        found = StartFrom(folder, self.settings)
        for member in self.members:
            found.name(member)
        return found

    @property
    def own_members(self) -> tuple[sweep.Member, ...]:
        return sweep.take_shard(self.members, *self.shard)

    @property
    def own_twins(self) -> tuple[sweep.Member, ...]:
        return sweep.take_shard(self.twins, *self.shard)

    @property
    def own_controls(self) -> tuple[sweep.Member, ...]:
        return sweep.take_shard(self.controls, *self.shard)

    @functools.cached_property
    def comparable_train(self) -> np.ndarray:
        """The training items as the metric takes them."""
        return self.metric.vectors(self.train)

    @functools.cached_property
    def comparable_held_out(self) -> np.ndarray:
        """The held-out items likewise."""
        return self.metric.vectors(self.dataset.held_out)

    def order_of(self, member: sweep.Member) -> np.ndarray:
        """int64 [total]: places of the training items, of which the first K are this member's training set."""
        if self.places is None:
            return member.order(self.total)
        own = self.places[member.num_train]
        return np.concatenate([own, np.setdiff1d(np.arange(self.total), own)])

    def train_of(self, member: sweep.Member) -> np.ndarray:
        """A member's training set S."""
        return self.train[self._items_of(member)]

    def _items_of(self, member: sweep.Member) -> slice | np.ndarray:
        nested = member.nested and self.places is None  # a view, where a copy would be large
        return slice(member.num_train) if nested else self.order_of(member)[: member.num_train]

    def comparable_train_of(self, member: sweep.Member) -> np.ndarray:
        """A member's training set as the metric takes it."""
        return neighbors.taken(self.comparable_train, self._items_of(member))

    def beyond(self, member: sweep.Member) -> np.ndarray:
        """The training items that a member does not see."""
        return self.train[self.order_of(member)[member.num_train :]]

    def one_a_subset(self, size: int) -> tuple[sweep.Member, ...]:
        """One member for each training set of `size` items that there is."""
        own = {member.subset: member for member in self.members if member.num_train == size}
        return tuple(own.values())

    def snapshots(self, members: Sequence[sweep.Member]) -> tuple[sweep.Member, ...]:
        """These members at the earlier steps that `train.num_snapshots` keeps, one after another."""
        train = self.settings.train
        if not self.trains or not train.num_snapshots:
            return ()
        steps = sweep.snapshot_steps(train, sweep.steps_per_call(train.steps_per_call, self.model))
        return tuple(member.at(step) for member in members for step in steps if step < train.num_steps)

    @property
    def trains(self) -> bool:
        """Whether there is something to train: no exact score, no networks that were trained elsewhere."""
        return not (self.exact or self.released or self.own_sets)

    def num_samples(self, member: sweep.Member) -> int:
        """Size of a member's synthetic set."""
        if self.own_sets:
            return self.own_sets.num_samples(member)
        sampler = self.settings.sampler
        size = sampler.size(member.num_train)
        return size if member.step is None else min(size, sampler.snapshot_at_most)

    @property
    def sampler(self) -> sweep.Sampler:
        """How the synthetic sets are drawn."""
        s = self.settings.sampler
        return sweep.Sampler(
            self.process,
            self.step,
            s.num_steps,
            self.item_shape,
            images=self.is_image,
            spacing=s.spacing,
            clip=s.clip and self.is_image,
            chunk_size=s.chunk_size,
            steps_per_call=sweep.steps_per_call(s.steps_per_call, self.model),
        )

    def source(self, width: int | None, workdir: epath.PathLike) -> sweep.Source:
        """What the samples of the members of one width are drawn from."""
        model = self.models[width]
        if model is None:
            return self.exact_source()
        if self.released:
            trained = sweep.network_source(model, self.process, self.settings.train, workdir)
            released = self.released
            return trained._replace(params_of=lambda member: released.params(member.num_train))
        checkpoints = epath.Path(workdir) / "checkpoints"
        return sweep.network_source(model, self.process, self.settings.train, checkpoints)

    def exact_source(self) -> sweep.Source:
        """The exact score of each training set."""
        order_of = self.order_of if self.reordered else None
        return sweep.exact_source(data.decode(self.train), self.process, order_of)

    def require_rule_can_work(self) -> None:
        """Refuses, before anything is trained, a rule for the thresholds that must fail in the end.

        Whether the distances have a valley only the samples can show.
        """
        s = self.settings.phases
        if s.rule == "given":
            try:
                phases.given(s.delta_m, s.delta_s)
            except InputError as error:
                raise error.within("phases") from None
            if s.delta_m == s.delta_s == 0:
                raise InputError("phases.rule='given' needs phases.delta_m and phases.delta_s, both are 0.")
        elif s.rule == "paper":
            self.paper_thresholds()
        elif s.rule == "held_out":
            if not len(self.dataset.held_out):
                more = "" if self.own_sets else f" or set {FIELD[1]}"
                raise InputError(
                    f"phases.rule='held_out' needs held-out items, and {self.dataset.name} has none: give real items "
                    f"that no network has seen as {FIELD[0]}{more}, or choose another rule.",
                    "held_out",
                    "data.num_held_out",
                )
            unseen, real = np.zeros(len(self.dataset.held_out)), np.zeros(len(self.train))
            try:
                phases.held_out(unseen, real, s.false_positive_rate)
            except InputError as error:
                raise error.within("phases") from None


def parse_shard(shard: str) -> tuple[int, int]:
    index, _, count = shard.partition("/")
    if not (index.isdigit() and count.isdigit()):
        raise InputError(f"shard={shard!r} must look like 0/4, the first of four parts.")
    return int(index), int(count)
