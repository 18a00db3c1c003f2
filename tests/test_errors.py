import numpy as np
import pytest

import memgen_jax
from memgen_jax.errors import FIELD, InputError

NAME = "a{0}{}%s{1}.png"


def flag_of(setting):
    return f"--{setting}"


def test_a_name_with_braces_stands_in_the_sentence_as_it_is():
    error = InputError(f"{FIELD[0]} {NAME} is no {FIELD[1]}", "train", "samples")
    assert str(error) == f"train {NAME} is no samples"
    assert error.named(flag_of) == f"--train {NAME} is no --samples"
    assert error.within("data").named(flag_of) == f"--data.train {NAME} is no --data.samples"
    assert error.and_so(f", and {NAME}").named(flag_of) == f"--train {NAME} is no --samples, and {NAME}"
    assert str(InputError(NAME, "train")) == NAME


def test_a_setting_with_braces_and_a_value_of_several_lines_make_one_sentence():
    assert InputError.setting("name", NAME, "a folder").named(flag_of) == f"--name='{NAME}' must be a folder."
    assert "\n" not in str(InputError.setting("name", np.ones((3, 3)), "a folder"))


def test_a_file_with_braces_in_its_name_is_told_by_it(tmp_path):
    file = tmp_path / NAME
    file.write_bytes(b"no picture")
    with pytest.raises(InputError) as raised:
        memgen_jax.load(tmp_path)
    assert NAME in raised.value.named(flag_of)
    settings = memgen_jax.audit.AuditSettings(train=str(file), samples=str(file), out=str(tmp_path / "out"))
    with pytest.raises(InputError) as raised:
        memgen_jax.audit.run(settings)
    assert NAME in raised.value.named(flag_of)
