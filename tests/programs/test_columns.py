import dataclasses
import json
import pathlib

import numpy as np
import pytest

from memgen_jax import onset, phases
from memgen_jax.programs import columns

ROOT = pathlib.Path(__file__).parents[2]


def test_every_column_of_a_row_of_fractions_and_of_onset_has_a_meaning():
    items = np.random.default_rng(0).normal(size=(3, 8, 2)).astype(np.float32)
    row = onset.compare(*items, resamples=2).row()
    names = [field.name for field in dataclasses.fields(phases.Fractions)]
    assert not [name for name in (*names, *row) if columns.meaning(name) is None]


@pytest.mark.parametrize(
    "table", sorted((ROOT / "experiments/results").glob("*/*.csv")), ids=lambda file: file.name
)
def test_every_column_of_a_recorded_table_has_a_meaning(table):
    header = table.read_text().partition("\n")[0].split(",")
    assert not [name for name in header if columns.meaning(name) is None]


def test_an_interval_has_the_meaning_of_its_number():
    assert columns.meaning("spurious_low") == "lower end of the 95% interval of spurious"
    assert columns.meaning("nonsense_low") is None


def test_the_dictionary_is_written_beside_the_tables_that_are_there(tmp_path):
    (tmp_path / "a.csv").write_text("num_train,strange\n4,1\n")
    columns.write(tmp_path)
    written = json.loads((tmp_path / "columns.json").read_text())
    assert written == {"a.csv": {"num_train": columns.MEANINGS["num_train"], "strange": ""}}
