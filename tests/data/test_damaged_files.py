"""Damaged and harmful files; the whole thousand is read by `python tests/data/read_damaged_files.py --harmful`."""

import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).with_name("read_damaged_files.py")


def read(*arguments):
    pytest.importorskip("pyarrow")
    done = subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_damaged_files_end_in_data_or_in_one_sentence():
    said = read("--images", "60", "--stores", "40", "--seed", "1")
    assert "0 of 100 files" in said and " data" in said


@pytest.mark.slow
def test_a_thousand_damaged_images_and_300_stores_end_in_data_or_in_one_sentence():
    assert "0 of 1300 files" in read()


@pytest.mark.slow
def test_bombs_and_files_without_an_end_are_refused_in_bounded_time_and_memory():
    said = read("--images", "0", "--stores", "0", "--harmful")
    assert "files end otherwise" in said
