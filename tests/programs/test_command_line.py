import pathlib

import pytest

from memgen_jax.errors import InputError
from memgen_jax.programs import command_line, launcher

CONFIG = """
from ml_collections import ConfigDict

def get_config(variant=""):
    if variant not in ("", "small"):
        raise ValueError(f"there is no variant {variant!r}.")
    config = ConfigDict({"seed": 0, "sizes": (1, 2), "on": True})
    config.train = ConfigDict({"num_steps": 10, "rate": 0.5})
    config.sampler = ConfigDict({"num_steps": 20})
    if variant:
        config.train.num_steps = 1
    return config
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.py").write_text(CONFIG)
    return tmp_path / "own.py"


def program(**more):
    return launcher.Program("trial", lambda *_: None, **more)


def read(file, *argv, variant="", **more):
    own = [f"--config={file}{variant}", "--workdir=w"]
    own = [word for word in own if not any(given.startswith(word.partition("=")[0] + "=") for given in argv)]
    return command_line.read_command_line(program(**more), [*own, *argv], "memgen trial")


def test_settings_are_taken_from_the_file_the_variant_and_the_line(file):
    line = read(file, "--config.seed=3", "--config.sizes=(4,5,6)", "--noconfig.on", variant=":small")
    assert line.config.to_dict() == {
        "seed": 3,
        "sizes": (4, 5, 6),
        "on": False,
        "train": {"num_steps": 1, "rate": 0.5},
        "sampler": {"num_steps": 20},
    }
    assert line.config.is_locked
    assert line.workdir == "w" and line.invocation.given == {"seed", "sizes", "on"}


def test_the_line_is_kept_as_one_would_type_it_again(file):
    line = read(file, "--config.sizes=(4, 5)")
    assert line.invocation.command == f"memgen trial --config={file} --workdir=w '--config.sizes=(4, 5)'"


def test_values_may_be_words_of_their_own_and_lines_may_lie_in_a_file(file):
    (file.parent / "flags").write_text(f"--config\n{file}\n--config.train.num_steps\n7\n")
    line = command_line.read_command_line(program(), [f"--flagfile={file.parent}/flags", "--workdir=w"])
    assert line.config.train.num_steps == 7


def test_a_file_of_flags_gives_each_once_and_the_line_may_give_it_again(file):
    (file.parent / "flags").write_text(f"--config={file}\n--config.seed=1\n")
    (file.parent / "twice").write_text(f"--config={file}\n--config.seed=1\n--config.seed=2\n")
    argv = [f"--flagfile={file.parent}/flags", "--workdir=w", "--config.seed=3"]
    assert command_line.read_command_line(program(), argv).config.seed == 3
    for given in ([f"--flagfile={file.parent}/twice"], ["--flagfile", f"{file.parent}/twice"]):
        with pytest.raises(InputError, match=r"--config\.seed is given twice in .*twice: give it once"):
            command_line.read_command_line(program(), [*given, "--workdir=w"])


def test_two_command_lines_know_nothing_of_each_other(file):
    read(file, "--config.seed=3")
    assert read(file).config.seed == 0


def test_a_config_is_named_or_a_path():
    root = pathlib.Path(__file__).parents[2]
    by_name, by_path = (
        command_line.load_config(f"{n}:smoke") for n in ("digits", root / "configs/digits.py")
    )
    assert by_name.to_dict() == by_path.to_dict()


@pytest.mark.parametrize(
    "argv,sentence",
    [
        (
            "--config.sed=3",
            "the config has no field 'sed' (did you mean 'seed'?); see `memgen configs show`.",
        ),
        ("--config.train.rat=3", "the config has no field 'train.rat' (did you mean 'rate'?)"),
        ("--config.seed.x=3", "the config has no field 'seed.x'"),
        ("--config.seed=x", "--config.seed=x must be a whole number."),
        ("--config.seed=1.5", "--config.seed=1.5 must be a whole number."),
        ("--config.train.rate=fast", "--config.train.rate=fast must be a number."),
        ("--config.on=7", "--config.on=7 must be true or false."),
        ("--config.train=7", "--config.train is a group of settings: name one of them"),
        ("--config=nope.py", "cannot read the config file of --config=nope.py"),
        ("--config=nope", "there is no config 'nope'"),
        ("--config={file}:large", "there is no variant 'large'."),
        ("--wrkdir=x", "there is no flag --wrkdir (did you mean --workdir?); see --help."),
        ("--dry_run", "there is no flag --dry_run; see --help."),
        ("--processes=auto", "there is no flag --processes; see --help."),
        ("x", "unexpected argument 'x'"),
        ("--config.seed=1 --config.seed=2", "--config.seed is given twice: give it once."),
        ("--config.seed 1 --config.seed=2", "--config.seed is given twice"),
        ("--config.on=True --noconfig.on", "--config.on is given twice"),
        ("--workdir=v --workdir=w", "--workdir is given twice"),
        ("--config=digits --config=circle", "--config is given twice"),
        ("--workdir=", "no --workdir given"),
    ],
)
def test_a_mistake_is_told_by_the_flag(argv, sentence, file):
    with pytest.raises(InputError) as raised:
        read(file, *argv.format(file=file).split())
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_a_config_file_that_does_not_work_is_named_with_what_it_raised(file):
    file.write_text("import no_such_module")
    with pytest.raises(InputError, match=r"own.py does not work \(ModuleNotFoundError: No module named"):
        read(file)


@pytest.mark.parametrize(
    "error,words",
    [
        (InputError.setting("train.rate", 0.5, "below 0.1"), "--config.train.rate=0.5 must be below 0.1."),
        # A function knows its argument alone: the one setting of that name and value is meant.
        (InputError.setting("rate", 0.5, "below 0.1"), "--config.train.rate=0.5 must be below 0.1."),
        (InputError.setting("num_steps", 20, "below 9"), "--config.sampler.num_steps=20 must be below 9."),
        (InputError.setting("num_steps", 30, "below 9"), "num_steps=30 must be below 9."),
        (InputError.setting("workdir", "w", "a folder"), "--workdir='w' must be a folder."),
        (InputError("two images are missing."), "two images are missing."),
        # What a sentence names outright is found by its name.
        (InputError("seed=-1 is no seed."), "--config.seed=-1 is no seed."),
        (
            InputError(
                "train.rate=9 needs train.num_steps above 1, as seed; see a/train.rate, 'train.rate'."
            ),
            "--config.train.rate=9 needs --config.train.num_steps above 1, as seed; see a/train.rate, 'train.rate'.",
        ),
    ],
)
def test_what_the_library_says_of_a_setting_is_told_by_its_flag(error, words, file):
    assert command_line.sentence(error, read(file).config) == words


def test_help_is_one_screen_of_our_own_flags():
    whole = program(summary="What it does.", dry_run=lambda *_: None, before_joining=lambda config: None)
    said = command_line.usage(whole, "memgen trial").splitlines()
    assert len(said) <= 24 and max(map(len, said)) <= 80
    flags = {line.split()[0].partition("=")[0].strip("-") for line in said if line.startswith("  --")}
    assert flags == {*command_line.OWN_FLAGS, "config.NAME", "help"}
