"""`--dry_run` of the transition: what a run would cost, stage by stage, before anything starts."""

import math
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict

from experiments import door
from experiments.transition_settings import Plan, Run, Settings, parse_shard
from memgen_jax import sweep
from memgen_jax.data import paper_grid
from memgen_jax.errors import InputError
from memgen_jax.sweep import cost

_FLOPS = flags.DEFINE_float(
    "flops_per_second",
    None,
    "Dry run: operations a second that one device really does (see benchmarks/unet_step.py).",
)
_DEVICES = flags.DEFINE_integer(
    "devices", None, "Dry run: count with so many devices instead of the visible ones."
)
_MEMORY = flags.DEFINE_float(
    "device_memory_gb", None, "Dry run: memory of one device, where JAX does not tell it."
)
_DEADLINE = flags.DEFINE_float(
    "deadline_hours", None, "Dry run: say how many images a second a deadline asks for."
)

# Where nothing was measured: a share of peak that U-Nets of the paper's widths reach or exceed in bfloat16.
ASSUMED_SHARE = 0.3
# LPIPS embeddings by side, as `neighbors.embedding_size` gives them once the weights are there.
EMBEDDING_SIZE = {28: 5_760, 32: 5_760, 64: 31_872}


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


def dry_run(config: ConfigDict) -> None:
    """Prints the costs; the data are read only where `expect` does not say their shape."""
    plan = make_plan(config)
    print(describe(plan))
    stages = count(plan, count_devices(plan))
    rows = [
        (s.name, s.work, f"{s.flops:.2e}", in_bytes(s.disk), in_bytes(s.memory), f"{s.balance:.0%}")
        for s in stages
    ]
    print(door.table(("stage", "work", "FLOPs", "disk", "memory/device", "balance"), rows))
    print(*verdict(plan, stages), sep="\n")


def make_plan(config: ConfigDict) -> Plan:
    settings = door.settings(Settings, config)
    known = settings.expect
    if "num_train" not in known or "item_shape" not in known:
        return Run(config)
    plan = Plan(
        settings,
        total=known["num_train"],
        item_shape=tuple(known["item_shape"]),
        is_image=True,
        name=settings.data["name"],
    )
    if settings.grid == "auto":
        searched = [m.num_train for m in plan.members]
        plan.use_sizes((*searched, *paper_grid(*settings.grid_ends, plan.total)))
    return plan


def count_devices(plan: Plan) -> int:
    """Devices that share this process's members."""
    if _DEVICES.value is not None:
        if _DEVICES.value < 1:
            raise InputError(f"--devices={_DEVICES.value} must be at least 1.")
        return _DEVICES.value
    return sweep.member_mesh(data_parallel=plan.settings.train.data_parallel).size


def costs_of(plan: Plan) -> dict[int | None, sweep.ModelCost]:
    """Width -> the cost of one member of that width; empty for the exact score."""
    train = plan.settings.train
    return {
        width: sweep.model_cost(model, plan.process, train, plan.item_shape, plan.is_image)
        for width, model in plan.models.items()
        if model is not None
    }


def describe(plan: Plan) -> str:
    sizes = [member.num_train for member in plan.members]
    lines = [
        f"{plan.name}: {plan.total:,} items of shape {'×'.join(map(str, plan.item_shape))}",
        f"members: {len(sizes):,} = {len(set(sizes))} sizes K ({min(sizes):,} to {max(sizes):,}) "
        f"× {len(set(plan.settings.seeds))} seeds × {len(plan.widths)} widths",
    ]
    for width, found in costs_of(plan).items():
        name = "network" if width is None else f"network of width {width}"
        lines.append(
            f"{name}: {found.parameters:,} parameters; {found.train_flops:.3e} FLOPs a training step of "
            f"{plan.settings.train.batch_size // plan.settings.train.data_parallel} items, "
            f"{found.forward_flops:.3e} a forward pass of one"
        )
    return "\n".join(lines)


def count(plan: Plan, devices: int) -> list[Stage]:
    """The stages' costs for this process's share of the members, on so many devices."""
    s, costs = plan.settings, costs_of(plan)
    members = sweep.take_shard(plan.members, *parse_shard(s.shard))
    controls = sweep.take_shard(plan.controls, *parse_shard(s.shard))
    item = math.prod(plan.item_shape)
    data_bytes = plan.total * item * (1 if plan.is_image else 4)
    stages = []

    if costs:
        places = devices // s.train.data_parallel * s.train.members_per_step
        steps = len(members) * s.train.num_steps
        early = max(0, s.train.num_snapshots - 1)
        train_memory, flops, disk, balance = 0.0, 0.0, 0.0, 1.0
        for width, found in costs.items():
            own = [m for m in members if m.width == width]
            share = s.train.batch_size // s.train.data_parallel
            memory = found.train_bytes(share, s.train.members_per_step) + data_bytes
            train_memory = max(train_memory, memory)
            flops += len(own) * s.train.num_steps * found.train_flops * s.train.data_parallel
            disk += len(own) * (2 * found.state_bytes + early * 4 * found.parameters)
            balance = min(balance, cost.busy_share(len(own), places))
        stages.append(Stage("train", f"{steps:,} model-steps", flops, disk, train_memory, balance))

    chunk = s.sampler.chunk_size
    sizes = {m: s.sampler.size(m.num_train) for m in members}
    snapshot = {m: min(size, s.sampler.snapshot_at_most) for m, size in sizes.items()}
    early = max(0, s.train.num_snapshots - 1) if costs else 0
    samples = sum(sizes.values()) + early * sum(snapshot.values())
    chunks = sum(-(-size // chunk) for size in sizes.values())
    chunks += early * sum(-(-size // chunk) for size in snapshot.values())
    forward = {m: costs[m.width].forward_flops if costs else 4.0 * item * m.num_train for m in members}
    drawn = sum((sizes[m] + early * snapshot[m]) * forward[m] for m in members)
    largest = max((found.parameters * 4 for found in costs.values()), default=4 * plan.total * item)
    activations = max((found.activation_bytes for found in costs.values()), default=8 * plan.total)
    stages.append(
        Stage(
            "sample",
            f"{samples:,} samples of {s.sampler.num_steps} steps",
            drawn * s.sampler.num_steps,
            samples * item * (1 if plan.is_image else 4),
            largest + chunk * (activations / 4 + 12 * item),
            samples / (max(1, -(-chunks // devices)) * devices * chunk),
        )
    )
    per_control = s.control.num_samples
    controls_flops = sum(4.0 * item * m.num_train * per_control * s.sampler.num_steps for m in controls)
    if controls:
        stages.append(
            Stage(
                "control",
                f"{len(controls) * per_control:,} samples of the exact score",
                controls_flops,
                len(controls) * per_control * item,
                4.0 * plan.total * (item + chunk),
                1.0,
            )
        )
    width = EMBEDDING_SIZE.get(min(plan.item_shape[:2]), 16 * item) if plan.metric.name == "lpips" else item
    pairs = sum(size * (m.num_train + size) for m, size in sizes.items())
    pairs += early * sum(size * (m.num_train + size) for m, size in snapshot.items())
    pairs += sum(per_control * (m.num_train + per_control) for m in controls)
    stages.append(Stage("neighbours", f"{pairs:,} pairs", 2.0 * pairs * width, 16.0 * samples, 2**28, 1.0))
    return stages


def verdict(plan: Plan, stages: list[Stage]) -> list[str]:
    """What the counts mean on the devices at hand: memory, time, a deadline."""
    import jax

    devices = count_devices(plan)
    first = jax.local_devices()[0]
    limit = (first.memory_stats() or {}).get("bytes_limit") if _MEMORY.value is None else _MEMORY.value * 1e9
    need = max(stage.memory for stage in stages)
    lines = [f"disk in all: {in_bytes(sum(stage.disk for stage in stages))}"]
    if limit:
        fits = (
            "fits"
            if need <= limit
            else "does NOT fit: lower train.members_per_step or raise train.data_parallel;"
        )
        lines.append(
            f"memory: {in_bytes(need)} of {in_bytes(limit)} on each device at most: {fits}".rstrip(";")
        )
    else:
        lines.append(
            f"memory: {in_bytes(need)} on each device at most ({first.device_kind} does not tell what it has)"
        )

    speed, source = _FLOPS.value, "given"
    if speed is None and first.device_kind in cost.PEAK_FLOPS:
        speed = ASSUMED_SHARE * cost.PEAK_FLOPS[first.device_kind]
        source = f"assumed: {ASSUMED_SHARE:.0%} of the peak of {first.device_kind}"
    if speed:
        busy = [stage.flops / speed / 3600 for stage in stages]
        wall = sum(hours / stage.balance / devices for hours, stage in zip(busy, stages, strict=True))
        lines.append(
            f"time: {sum(busy):,.1f} device-hours at {speed:.3g} FLOP/s a device ({source}); "
            f"{wall:,.1f} h on {devices} devices"
        )
    else:
        lines.append("time: give --flops_per_second of one device, as benchmarks/unet_step.py measures it")
    train = next((stage for stage in stages if stage.name == "train"), None)
    if _DEADLINE.value and train:
        items = plan.settings.train.num_steps * sum(
            m.batch_size for m in sweep.take_shard(plan.members, *parse_shard(plan.settings.shard))
        )
        share = train.flops / sum(stage.flops for stage in stages)
        seconds = 3600 * _DEADLINE.value * share
        lines.append(
            f"deadline of {_DEADLINE.value:g} h: {items / seconds:,.0f} training images/s in all, "
            f"{sum(stage.flops for stage in stages) / (3600 * _DEADLINE.value) / devices:.2e} FLOP/s a device"
        )
    return lines


def in_bytes(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
