"""From copying to creating: one model per training-set size K, and what its samples are.

  config -> members -> training -> synthetic sets -> nearest neighbours -> labels -> fractions -> report

Beside the labels of single samples stands the onset paper's Δ of whole densities (`transition_densities`).
Each arrow is a stage that writes its own files in the workdir and is skipped where they are whole, so the
same command continues an interrupted run and ends with the same results. With `--processes`, or as an array of
jobs with `--config.shard=i/n`, each process does the stages of its own members; the last two are done by one.
"""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import ConfigDict

import memgen_jax
from memgen_jax import neighbors, runs, sweep
from memgen_jax.data import paper_grid
from memgen_jax.errors import InputError
from memgen_jax.programs import columns, launcher
from memgen_jax.programs.launcher import FROM_PYTHON, Invocation
from memgen_jax.programs.precision import ABSENT, products
from memgen_jax.programs.settings import flat, plain, settings_from
from memgen_jax.programs.transition import (
    chosen,
    copying,
    cost,
    denoising,
    densities,
    estimates,
    growth,
    halves,
    report,
    sentences,
    steps,
    tables,
    thresholds,
)
from memgen_jax.programs.transition.settings import TransitionRun, TransitionSettings, parse_shard
from memgen_jax.sweep import grid

# Settings that say where and how a run is done, not what it is.
FREE_SETTINGS = ("shard", "data.data_dir", "denoising_steps", "choose")
# Settings of the labels alone: with others the same samples are labelled and reported anew.
LABEL_SETTINGS = tuple(
    f"phases.{name}"
    for name in ("rule", "table", "delta_m", "delta_s", "false_positive_rate", "num_bootstrap")
)
# Settings that decide how much memory is needed, and of the result the rounding only.
MEMORY_SETTINGS = ("train.members_per_step", "train.data_parallel", "sampler.chunk_size")
# Settings of what is told of the samples beside their labels.
REPORT_SETTINGS = ("onset_items",)
OUTCOME = ("report.html", "fractions.csv", "transition.json")
DRAWN = ".drawn.json"  # of what the tables, figures and the page were made


def main(config: ConfigDict, workdir_path: str, invocation: Invocation = FROM_PYTHON) -> None:
    refuse_idle_sizes(config, invocation)
    before = growth.look(workdir_path)
    choice = chosen.choose(config, invocation.given, before)
    config = choice.config
    run = TransitionRun(config, before, choice.dataset)
    make_mesh = functools.partial(sweep.member_mesh, data_parallel=run.settings.train.data_parallel)
    workdir = runs.Workdir(
        workdir_path,
        plain(run.settings),
        free=FREE_SETTINGS,
        changeable=(*LABEL_SETTINGS, *MEMORY_SETTINGS, *REPORT_SETTINGS),
        growing=growth.GROWING,
        absent=ABSENT,
        shard=run.shard,
        before_creating=make_mesh,  # refuses devices that the data axis does not divide
        command=invocation.command,
    )
    with products(run.settings.matmul_precision), workdir:
        if runs.index_and_count()[0] == 0:
            take_changes(run, workdir)
        runs.require_shared_folder(workdir.path)
        if run.before and (stays := growth.sentence(run.settings, settings_from(TransitionSettings, config))):
            print(stays, flush=True)
        if said := chosen.sentence(choice):
            print(said, flush=True)
        if is_finished(run, workdir):
            report.print_outcome(workdir)
            print(f"This run is finished: {workdir_path}/report.html.")
            return
        work(run, workdir, make_mesh())


def work(run: TransitionRun, workdir: runs.Workdir, mesh) -> None:
    """The stages, in a folder that is this run's; those that are whole are skipped."""
    workdir.write_environment()
    if run.dataset.note:
        print(f"Data: {sentences.dataset_phrase(run.dataset)}.", flush=True)
    if devices := runs.devices_phrase():
        print(f"Devices: {devices}.", flush=True)

    if not make_sets(run, workdir, mesh):
        return
    if run.settings.grid == "auto":
        refine_grid(run, workdir)
        if not make_sets(run, workdir, mesh):
            return
    if runs.index_and_count()[0] > 0:
        print("This process is done; process 0 writes the report.")
        return
    with runs.stage("classify and report", 1, "report"):
        tables.classify(run, workdir)
        copying.tabulate(run, workdir, estimates.tabulate(run, workdir))
        denoising.tabulate(run, workdir)
        halves.tabulate(run, workdir)
        steps.tabulate(run, workdir)
        densities.tabulate(run, workdir)
        report.report(run, workdir)
        columns.write(workdir.path)
        workdir.write_json(DRAWN, state_of(run))
    report.print_outcome(workdir)
    print(f"Figures and the page: {workdir.path}/figures, {workdir.path}/report.html.")


def refuse_shard(config: ConfigDict) -> None:
    """Refuses, beside what no settings may be, a part of a run that `--processes` is to divide itself."""
    settings = settings_from(TransitionSettings, config)
    if parse_shard(settings.shard) != (0, 1):
        raise InputError(
            f"shard={settings.shard} beside processes: processes share the members among themselves; give one "
            "of the two."
        )


def refuse_idle_sizes(config: ConfigDict, invocation: Invocation) -> None:
    """Refuses sizes K that were typed and would not count, because the grid says the sizes."""
    if config.get("grid") not in (None, "given") and "num_train" in invocation.given:
        raise InputError(
            f"num_train={config.num_train} counts where grid is 'given', and it is {config.grid!r}: set grid to "
            "the sizes, as in grid=(2,500,1000), or to given besides."
        )


def dry_run(config: ConfigDict, invocation: Invocation) -> None:
    refuse_idle_sizes(config, invocation)
    choice = chosen.choose(config, invocation.given)
    if said := chosen.sentence(choice):
        print(said)
    cost.dry_run(choice.config, invocation.machine, choice.dataset)


def state_of(run: TransitionRun) -> dict[str, Any]:
    """All that tables, figures and the page depend on."""
    told = {
        name: value for name, value, _ in flat(run.settings) if name not in (*FREE_SETTINGS, *MEMORY_SETTINGS)
    }
    sets = {member.name: run.num_samples(member) for member in (*run.members, *run.snapshots(run.members))}
    return json.loads(json.dumps({"version": memgen_jax.__version__, "settings": told, "sets": sets}))


def is_finished(run: TransitionRun, workdir: runs.Workdir) -> bool:
    """Whether all that is written at the end is there, and was made of what is there now."""
    if not all((workdir / name).exists() for name in (*OUTCOME, DRAWN)):
        return False
    if run.settings.grid == "auto" and (workdir / "grid.json").exists():
        use_refined_grid(run, workdir)
    return json.loads((workdir / DRAWN).read_text()) == state_of(run)


def take_changes(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Undoes, before anything is done, what follows from settings that have changed since the last run."""
    if not workdir.changed:
        return
    if run.before and run.trains:
        growth.require_steps_can_follow(run.settings, run.before)
    if "train.num_steps" in workdir.changed and run.before:
        if run.twins:
            raise InputError(
                "a run with halves=True cannot take more train.num_steps: choose another folder."
            )
        if workdir.shard != (0, 1) and runs.index_and_count()[1] == 1:
            raise InputError(
                "parts of a run cannot take more train.num_steps each: start it whole, or as processes of one run."
            )
        growth.set_earlier_steps_aside(workdir, run.before)
    changed = set(workdir.changed)
    consequences = {
        "samples are labelled and reported anew": changed & {*LABEL_SETTINGS, *REPORT_SETTINGS},
        "only what is missing is computed": changed & {*growth.GROWING},
        "rounding may change single labels": changed & {*MEMORY_SETTINGS},
    }
    consequence = "; ".join(words for words, names in consequences.items() if names)
    print(f"Settings changed: {runs.name_changes(workdir.changed)}; {consequence}.", flush=True)
    if workdir.shard == (0, 1) and changed - {*MEMORY_SETTINGS}:
        for name in OUTCOME:
            (workdir / name).unlink(missing_ok=True)
    workdir.append_json_line("metrics.jsonl", {"stage": "settings", "changed": workdir.changed})
    workdir.adopt_config()


def make_sets(run: TransitionRun, workdir: runs.Workdir, mesh) -> bool:
    """The stages of this process's members; False where other shards' members are still to be done.

    Processes that were started together wait for each other here.
    """
    workdir.write_csv("members.csv", [member_row(member) for member in run.members])
    neighbors.release()  # what an earlier search left on the devices: training needs their memory
    train_and_sample(run, workdir, mesh)
    synthesize_controls(run, workdir, mesh)
    find_neighbors(run, workdir)
    everyone = (*run.members, *run.twins, *run.controls, *run.snapshots(run.members))
    files = [workdir / f"neighbors/{member.name}.npz" for member in everyone]
    if runs.index_and_count()[1] > 1:
        with runs.stage("wait for the other processes", len(files), "sets") as stage:
            runs.wait_for(files, lambda missing: stage.reach(len(files) - missing))
    waiting = sum(not file.exists() for file in files)
    if waiting:
        then = "run without shard to merge"
        if run.settings.grid == "auto" and not (workdir / "grid.json").exists():
            then = (
                "run all shards again, for the grid that the search proposes, and then without shard to merge"
            )
        print(f"This shard is done; {waiting} sets of other shards are not. When all are, {then}.")
    return not waiting


def member_row(member: sweep.Member) -> dict[str, Any]:
    """A row of members.csv; `width` is blank where it has no part in the member's random keys."""
    row = {name: getattr(member, name) for name in ("num_train", "seed", "width", "batch_size", "name")}
    return row if member.key_width is None else row | {"width": None}


def refine_grid(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Adds to the coarse search the paper's grid around the A and B that the search proposes."""
    file = workdir / "grid.json"
    if not file.exists():
        rows = tables.fraction_rows(run, workdir, thresholds.first_rule(run, workdir))
        shown = tables.of_width(rows, tables.shown_width(run))
        sizes, memorized = [row["num_train"] for row in shown], [row["memorized"] for row in shown]
        a, b = grid.propose_ends(sizes, memorized, run.total)
        workdir.write_json("grid.json", {"a": a, "b": b, "searched": sizes, "memorized": memorized})
    found = use_refined_grid(run, workdir)
    print(f"The coarse search proposes A = {found['a']:,} and B = {found['b']:,}.")


def use_refined_grid(run: TransitionRun, workdir: runs.Workdir) -> dict[str, Any]:
    """Takes the sizes of the search and of the grid around its A and B; returns what the search found."""
    found = json.loads((workdir / "grid.json").read_text())
    run.use_sizes((*found["searched"], *paper_grid(found["a"], found["b"], run.total)))
    return found


def train_and_sample(run: TransitionRun, workdir: runs.Workdir, mesh) -> None:
    """Stages 1 and 2 and what the networks know of single items, or the reading of samples made elsewhere.

    A member whose last checkpoint turns out to be damaged is trained on from the one before.
    """
    if run.own_sets:
        with runs.stage("read the samples", len(run.own_members), "sets") as stage:
            return run.own_sets.copy(run.own_members, workdir, stage)
    repaired = set()
    losses = denoising.Losses(run, workdir)
    while True:
        if run.trains:
            train(run, workdir, mesh, losses.watch())
        try:
            synthesize(run, workdir, mesh)
            return losses.measure()
        except sweep.DamagedCheckpoint as damaged:
            if damaged.folder in repaired:
                raise
            repaired.add(damaged.folder)
            print(f"A damaged checkpoint was set aside as {sweep.set_aside(damaged)}; training continues.")


def train(run: TransitionRun, workdir: runs.Workdir, mesh, watch: sweep.Watch | None) -> None:
    """Stage 1: checkpoints/<member>/<step> for every member, one compiled program a width."""
    members = (*run.own_members, *run.own_twins)
    total = len(members) * run.settings.train.num_steps
    with runs.stage("train", total, "model-steps", workdir) as stage:
        for width, model in run.models.items():
            assert model is not None
            sweep.train_members(
                of_width(members, width),
                run.train,
                model=model,
                process=run.process,
                settings=run.settings.train,
                mesh=mesh,
                folder=workdir / "checkpoints",
                progress=stage,
                start_from=functools.partial(run.start_from.params, model=model) if run.start_from else None,
                watch=watch,
            )


def of_width(members: Sequence[sweep.Member], width: int | None) -> tuple[sweep.Member, ...]:
    return tuple(member for member in members if member.width == width)


def synthesize(run: TransitionRun, workdir: runs.Workdir, mesh) -> None:
    """Stage 2: samples/<member>.npz, and samples/<member>,step=<step>.npz of the earlier steps kept."""
    sets = (*run.own_members, *run.own_twins, *run.snapshots(run.own_members))
    with runs.stage("sample", sum(map(run.num_samples, sets)), "samples", workdir) as stage:
        for width in run.widths:
            source = run.source(width, workdir.path)
            draw_sets(run, workdir, mesh, of_width(sets, width), run.num_samples, source, stage)


def num_samples(run: TransitionRun, member: sweep.Member) -> int:
    """Size of the synthetic set of a member, or of a control."""
    return run.settings.control.num_samples if member in run.controls else run.num_samples(member)


def synthesize_controls(run: TransitionRun, workdir: runs.Workdir, mesh) -> None:
    """The same sampler with the exact score in place of a network: samples/exact,<member>.npz."""
    if not run.own_controls:
        return
    size = run.settings.control.num_samples
    with runs.stage("sample the exact score", size * len(run.own_controls), "samples", workdir) as stage:
        draw_sets(run, workdir, mesh, run.own_controls, lambda _: size, run.exact_source(), stage)


def draw_sets(
    run: TransitionRun,
    workdir: runs.Workdir,
    mesh,
    members: Sequence[sweep.Member],
    size: Callable[[sweep.Member], int],
    source: sweep.Source,
    stage: runs.Stage,
) -> None:
    """Draws the synthetic sets of `members`, of `size(member)` samples each."""
    sweep.synthesize(members, size, source, run.sampler, mesh=mesh, workdir=workdir, progress=stage)


def find_neighbors(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Stage 3: neighbors/<member>.npz, exact nearest items in S and in S' (itself excluded)."""
    members = (*run.own_members, *run.own_twins, *run.own_controls, *run.snapshots(run.own_members))
    needed = ("train_distance", "train_index", "synthetic_distance", "synthetic_index")
    with runs.stage("find neighbours", len(members), "sets") as stage:
        for member in members:
            name = f"neighbors/{member.name}.npz"
            known = workdir.read_npz(name, *needed)
            if known is None or len(known["train_distance"]) != num_samples(run, member):
                samples = run.metric.vectors(tables.load_samples(workdir, member))
                in_train = run.metric.search(samples, run.comparable_train_of(member))
                among = run.metric.search(samples, samples, exclude_self=True)
                found = (in_train.distance, in_train.index, among.distance, among.index)
                workdir.write_npz(name, **{k: v[:, 0] for k, v in zip(needed, found, strict=True)})
            stage.advance(1)


PROGRAM = launcher.Program(
    "transition",
    main,
    settings=TransitionSettings,
    summary="Trains one model per training-set size K, samples each, and finds the sizes at which the samples turn "
    "from copies into inventions.",
    dry_run=dry_run,
    before_joining=refuse_shard,
    lower="train.members_per_step (in training) or sampler.chunk_size (in sampling), which may be changed "
    "between runs in one workdir, or model.width in another",
)
