import dataclasses
import json
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

import memgen_jax
from memgen_jax import audit, cli
from memgen_jax.errors import InputError
from memgen_jax.programs import configs, launcher


@pytest.fixture
def sets(tmp_path, monkeypatch):
    monkeypatch.setattr(audit.writing.audit_page, "render", lambda **_: "")
    images = np.random.default_rng(0).integers(0, 256, (40, 5, 5, 1), dtype=np.uint8)
    np.savez(tmp_path / "train.npz", images=images[:20])
    np.savez(tmp_path / "samples.npz", images=np.concatenate([images[20:], images[:5]]))
    argv = [f"--{name}={tmp_path / name}.npz" for name in ("train", "samples")]
    return ["audit", *argv, f"--out={tmp_path / 'out'}", "--delta-m=1", "--delta-s=1"]


@pytest.mark.parametrize(("limit", "code"), [("0.2", 0), ("0.19", 1), (None, 0)])
def test_the_exit_code_tells_whether_more_than_the_limit_are_copies(sets, limit, code, capsys):
    assert cli.main(sets + ([f"--fail-above={limit}"] if limit else [])) == code  # 5 of 25 are copies
    assert "20.0% ±" in capsys.readouterr().out


@pytest.mark.parametrize(
    "settings",
    [
        audit.AuditSettings(train="a", samples="b c", out="o", delta_m=0.5, delta_s=1e-3, skip_bad=True),
        audit.AuditSettings(
            train=("a", "it's"), samples="b", out="o", holdout=("h", "i"), false_positive_rate=0.05, value_range="-1,1",
            top=3, memory=2.5, save_pairs=True, up_to="flip,shift=2", size=32, channels=1, layout="nchw", batch=8,
        ),
        audit.AuditSettings(distances="d", out="o", thresholds="mnist", fail_above=0.1, ratio=1 / 3),
    ],
)  # fmt: skip
def test_the_command_on_the_page_of_an_audit_asks_for_the_same_audit(settings):
    program, *argv = shlex.split(settings.command)
    asked = vars(cli.parser().parse_args(argv))
    assert program == "memgen" and asked.pop("command") == "audit"
    single = {name: value[0] for name, value in asked.items() if isinstance(value, list) and len(value) == 1}
    several = {
        name: tuple(value) for name, value in asked.items() if isinstance(value, list) and len(value) > 1
    }
    assert audit.AuditSettings(**asked | single | several) == settings


def code_of(argv):
    try:
        return cli.main(argv)
    except SystemExit as stopped:  # as argparse and the launcher leave
        return stopped.code


@pytest.mark.parametrize(
    "argv",
    [
        ["audit"],
        ["audit", "--train=a"],
        ["audit", "--metric=l1"],
        ["compare"],
        ["compare", "a", "--out="],
        ["fly"],
        ["--fly"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_told_in_one_line(argv, capsys):
    assert code_of(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_the_library_says_of_a_setting_is_told_by_its_flag(capsys):
    assert cli.main(["compare", "a", "b", "--out="]) == 2
    assert capsys.readouterr().err == "memgen compare: --out='' must be a folder.\n"
    error = InputError.setting("false_positive_rate", 1.0, "below 1")
    assert error.named(cli.flag_of) == "--fpr=1.0 must be below 1."
    assert InputError.setting("beta", 0.0, "positive").named(cli.flag_of) == "beta=0.0 must be positive."


def test_a_command_that_is_nearly_one_is_proposed(capsys):
    assert cli.main(["transitoin"]) == 2
    assert "there is no command 'transitoin' (did you mean transition?)" in capsys.readouterr().err


def test_an_audit_prints_its_summary_alone_for_pipelines(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (120, 6, 6, 1), dtype=np.uint8)
    np.savez(tmp_path / "train.npz", images=images[:80])
    np.savez(tmp_path / "samples.npz", images=images[60:])
    paths = [f"--{name}={tmp_path / f'{name}.npz'}" for name in ("train", "samples")]
    argv = ["audit", *paths, f"--out={tmp_path / 'out'}", "--delta-m=0.5", "--delta-s=0.5", "--json"]
    assert cli.main(argv) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["memorized"] == pytest.approx(20 / 60)
    assert "are copies" in said.err


@pytest.mark.parametrize("argv", [["audit", "--help"], ["--help"], []])
def test_help_fits_one_screen_and_needs_no_heavy_import(argv):
    program = f"""
import sys
from memgen_jax import cli
try:
    cli.main({argv})
finally:
    heavy = {{"jax", "flax", "matplotlib", "sklearn", "torch", "tensorflow"}} & set(sys.modules)
    print(heavy or "light")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    assert last == "light"
    assert len(lines) <= (48 if "audit" in argv else 24) and max(map(len, lines)) <= 80


def test_help_names_every_command(capsys):
    cli.main(["--help"])
    said = capsys.readouterr().out
    named = set(re.findall(r"^  ([a-z][a-z-]*)  ", said, re.MULTILINE))
    assert named == {"demo", *cli.PROGRAMS, *cli.COMMANDS} == {"demo", *configs.PROGRAMS, *cli.COMMANDS}


def test_the_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"memgen_jax {memgen_jax.__version__}\n"


@pytest.mark.parametrize(
    "argv,started",
    [
        (["circle", "--config=circle"], ("circle", ["--config=circle"])),
        (["demo"], ("transition", ["--config=digits", "--workdir=runs/digits"])),
        (["demo", "--workdir", "d"], ("transition", ["--config=digits", "--workdir", "d"])),
        (["demo", "--workdir=d"], ("transition", ["--config=digits", "--workdir=d"])),
    ],
)
def test_a_program_is_started_with_the_rest_of_the_line(argv, started, monkeypatch):
    def start(name, rest, command):
        assert command == f"memgen {name}"
        raise SystemExit((name, rest))

    monkeypatch.setattr(launcher, "start", start)
    assert code_of(argv) == started


def test_an_interrupted_audit_ends_with_130_and_a_defect_with_3(sets, monkeypatch, capsys):
    def ends_with(error):
        def run(*_, **__):
            raise error

        monkeypatch.setattr(audit, "run", run)
        return cli.main(sets)

    assert ends_with(KeyboardInterrupt()) == 130
    capsys.readouterr()
    assert ends_with(ZeroDivisionError("division by zero")) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "(ZeroDivisionError: division by zero)" in said
    file = re.search(r"traceback in (\S+)\.\n", said)[1]
    assert "ZeroDivisionError" in pathlib.Path(file).read_text()
    pathlib.Path(file).unlink()


def test_help_names_every_flag_and_every_default(capsys):
    with pytest.raises(SystemExit):
        cli.main(["audit", "--help"])
    said = capsys.readouterr().out
    (commands,) = (action for action in cli.parser()._actions if action.dest == "command")
    flags = set(commands.choices["audit"]._option_string_actions) - {"-h", "--help"}
    assert set(re.findall(r"--[a-z-]+", said)) == flags
    defaults = {field.name: field.default for field in dataclasses.fields(audit.AuditSettings)}
    assert f"LPIPS batch ({defaults['batch']})" in said
    assert f"copies ({defaults['false_positive_rate']})" in said


def test_every_setting_of_an_audit_is_a_flag():
    given = vars(cli.parser().parse_args(["audit", "--train=a", "--samples=b", "--out=c"]))
    assert given == {"command": "audit", "train": ["a"], "samples": ["b"], "out": "c"}
    argv = "--holdout=h --metric=l2 --thresholds=mnist --delta-m=1 --delta-s=2 --fpr=.05 --ratio=.3 "
    argv += "--fail-above=.1 --size=8 --channels=1 --range=0,1 --skip-bad --data-dir=d --batch=3 "
    argv += (
        "--up-to=flip --distances=f --top=2 --save-pairs --skip-duplicates-check --memory=1 --layout=nchw "
    )
    argv += "--encoder=e.onnx"
    given = vars(cli.parser().parse_args(["audit", "--train=a", "--samples=b", "--out=c", *argv.split()]))
    assert given.keys() - {"command"} == {field.name for field in dataclasses.fields(audit.AuditSettings)}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--samples=s.npz", "--seed=3"], "--seed is about a model; give --pipeline PATH with it"),
        (["--samples=s.npz", "--guidance=3"], "--guidance is about a model"),
        (["--pipeline=absent"], "--num-samples 0: say how many"),
        (["--pipeline=absent", "--num-samples=1"], "--num-samples 1: say how many"),
        (["--pipeline=absent", "--num-samples=4"], "absent is no pipeline folder"),
    ],
)
def test_flags_of_a_pipeline_that_do_not_fit_are_told_before_anything_is_read(flags, sentence, capsys):
    assert cli.main(["audit", "--train=absent.npz", "--out=never", *flags]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_samples_and_a_pipeline_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["audit", "--train=a", "--out=c", "--samples=b", "--pipeline=d"])
    assert stopped.value.code == 2 and "not allowed with" in capsys.readouterr().err


def test_weights_are_fetched_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEMGEN_CACHE", str(tmp_path))
    (tmp_path / "other.tar.gz").write_bytes(b"")
    assert cli.main(["fetch-weights", "--from", str(tmp_path / "other.tar.gz")]) == 2
    assert capsys.readouterr().err.startswith("memgen fetch-weights: cannot read")
