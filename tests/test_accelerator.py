"""The script for a new accelerator runs on a processor, part by part; all of its parts in `make test-slow`."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run(*arguments, out, **environment):
    environment = os.environ | {"PYTHON": sys.executable, "FASHION_MNIST": "absent"} | environment
    command = ["bash", "benchmarks/accelerator.sh", "--quick", "--out", str(out), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)


def test_each_part_stands_in_the_report_with_how_it_ended(tmp_path):
    """The search tells how long it compiled: no program of its own is kept or taken."""
    kept = tmp_path / "compiled"
    keep = {"JAX_COMPILATION_CACHE_DIR": str(kept), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    assert run("card", "search", out=tmp_path, **keep).returncode == 0
    names = {file.name for file in kept.iterdir()}
    assert names and not [name for name in names if name.startswith("jit_step")]
    report = (tmp_path / "report.txt").read_text()
    assert "-- card: exit 0" in report and "-- search: exit 0" in report
    assert report.count("same indices") == 4 and "OTHER INDICES" not in report


def test_a_part_that_there_is_not_is_one_sentence(tmp_path):
    done = run("serach", out=tmp_path)
    assert done.returncode == 2 and "no part serach" in done.stderr


# Stands for `python -m experiments.transition`: the first run of "stopped" ends by its signal with code $FIRST, the
# second with $SECOND; its table is the whole run's, or $OTHER.
TRANSITION = """#!/usr/bin/env bash
case "$*" in *experiments.transition*) ;; *jax*) exit "$ON_CPU" ;; *) exit 0 ;; esac
folder=${*: -1} folder=${folder#--workdir=}
mkdir -p "$folder"
if [[ $folder == *stopped && ! -e $folder/metrics.jsonl ]]; then
  trap 'exit $FIRST' TERM
  echo '{"step": 100}' >"$folder/metrics.jsonl"
  while :; do sleep 0.05; done
fi
echo same >"$folder/members.csv"
if [[ $folder == *stopped ]]; then echo "$OTHER" >"$folder/fractions.csv"; exit "$SECOND"; fi
echo same >"$folder/fractions.csv"
"""


@pytest.mark.parametrize(
    ("ends", "options", "works"),
    [
        ({}, [], True),
        ({"FIRST": "0"}, [], False),
        ({"SECOND": "2"}, [], False),
        ({"OTHER": "other"}, [], False),
        ({"OTHER": "other", "ON_CPU": "1"}, [], True),  # a GPU without the flag promises nothing
        ({"OTHER": "other", "ON_CPU": "1"}, ["--deterministic"], False),
    ],
)
def test_a_stopped_run_that_does_not_keep_its_promise_fails_its_part(tmp_path, ends, options, works):
    fake = tmp_path / "python"
    fake.write_text(TRANSITION)
    fake.chmod(0o755)
    how = {"FIRST": "130", "SECOND": "0", "OTHER": "same", "ON_CPU": "0"} | ends
    done = run(*options, "resume", out=tmp_path, PYTHON=str(fake), CUT="60", **how)
    assert (done.returncode == 0) == works, done.stdout
    assert ("-- resume: exit 0" in done.stdout) == works
    assert ("other bytes" in done.stdout) == ("OTHER" in ends)


@pytest.mark.slow
def test_every_part_runs_and_a_stopped_run_ends_with_the_same_bytes(tmp_path):
    done = run(out=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "stopped by SIGTERM after step 60: exit 130" in done.stdout
    assert "fractions.csv: the same bytes" in done.stdout
