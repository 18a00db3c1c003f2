"""`--dry_run` of the transition: what a run would cost, stage by stage, before anything starts."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from memgen_jax import data, diffusion, runs, sweep
from memgen_jax.errors import InputError
from memgen_jax.neighbors.rows import LEAST_MEMORY, place_of_references
from memgen_jax.programs.choices import UNetSettings
from memgen_jax.programs.launcher import AT_HAND, Machine
from memgen_jax.programs.settings import settings_from
from memgen_jax.programs.transition.settings import (
    TransitionPlan,
    TransitionRun,
    TransitionSettings,
    parse_shard,
)
from memgen_jax.sweep import grid
from memgen_jax.sweep.cost import PEAK_FLOPS

# Of the bfloat16 peak, where no speed is given: what the paper's CIFAR10 U-Net of width 128 reaches on one H200
# (benchmarks/README.md).
ASSUMED_SHARE = {"bfloat16": 0.23, "float32": 0.13}
# Of U-Nets up to this width, what one of Fashion-MNIST reaches there: a step of theirs is mostly launches.
NARROW, NARROW_SHARE = 32, 0.03
# Devices of the table that a dry run prints where it knows neither a speed nor the device.
COMMON_DEVICES = (
    "NVIDIA A100-SXM4-80GB",
    "NVIDIA H100 80GB HBM3",
    "NVIDIA H200",
    "TPU v4",
    "TPU v5e",
    "TPU v5p",
    "TPU v6e",
)


class Stage(NamedTuple):
    """One stage's cost.

    Attributes:
      work: what is done, in words.
      flops: operations in all.
      disk: bytes left on disk at the end of the stage.
      memory: bytes on one device.
      balance: share of the devices' time that is spent on work, by count.
    """

    name: str
    work: str
    flops: float
    disk: float
    memory: float
    balance: float


def dry_run(config: ConfigDict, machine: Machine = AT_HAND, dataset: data.Dataset | None = None) -> None:
    """Prints the costs; the data are read only where `expect` does not say their shape, or takes any.

    Args:
      dataset: the data, where they have been read.
    """
    plan = make_plan(config, dataset)
    hosts, devices = machine.hosts or 1, count_devices(plan, machine)
    share = Share(plan, hosts)
    print(describe(plan, share.costs))
    if hosts > 1:
        print(f"counted is the share of one of {hosts} hosts: {len(share.members)} members")
    stages = [
        stage
        for stage in (share.train(devices), share.sample(devices), share.control(), share.compare())
        if stage
    ]
    rows = (
        (s.name, s.work, f"{s.flops:.2e}", in_bytes(s.disk), in_bytes(s.memory), f"{s.balance:.0%}")
        for s in stages
    )
    print(runs.table(("stage", "work", "FLOPs", "disk", "memory/device", "balance"), rows))
    print(*verdict(share, stages, devices, machine), sep="\n")
    if hosts * devices > 1 and share.costs:
        print(compare_plans(plan, devices, hosts))


def make_plan(config: ConfigDict, dataset: data.Dataset | None = None) -> TransitionPlan:
    settings = settings_from(TransitionSettings, config)
    known = settings.expect
    if known.num_train is None or known.item_shape is None:
        return TransitionRun(config, dataset=dataset)
    if not known.strict:  # other data will do: those that are there count
        try:
            return TransitionRun(config)
        except InputError as error:
            print(f"The data are not read ({error}): counted is what the config expects.")
    plan = TransitionPlan(
        settings, total=known.num_train, item_shape=known.item_shape, is_image=True, name=settings.data.name
    )
    if settings.grid == "auto":  # as if the search were to propose the ends that the config gives
        searched = [m.num_train for m in plan.members]
        ends = settings.grid_ends
        plan.use_sizes(
            (*searched, *grid.first_sizes("paper", given=(), ends=ends, total=plan.total, first=0))
        )
    return plan


def count_devices(plan: TransitionPlan, machine: Machine) -> int:
    """Devices of one process, which share its members."""
    parallel, hosts = plan.settings.train.data_parallel, machine.hosts or 1
    if machine.devices is None:
        return sweep.member_mesh(data_parallel=parallel).size
    if machine.devices % (hosts * parallel) or machine.devices < 1:
        of_hosts = f" times hosts={hosts}" if hosts > 1 else ""
        allowed = f"at least 1 and divisible by train.data_parallel={parallel}{of_hosts}"
        raise InputError.setting("devices", machine.devices, allowed)
    return machine.devices // hosts


def compare_plans(plan: TransitionPlan, devices: int, hosts: int) -> str:
    """How busy the devices of a training are by `train.data_parallel`: small blocks leave some of them idle.

    A host that has trained its own members goes on to sample them and waits for nobody, so counted are each host's
    devices until then. Until the last host is done the share is smaller where hosts have unlike numbers of members.
    """
    train = plan.settings.train
    shares = [len(sweep.take_shard(plan.members, i, hosts)) for i in range(hosts)]
    shares = [count for count in shares if count]
    busy: dict[int, float] = {}
    together: dict[int, float] = {}
    for parallel in range(1, devices + 1):
        if devices % parallel or train.batch_size % parallel:
            continue
        places = devices // parallel * train.members_per_step
        rounds = [math.ceil(count / places) for count in shares]
        busy[parallel] = sum(shares) / (sum(rounds) * places)
        together[parallel] = sum(shares) / (max(rounds) * places * hosts)
    best = min(busy, key=lambda parallel: (-round(busy[parallel], 3), parallel))
    words = ", ".join(f"{share:.0%} with {parallel}" for parallel, share in busy.items())
    said = [
        f"busy while training, by train.data_parallel: {words}; best is {best}, {busy[best]:.0%} (a batch that is "
        "split costs a sum over its devices each step)"
    ]
    if hosts > 1:
        most = sum(shares) / (max(shares) * hosts)
        words = ", ".join(f"{share:.0%} with {parallel}" for parallel, share in together.items())
        said.append(
            f"until the last host has trained its own: {words}; a network stays on its host, and one has {max(shares)} "
            f"of {sum(shares)}, so no plan does more than {most:.0%}"
        )
    return "\n".join(said)


class Share:
    """The work of one process: its members and what each of them costs.

    Attributes:
      costs: width -> the cost of one member of that width; empty for the exact score.
      sets: synthetic sets as (member, number of samples), those of earlier training steps included.
    """

    def __init__(self, plan: TransitionPlan, hosts: int = 1):
        self.plan, self.settings = plan, plan.settings
        train = self.settings.train
        self.costs = {
            width: sweep.model_cost(model, plan.process, train, plan.item_shape, plan.is_image)
            for width, model in plan.models.items()
            if model is not None
        }
        shard = parse_shard(self.settings.shard) if hosts == 1 else largest_shard(plan.members, hosts)
        self.members = sweep.take_shard(plan.members, *shard)
        self.controls = sweep.take_shard(plan.controls, *shard)
        self.snapshots = max(0, train.num_snapshots - 1) if self.costs else 0
        sampler = self.settings.sampler
        self.sets = [(m, sampler.size(m.num_train)) for m in self.members]
        self.sets += self.snapshots * [(m, min(size, sampler.snapshot_at_most)) for m, size in self.sets]
        self.item = math.prod(plan.item_shape)
        self.item_bytes = self.item * (1 if plan.is_image else 4)

    def train(self, devices: int) -> Stage | None:
        """Blocks of members, one after another; two checkpoints of each stay, and the snapshots' averages."""
        train = self.settings.train
        if not self.costs or self.plan.released:
            return None
        places = devices // train.data_parallel * train.members_per_step
        batch = train.batch_size // train.data_parallel
        flops = disk = memory = blocks = 0.0
        for width, cost in self.costs.items():
            count = sum(m.width == width for m in self.members)
            flops += count * train.num_steps * cost.train_flops * train.data_parallel
            disk += count * (2 * cost.state_bytes + self.snapshots * 4 * cost.parameters)
            memory = max(memory, cost.train_bytes(batch, train.members_per_step))
            blocks += math.ceil(count / places)
        return Stage(
            "train",
            f"{len(self.members) * train.num_steps:,} model-steps",
            flops,
            disk,
            memory
            + self.plan.total * (self.item_bytes + 4 * train.members_per_step),  # items, and their orders
            len(self.members) / (blocks * places),
        )

    def sample(self, devices: int) -> Stage:
        """Chunks of all sets in one list, dealt out to the devices; the last round may not be full."""
        sampler = self.settings.sampler
        chunk = sampler.chunk_size
        samples = sum(size for _, size in self.sets)
        rounds = math.ceil(sum(math.ceil(size / chunk) for _, size in self.sets) / devices)
        flops = sum(size * self.forward_flops(member) for member, size in self.sets) * self.network_calls
        # Without a backward pass only the skip connections live long: a fraction of what training keeps.
        memory = max(
            (
                4 * cost.parameters + chunk * (cost.activation_bytes / 4 + 12 * self.item)
                for cost in self.costs.values()
            ),
            default=self.exact_bytes,
        )
        return Stage(
            "sample",
            f"{samples:,} samples of {sampler.num_steps} steps",
            flops,
            samples * self.item_bytes,
            memory,
            samples / (rounds * devices * chunk),
        )

    @property
    def network_calls(self) -> int:
        """Of one sample."""
        sampler = self.settings.sampler
        return sampler.num_steps * diffusion.CALLS.get(sampler.name, 1)

    def forward_flops(self, member: sweep.Member) -> float:
        """Of the denoiser on one item: the network or the exact score."""
        return self.costs[member.width].forward_flops if self.costs else self.exact_flops

    @property
    def exact_flops(self) -> float:
        """Of the exact score on one item: whatever K, all items are multiplied and those beyond K masked."""
        return 4.0 * self.item * self.plan.total

    @property
    def exact_bytes(self) -> float:
        """Device memory of the exact score."""
        chunk = self.settings.sampler.chunk_size
        return sweep.exact_score_bytes(self.plan.total, self.item, chunk, self.plan.reordered)

    def control(self) -> Stage | None:
        """The exact score on every size."""
        if not self.controls:
            return None
        count = self.settings.control.num_samples
        flops = len(self.controls) * count * self.network_calls * self.exact_flops
        return Stage(
            "control",
            f"{len(self.controls) * count:,} samples of the exact score",
            flops,
            len(self.controls) * count * self.item_bytes,
            self.exact_bytes,
            1.0,
        )

    @property
    def compared(self) -> int:
        """Numbers of an item that the neighbour search compares: pixels, or its embedding."""
        return self.plan.metric.num_features(self.plan.item_shape)

    def embeddings(self) -> float:
        """Bytes of embeddings (float16) that are there at once: of S and of the largest S'."""
        largest = max(size for _, size in self.sets)
        return 2.0 * self.compared * (self.plan.total + largest) if self.plan.metric.embeds else 0.0

    def where_compared(self, devices: int, memory: float) -> str:
        """Where the search keeps the largest set that samples are compared with, of devices of `memory` bytes."""
        largest = max(max(size, m.num_train) for m, size in self.sets)
        place = place_of_references(largest, self.compared, int(memory) // 2, devices)
        words = {
            "each": "on each device",
            "spread": f"spread over the {devices} devices",
            "sent": "in tiles, sent anew for each tile of samples",
        }
        return (
            f"the largest set compared with, {in_bytes(4.0 * largest * self.compared)} there, {words[place]}"
        )

    def compare(self) -> Stage:
        """Every sample with every item of S and of S': one product of the vectors that are compared."""
        count = self.settings.control.num_samples
        pairs = sum(size * (m.num_train + size) for m, size in self.sets)
        pairs += sum(count * (m.num_train + count) for m in self.controls)
        samples = sum(size for _, size in self.sets) + len(self.controls) * count
        return Stage(
            "neighbours", f"{pairs:,} pairs", 2.0 * pairs * self.compared, 16.0 * samples, LEAST_MEMORY, 1.0
        )


def largest_shard(members: Sequence[sweep.Member], hosts: int) -> tuple[int, int]:
    """(i, hosts): the host that has the most members."""
    return max(range(hosts), key=lambda i: len(sweep.take_shard(members, i, hosts))), hosts


def describe(plan: TransitionPlan, costs: dict[int | None, sweep.ModelCost]) -> str:
    """What will be trained."""
    sizes = [member.num_train for member in plan.members]
    lines = [
        f"{plan.name}: {plan.total:,} items of shape {'×'.join(map(str, plan.item_shape))}",
        f"members: {len(sizes):,} = {len(set(sizes))} sizes K ({min(sizes):,} to {max(sizes):,}) "
        f"× {_count(len(set(plan.settings.seeds)), 'seed')} × {_count(len(plan.widths), 'width')}",
    ]
    for width, cost in costs.items():
        name = "network" if width is None else f"network of width {width}"
        lines.append(
            f"{name}: {cost.parameters:,} parameters; {cost.train_flops:.3e} FLOPs a training step of "
            f"{plan.settings.train.batch_size // plan.settings.train.data_parallel} items, "
            f"{cost.forward_flops:.3e} a forward pass of one"
        )
    return "\n".join(lines)


def verdict(share: Share, stages: list[Stage], devices: int, machine: Machine) -> list[str]:
    """What the counts mean on the devices at hand: disk, memory, time, a deadline."""
    import jax

    first = jax.local_devices()[0]
    lines = [f"disk: {in_bytes(sum(stage.disk for stage in stages))}"]
    known = (first.memory_stats() or {}).get("bytes_limit")
    limit = known if machine.device_memory_gb is None else machine.device_memory_gb * 1e9
    if share.plan.metric.embeds:
        place = "in memory, or of a set above 2.1 GB in a file in TMPDIR"
        compared = f"; {share.where_compared(devices, limit)}" if limit else ""
        lines.append(
            f"{share.plan.metric.short} embeddings: {in_bytes(share.embeddings())} at once, {place}{compared}"
        )

    need = max(stage.memory for stage in stages)
    if limit is None:
        lines.append(f"memory: {in_bytes(need)} on a device; {first.device_kind} does not tell what it has")
    else:
        advice = "lower train.members_per_step, raise train.data_parallel"
        fits = "it fits" if need <= limit else f"it does NOT fit: {advice}"
        lines.append(f"memory: {in_bytes(need)} of the {in_bytes(limit)} on a device: {fits}")

    speed, source = machine.flops_per_second, "given"
    hosts = machine.hosts or 1
    a_host = " a host" if hosts > 1 else ""
    assumed, of_what = assumed_share(share.plan)
    if speed is None and first.device_kind in PEAK_FLOPS:
        speed = assumed * PEAK_FLOPS[first.device_kind]
        source = f"assumed: {assumed:.0%} of the bfloat16 peak of {first.device_kind}"
    if speed is None:
        lines.append("time: say the flops_per_second of one device; benchmarks/unet_step.py measures it")
        lines += device_table(stages, devices, hosts, assumed)
        lines.append(f"assumed: {assumed:.0%} of the bfloat16 peak, what an H200 reaches on {of_what}")
    else:
        hours = [stage.flops / speed / 3600 for stage in stages]
        wall = sum(own / stage.balance / devices for own, stage in zip(hours, stages, strict=True))
        lines.append(
            f"time: {_hours(sum(hours))} device-hours{a_host} at {speed:.3g} FLOP/s a device ({source}); "
            f"{_hours(wall)} h on {on_devices(devices, hosts)}"
        )
    if machine.deadline_hours is not None and share.costs:
        waited = [stage.flops / stage.balance for stage in stages]  # with what idle places could have done
        images = share.settings.train.num_steps * sum(m.batch_size for m in share.members)
        seconds = 3600 * machine.deadline_hours * waited[0] / sum(waited)  # training's share of the time
        lines.append(
            f"a deadline of {machine.deadline_hours:g} h asks for {images / seconds:,.0f} training images/s on all "
            f"devices together, {sum(waited) / (3600 * machine.deadline_hours) / devices:.2e} FLOP/s on each"
        )
    return lines


def device_table(stages: list[Stage], devices: int, hosts: int, assumed: float) -> list[str]:
    """What the stages would take on common devices."""
    total = sum(stage.flops for stage in stages)
    waited = sum(stage.flops / stage.balance for stage in stages)
    rows = []
    for kind in COMMON_DEVICES:
        speed = assumed * PEAK_FLOPS[kind]
        hours, wall = total / speed / 3600, waited / speed / 3600 / devices
        rows.append((kind, f"{speed:.2g}", _hours(hours), _hours(wall)))
    on, a_host = on_devices(devices, hosts), " a host" if hosts > 1 else ""
    header = ("device", "FLOP/s assumed", f"device-hours{a_host}", f"hours on {on}")
    return [runs.table(header, rows)]


def assumed_share(plan: TransitionPlan) -> tuple[float, str]:
    """The share of a device's bfloat16 peak that a training step is taken to reach, and whose that was."""
    model = plan.settings.model
    widths = [width or getattr(model, "width", 0) for width in plan.widths]
    if isinstance(model, UNetSettings) and max(widths) <= NARROW:
        return NARROW_SHARE, f"Fashion-MNIST's U-Net of width {NARROW}"
    return ASSUMED_SHARE[getattr(model, "dtype", "float32")], "the paper's CIFAR10 U-Net"


def on_devices(devices: int, hosts: int) -> str:
    """The devices that a time is told for: those of all hosts, which share the members.

    Args:
      devices: of one host.
    """
    if hosts == 1:
        return _count(devices, "device")
    return f"{hosts * devices} devices, {devices} on each of {hosts} hosts"


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def in_bytes(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
