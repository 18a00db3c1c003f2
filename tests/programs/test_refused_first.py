"""What cannot work is refused in one sentence before anything is written."""

import json

import pytest
from ml_collections import ConfigDict

from memgen_jax.errors import InputError
from memgen_jax.programs.circle.program import PROGRAM as CIRCLE
from memgen_jax.programs.command_line import read_command_line
from memgen_jax.programs.configs import program_of
from memgen_jax.programs.geometry.program import PROGRAM as GEOMETRY
from memgen_jax.programs.launcher import require_own_workdir
from memgen_jax.programs.onset.linear import LinearOnsetSettings
from memgen_jax.programs.onset.program import PROGRAM as ONSET
from memgen_jax.programs.settings import settings_from
from memgen_jax.programs.transition.program import PROGRAM as TRANSITION
from memgen_jax.programs.transition.settings import SamplerSettings, TransitionRun, TransitionSettings

SMALL = {
    "data": {"name": "digits"},
    "model": {"name": "mlp"},
    "train": {"num_steps": 1, "batch_size": 8},
    "phases": {},
}


@pytest.mark.parametrize("eta", [2.0, -0.1, float("nan")])
def test_an_eta_outside_0_and_1_is_no_sampler(eta):
    with pytest.raises(InputError, match=r"sampler\.eta=.* must be in 0\.\.1"):
        SamplerSettings(name="ddim", eta=eta)


@pytest.mark.parametrize(
    "given", [{"seeds": (0, 0)}, {"num_train": (2, 4, 2)}, {"widths": (8, 8)}, {"seeds": (1, 2, 1.0)}]
)
def test_a_list_that_names_a_value_twice_is_refused(given):
    (name,) = given
    with pytest.raises(InputError, match="is there twice") as caught:
        settings_from(TransitionSettings, ConfigDict(SMALL | given))
    assert caught.value.field == name


def test_a_size_of_the_linear_model_that_is_there_twice_is_refused():
    with pytest.raises(InputError, match="is there twice"):
        LinearOnsetSettings(model="linear", dims=(16,), num_train=(4, 4))


def test_two_point_nought_is_the_whole_number_two_and_a_half_is_none():
    settings = settings_from(TransitionSettings, ConfigDict(SMALL | {"num_train": (2.0, 16)}))
    assert settings.num_train == (2, 16) and all(type(size) is int for size in settings.num_train)
    with pytest.raises(InputError, match=r"num_train=2\.5 is not a whole number"):
        settings_from(TransitionSettings, ConfigDict(SMALL | {"num_train": (2.5,)}))


@pytest.mark.parametrize(("given", "number"), [("40.0", 40), ("2e1", 20), ("7", 7)])
def test_a_whole_number_may_be_written_as_any_number_on_the_command_line(given, number):
    line = read_command_line(
        TRANSITION, ["--config=digits:smoke", f"--config.train.num_steps={given}", "--workdir=w"]
    )
    assert line.config.train.num_steps == number
    with pytest.raises(InputError, match="must be a whole number"):
        read_command_line(
            TRANSITION, ["--config=digits:smoke", "--config.train.num_steps=2.5", "--workdir=w"]
        )


def test_a_mistyped_run_leaves_no_folder_that_refuses_the_corrected_command(tmp_path):
    line = read_command_line(
        GEOMETRY, ["--config=geometry_digits", f"--config.run={tmp_path}/rnu", f"--workdir={tmp_path}/w"]
    )
    with pytest.raises(InputError, match="holds no finished transition run"):
        GEOMETRY.main(line.config, line.workdir, line.invocation)
    assert not (tmp_path / "w").exists()


def test_another_programs_folder_is_called_by_its_name(tmp_path):
    from memgen_jax.programs.configs import load_config

    config = load_config("onset_linear")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(InputError, match="holds a run of memgen onset, and this is memgen transition"):
        require_own_workdir(TRANSITION, str(tmp_path))
    require_own_workdir(TRANSITION, str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("program", "config", "other"),
    [
        (CIRCLE, "digits:smoke", "transition"),
        (TRANSITION, "circle:smoke", "circle"),
        (TRANSITION, "onset_unet:smoke", "onset"),
        (GEOMETRY, "onset_linear", "onset"),
        (ONSET, "geometry_digits", "geometry"),
    ],
)
def test_a_config_of_another_program_is_called_by_its_program(program, config, other):
    said = f"--config={config} is a config of memgen {other}, and this is memgen {program.name}"
    with pytest.raises(InputError, match=said):
        read_command_line(program, [f"--config={config}", "--workdir=w"])


def test_a_file_of_another_programs_config_is_told_too_though_it_holds_a_mistake(tmp_path):
    file = tmp_path / "mine.py"
    for change in ("", "c.sampler.num_steps = 0; "):
        file.write_text(
            "from memgen_jax.programs.configs import load_config\n"
            f"def get_config():\n    c = load_config('circle:smoke'); {change}return c\n"
        )
        with pytest.raises(InputError, match="is a config of memgen circle"):
            read_command_line(TRANSITION, [f"--config={file}", "--workdir=w"])


def test_a_setting_that_no_config_can_have_is_told_by_its_flag_before_the_config_is_whole():
    with pytest.raises(InputError, match=r"^--config\.model\.name='foo' must be one of"):
        read_command_line(TRANSITION, ["--config=digits:smoke", "--config.model.name=foo", "--workdir=w"])


def test_own_sets_without_sets_asks_for_them_before_anything_is_read():
    from memgen_jax.programs.configs import load_config

    config = load_config("own_sets")
    config.data.name = "no/such/items.npy"
    with pytest.raises(InputError, match="there are no sizes K: give sets=FOLDER"):
        TransitionRun(config)


def test_a_config_of_no_program_is_told_though_its_model_is_a_table_of_settings():
    """It was once asked whether that table is a name: the folder of an older or a changed run ended in a defect."""
    with pytest.raises(InputError, match="has not the settings of any program"):
        program_of(ConfigDict({"model": {"name": "mlp"}, "of_another_release": 1}))
