"""The linear denoiser: simulations -> onset.csv and readings.csv -> figures -> report.html (Onset 2024, section 3).

simulations/…npz   what blocks of simulations measured, one file each
onset.csv          H², E_TG, E_OG and P(Δ > 0) under the chosen reading, one row for each d and n
readings.csv       the same columns for every reading of kernel width and covariance
onset.json         floors of H², the n at which P(Δ > 0) crosses one half (critical_num_train) and between which it
                   rises from 5% to 95% (window), where E_OG and H² begin to fall (fall), and which of the paper's
                   scenarios that is (scenario)
"""

import dataclasses
import json
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from memgen_jax import onset, runs
from memgen_jax.data import room
from memgen_jax.errors import FIELD, InputError, require_at_least, require_each_once, whole_numbers
from memgen_jax.programs.launcher import FROM_PYTHON, Invocation
from memgen_jax.programs.onset import pages
from memgen_jax.programs.precision import ABSENT, require_precision
from memgen_jax.programs.settings import plain, settings_from

BLOCK = 8  # simulations in one file and in memory at once, on each device


@dataclasses.dataclass(frozen=True)
class LinearOnsetSettings:
    """One run.

    Attributes:
      model: "linear".
      dims: the dimensions d.
      num_train: the sizes n, for every d.
      num_train_large: further sizes for the first d alone, up to N and beyond (Fig. 3, right).
      num_original: N.
      num_simulations: independent repetitions; the original set is drawn anew in each.
      kernel_width, covariance: the reading of onset.csv, see `onset.kernel_width`, `onset.generated`.
      nested: see `onset.LinearModel`, as for the following four.
      readings_num_train: the sizes of readings.csv; none to leave it out.
      beside: workdirs of finished transition runs, drawn on the same axis in figures/claim.
      matmul_precision: as of a network; the model's own products are float64, which CPUs and GPUs take as they are.
    """

    model: str
    dims: tuple
    num_train: tuple
    num_train_large: tuple = ()
    num_original: int = 10_000
    num_simulations: int = 200
    kernel_width: str = "silverman"
    covariance: str = "derived"
    nested: bool = False
    mean: float = 10.0
    sigma: float = 1.0
    final_time: float = 2.0
    noise_scale: float = math.exp(-4)
    seed: int = 0
    readings_num_train: tuple = ()
    beside: tuple = ()
    matmul_precision: str = "default"

    def __post_init__(self) -> None:
        require_at_least("", self, num_simulations=1)
        require_precision(self.matmul_precision)
        for name in ("dims", "num_train", "num_train_large", "readings_num_train"):
            object.__setattr__(self, name, whole_numbers(name, getattr(self, name)))
            require_each_once(name, getattr(self, name))
        if not self.dims or len(set(self.dims)) != len(self.dims):
            raise InputError(f"dims={self.dims} must name at least one dimension, each once.")
        if not self.num_train:
            raise InputError("num_train is empty; give at least one size of at least 2.")
        for dim in self.dims:
            for size in self.sizes(dim) + tuple(self.readings_num_train):
                self.linear_model(dim).check_num_train(size)

    def sizes(self, dim: int) -> tuple[int, ...]:
        """The sizes n of one dimension, ascending."""
        large = self.num_train_large if dim == self.dims[0] else ()
        return tuple(sorted({*self.num_train, *large}))

    def linear_model(self, dim: int, *, all_readings: bool = False) -> onset.LinearModel:
        """The model of one dimension, under the chosen reading or under all of them."""
        return onset.LinearModel(
            dim=dim,
            num_original=self.num_original,
            mean=self.mean,
            sigma=self.sigma,
            final_time=self.final_time,
            noise_scale=self.noise_scale,
            nested=self.nested,
            kernel_widths=onset.KERNEL_WIDTHS if all_readings else (self.kernel_width,),
            covariances=onset.COVARIANCES if all_readings else (self.covariance,),
            seed=self.seed,
        )


SETTINGS = LinearOnsetSettings


def main(config: ConfigDict, workdir_path: str, invocation: Invocation = FROM_PYTHON) -> None:
    settings = settings_from(LinearOnsetSettings, config)
    require_memory(settings, room.free_memory())
    workdir = runs.Workdir(
        workdir_path,
        plain(settings),
        absent=ABSENT,
        command=invocation.command,
        free=("num_simulations", "beside"),
    )
    workdir.write_environment()
    beside_rows(settings.beside)  # what cannot be read is said before hours of simulations
    beyond = sorted(size for size in settings.num_train if size > settings.num_original)
    if beyond:
        print(
            f"num_train={', '.join(map(str, beyond))} lies beyond num_original={settings.num_original}: there the "
            "training set is larger than the original one that it is compared with."
        )
    measured = {dim: simulate(settings, workdir, dim) for dim in settings.dims}
    readings = {}
    if settings.readings_num_train:
        readings = {dim: simulate(settings, workdir, dim, all_readings=True) for dim in settings.dims}
    with runs.stage("tables and figures", 1, "set"):
        rows = [row for dim, outcomes in measured.items() for row in table(settings, dim, outcomes)]
        compared = [
            row
            for dim, outcomes in readings.items()
            for row in table(settings, dim, outcomes, all_readings=True)
        ]
        workdir.write_csv("onset.csv", rows)
        if compared:
            workdir.write_csv("readings.csv", compared)
        summary = summarize(settings, measured)
        workdir.write_json("onset.json", summary)
        draw(settings, workdir, rows, compared, summary)
    print_outcome(rows, summary)
    print(
        f"Table, figures and the page: {workdir / 'onset.csv'}, {workdir / 'figures'}, {workdir / 'report.html'}."
    )
    workdir.close()  # a thread of the pool may hold it, and its lock, a little longer


def require_memory(settings: LinearOnsetSettings, free: int) -> None:
    """Refuses sizes of which the points alone, of simulations that are computed together, take more than `free` bytes.

    Every simulation draws N and twice n points of d float64 numbers, which are held twice while they are stacked.
    """
    for dim in settings.dims:
        sizes = settings.sizes(dim) + tuple(settings.readings_num_train)
        needed = 2 * BLOCK * 8 * dim * (settings.num_original + 2 * max(sizes))
        if needed > free:
            raise InputError(
                f"{FIELD[0]}={max(sizes)} at d = {dim} and num_original={settings.num_original} takes {needed:,} bytes "
                f"for the points of {BLOCK} simulations, and this machine has {free:,} free: give smaller sizes.",
                "num_train",
            )


def simulate(
    settings: LinearOnsetSettings, workdir: runs.Workdir, dim: int, *, all_readings: bool = False
) -> dict[int, onset.Outcome]:
    """Stage 1 and 2: simulations/*.npz, a block at a time on every device; what is there is kept.

    Returns:
      size -> outcome of all simulations.
    """
    model = settings.linear_model(dim, all_readings=all_readings)
    kind = "readings" if all_readings else "chosen"
    sizes = tuple(sorted(set(settings.readings_num_train))) if all_readings else settings.sizes(dim)
    # The last block is computed whole: then more simulations can be added later.
    firsts = range(0, settings.num_simulations, BLOCK)

    def one_block(task: tuple[int, jax.Device]) -> onset.Outcome:
        first, device = task
        name = f"simulations/{kind},dim={dim:04d},first={first:06d}.npz"
        found = workdir.read_npz(name, *onset.Outcome._fields)
        if found is None:
            with jax.default_device(device):
                outcomes = onset.simulate(model, sizes, range(first, first + BLOCK), together=BLOCK)
            stacked = [np.stack(arrays) for arrays in zip(*outcomes.values(), strict=True)]
            found = dict(zip(onset.Outcome._fields, stacked, strict=True))
            workdir.write_npz(name, **found)
        stage.advance(BLOCK)
        return onset.Outcome(**{field: found[field] for field in onset.Outcome._fields})

    devices = jax.local_devices()[:8]
    tasks = [(first, devices[i % len(devices)]) for i, first in enumerate(firsts)]
    title = f"simulate d = {dim}, {'every reading' if all_readings else 'chosen reading'}"
    with runs.stage(title, len(firsts) * BLOCK, "simulations") as stage:
        pool = ThreadPoolExecutor(len(devices))
        try:
            blocks = list(pool.map(one_block, tasks))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # an interrupt does not wait for the rest
    joined = jax.tree.map(lambda *a: np.concatenate(a, 1)[:, : settings.num_simulations], *blocks)
    return {size: jax.tree.map(lambda array: array[i], joined) for i, size in enumerate(sizes)}


def table(
    settings: LinearOnsetSettings, dim: int, outcomes: dict[int, onset.Outcome], *, all_readings: bool = False
) -> list[dict[str, Any]]:
    """Rows of onset.csv: one for each n and reading."""
    model = settings.linear_model(dim, all_readings=all_readings)
    rows = []
    for size, outcome in outcomes.items():
        for c, covariance in enumerate(model.covariances):
            for w, kernel_width in enumerate(model.kernel_widths):
                probability, low, high = onset.probability_positive(np.asarray(outcome.log_ratio[:, c, w]))
                row: dict[str, Any] = {
                    "dim": dim,
                    "num_train": size,
                    "num_simulations": settings.num_simulations,
                }
                row |= mean_and_error("hellinger2", outcome.squared_hellinger[:, c])
                row |= mean_and_error("log10_e_tg", outcome.log_e_tg[:, c, w] / math.log(10))
                row |= mean_and_error("log10_e_og", outcome.log_e_og[:, c, w] / math.log(10))
                row |= {
                    "p_delta_positive": probability,
                    "p_delta_positive_low": low,
                    "p_delta_positive_high": high,
                    "kernel_width": kernel_width,
                    "covariance": covariance,
                    "nested": settings.nested,
                    "num_original": settings.num_original,
                    "data_mean": settings.mean,
                    "sigma": settings.sigma,
                    "final_time": settings.final_time,
                    "noise_scale": settings.noise_scale,
                    "seed": settings.seed,
                }
                rows.append(row)
    return rows


def mean_and_error(name: str, values: Any) -> dict[str, float | None]:
    """Mean over simulations and its standard error; blank where values diverge."""
    values = np.asarray(values)
    if not np.all(np.isfinite(values)):
        return {name: None, f"{name}_se": None}
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return {name: float(values.mean()), f"{name}_se": error}


def summarize(settings: LinearOnsetSettings, measured: dict[int, dict[int, onset.Outcome]]) -> dict[str, Any]:
    """onset.json: for each d the floor of H² and where P(Δ > 0) turns to one."""
    summary = {}
    for dim, outcomes in measured.items():
        # P falls again as n nears N: the onset is looked for below a tenth of it.
        sizes = [n for n in outcomes if 10 * n <= settings.num_original] or list(outcomes)
        signs = np.stack([outcomes[n].log_ratio[:, 0, 0] for n in sizes])
        errors = {
            "e_og": np.stack([outcomes[n].log_e_og[:, 0, 0] for n in sizes]),
            "hellinger2": np.log(np.stack([outcomes[n].squared_hellinger[:, 0] for n in sizes])),
        }
        at = np.array(sizes, np.float64)
        window = onset.turn_window(at, signs)
        falls = (
            {name: onset.onset_of_fall(at, error) for name, error in errors.items()} if len(sizes) > 1 else {}
        )
        summary[str(dim)] = {
            "hellinger2_floor": onset.hellinger_floor(
                dim, settings.final_time, settings.noise_scale, settings.sigma
            ),
            "critical_num_train": onset.critical_size(sizes, signs),
            "window": window,
            "fall": {name: fall._asdict() for name, fall in falls.items()},
            "scenario": {name: onset.scenario(fall, window) for name, fall in falls.items()},
        }
    return summary


def draw(
    settings: LinearOnsetSettings, workdir: runs.Workdir, rows, compared, summary: dict[str, Any]
) -> None:
    """figures/*.png and .pdf, and report.html."""
    from memgen_jax.report import claim_figures, onset_figures, style

    floors = {int(dim): found["hellinger2_floor"] for dim, found in summary.items()}
    figures = {
        "hellinger": onset_figures.hellinger(rows, floors),
        "probability": onset_figures.probability(rows, settings.num_original),
        "claim": claim_figures.claim([*claim_rows(summary), *beside_rows(settings.beside)]),
    }
    if any(row["log10_e_tg"] is not None for row in rows):
        figures["distances"] = onset_figures.distances(rows)
    if compared:
        figures["readings"] = onset_figures.readings(compared, (settings.kernel_width, settings.covariance))
    for name, figure in figures.items():
        style.save(figure, workdir / "figures" / name)
    reading = {name: getattr(settings, name) for name in ("num_original", "kernel_width", "covariance")}
    pages.write_linear(workdir, rows, summary, tuple(figures), reading)


def claim_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of `claim_figures.claim`, one for each d."""
    return [
        {
            "name": f"linear, d = {dim}",
            "critical": found["critical_num_train"],
            "landmarks": {},
            **{name: found[name] for name in ("window", "fall")},
        }
        for dim, found in summary.items()
    ]


def beside_rows(folders: Iterable[str]) -> list[dict[str, Any]]:
    """The same of finished transition runs, one for each view.

    Raises:
      InputError: a folder holds no transition.json with both papers' views.
    """
    from memgen_jax.report import claim_figures
    from memgen_jax.report.onset_figures import VIEW_NAMES

    rows = []
    for folder in folders:
        file = epath.Path(folder) / "transition.json"
        try:
            outcome = json.loads(file.read_text())
            views, critical = outcome["onset"], outcome["critical"]
            rows += [
                {
                    "name": f"{outcome['data']} ({file.parent.name}),\n{VIEW_NAMES[view]}",
                    "critical": found,
                    "window": found["window"],
                    "fall": {"e_og": found["fall"]},
                    "landmarks": {name: critical[name] for name in claim_figures.LANDMARKS},
                }
                for view, found in views.items()
            ]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"beside={folder!r}: {file} is not that of a finished transition run with unseen items ({error})."
            ) from None
    return rows


def print_outcome(rows: Iterable[dict[str, Any]], summary: dict[str, Any]) -> None:
    def cell(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    print(
        runs.table(
            ("d", "n", "H²", "log10 E_TG", "log10 E_OG", "P(Δ>0) (95%)"),
            (
                (
                    str(row["dim"]),
                    str(row["num_train"]),
                    cell(row["hellinger2"], 4),
                    cell(row["log10_e_tg"], 2),
                    cell(row["log10_e_og"], 2),
                    f"{row['p_delta_positive']:.3f} "
                    f"({row['p_delta_positive_low']:.3f}-{row['p_delta_positive_high']:.3f})",
                )
                for row in rows
            ),
        )
    )
    names = {"e_og": "E_OG", "hellinger2": "H²"}
    for dim, found in summary.items():
        critical = found["critical_num_train"]
        if critical["num_train"] is None:
            print(f"d = {dim}: P(Δ>0) does not cross one half among these sizes.")
        else:
            print(
                f"d = {dim}: P(Δ>0) crosses one half at n = {critical['num_train']:.1f} "
                f"({critical['low']:.1f}-{critical['high']:.1f})."
            )
        for name, fall in found["fall"].items():
            if fall["num_train"] is not None:
                which = found["scenario"][name]
                said = f": scenario {which}" if which else ""
                print(f"d = {dim}: {names[name]} begins to fall at n = {fall['num_train']:.1f}{said}.")
