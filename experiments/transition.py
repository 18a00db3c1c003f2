"""From copying to creating: one model per training-set size K, and what its samples are.

  config -> members -> training -> synthetic sets -> nearest neighbours -> labels -> fractions -> report

Each arrow is a stage that writes its own files in the workdir and is skipped where they are whole, so the
same command continues an interrupted run and ends with the same bytes.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import door, transition_report
from memgen_jax import data, diffusion, memory, models, neighbors, sweep
from memgen_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """How synthetic sets are drawn.

    Attributes:
      name, num_steps, eta, variance: see `diffusion.make_step`; eta is DDIM's, variance the ancestral one's.
      clip: clip the predicted clean image to [-1, 1] (Ho et al. 2020).
      per_train: samples per training item (the paper: 4), but
      at_least, at_most: never fewer or more than these; 0 for no limit.
      chunk_size: samples that a device draws at once; changes rounding, hence single samples, only.
      steps_per_call: sampler steps in one compiled call; 0 chooses as in training.
    """

    name: str = "ancestral"
    num_steps: int = 1000
    eta: float = 0.0
    variance: str = "posterior"
    clip: bool = True
    per_train: int = 4
    at_least: int = 0
    at_most: int = 0
    chunk_size: int = 256
    steps_per_call: int = 0

    def __post_init__(self):
        require("sampler", self, at_least=0, at_most=0, per_train=1, chunk_size=1, steps_per_call=0, eta=0)

    def size(self, num_train: int) -> int:
        """Number of samples of a member: per_train * K within the limits."""
        size = max(self.per_train * num_train, self.at_least)
        return min(size, self.at_most) if self.at_most else size


@dataclasses.dataclass(frozen=True)
class PhaseSettings:
    """Where the thresholds come from; see `phases.thresholds`."""

    rule: str
    delta_m: float = 0.0
    delta_s: float = 0.0
    false_positive_rate: float = 0.01
    num_bootstrap: int = 1000

    def __post_init__(self):
        require("phases", self, num_bootstrap=1)


@dataclasses.dataclass(frozen=True)
class ControlSettings:
    """The exact score run through the same pipeline: it must come out as memorizing at every K."""

    run: bool = True
    num_samples: int = 256

    def __post_init__(self):
        require("control", self, num_samples=2)


def require(group: str, settings: object, **least: int) -> None:
    """Raises InputError unless each of these settings is a number from its least value on."""
    for name, bound in least.items():
        value = getattr(settings, name)
        if not value >= bound:  # NaN too
            raise InputError(f"{group}.{name}={value} must be at least {bound}.")


@dataclasses.dataclass(frozen=True)
class Settings:
    """One transition run.

    Attributes:
      data: `name` and further arguments of `data.load`.
      num_train: the sizes K.
      seeds: replicates of every size.
      shard: "i/n": train and sample every n-th member from the i-th on, for arrays of jobs.
      model: `name` ("mlp", "unet" or "exact") and arguments of that function of `models`.
      process: `name` ("ddpm", "ve" or "ou") and arguments of that class of `diffusion`.
    """

    data: dict
    num_train: tuple
    seeds: tuple
    shard: str
    model: dict
    process: dict
    train: sweep.TrainSettings
    sampler: SamplerSettings
    phases: PhaseSettings
    control: ControlSettings

    def __post_init__(self):
        for size in self.num_train:
            if not isinstance(size, int):
                raise InputError(f"num_train={size} is not a whole number of training items.")
        for seed in self.seeds:
            if not (isinstance(seed, int) and 0 <= seed < 2**32):
                raise InputError(f"seeds={seed} is not a whole number in 0..{2**32 - 1}.")


class Run:
    """What every stage needs: the settings resolved into data, members, model and sampler."""

    def __init__(self, config: ConfigDict):
        self.settings = door.settings(Settings, config)
        s = self.settings
        self.dataset = data.load(**s.data)
        order = data.permutation(self.dataset.num_train)
        self.train = self.dataset.train[order]
        self.process = build_process(s.process)
        # Distances are taken in [-1, 1]; images are compared as they lie on disk, in uint8.
        self.scale = 1 / 127.5 if self.dataset.is_image else 1.0
        self.exact = s.model["name"] == "exact"
        self.model = None if self.exact else build_model(s.model, self.dataset.item_shape)
        common: dict[str, Any] = {"total": len(self.train), "seeds": s.seeds}
        self.members = sweep.make_members(
            s.num_train, batch_size=s.train.batch_size, repeat_small=s.train.repeat_small, **common
        )
        self.controls = sweep.make_members(s.num_train, batch_size=1, prefix="exact,", **common)
        self.step = diffusion.make_step(s.sampler.name, eta=s.sampler.eta, variance=s.sampler.variance)
        diffusion.time_grid(self.process, s.sampler.num_steps)  # refuses a bad number of steps now
        if s.train.prediction not in diffusion.PREDICTIONS:
            raise InputError(
                f"train.prediction={s.train.prediction!r} is not one of {', '.join(diffusion.PREDICTIONS)}."
            )
        if s.phases.rule not in transition_report.RULES:
            raise InputError(
                f"phases.rule={s.phases.rule!r} is not one of {', '.join(transition_report.RULES)}."
            )
        transition_report.require_rule_can_work(self)
        smallest = self.members[0].num_train
        if s.sampler.size(smallest) < 2:
            raise InputError(
                f"num_train={smallest} would have {s.sampler.size(smallest)} sample, and repeats take two: "
                "raise sampler.at_least, sampler.at_most or sampler.per_train."
            )
        shard = parse_shard(s.shard)
        self.own_members = sweep.take_shard(self.members, *shard)
        self.own_controls = sweep.take_shard(self.controls, *shard) if s.control.run else ()


def parse_shard(shard: str) -> tuple[int, int]:
    try:
        index, count = map(int, shard.split("/"))
    except ValueError:
        raise InputError(f"shard={shard!r} must look like 0/4, the first of four parts.") from None
    return index, count


def build_process(settings: dict[str, Any]) -> diffusion.Process:
    """{"name": "ddpm", **arguments} -> the process."""
    kinds = {"ddpm": diffusion.DDPM, "ve": diffusion.VE, "ou": diffusion.OU}
    return _build("process", kinds, settings)


def build_model(settings: dict[str, Any], item_shape: tuple[int, ...]) -> models.Model:
    """{"name": "mlp", **arguments} -> the network for items of that shape."""
    return _build("model", {"mlp": models.mlp, "unet": models.unet}, settings, item_shape)


def _build(what: str, kinds: Mapping[str, Callable], settings: dict[str, Any], *arguments) -> Any:
    settings = dict(settings)
    name = settings.pop("name")
    if name not in kinds:
        raise InputError(f"{what}.name={name!r} is not one of {', '.join(kinds)}.")
    known = list(inspect.signature(kinds[name]).parameters)[len(arguments) :]
    foreign = [setting for setting in settings if setting not in known]
    if foreign:
        raise InputError(
            f"{what}.name={name!r} has no setting {foreign[0]!r} (it has {', '.join(known)}): "
            "give the config file, or a variant of it, the settings of that name."
        )
    return kinds[name](*arguments, **settings)


def main(config: ConfigDict, workdir_path: str) -> None:
    run = Run(config)
    workdir = sweep.Workdir(workdir_path, door.plain(config), free=("shard",))
    if (workdir / "report.html").exists():
        transition_report.print_outcome(workdir)
        print(f"This run is finished: {workdir / 'report.html'}.")
        return
    workdir.write_environment()
    workdir.write_csv("members.csv", [dataclasses.asdict(member) for member in run.members])
    mesh = sweep.member_mesh(data_parallel=run.settings.train.data_parallel)

    if not run.exact:
        train(run, workdir, mesh)
    synthesize(run, workdir, mesh)
    synthesize_controls(run, workdir, mesh)
    find_neighbors(run, workdir)
    waiting = [m.name for m in run.members if not (workdir / f"neighbors/{m.name}.npz").exists()]
    if waiting:
        print(
            f"This shard is done; {len(waiting)} members of other shards are not. Run without shard to merge."
        )
        return
    with door.stage("classify and report", 1, "report"):
        transition_report.classify(run, workdir)
        transition_report.report(run, workdir)
    transition_report.print_outcome(workdir)
    print(f"Figures and the page: {workdir / 'figures'}, {workdir / 'report.html'}.")


def train(run: Run, workdir: sweep.Workdir, mesh) -> None:
    """Stage 1: checkpoints/<member>/<step> for every member."""
    assert run.model is not None
    total = len(run.own_members) * run.settings.train.num_steps
    with door.stage("train", total, "model-steps") as stage:
        sweep.train_members(
            run.own_members,
            run.train,
            model=run.model,
            process=run.process,
            settings=run.settings.train,
            mesh=mesh,
            folder=workdir / "checkpoints",
            log=lambda record: workdir.append_json_line("metrics.jsonl", record),
            advanced=stage.advance,
            warn=stage.note,
        )


class Source(NamedTuple):
    """Where a member's samples come from: its parameters, and the denoiser that they make."""

    params_of: Callable[[sweep.Member], Any]
    denoiser_of: Callable[[Any], diffusion.Denoiser]


def network_source(run: Run, workdir: sweep.Workdir) -> Source:
    """The trained networks, by their averaged parameters."""
    model, train_settings = run.model, run.settings.train
    assert model is not None

    def params_of(member: sweep.Member):
        return sweep.load_ema(member, model, train_settings, workdir / "checkpoints")

    def denoiser_of(params) -> diffusion.Denoiser:
        def network(x, t):
            return model.apply_fn(params, x, t)

        return diffusion.denoiser_from_network(network, run.process, train_settings.prediction)

    return Source(params_of, denoiser_of)


def exact_source(run: Run) -> Source:
    """The exact score of each member's training set: a perfect memorizer."""
    patterns = jnp.asarray(data.decode(run.train))
    return Source(
        lambda member: np.int32(member.num_train),
        lambda num_train: memory.exact_denoiser(patterns, run.process, num_valid=num_train),
    )


def synthesize(run: Run, workdir: sweep.Workdir, mesh) -> None:
    """Stage 2: samples/<member>.npz."""
    source = exact_source(run) if run.exact else network_source(run, workdir)
    draw_sets(run, workdir, mesh, run.own_members, run.settings.sampler.size, "sample", source)


def synthesize_controls(run: Run, workdir: sweep.Workdir, mesh) -> None:
    """The same sampler with the exact score in place of a network: samples/exact,<member>.npz."""
    size = run.settings.control.num_samples
    draw_sets(
        run,
        workdir,
        mesh,
        run.own_controls,
        lambda num_train: size,
        "sample the exact score",
        exact_source(run),
    )


def draw_sets(
    run: Run,
    workdir: sweep.Workdir,
    mesh,
    members: Sequence[sweep.Member],
    size: Callable[[int], int],
    title: str,
    source: Source,
) -> None:
    """Draws the synthetic sets of `members`, of `size(num_train)` samples each."""
    sampler = run.settings.sampler

    def denoiser_of(params) -> diffusion.Denoiser:
        denoiser = source.denoiser_of(params)
        return diffusion.clipped(denoiser) if sampler.clip and run.dataset.is_image else denoiser

    total = sum(size(member.num_train) for member in members)
    with door.stage(title, total, "samples") as stage:
        sweep.synthesize(
            members,
            lambda member: size(member.num_train),
            source.params_of,
            denoiser_of,
            process=run.process,
            step=run.step,
            num_steps=sampler.num_steps,
            item_shape=run.dataset.item_shape,
            images=run.dataset.is_image,
            chunk_size=sampler.chunk_size,
            steps_per_call=sweep.steps_per_call(sampler.steps_per_call, run.model),
            mesh=mesh,
            workdir=workdir,
            advanced=stage.advance,
        )


def find_neighbors(run: Run, workdir: sweep.Workdir) -> None:
    """Stage 3: neighbors/<member>.npz, exact nearest items in S and in S' (itself excluded)."""
    members = (*run.own_members, *run.own_controls)
    needed = ("train_distance", "train_index", "synthetic_distance", "synthetic_index")
    with door.stage("find neighbours", len(members), "sets") as stage:
        for member in members:
            name = f"neighbors/{member.name}.npz"
            if workdir.read_npz(name, *needed) is None:
                samples = transition_report.load_samples(workdir, member)
                in_train = neighbors.search(samples, run.train[: member.num_train], scale=run.scale)
                among = neighbors.search(samples, samples, exclude_self=True, scale=run.scale)
                found = (in_train.distance, in_train.index, among.distance, among.index)
                workdir.write_npz(name, **{k: v[:, 0] for k, v in zip(needed, found, strict=True)})
            stage.advance(1)


if __name__ == "__main__":
    door.enter(main)
