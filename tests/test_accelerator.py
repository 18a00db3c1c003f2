"""The script for a new accelerator runs on a processor, part by part; all of its parts in `make test-slow`."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run(*arguments, out):
    environment = os.environ | {"PYTHON": sys.executable, "FASHION_MNIST": "absent"}
    command = ["bash", "benchmarks/accelerator.sh", "--quick", "--out", str(out), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)


def test_each_part_stands_in_the_report_with_how_it_ended(tmp_path):
    assert run("card", "search", out=tmp_path).returncode == 0
    report = (tmp_path / "report.txt").read_text()
    assert "-- card: exit 0" in report and "-- search: exit 0" in report
    assert report.count("same indices") == 4 and "OTHER INDICES" not in report


def test_a_part_that_there_is_not_is_one_sentence(tmp_path):
    done = run("serach", out=tmp_path)
    assert done.returncode == 2 and "no part serach" in done.stderr


@pytest.mark.slow
def test_every_part_runs_and_a_stopped_run_ends_with_the_same_bytes(tmp_path):
    done = run(out=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "stopped by SIGTERM after step 60: exit 130" in done.stdout
    assert "fractions.csv: the same bytes" in done.stdout
