"""Every public function of every room, given in place of each argument what is plainly wrong there."""

import collections.abc
import enum
import importlib
import inspect
import re
import types
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

import memgen_jax
from memgen_jax import diffusion, onset, phases, statistics, training
from memgen_jax.errors import InputError

WRONG = {
    "None": None,
    "text": "x",
    "dict": {"a": 1},
    "ragged": [[1.0], [1.0, 2.0]],
    "strings": ["a", "b"],
    "empty": [],
    "five dimensions": np.ones((1, 2, 1, 2, 1)),
    "object": object(),
    "complex": 1j,
    "complex array": np.ones(3, complex),
    "NaN": float("nan"),
    "negative": -1,
    "half": 0.5,
    "bools": np.ones(3, bool),
    "function": lambda: None,
}


def public() -> dict[str, typing.Callable]:
    """Room.name -> function, of all that take arguments; of the report, whose rooms are files, those of each file."""
    found = {}
    for room in memgen_jax._ROOMS:
        module = importlib.import_module(f"memgen_jax.{room}")
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            inner = (
                {f"{name}.{own}": one for own, one in vars(value).items() if one_of(value, own, one)}
                if inspect.ismodule(value)
                else {name: value}
            )
            for called, function in inner.items():
                if inspect.isroutine(function) or hasattr(function, "lower"):
                    found[f"{room}.{called}"] = function
    return {name: function for name, function in found.items() if inspect.signature(function).parameters}


def one_of(module, name, value):
    return not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__


FUNCTIONS = public()

# Public classes that are not made by hand, or are another library's kind.
GIVEN = {
    "audit.Distances": "what a comparison gives",
    "audit.Result": "what an audit gives",
    "audit.SetsResult": "what `audit_sets` gives",
    "bridges.Folder": "what a pipeline's folder gives",
    "bridges.Pipeline": "what `load` gives",
    "data.Dataset": "what the functions that read data give",
    "onset.Comparison": "what `compare` gives",
    "models.MLP": "a module of Flax, which `mlp` makes",
    "models.UNet": "a module of Flax, which `unet` makes",
    "models.Params": "any parameters",
    "phases.Fractions": "what `fractions` gives",
    "phases.Thresholds": "what the rules give",
    "phases.Valley": "what `valley` gives",
    "sweep.Member": "what `make_members` gives",
    "sweep.ModelCost": "what `model_cost` gives",
}


def public_classes() -> dict[str, type]:
    """Room.name -> class that a user makes: neither tuples of results nor errors, names of values and bases alone."""
    found = {}
    for room in memgen_jax._ROOMS:
        module = importlib.import_module(f"memgen_jax.{room}")
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if inspect.isclass(value) and not (
                issubclass(value, tuple | Exception | enum.Enum)
                or inspect.isabstract(value)
                or getattr(value, "_is_protocol", False)
            ):
                found[f"{room}.{name}"] = value
    return found


CLASSES = {name: made for name, made in public_classes().items() if name not in GIVEN}


class _Rows:
    """One K of a table."""

    num_train, width, step, memorized, spurious, generalized = 4, 8, 2, 0.5, 0.2, 0.3
    memorized_low = spurious_low = generalized_low = 0.1
    memorized_high = spurious_high = generalized_high = 0.6
    sample_distance, held_out_distance = 0.2, 0.3


PROCESS = diffusion.DDPM(num_steps=10)
SHARE = statistics.Share(0.5, 0.01, 10)
SHARES = phases.PhaseShares(SHARE, SHARE, SHARE)
SIZES = {"dim": 2, "height": 28, "width": 28, "channel": 1, "*item": (2,), "*same_item": (2,), "...": (2,)}


def drawn(part):
    from memgen_jax.report import style

    figure = style.new_figure()
    return {"Figure": figure, "Axes": (axes := figure.add_subplot()), "Axis": axes.xaxis}[part]


def page():
    from memgen_jax.report import page, transition_page

    picture = page.Picture("data:,", "a")
    told = dict.fromkeys(("title", "dataset", "answer", "metric", "threshold_rule"), "a")
    return transition_page.TransitionPage(
        **told, delta_m=0.1, delta_s=0.1, rows=[_Rows()], transition=picture
    )


def member():
    return memgen_jax.sweep.make_members([4], total=8, batch_size=2)[0]


def settings():
    return memgen_jax.sweep.SweepTrainSettings(num_steps=2, batch_size=2)


def target():
    from memgen_jax.report.example_figures import Target

    image = np.zeros((4, 4, 1))
    return Target(image, image[None], DISTANCE[:1], image[None], DISTANCE[:1])


def pipeline():
    folder = memgen_jax.bridges.Folder(epath.Path("none"), "DDPMPipeline", "DDPMScheduler", {}, {}, {})
    still = {"unet": lambda params, x, t, context: x, "decoder": lambda params, x: x, "embed": None}
    return memgen_jax.bridges.Pipeline(
        folder, {"unet": {}, "decoder": {}}, PROCESS, "noise", (1, 4, 4), **still
    )


def picture():
    return np.zeros((1, 28, 28, 1), np.float32)


def panel(kind):
    from memgen_jax.report import histogram_figures, phase_diagram_figures, transition_figures

    rows = [_Rows(), _Rows()]
    return {
        "HistogramPanel": lambda: histogram_figures.HistogramPanel(4, DISTANCE, DISTANCE, 0.1, 0.1),
        "PhaseDiagramLine": lambda: phase_diagram_figures.PhaseDiagramLine(rows),
        "TransitionPanel": lambda: transition_figures.TransitionPanel(rows),
    }[kind]()


DISTANCE = np.array([0.5, 1.0, 1.5])
EVIDENCE = types.SimpleNamespace(
    of_samples=lambda: (DISTANCE, DISTANCE), of_real=lambda: (DISTANCE, DISTANCE)
)

# What no annotation tells, by the name of the class, or of the argument, or of the function and the argument.
MADE = {
    "Process": lambda: PROCESS,
    "Model": lambda: memgen_jax.mlp((2,), width=4, num_blocks=1, num_features=4),
    "Module": lambda: memgen_jax.models.MLP(width=4, num_blocks=1, num_features=4),
    "Gaussian": lambda: onset.isotropic(jnp.zeros(2), 1.0),
    "LinearDenoiser": lambda: onset.LinearDenoiser(jnp.zeros(2), jnp.eye(2), jnp.zeros(2), jnp.float32(1.0)),
    "LinearModel": lambda: onset.LinearModel(dim=2, num_original=4),
    "LogOverlaps": lambda: onset.LogOverlaps(*jnp.zeros((4, 3))),
    "Fall": lambda: onset.Fall(4.0, 2.0, 8.0, False),
    "Multistep": lambda: diffusion.Multistep(jnp.zeros(2), jnp.zeros(2), jnp.float32(0)),
    "Attractor": lambda: memgen_jax.memory.Attractor(jnp.zeros((3, 2)), jnp.ones(3, bool), jnp.ones((3, 2))),
    "Interval": lambda: statistics.Interval(1.0, 0.5, 1.5),
    "PhaseShares": lambda: SHARES,
    "Share": lambda: SHARE,
    "Fractions": lambda: phases.fractions([0, 1, 2], 4, 0.1, 0.1),
    "Rule": lambda: phases.Rule("given", 0.1, 0.1),
    "Evidence": lambda: EVIDENCE,
    "TrainSettings": lambda: training.TrainSettings(2, 2),
    "SweepTrainSettings": settings,
    "Member": member,
    "Mesh": lambda: memgen_jax.sweep.member_mesh(),
    "Device": lambda: jax.devices()[0],
    "Dataset": lambda: memgen_jax.data.circle(8, 4),
    "Items": lambda: memgen_jax.data.Items(np.zeros((3, 4, 4, 1), np.uint8), ["a", "b", "c"]),
    "Metric": lambda: memgen_jax.metrics.Pixels(False),
    "Figure": lambda: drawn("Figure"),
    "Axes": lambda: drawn("Axes"),
    "Axis": lambda: drawn("Axis"),
    "Target": target,
    "HistogramPanel": lambda: panel("HistogramPanel"),
    "PhaseDiagramLine": lambda: panel("PhaseDiagramLine"),
    "TransitionPanel": lambda: panel("TransitionPanel"),
    "TransitionPage": page,
    "rows": lambda: [_Rows(), _Rows()],
    "place": lambda: jnp.ones(2),
    "item_shape": lambda: (32, 32, 1),
    "data.gaussian_pixels.num_train": lambda: 4,
    "data.gaussian_pixels.num_held_out": lambda: 4,
    "data.gaussian_pixels.item_shape": lambda: (2, 2, 1),
    "data.circle.num_train": lambda: 4,
    "data.circle.num_held_out": lambda: 4,
    "report.page.picture.source": lambda: drawn("Figure"),
    "report.example_figures.examples.num_train": lambda: {"memorized": 4},
    "simulations": lambda: range(2),
    "resamples": lambda: 10,
    "window": lambda: (2.0, 8.0),
    "first_step": lambda: 0,
    "labels": lambda: [0, 1, 2],
    "prediction": lambda: "noise",
    "folder": lambda: "runs",
    "audit.audit_arrays.settings": lambda: None,
    "AuditSettings": lambda: memgen_jax.audit.AuditSettings(train="t", samples="s", out="o"),
    "audit.audit_sets.sets": lambda: {2: np.eye(3)},
    "audit.audit_sets.train": lambda: np.eye(3),
    "audit.run_part.part": lambda: (0, 2),
    "neighbors.taken.rows": lambda: slice(0, 2),
    "metrics.embed_picture.weights": dict,
    "metrics.lpips_distance.first": picture,
    "metrics.lpips_distance.second": picture,
    "metrics.lpips_embedding.images": picture,
    "phases.grouped_shares.labels": lambda: np.array([0, 1, 2]),
    "phases.grouped_shares.nearest_index": lambda: np.array([1, 2, 0]),
    "sweep.model_cost.model": lambda: memgen_jax.mlp((2,), width=4, num_blocks=1, num_features=4),
    "phases.valley.distance": lambda: np.linspace(0.5, 1.5, 20),
    "phases.find_valleys.train_distance": lambda: np.linspace(0.5, 1.5, 20),
    "phases.find_valleys.synthetic_distance": lambda: np.linspace(0.5, 1.5, 20),
    "statistics.chance_of_neighbor.neighbors": lambda: np.array([0, 1, 1]),
    "Pipeline": pipeline,
    "bridges.process_of.name": lambda: "DDPMScheduler",
    "bridges.clip_limit.name": lambda: "DDPMScheduler",
    "bridges.own_step.name": lambda: "DDPMScheduler",
    "config": lambda: {"num_train_timesteps": 10},
    "bridges.to_pictures.latents": lambda: np.zeros((2, 1, 4, 4), np.float32),
    "bridges.sample_latents.contexts": lambda: None,
    "data.of_arrays.given": lambda: [np.zeros((3, 4, 4), np.uint8)],
    "data.paper_grid.b": lambda: 4,
    "data.paper_grid.total": lambda: 8,
    "data.span_at_hand.values": lambda: np.zeros((3, 4, 4), np.float32),
    "data.set_aside.dataset": lambda: memgen_jax.data.circle(8, 0),
    "data.beside.item_shape": lambda: (4, 4, 1),
    "unread": lambda: {"a": 1},
    "spans": lambda: {"a": (0.0, 1.0)},
    "diffusion.make_step.name": lambda: "ddim",
    "diffusion.sample.step": lambda: diffusion.ddim_step,
    "diffusion.advance.step": lambda: diffusion.ddim_step,
    "diffusion.begin.step": lambda: diffusion.ddim_step,
    "diffusion.sample.denoiser": lambda: lambda x, t: x,
    "geometry.columns_within.memory_budget": lambda: 1 << 20,
    "metrics.check_picture_shape.height": lambda: 28,
    "metrics.check_picture_shape.width": lambda: 28,
    "metrics.check_picture_shape.channels": lambda: 1,
    "metrics.make_metric.name": lambda: "l2",
    "metrics.metric_code.name": lambda: "l2",
    "metrics.parse_orbit.text": lambda: "flip",
    "metrics.least_search.items": lambda: np.ones((3, 2), np.float32),
    "metrics.least_search.queries": lambda: np.ones((3, 2), np.float32),
    "metrics.least_search.references": lambda: np.ones((3, 2), np.float32),
    "dim": lambda: 4,
    "onset.compare.synthetic": lambda: np.eye(3, 2),
    "onset.compare.held_out": lambda: np.eye(3, 2),
    "sizes": lambda: (2, 2, 2),
    "num_simulations": lambda: 2,
    "onset.critical_size.num_train": lambda: [2, 4, 8],
    "onset.kernel_width.name": lambda: "silverman",
    "onset.simulate.num_train": lambda: (2,),
    "phases.critical_from_shares.num_train": lambda: [2, 4, 8],
    "phases.critical_sizes.num_train": lambda: [2, 4, 8],
    "phases.critical_sizes.labels": lambda: [[0], [1], [2]],
    "phases.paper.name": lambda: "mnist",
    "phases.paper.metric": lambda: "l2",
    "phases.held_out.false_positive_rate": lambda: 0.5,
    "phases.held_out_rate.false_positive_rate": lambda: 0.5,
    "report.page.render.template": lambda: "base.html",
    "report.schema.load.name": lambda: "summary",
    "report.schema.identifier.name": lambda: "summary",
    "report.style.column.name": lambda: "num_train",
    "report.transition_figures.training_curves.num_train": lambda: np.array([2, 4, 8]),
    "report.transition_figures.training_curves.step": lambda: np.array([1, 2, 3]),
    "runs.join.processes": lambda: "",
    "runs.table.header": lambda: ["a"],
    "runs.table.rows": lambda: [["1"], ["2"]],
    "runs.name_changes.changes": lambda: {"a": (1, 2)},
    "runs.wait_for.files": lambda: [],
    "runs.require_shared_folder.seconds": lambda: 0.1,
    "statistics.expected_coverage.num_unseen": lambda: 20,
    "statistics.density_and_coverage.num_samples": lambda: 20,
    "statistics.density_and_coverage.size": lambda: 10,
    "sweep.take_shard.index": lambda: 0,
    "sweep.model_cost.item_shape": lambda: (2,),
    "sweep.model_cost.is_image": lambda: False,
    "sweep.set_aside.damaged": lambda: memgen_jax.sweep.DamagedCheckpoint(epath.Path("none")),
    "sweep.train_members.members": lambda: [],
    "sweep.synthesize.members": lambda: [],
    "sweep.synthesize.workdir": lambda: memgen_jax.runs.Workdir("run", {}),
    "Workdir": lambda: None,
    "Source": lambda: memgen_jax.sweep.exact_source(np.ones((3, 2), np.float32), PROCESS),
    "Sampler": lambda: memgen_jax.sweep.Sampler(PROCESS, diffusion.ddim_step, 2, (2,), False),
}


def parts_of(hint):
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def array_of(hint):
    shape = []
    for size in hint.dim_str.split():
        size = size.partition("=")[2] or size
        number = int(size) if size.isdecimal() else SIZES.get(size, 2 if size.startswith(("*", "...")) else 3)
        shape += number if isinstance(number, tuple) else () if size.startswith("*") else (number,)
    told = " ".join(hint.dtypes) if isinstance(hint.dtypes, list | tuple) else "float"
    if "prng_key" in told:
        return jax.random.key(0)
    total = int(np.prod(shape))
    values = np.linspace(0.5, 1.5, total) if "float" in told else np.arange(total) % 3
    dtype = (
        np.float32
        if "float" in told
        else bool
        if "bool" in told
        else np.uint8
        if "uint8" in told
        else np.int32
    )
    array = values.astype(dtype).reshape(shape)
    return jnp.asarray(array) if hint.array_type is jax.Array else array


def right(function, name, hint):
    """What will do for an argument."""
    called = getattr(hint, "__name__", str(hint).rpartition(".")[2])
    for known in (f"{function}.{name}", called, name):
        if known in MADE:
            return MADE[known]()
    if isinstance(hint, str):
        return right(function, name, type(hint.rpartition(".")[2], (), {}))
    part, origin = parts_of(hint)[0], typing.get_origin(hint)
    if part is not hint:
        return right(function, name, part)
    if isinstance(hint, typing.TypeVar):
        return np.zeros((3, 4, 4, 1), np.uint8)
    if origin is typing.Annotated:
        return right(function, name, typing.get_args(hint)[0])
    if hasattr(hint, "array_type"):
        return array_of(hint)
    if hint in (np.ndarray, jax.Array):
        return np.linspace(0.5, 1.5, 3, dtype=np.float32) if hint is np.ndarray else jnp.float32(1.0)
    if hint in (int, float, bool, str, bytes):
        return {int: 2, float: 0.5, bool: False, str: "given", bytes: b"x"}[hint]
    inner = [one for one in typing.get_args(hint) if one is not ...]
    if origin is collections.abc.Callable:
        return lambda *given, **named: given[0] if given else None
    if origin in (collections.abc.Sequence, collections.abc.Iterable, list):
        return [right(function, name, inner[0])] * 3
    if origin is tuple:
        return tuple(right(function, name, one) for one in inner)
    if origin in (collections.abc.Mapping, dict):
        return {"a": right(function, name, inner[1])}
    return None


def arguments_of(called, function):
    """Right values for what has no default, and for what would make it slow."""
    return {
        name: right(called, name, parameter.annotation)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (parameter.default is parameter.empty or name in MADE or f"{called}.{name}" in MADE)
    }


def asked_of(function):
    """What `takes_arrays` stands on: a function, or what makes one of a class."""
    return function.__init__ if inspect.isclass(function) else function


NEEDS_VALUES = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)


def what_it_raises(function, arguments):
    """What a call raises, traced alone where that is possible, so that nothing is compiled."""
    try:
        asked_of(function).asked().read((), arguments)  # what `takes_arrays` does first
        try:
            jax.eval_shape(lambda: (function(**arguments), None)[1])
        except (*NEEDS_VALUES, jax.errors.UnexpectedTracerError):
            function(**arguments)
        except ValueError as error:
            if "compiler_options" not in str(error):
                raise
            function(**arguments)
    except Exception as error:
        return error
    return None


def what_reading_raises(function, arguments):
    try:
        asked_of(function).asked().read((), arguments)
    except Exception as error:
        return error
    return None


# What is handed on as it came from us: nobody makes it up, and only the function that made it knows what is in it.
OPAQUE = {
    "diffusion.advance.place": "what `begin` or an earlier stretch of the same step gave",
    "metrics.embed_picture.weights": "what `load_weights` gave",
}
OF_A_KIND = ("None", "dict", "object", "complex", "function")


def is_one_sentence(error, name, what):
    """A refusal in one line; of a thing of another kind with the argument's name, of a value with that or the value."""
    named = what not in OF_A_KIND or re.search(rf"\b{re.escape(name)}\b", str(error))
    return isinstance(error, InputError) and "\n" not in str(error) and bool(named)


def wrong_for(hint):
    """What is wrong there: None not where it may be, a function not where another is wanted."""
    parts = parts_of(hint)
    for what, value in WRONG.items():
        right = (what == "None" and type(None) in parts) or (
            what == "function" and any(typing.get_origin(part) is collections.abc.Callable for part in parts)
        )
        if not right:
            yield what, value


def complaints(called, what_is_raised):
    """What comes out of wrong arguments and is neither a result nor a refusal in one sentence."""
    function, told = (FUNCTIONS | CLASSES)[called], []
    arguments = arguments_of(called, function)
    for name, parameter in inspect.signature(function).parameters.items():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if several or f"{called}.{name}" in OPAQUE:
            continue
        for what, value in wrong_for(parameter.annotation):
            error = what_is_raised(function, arguments | {name: value})
            if error is not None and not is_one_sentence(error, name, what):
                told.append(f"{name}={what}: {type(error).__name__}: {' '.join(str(error).split())[:150]}")
    return told


def test_every_public_function_reads_its_arguments():
    assert len(FUNCTIONS) > 200
    assert [called for called, function in FUNCTIONS.items() if not hasattr(function, "asked")] == []


def test_every_public_class_reads_what_it_is_made_of():
    assert not set(GIVEN) - set(public_classes())
    assert [called for called, made in CLASSES.items() if "asked" not in vars(made.__init__)] == []


@pytest.mark.parametrize("called", CLASSES)
def test_a_class_refuses_what_is_of_another_kind_in_one_sentence(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complaints(called, what_reading_raises) == []


@pytest.mark.parametrize("room", sorted({called.partition(".")[0] for called in FUNCTIONS}))
def test_what_is_of_another_kind_is_refused_in_one_sentence(room, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = [called for called in FUNCTIONS if called.startswith(f"{room}.")]
    assert {called: told for called in own if (told := complaints(called, what_reading_raises))} == {}


# Where nothing is traced or drawn.
AT_ONCE = ("phases.", "statistics.", "runs.", "data.")


@pytest.mark.parametrize(
    "called",
    [
        called if called.startswith(AT_ONCE) else pytest.param(called, marks=pytest.mark.slow)
        for called in FUNCTIONS
    ],
)
def test_what_is_wrong_is_refused_in_one_sentence_or_answered(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complaints(called, what_it_raises) == []
