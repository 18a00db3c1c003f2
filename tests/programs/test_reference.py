"""Every setting, file and column is told, and the pages say what the dictionaries say."""

import pathlib

import pytest

from memgen_jax.programs import configs, meanings, outputs, reference

ROOT = pathlib.Path(__file__).parents[2]
EVERY = [
    (program, own.name)
    for program, classes in reference.SETTINGS.items()
    for cls in classes
    for own in reference.settings_of(cls)
]


def test_no_setting_is_without_a_meaning():
    assert [name for program, name in EVERY if not meanings.meaning(program, name)] == []


def test_no_meaning_is_of_a_setting_that_is_gone():
    told = {(program, name) for program, own in meanings.OF_PROGRAM.items() for name in own}
    assert told - set(EVERY) == set()
    names = {name.replace("unet.", "model.", 1) for _, name in EVERY}
    assert meanings.SHARED.keys() - names == set()


@pytest.mark.parametrize("name", configs.names())
def test_the_settings_of_every_config_are_those_of_the_page(name):
    program = configs.program_of(config := configs.load_config(name))
    assert program.settings_of(config) in reference.SETTINGS[program.name]


@pytest.mark.parametrize("page", reference.PAGES)
def test_a_page_of_the_docs_is_that_of_its_dictionary(page):
    assert (ROOT / "docs" / page).read_text() == reference.PAGES[page](), "run: make reference"


def test_a_strange_file_and_a_strange_column_are_found(tmp_path):
    (tmp_path / "fractions.csv").write_text("num_train,strange\n1,2\n")
    (tmp_path / "mystery.bin").write_text("")
    assert outputs.undocumented("transition", tmp_path) == ["fractions.csv: strange", "mystery.bin"]
